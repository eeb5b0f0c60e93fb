//! How long parts are (RFC 8216bis §4.4.3.7, §4.4.4.9).
//!
//! A part lasts at most the Part Target Duration and at least 85 % of it, the last one of a segment excepted. So the target cannot be
//! what somebody wishes: at 24 pictures a second nothing lasts between 170 and 200 ms. It is made of the frames that come first: as many
//! as are nearest to the wish, and a little more, since the times of frames jitter.

/// The lengths of the parts of one track.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What the configuration wishes; 0 for no parts.
    wish_us: i64,
    /// What no part exceeds, once the first one was cut.
    target_us: Option<i64>,
    /// The longest part that said nothing on the others, being the only one of its segment.
    longest_us: i64,
    /// A playlist has said it: it cannot change any more.
    is_published: bool,
}

impl Pace {
    pub(super) fn new(wish_us: i64) -> Self {
        Self { wish_us, target_us: None, longest_us: 0, is_published: false }
    }

    /// Whether a part of `elapsed_us` ends in front of a frame that will last `frame_us`.
    pub(super) fn is_full(&self, elapsed_us: i64, frame_us: i64) -> bool {
        elapsed_us > 0
            && match self.target_us {
                None => self.wish_us > 0 && elapsed_us + frame_us / 2 >= self.wish_us,
                Some(target_us) => elapsed_us + frame_us > target_us,
            }
    }

    /// Takes note of a part. The last one of a segment may be as short as it likes: the first target is not made of it.
    pub(super) fn see(&mut self, duration_us: i64, frames: usize, is_last: bool) {
        if self.wish_us == 0 || self.is_published {
            return;
        }
        if is_last && self.target_us.is_none_or(|target_us| duration_us <= target_us) {
            self.longest_us = self.longest_us.max(duration_us);
            return;
        }
        let frame_us = duration_us / i64::try_from(frames.max(1)).unwrap_or(i64::MAX);
        // Less than a frame, so that no part gets one more; and the part itself remains above 85 % of the sum.
        let slack_us = (frame_us / 4).min(duration_us / 8);
        let seen_us = duration_us + if self.target_us.is_none() { slack_us } else { 0 };
        let target_us = self.target_us.unwrap_or(0).max(seen_us);
        // In whole milliseconds, rounded up: what a playlist says.
        self.target_us = Some((target_us + 999) / 1_000 * 1_000);
    }

    /// A playlist is about to say it.
    pub(super) fn publish(&mut self) {
        if self.wish_us > 0 {
            // Frames that are as long as segments.
            let longest_us = self.longest_us + self.longest_us / 8;
            self.target_us.get_or_insert(self.wish_us.max(longest_us));
        }
        self.is_published = true;
    }

    /// `PART-TARGET`; `None` without parts, or when it is not known yet.
    pub(super) fn target_us(&self) -> Option<i64> {
        self.target_us
    }

    /// How a part that lasts `duration_us` is announced: as parts within the limits. Where its last frame lasts longer than one may, its
    /// rest is announced as parts without a frame; but what is left in the end goes to the part behind it, if it has room for a frame of
    /// `step_us` too.
    pub(super) fn divide(&self, duration_us: i64, step_us: i64) -> Vec<i64> {
        let Some(target_us) = self.target_us.filter(|target_us| self.is_published && duration_us > *target_us) else {
            return vec![duration_us];
        };
        let (least_us, room_us) = (target_us - target_us * 3 / 20, target_us.saturating_sub(step_us));
        let (mut parts, mut rest_us) = (vec![target_us], duration_us - target_us);
        while rest_us > room_us && rest_us > 0 {
            let part_us = rest_us.min(target_us);
            parts.push(part_us);
            rest_us -= part_us;
        }
        // A short last one takes from the one in front of it.
        if let [.., before_us, last_us] = &mut *parts {
            let lacks_us = (least_us - *last_us).clamp(0, target_us - least_us);
            (*before_us, *last_us) = (*before_us - lacks_us, *last_us + lacks_us);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts frames of that length into parts of about 200 ms; the target, and the parts that are not the first one.
    fn parts(frame_us: i64, jitter_us: i64) -> (i64, Vec<i64>) {
        let (mut pace, mut parts, mut start_us) = (Pace::new(200_000), Vec::new(), 0);
        let mut begun = 0;
        for frame in 0..1_000 {
            let at = |index: i64| index * frame_us + if index % 3 == 1 { jitter_us } else { 0 };
            let (now_us, next_us) = (at(frame), at(frame + 1));
            if pace.is_full(now_us - start_us, next_us - now_us) {
                pace.see(now_us - start_us, begun, false);
                parts.push(now_us - start_us);
                (start_us, begun) = (now_us, 0);
            }
            begun += 1;
            if parts.len() == 3 {
                pace.publish();
            }
        }
        (pace.target_us().unwrap(), parts)
    }

    #[test]
    fn parts_of_every_usual_rate_keep_to_the_target_and_to_85_percent_of_it() {
        let video =
            [1_000_000, 200_000, 100_000, 66_667, 41_667, 41_708, 40_000, 33_333, 33_367, 20_000, 16_667, 8_333];
        let audio = [21_333, 23_220, 42_667, 46_440, 64_000, 20_000, 26_122, 24_000, 2_500];
        for frame_us in video.into_iter().chain(audio) {
            for jitter_us in [0, 1_000.min(frame_us / 10)] {
                let (target_us, parts) = parts(frame_us, jitter_us);
                assert!(target_us <= 250_000 || frame_us > 200_000, "{frame_us}: {target_us}");
                for part_us in parts {
                    assert!(part_us <= target_us, "{frame_us}: {part_us} of {target_us}");
                    assert!(part_us * 100 >= target_us * 85, "{frame_us}: {part_us} of {target_us}");
                }
            }
        }
    }

    #[test]
    fn a_part_beyond_the_target_is_announced_as_several() {
        let mut pace = Pace::new(200_000);
        pace.see(200_000, 6, false);
        assert_eq!(pace.divide(500_000, 33_333), [500_000], "not published yet: the target would grow");
        pace.publish();
        let target_us = pace.target_us().unwrap();
        assert_eq!(target_us, 209_000);
        assert_eq!(pace.divide(target_us, 33_333), [target_us]);
        assert_eq!(pace.divide(500_000, 33_333), [209_000, 209_000], "82 ms go to the part behind it");
        assert_eq!(pace.divide(500_000, i64::MAX), [209_000, 182_000 - 4_350, 82_000 + 31_350]);
        let least_us = target_us - target_us * 3 / 20;
        for duration_us in (target_us..2_000_000).step_by(997) {
            let parts = pace.divide(duration_us, 33_333);
            assert!(parts.iter().all(|part_us| (least_us..=target_us).contains(part_us)), "{duration_us}: {parts:?}");
            let rest_us = duration_us - parts.iter().sum::<i64>();
            assert!((0..=target_us - 33_333).contains(&rest_us), "{duration_us}: {parts:?}");
            assert_eq!(pace.divide(duration_us, i64::MAX / 2).iter().sum::<i64>(), duration_us, "the end of a segment");
        }
    }
}
