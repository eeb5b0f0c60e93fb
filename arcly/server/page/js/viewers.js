// Who watches the stream in the player: asked for with each answer of the status feed, as long as
// the player is open. Where the server lets everybody do so, each can be disconnected.

import { find, part, setAttribute, setText, setVisible, stamp } from "./dom.js";
import * as format from "./format.js";
import { LinkTable } from "./links.js";
import { CREDENTIALS, streamKey } from "./route.js";

/** @typedef {import("./route.js").Target} Target */
/** @typedef {{id: string, protocol: string, peer: string | null, agent: string, since_ms: number,
 *   bytes: number, frames: number, dropped: number, lag_frames: number}} Viewer */
/** @typedef {import("./links.js").Link} Link */
/** @typedef {{total: number, may_kick: boolean, viewers: Viewer[], srt: Link[]}} Answer */

const ANSWER_WITHIN_MS = 4000;

/** @type {Record<string, string>} */
const PROTOCOLS = { rtmp: "RTMP", srt: "SRT", "http-flv": "FLV", "http-ts": "TS", "http-mp4": "MP4" };

export class ViewerTable {
  #root = part("viewers");
  #body = part("viewer-rows");
  #links = new LinkTable();
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #key = "";
  #asking = false;

  /** @param {Target} target @param {number} watching all, those over HLS included @param {number} serverNowMs */
  async refresh(target, watching, serverNowMs) {
    const key = streamKey(target);
    if (key !== this.#key) this.#show({ total: 0, may_kick: false, viewers: [], srt: [] }, 0, serverNowMs);
    this.#key = key;
    if (this.#asking) return;
    this.#asking = true;
    const answer = await ask(key).catch(() => null);
    this.#asking = false;
    if (answer && key === this.#key) this.#show(answer, watching, serverNowMs);
  }

  close() {
    this.#key = "";
    setVisible(this.#root, false);
    this.#links.show([]);
  }

  /** @param {Answer} answer @param {number} watching @param {number} serverNowMs */
  #show({ total, may_kick, viewers, srt }, watching, serverNowMs) {
    this.#links.show(srt);
    setVisible(this.#root, true);
    setText(part("viewer-count"), format.count(Math.max(total, watching)));
    setText(part("viewer-note"), note(total, viewers.length, Math.max(0, watching - total)));
    setVisible(part("viewer-note"), part("viewer-note").textContent !== "");
    setVisible(part("viewer-table"), viewers.length > 0);
    setAttribute(this.#root, "data-may-kick", String(may_kick));
    this.#dropAllBut(new Set(viewers.map(({ id }) => id)));
    for (const viewer of viewers) this.#row(viewer).update(viewer, serverNowMs);
  }

  /** @param {Viewer} viewer */
  #row(viewer) {
    const known = this.#rows.get(viewer.id);
    if (known) return known;
    const row = new Row(viewer);
    this.#rows.set(viewer.id, row);
    this.#body.append(row.element);
    return row;
  }

  /** @param {Set<string>} ids */
  #dropAllBut(ids) {
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
  }
}

class Row {
  #bytes = NaN;
  #atMs = 0;

  /** @param {Viewer} viewer */
  constructor(viewer) {
    const fragment = stamp("viewer-row");
    this.element = find("tr", fragment);
    this.#set("viewer-protocol", PROTOCOLS[viewer.protocol] ?? viewer.protocol);
    this.#set("viewer-peer", viewer.peer ?? "not shown");
    part("viewer-peer", this.element).title = viewer.agent;
    /** @type {HTMLButtonElement} */
    const button = part("viewer-kick", this.element);
    button.setAttribute("aria-label", `Disconnect ${viewer.peer ?? viewer.id}`);
    button.addEventListener("click", async () => {
      button.disabled = true; // a viewer that is gone takes its row with it
      button.disabled = await kick(viewer.id).catch(() => false);
    });
  }

  /** @param {Viewer} viewer @param {number} serverNowMs */
  update({ since_ms, bytes, dropped, lag_frames }, serverNowMs) {
    const nowMs = performance.now();
    this.#set("viewer-since", format.duration(serverNowMs - since_ms));
    this.#set(
      "viewer-bitrate",
      format.bitrate(((bytes - this.#bytes) * 8000) / (nowMs - this.#atMs)),
    );
    this.#set("viewer-lag", format.frames(lag_frames));
    this.#set("viewer-skipped", format.count(dropped));
    [this.#bytes, this.#atMs] = [bytes, nowMs];
  }

  /** @param {string} id @param {string} text */
  #set(id, text) {
    setText(part(id, this.element), text);
  }
}

/** @param {number} total @param {number} shown @param {number} overHls */
function note(total, shown, overHls) {
  if (total > shown) return `The newest ${shown} of ${format.count(total)} connections.`;
  if (overHls === 0) return total === 0 ? "Nobody but the publisher is here." : "";
  return `${total === 0 ? "" : "And "}${format.count(overHls)} over HLS, which holds no connection.`;
}

/** @param {string} key @returns {Promise<Answer>} */
async function ask(key) {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const response = await fetch(`/api/viewers${CREDENTIALS || "?"}&stream=${encodeURIComponent(key)}`, {
    cache: "no-store",
    signal,
  });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

/** @param {string} id @returns {Promise<boolean>} */
async function kick(id) {
  const path = `/api/viewers/${encodeURIComponent(id)}/kick`;
  return (await fetch(path, { method: "POST", headers: { "x-arcly-kick": "1" } })).ok;
}
