// Asks the server once a second what is live. A hidden tab asks nothing; a server that does not
// answer is asked less and less often, but always again.

import { CREDENTIALS } from "./route.js";

/** @typedef {import("./format.js").Track} Track */
/** @typedef {{app: string, stream: string, protocol: string, peer: string | null,
 *   since_ms: number, tracks: Track[], bitrate_bps: number, fps: number | null, viewers: number,
 *   whep: string | null, whep_opus?: boolean, whep_b_frames?: string | null, hls: string | null, dash: string | null, flv: string | null, ts: string | null,
 *   mp4: string | null}} StreamInfo */
/** @typedef {{version: string, recordings?: boolean, hides?: boolean, listeners: {rtmp: {port: number} | null,
 *   rtsp: {port: number} | null, srt: {port: number} | null, http: {port: number} | null, webrtc: {port: number} | null}, streams: StreamInfo[]}} Status */

const INTERVAL_MS = 1000;
const MAX_RETRY_MS = 5000;
const ANSWER_WITHIN_MS = 4000;

/**
 * @param {(status: Status, serverNowMs: number) => void} onStatus
 * @param {() => void} onUnreachable called for every question without an answer
 */
export function followStatus(onStatus, onUnreachable) {
  let timer = 0;
  let failures = 0;
  let round = 0; // an answer to a question of an earlier round comes too late

  async function ask() {
    const mine = ++round;
    clearTimeout(timer);
    const answer = await fetchStatus().catch(() => null);
    if (mine !== round || document.hidden) return;
    failures = answer ? 0 : failures + 1;
    timer = setTimeout(ask, answer ? INTERVAL_MS : retryDelay(failures));
    if (answer) onStatus(answer.status, answer.serverNowMs);
    else onUnreachable();
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
    else clearTimeout(timer);
  });
  ask();
}

/** @param {number} failures */
function retryDelay(failures) {
  return Math.min(MAX_RETRY_MS, INTERVAL_MS * 2 ** (failures - 1));
}

async function fetchStatus() {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const response = await fetch(`/api/streams${CREDENTIALS}`, { cache: "no-store", signal });
  if (!response.ok) throw new Error(`status ${response.status}`);
  /** @type {Status} */
  const status = await response.json();
  // Uptimes are told by the server's clock: the viewer's may be minutes off.
  const date = Date.parse(response.headers.get("date") ?? "");
  return { status, serverNowMs: Number.isNaN(date) ? Date.now() : date };
}
