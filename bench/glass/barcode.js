// A clock in the picture: the time of day in milliseconds as a row of black and white blocks, which survives any
// encoder and any size. barcode.py draws the same.

const BLOCKS = 32; // white, black, 24 bits of time, 6 of checksum, the highest first
const [TIME_BITS, SUM_BITS] = [24, 6];
const WRAP_MS = 2 ** TIME_BITS;
const CONTRAST_MIN = 64;
// Where the blocks are read: one pixel of each is looked at.
const [WIDTH, HEIGHT] = [BLOCKS * 8, 8];

/** Four groups of six bits, added up. */
function checksum(/** @type {number} */ ms) {
  let sum = 0;
  for (let shift = 0; shift < TIME_BITS; shift += SUM_BITS) sum += (ms >> shift) & 63;
  return sum & 63;
}

/**
 * Draws the time into the upper ninth of a canvas.
 * @param {CanvasRenderingContext2D} context @param {number} unixMs
 */
function drawBarcode(context, unixMs) {
  const ms = Math.round(unixMs) % WRAP_MS;
  const code = ms * 2 ** SUM_BITS + checksum(ms);
  const { width, height } = context.canvas;
  const block = width / BLOCKS;
  for (let index = 0; index < BLOCKS; index++) {
    const bit = TIME_BITS + SUM_BITS - 1 - (index - 2);
    const isWhite = index === 0 || (index > 1 && Math.floor(code / 2 ** bit) % 2 === 1);
    context.fillStyle = isWhite ? "#fff" : "#000";
    context.fillRect(Math.round(index * block), 0, Math.ceil(block), Math.round(height / 9));
  }
}

const reading = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
const read = reading.getContext("2d", { willReadFrequently: true });

/**
 * How old the picture is that the video shows, in milliseconds; null where there is no barcode in it.
 * @param {HTMLVideoElement} video
 */
function ageMs(video) {
  const now = Date.now();
  if (!read || !video.videoWidth) return null;
  read.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 9, 0, 0, WIDTH, HEIGHT);
  const { data } = read.getImageData(0, HEIGHT / 2, WIDTH, 1);
  const levels = Array.from({ length: BLOCKS }, (_, index) => data[4 * (8 * index + 4)]);
  const [white, black, ...rest] = levels;
  if (white - black < CONTRAST_MIN) return null;
  const bits = rest.map(level => (level > (white + black) / 2 ? 1 : 0));
  const number = (/** @type {number[]} */ some) => some.reduce((sum, bit) => sum * 2 + bit, 0);
  const [ms, sum] = [number(bits.slice(0, TIME_BITS)), number(bits.slice(TIME_BITS))];
  return checksum(ms) === sum ? ((now % WRAP_MS) - ms + WRAP_MS) % WRAP_MS : null;
}
