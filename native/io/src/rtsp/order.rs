//! Decoding times, which RTP does not carry: only when a picture is shown stands in a packet, and the order of packets is that of decoding.
//!
//! A picture is decoded when so many pictures as may be reordered have come before it in output order. So its decoding time is the least of
//! its own presentation time and those of the last pictures in front of it, as many as the depth: no picture is late by it, none is decoded
//! after it is shown, and nothing has to wait.

use arcly_codec::CodecConfig;

/// Pictures that may be reordered at most (H.264 §A.3.1, H.265 §A.4.2).
const DEPTH_MAX: usize = 16;
/// Ticks of 90 kHz between two pictures of which nothing is known.
const USUAL_STEP: i64 = 3_000;

/// Makes decoding times of one track.
#[derive(Debug, Default)]
pub(crate) struct DecodeOrder {
    /// How many pictures may be reordered, as far as it is known: what the stream says, and what was seen.
    depth: usize,
    /// The latest presentation times, in ascending order; `depth` of them.
    shown: Vec<i64>,
    last: Option<i64>,
    step: i64,
}

impl DecodeOrder {
    /// What a configuration says.
    pub(crate) fn configure(&mut self, config: &CodecConfig) {
        let Some(video) = config.video() else { return };
        let depth = usize::from(video.max_reorder_frames.unwrap_or(0)).min(DEPTH_MAX);
        self.step = match video.frame_rate {
            Some((rate, per)) => (90_000 * i64::from(per) / i64::from(rate).max(1)).clamp(1, 90_000),
            None => USUAL_STEP,
        };
        self.deepen(depth);
    }

    fn deepen(&mut self, depth: usize) {
        if depth > self.depth {
            self.depth = depth;
            // Times in front of all that are known stand for pictures that there were not.
            while let Some(first) = self.shown.first().copied().filter(|_| self.shown.len() < self.depth) {
                self.shown.insert(0, first - self.step.max(1));
            }
        }
    }

    /// The decoding time of the next picture.
    pub(crate) fn dts(&mut self, pts: i64) -> i64 {
        if self.depth == 0 && self.last.is_some_and(|last| pts <= last) {
            // Nobody has said that pictures are reordered, and they are.
            self.shown.push(self.last.unwrap_or(pts));
            self.depth = 1;
        }
        if self.shown.is_empty() && self.depth > 0 {
            let step = self.step.max(1);
            self.shown = (1..=self.depth as i64).rev().map(|back| pts - back * step).collect();
        }
        let at = self.shown.partition_point(|shown| *shown <= pts);
        self.shown.insert(at, pts);
        let mut dts = self.shown.remove(0);
        if let Some(last) = self.last.filter(|last| dts <= *last) {
            dts = last + 1;
            if dts > pts && self.depth < DEPTH_MAX {
                // Deeper than was known.
                self.depth += 1;
                self.shown.insert(0, pts);
            }
        }
        self.last = Some(dts);
        dts
    }

    /// The times begin anew.
    pub(crate) fn reset(&mut self) {
        self.shown.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(depth: usize) -> DecodeOrder {
        DecodeOrder { depth, step: 1, ..DecodeOrder::default() }
    }

    fn run(order: &mut DecodeOrder, shown: &[i64]) -> Vec<i64> {
        shown.iter().map(|pts| order.dts(*pts)).collect()
    }

    #[test]
    fn without_reordering_both_are_the_same() {
        assert_eq!(run(&mut order(0), &[10, 13, 16, 19]), [10, 13, 16, 19]);
    }

    #[test]
    fn pictures_that_are_shown_later_are_decoded_in_time() {
        // I P B B P B B, three ticks apart.
        let shown = [100, 109, 103, 106, 118, 112, 115, 127, 121, 124];
        let decoded = run(&mut order(2), &shown);
        assert_eq!(decoded[2..], [100, 103, 106, 109, 112, 115, 118, 121]);
        let is_right = |pair: (&i64, &i64)| pair.0 <= pair.1;
        assert!(decoded.iter().zip(&shown).all(is_right), "{decoded:?}");
        assert!(decoded.windows(2).all(|pair| pair[0] < pair[1]), "{decoded:?}");
    }

    #[test]
    fn a_depth_that_nobody_has_said_is_found_out() {
        for (name, shown) in [
            ("one", vec![0, 30, 20, 50, 40, 70, 60, 90, 80, 110, 100, 130, 120]),
            ("pyramid", vec![0, 40, 20, 10, 30, 80, 60, 50, 70, 120, 100, 90, 110, 160, 140, 130, 150]),
        ] {
            let mut order = order(0);
            let decoded = run(&mut order, &shown);
            assert!(decoded.windows(2).all(|pair| pair[0] < pair[1]), "{name} {decoded:?}");
            let late = decoded.iter().zip(&shown).skip(6).filter(|(dts, pts)| dts > pts).count();
            assert_eq!(late, 0, "{name} {decoded:?}");
        }
    }

    #[test]
    fn a_new_timeline_begins_with_its_own_times() {
        let mut order = order(1);
        run(&mut order, &[1_000, 1_006, 1_003]);
        order.reset();
        assert_eq!(run(&mut order, &[10, 16, 13]), [9, 10, 13]);
    }
}
