// One playback of one live stream in a <video>, by one way: WebRTC, HLS or an endless FLV or TS. A source
// is used once; the player makes a new one to try again.

import { openDash } from "./dash.js";
import { openEndless } from "./endless.js";
import { openHls } from "./hls.js";
import { openWhep } from "./whep.js";

/** @typedef {import("./ways.js").Way} Way */
/** @typedef {"network" | "media" | "missing" | "goodbye" | "other"} Fault */
/** @typedef {{latencyS: number | null, bitrateBps: number | null, atEdge: boolean,
 *   lostShare?: number, roundTripS?: number | null, layer?: string | null}} Measure */
/** @typedef {(fault: Fault, detail: string) => void} OnFault */
/**
 * @typedef {{measure: () => Measure, goLive: () => void, destroy: () => void,
 *   windowS: () => number, goBack: (s: number) => void}} Playback `windowS`: how far one can go back
 */
/** @typedef {Playback & {ready: Promise<void>}} Source */

/** @type {Measure} */
const NOTHING = { latencyS: null, bitrateBps: null, atEdge: false };

/**
 * @param {Way} way @param {HTMLVideoElement} video @param {string} url
 * @param {OnFault} onFault called once
 * @returns {Source} `ready` once the <video> can be told to play
 */
export function openSource(way, video, url, onFault) {
  /** @type {Playback | null} */
  let playback = null;
  let open = true;
  const fault = (/** @type {Parameters<OnFault>} */ ...what) => {
    if (!open) return;
    open = false;
    onFault(...what);
  };
  const opening = openingOf(way, video, url, fault);
  const ready = opening.then(
    (begin) => {
      if (open) playback = begin();
    },
    (error) => fault("network", error.message),
  );
  return {
    ready,
    measure: () => playback?.measure() ?? NOTHING,
    goLive: () => playback?.goLive(),
    windowS: () => playback?.windowS() ?? 0,
    goBack: (s) => playback?.goBack(s),
    destroy() {
      open = false;
      playback?.destroy();
      playback = null;
    },
  };
}

/** @param {Way} way @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault */
function openingOf(way, video, url, onFault) {
  if (way === "hls") return openHls(video, url, onFault);
  if (way === "whep") return openWhep(video, url, onFault);
  if (way === "dash") return openDash(video, url, onFault);
  return openEndless(way, video, url, onFault);
}
