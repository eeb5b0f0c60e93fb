"""Scripts for a page: publishes a canvas by WHIP in one codec or several, watches by WHEP, and tells what came."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from playwright.async_api import Page, Route

NEGOTIATE = """async (pc, url, transports = ["udp", "tcp"], port = null) => {
  await pc.setLocalDescription(await pc.createOffer());
  const headers = { "content-type": "application/sdp" };
  const response = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp });
  const answer = await response.text();
  const isOther = line => line.startsWith("a=candidate:") && !transports.includes(line.split(" ")[2]);
  const toPort = line => line.replace(/^(a=candidate:(?:\\S+ ){5})(\\d+)/, (_, head, own) => head + (port ?? own));
  const sdp = answer.split("\\r\\n").filter(line => !isOther(line)).map(toPort).join("\\r\\n");
  if (response.status !== 201) throw new Error(`${response.status} ${sdp}`);
  await pc.setRemoteDescription({ type: "answer", sdp });
  return { pc, session: new URL(response.headers.get("location"), response.url).href, sdp,
           etag: response.headers.get("etag"), note: response.headers.get("x-arcly-note") };
}"""

PUBLISH = (
    """async ([url, codec, sendEncodings = [{}]]) => {
  const negotiate = """
    + NEGOTIATE
    + """;
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const context = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${3 * count++} 80% 50%)`;
    context.fillRect(0, 0, 640, 360);
  }, 33);
  const audio = new AudioContext();
  const [tone, output] = [audio.createOscillator(), audio.createMediaStreamDestination()];
  tone.connect(output);
  tone.start();
  const pc = new RTCPeerConnection();
  const [picture] = canvas.captureStream(30).getVideoTracks();
  const video = pc.addTransceiver(picture, { direction: "sendonly", sendEncodings });
  const { codecs } = RTCRtpSender.getCapabilities("video");
  const wanted = [codec, "rtx"].flat().map(it => `video/${it}`.toLowerCase());
  const rank = ({ mimeType }) => wanted.indexOf(mimeType.toLowerCase());
  video.setCodecPreferences(codecs.filter(it => rank(it) >= 0).sort((a, b) => rank(a) - rank(b)));
  pc.addTransceiver(output.stream.getAudioTracks()[0], { direction: "sendonly" });
  globalThis.published = await negotiate(pc, url);
}"""
)

WATCH = (
    """async ([url, transports, port]) => {
  const negotiate = """
    + NEGOTIATE
    + """;
  const pc = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  video.srcObject = new MediaStream();
  document.body.append(video);
  pc.addEventListener("track", ({ track }) => video.srcObject.addTrack(track));
  const began = performance.now();
  globalThis.watched = await negotiate(pc, url, transports, port);
  const shown = new Promise(done => video.requestVideoFrameCallback(() => done(performance.now() - began)));
  globalThis.watched.firstFrameMs = await shown;
  return { note: watched.note, firstFrameMs: watched.firstFrameMs };
}"""
)

RECEIVED = """async () => {
  const told = {};
  for (const it of (await watched.pc.getStats()).values()) {
    if (it.type !== "inbound-rtp") continue;
    told[it.kind] = {
      decoded: it.framesDecoded ?? 0,
      packets: it.packetsReceived,
      lost: it.packetsLost,
      repeated: it.retransmittedPacketsReceived ?? 0,
      delay_s: it.jitterBufferDelay / it.jitterBufferEmittedCount,
    };
  }
  return { ...told, state: watched.pc.connectionState };
}"""


NOTE_CONNECTIONS = """
  globalThis.connectionStates = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      this.addEventListener("connectionstatechange", () => connectionStates.push(this.connectionState));
    }
  };
"""


async def come_through(page: Page, port: int) -> None:
    """Let the answers that the page gets name this port of a relay, for UDP alone, and note states of connections."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        sdp = re.sub(r"(a=candidate:\S+ 1 udp \d+ \S+) \d+", rf"\1 {port}", await response.text())
        lines = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate:") or " udp " in line]
        await route.fulfill(response=response, body="\r\n".join(lines))

    await page.add_init_script(NOTE_CONNECTIONS)
    await page.route(re.compile(r"/(whip|whep)$"), answer)


async def received(page: Page, decoded: int, within_s: float = 60, packets: int = 0) -> dict[str, Any]:
    """Wait until so many pictures were decoded, and packets of sound came; return what the browser says of them."""
    told: dict[str, Any] = {}
    async with asyncio.timeout(within_s):
        while told.get("video", {}).get("decoded", 0) < decoded or told.get("audio", {}).get("packets", 0) < packets:
            await asyncio.sleep(0.1)
            told = await page.evaluate(RECEIVED)
    return told
