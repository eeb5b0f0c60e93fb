//! Decoding times, which RTP does not carry: its timestamps are those at which pictures are shown (RFC 6184 §5.1), in the order in
//! which they are decoded.
//!
//! When `depth` pictures may come in front of another in decoding order and after it in output order (`max_num_reorder_frames`),
//! the decoding times are the presentation times in ascending order, `depth` pictures later: a picture is decoded at the time
//! at which the one is shown that came `depth` pictures earlier. They never exceed the presentation time, and need no picture
//! that has not come.

/// What the standards allow at most (H.264 Annex A: `MaxDpbFrames`).
const MAX_DEPTH: usize = 16;
/// Ticks of 90 kHz: a step back by more than a second, and by more than pictures are reordered, is that of a clock that was set.
const STEP_BACK_TICKS: i64 = 90_000;
/// Pictures in a row that need less depth than was learnt, after which it was not that of the stream: of a clock that was set, or of one accident.
const SPARE_PICTURES: u32 = 32;

/// Gives pictures in decoding order their decoding times. Once for each stream, on the way in.
#[derive(Debug, Clone)]
pub struct DecodingTimes {
    /// What the stream says, and what its pictures have shown beyond it.
    declared: usize,
    depth: usize,
    /// Pictures in a row that needed less than was learnt, and how much they needed.
    spare: (u32, usize),
    /// Ticks from picture to picture, for the first ones.
    picture_ticks: i64,
    /// The greatest presentation times, `depth` and one, ascending; the first is the decoding time that was given last.
    window: Vec<i64>,
    last: Option<i64>,
}

impl DecodingTimes {
    /// For a stream that says how many pictures are reordered at most (`VideoInfo::max_reorder_frames`), and how many ticks one
    /// is from the next. A stream that does not say it is taken for one without reordering until a picture shows that it is
    /// not.
    pub fn new(max_reorder_frames: Option<u8>, picture_ticks: u32) -> Self {
        let depth = usize::from(max_reorder_frames.unwrap_or(0)).min(MAX_DEPTH);
        Self {
            declared: depth,
            depth,
            spare: (0, 0),
            picture_ticks: i64::from(picture_ticks.max(1)),
            window: Vec::new(),
            last: None,
        }
    }

    /// Another configuration, or a break of the timeline: what follows has nothing to do with the pictures in front.
    pub fn restart(&mut self) {
        self.window.clear();
        self.last = None;
    }

    /// Whether a picture that is shown at `pts` lies so far before the one in front of it that no reordering explains it.
    pub fn is_step_back(&self, pts: i64) -> bool {
        let most = self.picture_ticks.saturating_mul(MAX_DEPTH as i64).max(STEP_BACK_TICKS);
        self.last.is_some_and(|last| pts < last.saturating_sub(most))
    }

    /// The presentation time and the decoding time of the next picture, which is shown at `pts`. Decoding times strictly
    /// increase. A picture that comes too late to be shown at its time, which only a stream without a true depth has, is shown
    /// when it is decoded.
    pub fn stamp(&mut self, pts: i64) -> (i64, i64) {
        if self.window.is_empty() {
            let early = (1..=self.depth as i64).rev().map(|pictures| pts.saturating_sub(pictures * self.picture_ticks));
            self.window.extend(early);
        } else if self.window.len() > self.depth {
            self.window.remove(0);
        }
        let place = self.window.partition_point(|&known| known <= pts);
        let needed = self.window.len() - place;
        self.window.insert(place, pts);
        self.unlearn(needed);
        let least = self.last.map_or(i64::MIN, |last| last.saturating_add(1));
        let dts = self.window.first().map_or(pts, |&first| first.max(least));
        self.last = Some(dts);
        if dts > pts && self.depth < MAX_DEPTH {
            // One more than was known: the window does not move with the next picture.
            self.depth += 1;
            self.spare = (0, 0);
        }
        (pts.max(dts), dts)
    }

    /// Forgets what was learnt and is not needed: each picture of it is one of delay. `needed`: how many pictures came before the one that
    /// is there, and are shown after it.
    fn unlearn(&mut self, needed: usize) {
        if self.depth == self.declared || needed >= self.depth {
            self.spare = (0, 0);
            return;
        }
        let (pictures, most) = (self.spare.0 + 1, self.spare.1.max(needed));
        self.spare = (pictures, most);
        if pictures >= SPARE_PICTURES {
            self.depth = most.max(self.declared);
            self.spare = (0, 0);
            self.window.drain(..self.window.len().saturating_sub(self.depth + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Display numbers in decoding order: B-pyramids of x264 with `bframes=3:b-pyramid=normal`, open GOP.
    const PYRAMID: [i64; 13] = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11];

    fn stamp(depth: Option<u8>, order: &[i64]) -> Vec<(i64, i64)> {
        let mut times = DecodingTimes::new(depth, 3_000);
        order.iter().map(|number| times.stamp(number * 3_000)).collect()
    }

    fn check(stamped: &[(i64, i64)]) {
        assert!(stamped.windows(2).all(|pair| pair[0].1 < pair[1].1), "{stamped:?}");
        assert!(stamped.iter().all(|(pts, dts)| dts <= pts), "{stamped:?}");
    }

    #[test]
    fn without_reordering_both_times_are_one() {
        let stamped = stamp(Some(0), &[0, 1, 2, 3]);
        assert!(stamped.iter().all(|(pts, dts)| pts == dts));
    }

    #[test]
    fn decoding_times_are_those_of_the_encoder() {
        let stamped = stamp(Some(2), &PYRAMID);
        check(&stamped);
        // x264 begins two pictures before 0 and goes on in its rate.
        assert!(stamped.iter().zip(-2..).all(|((_, dts), number)| *dts == number * 3_000), "{stamped:?}");
        assert!(stamped.iter().zip(PYRAMID).all(|((pts, _), number)| *pts == number * 3_000));
    }

    #[test]
    fn any_true_depth_keeps_every_presentation_time() {
        for depth in 2..=16 {
            let stamped = stamp(Some(depth), &PYRAMID);
            check(&stamped);
            assert!(stamped.iter().zip(PYRAMID).all(|((pts, _), number)| *pts == number * 3_000), "{depth}");
        }
    }

    /// A stream that does not say that it reorders: from the third group of pictures on all is right.
    #[test]
    fn a_depth_that_is_not_said_is_learnt() {
        let order: Vec<i64> =
            (0..10).flat_map(|group| PYRAMID[1..5].iter().map(move |number| number + 4 * group)).collect();
        for depth in [None, Some(1)] {
            let stamped = stamp(depth, &order);
            check(&stamped);
            let right = stamped.iter().zip(&order).skip(8).all(|((pts, _), number)| *pts == number * 3_000);
            assert!(right, "{stamped:?}");
        }
    }

    /// The depth of the step stayed: everything behind it was decoded ten pictures before it was shown, for good.
    #[test]
    fn a_clock_that_is_set_back_by_less_than_a_second_delays_decoding_for_some_pictures_only() {
        let mut times = DecodingTimes::new(Some(0), 3_600);
        let before = (0..100).map(|number| number * 3_600);
        let stamped: Vec<_> =
            before.clone().chain(before.map(|pts| pts + 324_000)).map(|pts| times.stamp(pts)).collect();
        check(&stamped);
        assert!(stamped[160..].iter().all(|(pts, dts)| pts == dts), "{stamped:?}");
        assert!(stamped[110..].iter().zip(110..).all(|((pts, _), number)| *pts == 324_000 + (number - 100) * 3_600));
    }

    /// One picture far out of its place, in a stream that reorders and does not say it: what its other pictures show stays.
    #[test]
    fn what_a_stream_needs_is_not_unlearnt() {
        let groups = |groups: std::ops::Range<i64>| {
            groups.flat_map(|group| PYRAMID[1..5].iter().map(move |number| number + 4 * group)).collect::<Vec<_>>()
        };
        let order = [groups(0..20), vec![70], groups(20..60)].concat();
        let stamped = stamp(None, &order);
        check(&stamped);
        // Behind the accident one more than is needed, for a while: then one of four is decoded when it is shown, as before.
        assert!(stamped.iter().zip(&order).skip(81).all(|((pts, _), number)| *pts == number * 3_000), "{stamped:?}");
        let at_once = |of: std::ops::Range<usize>| stamped[of].iter().filter(|(pts, dts)| pts == dts).count();
        assert_eq!([at_once(60..80), at_once(84..104), at_once(220..240)], [5, 0, 5]);
    }

    #[test]
    fn a_step_back_is_longer_than_a_second_and_than_pictures_are_reordered() {
        for (picture_ticks, most) in [(3_000, 90_000), (90_000, 16 * 90_000)] {
            let mut times = DecodingTimes::new(Some(0), picture_ticks);
            assert!(!times.is_step_back(i64::MIN), "there is none before the first");
            times.stamp(9_000_000);
            assert_eq!([most, most + 1].map(|ticks| times.is_step_back(9_000_000 - ticks)), [false, true]);
        }
    }

    #[test]
    fn pictures_with_one_time_have_decoding_times_of_their_own() {
        check(&stamp(Some(2), &[0, 0, 0, 5, 5, 2, 2]));
        let mut times = DecodingTimes::new(Some(2), 3_000);
        times.stamp(90_000);
        times.restart();
        assert_eq!(times.stamp(0), (0, -6_000));
        assert_eq!(DecodingTimes::new(Some(255), 0).stamp(i64::MIN).0, i64::MIN);
    }
}
