//! `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1), read and made.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    nal::{NAL_HEADER_BYTES, NAL_PPS, NAL_PREFIX_SEI, NAL_SPS, NAL_SUFFIX_SEI, NAL_VPS, layer_id, nal_type},
    pps::{Parallelism, parallelism},
    ptl::ProfileTierLevel,
    sps::SpsInfo,
    vps::vps_picture_rate,
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

/// Sets of each kind that a record may hold: the ids of picture parameter sets (§7.4.3.3.1), of several layers. More are a
/// peer's way to make us search.
const MAX_SETS: usize = 255;
/// Offset of the byte that ends in `lengthSizeMinusOne`.
const LENGTH_SIZE_OFFSET: usize = 21;

/// `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1) and what its first SPS of the base layer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HevcConfig {
    /// The record itself (hvcC), as it came or as it was made.
    pub record: Bytes,
    /// Bytes of a NAL unit length in access units as the *sender* writes them: 1, 2 or 4. On the bus it is always 4.
    pub nal_length_size: u8,
    /// Video parameter sets, without length or start code.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets, without length or start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, without length or start code.
    pub pps: Vec<Bytes>,
    /// SEI NAL units that hold for the whole stream: mastering display, content light level, the encoder's name.
    pub sei: Vec<Bytes>,
    /// Profile, tier and level of all sequence parameter sets of the base layer together.
    pub ptl: ProfileTierLevel,
    /// What the first sequence parameter set says; [`SpsInfo::parse`] tells more.
    pub info: VideoInfo,
}

impl HevcConfig {
    /// Reads an hvcC record.
    ///
    /// A record without video or picture parameter sets is accepted: they may come in-band. What the record repeats of its
    /// parameter sets is not judged, since writers get it wrong and decoders read the sets; arrays of other NAL units are
    /// passed over.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the offset at which the record breaks; [`CodecError::LimitExceeded`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        let mut fields = Fields::new(&record)?;
        // 0 was written by encoders in front of the standard's end, and is still met.
        if fields.u8("configurationVersion")? > 1 {
            return Err(CodecError::Malformed { what: "configurationVersion", offset: 0 });
        }
        fields.array::<20>("general_profile_space to avgFrameRate")?;
        let nal_length_size = nal_length_size(fields.u8("lengthSizeMinusOne")?, LENGTH_SIZE_OFFSET)?;
        let mut config = Self { nal_length_size, ..Self::default() };
        for _ in 0..fields.u8("numOfArrays")? {
            config.read_array(&mut fields)?;
        }
        config.read_facts()?;
        Ok(Self { record, ..config })
    }

    /// One array of NAL units of the same type.
    fn read_array(&mut self, fields: &mut Fields<'_>) -> Result<(), CodecError> {
        let array_type = fields.u8("NAL_unit_type")? & 0x3f;
        for _ in 0..fields.u16("numNalus")? {
            let (offset, nal) = fields.nal_unit("NAL unit of the record")?;
            let list = match array_type {
                NAL_VPS => &mut self.vps,
                NAL_SPS => &mut self.sps,
                NAL_PPS => &mut self.pps,
                NAL_PREFIX_SEI | NAL_SUFFIX_SEI => &mut self.sei,
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
            sei: self.sei.clone(),
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
            if let Some(length_size) = record.get_mut(LENGTH_SIZE_OFFSET) {
                *length_size |= 0b11;
            }
            self.record = record.freeze();
            self.nal_length_size = 4;
        }
        self
    }

    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 Annex E.3). The name of a sample entry whose parameter sets are also in-band,
    /// `hev1`, is for its writer to put in front.
    pub fn rfc6381(&self) -> String {
        self.ptl.codec_string()
    }

    /// What the SEI messages of the record say about HDR. Others may come in-band: [`super::hdr`].
    pub fn hdr(&self) -> Hdr {
        super::hdr(self.sei.iter().map(Bytes::as_ref))
    }

    pub(super) fn build(mut self) -> Result<Self, CodecError> {
        check_sets(&self.vps, |set| nal_type(set) == NAL_VPS, MAX_SETS, "video parameter set")?;
        check_sets(&self.sps, |set| nal_type(set) == NAL_SPS, MAX_SETS, "sequence parameter set")?;
        check_sets(&self.pps, |set| nal_type(set) == NAL_PPS, MAX_SETS, "picture parameter set")?;
        let all = self.read_facts()?;
        self.nal_length_size = 4;
        self.record = self.build_record(&all);
        check_record_bytes(self.record.len())?;
        Ok(self)
    }

    /// Sets `ptl` and `info`; returns the sequence parameter sets of the base layer, of which there is at least one.
    fn read_facts(&mut self) -> Result<Vec<SpsInfo>, CodecError> {
        let base_layer = self.sps.iter().filter(|set| layer_id(set) == 0);
        let all = base_layer.map(|set| SpsInfo::parse(set)).collect::<Result<Vec<_>, _>>()?;
        let first = all.first().ok_or(CodecError::Malformed { what: "no sequence parameter set", offset: 0 })?;
        self.info = first.video.clone();
        if self.info.frame_rate.is_none() {
            // A video parameter set that breaks is no reason to refuse: decoders hardly look at it.
            self.info.frame_rate = self.vps.iter().find_map(|set| vps_picture_rate(set).ok().flatten());
        }
        self.ptl = all.iter().fold(first.ptl, |ptl, sps| ptl.joined(&sps.ptl));
        Ok(all)
    }

    fn build_record(&self, all: &[SpsInfo]) -> Bytes {
        let max_segmentation = all.iter().map(|sps| sps.min_spatial_segmentation_idc).min().unwrap_or(0);
        let sub_layers = all.iter().map(|sps| sps.sub_layers).max().unwrap_or(1);
        let nesting = all.iter().all(|sps| sps.temporal_id_nesting);
        let bit_depth_chroma = all.first().map_or(8, |sps| sps.bit_depth_chroma);
        let mut record = BytesMut::new();
        record.put_u8(1);
        record.put_slice(&self.ptl.to_bytes());
        record.put_u16(0xf000 | max_segmentation);
        record.put_u8(0b1111_1100 | self.parallelism(max_segmentation) as u8);
        record.put_u8(0b1111_1100 | self.info.chroma.idc());
        record.put_u8(0b1111_1000 | (self.info.bit_depth - 8) & 0b111);
        record.put_u8(0b1111_1000 | (bit_depth_chroma - 8) & 0b111);
        // avgFrameRate and constantFrameRate: unspecified.
        record.put_u16(0);
        record.put_u8((sub_layers & 0b111) << 3 | u8::from(nesting) << 2 | 0b11);
        self.put_arrays(&mut record);
        record.freeze()
    }

    /// What all pictures have in common; nothing is said when nothing is said about their segments.
    fn parallelism(&self, min_spatial_segmentation_idc: u16) -> Parallelism {
        if min_spatial_segmentation_idc == 0 {
            return Parallelism::Mixed;
        }
        let mut kinds = self.pps.iter().map(|set| parallelism(set).unwrap_or(Parallelism::Mixed));
        let first = kinds.next().unwrap_or(Parallelism::Mixed);
        if kinds.all(|kind| kind == first) { first } else { Parallelism::Mixed }
    }

    /// Those that are not empty. The parameter sets are complete, as there are none in-band; SEI may come in-band.
    fn put_arrays(&self, record: &mut BytesMut) {
        const COMPLETE: u8 = 0x80;
        let suffix: Vec<Bytes> = self.sei.iter().filter(|sei| nal_type(sei) == NAL_SUFFIX_SEI).cloned().collect();
        let prefix: Vec<Bytes> = self.sei.iter().filter(|sei| nal_type(sei) != NAL_SUFFIX_SEI).cloned().collect();
        let arrays = [
            (COMPLETE | NAL_VPS, &self.vps),
            (COMPLETE | NAL_SPS, &self.sps),
            (COMPLETE | NAL_PPS, &self.pps),
            (NAL_PREFIX_SEI, &prefix),
            (NAL_SUFFIX_SEI, &suffix),
        ];
        let used = || arrays.iter().filter(|(_, sets)| !sets.is_empty());
        record.put_u8(u8::try_from(used().count()).unwrap_or(0));
        for (head, sets) in used() {
            record.put_u8(*head);
            record.put_u16(u16::try_from(sets.len()).unwrap_or(0));
            put_sets(record, sets);
        }
    }
}

/// What tells one set of a kind from another: layer and id.
fn set_id(nal: &[u8]) -> Result<(u8, u8), CodecError> {
    // A sequence parameter set has its id behind a profile_tier_level() of up to 88 + 7 × 96 bits and some emulation
    // prevention bytes, the others have it at once.
    let beginning = rbsp(nal.get(..160).unwrap_or(nal))?;
    let mut bits = BitReader::new(&beginning);
    bits.skip(8 * NAL_HEADER_BYTES, "nal_unit_header")?;
    let id = match nal_type(nal) {
        NAL_VPS => bits.u8(4, "vps_video_parameter_set_id")?,
        NAL_SPS => sps_id(&mut bits, layer_id(nal))?,
        _ => bits.ue8_max(63, "pps_pic_parameter_set_id")?,
    };
    Ok((layer_id(nal), id))
}

/// `sps_seq_parameter_set_id`; that of a higher layer may have no profile in front of it (§F.7.3.2.2.1).
fn sps_id(bits: &mut BitReader<'_>, layer_id: u8) -> Result<u8, CodecError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let max_sub_layers_minus1 = bits.u8(3, "sps_max_sub_layers_minus1")?;
    if layer_id == 0 || max_sub_layers_minus1 != 7 {
        bits.skip(1, "sps_temporal_id_nesting_flag")?;
        ProfileTierLevel::read(bits, max_sub_layers_minus1)?;
    }
    bits.ue8_max(15, "sps_seq_parameter_set_id")
}
