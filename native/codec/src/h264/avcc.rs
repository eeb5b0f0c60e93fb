//! `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1), read and made.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Canonical,
    nal::{NAL_PPS, NAL_SPS, NAL_SPS_EXTENSION, nal_type},
    renumbered::are_renumbered,
    sps::SpsInfo,
};
use crate::{
    CodecError, VideoInfo,
    bits::{BitReader, rbsp},
    nal::{
        Known, LateSets,
        record::{
            Fields, all_known, check_record_bytes, check_sets, is_current, merge, merge_sps, nal_length_size, put_sets,
        },
    },
};

/// Five bits of `numOfSequenceParameterSets`.
const MAX_SPS: usize = 31;
/// Eight bits of `numOfPictureParameterSets`.
const MAX_PPS: usize = 255;

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1) and what its first SPS says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AvcConfig {
    /// The record itself (avcC), as it came or as it was made.
    pub record: Bytes,
    /// Bytes of a NAL unit length in access units as the *sender* writes them: 1, 2 or 4. On the bus it is always 4.
    pub nal_length_size: u8,
    /// Sequence parameter sets, without length or start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, without length or start code.
    pub pps: Vec<Bytes>,
    /// Sequence parameter set extensions (§7.3.2.1.2: auxiliary pictures, which carry transparency).
    pub sps_extensions: Vec<Bytes>,
    /// `constraint_set0_flag` … `constraint_set5_flag` of the first SPS and the two reserved bits, as one byte.
    pub constraint_flags: u8,
    /// What the first sequence parameter set says; [`SpsInfo::parse`] tells more.
    pub info: VideoInfo,
}

impl AvcConfig {
    /// Reads an avcC record.
    ///
    /// A record without picture parameter sets is accepted: they may come in-band. Bits that the standard reserves, and
    /// what follows the picture parameter sets (a repetition of the SPS' sample format, and the extensions), are not
    /// judged, since encoders leave them out or wrong and no decoder looks there; extensions are kept where they are whole.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset at which the record breaks; [`CodecError::LimitExceeded`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::new(&record)?;
        if fields.u8("configurationVersion")? != 1 {
            return Err(CodecError::Malformed { what: "configurationVersion", offset: 0 });
        }
        fields.array::<3>("AVCProfileIndication to AVCLevelIndication")?;
        let nal_length_size = nal_length_size(fields.u8("lengthSizeMinusOne")?, 4)?;
        let sps_count = fields.u8("numOfSequenceParameterSets")? & 0x1f;
        let first_sps = fields.offset + 2;
        let sps = parameter_sets(&mut fields, sps_count, NAL_SPS, "sequence parameter set")?;
        let pps_count = fields.u8("numOfPictureParameterSets")?;
        let pps = parameter_sets(&mut fields, pps_count, NAL_PPS, "picture parameter set")?;
        let first = sps.first().ok_or(CodecError::Malformed { what: "numOfSequenceParameterSets", offset: 5 })?;
        let SpsInfo { constraint_flags, video: info, .. } =
            SpsInfo::parse(first).map_err(|error| error.shifted(first_sps))?;
        let sps_extensions = if repeats_sample_format(info.profile) { extensions(&mut fields) } else { Vec::new() };
        Ok(Self { record, nal_length_size, sps, pps, sps_extensions, constraint_flags, info })
    }

    /// Makes the record of these parameter sets (NAL units without length or start code), with 4-byte NAL unit lengths.
    ///
    /// # Errors
    /// [`CodecError`] when there is no SPS, when the first one is malformed, when one is something else than its list
    /// says, and when they do not fit into a record.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        Self::build(sps, pps, Vec::new())
    }

    /// The configuration that holds behind the parameter sets that an access unit brought; `None` when they say nothing
    /// new, or go back into its payload: see [`Self::keep_sets`].
    ///
    /// # Errors
    /// As [`Self::from_parameter_sets`].
    pub fn take_parameter_sets(
        &self,
        late: &mut LateSets,
        unit: &mut Canonical,
        is_entry: impl FnOnce(&Canonical) -> bool,
    ) -> Result<Option<Self>, CodecError> {
        if self.keep_sets(late, unit, is_entry) {
            return Ok(None);
        }
        self.with_parameter_sets(&unit.sps, &unit.pps)
    }

    /// Puts parameter sets back into the payload of an access unit where the configuration stays though decoders need them: those that are
    /// known under other ids ([`Self::keep_renumbered_sets`]), and picture parameter sets of a unit that is no entry. Whether it stays;
    /// if not, [`Self::with_parameter_sets`] of what the unit brings then is the next one.
    pub fn keep_sets(
        &self,
        late: &mut LateSets,
        unit: &mut Canonical,
        is_entry: impl FnOnce(&Canonical) -> bool,
    ) -> bool {
        if !late.concern(unit) {
            return true;
        }
        let is_entry = is_entry(unit);
        self.keep_renumbered_sets(unit)
            || late.keep(&Known { vps: &[], sps: &self.sps, pps: &self.pps }, unit, is_entry, pps_id)
    }

    /// Puts the parameter sets of an IDR picture back into its payload where all of them are known but for their ids.
    /// Whether they are: then the configuration stays. Some encoders (OpenH264, which is Firefox's) count the ids up with
    /// each IDR picture, which would be another configuration each time; the slices name the ids of the access unit.
    pub fn keep_renumbered_sets(&self, unit: &mut Canonical) -> bool {
        let is_new =
            unit.has_parameter_sets() && !(is_current(&self.sps, &unit.sps) && all_known(&self.pps, &unit.pps));
        if !is_new || !are_renumbered(&self.sps, &self.pps, unit) {
            return false;
        }
        let is_unknown = |set: &&Bytes| !self.sps.contains(set) && !self.pps.contains(set);
        let sets: Vec<Bytes> = unit.sps.iter().chain(&unit.pps).filter(is_unknown).cloned().collect();
        unit.put_in_front(&sets);
        true
    }

    /// The configuration that holds behind in-band parameter sets: each replaces the one of its id, or is added,
    /// and the pictures have the newest SPS; the oldest sets go when there are too many. `None` when they say nothing new.
    ///
    /// # Errors
    /// As [`Self::from_parameter_sets`].
    pub fn with_parameter_sets(&self, sps: &[Bytes], pps: &[Bytes]) -> Result<Option<Self>, CodecError> {
        if is_current(&self.sps, sps) && all_known(&self.pps, pps) {
            return Ok(None);
        }
        let mut sps = merge_sps(&self.sps, sps, sps_id)?;
        sps.truncate(MAX_SPS);
        let mut pps = merge(&self.pps, pps, pps_id)?;
        pps.truncate(MAX_PPS);
        // Two sets of one id in an access unit, of which the last was known: nothing new in the end.
        if sps == self.sps && pps == self.pps {
            return Ok(None);
        }
        Self::build(sps, pps, self.sps_extensions.clone()).map(Some)
    }

    fn build(sps: Vec<Bytes>, pps: Vec<Bytes>, extensions: Vec<Bytes>) -> Result<Self, CodecError> {
        check_sets(&sps, |set| nal_type(set) == NAL_SPS, MAX_SPS, "sequence parameter set")?;
        check_sets(&pps, |set| nal_type(set) == NAL_PPS, MAX_PPS, "picture parameter set")?;
        let first = sps.first().ok_or(CodecError::Malformed { what: "numOfSequenceParameterSets", offset: 0 })?;
        let first = SpsInfo::parse(first)?;
        // Only these profiles have a place for them.
        let sps_extensions = if repeats_sample_format(first.video.profile) { extensions } else { Vec::new() };
        let record = build_record(&first, &sps, &pps, &sps_extensions);
        check_record_bytes(record.len())?;
        let SpsInfo { constraint_flags, video: info, .. } = first;
        Ok(Self { record, nal_length_size: 4, sps, pps, sps_extensions, constraint_flags, info })
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

    /// `avc1.PPCCLL` (RFC 6381 §3.3): profile, constraint flags and level of the first SPS in hexadecimal. The name of a
    /// sample entry whose parameter sets are also in-band, `avc3`, is for its writer to put in front.
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.info.profile, self.constraint_flags, self.info.level)
    }
}

/// `count` NAL units of one type behind 16-bit lengths.
fn parameter_sets(
    fields: &mut Fields<'_>,
    count: u8,
    expected: u8,
    what: &'static str,
) -> Result<Vec<Bytes>, CodecError> {
    let mut sets = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (offset, set) = fields.nal_unit(what)?;
        if nal_type(&set) != expected {
            return Err(CodecError::Malformed { what, offset });
        }
        sets.push(set);
    }
    Ok(sets)
}

/// The sequence parameter set extensions behind the sample format; none of them when they are not whole.
fn extensions(fields: &mut Fields<'_>) -> Vec<Bytes> {
    let mut read = || {
        fields.array::<3>("chroma_format to bit_depth_chroma_minus8")?;
        let count = fields.u8("numOfSequenceParameterSetExt")?;
        parameter_sets(fields, count, NAL_SPS_EXTENSION, "sequence parameter set extension")
    };
    read().unwrap_or_default()
}

/// Every profile but Baseline, Main and Extended.
fn repeats_sample_format(profile_idc: u8) -> bool {
    !matches!(profile_idc, 66 | 77 | 88)
}

fn build_record(first: &SpsInfo, sps: &[Bytes], pps: &[Bytes], extensions: &[Bytes]) -> Bytes {
    let video = &first.video;
    // The numbers of sets have been checked.
    let count = |sets: &[Bytes]| u8::try_from(sets.len()).unwrap_or(0);
    let mut record = BytesMut::new();
    record.put_slice(&[1, video.profile, first.constraint_flags, video.level]);
    record.put_u8(0b1111_1100 | 3);
    record.put_u8(0b1110_0000 | count(sps));
    put_sets(&mut record, sps);
    record.put_u8(count(pps));
    put_sets(&mut record, pps);
    if repeats_sample_format(video.profile) {
        record.put_u8(0b1111_1100 | video.chroma.idc());
        record.put_u8(0b1111_1000 | (video.bit_depth - 8));
        record.put_u8(0b1111_1000 | (first.bit_depth_chroma - 8));
        record.put_u8(count(extensions));
        put_sets(&mut record, extensions);
    }
    record.freeze()
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
