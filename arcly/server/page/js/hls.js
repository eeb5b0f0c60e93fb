// HLS: by hls.js wherever Media Source Extensions exist, else by the browser's own player (iPhones).

import { chase } from "./chase.js";
import { goBack, windowS } from "./rewind.js";
import { loadScript } from "./script.js";

/** @typedef {import("./source.js").OnFault} OnFault */
/** @typedef {import("./source.js").Playback} Playback */

// From so many target durations behind on jump: after a laptop's sleep, say. It is still inside the window
// of six. Not in HLS_CONFIG: hls.js takes it there only with a distance to the edge, and that is the playlist's.
const JUMP_COUNT = 5;

const HLS_CONFIG = {
  // Parts, as soon as they are made. How far behind the edge to stay is the playlist's to say (PART-HOLD-BACK).
  lowLatencyMode: true,
  // Later than that: chase.js wins it back, and hls.js leaves the rate alone.
  maxLiveSyncPlaybackRate: 1,
  // Tells the browser that the stream has no end, so that no total time is shown for it.
  liveDurationInfinity: true,
  // Memory: no more than that is loaded ahead, and kept behind for a viewer who goes back a little.
  maxBufferLength: 20,
  backBufferLength: 30,
};

const RECOVERY_WINDOW_MS = 10_000;
const BITRATE_SEGMENTS = 4;
const EDGE_S = 2; // this much later than it should be is still live
const NATIVE_EDGE_S = 20; // Safari sits at about three target durations

/**
 * @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Promise<() => Playback>}
 */
export async function openHls(video, url, onFault) {
  // @ts-expect-error ManagedMediaSource is Safari's
  if (globalThis.ManagedMediaSource ?? globalThis.MediaSource) await loadScript("hls.min.js");
  // @ts-expect-error a classic script has defined it
  const { Hls } = globalThis;
  if (Hls?.isSupported()) return () => openHlsJs(Hls, video, url, onFault);
  if (video.canPlayType("application/vnd.apple.mpegurl")) {
    return () => openNative(video, url, onFault);
  }
  return () => {
    queueMicrotask(() => onFault("missing", "neither Media Source Extensions nor native HLS"));
    return NO_PLAYBACK;
  };
}

/** @type {Playback} */
const NO_PLAYBACK = {
  measure: () => ({ latencyS: null, bitrateBps: null, atEdge: false }),
  goLive() {},
  windowS: () => 0,
  goBack() {},
  destroy() {},
};

/**
 * @param {any} Hls @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Playback}
 */
function openHlsJs(Hls, video, url, onFault) {
  const hls = new Hls(HLS_CONFIG);
  hls.config.liveMaxLatencyDurationCount = JUMP_COUNT;
  const segments = /** @type {{bits: number, s: number}[]} */ ([]);

  hls.on(Hls.Events.FRAG_LOADED, (/** @type {string} */ _event, /** @type {any} */ { frag }) => {
    segments.push({ bits: frag.stats.total * 8, s: frag.duration });
    if (segments.length > BITRATE_SEGMENTS) segments.shift();
  });

  listenForFaults(Hls, hls, onFault);
  hls.loadSource(url);
  hls.attachMedia(video);
  const stopChasing = chase(hls, video);

  return {
    measure: () => ({
      latencyS: hls.latency || null, // 0: not known yet
      bitrateBps: meanBitrate(segments),
      atEdge: hls.latency > 0 && hls.latency < (hls.targetLatency ?? 0) + EDGE_S,
    }),
    goLive() {
      hls.config.liveMaxLatencyDurationCount = JUMP_COUNT;
      if (hls.liveSyncPosition !== null) video.currentTime = hls.liveSyncPosition;
    },
    windowS: () => windowS(video),
    goBack(s) {
      hls.config.liveMaxLatencyDurationCount = Infinity; // until the viewer wants to see what is live
      goBack(video, s);
    },
    destroy() {
      stopChasing();
      hls.destroy();
    },
  };
}

/** Tells what hls.js does not get over. @param {any} Hls @param {any} hls @param {OnFault} onFault */
export function listenForFaults(Hls, hls, onFault) {
  let recoveredAt = -Infinity;
  hls.on(Hls.Events.ERROR, (/** @type {string} */ _event, /** @type {any} */ error) => {
    if (!error.fatal) return; // hls.js tries again by itself
    const media = error.type === Hls.ErrorTypes.MEDIA_ERROR;
    // Where no rendition is left, recovering begins nothing: it would be silent for ever.
    const isOver = error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR;
    if (media && !isOver && performance.now() - recoveredAt > RECOVERY_WINDOW_MS) {
      recoveredAt = performance.now();
      hls.recoverMediaError(); // a new decoder, the same position
      return;
    }
    const network = error.type === Hls.ErrorTypes.NETWORK_ERROR;
    onFault(media ? "media" : network ? "network" : "other", error.details);
  });
}

/**
 * @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {Playback}
 */
function openNative(video, url, onFault) {
  const edge = () =>
    video.seekable.length > 0 ? video.seekable.end(video.seekable.length - 1) : null;
  const close = openInBrowser(video, url, onFault);
  return {
    measure() {
      const end = edge();
      const latencyS = end === null ? null : end - video.currentTime;
      return { latencyS, bitrateBps: null, atEdge: latencyS !== null && latencyS < NATIVE_EDGE_S };
    },
    goLive() {
      const end = edge();
      if (end !== null) video.currentTime = end; // Safari itself keeps its distance
    },
    windowS: () => windowS(video),
    goBack: (s) => goBack(video, s),
    destroy: close,
  };
}

/**
 * @param {HTMLVideoElement} video @param {string} url @param {OnFault} onFault
 * @returns {() => void} what ends it
 */
export function openInBrowser(video, url, onFault) {
  const listening = new AbortController();
  const onError = () => {
    const decode = video.error?.code === MediaError.MEDIA_ERR_DECODE;
    onFault(decode ? "media" : "network", video.error?.message ?? "");
  };
  video.addEventListener("error", onError, { signal: listening.signal });
  video.src = url;
  return () => {
    listening.abort();
    video.removeAttribute("src");
    video.load();
  };
}

/** @param {{bits: number, s: number}[]} segments */
function meanBitrate(segments) {
  const s = segments.reduce((sum, segment) => sum + segment.s, 0);
  const bits = segments.reduce((sum, segment) => sum + segment.bits, 0);
  return s > 0 ? bits / s : null;
}
