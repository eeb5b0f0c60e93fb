// DASH by dash.js, of the same segments as HLS.

import { windowS } from "./rewind.js";
import { loadScript } from "./script.js";

/** @typedef {import("./source.js").OnFault} OnFault */
/** @typedef {import("./source.js").Playback} Playback */

const SETTINGS = {
  debug: { logLevel: 0 },
  streaming: {
    // How far behind to stay, and how fast to win back what was lost, is the manifest's to say.
    liveCatchup: { enabled: true },
    // Memory: what a viewer who goes back a little wants to find.
    buffer: { bufferToKeep: 30 },
  },
};

const EDGE_S = 1.5; // this much later than it should be is still live

/**
 * @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Promise<() => Playback>}
 */
export async function openDash(video, url, onFault) {
  await loadScript("dash.mediaplayer.min.js");
  // @ts-expect-error a classic script has defined it
  const { dashjs } = globalThis;
  return () => new Dash(dashjs, video, url, onFault);
}

/** @implements {Playback} */
class Dash {
  #player;
  #video;

  /** @param {any} dashjs @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault */
  constructor(dashjs, video, url, onFault) {
    const player = dashjs.MediaPlayer().create();
    this.#player = player;
    player.on("error", (/** @type {any} */ { error }) => onFault(faultOf(error?.code), error?.message));
    player.updateSettings(SETTINGS);
    player.on("streamInitialized", () => beginAnew(video));
    player.initialize(video, url, true);
    this.#video = video;
  }

  measure() {
    if (!this.#player.isReady() || this.#video.readyState === 0) return NOT_YET;
    const latencyS = this.#player.getCurrentLiveLatency() || null;
    const atEdge = latencyS !== null && latencyS < this.#player.getTargetLiveDelay() + EDGE_S;
    return { latencyS, bitrateBps: null, atEdge };
  }

  goLive() {
    if (!this.#player.isReady() || this.measure().atEdge) return;
    this.#catchUp(true);
    this.#player.seekToOriginalLive();
  }

  windowS() {
    return this.#player.isReady() ? (this.#player.getDvrWindow()?.size ?? windowS(this.#video)) : 0;
  }

  /** @param {number} s */
  goBack(s) {
    this.#catchUp(false);
    this.#player.seek(Math.max(1, this.windowS() - s));
  }

  destroy() {
    this.#player.destroy();
    this.#video.playbackRate = 1;
  }

  /** @param {boolean} enabled */
  #catchUp(enabled) {
    this.#player.updateSettings({ streaming: { liveCatchup: { enabled } } });
  }
}

/**
 * dash.js fetches the manifest again only once it has heard the <video> begin, and it listens from now on.
 * @param {HTMLVideoElement} video
 */
function beginAnew(video) {
  if (video.paused) return;
  video.pause();
  video.play().catch(() => {}); // whoever has begun it is told
}

const NOT_YET = { latencyS: null, bitrateBps: null, atEdge: false };

/** @param {number} code of dash.js: 10 to 39 are about what was fetched, or not @returns {import("./source.js").Fault} */
const faultOf = (code) => (code >= 10 && code < 40 ? "network" : "media");
