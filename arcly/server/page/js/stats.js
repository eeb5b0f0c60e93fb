// What the viewer's side of the stream looks like, once a second.

import { part, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

/** @typedef {import("./source.js").Source} Source */
/** @typedef {import("./status.js").StreamInfo} StreamInfo */

const FRAME_SAMPLES = 5;

export class PlayerStats {
  #video;
  /** @type {Source | null} */
  #source = null;
  /** @type {{total: number, atMs: number}[]} */
  #frames = [];

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
  }

  /** @param {Source} source */
  start(source) {
    this.#source = source;
    this.#frames = [];
  }

  stop() {
    this.#source = null;
    for (const id of ["resolution", "bitrate", "latency", "buffer", "fps", "dropped"]) {
      setText(part(`stat-${id}`), "–");
    }
    setAttribute(part("go-live"), "data-live", "false");
  }

  /** @param {StreamInfo | null} info */
  render(info) {
    if (!this.#source) return;
    const video = this.#video;
    const { latencyS, bitrateBps, atEdge } = this.#source.measure();
    const quality = video.getVideoPlaybackQuality();
    setText(part("stat-resolution"), format.size(video.videoWidth, video.videoHeight) || "–");
    setText(part("stat-bitrate"), format.bitrate(bitrateBps ?? info?.bitrate_bps));
    setText(part("stat-latency"), format.seconds(latencyS));
    setText(part("stat-buffer"), format.seconds(bufferedAhead(video)));
    setText(
      part("stat-fps"),
      format.frameRate(this.#shownPerSecond(quality.totalVideoFrames - quality.droppedVideoFrames)),
    );
    setText(part("stat-dropped"), format.count(quality.droppedVideoFrames));
    setAttribute(part("go-live"), "data-live", String(atEdge && !video.paused));
  }

  /** @param {number} total @returns {number | null} the mean of the last seconds */
  #shownPerSecond(total) {
    this.#frames.push({ total, atMs: performance.now() });
    if (this.#frames.length > FRAME_SAMPLES) this.#frames.shift();
    const [first, last] = [this.#frames[0], this.#frames[this.#frames.length - 1]];
    if (last.atMs === first.atMs) return null;
    return Math.round(((last.total - first.total) * 1000) / (last.atMs - first.atMs));
  }
}

/** @param {HTMLVideoElement} video @returns {number} seconds of media loaded after the position */
export function bufferedAhead({ buffered, currentTime }) {
  for (let i = 0; i < buffered.length; i++) {
    const inside = buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i);
    if (inside) return buffered.end(i) - currentTime;
  }
  return 0;
}
