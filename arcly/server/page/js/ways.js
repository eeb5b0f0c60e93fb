// The ways in which a stream can come to this browser, and the buttons to choose one.

import { find, part, setAttribute, setText, setVisible } from "./dom.js";
import * as format from "./format.js";
import { unknownCodecs } from "./rtc.js";

/** @typedef {import("./status.js").StreamInfo} StreamInfo */
/** @typedef {import("./format.js").Track} Track */
/** @typedef {"whep" | "flv" | "ts" | "hls" | "dash"} Way */
/**
 * `why` it cannot be; empty: it can. `lacks`: what is missing by it, so that it is only taken when asked for.
 * @typedef {{way: Way, path: string | null, why: string, lacks: string}} Choice
 */

/** @type {Way[]} the first one that can be is taken */
export const WAYS = ["whep", "flv", "ts", "hls", "dash"];

/** @type {Record<Way, string>} */
export const WAY_NAMES = { whep: "WebRTC", flv: "FLV", ts: "TS", hls: "HLS", dash: "DASH" };

/** @type {Record<"flv" | "ts", Set<string>>} what mpegts.js reads */
const CODECS = {
  flv: new Set(["H264", "H265", "AV1", "AAC", "MP3", "Opus", "FLAC"]),
  ts: new Set(["H264", "H265", "AAC", "MP3", "AC3", "EAC3", "Opus"]),
};

/** @param {StreamInfo} info @returns {Choice[]} */
export function choices(info) {
  return WAYS.map((way) => {
    const path = info[way];
    const name = WAY_NAMES[way];
    if (!path) return { way, path, why: `This server has no ${name} of it.`, lacks: "" };
    if (way === "whep") return { way, path, ...overWebRtc(info) };
    return { way, path, why: whyNot(way, info.tracks), lacks: "" };
  });
}

/** @param {StreamInfo} info */
function overWebRtc({ tracks, whep_opus, whep_b_frames }) {
  if (!("RTCPeerConnection" in globalThis)) return { why: "This browser has no WebRTC.", lacks: "" };
  const media = tracks.filter(({ kind }) => kind !== "data");
  const strange = unknownCodecs(media, "receive");
  const kinds = new Set(media.map(({ kind }) => kind));
  const carried = new Set(media.filter((it) => !strange.includes(it)).map(({ kind }) => kind));
  const pictures = kinds.has("video") && !carried.has("video");
  if (pictures || carried.size === 0) {
    return { why: `WebRTC carries no ${format.codecs(strange)} to this browser.`, lacks: "" };
  }
  if (kinds.has("audio") && !carried.has("audio") && !whep_opus) {
    return { why: "", lacks: `Without sound: WebRTC does not carry ${format.codecs(strange)}.` };
  }
  const reorders = whep_b_frames !== "transcode" && media.some(({ reorder }) => (reorder ?? 0) > 0);
  return { why: "", lacks: reorders ? "Some pictures are left out: WebRTC carries no B-frames." : "" };
}

/** Whether it lasts as long as its connection, with the tracks that there were. @param {Way} way */
export const isEndless = (way) => way !== "hls" && way !== "dash";

/** @param {Way} way @param {Track[]} tracks */
function whyNot(way, tracks) {
  if (way === "hls" || way === "whep") return "";
  const name = WAY_NAMES[way];
  // iPhones have only ManagedMediaSource, where the system decides when to load: HLS is made for that.
  if (!("MediaSource" in globalThis)) return `${name} needs Media Source Extensions.`;
  if (way === "dash") return "";
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
    const lacks = choices.find(({ way }) => way === current)?.lacks;
    const why = current && !isEndless(current) && choices.find(({ way, why }) => way !== "whep" && why)?.why;
    const said = note || lacks || why || "";
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
  whep: "WebRTC: a tenth of a second behind the publisher",
  flv: "HTTP-FLV: about a second behind the publisher",
  ts: "MPEG-TS over HTTP: about a second behind the publisher",
  hls: "HLS: a second or two behind, through every proxy and in every browser",
  dash: "DASH: the same segments as HLS, by dash.js",
};
