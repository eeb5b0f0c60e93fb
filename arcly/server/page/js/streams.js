// The list of live streams. Rows are kept by stream key and only what differs is written, so
// nothing flickers, focus and selection stay where they are, and a click never misses its row.

import { makeCopyButton } from "./copy.js";
import { find, part, setAttribute, setText, setVisible, stamp } from "./dom.js";
import * as format from "./format.js";
import { CREDENTIALS, streamKey, streamPath } from "./route.js";

/** @typedef {import("./status.js").StreamInfo} StreamInfo */
/** @typedef {import("./route.js").Target} Target */

export class StreamList {
  #list = part("stream-list");
  #empty = part("empty-state");
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #onOpen;

  /** @param {(target: Target) => void} onOpen */
  constructor(onOpen) {
    this.#onOpen = onOpen;
  }

  /**
   * @param {StreamInfo[]} streams @param {number} serverNowMs
   */
  render(streams, serverNowMs) {
    const sorted = [...streams].sort(byName);
    this.#dropAllBut(new Set(sorted.map(streamKey)));
    sorted.forEach((info, index) => {
      const row = this.#row(info);
      row.update(info, serverNowMs);
      if (this.#list.children[index] !== row.element) {
        this.#list.insertBefore(row.element, this.#list.children[index] ?? null);
      }
    });
    setVisible(this.#list, sorted.length > 0);
    setVisible(this.#empty, sorted.length === 0);
    setText(part("stream-count"), sorted.length > 0 ? String(sorted.length) : "");
    setText(part("stream-totals"), totals(sorted));
  }

  /** @param {Target | null} target the stream in the player */
  markPlaying(target) {
    for (const [key, row] of this.#rows) {
      row.markPlaying(target !== null && key === streamKey(target));
    }
  }

  /** @param {Target} target */
  focus(target) {
    this.#rows.get(streamKey(target))?.link.focus();
  }

  /** @param {StreamInfo} info */
  #row(info) {
    const known = this.#rows.get(streamKey(info));
    if (known) return known;
    const row = new Row(info, this.#onOpen);
    this.#rows.set(streamKey(info), row);
    return row;
  }

  /** @param {Set<string>} keys */
  #dropAllBut(keys) {
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
  }
}

class Row {
  /** @param {StreamInfo} info @param {(target: Target) => void} onOpen */
  constructor(info, onOpen) {
    const target = { app: info.app, stream: info.stream };
    const fragment = stamp("stream-row");
    this.element = find("li", fragment);
    this.link = /** @type {HTMLAnchorElement} */ (part("stream-name", fragment));
    this.hls = info.hls;
    this.element.dataset.key = streamKey(target);
    this.link.href = streamPath(target) + CREDENTIALS;
    this.link.title = streamKey(target);
    setText(find(".app", fragment), `${info.app}/`);
    setText(find(".name", fragment), info.stream);
    this.link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return; // a new tab
      event.preventDefault();
      onOpen(target);
    });
    /** @type {HTMLButtonElement} */
    this.copy = part("copy-stream", fragment);
    makeCopyButton(this.copy, `HLS address of ${streamKey(target)}`, () => this.hlsUrl());
  }

  hlsUrl() {
    return location.origin + (this.hls ?? "") + CREDENTIALS;
  }

  /** @param {StreamInfo} info @param {number} serverNowMs */
  update(info, serverNowMs) {
    this.hls = info.hls;
    this.#set("stream-format", format.tracks(info.tracks));
    this.#set("stream-bitrate", format.bitrate(info.bitrate_bps));
    this.#set("stream-fps", format.frameRate(info.fps));
    this.#set("stream-viewers", format.count(info.viewers));
    this.#set("stream-uptime", format.duration(serverNowMs - info.since_ms));
    this.copy.disabled = info.hls === null;
  }

  /** @param {boolean} playing */
  markPlaying(playing) {
    setAttribute(this.link, "aria-current", String(playing));
  }

  /** @param {string} id @param {string} text */
  #set(id, text) {
    setText(part(id, this.element), text);
  }
}

/** @param {StreamInfo[]} streams */
function totals(streams) {
  if (streams.length === 0) return "";
  const viewers = streams.reduce((sum, { viewers }) => sum + viewers, 0);
  const bps = streams.reduce((sum, { bitrate_bps }) => sum + bitrate_bps, 0);
  return `${format.count(viewers)} ${viewers === 1 ? "viewer" : "viewers"} · ${format.bitrate(bps)} in`;
}

/** @param {StreamInfo} a @param {StreamInfo} b */
function byName(a, b) {
  return streamKey(a).localeCompare(streamKey(b), "en", { numeric: true });
}
