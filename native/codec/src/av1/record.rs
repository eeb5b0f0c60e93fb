//! `AV1CodecConfigurationRecord` (AV1-ISOBMFF §2.3), and the `codecs` parameter (§5).

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    canonical::put_obu,
    metadata,
    obu::{OBU_SEQUENCE_HEADER, obus},
    sequence::{OperatingPoint, SequenceHeader},
};
use crate::{Chroma, CodecError, Colour, Hdr, VideoInfo};

/// Largest av1C record. Behind its four bytes there are a sequence header and perhaps metadata; real ones have 20.
pub const MAX_RECORD_BYTES: usize = 65_536;

/// `AV1CodecConfigurationRecord` (AV1 Codec ISO Media File Format Binding §2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Av1Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the pictures. Without a sequence header in it the size is 0.
    pub info: VideoInfo,
    /// The whole sequence header OBU, with its size, when the record has one.
    pub sequence_header: Option<Bytes>,
    /// What that says.
    pub sequence: Option<SequenceHeader>,
    /// `chroma_sample_position`: 0 unknown, 1 vertical, 2 colocated.
    pub chroma_sample_position: u8,
    /// `initial_presentation_delay_minus_one`: frames to be decoded before the first can be shown without a stall, less one.
    pub initial_presentation_delay_minus_one: Option<u8>,
}

impl Av1Config {
    /// Reads the record. Where a sequence header contradicts the four bytes in front of it, the header is believed.
    ///
    /// # Errors
    /// [`CodecError`] when the record or a sequence header in it is malformed.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_RECORD_BYTES {
            let (max, seen) = (MAX_RECORD_BYTES, record.len());
            return Err(CodecError::LimitExceeded { limit: "bytes of an av1C record", max, seen });
        }
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let (&[b0, b1, b2, b3], config_obus) =
            record.split_first_chunk::<4>().ok_or(malformed("av1C record", record.len()))?;
        // marker and version.
        if b0 != 0x81 {
            return Err(malformed("version of av1C", 0));
        }
        let sequence_header = find_sequence_header(config_obus)?;
        let sequence = sequence_header.as_ref().map(|(_, sequence)| sequence.clone());
        let info = sequence.as_ref().map_or_else(|| info_of_fields(b1, b2), SequenceHeader::info);
        Ok(Self {
            info,
            sequence_header: sequence_header.map(|(obu, _)| obu),
            chroma_sample_position: sequence.as_ref().map_or(b2 & 0b11, |sequence| sequence.chroma_sample_position),
            sequence,
            initial_presentation_delay_minus_one: (b3 & 0x10 != 0).then_some(b3 & 0xf),
            record,
        })
    }

    /// Makes the record of a sequence header: the whole OBU, with its size.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed, or no sequence header.
    pub fn from_sequence_header(obu: &[u8]) -> Result<Self, CodecError> {
        let first = obus(obu).next().transpose()?.filter(|obu| obu.kind == OBU_SEQUENCE_HEADER && obu.has_size);
        let first = first.ok_or(CodecError::Malformed { what: "sequence header OBU", offset: 0 })?;
        let header_bytes = first.bytes.len() - first.payload.len();
        let sequence = SequenceHeader::parse(first.payload).map_err(|error| error.shifted(header_bytes))?;
        let mut record = BytesMut::with_capacity(4 + first.bytes.len());
        record.put_slice(&fields(&sequence));
        record.put_slice(first.bytes);
        Self::parse(record.freeze()).map_err(|error| match error {
            CodecError::Malformed { what, offset } => CodecError::Malformed { what, offset: offset.saturating_sub(4) },
            other => other,
        })
    }

    /// The configuration that holds behind an in-band sequence header; `None` when it says nothing new.
    ///
    /// # Errors
    /// As [`Self::from_sequence_header`].
    pub fn with_sequence_header(&self, obu: &Bytes) -> Result<Option<Self>, CodecError> {
        if self.sequence_header.as_ref() == Some(obu) {
            return Ok(None);
        }
        Self::from_sequence_header(obu).map(Some)
    }

    /// What metadata among `configOBUs` says about HDR.
    pub fn hdr(&self) -> Hdr {
        metadata::hdr(self.record.get(4..).unwrap_or_default())
    }

    /// The same configuration that says how many samples must be decoded before the first can be shown without a stall,
    /// less one: 0 to 15; `None` when that is unknown.
    #[must_use]
    pub fn with_initial_presentation_delay(mut self, minus_one: Option<u8>) -> Self {
        let minus_one = minus_one.map(|delay| delay.min(0xf));
        let mut record = BytesMut::from(self.record.as_ref());
        if let Some(field) = record.get_mut(3) {
            *field = minus_one.map_or(0, |delay| 0x10 | delay);
        }
        self.record = record.freeze();
        self.initial_presentation_delay_minus_one = minus_one;
        self
    }

    /// `av01.P.LLT.DD` (AV1-ISOBMFF §5), and `.M.CCC.cp.tc.mc.F` behind it when one of these is not the default: all or none.
    pub fn rfc6381(&self) -> String {
        let VideoInfo { profile, level, high_tier, bit_depth, chroma, colour, .. } = &self.info;
        let tier = if *high_tier { 'H' } else { 'M' };
        let main = format!("av01.{profile}.{level:02}{tier}.{bit_depth:02}");
        let (monochrome, subsampling) = match chroma {
            Chroma::Monochrome => (1, 110),
            Chroma::Yuv420 => (0, 110 + u16::from(self.chroma_sample_position)),
            Chroma::Yuv422 => (0, 100),
            Chroma::Yuv444 => (0, 0),
        };
        let Colour { primaries, transfer, matrix, full_range } = *colour;
        let rest = (monochrome, subsampling, primaries, transfer, matrix, u8::from(full_range));
        // Unspecified colour means the default to every player, and is what encoders write that were told nothing.
        if matches!(rest, (0, 110, 1 | 2, 1 | 2, 1 | 2, 0)) {
            return main;
        }
        format!(
            "{main}.{monochrome}.{subsampling:03}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
            u8::from(full_range)
        )
    }
}

/// The first sequence header among `configOBUs`.
fn find_sequence_header(config_obus: &[u8]) -> Result<Option<(Bytes, SequenceHeader)>, CodecError> {
    let mut offset = 4;
    for obu in obus(config_obus) {
        let obu = obu.map_err(|error| error.shifted(4))?;
        offset += obu.bytes.len();
        if obu.kind == OBU_SEQUENCE_HEADER {
            let begin = offset - obu.payload.len();
            let sequence = SequenceHeader::parse(obu.payload).map_err(|error| error.shifted(begin))?;
            let mut sized = BytesMut::with_capacity(obu.bytes.len() + 2);
            put_obu(&mut sized, &obu);
            return Ok(Some((sized.freeze(), sequence)));
        }
    }
    Ok(None)
}

/// The four bytes in front of `configOBUs`.
fn fields(sequence: &SequenceHeader) -> [u8; 4] {
    let OperatingPoint { level, high_tier, .. } = sequence.operating_point();
    let flag = |flag: bool, place: u8| u8::from(flag) << place;
    let depth = flag(sequence.bit_depth > 8, 6) | flag(sequence.bit_depth == 12, 5);
    let chroma = flag(sequence.monochrome, 4) | flag(sequence.subsampling_x, 3) | flag(sequence.subsampling_y, 2);
    [
        0x81,
        sequence.profile << 5 | level,
        flag(high_tier, 7) | depth | chroma | sequence.chroma_sample_position,
        // `initial_display_delay` of the sequence header counts frames, this field samples, which may hold several: unknown.
        0,
    ]
}

/// What the second and third byte say.
fn info_of_fields(b1: u8, b2: u8) -> VideoInfo {
    let is_set = |place: u8| b2 >> place & 1 == 1;
    let chroma = match (is_set(4), is_set(3), is_set(2)) {
        (true, ..) => Chroma::Monochrome,
        (_, true, true) => Chroma::Yuv420,
        (_, true, false) => Chroma::Yuv422,
        _ => Chroma::Yuv444,
    };
    let bit_depth = match (is_set(6), is_set(5)) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    VideoInfo {
        profile: b1 >> 5,
        level: b1 & 0x1f,
        high_tier: is_set(7),
        bit_depth,
        chroma,
        max_reorder_frames: Some(0),
        ..VideoInfo::default()
    }
}
