//! Timestamps, repaired once where they come in: no reader ever derives them again.

use crate::{Frame, FrameFlags, Track, TrackId, TrackSet};

/// A step back by less than this is jitter of the sender and is straightened; by more it is a new timeline.
const JITTER_MAX_S: i64 = 1;

/// A step forward by more than this is a new timeline too: nobody waits through it.
const GAP_MAX_S: i64 = 10;

/// The last decoding time of each track.
#[derive(Default)]
pub(crate) struct Timeline {
    last: Vec<Last>,
}

struct Last {
    track: TrackId,
    dts: i64,
    clock_rate_hz: i64,
}

impl Timeline {
    /// Forgets tracks that are gone or whose clock has changed; the others go on.
    pub(crate) fn keep(&mut self, tracks: &TrackSet) {
        let same = |last: &Last, track: &Track| i64::from(track.clock_rate_hz) == last.clock_rate_hz;
        self.last.retain(|last| tracks.find(last.track).is_some_and(|track| same(last, track)));
    }

    /// Makes `frame` obey the contract of [`Frame::dts`]; true when its times had to be changed.
    pub(crate) fn repair(&mut self, frame: &mut Frame, clock_rate_hz: u32) -> bool {
        let clock_rate_hz = i64::from(clock_rate_hz.max(1));
        let Some(last) = self.last.iter_mut().find(|last| last.track == frame.track) else {
            self.last.push(Last { track: frame.track, dts: frame.dts, clock_rate_hz });
            return lift_pts(frame);
        };
        let step = frame.dts.saturating_sub(last.dts);
        if step < -JITTER_MAX_S * clock_rate_hz || step > GAP_MAX_S * clock_rate_hz {
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        }
        if frame.is_discontinuity() {
            // The other tracks follow to the new timeline, and that is not a second break.
            let (track, dts) = (frame.track, frame.dts);
            self.last.clear();
            self.last.push(Last { track, dts, clock_rate_hz });
            return lift_pts(frame);
        }
        let straightened = step <= 0;
        if straightened {
            frame.dts = last.dts.saturating_add(1);
        }
        last.dts = frame.dts;
        lift_pts(frame) || straightened
    }
}

/// A picture cannot be shown before it is decoded (H.222.0 §2.4.3.7).
fn lift_pts(frame: &mut Frame) -> bool {
    let early = frame.pts < frame.dts;
    if early {
        frame.pts = frame.dts;
    }
    early
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const CLOCK_HZ: u32 = 90_000;

    fn frame(dts: i64, pts: i64) -> Frame {
        Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts, duration: 0, payload: Bytes::new() }
    }

    fn run(times: &[i64]) -> Vec<(i64, bool)> {
        let mut timeline = Timeline::default();
        times
            .iter()
            .map(|&dts| {
                let mut frame = frame(dts, dts);
                timeline.repair(&mut frame, CLOCK_HZ);
                (frame.dts, frame.is_discontinuity())
            })
            .collect()
    }

    #[test]
    fn good_times_are_left_alone() {
        assert_eq!(run(&[0, 3000, 6000]), [(0, false), (3000, false), (6000, false)]);
    }

    #[test]
    fn equal_and_slightly_backward_times_are_straightened() {
        assert_eq!(run(&[3000, 3000, 2000, 6000]), [(3000, false), (3001, false), (3002, false), (6000, false)]);
    }

    #[test]
    fn a_jump_either_way_is_a_discontinuity() {
        assert_eq!(run(&[900_000, 0, 3000]), [(900_000, false), (0, true), (3000, false)]);
        assert_eq!(run(&[0, 10_000_000]), [(0, false), (10_000_000, true)]);
    }

    #[test]
    fn a_picture_is_never_shown_before_it_is_decoded() {
        let mut late = frame(9000, 6000);
        assert!(Timeline::default().repair(&mut late, CLOCK_HZ));
        assert_eq!((late.dts, late.pts), (9000, 9000));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        run(&[i64::MIN, i64::MAX, i64::MAX, i64::MIN, 0]);
    }
}
