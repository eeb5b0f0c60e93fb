//! VP8 (RFC 6386): the frame tag, and the vpcC record.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::{CodecError, Colour, VideoInfo, vpcc};

/// What is in front of a frame (RFC 6386 §9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTag {
    /// Decoding can begin here.
    pub is_key: bool,
    /// `version`, which is the profile: 0 to 3.
    pub version: u8,
    /// Whether the frame is shown.
    pub show_frame: bool,
    /// `first_part_size`: bytes of the first partition.
    pub first_partition_bytes: u32,
    /// Width and height in luma samples: 1 to 16 383 each. Key frames only.
    pub size: Option<(u32, u32)>,
}

impl FrameTag {
    /// Reads the tag at the beginning of `frame`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no frame of VP8.
    pub fn parse(frame: &[u8]) -> Result<Self, CodecError> {
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let (&[t0, t1, t2], rest) = frame.split_first_chunk::<3>().ok_or(malformed("frame tag", frame.len()))?;
        let tag = u32::from_le_bytes([t0, t1, t2, 0]);
        let is_key = tag & 1 == 0;
        let version = (tag >> 1 & 0b111) as u8;
        if version > 3 {
            return Err(malformed("version", 0));
        }
        let size = if is_key { Some(key_frame_size(rest).map_err(|error| error.shifted(3))?) } else { None };
        Ok(Self { is_key, version, show_frame: tag >> 4 & 1 == 1, first_partition_bytes: tag >> 5, size })
    }
}

/// The start code, then two sizes of 14 bits, each behind two bits of how to enlarge it, which nobody does.
fn key_frame_size(bytes: &[u8]) -> Result<(u32, u32), CodecError> {
    let malformed = |what, offset| CodecError::Malformed { what, offset };
    let header = bytes.first_chunk::<7>().ok_or(malformed("key frame header", bytes.len()))?;
    let [0x9d, 0x01, 0x2a, w0, w1, h0, h1] = *header else { return Err(malformed("start code", 0)) };
    let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff);
    let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff);
    if width == 0 || height == 0 {
        return Err(malformed("size of a key frame", 3));
    }
    Ok((width, height))
}

/// Whether decoding can begin with this frame. A malformed frame is none.
pub fn is_key(frame: &[u8]) -> bool {
    FrameTag::parse(frame).is_ok_and(|tag| tag.is_key)
}

/// `VPCodecConfigurationRecord` (VP Codec ISO Media File Format Binding), without the version and flags of its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vp8Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the pictures. The size is not in a record: it is 0 unless a key frame said it.
    pub info: VideoInfo,
}

impl Vp8Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        Ok(Self { info: vpcc::parse(&record)?, record })
    }

    /// The configuration of a stream that has this key frame: 8 bits, 4:2:0, and the matrix of BT.601 (RFC 6386 §9.2).
    /// VP8 has no levels; the record has room for one, which is 0.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed, or no key frame.
    pub fn from_frame(frame: &[u8]) -> Result<Self, CodecError> {
        let tag = FrameTag::parse(frame)?;
        let not_key = CodecError::Unsupported { what: "VP8 configuration of a frame that is no key frame" };
        let (width, height) = tag.size.ok_or(not_key)?;
        let colour = Colour { matrix: 6, ..Colour::default() };
        let info = VideoInfo {
            width,
            height,
            profile: tag.version,
            bit_depth: 8,
            colour,
            max_reorder_frames: Some(0),
            ..VideoInfo::default()
        };
        Ok(Self { record: vpcc::build(&info), info })
    }

    /// The same configuration with the size that the first key frame says, since a record has none.
    #[must_use]
    pub fn with_size(mut self, width: u32, height: u32) -> Self {
        (self.info.width, self.info.height) = (width, height);
        self
    }

    /// The `codecs` parameter of RFC 6381: `vp8`. The binding defines `vp08.PP.LL.DD` beside it, which no browser takes.
    pub fn rfc6381(&self) -> String {
        "vp8".to_owned()
    }
}
