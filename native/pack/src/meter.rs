//! Measured bit rates and picture rates: what a multivariant playlist and an MPD say about a stream.

/// Bit rates and picture rate of complete segments.
#[derive(Debug, Default, Clone)]
pub(crate) struct Meter {
    peak_bps: u64,
    total: Sum,
    /// The newest segments that together are not long enough yet to say something on the peak.
    run: Sum,
    pictures: u64,
    pictures_us: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    bytes: u64,
    us: u64,
}

impl Sum {
    fn add(&mut self, bytes: usize, us: u64) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.us = self.us.saturating_add(us);
    }

    fn bps(self) -> u64 {
        let bits = u128::from(self.bytes) * 8 * 1_000_000;
        u64::try_from(bits / u128::from(self.us.max(1))).unwrap_or(u64::MAX)
    }
}

impl Meter {
    /// Takes a segment into account.
    ///
    /// The peak is that of contiguous segments which last half a target duration or more together: `BANDWIDTH` of
    /// RFC 8216bis §4.4.6.2 leaves shorter ones out.
    pub(crate) fn add(&mut self, bytes: usize, duration_us: i64, pictures: u64, target_duration_s: Option<u64>) {
        let us = u64::try_from(duration_us).unwrap_or(0);
        self.total.add(bytes, us);
        self.run.add(bytes, us);
        if self.run.us >= target_duration_s.unwrap_or(1).saturating_mul(500_000) {
            self.peak_bps = self.peak_bps.max(self.run.bps());
            self.run = Sum::default();
        }
        if pictures > 0 {
            self.pictures += pictures;
            self.pictures_us = self.pictures_us.saturating_add(us);
        }
    }

    /// Forgets the picture rate: that of other tracks says nothing.
    pub(crate) fn forget_pictures(&mut self) {
        (self.pictures, self.pictures_us) = (0, 0);
    }

    /// Bits a second over all segments so far.
    pub(crate) fn average_bps(&self) -> u64 {
        self.total.bps()
    }

    /// The most bits a second of a segment so far.
    pub(crate) fn peak_bps(&self) -> u64 {
        self.peak_bps.max(self.average_bps())
    }

    /// Pictures in 1000 seconds: what the encoder says of itself, if it is to be believed, else as measured.
    pub(crate) fn picture_rate_milli(&self, claimed: Option<(u32, u32)>) -> Option<u64> {
        claimed.and_then(sane_rate_milli).or_else(|| {
            let pictures = u128::from(self.pictures) * 1_000_000_000;
            let rate = pictures.checked_div(u128::from(self.pictures_us))?;
            u64::try_from(rate).ok().filter(|rate| *rate > 0)
        })
    }
}

/// Pictures in 1000 seconds, if the encoder's claim is one to believe.
pub(crate) fn sane_rate_milli((numerator, denominator): (u32, u32)) -> Option<u64> {
    let denominator = u64::from(denominator);
    let rate = (u64::from(numerator) * 1000 + denominator / 2).checked_div(denominator)?;
    (1_000..=MAX_CLAIMED_RATE_MILLI).contains(&rate).then_some(rate)
}

/// Some encoders write a clock rate where the frame rate belongs.
const MAX_CLAIMED_RATE_MILLI: u64 = 300_000;
