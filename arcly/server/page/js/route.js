// Where a stream lives: `/app/stream/` is its page. The app may have several segments
// (`/live/studio/cam/`); the last segment is the stream.

/** @typedef {{app: string, stream: string}} Target */

/** What the page was opened with: the password or token of who may play what stands there, `?token=…`. */
export const CREDENTIALS = location.search;

/** @param {Target} target */
export const streamKey = ({ app, stream }) => `${app}/${stream}`;

/** @param {Target} target @returns {string} the path of the stream's page */
export function streamPath(target) {
  return `/${streamKey(target).split("/").map(encodeURIComponent).join("/")}/`;
}

/** @param {string} pathname @returns {Target | null} null for every other page */
export function targetOfPath(pathname) {
  const key = decode(pathname.replace(/^\/|\/$/g, ""));
  return key === null ? null : targetOfKey(key);
}

/** @param {string} key @returns {Target | null} */
export function targetOfKey(key) {
  const segments = key.split("/");
  if (segments.length < 2 || segments.some((segment) => segment === "")) return null;
  return { app: segments.slice(0, -1).join("/"), stream: segments[segments.length - 1] };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null; // "%zz": not a name that anything of ours has made
  }
}
