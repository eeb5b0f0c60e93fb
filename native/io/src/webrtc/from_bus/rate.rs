//! What a stream's pictures take, in bits per second.

/// Media time over which is measured: two seconds, which in most streams holds a whole GOP.
const WINDOW_MICROS: i64 = 2_000_000;

/// So much is needed for a first guess.
const GUESS_MICROS: i64 = 200_000;

/// Headers of RTP, SRTP, UDP and IP, and extensions.
const HEADER_BYTES: usize = 60;

/// Measures by the times of the pictures, so that a GOP that is there at once counts as one that has come over time.
#[derive(Debug, Default)]
pub(super) struct Rate {
    begun: Option<i64>,
    latest: i64,
    bytes: u64,
    /// Of the newest picture: it takes the time until the next.
    newest_bytes: u64,
    bits_per_s: u64,
}

impl Rate {
    /// Counts a packet of a picture of that time.
    pub(super) fn count(&mut self, payload_bytes: usize, micros: i64) {
        let begun = *self.begun.get_or_insert(micros);
        if micros != self.latest {
            self.bytes += std::mem::take(&mut self.newest_bytes);
        }
        let elapsed = micros.saturating_sub(begun);
        if !(0..=2 * WINDOW_MICROS).contains(&elapsed) {
            (self.begun, self.bytes) = (Some(micros), 0);
        } else if elapsed >= WINDOW_MICROS {
            let now = per_second(self.bytes, elapsed);
            self.bits_per_s = if self.bits_per_s == 0 { now } else { (self.bits_per_s + now) / 2 };
            (self.begun, self.bytes) = (Some(micros), 0);
        }
        self.latest = micros;
        self.newest_bytes += (payload_bytes + HEADER_BYTES) as u64;
    }

    /// 0 while nothing is known.
    pub(super) fn bits_per_s(&self) -> u64 {
        if self.bits_per_s > 0 {
            return self.bits_per_s;
        }
        let elapsed = self.begun.map_or(0, |begun| self.latest.saturating_sub(begun));
        if elapsed >= GUESS_MICROS { per_second(self.bytes, elapsed) } else { 0 }
    }
}

fn per_second(bytes: u64, micros: i64) -> u64 {
    bytes.saturating_mul(8_000_000) / micros.max(1).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_a_jump_of_its_times_is_none_of_the_rate() {
        let mut rate = Rate::default();
        // 25 pictures a second of 5 packets of 940 bytes and headers: 1 Mbit/s.
        for picture in 0..200_i64 {
            let jump = if picture < 100 { 0 } else { 3_600_000_000 };
            (0..5).for_each(|_| rate.count(940, picture * 40_000 + jump));
            if picture == 4 {
                assert_eq!(rate.bits_per_s(), 0, "too little to tell");
            }
        }
        assert!((950_000..1_050_000).contains(&rate.bits_per_s()), "{}", rate.bits_per_s());
    }
}
