// Winning back what a viewer of HLS is late by. A viewer begins at a key picture, so up to a key frame interval late; and hls.js
// itself plays faster only while more than a second is buffered, which is more than low latency leaves.

/** Faster by so much nobody hears it. */
const RATE = 1.1;
/** Later than the playlist asks for (PART-HOLD-BACK) by so much is on time. */
const ON_TIME_S = 0.05;
/** Who is later by more went back on purpose. */
const LIVE_S = 2;
/** So much is kept ahead: three parts of 200 ms, and what one of them may be late by. */
const AHEAD_S = 0.75;

/**
 * Until the function that it returns is called.
 *
 * @param {{latency: number, targetLatency: number | null}} hls @param {HTMLVideoElement} video
 * @returns {() => void}
 */
export function chase(hls, video) {
  const look = () => {
    const late = hls.latency > 0 && hls.targetLatency ? hls.latency - hls.targetLatency : 0;
    const isLate = late > ON_TIME_S && late < LIVE_S && aheadS(video) > AHEAD_S;
    const rate = isLate ? RATE : 1;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  };
  video.addEventListener("timeupdate", look);
  return () => {
    video.removeEventListener("timeupdate", look);
    video.playbackRate = 1;
  };
}

/** @param {HTMLVideoElement} video */
function aheadS({ buffered, currentTime }) {
  for (let index = 0; index < buffered.length; index++) {
    const isHere = buffered.start(index) <= currentTime && currentTime < buffered.end(index);
    if (isHere) return buffered.end(index) - currentTime;
  }
  return 0;
}
