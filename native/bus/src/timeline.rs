//! Timestamps, repaired once where they come in: no reader ever derives them again.

use std::time::Duration;

use arcly_codec::MediaKind;

use crate::{Frame, FrameFlags, TrackId, TrackSet};

/// A step back by less than this is jitter of the sender and is straightened; by more it is a new timeline.
const JITTER_MAX_S: i64 = 1;

/// A step forward by more than this is a new timeline too: nobody waits through it. Data come when there are some, a cue in an hour.
const GAP_MAX_S: i64 = 10;

/// The last decoding time of each track, and what is added to the times of the present sender.
#[derive(Default)]
pub(crate) struct Timeline {
    last: Vec<Last>,
    /// Nanoseconds, not ticks: it holds for every track.
    offset_ns: i64,
    /// A new sender is about to begin, so long after the end of the last one.
    resuming: Option<Duration>,
}

struct Last {
    track: TrackId,
    dts: i64,
    clock_rate_hz: i64,
    /// Ticks until the next frame is due: what the last one says it lasts, or how long it took to come.
    step: i64,
    /// Nobody waits for the next of it.
    is_data: bool,
}

impl Last {
    fn of(frame: &Frame, (clock_rate_hz, kind): (i64, MediaKind)) -> Self {
        let (step, is_data) = (i64::from(frame.duration).max(1), kind == MediaKind::Data);
        Self { track: frame.track, dts: frame.dts, clock_rate_hz, step, is_data }
    }

    /// Rounds up, so that what follows is never before what was.
    fn change_clock(&mut self, clock_rate_hz: i64) {
        let ticks = i128::from(self.dts) * i128::from(clock_rate_hz);
        let (old, remainder) = (i128::from(self.clock_rate_hz), ticks.rem_euclid(i128::from(self.clock_rate_hz)));
        self.dts = clamp(ticks.div_euclid(old) + i128::from(remainder != 0));
        self.step = clamp(i128::from(self.step) * i128::from(clock_rate_hz) / old).max(1);
        self.clock_rate_hz = clock_rate_hz;
    }

    fn end_ns(&self) -> i64 {
        to_ns(self.dts.saturating_add(self.step), self.clock_rate_hz)
    }
}

impl Timeline {
    /// A new sender goes on, `pause` after the last frame of the old one.
    pub(crate) fn resume(&mut self, pause: Duration) {
        self.resuming = Some(pause);
    }

    /// Puts the first frame of a new sender, which is to be decoded at `dts`, behind the last of the old one, and all that follow it by
    /// the same step; whether there was an old one.
    #[cold]
    fn begin_again(&mut self, pause: Duration, dts: i64, clock_rate_hz: i64) -> bool {
        // Where there are pictures or sound, data say nothing on when the stream ended.
        let end_ns = |is_data| self.last.iter().filter(|last| last.is_data == is_data).map(Last::end_ns).max();
        let Some(end_ns) = end_ns(false).or_else(|| end_ns(true)) else { return false };
        let pause_ns = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
        self.offset_ns = end_ns.saturating_add(pause_ns).saturating_sub(to_ns(dts, clock_rate_hz));
        self.last.clear();
        true
    }

    /// The tracks are others now: where the clock of one has changed, its last time is told by the new one. A track that is gone is
    /// remembered for a successor of the sender, and for its own return.
    pub(crate) fn keep(&mut self, tracks: &TrackSet) {
        for last in &mut self.last {
            if let Some(track) = tracks.find(last.track) {
                last.change_clock(i64::from(track.clock_rate_hz.max(1)));
            }
        }
    }

    /// Makes `frame` obey the contract of [`Frame::dts`]; true when its times had to be changed.
    ///
    /// Always inline: a frame whose address is taken lives in memory, from where it is copied into the log in other pieces than it was
    /// written in, and waits for that.
    #[inline(always)]
    pub(crate) fn repair(&mut self, frame: &mut Frame, (clock_rate_hz, kind): (u32, MediaKind)) -> bool {
        let clock_rate_hz = i64::from(clock_rate_hz.max(1));
        if let Some(pause) = self.resuming.take()
            && self.begin_again(pause, frame.dts, clock_rate_hz)
        {
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        }
        if self.offset_ns != 0 {
            let offset = to_ticks(self.offset_ns, clock_rate_hz);
            frame.dts = frame.dts.saturating_add(offset);
            frame.pts = frame.pts.saturating_add(offset);
        }
        let Some(last) = self.last.iter_mut().find(|last| last.track == frame.track) else {
            self.last.push(Last::of(frame, (clock_rate_hz, kind)));
            return lift_pts(frame);
        };
        let step = frame.dts.saturating_sub(last.dts);
        let is_gap = step > GAP_MAX_S * clock_rate_hz && kind != MediaKind::Data;
        if step < -JITTER_MAX_S * clock_rate_hz || is_gap {
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        }
        if frame.is_discontinuity() {
            // The other tracks follow to the new timeline, and that is not a second break.
            self.last.clear();
            self.last.push(Last::of(frame, (clock_rate_hz, kind)));
            return lift_pts(frame);
        }
        let straightened = step <= 0;
        if straightened {
            frame.dts = last.dts.saturating_add(1);
        }
        last.step = i64::from(frame.duration).max(frame.dts.saturating_sub(last.dts));
        last.dts = frame.dts;
        lift_pts(frame) || straightened
    }
}

/// When a frame is decoded.
pub(crate) fn dts_ns(frame: &Frame, tracks: &TrackSet) -> i64 {
    let clock_rate_hz = tracks.find(frame.track).map_or(1, |track| track.clock_rate_hz.max(1));
    to_ns(frame.dts, i64::from(clock_rate_hz))
}

fn to_ns(ticks: i64, clock_rate_hz: i64) -> i64 {
    clamp(i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate_hz))
}

fn to_ticks(ns: i64, clock_rate_hz: i64) -> i64 {
    clamp((i128::from(ns) * i128::from(clock_rate_hz) + 500_000_000).div_euclid(1_000_000_000))
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
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
    const PICTURES: (u32, MediaKind) = (CLOCK_HZ, MediaKind::Video);

    fn frame(dts: i64, pts: i64) -> Frame {
        Frame { track: TrackId(0), flags: FrameFlags::NONE, pts, dts, duration: 0, payload: Bytes::new() }
    }

    fn run(times: &[i64]) -> Vec<(i64, bool)> {
        let mut timeline = Timeline::default();
        times
            .iter()
            .map(|&dts| {
                let mut frame = frame(dts, dts);
                timeline.repair(&mut frame, PICTURES);
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
    fn a_cue_long_after_the_last_one_is_no_break_and_times_are_repaired_behind_it() {
        let mut timeline = Timeline::default();
        for (track, dts, kind) in
            [(1, 0, MediaKind::Data), (0, 2_700_000, MediaKind::Audio), (1, 2_700_000, MediaKind::Data)]
        {
            let mut frame = Frame { track: TrackId(track), ..frame(dts, dts) };
            timeline.repair(&mut frame, (CLOCK_HZ, kind));
            assert!(!frame.is_discontinuity(), "{dts}");
        }
        let mut back = frame(2_699_900, 2_699_900);
        assert!(timeline.repair(&mut back, (CLOCK_HZ, MediaKind::Audio)));
        assert_eq!(back.dts, 2_700_001);
    }

    #[test]
    fn a_picture_is_never_shown_before_it_is_decoded() {
        let mut late = frame(9000, 6000);
        assert!(Timeline::default().repair(&mut late, PICTURES));
        assert_eq!((late.dts, late.pts), (9000, 9000));
    }

    #[test]
    fn a_new_sender_goes_on_where_the_old_one_left() {
        let mut timeline = Timeline::default();
        timeline.repair(&mut frame(86_400, 86_400), PICTURES);
        timeline.repair(&mut frame(90_000, 90_000), PICTURES);
        timeline.resume(Duration::from_secs(2));
        let mut first = frame(7_000_000, 7_003_600);
        timeline.repair(&mut first, PICTURES);
        assert_eq!((first.dts, first.pts, first.is_discontinuity()), (273_600, 277_200, true));
        let mut audio = Frame { track: TrackId(1), ..frame(7_000_000 / 90 * 48, 7_000_000 / 90 * 48) };
        timeline.repair(&mut audio, (48_000, MediaKind::Audio));
        assert!((audio.dts - 273_600 / 90 * 48).abs() <= 48, "the other track moves with it: {}", audio.dts);
        assert!(!audio.is_discontinuity(), "and is no second break");
    }

    #[test]
    fn a_new_sender_goes_on_behind_the_pictures_not_behind_the_next_cue() {
        let mut timeline = Timeline::default();
        let mut take = |track: u8, seconds: i64, kind| {
            let mut frame = Frame { track: TrackId(track), ..frame(seconds * 90_000, seconds * 90_000) };
            timeline.repair(&mut frame, (CLOCK_HZ, kind));
            frame
        };
        for seconds in 0..=1_810 {
            take(0, seconds, MediaKind::Video);
            if seconds % 1_800 == 0 {
                take(1, seconds, MediaKind::Data);
            }
        }
        timeline.resume(Duration::from_secs(2));
        let mut first = frame(0, 0);
        timeline.repair(&mut first, PICTURES);
        assert_eq!(first.dts, (1_811 + 2) * 90_000);
    }

    #[test]
    fn a_clock_that_changes_and_changes_back_does_not_let_time_go_back() {
        use arcly_codec::{CodecConfig, aac::AudioSpecificConfig};
        let tracks = |rate_hz| {
            let config = AudioSpecificConfig::new(2, rate_hz, 2).unwrap();
            TrackSet { revision: 1, tracks: vec![crate::Track::new(TrackId(0), CodecConfig::Aac(config))] }
        };
        let mut timeline = Timeline::default();
        timeline.repair(&mut frame(441, 441), (44_100, MediaKind::Audio));
        timeline.keep(&tracks(8_000));
        timeline.keep(&tracks(44_100));
        let mut again = frame(441, 441);
        timeline.repair(&mut again, (44_100, MediaKind::Audio));
        assert!(again.dts > 441 || again.is_discontinuity(), "{}", again.dts);
    }

    #[test]
    fn a_successor_with_other_tracks_still_goes_on_behind() {
        let mut timeline = Timeline::default();
        timeline.repair(&mut frame(900_000, 900_000), PICTURES);
        timeline.keep(&TrackSet::default());
        timeline.resume(Duration::ZERO);
        let mut first = Frame { track: TrackId(7), ..frame(0, 0) };
        timeline.repair(&mut first, PICTURES);
        assert!(first.dts > 900_000 && first.is_discontinuity(), "{}", first.dts);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        run(&[i64::MIN, i64::MAX, i64::MAX, i64::MIN, 0]);
    }
}
