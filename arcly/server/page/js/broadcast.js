// Publishing from this browser: the camera, the screen, or a test picture, by WHIP.

import { part, setAttribute, setText, setVisible } from "./dom.js";
import { negotiate, watchLoss } from "./rtc.js";
import { testPicture } from "./picture.js";
import { CREDENTIALS, streamPath } from "./route.js";

/** @typedef {import("./route.js").Target} Target */
/** @typedef {"camera" | "screen" | "test"} Kind */
/** @typedef {{media: MediaStream, stop: () => void}} Taken */

const VIDEO_BPS_MAX = 4_000_000;
const CONNECT_WITHIN_MS = 15_000; // where nothing comes through, browsers go on trying for long
const AWAY_MAX_MS = 15_000;

/** @type {Record<string, string>} what a person can do about a refusal of the browser */
const REFUSALS = {
  NotAllowedError: "This browser was not allowed to use it. Allow it in the address bar, then try again.",
  NotFoundError: "There is no camera or microphone here.",
  NotReadableError: "Another program is using it.",
  OverconstrainedError: "The camera cannot do what was asked for.",
  SecurityError: "This browser allows it only on pages that come over HTTPS, or from localhost.",
  AbortError: "It stopped working.",
};

export class Broadcast {
  #button = part("broadcast-toggle");
  #state = part("broadcast-state");
  /** @type {HTMLVideoElement} */
  #preview = part("broadcast-preview");
  #targetOf;
  /** @type {Taken | null} */
  #taken = null;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {string | null} */
  #session = null;
  #connectTimer = 0;

  /** @param {() => Target | null} targetOf what the name field says */
  constructor(targetOf) {
    this.#targetOf = targetOf;
    this.#button.addEventListener("click", () => (this.#connection ? this.#stop("") : this.#start()));
    addEventListener("pagehide", () => this.#stop(""));
    this.#show("");
  }

  /** @param {boolean} isServed */
  setServed(isServed) {
    setVisible(part("broadcast"), isServed && "RTCPeerConnection" in globalThis);
  }

  async #start() {
    const target = this.#targetOf();
    if (!target) return this.#show("Give the stream a name first.", true);
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    this.#show("Waiting for this browser to let it happen");
    try {
      this.#taken = await take(this.#kind());
      if (connection !== this.#connection) return this.#release();
      this.#preview.srcObject = this.#taken.media;
      this.#preview.play().catch(() => {});
      for (const track of this.#taken.media.getTracks()) {
        send(connection, track, this.#taken.media);
        // The person has ended it in the browser's own bar.
        track.addEventListener("ended", () => this.#stop("It was ended in the browser."));
      }
      connection.addEventListener("connectionstatechange", () => this.#onState(connection, target));
      this.#show("Connecting");
      ({ session: this.#session } = await negotiate(connection, `${streamPath(target)}whip${CREDENTIALS}`));
      this.#connectTimer = setTimeout(() => this.#onNothing(connection), CONNECT_WITHIN_MS);
      watchLoss(connection, AWAY_MAX_MS, (byGoodbye) => this.#onLost(connection, byGoodbye));
    } catch (error) {
      if (connection === this.#connection) this.#stop(reasonOf(error), true);
    }
  }

  /** @param {RTCPeerConnection} connection @param {Target} target */
  #onState(connection, target) {
    if (connection !== this.#connection) return;
    const state = connection.connectionState;
    if (state === "connected") {
      clearTimeout(this.#connectTimer);
      this.#show(`Live as ${target.app}/${target.stream}`);
    }
    if (state === "failed") this.#stop("No way for UDP or TCP to the server.", true);
    if (state === "disconnected") this.#show("Nothing comes through, waiting for the network");
  }

  /** @param {RTCPeerConnection} connection @param {boolean} byGoodbye */
  #onLost(connection, byGoodbye) {
    if (connection !== this.#connection) return;
    this.#stop(byGoodbye ? "The server has ended it." : "The server cannot be reached any more.", true);
  }

  /** @param {RTCPeerConnection} connection */
  #onNothing(connection) {
    if (connection !== this.#connection || connection.connectionState === "connected") return;
    this.#stop("No way for UDP or TCP to the server.", true);
  }

  /** @param {string} why @param {boolean} [isFault] */
  #stop(why, isFault = false) {
    if (!this.#connection) return;
    clearTimeout(this.#connectTimer);
    this.#connection.close();
    this.#connection = null;
    if (this.#session) fetch(this.#session, { method: "DELETE", keepalive: true }).catch(() => {});
    this.#session = null;
    this.#release();
    this.#show(why, isFault);
  }

  #release() {
    this.#taken?.media.getTracks().forEach((track) => track.stop());
    this.#taken?.stop();
    this.#taken = null;
    this.#preview.srcObject = null;
  }

  /** @param {string} text @param {boolean} [isFault] */
  #show(text, isFault = false) {
    const runs = this.#connection !== null;
    setText(this.#state, text);
    setAttribute(this.#state, "data-fault", String(isFault));
    setText(this.#button, runs ? "Stop" : "Go live");
    setAttribute(part("broadcast"), "data-live", String(runs));
    setVisible(this.#preview, this.#preview.srcObject !== null);
  }

  /** @returns {Kind} */
  #kind() {
    /** @type {HTMLSelectElement} */
    const select = part("broadcast-source");
    return /** @type {Kind} */ (select.value);
  }
}

/** @param {Kind} kind @returns {Promise<Taken>} */
async function take(kind) {
  if (kind === "test") return testPicture();
  // Over plain HTTP browsers leave this out altogether.
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  const media =
    kind === "screen"
      ? await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: true })
      : await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 }, audio: true });
  return { media, stop() {} };
}

/** @param {RTCPeerConnection} connection @param {MediaStreamTrack} track @param {MediaStream} media */
function send(connection, track, media) {
  const transceiver = connection.addTransceiver(track, { direction: "sendonly", streams: [media] });
  if (track.kind !== "video") return;
  preferH264(transceiver);
  const { sender } = transceiver;
  const parameters = sender.getParameters();
  if (parameters.encodings?.length > 0) parameters.encodings[0].maxBitrate = VIDEO_BPS_MAX;
  // A change of size is a change of the stream for everybody who watches it otherwise than by WebRTC.
  Object.assign(parameters, { degradationPreference: "maintain-resolution" });
  sender.setParameters(parameters).catch(() => {}); // a wish
}

/** Every way in which a stream can be watched carries H.264. @param {RTCRtpTransceiver} transceiver */
function preferH264(transceiver) {
  const codecs = RTCRtpSender.getCapabilities?.("video")?.codecs ?? [];
  const isH264 = (/** @type {{mimeType: string}} */ { mimeType }) => mimeType === "video/H264";
  if (!codecs.some(isH264)) return;
  const preferred = [...codecs.filter(isH264), ...codecs.filter((codec) => !isH264(codec))];
  transceiver.setCodecPreferences?.(preferred);
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof DOMException) return REFUSALS[error.name] ?? error.message;
  return error instanceof Error ? error.message : String(error);
}
