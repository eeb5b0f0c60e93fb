// Numbers and names as a person reads them. Unknown is an en dash, never "NaN" or "null".

const NONE = "–";

/** @typedef {{id: number, kind: string, codec: string, rfc6381: string, width?: number,
 *   height?: number, fps?: number | null, reorder?: number | null, sample_rate_hz?: number, channels?: number}} Track */

const CODEC_NAMES = new Map([
  ["H264", "H.264"],
  ["H265", "H.265"],
  ["H266", "H.266"],
  ["AC3", "AC-3"],
  ["EAC3", "E-AC-3"],
]);

/** @param {number | null | undefined} bps */
export function bitrate(bps) {
  if (!Number.isFinite(bps)) return NONE;
  const rate = Number(bps);
  if (rate < 999_500) return `${Math.round(rate / 1e3)} kb/s`;
  return `${(rate / 1e6).toFixed(rate < 99.95e6 ? 2 : 0)} Mb/s`;
}

/** @param {number} n */
export function bytes(n) {
  if (n < 999_500) return `${Math.round(n / 1e3)} kB`;
  return n < 999.5e6 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`;
}

/** @param {number | null | undefined} fps */
export function frameRate(fps) {
  return Number.isFinite(fps) ? `${Number(Number(fps).toFixed(2))} fps` : NONE;
}

/** @param {number | null | undefined} s */
export function seconds(s) {
  return Number.isFinite(s) ? `${Math.max(0, Number(s)).toFixed(1)} s` : NONE;
}

/** @param {number | null | undefined} s */
export function milliseconds(s) {
  return Number.isFinite(s) ? `${Math.round(Number(s) * 1000)} ms` : NONE;
}

/** @param {number | null | undefined} share of 1 */
export function share(share) {
  return Number.isFinite(share) ? `${(Number(share) * 100).toFixed(1)} %` : NONE;
}

/** @param {number | null | undefined} n */
export function count(n) {
  return Number.isFinite(n) ? Number(n).toLocaleString("en") : NONE;
}

/** @param {number} ms @returns {string} `4:05`, `1:04:05` or `2d 3h` */
export function duration(ms) {
  const total = Math.max(0, Math.floor(ms / 1000));
  const [days, hours] = [Math.floor(total / 86_400), Math.floor(total / 3600) % 24];
  const [minutes, secs] = [Math.floor(total / 60) % 60, total % 60];
  if (days > 0) return `${days}d ${hours}h`;
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(secs)}` : `${minutes}:${two(secs)}`;
}

/** @param {number} n */
export const frames = (n) => `${count(n)} ${n === 1 ? "frame" : "frames"}`;

/** @param {Track[]} tracks @returns {string} `H.265 and AC3` */
export const codecs = (tracks) =>
  tracks.map(({ codec }) => CODEC_NAMES.get(codec) ?? codec).join(" and ");

/** @param {Track[]} tracks @returns {string} `H.264 1280×720 · AAC 48 kHz stereo` */
export function tracks(tracks) {
  return tracks.map(track).join(" · ") || "No media yet";
}

/** @param {Track} t */
function track(t) {
  const name = CODEC_NAMES.get(t.codec) ?? t.codec;
  if (t.kind === "video") return [name, size(t.width, t.height)].filter(Boolean).join(" ");
  if (t.kind === "audio") {
    return [name, sampleRate(t.sample_rate_hz), channels(t.channels)].filter(Boolean).join(" ");
  }
  return name;
}

/** @param {number | undefined} width @param {number | undefined} height */
export function size(width, height) {
  return width && height ? `${width}×${height}` : "";
}

/** @param {number | undefined} hz */
function sampleRate(hz) {
  return hz ? `${Number((hz / 1000).toFixed(2))} kHz` : "";
}

/** @param {number | undefined} n */
function channels(n) {
  return n ? ({ 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" }[n] ?? `${n} ch`) : "";
}
