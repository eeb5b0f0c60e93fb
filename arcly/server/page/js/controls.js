// Play, sound, "live" and full screen for the <video>, as real buttons below the picture. They
// only follow the element's own events, so they are right whoever changed it.

import { part, setAttribute, setVisible } from "./dom.js";

export class Controls {
  /** @type {HTMLVideoElement} */
  #video = part("video");
  /** @type {HTMLInputElement} */
  #volume = part("volume");
  #toggle = part("play-toggle");
  #mute = part("mute-toggle");
  #unmute = part("unmute");
  #bigPlay = part("big-play");
  #onGoLive;
  #hasAudio = true;
  #started = false;

  /** @param {() => void} onGoLive */
  constructor(onGoLive) {
    this.#onGoLive = onGoLive;
    this.#toggle.addEventListener("click", () =>
      this.#video.paused ? this.play() : this.#video.pause(),
    );
    this.#bigPlay.addEventListener("click", () => this.play());
    this.#mute.addEventListener("click", () => this.#setMuted(!this.#video.muted));
    this.#unmute.addEventListener("click", () => {
      this.#setMuted(false);
      this.#mute.focus({ preventScroll: true }); // the button that had the focus goes away
    });
    this.#volume.addEventListener("input", () => {
      this.#video.volume = Number(this.#volume.value);
      this.#setMuted(this.#video.volume === 0);
    });
    part("go-live").addEventListener("click", () => this.play());
    part("fullscreen").addEventListener("click", () => this.toggleFullscreen());
    for (const event of ["play", "pause", "volumechange"]) {
      this.#video.addEventListener(event, () => this.#render());
    }
    this.#render();
  }

  /**
   * A new stream: start it, muted if that is the only way the browser allows it.
   * @returns {Promise<boolean>} false: the viewer has to press play
   */
  async start() {
    this.#started = true;
    const error = await this.#tryPlay();
    if (!isNotAllowed(error)) return true;
    if (!this.#video.muted) {
      this.#video.muted = true; // a page may begin with sound only after the viewer has touched it
      if (!isNotAllowed(await this.#tryPlay())) return true;
    }
    this.#render();
    return false;
  }

  /** Nothing to play: no button over the picture. */
  stop() {
    this.#started = false;
    this.#render();
  }

  /** The viewer wants to see what is live now, not what was on when they paused. */
  play() {
    this.#onGoLive();
    this.#tryPlay();
  }

  /** @returns {Promise<unknown>} what stopped it; a fault of the stream is told by the source */
  #tryPlay() {
    return this.#video.play().then(
      () => null,
      (error) => error,
    );
  }

  /** @param {boolean} hasAudio */
  setHasAudio(hasAudio) {
    this.#hasAudio = hasAudio;
    this.#render();
  }

  toggleMuted() {
    this.#setMuted(!this.#video.muted);
  }

  toggleFullscreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (this.#video.requestFullscreen) return this.#video.requestFullscreen().catch(() => {});
    // @ts-expect-error iPhones know only this one
    return this.#video.webkitEnterFullscreen?.();
  }

  /** @param {boolean} muted */
  #setMuted(muted) {
    if (!muted && this.#video.volume === 0) this.#video.volume = 1;
    this.#video.muted = muted;
  }

  #render() {
    const { paused, muted, volume } = this.#video;
    this.#show(this.#toggle, paused, paused ? "Play" : "Pause");
    this.#show(this.#mute, muted, muted ? "Unmute" : "Mute");
    this.#volume.value = String(muted ? 0 : volume);
    setVisible(this.#bigPlay, this.#started && paused);
    setVisible(this.#unmute, this.#started && this.#hasAudio && muted && !paused);
  }

  /** @param {HTMLElement} button @param {boolean} alternate @param {string} label */
  #show(button, alternate, label) {
    setAttribute(button, "data-alternate", String(alternate));
    setAttribute(button, "aria-label", label);
  }
}

/** @param {unknown} error */
const isNotAllowed = (error) => error instanceof DOMException && error.name === "NotAllowedError";
