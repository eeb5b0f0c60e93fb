//! `StreamMuxConfig()` (ISO/IEC 14496-3 §1.7.3.1).

use bytes::Bytes;

use super::super::AudioSpecificConfig;
use crate::{CodecError, bit_packer::BitPacker, bits::BitReader};

/// Largest AudioSpecificConfig that `ascLen` may announce: what the record may have.
const MAX_ASC_BITS: u32 = 8 * super::super::MAX_ASC_BYTES as u32;

/// How long the payloads are (`frameLengthType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameLength {
    /// 0: each says it.
    Variable,
    /// 1: so many bits each.
    Fixed {
        /// `8 × (frameLength + 20)`.
        bits: u32,
    },
}

/// How the access units of an element are multiplexed, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMuxConfig {
    /// What the access units are.
    pub audio: AudioSpecificConfig,
    /// Access units of an element: 1 to 64.
    pub sub_frames: u8,
    /// How long they are.
    pub frame_length: FrameLength,
    /// `otherDataLenBits`: bits that follow the access units, and are something else.
    pub other_data_bits: u32,
}

impl StreamMuxConfig {
    /// Reads a configuration that stands alone, as SDP has it (RFC 6416 §6.1, `config`).
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut BitReader::new(bytes))
    }

    /// Reads a configuration within an element.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let is_version_1 = bits.flag("audioMuxVersion")?;
        if is_version_1 {
            if bits.flag("audioMuxVersionA")? {
                return Err(CodecError::Unsupported { what: "LATM of audioMuxVersionA 1" });
            }
            value(bits, "taraBufferFullness")?;
        }
        if !bits.flag("allStreamsSameTimeFraming")? {
            return Err(CodecError::Unsupported { what: "LATM of streams with different time framing" });
        }
        let sub_frames = bits.u8(6, "numSubFrames")? + 1;
        if bits.u(4, "numProgram")? != 0 || bits.u(3, "numLayer")? != 0 {
            return Err(CodecError::Unsupported { what: "LATM of several programmes or layers" });
        }
        let audio = if is_version_1 { sized_config(bits)? } else { AudioSpecificConfig::read_embedded(bits)? };
        let frame_length = frame_length(bits)?;
        let other_data_bits = if bits.flag("otherDataPresent")? { other_data_bits(bits, is_version_1)? } else { 0 };
        if bits.flag("crcCheckPresent")? {
            bits.skip(8, "crcCheckSum")?;
        }
        Ok(Self { audio, sub_frames, frame_length, other_data_bits })
    }

    /// Writes a configuration of one access unit an element, each of which says how long it is. Version 1, since only that
    /// says where the AudioSpecificConfig ends, without which a backward compatible extension cannot be told.
    pub(super) fn write(bits: &mut BitPacker, audio: &AudioSpecificConfig) {
        bits.flag(true);
        bits.flag(false);
        // taraBufferFullness: unknown.
        put_value(bits, 0xff);
        bits.flag(true);
        bits.u(6 + 4 + 3, 0);
        put_value(bits, 8 * audio.record.len() as u32);
        bits.put(&audio.record);
        // frameLengthType 0, and a latmBufferFullness of all ones: variable bit rate.
        bits.u(3, 0);
        bits.u(8, 0xff);
        bits.flag(false);
        bits.flag(false);
    }
}

/// `LatmGetValue()`.
fn value(bits: &mut BitReader<'_>, what: &'static str) -> Result<u32, CodecError> {
    let bytes = bits.u8(2, what)? + 1;
    bits.u(8 * bytes, what)
}

fn put_value(bits: &mut BitPacker, value: u32) {
    let bytes = (32 - value.leading_zeros()).div_ceil(8).max(1) as u8;
    bits.u(2, u32::from(bytes - 1));
    bits.u(8 * bytes, value);
}

/// An AudioSpecificConfig that `ascLen` bits hold, fill bits among them.
fn sized_config(bits: &mut BitReader<'_>) -> Result<AudioSpecificConfig, CodecError> {
    let start = bits.clone();
    let length = value(bits, "ascLen")?;
    if length > MAX_ASC_BITS || length as usize > bits.remaining_bits() {
        return Err(start.malformed("ascLen"));
    }
    let begin = bits.offset();
    let mut record = BitPacker::new();
    record.copy(bits, length as usize, "ascLen")?;
    let record: Bytes = record.finish();
    AudioSpecificConfig::parse(record).map_err(|error| error.shifted(begin))
}

fn frame_length(bits: &mut BitReader<'_>) -> Result<FrameLength, CodecError> {
    match bits.u(3, "frameLengthType")? {
        0 => {
            bits.skip(8, "latmBufferFullness")?;
            Ok(FrameLength::Variable)
        }
        1 => Ok(FrameLength::Fixed { bits: 8 * (bits.u(9, "frameLength")? + 20) }),
        _ => Err(CodecError::Unsupported { what: "LATM of CELP or HVXC" }),
    }
}

fn other_data_bits(bits: &mut BitReader<'_>, is_version_1: bool) -> Result<u32, CodecError> {
    if is_version_1 {
        return value(bits, "otherDataLenBits");
    }
    let start = bits.clone();
    let mut length = 0_u32;
    loop {
        let goes_on = bits.flag("otherDataLenEsc")?;
        let more = bits.u(8, "otherDataLenTmp")?;
        length = length.checked_mul(256).map(|length| length + more).ok_or(start.malformed("otherDataLenBits"))?;
        if !goes_on {
            return Ok(length);
        }
    }
}
