// WebRTC by WHEP: a tenth of a second behind the publisher. The browser does all the rest by itself;
// what is said here is when it has not come through.

import { negotiate, watchLoss } from "./rtc.js";

/** @typedef {import("./source.js").OnFault} OnFault */
/** @typedef {import("./source.js").Playback} Playback */
/** @typedef {import("./source.js").Measure} Measure */

const FIRST_MEDIA_WITHIN_MS = 8000; // where no UDP comes through, nothing ever does
const AWAY_MAX_MS = 5000; // behind some seconds in which nothing came
const MEASURE_EVERY_MS = 1000;
/** Measurements between two questions for the layer: each is a request to the host. */
const LAYER_EVERY = 4;

/**
 * @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Promise<() => Playback>}
 */
export async function openWhep(video, url, onFault) {
  return () => new Whep(video, url, onFault);
}

/** @implements {Playback} */
class Whep {
  #video;
  #onFault;
  #stream = new MediaStream();
  #connection = new RTCPeerConnection();
  #session = /** @type {string | null} */ (null);
  #layerUrl = /** @type {string | null} */ (null);
  #layer = /** @type {string | null} */ (null);
  #looks = 0;
  #firstMediaTimer = 0;
  #measureTimer = 0;
  #counters = new Counters();

  /** @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault */
  constructor(video, url, onFault) {
    this.#video = video;
    this.#onFault = onFault;
    const connection = this.#connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.addTransceiver("audio", { direction: "recvonly" });
    connection.addEventListener("track", ({ track }) => this.#stream.addTrack(track));
    connection.addEventListener("connectionstatechange", () => this.#onState());
    video.srcObject = this.#stream;
    this.#firstMediaTimer = setTimeout(() => this.#onNothing(), FIRST_MEDIA_WITHIN_MS);
    this.#measureTimer = setInterval(() => this.#count(), MEASURE_EVERY_MS);
    this.#open(url);
  }

  measure() {
    return { ...this.#counters.measure, layer: this.#layer };
  }

  goLive() {} // it is

  windowS() {
    return 0; // what has passed is gone
  }

  goBack() {}

  destroy() {
    clearTimeout(this.#firstMediaTimer);
    clearInterval(this.#measureTimer);
    this.#connection.close();
    if (this.#session) fetch(this.#session, { method: "DELETE", keepalive: true }).catch(() => {});
    this.#video.srcObject = null;
  }

  /** @param {string} url */
  async #open(url) {
    try {
      ({ session: this.#session, layer: this.#layerUrl } = await negotiate(this.#connection, url));
      if (this.#connection.signalingState === "closed") return this.destroy(); // meanwhile
      watchLoss(this.#connection, AWAY_MAX_MS, (byGoodbye) => this.#onLost(byGoodbye));
    } catch (error) {
      if (this.#connection.signalingState === "closed") return;
      this.#onFault("network", error instanceof Error ? error.message : String(error));
    }
  }

  #onState() {
    const state = this.#connection.connectionState;
    if (state === "failed") this.#onFault("network", "no way for UDP or TCP to the server");
  }

  /** @param {boolean} byGoodbye which the server says when the stream ends, too */
  #onLost(byGoodbye) {
    this.#onFault(byGoodbye ? "goodbye" : "network", "disconnected");
  }

  #onNothing() {
    if (this.#video.videoWidth === 0 && this.#video.currentTime === 0) {
      this.#onFault("network", "nothing came");
    }
  }

  async #count() {
    const report = await this.#connection.getStats();
    this.#counters.take([...report.values()]);
    if (this.#layerUrl && this.#looks++ % LAYER_EVERY === 0) this.#layer = await layerAt(this.#layerUrl);
  }
}

/** @param {string} url @returns {Promise<string | null>} the rendition that is sent; null when nobody says */
async function layerAt(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
    return response.ok ? (await response.json()).layer : null;
  } catch {
    return null;
  }
}

/** What the browser counts, as what a person reads. */
class Counters {
  /** @type {Measure} */
  measure = { latencyS: null, bitrateBps: null, atEdge: true };
  /** @type {{bytes: number, atMs: number, delayS: number, emitted: number, lost: number, received: number} | null} */
  #last = null;

  /** @param {any[]} stats */
  take(stats) {
    const incoming = stats.filter(({ type }) => type === "inbound-rtp");
    const pair = stats.find((it) => it.type === "candidate-pair" && it.nominated);
    const leading = incoming.find(({ kind }) => kind === "video") ?? incoming[0];
    if (!leading) return;
    const sum = (/** @type {string} */ name) =>
      incoming.reduce((total, it) => total + (it[name] ?? 0), 0);
    const now = {
      bytes: sum("bytesReceived"),
      atMs: leading.timestamp,
      delayS: leading.jitterBufferDelay ?? 0,
      emitted: leading.jitterBufferEmittedCount ?? 0,
      lost: sum("packetsLost"),
      received: sum("packetsReceived"),
    };
    const last = this.#last;
    this.#last = now;
    if (!last || now.atMs <= last.atMs) return;
    const [emitted, received] = [now.emitted - last.emitted, now.received - last.received];
    const lost = Math.max(0, now.lost - last.lost);
    const roundTripS = pair?.currentRoundTripTime ?? null;
    // In the buffer of this browser, and half a round trip on the way.
    const waitedS = emitted > 0 ? (now.delayS - last.delayS) / emitted : null;
    this.measure = {
      latencyS: waitedS === null ? null : waitedS + (roundTripS ?? 0) / 2,
      bitrateBps: ((now.bytes - last.bytes) * 8000) / (now.atMs - last.atMs),
      atEdge: true,
      lostShare: received + lost > 0 ? lost / (received + lost) : 0,
      roundTripS,
    };
  }
}
