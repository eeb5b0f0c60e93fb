// What was recorded: a list, and a player below the row that is played.

import { announce } from "./copy.js";
import { find, part, setAttribute, setText, setVisible, stamp } from "./dom.js";
import * as format from "./format.js";
import { listenForFaults, openInBrowser } from "./hls.js";
import { CREDENTIALS } from "./route.js";
import { loadScript } from "./script.js";

/** @typedef {{id: number, app: string, stream: string, format: string, state: string, began_unix_ms: number,
 *   duration_s: number, bytes: number, gaps: number, may_change: boolean}} Recording */

const LOOK_MS = 5_000;
const LISTED_MAX = 1000;
const ANSWERS_MAX = 10; // of a look: behind thousands of streams that may not be played there may be some that may
const ANSWER_WITHIN_MS = 120_000; // thousands of questions to an authenticator may be behind it
const HEADERS = { "x-arcly-record": "1" };

/** @type {Record<string, string>} by what is at fault */
const WHY = {
  media: "this browser cannot play what was recorded",
  network: "it cannot be reached",
};

export class RecordingList {
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map();
  #lookedMs = -Infinity;
  #looking = false;
  /** @type {number | null} */
  #playing = null;
  #round = 0; // of playing: what has been waited for may come in another
  /** @type {(() => void) | null} ends what is played */
  #end = null;

  constructor() {
    part("recording-close").addEventListener("click", () => this.#close());
  }

  /** Look again, at times. @param {boolean} available whether this server records anything */
  refresh(available) {
    if (!available || this.#looking || performance.now() - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = performance.now();
    this.#looking = true;
    const looked = () => {
      this.#looking = false;
      // A look may take longer than what is between two: the authenticator has a rest all the same.
      if (this.#lookedMs > -Infinity) this.#lookedMs = performance.now();
    };
    this.#fetch().then(looked, looked); // where it failed, the next look is soon
  }

  async #fetch() {
    /** @type {Recording[]} */
    const found = [];
    let query = CREDENTIALS;
    let more = true;
    for (let asked = 0; more && found.length < LISTED_MAX && asked < ANSWERS_MAX; asked++) {
      const answer = await fetch(`/api/recordings${query}`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      if (!answer.ok) return;
      const said = await answer.json();
      found.push(...said.recordings);
      more = said.more;
      // Rows are there as soon as they are found; what is listed already waits for the whole look.
      if (more && found.length > this.#rows.size) this.#render(found, more);
      query = `${CREDENTIALS || "?"}&before=${said.before}&limit=${LISTED_MAX - found.length}`;
    }
    this.#render(found, more);
  }

  /** @param {Recording[]} recordings @param {boolean} more whether there are older ones, which are not listed */
  #render(recordings, more) {
    const list = part("recording-list");
    const ids = new Set(recordings.map(({ id }) => id));
    const oldest = more ? Math.min(...ids) : 0;
    for (const [id, row] of this.#rows) {
      if (ids.has(id) || (id < oldest && this.#playing === id)) continue;
      row.remove();
      this.#rows.delete(id);
      if (this.#playing === id) this.#close();
    }
    recordings.forEach((recording, index) => {
      const row = this.#rows.get(recording.id) ?? this.#add(recording);
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
      this.#fill(row, recording);
    });
    setText(part("recording-count"), recordings.length ? `${recordings.length}${more ? "+" : ""}` : "");
    setVisible(part("recordings"), recordings.length > 0);
  }

  /** @param {Recording} recording */
  #add(recording) {
    const row = find("li", stamp("recording-row"));
    const base = `/recordings/id:${recording.id}/`;
    setText(find(".app", row), `${recording.app}/`);
    setText(find(".name", row), recording.stream);
    const link = part("recording-name", row);
    setAttribute(link, "href", `${base}index.m3u8${CREDENTIALS}`);
    link.addEventListener("click", (event) => {
      event.preventDefault();
      this.#play(recording.id, base, `${recording.app}/${recording.stream}`);
    });
    setAttribute(part("recording-download", row), "href", `${base}clip.mp4${CREDENTIALS}`);
    part("recording-delete", row).addEventListener("click", () => this.#delete(recording.id));
    this.#rows.set(recording.id, row);
    return row;
  }

  /** @param {HTMLElement} row @param {Recording} recording */
  #fill(row, recording) {
    const began = new Date(recording.began_unix_ms).toLocaleString();
    const gaps = recording.gaps === 1 ? "1 gap" : `${recording.gaps} gaps`;
    const goesOn = recording.state !== "ended";
    const said = [began, goesOn ? recording.state : "", recording.gaps ? gaps : ""];
    setText(part("recording-format", row), said.filter(Boolean).join(" · "));
    setText(part("recording-length", row), format.duration(recording.duration_s * 1000));
    setText(part("recording-size", row), format.bytes(recording.bytes));
    setVisible(part("recording-delete", row), recording.may_change && !goesOn);
    setAttribute(part("recording-name", row), "aria-current", String(this.#playing === recording.id));
  }

  /** @param {number} id @param {string} base @param {string} title */
  async #play(id, base, title) {
    this.#close();
    const round = this.#round;
    this.#playing = id;
    const video = /** @type {HTMLVideoElement} */ (part("recording-video"));
    setText(part("recording-title"), title);
    setVisible(part("recording-player"), true);
    try {
      await loadPlayer();
    } catch {
      if (round === this.#round) this.#fail(`${title} cannot be played: its player could not be loaded`);
      return;
    }
    if (round !== this.#round) return; // closed meanwhile, or another is played
    this.#end = open(video, `${base}index.m3u8${CREDENTIALS}`, (fault, detail) =>
      this.#fail(`${title} cannot be played: ${WHY[fault] ?? "its player gave up"} (${detail})`),
    );
    video.scrollIntoView({ block: "nearest" });
    video.play().catch(() => {}); // the browser wants a click: there are controls
  }

  /** @param {string} text */
  #fail(text) {
    setText(part("recording-title"), text);
    announce(text);
  }

  #close() {
    this.#round++;
    this.#end?.();
    this.#end = null;
    this.#playing = null;
    setVisible(part("recording-player"), false);
  }

  /** @param {number} id */
  async #delete(id) {
    if (!confirm("Delete this recording and its files?")) return;
    const answer = await fetch(`/api/recordings/${id}${CREDENTIALS}`, { method: "DELETE", headers: HEADERS });
    if (!answer.ok) announce(`Not deleted: ${answer.statusText}`);
    this.#lookedMs = -Infinity;
  }
}

async function loadPlayer() {
  // @ts-expect-error ManagedMediaSource is Safari's
  if (globalThis.ManagedMediaSource ?? globalThis.MediaSource) await loadScript("hls.min.js");
}

/**
 * @param {HTMLVideoElement} video @param {string} url @param {import("./source.js").OnFault} onFault
 * @returns {() => void} what ends it
 */
function open(video, url, onFault) {
  // @ts-expect-error a classic script has defined it
  const { Hls } = globalThis;
  if (!Hls?.isSupported()) return openInBrowser(video, url, onFault);
  const hls = new Hls({ startPosition: 0 }); // one that goes on, too, is played from its beginning
  listenForFaults(Hls, hls, onFault);
  hls.loadSource(url);
  hls.attachMedia(video);
  return () => hls.destroy();
}
