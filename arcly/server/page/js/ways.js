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

/** What CMAF leaves out though it has a name; G.711, G.722 and PCM have none there. */
const NOT_IN_CMAF = new Set(["VP8", "MP2"]);

/** @param {StreamInfo} info @returns {Choice[]} */
export function choices(info) {
  const media = info.tracks.filter(({ kind }) => kind !== "data");
  return WAYS.map((way) => {
    const path = info[way];
    if (!path) return { way, path, why: `This server has no ${WAY_NAMES[way]} of it.`, lacks: "" };
    if (way === "whep") return { way, path, ...overWebRtc(info) };
    if (way === "hls" || way === "dash") return { way, path, ...inSegments(way, media) };
    return { way, path, why: whyNotEndless(way, media), lacks: "" };
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

/** @param {"flv" | "ts"} way @param {Track[]} media */
function whyNotEndless(way, media) {
  const name = WAY_NAMES[way];
  if (!hasMse()) return `${name} needs Media Source Extensions.`;
  // FLV comes with the first track of each kind.
  const sent = media.filter((it) => way !== "flv" || it === media.find(({ kind }) => kind === it.kind));
  const strange = sent.filter(({ codec }) => !CODECS[way].has(codec));
  if (strange.length > 0) return `No player for ${format.codecs(strange)} in ${name}.`;
  return cannotDecode(sent);
}

/** @param {"hls" | "dash"} way @param {Track[]} media */
function inSegments(way, media) {
  const name = WAY_NAMES[way];
  if (way === "dash" && !hasMse()) return { why: `${name} needs Media Source Extensions.`, lacks: "" };
  const carried = media.filter(({ codec, rfc6381 }) => rfc6381 !== "" && !NOT_IN_CMAF.has(codec));
  const left = media.filter((it) => !carried.includes(it));
  if (carried.length === 0) return { why: `${name} carries no ${format.codecs(left)}.`, lacks: "" };
  const lost = ["video", "audio"].find(
    (it) => left.some(({ kind }) => kind === it) && !carried.some(({ kind }) => kind === it),
  );
  const said = `Without ${lost === "video" ? "pictures" : "sound"}: ${name} carries no ${format.codecs(left)}.`;
  // Of each kind the player takes one that it can decode.
  const hopeless = ["video", "audio"].flatMap((it) => {
    const tracks = carried.filter(({ kind }) => kind === it);
    return tracks.every((track) => cannotDecode([track])) ? tracks : [];
  });
  return { why: cannotDecode(hopeless), lacks: lost ? said : "" };
}

/** iPhones have only ManagedMediaSource, where the system decides when to load: HLS is made for that. */
const hasMse = () => "MediaSource" in globalThis;

/** @param {Track[]} tracks @returns {string} what this browser says that it cannot decode; empty: nothing */
function cannotDecode(tracks) {
  // @ts-expect-error ManagedMediaSource is Safari's
  const mse = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
  const strange = tracks.filter(
    ({ kind, rfc6381 }) => mse && !mse.isTypeSupported(`${kind}/mp4; codecs="${rfc6381}"`),
  );
  if (strange.length === 0) return "";
  const names = strange.map(({ rfc6381 }) => rfc6381).join(", ");
  return `This browser cannot decode ${format.codecs(strange)} (${names}).`;
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
    const said = [note, lacks].filter(Boolean).join(" ") || why || "";
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
