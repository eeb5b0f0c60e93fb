//! What a multivariant playlist says about the stream (RFC 8216 §4.3.4.2): measured bit rates, codecs, picture.

use std::fmt::Write;

use arcly_bus::TrackSet;
use arcly_codec::{CodecConfig, MediaKind};

use super::segment::Segment;

/// Bit rates and picture rate of the complete segments.
#[derive(Debug, Default)]
pub(super) struct Meter {
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
    fn add(&mut self, segment: &Segment) {
        self.bytes = self.bytes.saturating_add(u64::try_from(segment.data.len()).unwrap_or(u64::MAX));
        self.us = self.us.saturating_add(duration_us(segment));
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
    pub(super) fn add(&mut self, segment: &Segment, target_duration_s: Option<u64>) {
        self.total.add(segment);
        self.run.add(segment);
        if self.run.us >= target_duration_s.unwrap_or(1).saturating_mul(500_000) {
            self.peak_bps = self.peak_bps.max(self.run.bps());
            self.run = Sum::default();
        }
        if segment.pictures > 0 {
            self.pictures += segment.pictures;
            self.pictures_us = self.pictures_us.saturating_add(duration_us(segment));
        }
    }

    /// Forgets the picture rate: that of other tracks says nothing.
    pub(super) fn forget_pictures(&mut self) {
        (self.pictures, self.pictures_us) = (0, 0);
    }

    fn average_bps(&self) -> u64 {
        self.total.bps()
    }

    fn peak_bps(&self) -> u64 {
        self.peak_bps.max(self.average_bps())
    }

    /// Pictures in 1000 seconds.
    fn picture_rate_milli(&self) -> Option<u64> {
        let pictures = u128::from(self.pictures) * 1_000_000_000;
        let rate = pictures.checked_div(u128::from(self.pictures_us))?;
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// The attributes of `EXT-X-STREAM-INF` for a stream of these tracks.
pub(super) fn attributes(tracks: &TrackSet, meter: &Meter) -> String {
    let mut attributes = format!("BANDWIDTH={},AVERAGE-BANDWIDTH={}", meter.peak_bps(), meter.average_bps());
    let codecs: Vec<String> = tracks.tracks.iter().map(|track| track.config.rfc6381()).collect();
    let _ = write!(attributes, ",CODECS=\"{}\"", codecs.join(","));
    if let Some(CodecConfig::H264(avc)) = tracks.first(MediaKind::Video).map(|track| &track.config) {
        let _ = write!(attributes, ",RESOLUTION={}x{}", avc.info.width, avc.info.height);
        if let Some(rate) = avc.info.frame_rate.and_then(sane_rate_milli).or(meter.picture_rate_milli()) {
            let _ = write!(attributes, ",FRAME-RATE={}.{:03}", rate / 1000, rate % 1000);
        }
    }
    attributes
}

/// Pictures in 1000 seconds, if the encoder's claim is one to believe.
fn sane_rate_milli((numerator, denominator): (u32, u32)) -> Option<u64> {
    let denominator = u64::from(denominator);
    let rate = (u64::from(numerator) * 1000 + denominator / 2).checked_div(denominator)?;
    (1_000..=MAX_CLAIMED_RATE_MILLI).contains(&rate).then_some(rate)
}

fn duration_us(segment: &Segment) -> u64 {
    u64::try_from(segment.duration_us).unwrap_or(0)
}

/// Some encoders write a clock rate where the frame rate belongs.
const MAX_CLAIMED_RATE_MILLI: u64 = 300_000;
