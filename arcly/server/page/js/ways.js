// The ways in which a stream can come to this browser, and the buttons to choose one.

import { find, part, setAttribute, setText, setVisible } from "./dom.js";
import * as format from "./format.js";

/** @typedef {import("./status.js").StreamInfo} StreamInfo */
/** @typedef {import("./format.js").Track} Track */
/** @typedef {"flv" | "ts" | "hls"} Way */
/** @typedef {{way: Way, path: string | null, why: string}} Choice `why` it cannot be; empty: it can */

/** @type {Way[]} the first one that can be is taken */
export const WAYS = ["flv", "ts", "hls"];

/** @type {Record<Way, string>} */
export const WAY_NAMES = { flv: "FLV", ts: "TS", hls: "HLS" };

/** @type {Record<"flv" | "ts", Set<string>>} what mpegts.js reads */
const CODECS = {
  flv: new Set(["H264", "H265", "AV1", "AAC", "MP3", "Opus", "FLAC"]),
  ts: new Set(["H264", "H265", "AAC", "MP3", "AC3", "EAC3", "Opus"]),
};

/** @param {StreamInfo} info @returns {Choice[]} */
export function choices(info) {
  return WAYS.map((way) => {
    const path = info[way];
    if (!path) return { way, path, why: `This server has no ${WAY_NAMES[way]} of it.` };
    return { way, path, why: way === "hls" ? "" : whyNot(way, info.tracks) };
  });
}

/** @param {"flv" | "ts"} way @param {Track[]} tracks */
function whyNot(way, tracks) {
  const name = WAY_NAMES[way];
  // iPhones have only ManagedMediaSource, where the system decides when to load: HLS is made for that.
  if (!("MediaSource" in globalThis)) return `${name} needs Media Source Extensions.`;
  const strange = tracks.filter(({ kind, codec }) => kind !== "data" && !CODECS[way].has(codec));
  if (strange.length > 0) return `No player for ${format.codecs(strange)} in ${name}.`;
  const several = ["video", "audio"].find(
    (it) => tracks.filter(({ kind }) => kind === it).length > 1,
  );
  return several && way === "flv" ? `No player for several ${several} tracks in FLV.` : "";
}

/**
 * The tracks that this browser says it cannot decode.
 * @param {Track[]} tracks
 */
export function undecodable(tracks) {
  // @ts-expect-error ManagedMediaSource is Safari's
  const mse = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
  if (!mse) return [];
  return tracks.filter(
    ({ kind, rfc6381 }) =>
      kind !== "data" && !mse.isTypeSupported(`${kind}/mp4; codecs="${rfc6381}"`),
  );
}

export class WayChooser {
  #root = part("ways");

  /** @param {(way: Way) => void} onChoose */
  constructor(onChoose) {
    for (const way of WAYS) {
      this.#input(way).addEventListener("change", () => onChoose(way));
    }
  }

  /** @param {Choice[]} choices @param {Way | null} current @param {string} note */
  render(choices, current, note) {
    for (const { way, why } of choices) {
      const input = this.#input(way);
      input.disabled = why !== "";
      input.checked = way === current;
      setAttribute(find("label", part(`way-${way}`)), "title", why || TITLES[way]);
    }
    const said = note || (current === "hls" && choices.find(({ why }) => why)?.why) || "";
    setText(part("way-note"), said);
    setVisible(part("way-note"), said !== "");
    setVisible(this.#root, true);
  }

  hide() {
    setVisible(this.#root, false);
  }

  /** @param {Way} way @returns {HTMLInputElement} */
  #input(way) {
    return find("input", part(`way-${way}`));
  }
}

/** @type {Record<Way, string>} */
const TITLES = {
  flv: "HTTP-FLV: about a second behind the publisher",
  ts: "MPEG-TS over HTTP: about a second behind the publisher",
  hls: "HLS: several seconds behind, through every proxy and in every browser",
};
