// The player: one stream, from "not live yet" over playing to "has ended" and back again.
//
// Two things drive it. The status feed says whether the stream is live and which publish it is
// (`since_ms`: a publisher that comes back has a new one); the source says what happens in this
// browser. A way that does not get to play (FLV behind a proxy that will not pass it on, say) is given
// up for the rest of this publish, and the next one is taken; one that has played is tried again while the
// server cannot be reached at all. States:
//
//   closed · offline (never seen live) · starting (live, first segment not ready) · loading ·
//   playing ⇄ buffering, paused · reconnecting · ended · failed (needs the viewer: unsupported, undecodable)

import { Controls } from "./controls.js";
import { makeCopyButton } from "./copy.js";
import { find, part, setAttribute, setText, setVisible } from "./dom.js";
import { Rewind } from "./rewind.js";
import { CREDENTIALS, streamKey, streamPath } from "./route.js";
import { openSource } from "./source.js";
import { PlayerStats, bufferedAhead } from "./stats.js";
import { WAYS, WAY_NAMES, WayChooser, choices, isEndless } from "./ways.js";

/** @typedef {import("./status.js").StreamInfo} StreamInfo */
/** @typedef {import("./status.js").Status["listeners"]} Listeners */
/** @typedef {import("./ways.js").Way} Way */
/** @typedef {import("./route.js").Target} Target */
/** @typedef {import("./source.js").Fault} Fault */
/** @typedef {{state: string, title: string, detail?: string, action?: Action}} View */
/** @typedef {{label: string, run: () => void}} Action */

const MAX_RETRY_MS = 8000;
const STEADY_MS = 10_000; // playing for so long ends a series of failures
const MAX_MEDIA_FAULTS = 3;
const MAX_MISSES = 3; // of a way that has played, while the server answers
const STALL_SHOWN_AFTER_MS = 500; // shorter stalls are not worth a spinner
const TAIL_S = 0.3; // less than this left of an ended stream is nothing to wait for
const ENDED_RETRY_MS = 3000; // it ended here, but the server says that it goes on

/** @type {Record<string, string>} */
const LINK_LABELS = {
  page: "address of this page",
  hls: "HLS address",
  flv: "FLV address",
  rtmp: "RTMP address",
  rtsp: "RTSP address",
  srt: "SRT address",
  ffplay: "ffplay command",
};

export class Player {
  #root = part("player");
  /** @type {HTMLVideoElement} */
  #video = part("video");
  #controls = new Controls(() => this.#source?.goLive());
  #stats = new PlayerStats(this.#video);
  #rewind = new Rewind((s) => this.#source?.goBack(s));
  #ways = new WayChooser((way) => this.#choose(way));
  #onPublish;

  /** @type {Target | null} */
  #target = null;
  /** @type {StreamInfo | null} the newest word of the server; null: not live */
  #info = null;
  /** @type {import("./source.js").Source | null} */
  #source = null;
  #session = 0; // `since_ms` of the publish that is, or was last, played
  /** @type {Way | null} the viewer's wish */
  #wish = null;
  /** @type {Way | null} that is, or was last, played */
  #way = null;
  /** @type {Map<Way, string>} ways that did not play this publish, and why */
  #refused = new Map();
  #tracks = 0; // that there were when it began
  /** @type {Set<Way>} ways that have played this publish */
  #played = new Set();
  #isHeard = false; // the server, since the last fault
  #misses = 0;
  #failures = 0;
  #mediaFaults = 0;
  #retryTimer = 0;
  #stallTimer = 0;
  #steadyTimer = 0;
  /** @type {Action | null} */
  #action = null;

  /** @param {{onClose: () => void, onPublish: (target: Target) => void}} handlers */
  constructor({ onClose, onPublish }) {
    this.#onPublish = onPublish;
    part("close").addEventListener("click", onClose);
    part("player-action").addEventListener("click", () => this.#action?.run());
    this.#video.addEventListener("playing", () => this.#onPlaying());
    this.#video.addEventListener("waiting", () => this.#onWaiting());
    this.#video.addEventListener("pause", () => this.#onPause());
    this.#video.addEventListener("ended", () => this.#end());
    this.#bindKeys(onClose);
    for (const what of Object.keys(LINK_LABELS)) {
      const text = part(`url-${what}`);
      makeCopyButton(part(`copy-${what}`), LINK_LABELS[what], () => text.textContent ?? "");
    }
    setInterval(() => this.#tick(), 1000);
  }

  get target() {
    return this.#target;
  }

  /** @param {Target} target */
  open(target) {
    this.#drop();
    this.#target = target;
    this.#info = null;
    this.#session = 0;
    this.#failures = this.#mediaFaults = this.#misses = 0;
    this.#ways.hide();
    setText(find("#player-title bdi"), streamKey(target));
    setAttribute(find("#player-title"), "title", streamKey(target));
    showLinks(target, `${streamPath(target)}index.m3u8`, null);
    this.#show({ state: "loading", title: "Loading" });
    setVisible(this.#root, true);
  }

  close() {
    this.#drop();
    this.#target = null;
    setAttribute(this.#root, "data-state", "closed");
    setVisible(this.#root, false);
    if (document.fullscreenElement) document.exitFullscreen();
  }

  /** Bring the player into view and the keyboard to it. */
  focus() {
    this.#root.focus({ preventScroll: true });
    this.#root.scrollIntoView({ block: "nearest" });
  }

  /**
   * Once for every answer of the server.
   * @param {StreamInfo | null} info null: not live @param {Listeners | null} listeners
   */
  update(info, listeners) {
    const wasListed = this.#info !== null;
    this.#info = info;
    this.#isHeard = true;
    if (!this.#target) return;
    if (!info) return this.#notLive();
    showLinks(info, info.hls, listeners);
    this.#controls.setHasAudio(info.tracks.some(({ kind }) => kind === "audio"));
    setAttribute(
      this.#root,
      "data-picture",
      String(info.tracks.some(({ kind }) => kind === "video")),
    );
    // What ended while the list left its stream out, as it does where nobody could say who may play, begins again.
    const isInHand = info.since_ms === this.#session && (wasListed || this.#source !== null);
    if (isInHand && !this.#hasOtherTracks(info)) return;
    if (info.tracks.length > 0 && info.hls) this.#play(info);
    else if (!this.#source) this.#showStarting();
  }

  /**
   * A track that joins later is no part of an endless stream that has begun, and may play where the others do not.
   * @param {StreamInfo} info
   */
  #hasOtherTracks(info) {
    const begunWithout = this.#way !== null && (isEndless(this.#way) || this.#source === null);
    return begunWithout && info.tracks.length !== this.#tracks;
  }

  /** @param {StreamInfo} info */
  #play(info) {
    this.#drop();
    if (info.since_ms !== this.#session) this.#forgetWays();
    this.#session = info.since_ms;
    this.#tracks = info.tracks.length;
    const { way, path, why } = this.#bestChoice(info);
    if (why !== "") return this.#fail(`${why} VLC and ffplay can.`);
    this.#source = openSource(way, this.#video, location.origin + path + CREDENTIALS, (...fault) =>
      this.#onFault(...fault),
    );
    this.#show({ state: "loading", title: "Loading" });
    this.#stats.start(this.#source);
    this.#start(this.#source);
  }

  /** HLS where there is none: it says why. @param {StreamInfo} info */
  #bestChoice(info) {
    const all = choices(info);
    const able = all.filter(({ way, why }) => why === "" && !this.#refused.has(way));
    const wished = able.find(({ way }) => way === this.#wish);
    const whole = able.find(({ lacks }) => lacks === "");
    const best = wished ?? whole ?? able[0] ?? all[WAYS.indexOf("hls")];
    this.#way = best.way;
    const notes = [...this.#refused].map(
      ([way, why]) => `${WAY_NAMES[way]} did not play (${why}).`,
    );
    this.#ways.render(all, best.way, notes.join(" "));
    return best;
  }

  /** @param {Way} way */
  #choose(way) {
    this.#wish = way;
    this.#refused.delete(way);
    if (this.#info) this.#play(this.#info);
  }

  /** @param {import("./source.js").Source} source */
  async #start(source) {
    await source.ready;
    if (source !== this.#source) return;
    const started = await this.#controls.start();
    if (!started && source === this.#source) this.#show({ state: "paused", title: "Press play" });
  }

  #notLive() {
    if (this.#source) return; // what is loaded plays to its end; #tick sees it
    const wasLive = this.#session !== 0;
    if (wasLive) this.#showEnded();
    else this.#showOffline();
  }

  #end() {
    this.#drop();
    this.#showEnded();
    if (this.#info) this.#retryTimer = setTimeout(() => this.#retry(), ENDED_RETRY_MS);
  }

  #tick() {
    if (!this.#source) return;
    this.#stats.render(this.#info);
    this.#rewind.render(this.#source.windowS(), this.#source.measure().latencyS ?? 0);
    // Native players do not always say `ended`, and a playlist that has gone says nothing at all. WebRTC says
    // goodbye, and has nothing ahead at any time.
    const isSilent = this.#way !== "whep" && !this.#video.paused;
    if (!this.#info && isSilent && bufferedAhead(this.#video) < TAIL_S) this.#end();
  }

  #onPlaying() {
    if (!this.#source) return;
    if (this.#way) this.#played.add(this.#way);
    clearTimeout(this.#stallTimer);
    clearTimeout(this.#steadyTimer);
    this.#steadyTimer = setTimeout(() => (this.#failures = this.#mediaFaults = this.#misses = 0), STEADY_MS);
    this.#show({ state: "playing", title: "Live" });
  }

  #onWaiting() {
    if (!this.#source || this.#root.dataset.state !== "playing") return;
    clearTimeout(this.#steadyTimer);
    clearTimeout(this.#stallTimer);
    this.#stallTimer = setTimeout(
      () => this.#show({ state: "buffering", title: "Buffering" }),
      STALL_SHOWN_AFTER_MS,
    );
  }

  #onPause() {
    const byViewer = this.#source && this.#video.paused && !this.#video.ended;
    if (byViewer) this.#show({ state: "paused", title: "Paused" });
  }

  /** @param {Fault} fault @param {string} detail */
  #onFault(fault, detail) {
    this.#drop();
    if (!this.#info) return this.#notLive();
    if (fault === "goodbye" && this.#way && this.#played.has(this.#way)) return this.#end();
    if (fault === "missing")
      return this.#fail("This browser has no way to play HLS. VLC and ffplay do.");
    const often = fault === "media" && ++this.#mediaFaults >= MAX_MEDIA_FAULTS;
    const missed = this.#isHeard && ++this.#misses >= MAX_MISSES;
    this.#isHeard = false;
    if (this.#way && this.#way !== "hls" && (often || missed || !this.#played.has(this.#way))) {
      this.#mediaFaults = this.#misses = 0;
      this.#refused.set(this.#way, detail);
      return this.#play(this.#info);
    }
    if (often) {
      return this.#fail(`This browser cannot play what the publisher sends (${detail}).`);
    }
    this.#retryLater();
  }

  #retryLater() {
    const delayMs = Math.min(MAX_RETRY_MS, 1000 * 2 ** this.#failures++);
    this.#show({
      state: "reconnecting",
      title: "The stream cannot be reached",
      detail: `Trying again in ${delayMs / 1000} s`,
    });
    this.#retryTimer = setTimeout(() => this.#retry(), delayMs);
  }

  #retry() {
    if (!this.#info) return; // it has ended meanwhile
    this.#play(this.#info);
  }

  #forgetWays() {
    this.#refused.clear();
    this.#played.clear();
    this.#misses = 0;
  }

  /** Stop playing and loading; the veil stays as it is. */
  #drop() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stallTimer);
    clearTimeout(this.#steadyTimer);
    this.#stats.stop();
    this.#rewind.hide();
    this.#controls.stop();
    this.#source?.destroy();
    this.#source = null;
    this.#video.pause();
  }

  #showStarting() {
    this.#show({
      state: "starting",
      title: "Going live",
      detail: "Waiting for the first seconds of video",
    });
  }

  #showEnded() {
    this.#show({
      state: "ended",
      title: "The stream has ended",
      detail: "It plays again by itself when the publisher returns.",
    });
  }

  #showOffline() {
    const target = this.#target;
    if (!target) return;
    const action = { label: "How to publish it", run: () => this.#onPublish(target) };
    this.#show({
      state: "offline",
      title: "Not live right now",
      detail: "It plays by itself as soon as somebody publishes it.",
      action,
    });
  }

  /** @param {string} detail */
  #fail(detail) {
    const action = { label: "Try again", run: () => (this.#forgetWays(), this.#retry()) };
    this.#show({ state: "failed", title: "This stream does not play here", detail, action });
  }

  /** @param {View} view */
  #show({ state, title, detail = "", action }) {
    this.#action = action ?? null;
    setAttribute(this.#root, "data-state", state);
    setText(part("player-state"), title);
    setText(find(".veil-title"), title);
    setText(find(".veil-detail"), detail);
    setText(part("player-action"), action?.label ?? "");
    setVisible(part("player-action"), action !== undefined);
    part("player-controls").inert = this.#source === null;
    setVisible(part("player-veil"), !["playing", "paused"].includes(state));
  }

  /** @param {() => void} onClose */
  #bindKeys(onClose) {
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
      if (!this.#target || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape" && !document.fullscreenElement) onClose();
      else if (event.key === "m") this.#controls.toggleMuted();
      else if (event.key === "f") this.#controls.toggleFullscreen();
    });
  }
}

/** @param {Target} target @param {string | null} hls @param {Listeners | null} listeners */
function showLinks(target, hls, listeners) {
  const path = streamPath(target);
  const url = location.origin + (hls ?? `${path}index.m3u8`) + CREDENTIALS;
  setText(part("url-page"), location.origin + path + CREDENTIALS);
  setText(part("url-hls"), url);
  setText(part("url-flv"), `${location.origin}${path.replace(/\/$/, "")}.flv${CREDENTIALS}`);
  // The URL standard leaves no ' in a query, so that a shell reads it whole.
  setText(part("url-ffplay"), CREDENTIALS ? `ffplay '${url}'` : `ffplay ${url}`);
  const key = streamKey(target);
  showListener("rtmp", listeners?.rtmp, (host) => `rtmp://${host}/${key}${CREDENTIALS}`);
  showListener("rtsp", listeners?.rtsp, (host) => `rtsp://${host}/${key}${CREDENTIALS}`);
  // Credentials of SRT stand in the stream id, in a form of their own.
  const srt = CREDENTIALS ? null : listeners?.srt;
  showListener("srt", srt, (host) => `srt://${host}?streamid=read:${key}`);
}

/** @param {string} what @param {{port: number} | null | undefined} listener @param {(host: string) => string} url */
function showListener(what, listener, url) {
  setVisible(part(`link-${what}`), Boolean(listener));
  if (listener) setText(part(`url-${what}`), url(`${location.hostname}:${listener.port}`));
}
