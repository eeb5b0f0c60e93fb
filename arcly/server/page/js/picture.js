// A test picture with a clock, and a tone that beeps with it every second.

/** @typedef {import("./broadcast.js").Taken} Taken */

const [WIDTH, HEIGHT, FRAMES_PER_S] = [1280, 720, 30];
const BEEP_S = 0.1;

/** @returns {Taken} */
export function testPicture() {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const audio = new AudioContext();
  audio.resume().catch(() => {});
  const [tone, volume] = [audio.createOscillator(), audio.createGain()];
  const output = audio.createMediaStreamDestination();
  volume.gain.value = 0;
  tone.connect(volume).connect(output);
  tone.start();
  let second = 0;
  const draw = () => {
    const nowMs = Date.now();
    if (Math.floor(nowMs / 1000) !== second) {
      second = Math.floor(nowMs / 1000);
      volume.gain.setValueAtTime(0.2, audio.currentTime);
      volume.gain.setValueAtTime(0, audio.currentTime + BEEP_S);
    }
    paint(context, nowMs);
  };
  draw();
  // A timer, not an animation frame: those stand still in a tab that is not seen.
  const timer = setInterval(draw, 1000 / FRAMES_PER_S);
  const media = canvas.captureStream(FRAMES_PER_S);
  output.stream.getAudioTracks().forEach((track) => media.addTrack(track));
  return {
    media,
    stop() {
      clearInterval(timer);
      audio.close();
    },
  };
}

/** @param {CanvasRenderingContext2D} context @param {number} nowMs */
function paint(context, nowMs) {
  const stripes = 8;
  for (let i = 0; i < stripes; i++) {
    context.fillStyle = `hsl(${(360 * i) / stripes + nowMs / 50} 70% 45%)`;
    context.fillRect((WIDTH * i) / stripes, 0, WIDTH / stripes, HEIGHT);
  }
  context.fillStyle = nowMs % 1000 < BEEP_S * 1000 ? "#fff" : "#0b0e0d";
  context.fillRect(WIDTH / 2 - 330, HEIGHT / 2 - 90, 660, 150);
  context.fillStyle = nowMs % 1000 < BEEP_S * 1000 ? "#0b0e0d" : "#fff";
  context.font = "bold 110px monospace";
  context.textAlign = "center";
  context.fillText(new Date(nowMs).toISOString().slice(14, 22), WIDTH / 2, HEIGHT / 2 + 25);
}
