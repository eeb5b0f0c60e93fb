//! The frame header (RFC 9639 §9.1), behind which its checksum tells a frame from noise.

use super::FlacConfig;
use crate::{CodecError, bits::BitReader};

/// Longest header: fixed part, a coded number of seven bytes, block size, sampling rate, checksum.
pub const MAX_FRAME_HEADER_BYTES: usize = 4 + 7 + 2 + 2 + 1;

/// Sampling rates in Hz by their bits 1 to 11 (RFC 9639 §9.1.2).
const SAMPLE_RATES_HZ: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// What the header of a frame says; what it leaves to STREAMINFO is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether `number` counts samples; else it counts frames.
    pub variable_block_size: bool,
    /// The frame's number, or that of its first sample: at most 36 bits.
    pub number: u64,
    /// Samples per channel: 1 to 65 535.
    pub block_samples: u32,
    /// Sampling rate in Hz.
    pub sample_rate_hz: Option<u32>,
    /// Channels: 1 to 8.
    pub channels: u8,
    /// Bits per sample.
    pub bits_per_sample: Option<u8>,
    /// Bytes of the header, checksum included.
    pub header_bytes: usize,
}

impl FrameHeader {
    /// Reads the header at the beginning of `bytes`, which need not hold the whole frame, and checks its CRC-8.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no whole header.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(bytes);
        if bits.u(15, "FLAC frame sync code")? != 0x7ffc {
            return Err(CodecError::Malformed { what: "FLAC frame sync code", offset: 0 });
        }
        let variable_block_size = bits.flag("blocking strategy")?;
        let block_size_bits = bits.u8(4, "block size bits")?;
        let sample_rate_bits = bits.u8(4, "sample rate bits")?;
        let channels = channels(&mut bits)?;
        let bits_per_sample = bits_per_sample(&mut bits)?;
        bits.skip(1, "reserved bit")?;
        let number = coded_number(&mut bits)?;
        let block_samples = block_samples(block_size_bits, &mut bits)?;
        let sample_rate_hz = sample_rate(sample_rate_bits, &mut bits)?;
        let covered = bytes.get(..bits.offset()).unwrap_or_default();
        let checksum = bits.clone();
        if bits.u8(8, "frame header CRC")? != crc8(covered) {
            return Err(checksum.malformed("frame header CRC"));
        }
        let header_bytes = bits.offset();
        Ok(Self { variable_block_size, number, block_samples, sample_rate_hz, channels, bits_per_sample, header_bytes })
    }

    /// The first sample of the frame, counted from the beginning of the stream. Frame numbers count blocks of one size.
    pub fn first_sample(&self, config: &FlacConfig) -> u64 {
        if self.variable_block_size { self.number } else { self.number * u64::from(config.max_block_samples) }
    }
}

fn channels(bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
    let start = bits.clone();
    match bits.u8(4, "channel bits")? {
        independent @ 0..=7 => Ok(independent + 1),
        // Left and side, side and right, mid and side.
        8..=10 => Ok(2),
        _ => Err(start.malformed("channel bits")),
    }
}

fn bits_per_sample(bits: &mut BitReader<'_>) -> Result<Option<u8>, CodecError> {
    let start = bits.clone();
    match bits.u8(3, "bit depth bits")? {
        0 => Ok(None),
        1 => Ok(Some(8)),
        2 => Ok(Some(12)),
        4 => Ok(Some(16)),
        5 => Ok(Some(20)),
        6 => Ok(Some(24)),
        7 => Ok(Some(32)),
        _ => Err(start.malformed("bit depth bits")),
    }
}

/// The number behind the fixed part, coded as UTF-8 would a character of up to 36 bits (RFC 9639 §9.1.5).
fn coded_number(bits: &mut BitReader<'_>) -> Result<u64, CodecError> {
    let start = bits.clone();
    let first = bits.u8(8, "coded number")?;
    let following = match first.leading_ones() {
        0 => return Ok(u64::from(first)),
        ones @ 2..=7 => ones - 1,
        _ => return Err(start.malformed("coded number")),
    };
    let mut number = u64::from(first) & (0x3f >> following);
    for _ in 0..following {
        let byte = bits.u8(8, "coded number")?;
        if byte & 0xc0 != 0x80 {
            return Err(start.malformed("coded number"));
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    Ok(number)
}

fn block_samples(size_bits: u8, bits: &mut BitReader<'_>) -> Result<u32, CodecError> {
    match size_bits {
        0 => Err(CodecError::Malformed { what: "block size bits", offset: 2 }),
        1 => Ok(192),
        2..=5 => Ok(144 << size_bits),
        6 => Ok(bits.u(8, "uncommon block size")? + 1),
        7 => {
            let start = bits.clone();
            let less_one = bits.u(16, "uncommon block size")?;
            // STREAMINFO could not say it (RFC 9639 §9.1.6).
            if less_one == 0xffff { Err(start.malformed("uncommon block size")) } else { Ok(less_one + 1) }
        }
        _ => Ok(1 << size_bits),
    }
}

fn sample_rate(rate_bits: u8, bits: &mut BitReader<'_>) -> Result<Option<u32>, CodecError> {
    let start = bits.clone();
    let rate = match rate_bits {
        0 => return Ok(None),
        12 => 1_000 * bits.u(8, "uncommon sample rate")?,
        13 => bits.u(16, "uncommon sample rate")?,
        14 => 10 * bits.u(16, "uncommon sample rate")?,
        _ => {
            let known = SAMPLE_RATES_HZ.get(usize::from(rate_bits) - 1).copied();
            known.ok_or(CodecError::Malformed { what: "sample rate bits", offset: 2 })?
        }
    };
    if rate == 0 { Err(start.malformed("uncommon sample rate")) } else { Ok(Some(rate)) }
}

/// The polynomial x⁸ + x² + x + 1, from 0 (RFC 9639 §9.1.8).
fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |crc, &byte| (0..8).fold(crc ^ byte, |crc, _| crc << 1 ^ if crc & 0x80 != 0 { 0x07 } else { 0 }))
}
