//! MPEG-1 and MPEG-2 audio, layers I to III (ISO/IEC 11172-3, 13818-3), and the lower rates of "MPEG 2.5": the frame header.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::{AudioInfo, CodecError};

/// Bytes of a frame header, without the checksum that may follow.
pub const HEADER_BYTES: usize = 4;
/// Largest frame that a header can say: layer II, 384 kbit/s at 32 kHz in 1152 samples, with padding.
pub const MAX_FRAME_BYTES: usize = 1_729;

/// Bit rates in kbit/s by `bitrate_index` 1 to 14 (ISO/IEC 11172-3 §2.4.2.3; 13818-3 §2.4.2.3).
const MPEG1_LAYER1_KBPS: [u16; 14] = [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
const MPEG1_LAYER2_KBPS: [u16; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const MPEG1_LAYER3_KBPS: [u16; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const MPEG2_LAYER1_KBPS: [u16; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
const MPEG2_LAYERS_2_3_KBPS: [u16; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Which standard a frame follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// ISO/IEC 11172-3: 32, 44.1 and 48 kHz.
    Mpeg1,
    /// ISO/IEC 13818-3, half the sampling rates.
    Mpeg2,
    /// No standard: a quarter of the sampling rates, with the header's last sync bit 0. Layer III only.
    Mpeg25,
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Which standard the frame follows.
    pub version: Version,
    /// 1, 2 or 3.
    pub layer: u8,
    /// Whether 16 bits of checksum follow the header.
    pub has_crc: bool,
    /// Bit rate of this frame, in kbit/s: 8 to 448.
    pub bit_rate_kbps: u16,
    /// Sampling rate in Hz: 8000 to 48 000.
    pub sample_rate_hz: u32,
    /// Whether the frame has a slot more than the others: a byte; four in layer I.
    pub has_padding: bool,
    /// `mode`: 0 stereo, 1 joint stereo, 2 two channels that have nothing to do with each other, 3 mono.
    pub mode: u8,
    /// The header itself.
    bytes: [u8; HEADER_BYTES],
}

impl FrameHeader {
    /// Reads the header at the beginning of `bytes`, which need not hold the whole frame.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no header; [`CodecError::Unsupported`] for the free format, in which
    /// only the next header tells where a frame ends.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let &bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(malformed("MPEG audio header", bytes.len()))?;
        let [b0, b1, b2, b3] = bytes;
        if b0 != 0xff || b1 & 0xe0 != 0xe0 {
            return Err(malformed("MPEG audio syncword", 0));
        }
        let version = match b1 >> 3 & 0b11 {
            0 => Version::Mpeg25,
            2 => Version::Mpeg2,
            3 => Version::Mpeg1,
            _ => return Err(malformed("MPEG audio ID", 1)),
        };
        let layer = 4 - (b1 >> 1 & 0b11);
        if layer == 4 || (version == Version::Mpeg25 && layer != 3) {
            return Err(malformed("MPEG audio layer", 1));
        }
        // Emphasis 2 is reserved: one more of the few bits that tell a header from noise.
        if b3 & 0b11 == 2 {
            return Err(malformed("MPEG audio emphasis", 3));
        }
        Ok(Self {
            version,
            layer,
            has_crc: b1 & 1 == 0,
            bit_rate_kbps: bit_rate_kbps(version, layer, b2 >> 4)?,
            sample_rate_hz: sample_rate_hz(version, b2 >> 2 & 0b11)
                .ok_or(malformed("MPEG audio sampling_frequency", 2))?,
            has_padding: b2 & 0b10 != 0,
            mode: b3 >> 6,
            bytes,
        })
    }

    /// Bytes of the frame, header included. The next header begins here.
    pub fn frame_bytes(&self) -> usize {
        let bit_rate_bps = 1_000 * u32::from(self.bit_rate_kbps);
        let padding = u32::from(self.has_padding);
        // Layer I counts in slots of four bytes (ISO/IEC 11172-3 §2.4.3.1).
        let bytes = match self.layer {
            1 => 4 * (12 * bit_rate_bps / self.sample_rate_hz + padding),
            _ => self.samples_per_frame() / 8 * bit_rate_bps / self.sample_rate_hz + padding,
        };
        bytes as usize
    }

    /// Samples per channel in the frame: 384, 1152, or 576 for layer III at the lower rates.
    pub fn samples_per_frame(&self) -> u32 {
        match (self.layer, self.version) {
            (1, _) => 384,
            (3, Version::Mpeg2 | Version::Mpeg25) => 576,
            _ => 1_152,
        }
    }

    /// 1 or 2.
    pub fn channels(&self) -> u8 {
        if self.mode == 3 { 1 } else { 2 }
    }

    /// Checks the checksum of a whole frame of layer III or I, where the protected bits are known without decoding
    /// (ISO/IEC 11172-3 §2.4.3.1). `true` when there is none, and for layer II.
    pub fn is_crc_right(&self, frame: &[u8]) -> bool {
        let protected_bytes = match (self.layer, self.version, self.mode) {
            (1, _, 3) => 16,
            (1, ..) if self.mode != 1 => 32,
            (3, Version::Mpeg1, 3) => 17,
            (3, Version::Mpeg1, _) => 32,
            (3, _, 3) => 9,
            (3, ..) => 17,
            _ => return true,
        };
        let (Some(said), Some(body)) = (frame.get(4..6), frame.get(6..6 + protected_bytes)) else {
            return !self.has_crc;
        };
        let [_, _, b2, b3] = self.bytes;
        let crc = [b2, b3].iter().chain(body).fold(0xffff, |crc, &byte| crc16(crc, byte));
        !self.has_crc || said == crc.to_be_bytes()
    }
}

/// The polynomial x¹⁶ + x¹⁵ + x² + 1.
fn crc16(crc: u16, byte: u8) -> u16 {
    (0..8).rev().fold(crc, |crc, place| {
        let carry = crc >> 15 ^ u16::from(byte >> place & 1);
        crc << 1 ^ if carry == 1 { 0x8005 } else { 0 }
    })
}

fn bit_rate_kbps(version: Version, layer: u8, index: u8) -> Result<u16, CodecError> {
    let rates = match (version, layer) {
        (Version::Mpeg1, 1) => MPEG1_LAYER1_KBPS,
        (Version::Mpeg1, 2) => MPEG1_LAYER2_KBPS,
        (Version::Mpeg1, _) => MPEG1_LAYER3_KBPS,
        (_, 1) => MPEG2_LAYER1_KBPS,
        (_, _) => MPEG2_LAYERS_2_3_KBPS,
    };
    let free_format =
        CodecError::Unsupported { what: "MPEG audio of free format: the frame does not say how long it is" };
    let index = index.checked_sub(1).ok_or(free_format)?;
    let rate = rates.get(usize::from(index)).copied();
    rate.ok_or(CodecError::Malformed { what: "MPEG audio bitrate_index", offset: 2 })
}

fn sample_rate_hz(version: Version, index: u8) -> Option<u32> {
    let mpeg1 = [44_100, 48_000, 32_000].get(usize::from(index)).copied()?;
    Some(match version {
        Version::Mpeg1 => mpeg1,
        Version::Mpeg2 => mpeg1 / 2,
        Version::Mpeg25 => mpeg1 / 4,
    })
}

/// A frame header (ISO/IEC 11172-3 §2.4.1.3): the record is its four bytes, with all that may differ from frame to frame
/// set to one value, so that equal records mean the same stream: the lowest bit rate, no checksum, no padding, no private
/// bit, stereo for joint stereo, no emphasis and no copyright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MpegAudioConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
    /// 1, 2 or 3.
    pub layer: u8,
    /// Which standard the frames follow.
    pub version: Version,
}

impl MpegAudioConfig {
    /// Reads the record: any frame header. What follows it is kept and not judged.
    ///
    /// # Errors
    /// As [`FrameHeader::parse`]; [`CodecError::LimitExceeded`] for more than a frame.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_FRAME_BYTES {
            let (max, seen) = (MAX_FRAME_BYTES, record.len());
            return Err(CodecError::LimitExceeded { limit: "bytes of an MPEG audio header", max, seen });
        }
        let header = FrameHeader::parse(&record)?;
        Ok(Self { record, ..Self::from_header(&header) })
    }

    /// The configuration of a stream that has such frames.
    pub fn from_header(header: &FrameHeader) -> Self {
        let [b0, b1, b2, _] = header.bytes;
        let mode = if header.mode == 1 { 0 } else { header.mode };
        let record = [b0, b1 | 1, 0x10 | b2 & 0b1100, mode << 6];
        let info = AudioInfo {
            sample_rate_hz: header.sample_rate_hz,
            channels: header.channels(),
            samples_per_frame: header.samples_per_frame(),
            bits_per_sample: 0,
        };
        Self { record: Bytes::copy_from_slice(&record), info, layer: header.layer, version: header.version }
    }

    /// The same configuration, if it is of one of these layers: 3 is [`Codec::Mp3`](crate::Codec::Mp3), 1 and 2 are
    /// [`Codec::Mp2`](crate::Codec::Mp2).
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is of another.
    pub fn of_layers(self, layers: std::ops::RangeInclusive<u8>) -> Result<Self, CodecError> {
        let is_one = layers.contains(&self.layer);
        if is_one { Ok(self) } else { Err(CodecError::Malformed { what: "MPEG audio layer", offset: 1 }) }
    }

    /// `objectTypeIndication` of an `esds` box (ISO/IEC 14496-1 Table 5): 0x6B for MPEG-1, 0x69 for the lower rates.
    pub fn object_type_indication(&self) -> u8 {
        if self.version == Version::Mpeg1 { 0x6b } else { 0x69 }
    }

    /// The `codecs` parameter of RFC 6381.
    ///
    /// `mp4a.40.34` for layer III, `.33` and `.32` for II and I: the object types of ISO/IEC 14496-3 Table 1.17. That is what
    /// the HLS authoring rules, hls.js and the DASH muxer of FFmpeg call MP3; `mp4a.6B` and `mp4a.69`, after the
    /// `objectTypeIndication`, mean the same and are known to Chromium's `canPlayType`, though not to its media source.
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", 31 + self.layer)
    }
}
