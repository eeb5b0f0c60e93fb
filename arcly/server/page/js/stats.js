// What the viewer's side of the stream looks like, once a second.
//
// A stall is the <video> running out of media after it has begun, whatever the reason; what follows
// a jump or a new connection is none.

import { part, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

/** @typedef {import("./source.js").Source} Source */
/** @typedef {import("./status.js").StreamInfo} StreamInfo */

const FRAME_SAMPLES = 5;
const STATS = [
  "resolution",
  "layer",
  "bitrate",
  "fps",
  "latency",
  "buffer",
  "speed",
  "stalls",
  "dropped",
  "lost",
  "round-trip",
  "watched",
];

export class PlayerStats {
  #video;
  /** @type {Source | null} */
  #source = null;
  /** @type {{total: number, atMs: number}[]} */
  #frames = [];
  #stalls = 0;
  #began = 0; // when it first played; 0: not yet
  #plays = false; // with the media that are loaded now

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
    video.addEventListener("playing", () => {
      this.#began ||= performance.now();
      this.#plays = true;
    });
    video.addEventListener("emptied", () => {
      this.#plays = false;
      this.#frames = []; // the browser counts anew
    });
    video.addEventListener("waiting", () => {
      if (this.#source && this.#plays && !video.seeking) this.#stalls++;
    });
  }

  /** @param {Source} source */
  start(source) {
    this.#source = source;
    this.#frames = [];
    this.#stalls = this.#began = 0;
    this.#plays = false;
  }

  stop() {
    this.#source = null;
    for (const id of STATS) setText(part(`stat-${id}`), "–");
    setAttribute(part("go-live"), "data-live", "false");
  }

  /** @param {StreamInfo | null} info */
  render(info) {
    if (!this.#source) return;
    const video = this.#video;
    const { latencyS, bitrateBps, atEdge, lostShare, roundTripS, layer } = this.#source.measure();
    const quality = video.getVideoPlaybackQuality();
    setText(part("stat-resolution"), format.size(video.videoWidth, video.videoHeight) || "–");
    setText(part("stat-layer"), layer || "–");
    setText(part("stat-bitrate"), format.bitrate(bitrateBps ?? info?.bitrate_bps));
    setText(
      part("stat-latency"),
      roundTripS === undefined ? format.seconds(latencyS) : format.milliseconds(latencyS),
    );
    setText(part("stat-lost"), format.share(lostShare));
    setText(part("stat-round-trip"), format.milliseconds(roundTripS));
    setText(part("stat-buffer"), format.seconds(bufferedAhead(video)));
    setText(
      part("stat-fps"),
      format.frameRate(this.#shownPerSecond(quality.totalVideoFrames - quality.droppedVideoFrames)),
    );
    setText(part("stat-speed"), `${video.playbackRate}×`);
    setText(part("stat-stalls"), format.count(this.#stalls));
    setText(part("stat-dropped"), format.count(quality.droppedVideoFrames));
    setText(
      part("stat-watched"),
      this.#began > 0 ? format.duration(performance.now() - this.#began) : "–",
    );
    setAttribute(part("go-live"), "data-live", String(atEdge && !video.paused));
  }

  /** @param {number} total @returns {number | null} the mean of the last seconds */
  #shownPerSecond(total) {
    this.#frames.push({ total, atMs: performance.now() });
    if (this.#frames.length > FRAME_SAMPLES) this.#frames.shift();
    const [first, last] = [this.#frames[0], this.#frames[this.#frames.length - 1]];
    if (this.#video.videoWidth === 0 || last.atMs === first.atMs) return null;
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
