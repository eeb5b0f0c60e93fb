// FLV or MPEG-TS without an end over HTTP, played by mpegts.js: a second behind the publisher, where
// HLS is several. What comes is played at once; what keeps it from falling behind is said below.

import { loadScript } from "./script.js";
import { bufferedAhead } from "./stats.js";

/** @typedef {import("./source.js").OnFault} OnFault */
/** @typedef {import("./source.js").Playback} Playback */

const CONFIG = {
  isLive: true,
  // Hand on what has come at once, instead of collecting 384 kB of it first.
  enableStashBuffer: false,
  // The server begins with the last key picture, so a viewer starts up to one keyframe interval
  // late: play 10 % faster (nobody hears it) until less than a second is ahead. That second is for
  // the network; with less, each late packet is a stall.
  liveSync: true,
  liveSyncMaxLatency: 1.4,
  liveSyncTargetLatency: 1,
  liveSyncPlaybackRate: 1.1,
  // Later than this, winning it back takes half a minute: jump. After a laptop's sleep, say, or where
  // key pictures are rare.
  liveBufferLatencyChasing: true,
  liveBufferLatencyMaxLatency: 3,
  liveBufferLatencyMinRemain: 1,
  // By default the connection is given up when three minutes are loaded: a live one cannot be resumed.
  lazyLoad: false,
  // Memory: nobody rewinds a live stream.
  autoCleanupSourceBuffer: true,
  autoCleanupMaxBackwardDuration: 30,
  autoCleanupMinBackwardDuration: 10,
};

const EDGE_S = 2.5; // this far behind what has come is live
const JUMP_S = 1.5; // "live" jumps when more is ahead,
const REMAIN_S = 0.7; // to where so much is
const FIRST_MEDIA_WITHIN_MS = 8000; // a proxy that collects the answer first never ends
const PAUSED_MAX_MS = 20_000; // then what comes would fill the memory

/**
 * @param {"flv" | "ts"} way @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Promise<() => Playback>}
 */
export async function openEndless(way, video, url, onFault) {
  await loadScript("mpegts.min.js");
  // @ts-expect-error a classic script has defined it
  const { mpegts } = globalThis;
  mpegts.LoggingControl.enableAll = false; // what matters comes as an event
  return () => new Endless(mpegts, { type: way === "ts" ? "mpegts" : "flv", url }, video, onFault);
}

/** @implements {Playback} */
class Endless {
  #mpegts;
  #stream;
  #video;
  #onFault;
  #listening = new AbortController();
  /** @type {any} null while the viewer has paused for long */
  #player = null;
  #firstMediaTimer = 0;
  #pausedTimer = 0;

  /**
   * @param {any} mpegts @param {{type: string, url: string}} stream
   * @param {HTMLVideoElement} video @param {OnFault} onFault
   */
  constructor(mpegts, stream, video, onFault) {
    this.#mpegts = mpegts;
    this.#stream = stream;
    this.#video = video;
    this.#onFault = onFault;
    const { signal } = this.#listening;
    video.addEventListener("error", () => this.#onVideoError(), { signal });
    video.addEventListener("pause", () => this.#onPause(), { signal });
    video.addEventListener("play", () => clearTimeout(this.#pausedTimer), { signal });
    this.#connect();
  }

  measure() {
    const latencyS = this.#video.buffered.length > 0 ? bufferedAhead(this.#video) : null;
    return { latencyS, bitrateBps: null, atEdge: latencyS !== null && latencyS < EDGE_S };
  }

  goLive() {
    if (!this.#player) return this.#connect();
    const { buffered } = this.#video;
    const end = buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
    if (end - this.#video.currentTime > JUMP_S) this.#video.currentTime = end - REMAIN_S;
  }

  windowS() {
    return 0; // what has passed is gone
  }

  goBack() {}

  destroy() {
    this.#listening.abort();
    clearTimeout(this.#pausedTimer);
    this.#disconnect();
    this.#video.playbackRate = 1;
  }

  #connect() {
    const { Events, ErrorTypes } = this.#mpegts;
    const player = this.#mpegts.createPlayer({ ...this.#stream, isLive: true }, CONFIG);
    this.#player = player;
    player.on(
      Events.ERROR,
      (/** @type {string} */ type, /** @type {string} */ detail, /** @type {any} */ info) => {
        const fault = type === ErrorTypes.MEDIA_ERROR ? "media" : "network";
        this.#onFault(fault, info?.code > 0 ? `status ${info.code}` : detail);
      },
    );
    player.attachMediaElement(this.#video);
    player.load();
    this.#firstMediaTimer = setTimeout(() => this.#onNothing(), FIRST_MEDIA_WITHIN_MS);
  }

  #disconnect() {
    clearTimeout(this.#firstMediaTimer);
    this.#player?.destroy();
    this.#player = null;
  }

  #onNothing() {
    if (this.#video.buffered.length === 0) this.#onFault("network", "nothing came");
  }

  #onVideoError() {
    if (this.#video.error?.code === MediaError.MEDIA_ERR_DECODE) {
      this.#onFault("media", this.#video.error.message);
    }
  }

  #onPause() {
    clearTimeout(this.#pausedTimer);
    this.#pausedTimer = setTimeout(() => this.#disconnect(), PAUSED_MAX_MS);
  }
}
