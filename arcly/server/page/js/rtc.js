// Offer and answer with this server over HTTP: WHIP (RFC 9725) to publish, WHEP to watch. The server
// is at one public address and says so in its answer, so no candidates are gathered or trickled first.

const ANSWER_WITHIN_MS = 15_000;

/**
 * @param {RTCPeerConnection} connection that knows what it sends or wants
 * @param {string} url
 * @returns {Promise<{session: string, layer: string | null}>} where the session can be ended, and, of a
 *   viewer of several renditions, where it says which one is sent
 */
export async function negotiate(connection, url) {
  const { sdp } = await connection.createOffer();
  await connection.setLocalDescription({ type: "offer", sdp: inStereo(sdp ?? "") });
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/sdp" },
    body: connection.localDescription?.sdp,
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const text = await response.text();
  if (response.status !== 201) throw new Error(text.trim() || `status ${response.status}`);
  const session = new URL(response.headers.get("location") ?? "", response.url).href;
  if (connection.signalingState === "closed") {
    fetch(session, { method: "DELETE" }).catch(() => {});
    throw new Error("it was ended meanwhile");
  }
  await connection.setRemoteDescription({ type: "answer", sdp: text });
  const layer = response.headers.get("x-arcly-layer");
  return { session, layer: layer && new URL(layer, response.url).href };
}

/**
 * Tells when a negotiated connection is lost: at once where the server says goodbye, which ends DTLS, else when it has
 * been away for so long. "disconnected" may pass by itself (W3C WebRTC, RTCPeerConnectionState).
 * @param {RTCPeerConnection} connection @param {number} awayMs @param {(byGoodbye: boolean) => void} onLost
 */
export function watchLoss(connection, awayMs, onLost) {
  // One of several may be left over from before they were bundled, and closed.
  const transports = new Set(connection.getTransceivers().flatMap(({ sender }) => sender.transport ?? []));
  let timer = 0;
  const lose = (/** @type {boolean} */ byGoodbye) => {
    if (connection.signalingState !== "closed") onLost(byGoodbye); // else it is this browser that has ended it
  };
  const look = () => {
    clearTimeout(timer);
    const byGoodbye = transports.size > 0 && [...transports].every(({ state }) => state === "closed");
    if (byGoodbye) return lose(true);
    if (connection.connectionState === "disconnected") timer = setTimeout(() => lose(false), awayMs);
  };
  connection.addEventListener("connectionstatechange", look);
  for (const transport of transports) transport.addEventListener("statechange", look);
}

/**
 * An offer that says that Opus may be of two channels: without it Chromium plays both as one (RFC 7587 §6.1).
 * @param {string} sdp
 */
export function inStereo(sdp) {
  const opus = /^a=rtpmap:(\d+) opus\//im.exec(sdp)?.[1];
  const parameters = new RegExp(`^(a=fmtp:${opus} )(?!(?:.*;)? *stereo=)`, "gm");
  return opus ? sdp.replace(parameters, "$1stereo=1;") : sdp;
}

/**
 * The codecs of a stream that this browser does not take over WebRTC.
 * @param {import("./format.js").Track[]} tracks @param {"receive" | "send"} way
 */
export function unknownCodecs(tracks, way) {
  const side = way === "receive" ? globalThis.RTCRtpReceiver : globalThis.RTCRtpSender;
  return tracks.filter(({ kind, codec }) => {
    const known = side?.getCapabilities?.(kind)?.codecs ?? [];
    const name = NAMES[codec] ?? codec;
    return !known.some(({ mimeType }) => mimeType.toLowerCase() === `${kind}/${name}`.toLowerCase());
  });
}

/** @type {Record<string, string>} of ours, as RTP says them */
const NAMES = { G711A: "PCMA", G711U: "PCMU" };
