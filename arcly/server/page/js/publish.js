// What to type into an encoder so that it publishes here.

import { Broadcast } from "./broadcast.js";
import { makeCopyButton } from "./copy.js";
import { part, setAttribute, setText, setVisible } from "./dom.js";
import { streamKey, streamPath, targetOfKey } from "./route.js";

/** @typedef {import("./route.js").Target} Target */

const DEFAULT_APP = "live";

// The server takes more than this; these are the names that need no quoting in a shell, in a URL
// or in a settings dialog.
const PLAIN_SEGMENT = /^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$/;

export class PublishPanel {
  /** @type {HTMLInputElement} */
  #input = part("publish-name");
  #hint = part("publish-hint");
  #port = 0;
  #broadcast = new Broadcast(() => parseName(this.#input.value));

  constructor() {
    for (const what of Object.keys(LABELS)) {
      const text = part(what);
      makeCopyButton(part(`copy-${what}`), LABELS[what], () => text.textContent ?? "");
    }
    this.#input.addEventListener("input", () => this.#render());
  }

  /** @param {import("./status.js").Status["listeners"]} listeners */
  setListeners({ rtmp, webrtc }) {
    this.#broadcast.setServed(Boolean(webrtc));
    setVisible(part("publish-on"), Boolean(rtmp ?? webrtc));
    setVisible(part("publish-off"), !rtmp && !webrtc);
    setVisible(part("publish-rtmp"), Boolean(rtmp));
    if (!rtmp || rtmp.port === this.#port) return;
    this.#port = rtmp.port;
    this.#render();
  }

  /** Bring the panel into view, filled in for `target`. @param {Target | null} target */
  show(target) {
    if (target) this.#input.value = nameOf(target);
    this.#render();
    part("publish-panel").scrollIntoView({ block: "start" });
    this.#input.focus({ preventScroll: true });
    this.#input.select();
  }

  #render() {
    const target = parseName(this.#input.value);
    setAttribute(this.#input, "aria-invalid", String(target === null));
    if (!target) {
      setText(this.#hint, "Letters, digits, dot, dash and underscore, please.");
      return; // the snippets keep the last good name
    }
    const server = `rtmp://${location.hostname}:${this.#port}/${target.app}`;
    const url = `${server}/${target.stream}`;
    setText(this.#hint, `Plays at ${location.origin}${streamPath(target)}`);
    setText(part("obs-server"), server);
    setText(part("obs-key"), target.stream);
    setCommand(part("ffmpeg-file"), `ffmpeg -re -i clip.mp4 -c copy -f flv ${url}`);
    setCommand(part("ffmpeg-test"), `${TEST_PICTURE} -f flv ${url}`);
  }
}

/** @type {Record<string, string>} */
const LABELS = {
  "obs-server": "server address",
  "obs-key": "stream key",
  "ffmpeg-file": "FFmpeg command for a file",
  "ffmpeg-test": "FFmpeg command for a test picture",
};

const TEST_PICTURE = [
  "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=25 -f lavfi -i sine=frequency=440",
  "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 50 -b:v 2M -c:a aac",
].join(" ");

/**
 * Write a command so that it wraps between options only.
 * @param {HTMLElement} node @param {string} command
 */
function setCommand(node, command) {
  const words = command.split(/ (?=-(?!i )|rtmp:)/).map((word) => {
    const span = document.createElement("span");
    span.textContent = word;
    return span;
  });
  node.replaceChildren(...words.flatMap((span) => [span, " "]).slice(0, -1));
}

/** @param {string} text `cam`, or `app/cam` for another app @returns {Target | null} */
function parseName(text) {
  const name = text.trim();
  const target = targetOfKey(name.includes("/") ? name : `${DEFAULT_APP}/${name}`);
  const plain =
    target &&
    streamKey(target)
      .split("/")
      .every((part) => PLAIN_SEGMENT.test(part));
  return plain ? target : null;
}

/** @param {Target} target */
function nameOf(target) {
  return target.app === DEFAULT_APP ? target.stream : streamKey(target);
}
