// What the pages of the bench do: watch by HLS or WHEP, publish a clock by WHIP, and write down how old each picture is.

/** Ages of the pictures that were shown, and pictures whose clock could not be read. */
globalThis.seen = { agesMs: /** @type {number[]} */ ([]), unread: 0 };

const note = (/** @type {HTMLVideoElement} */ video) => {
  const age = ageMs(video);
  if (age === null) seen.unread++;
  else seen.agesMs.push(age);
  video.requestVideoFrameCallback(() => note(video));
};

function newVideo() {
  const video = Object.assign(document.createElement("video"), { muted: true, autoplay: true });
  document.body.append(video);
  video.requestVideoFrameCallback(() => note(video));
  return video;
}

/** As arcly's page plays it (server/page/js/hls.js). */
globalThis.watchHls = async (/** @type {string} */ url) => {
  const { chase } = await import("/static/js/chase.js");
  const hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1, liveDurationInfinity: true });
  const video = newVideo();
  hls.loadSource(url);
  hls.attachMedia(video);
  chase(hls, video);
};

const negotiate = async (/** @type {RTCPeerConnection} */ pc, /** @type {string} */ url) => {
  await pc.setLocalDescription(await pc.createOffer());
  const headers = { "content-type": "application/sdp" };
  const response = await fetch(url, { method: "POST", headers, body: pc.localDescription?.sdp });
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  globalThis.connection = pc; // else it is collected
};

globalThis.watchWhep = async (/** @type {string} */ url) => {
  const pc = new RTCPeerConnection();
  const video = newVideo();
  const stream = new MediaStream();
  video.srcObject = stream;
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
  pc.addEventListener("track", ({ track }) => stream.addTrack(track));
  await negotiate(pc, url);
};

globalThis.publishWhip = async (/** @type {string} */ url) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  document.body.append(canvas);
  const context = canvas.getContext("2d", { alpha: false });
  let count = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${count++} 60% 50%)`;
    context.fillRect(0, 40, 640, 320);
    drawBarcode(context, Date.now());
  }, 1000 / 30);
  const pc = new RTCPeerConnection();
  const [track] = canvas.captureStream().getVideoTracks();
  pc.addTransceiver(track, { direction: "sendonly" });
  await negotiate(pc, url);
};
