//! `VvcDecoderConfigurationRecord` (ISO/IEC 14496-15 §11.2.4.2), read and made. It is the body of a vvcC box behind the
//! version and flags.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    nal::{
        NAL_DCI, NAL_HEADER_BYTES, NAL_OPI, NAL_PPS, NAL_PREFIX_APS, NAL_PREFIX_SEI, NAL_SPS, NAL_SUFFIX_SEI, NAL_VPS,
        layer_id, nal_type,
    },
    ptl::ProfileTierLevel,
    sps::SpsInfo,
};
use crate::{
    CodecError, Hdr, VideoInfo,
    bits::{BitReader, rbsp},
    nal::{
        Canonical, Known, LateSets,
        record::{
            Fields, all_known, check_record_bytes, check_sets, is_current, merge, merge_sps, nal_length_size, put_sets,
        },
    },
};

/// Sets of each kind that a record may hold: the ids of picture parameter sets (§7.4.3.5), of several layers. More are a
/// peer's way to make us search.
const MAX_SETS: usize = 255;

/// `VvcDecoderConfigurationRecord` (ISO/IEC 14496-15 §11.2.4.2) and what its first SPS of the base layer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VvcConfig {
    /// The record itself (the body of vvcC behind version and flags), as it came or as it was made.
    pub record: Bytes,
    /// Bytes of a NAL unit length in access units as the *sender* writes them: 1, 2 or 4. On the bus it is always 4.
    pub nal_length_size: u8,
    /// Video parameter sets, without length or start code; nearly never there.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets, without length or start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, without length or start code.
    pub pps: Vec<Bytes>,
    /// What else the record holds: decoding capability and operating point information, adaptation parameter sets, SEI.
    pub others: Vec<Bytes>,
    /// Profile, tier and level of the first sequence parameter set.
    pub ptl: ProfileTierLevel,
    /// What the first sequence parameter set says; [`SpsInfo::parse`] tells more.
    pub info: VideoInfo,
}

impl VvcConfig {
    /// Reads a vvcC record.
    ///
    /// A record without picture parameter sets is accepted: they may come in-band. What the record repeats of its
    /// parameter sets is not judged; arrays of other NAL units are passed over.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset at which the record breaks; [`CodecError::LimitExceeded`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::new(&record)?;
        let head = fields.u8("LengthSizeMinusOne")?;
        let nal_length_size = nal_length_size(head >> 1, 0)?;
        let mut config = Self { nal_length_size, ..Self::default() };
        if head & 1 == 1 {
            skip_ptl(&record, &mut fields)?;
        }
        for _ in 0..fields.u8("num_of_arrays")? {
            config.read_array(&mut fields)?;
        }
        config.read_facts()?;
        Ok(Self { record, ..config })
    }

    /// One array of NAL units of the same type.
    fn read_array(&mut self, fields: &mut Fields<'_>) -> Result<(), CodecError> {
        let array_type = fields.u8("NAL_unit_type")? & 0x1f;
        let count = if is_single(array_type) { 1 } else { fields.u16("num_nalus")? };
        for _ in 0..count {
            let (offset, nal) = fields.nal_unit("NAL unit of the record")?;
            let list = match array_type {
                NAL_VPS => &mut self.vps,
                NAL_SPS => &mut self.sps,
                NAL_PPS => &mut self.pps,
                NAL_OPI | NAL_DCI | NAL_PREFIX_APS | NAL_PREFIX_SEI | NAL_SUFFIX_SEI => &mut self.others,
                _ => continue,
            };
            if nal_type(&nal) != array_type {
                return Err(CodecError::Malformed { what: "NAL unit of the record", offset });
            }
            list.push(nal);
        }
        Ok(())
    }

    /// Makes the record of these parameter sets (NAL units without length or start code), with 4-byte NAL unit lengths.
    ///
    /// # Errors
    /// [`CodecError`] when there is no SPS of the base layer, when one is malformed, when one is something else than its
    /// list says, and when they do not fit into a record.
    pub fn from_parameter_sets(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, CodecError> {
        Self { vps, sps, pps, ..Self::default() }.build()
    }

    /// The configuration that holds behind in-band parameter sets: each replaces the one of its id, or is added,
    /// and the pictures have the newest SPS. `None` when they say nothing new.
    ///
    /// # Errors
    /// As [`Self::from_parameter_sets`].
    pub fn with_parameter_sets(&self, vps: &[Bytes], sps: &[Bytes], pps: &[Bytes]) -> Result<Option<Self>, CodecError> {
        if all_known(&self.vps, vps) && is_current(&self.sps, sps) && all_known(&self.pps, pps) {
            return Ok(None);
        }
        let merged = Self {
            vps: merge(&self.vps, vps, set_id)?,
            sps: merge_sps(&self.sps, sps, set_id)?,
            pps: merge(&self.pps, pps, set_id)?,
            others: self.others.clone(),
            ..Self::default()
        };
        if merged.vps == self.vps && merged.sps == self.sps && merged.pps == self.pps {
            return Ok(None);
        }
        merged.build().map(Some)
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
        self.with_parameter_sets(&unit.vps, &unit.sps, &unit.pps)
    }

    /// Puts picture parameter sets of an access unit that is no entry back into its payload: decoders need them, and the configuration
    /// stays. Whether it does; if not, [`Self::with_parameter_sets`] of what the unit brings then is the next one.
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
        late.keep(&Known { vps: &self.vps, sps: &self.sps, pps: &self.pps }, unit, is_entry, set_id)
    }

    /// The same configuration for access units in the form of the bus: the record says 4-byte lengths.
    #[must_use]
    pub fn into_canonical(mut self) -> Self {
        if self.nal_length_size != 4 {
            let mut record = BytesMut::from(self.record.as_ref());
            if let Some(length_size) = record.first_mut() {
                *length_size |= 0b110;
            }
            self.record = record.freeze();
            self.nal_length_size = 4;
        }
        self
    }

    /// `vvc1.1.L51.CQA` (ISO/IEC 14496-15 Annex E.6). The name of a sample entry whose parameter sets are also in-band,
    /// `vvi1`, is for its writer to put in front.
    pub fn rfc6381(&self) -> String {
        self.ptl.codec_string()
    }

    /// What the SEI messages of the record say about HDR. Others may come in-band: [`super::hdr`].
    pub fn hdr(&self) -> Hdr {
        super::hdr(self.others.iter().map(Bytes::as_ref))
    }

    pub(super) fn build(mut self) -> Result<Self, CodecError> {
        check_sets(&self.vps, |set| nal_type(set) == NAL_VPS, MAX_SETS, "video parameter set")?;
        check_sets(&self.sps, |set| nal_type(set) == NAL_SPS, MAX_SETS, "sequence parameter set")?;
        check_sets(&self.pps, |set| nal_type(set) == NAL_PPS, MAX_SETS, "picture parameter set")?;
        let first = self.read_facts()?;
        self.nal_length_size = 4;
        self.record = self.build_record(&first);
        check_record_bytes(self.record.len())?;
        Ok(self)
    }

    /// Sets `ptl` and `info` by the first sequence parameter set of the base layer, and returns it.
    fn read_facts(&mut self) -> Result<SpsInfo, CodecError> {
        let first = self.sps.iter().find(|set| layer_id(set) == 0);
        let first = first.ok_or(CodecError::Malformed { what: "no sequence parameter set", offset: 0 })?;
        let first = SpsInfo::parse(first)?;
        self.ptl = first.ptl.clone();
        self.info = first.video.clone();
        Ok(first)
    }

    fn build_record(&self, first: &SpsInfo) -> Bytes {
        let mut record = BytesMut::new();
        record.put_u8(0b1111_1000 | 3 << 1 | 1);
        // ols_idx 0, num_sublayers, constant_frame_rate 0 (unknown), chroma_format_idc.
        record.put_u16(u16::from(first.sub_layers) << 4 | u16::from(self.info.chroma.idc()));
        record.put_u8((self.info.bit_depth - 8) << 5 | 0b1_1111);
        self.ptl.put_record(&mut record);
        // Sides have been checked.
        record.put_u16(u16::try_from(first.coded_width).unwrap_or(0));
        record.put_u16(u16::try_from(first.coded_height).unwrap_or(0));
        // avg_frame_rate: unspecified.
        record.put_u16(0);
        self.put_arrays(&mut record);
        record.freeze()
    }

    /// Those that are not empty. The parameter sets are complete, as there are none in-band; the others may come in-band.
    fn put_arrays(&self, record: &mut BytesMut) {
        const COMPLETE: u8 = 0x80;
        let others = |wanted| self.others.iter().filter(|nal| nal_type(nal) == wanted).cloned().collect::<Vec<_>>();
        let arrays = [
            (NAL_OPI, others(NAL_OPI)),
            (NAL_DCI, others(NAL_DCI)),
            (COMPLETE | NAL_VPS, self.vps.clone()),
            (COMPLETE | NAL_SPS, self.sps.clone()),
            (COMPLETE | NAL_PPS, self.pps.clone()),
            (NAL_PREFIX_APS, others(NAL_PREFIX_APS)),
            (NAL_PREFIX_SEI, others(NAL_PREFIX_SEI)),
            (NAL_SUFFIX_SEI, others(NAL_SUFFIX_SEI)),
        ];
        let used = || arrays.iter().filter(|(_, sets)| !sets.is_empty());
        record.put_u8(u8::try_from(used().count()).unwrap_or(0));
        for (head, sets) in used() {
            record.put_u8(*head);
            if is_single(head & 0x1f) {
                put_sets(record, sets.get(..1).unwrap_or_default());
            } else {
                record.put_u16(u16::try_from(sets.len()).unwrap_or(0));
                put_sets(record, sets);
            }
        }
    }
}

/// The types of which there is one, and no number in front.
fn is_single(nal_type: u8) -> bool {
    matches!(nal_type, NAL_OPI | NAL_DCI)
}

/// From `ols_idx` to `avg_frame_rate`.
fn skip_ptl(record: &Bytes, fields: &mut Fields<'_>) -> Result<(), CodecError> {
    let mut bits = BitReader::new(record);
    bits.skip(8 * fields.offset, "ols_idx")?;
    bits.skip(9, "ols_idx")?;
    let sub_layers = bits.u8(3, "num_sublayers")?;
    bits.skip(2, "constant_frame_rate")?;
    bits.skip(2, "chroma_format_idc")?;
    bits.skip(8, "bit_depth_minus8")?;
    ProfileTierLevel::skip_record(&mut bits, sub_layers)?;
    bits.skip(48, "max_picture_width to avg_frame_rate")?;
    fields.offset = bits.offset();
    Ok(())
}

/// What tells one set of a kind from another: layer and id, which stands at the beginning of each.
fn set_id(nal: &[u8]) -> Result<(u8, u8), CodecError> {
    let beginning = rbsp(nal.get(..NAL_HEADER_BYTES + 2).unwrap_or(nal))?;
    let mut bits = BitReader::new(&beginning);
    bits.skip(8 * NAL_HEADER_BYTES, "nal_unit_header")?;
    let id = match nal_type(nal) {
        NAL_PPS => bits.u8(6, "pps_pic_parameter_set_id")?,
        _ => bits.u8(4, "vps_video_parameter_set_id or sps_seq_parameter_set_id")?,
    };
    Ok((layer_id(nal), id))
}
