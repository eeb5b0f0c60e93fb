//! Timestamps, repaired once where they come in: no reader ever derives them again.

use std::time::Duration;

use arcly_codec::MediaKind;

use crate::{Frame, FrameFlags, TrackId, TrackSet};

/// A step back by less than this is jitter of the sender and is straightened; by more it is a new timeline.
const JITTER_MAX_S: i64 = 1;

/// A step forward by more than this is a new timeline too: nobody waits through it. Data come when there are some, a cue in an hour.
const GAP_MAX_S: i64 = 10;

/// The most that a track is decoded earlier than its sender says. Pictures are reordered by less; a PTS that is further before the DTS
/// is a wrong one, and must not move a track so far from the others that a reader of MPEG-TS has it too late.
const ADVANCE_MAX_MS: i64 = 500;

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
    /// Ticks by which it is decoded earlier than its sender says: there are those who leave the B-frames out of their decoding times,
    /// and show them before (negative composition times of FLV).
    advance: i64,
    /// Nobody waits for the next of it.
    is_data: bool,
}

impl Last {
    /// What a first frame leaves, which is to be decoded at `dts` and shown at `pts`.
    fn first(track: TrackId, (dts, pts): (i64, i64), duration: u32, (clock_rate_hz, kind): (i64, MediaKind)) -> Self {
        let (step, is_data) = (i64::from(duration).max(1), kind == MediaKind::Data);
        let advance = needed_advance(dts, pts, 0, clock_rate_hz);
        Self { track, dts: dts.saturating_sub(advance), clock_rate_hz, step, advance, is_data }
    }

    /// The times that go on behind the last ones and are nearest to these, of which `dts` is in advance already. Decoding gives way, as
    /// long as it can: when a frame is shown is what is seen of it.
    #[cold]
    fn fit(&mut self, dts: i64, pts: i64) -> (i64, i64) {
        let more = needed_advance(dts, pts, self.advance, self.clock_rate_hz);
        self.advance += more;
        let dts = dts.saturating_sub(more).max(self.dts.saturating_add(1));
        (dts, pts.max(dts))
    }

    /// Rounds up, so that what follows is never before what was.
    fn change_clock(&mut self, clock_rate_hz: i64) {
        let ticks = i128::from(self.dts) * i128::from(clock_rate_hz);
        let (old, remainder) = (i128::from(self.clock_rate_hz), ticks.rem_euclid(i128::from(self.clock_rate_hz)));
        self.dts = clamp(ticks.div_euclid(old) + i128::from(remainder != 0));
        let rescaled = |ticks: i64| clamp(i128::from(ticks) * i128::from(clock_rate_hz) / old);
        (self.step, self.advance) = (rescaled(self.step).max(1), rescaled(self.advance));
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

    /// Puts the first frame of a new sender, which is to be decoded at `dts` and shown at `pts`, behind the last of the old one, and all
    /// that follow it by the same step; whether there was an old one.
    #[cold]
    fn begin_again(&mut self, pause: Duration, (dts, pts): (i64, i64), clock_rate_hz: i64) -> bool {
        // Where there are pictures or sound, data say nothing on when the stream ended.
        let end_ns = |is_data| self.last.iter().filter(|last| last.is_data == is_data).map(Last::end_ns).max();
        let Some(end_ns) = end_ns(false).or_else(|| end_ns(true)) else { return false };
        let pause_ns = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
        let dts = dts.saturating_sub(needed_advance(dts, pts, 0, clock_rate_hz));
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
            && self.begin_again(pause, (frame.dts, frame.pts), clock_rate_hz)
        {
            frame.flags = frame.flags.with(FrameFlags::NEW_TIMELINE);
        }
        if self.offset_ns != 0 {
            let offset = to_ticks(self.offset_ns, clock_rate_hz);
            frame.dts = frame.dts.saturating_add(offset);
            frame.pts = frame.pts.saturating_add(offset);
        }
        let Some(last) = self.last.iter_mut().find(|last| last.track == frame.track) else {
            return self.begin(frame, (clock_rate_hz, kind));
        };
        let dts = frame.dts.saturating_sub(last.advance);
        let step = dts.saturating_sub(last.dts);
        let is_gap = step > GAP_MAX_S * clock_rate_hz && kind != MediaKind::Data;
        if step < -JITTER_MAX_S * clock_rate_hz || is_gap {
            frame.flags = frame.flags.with(FrameFlags::NEW_TIMELINE);
        }
        if frame.is_discontinuity() {
            // The other tracks follow to the new timeline, and that is not a second break.
            self.last.clear();
            return self.begin(frame, (clock_rate_hz, kind));
        }
        // A picture cannot be shown before it is decoded (H.222.0 §2.4.3.7).
        let is_wrong = step <= 0 || frame.pts < dts;
        (frame.dts, frame.pts) = if is_wrong { last.fit(dts, frame.pts) } else { (dts, frame.pts) };
        last.step = i64::from(frame.duration).max(frame.dts.saturating_sub(last.dts));
        last.dts = frame.dts;
        is_wrong
    }

    /// Takes the first frame of a track, or of a timeline; true when its times had to be changed.
    #[inline(always)]
    fn begin(&mut self, frame: &mut Frame, clock: (i64, MediaKind)) -> bool {
        let is_wrong = frame.pts < frame.dts;
        let last = Last::first(frame.track, (frame.dts, frame.pts), frame.duration, clock);
        (frame.dts, frame.pts) = (last.dts, frame.pts.max(last.dts));
        self.last.push(last);
        is_wrong
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

/// How much earlier than at `dts` a frame is to be decoded to be shown at `pts`, in a track that is `advance` ticks early already; nothing
/// where that were more than is believed.
fn needed_advance(dts: i64, pts: i64, advance: i64, clock_rate_hz: i64) -> i64 {
    let late = dts.saturating_sub(pts).max(0);
    if advance.saturating_add(late) <= ADVANCE_MAX_MS * clock_rate_hz / 1000 { late } else { 0 }
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

    /// Decoding and presentation times of pictures, of which `wrong` had to be changed.
    fn repair_pictures(times: &[(i64, i64)]) -> (Vec<(i64, i64)>, usize) {
        let mut timeline = Timeline::default();
        let mut wrong = 0;
        let repaired = times.iter().map(|&(dts, pts)| {
            let mut frame = frame(dts, pts);
            wrong += usize::from(timeline.repair(&mut frame, PICTURES));
            assert!(!frame.is_discontinuity());
            (frame.dts, frame.pts)
        });
        (repaired.collect(), wrong)
    }

    #[test]
    fn a_picture_is_never_shown_before_it_is_decoded() {
        assert_eq!(repair_pictures(&[(9_000, 6_000)]), (vec![(6_000, 6_000)], 1), "decoding gives way");
        assert_eq!(repair_pictures(&[(90_000, 0)]), (vec![(90_000, 90_000)], 1), "that far, the PTS is wrong");
        assert_eq!(repair_pictures(&[(0, 0), (90_000, 0)]).0, [(0, 0), (90_000, 90_000)]);
    }

    /// As OBS sends B-frames of 59.94 fps that FFmpeg's NVENC has made, in thousandths of a second and a half.
    #[test]
    fn b_frames_that_are_shown_before_their_decoding_time_keep_the_time_at_which_they_are_shown() {
        let times =
            [(-2, 0), (998, 3_000), (1_998, 1_000), (2_998, 2_000), (3_998, 6_000), (4_998, 4_000), (5_998, 5_000)];
        let expected =
            [(-2, 0), (998, 3_000), (1_000, 1_000), (2_000, 2_000), (3_000, 6_000), (4_000, 4_000), (5_000, 5_000)];
        assert_eq!(repair_pictures(&times), (expected.to_vec(), 1), "one frame shows by how much all are too late");
    }

    /// B-pyramids of a sender who says nothing of their delay: the order of 0 4 2 1 3, a decoding time with each.
    #[test]
    fn of_a_pyramid_without_delay_only_the_first_picture_that_shows_it_is_moved() {
        let order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11];
        let times: Vec<_> = order.iter().zip(0..).map(|(shown, decoded)| (decoded * 3_000, shown * 3_000)).collect();
        let (repaired, wrong) = repair_pictures(&times);
        assert!(repaired.windows(2).all(|pair| pair[0].0 < pair[1].0), "{repaired:?}");
        let moved: Vec<_> = repaired.iter().zip(&times).filter(|(is, was)| is.1 != was.1).map(|(is, _)| *is).collect();
        assert_eq!(moved, [(6_001, 6_001)], "{repaired:?}");
        assert!(repaired[5..].iter().zip(&times[5..]).all(|(is, was)| is.0 == was.0 - 6_000), "{repaired:?}");
        assert!(wrong <= 3, "{wrong}");
    }

    #[test]
    fn jitter_of_a_sender_without_reordering_makes_nothing_early() {
        let times = [(3_000, 3_000), (3_000, 3_000), (2_000, 2_000), (6_000, 6_000)];
        let expected = [(3_000, 3_000), (3_001, 3_001), (3_002, 3_002), (6_000, 6_000)];
        assert_eq!(repair_pictures(&times), (expected.to_vec(), 2));
    }

    #[test]
    fn a_sender_that_is_shown_before_it_is_decoded_goes_on_behind_the_old_one_too() {
        let mut timeline = Timeline::default();
        timeline.repair(&mut frame(90_000, 90_000), PICTURES);
        timeline.resume(Duration::ZERO);
        for (dts, shown) in [(503_060, 90_001), (506_060, 93_001)] {
            let mut frame = frame(dts, dts - 3_060);
            timeline.repair(&mut frame, PICTURES);
            assert_eq!((frame.dts, frame.pts), (shown, shown));
        }
    }

    #[test]
    fn a_break_is_seen_in_the_times_of_the_sender_and_forgets_how_early_it_was() {
        let mut timeline = Timeline::default();
        for (dts, pts, expected) in
            [(900_000, 897_000, (897_000, 897_000)), (903_000, 906_000, (900_000, 906_000)), (0, 0, (0, 0))]
        {
            let mut frame = frame(dts, pts);
            timeline.repair(&mut frame, PICTURES);
            assert_eq!((frame.dts, frame.pts, frame.is_discontinuity()), (expected.0, expected.1, dts == 0));
        }
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
        for (dts, pts) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (i64::MIN + 9, i64::MIN)] {
            let mut timeline = Timeline::default();
            for _ in 0..3 {
                timeline.repair(&mut frame(dts, pts), PICTURES);
            }
            timeline.resume(Duration::MAX);
            timeline.repair(&mut frame(dts, pts), PICTURES);
        }
    }
}
