//! Waveforms that need no decoder to speak of: G.711, G.722 and linear PCM.
//!
//! Nothing in such a stream says what it is, so the configuration comes from outside (SDP, a descriptor, a box), and a
//! duration is a division.

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// Bytes of the record.
const RECORD_BYTES: usize = 6;
/// Sampling rates that are taken for real: telephones to studios.
const RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Sampling of a waveform. No standard has a record for it; this one is of arcly: sampling rate in Hz (32 bits,
/// big-endian), channels (8 bits), bits per sample as coded (8 bits): 8 for G.711, 4 for G.722 (64 kbit/s at 16 kHz), 8,
/// 16, 24 or 32 for linear PCM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcmConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound. `bits_per_sample` are those of the coded stream.
    pub info: AudioInfo,
}

impl PcmConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is not 6 bytes long or holds a number out of range.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let &[r0, r1, r2, r3, channels, bits] = record.as_ref() else {
            return Err(malformed("PCM record", record.len().min(RECORD_BYTES)));
        };
        let sample_rate_hz = u32::from_be_bytes([r0, r1, r2, r3]);
        if !RATES_HZ.contains(&sample_rate_hz) {
            return Err(malformed("sampling rate", 0));
        }
        if channels == 0 {
            return Err(malformed("channels", 4));
        }
        if !matches!(bits, 4 | 8 | 16 | 24 | 32) {
            return Err(malformed("bits per sample", 5));
        }
        let info = AudioInfo { sample_rate_hz, channels, samples_per_frame: 0, bits_per_sample: bits };
        Ok(Self { record, info })
    }

    /// A waveform of `channels` at `sample_rate_hz`, each sample coded in `bits` (see [`PcmConfig`]).
    ///
    /// For G.722 the rate is 16 000, whatever the RTP clock says: RFC 3551 §4.5.2 keeps the 8000 of an error.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn new(sample_rate_hz: u32, channels: u8, bits: u8) -> Result<Self, CodecError> {
        let [r0, r1, r2, r3] = sample_rate_hz.to_be_bytes();
        Self::parse(Bytes::copy_from_slice(&[r0, r1, r2, r3, channels, bits]))
    }

    /// Samples per channel in `payload_bytes`; a last one that is not whole does not count. Saturates.
    pub fn samples(&self, payload_bytes: usize) -> u32 {
        let bits = (payload_bytes as u64).saturating_mul(8);
        let frame_bits = u64::from(self.info.channels) * u64::from(self.info.bits_per_sample);
        let samples = bits.checked_div(frame_bits).unwrap_or(0);
        u32::try_from(samples).unwrap_or(u32::MAX)
    }

    /// Bytes of `samples` per channel, the last one filled up. Saturates.
    pub fn bytes(&self, samples: u32) -> usize {
        let frame_bits = u64::from(self.info.channels) * u64::from(self.info.bits_per_sample);
        let bytes = u64::from(samples).saturating_mul(frame_bits).div_ceil(8);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The `codecs` parameter of RFC 6381: none of them has one.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::{mutations, truncations};

    #[test]
    fn samples_of_a_packet_are_what_the_codec_says() {
        // 20 ms of each: 160 bytes of G.711, 160 of G.722, 3840 of 16-bit stereo.
        for (rate, channels, bits, bytes, samples) in
            [(8_000, 1, 8, 160, 160), (16_000, 1, 4, 160, 320), (48_000, 2, 16, 3_840, 960), (48_000, 6, 24, 18, 1)]
        {
            let config = PcmConfig::new(rate, channels, bits).unwrap();
            assert_eq!(config.samples(bytes), samples, "{config:?}");
            assert_eq!(config.bytes(samples), bytes, "{config:?}");
            assert_eq!(config.samples(bytes + config.bytes(1) - 1), samples, "a part of a sample");
        }
        assert_eq!(PcmConfig::new(8_000, 1, 8).unwrap().samples(usize::MAX), u32::MAX);
    }

    #[test]
    fn record_says_what_it_was_made_of() {
        let config = PcmConfig::new(44_100, 2, 16).unwrap();
        assert_eq!(config.record.as_ref(), [0, 0, 0xac, 0x44, 2, 16]);
        assert_eq!(PcmConfig::parse(config.record.clone()), Ok(config.clone()));
        truncations(&config.record, |bytes| assert!(PcmConfig::parse(Bytes::copy_from_slice(bytes)).is_err()));
        mutations(1, 20_000, &[&config.record], |bytes| {
            if let Ok(config) = PcmConfig::parse(Bytes::copy_from_slice(bytes)) {
                let AudioInfo { sample_rate_hz, channels, bits_per_sample, .. } = config.info;
                assert_eq!(PcmConfig::new(sample_rate_hz, channels, bits_per_sample), Ok(config));
            }
        });
    }

    #[test]
    fn numbers_that_no_waveform_has_are_refused() {
        for (rate, channels, bits) in
            [(0, 1, 8), (999, 1, 8), (u32::MAX, 1, 8), (8_000, 0, 8), (8_000, 1, 0), (8_000, 1, 12)]
        {
            assert!(PcmConfig::new(rate, channels, bits).is_err(), "{rate} {channels} {bits}");
        }
    }
}
