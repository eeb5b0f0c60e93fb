//! `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1), read and made.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    nal::{NAL_PPS, NAL_SPS, nal_type},
    sps::{SampleFormat, Sps, SpsInfo},
};
use crate::{
    CodecError, VideoInfo,
    bits::{BitReader, rbsp},
};

/// Largest avcC record. One with every parameter set of the largest size would have 18 MB, which a peer could pin for as
/// long as its stream lives; real ones have less than 200 bytes.
pub const MAX_RECORD_BYTES: usize = 65_536;

/// Five bits of `numOfSequenceParameterSets`.
const MAX_SPS: usize = 31;
/// Eight bits of `numOfPictureParameterSets`.
const MAX_PPS: usize = 255;

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1) and what its first SPS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// The record itself (avcC), as it came or as it was made.
    pub record: Bytes,
    /// Bytes of a NAL unit length in access units as the *sender* writes them: 1, 2 or 4. On the bus it is always 4.
    pub nal_length_size: u8,
    /// Sequence parameter sets, without length or start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, without length or start code.
    pub pps: Vec<Bytes>,
    /// What the first sequence parameter set says.
    pub info: SpsInfo,
}

impl AvcConfig {
    /// Reads an avcC record.
    ///
    /// A record without picture parameter sets is accepted: they may come in-band. Bits that the standard reserves, and
    /// what follows the picture parameter sets (a repetition of the SPS' sample format), are not judged, since encoders
    /// leave them out or wrong and no decoder looks there.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset at which the record breaks; [`CodecError::LimitExceeded`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        check_record_bytes(record.len())?;
        let mut fields = Fields { record: &record, offset: 0 };
        if fields.u8("configurationVersion")? != 1 {
            return Err(CodecError::Malformed { what: "configurationVersion", offset: 0 });
        }
        fields.array::<3>("AVCProfileIndication to AVCLevelIndication")?;
        let nal_length_size = nal_length_size(fields.u8("lengthSizeMinusOne")?)?;
        let sps_count = fields.u8("numOfSequenceParameterSets")? & 0x1f;
        let first_sps = fields.offset + 2;
        let sps = fields.parameter_sets(sps_count, NAL_SPS, "sequence parameter set")?;
        let pps_count = fields.u8("numOfPictureParameterSets")?;
        let pps = fields.parameter_sets(pps_count, NAL_PPS, "picture parameter set")?;
        let first = sps.first().ok_or(CodecError::Malformed { what: "numOfSequenceParameterSets", offset: 5 })?;
        let info = SpsInfo::parse(first).map_err(|error| error.shifted(first_sps))?;
        Ok(Self { record, nal_length_size, sps, pps, info })
    }

    /// Makes the record of these parameter sets (NAL units without length or start code), with 4-byte NAL unit lengths.
    ///
    /// # Errors
    /// [`CodecError`] when there is no SPS, when the first one is malformed, when one is something else than its list
    /// says, and when they do not fit into a record.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        check_parameter_sets(&sps, NAL_SPS, MAX_SPS, "sequence parameter set")?;
        check_parameter_sets(&pps, NAL_PPS, MAX_PPS, "picture parameter set")?;
        let first = sps.first().ok_or(CodecError::Malformed { what: "numOfSequenceParameterSets", offset: 0 })?;
        let Sps { info, format } = Sps::parse(first)?;
        let record = build_record(&info, &format, &sps, &pps);
        check_record_bytes(record.len())?;
        Ok(Self { record, nal_length_size: 4, sps, pps, info })
    }

    /// The configuration that holds behind in-band parameter sets: each replaces the one of its id, or is added.
    /// `None` when they say nothing new.
    ///
    /// # Errors
    /// As [`Self::from_parameter_sets`].
    pub fn with_parameter_sets(&self, sps: &[Bytes], pps: &[Bytes]) -> Result<Option<Self>, CodecError> {
        let is_known = |known: &[Bytes], new: &[Bytes]| new.iter().all(|set| known.contains(set));
        if is_known(&self.sps, sps) && is_known(&self.pps, pps) {
            return Ok(None);
        }
        // Copies: a slice would keep the access unit alive that it came with.
        let sps = merge(&self.sps, sps, sps_id)?;
        let pps = merge(&self.pps, pps, pps_id)?;
        // Two sets of one id in an access unit, of which the last was known: nothing new in the end.
        if sps == self.sps && pps == self.pps {
            return Ok(None);
        }
        Self::from_parameter_sets(sps, pps).map(Some)
    }

    /// The same configuration for access units in the form of the bus: the record says 4-byte lengths.
    #[must_use]
    pub fn into_canonical(mut self) -> Self {
        if self.nal_length_size != 4 {
            let mut record = BytesMut::from(self.record.as_ref());
            if let Some(length_size) = record.get_mut(4) {
                *length_size |= 0b11;
            }
            self.record = record.freeze();
            self.nal_length_size = 4;
        }
        self
    }

    /// What the first SPS says about the pictures.
    pub fn video_info(&self) -> VideoInfo {
        let info = &self.info;
        VideoInfo {
            width: info.width,
            height: info.height,
            frame_rate: info.frame_rate,
            profile: info.profile_idc,
            level: info.level_idc,
            bit_depth: info.bit_depth,
            ..VideoInfo::default()
        }
    }

    /// `avc1.PPCCLL` (RFC 6381 §3.3): profile, constraint flags and level of the first SPS in hexadecimal.
    pub fn rfc6381(&self) -> String {
        let info = &self.info;
        format!("avc1.{:02x}{:02x}{:02x}", info.profile_idc, info.constraint_flags, info.level_idc)
    }
}

/// The fields of a record, one after the other.
struct Fields<'a> {
    record: &'a Bytes,
    offset: usize,
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let field = self.record.get(self.offset..).and_then(|rest| rest.first_chunk());
        let field = *field.ok_or(CodecError::Malformed { what, offset: self.offset })?;
        self.offset += N;
        Ok(field)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.array(what).map(u8::from_be_bytes)
    }

    fn u16(&mut self, what: &'static str) -> Result<usize, CodecError> {
        self.array(what).map(|field| usize::from(u16::from_be_bytes(field)))
    }

    fn slice(&mut self, bytes: usize, what: &'static str) -> Result<Bytes, CodecError> {
        let end = self.offset.checked_add(bytes).filter(|&end| end <= self.record.len());
        let end = end.ok_or(CodecError::Malformed { what, offset: self.offset })?;
        let field = self.record.slice(self.offset..end);
        self.offset = end;
        Ok(field)
    }

    /// `count` NAL units of one type behind 16-bit lengths.
    fn parameter_sets(&mut self, count: u8, expected: u8, what: &'static str) -> Result<Vec<Bytes>, CodecError> {
        let mut sets = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let length = self.u16(what)?;
            let offset = self.offset;
            let set = self.slice(length, what)?;
            if nal_type(&set) != expected {
                return Err(CodecError::Malformed { what, offset });
            }
            sets.push(set);
        }
        Ok(sets)
    }
}

fn nal_length_size(byte: u8) -> Result<u8, CodecError> {
    match (byte & 0b11) + 1 {
        3 => Err(CodecError::Malformed { what: "lengthSizeMinusOne", offset: 4 }),
        size => Ok(size),
    }
}

fn check_record_bytes(seen: usize) -> Result<(), CodecError> {
    if seen <= MAX_RECORD_BYTES {
        return Ok(());
    }
    Err(CodecError::LimitExceeded { limit: "bytes of an avcC record", max: MAX_RECORD_BYTES, seen })
}

fn check_parameter_sets(sets: &[Bytes], expected: u8, max: usize, what: &'static str) -> Result<(), CodecError> {
    if sets.len() > max {
        return Err(CodecError::LimitExceeded { limit: "parameter sets in an avcC record", max, seen: sets.len() });
    }
    if sets.iter().any(|set| nal_type(set) != expected || set.len() > usize::from(u16::MAX)) {
        return Err(CodecError::Malformed { what, offset: 0 });
    }
    Ok(())
}

fn build_record(info: &SpsInfo, format: &SampleFormat, sps: &[Bytes], pps: &[Bytes]) -> Bytes {
    let mut record = BytesMut::new();
    record.put_slice(&[1, info.profile_idc, info.constraint_flags, info.level_idc]);
    record.put_u8(0b1111_1100 | 3);
    put_parameter_sets(&mut record, 0b1110_0000, sps);
    put_parameter_sets(&mut record, 0, pps);
    // The sample format, for every profile but Baseline, Main and Extended.
    if !matches!(info.profile_idc, 66 | 77 | 88) {
        record.put_u8(0b1111_1100 | format.chroma_format_idc);
        record.put_u8(0b1111_1000 | (format.bit_depth_luma - 8));
        record.put_u8(0b1111_1000 | (format.bit_depth_chroma - 8));
        record.put_u8(0);
    }
    record.freeze()
}

/// Their number with `reserved` bits above it, then each behind its length. Numbers and lengths have been checked.
fn put_parameter_sets(record: &mut BytesMut, reserved: u8, sets: &[Bytes]) {
    record.put_u8(reserved | u8::try_from(sets.len()).unwrap_or(0));
    for set in sets {
        record.put_u16(u16::try_from(set.len()).unwrap_or(0));
        record.put_slice(set);
    }
}

/// The known sets, in their order, each replaced by the new one of the same id; then what is new.
fn merge(known: &[Bytes], new: &[Bytes], id: fn(&[u8]) -> Result<u32, CodecError>) -> Result<Vec<Bytes>, CodecError> {
    let mut merged = known.to_vec();
    for set in new {
        let set_id = id(set)?;
        let set = Bytes::copy_from_slice(set);
        match merged.iter_mut().find(|known| id(known).is_ok_and(|known_id| known_id == set_id)) {
            Some(known) => *known = set,
            None => merged.push(set),
        }
    }
    Ok(merged)
}

/// `seq_parameter_set_id` (§7.3.2.1.1).
fn sps_id(nal: &[u8]) -> Result<u32, CodecError> {
    parameter_set_id(nal, 8 + 24, 31, "seq_parameter_set_id")
}

/// `pic_parameter_set_id` (§7.3.2.2).
fn pps_id(nal: &[u8]) -> Result<u32, CodecError> {
    parameter_set_id(nal, 8, 255, "pic_parameter_set_id")
}

fn parameter_set_id(nal: &[u8], skip_bits: usize, max: u32, what: &'static str) -> Result<u32, CodecError> {
    // The id ends within the first seven bytes; the rest need not be unwrapped for each comparison.
    let beginning = rbsp(nal.get(..16).unwrap_or(nal))?;
    let mut bits = BitReader::new(&beginning);
    bits.skip(skip_bits, what)?;
    bits.ue_max(max, what)
}
