//! Counters of 16 and 32 bits, unrolled: sequence numbers and timestamps.

/// Unrolls sequence numbers: 16 bits that count packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequences {
    last: Option<i64>,
}

impl Sequences {
    /// The number without the wrap: the one of all candidates that is nearest to the last one, so that a packet that is late
    /// comes out smaller. The first one keeps its value.
    pub fn unroll(&mut self, sequence: u16) -> i64 {
        let last = self.last.unwrap_or(i64::from(sequence));
        let step = sequence.wrapping_sub(last as u16) as i16;
        let unrolled = last + i64::from(step);
        self.last = Some(unrolled);
        unrolled
    }
}

/// Unrolls timestamps: 32 bits of ticks, which at 90 kHz wrap every 13 hours and 15 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamps {
    last: Option<i64>,
}

impl Timestamps {
    /// The ticks without the wrap. Steps backwards are as good as forwards: pictures come in the order in which they are
    /// decoded. The first one keeps its value.
    pub fn unroll(&mut self, timestamp: u32) -> i64 {
        let unrolled = self.peek(timestamp);
        self.last = Some(unrolled);
        unrolled
    }

    /// As [`Self::unroll`], for a time that is not in the stream itself: that of a sender report.
    pub fn peek(&self, timestamp: u32) -> i64 {
        let last = self.last.unwrap_or(i64::from(timestamp));
        let step = timestamp.wrapping_sub(last as u32) as i32;
        last + i64::from(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_both_ways() {
        let mut sequences = Sequences::default();
        let unrolled = [65_534, 65_535, 0, 2, 1, 65_535, 3].map(|sequence| sequences.unroll(sequence));
        assert_eq!(unrolled, [65_534, 65_535, 65_536, 65_538, 65_537, 65_535, 65_539]);
        let mut sequences = Sequences::default();
        assert_eq!([3, 65_535].map(|sequence| sequences.unroll(sequence)), [3, -1]);
    }

    #[test]
    fn timestamps_of_days_are_never_less_than_before() {
        let (mut timestamps, step) = (Timestamps::default(), 0x4000_0000_i64);
        for count in 0..40 {
            let ticks = 7 + count * step;
            assert_eq!(timestamps.unroll(ticks as u32), ticks);
            assert_eq!(timestamps.unroll((ticks - 9_000) as u32), ticks - 9_000, "a picture that is shown earlier");
            assert_eq!(timestamps.peek((ticks + 90_000) as u32), ticks + 90_000);
            timestamps.unroll(ticks as u32);
        }
    }
}
