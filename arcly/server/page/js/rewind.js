// Going back in what the server still has, where the way allows it: HLS and DASH.

import { part, setAttribute, setVisible } from "./dom.js";
import * as format from "./format.js";

const SHOWN_FROM_S = 20; // every playlist has some seconds, which nobody goes back for

/** @param {HTMLVideoElement} video @returns {number} seconds that can be gone back */
export function windowS({ seekable }) {
  const last = seekable.length - 1;
  return last < 0 ? 0 : seekable.end(last) - seekable.start(last);
}

/** @param {HTMLVideoElement} video @param {number} s behind the newest that can be had */
export function goBack(video, s) {
  const last = video.seekable.length - 1;
  if (last >= 0)
    video.currentTime = Math.max(video.seekable.start(last) + 1, video.seekable.end(last) - s);
}

export class Rewind {
  /** @type {HTMLInputElement} */
  #range = part("rewind");
  #isHeld = false;

  /** @param {(s: number) => void} onGoBack */
  constructor(onGoBack) {
    this.#range.addEventListener("input", () => {
      this.#isHeld = true;
      this.#label();
    });
    this.#range.addEventListener("change", () => {
      this.#isHeld = false;
      onGoBack(-Number(this.#range.value));
    });
  }

  /** @param {number} windowS @param {number} behindS */
  render(windowS, behindS) {
    setVisible(this.#range, windowS >= SHOWN_FROM_S);
    if (this.#isHeld) return; // under the viewer's finger
    setAttribute(this.#range, "min", String(-Math.floor(windowS)));
    this.#range.value = String(-Math.round(behindS));
    this.#label();
  }

  hide() {
    this.#isHeld = false;
    setVisible(this.#range, false);
  }

  #label() {
    const behindS = -Number(this.#range.value);
    const said = behindS < 1 ? "live" : `${format.seconds(behindS)} ago`;
    setAttribute(this.#range, "aria-valuetext", said);
    setAttribute(this.#range, "title", `Go back: ${said}`);
  }
}
