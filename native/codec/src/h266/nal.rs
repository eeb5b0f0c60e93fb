//! What the NAL units are (§7.4.2.2).

use crate::{
    Hdr,
    nal::{AccessUnits, Place, Role},
    sei,
};

/// `nal_unit_type` of an IDR picture that may have leading pictures (Table 5).
pub const NAL_IDR_W_RADL: u8 = 7;
/// `nal_unit_type` of an IDR picture without leading pictures.
pub const NAL_IDR_N_LP: u8 = 8;
/// `nal_unit_type` of a CRA picture.
pub const NAL_CRA: u8 = 9;
/// `nal_unit_type` of a GDR picture: from it on, a decoder gets the picture back part by part.
pub const NAL_GDR: u8 = 10;
/// The last `nal_unit_type` of a slice, reserved ones included.
const NAL_VCL_MAX: u8 = 11;
/// `nal_unit_type` of operating point information.
pub(super) const NAL_OPI: u8 = 12;
/// `nal_unit_type` of decoding capability information.
pub(super) const NAL_DCI: u8 = 13;
/// `nal_unit_type` of a video parameter set.
pub const NAL_VPS: u8 = 14;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 15;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 16;
/// `nal_unit_type` of an adaptation parameter set in front of the slices.
pub(super) const NAL_PREFIX_APS: u8 = 17;
/// `nal_unit_type` of a picture header.
pub const NAL_PH: u8 = 19;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 20;
/// `nal_unit_type` of supplemental enhancement information in front of the slices.
pub const NAL_PREFIX_SEI: u8 = 23;
/// `nal_unit_type` of supplemental enhancement information behind them.
pub const NAL_SUFFIX_SEI: u8 = 24;
/// Bytes of a NAL unit header (§7.3.1.2).
pub const NAL_HEADER_BYTES: usize = 2;

/// `nal_unit_type`; 31 (unspecified) for less than a header.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.get(1).map_or(31, |second| second >> 3)
}

/// `nuh_layer_id`: 0 is the base layer, which is all that a plain decoder looks at.
pub(super) fn layer_id(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |first| first & 0x3f)
}

/// `TemporalId` (§7.4.2.2): 0 for what every decoder of the stream needs.
pub fn temporal_id(nal: &[u8]) -> u8 {
    nal.get(1).map_or(0, |second| (second & 7).saturating_sub(1))
}

/// Whether decoding can begin at the access unit with these NAL units: at an IRAP picture (IDR, CRA) or a GDR picture, of
/// which the whole is right only `ph_recovery_poc_cnt` pictures later (§7.4.3.8).
pub fn is_random_access<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| (NAL_IDR_W_RADL..=NAL_GDR).contains(&nal_type(nal)))
}

/// Whether another picture may be predicted from the one with these NAL units: `ph_non_ref_pic_flag` of its picture header
/// (§7.3.2.8), in a NAL unit of its own or at the beginning of its only slice, is not set.
pub fn is_reference<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let header = |nal: &'a [u8]| match (nal_type(nal), nal.get(NAL_HEADER_BYTES)?) {
        (NAL_PH, byte) => Some(byte << 1),
        // sh_picture_header_in_slice_header_flag (§7.3.7).
        (0..=NAL_VCL_MAX, byte) if byte & 0x80 != 0 => Some(byte << 2),
        _ => None,
    };
    // Behind ph_gdr_or_irap_pic_flag; without a header nothing says that it is none.
    nals.into_iter().find_map(header).is_none_or(|flags| flags & 0x80 == 0)
}

/// Adaptation parameter sets stay in the payload: they change from picture to picture.
pub(super) fn role(nal: &[u8]) -> Role {
    match nal_type(nal) {
        NAL_VPS => Role::Vps,
        NAL_SPS => Role::Sps,
        NAL_PPS => Role::Pps,
        NAL_AUD => Role::Delimiter,
        _ => Role::Payload,
    }
}

/// What the SEI messages among these NAL units say about HDR.
pub fn hdr<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Hdr {
    sei::hdr(nals.into_iter().filter(|nal| nal_type(nal) == NAL_PREFIX_SEI), NAL_HEADER_BYTES)
}

/// Where a NAL unit stands in its access unit (§7.4.2.4.3); those of higher layers never begin one. A picture begins with
/// its header, in a NAL unit of its own or in its only slice.
fn place(nal: &[u8]) -> Place {
    let is_base_layer = layer_id(nal) == 0;
    match nal_type(nal) {
        0..=NAL_VCL_MAX => {
            // sh_picture_header_in_slice_header_flag.
            let has_header = nal.get(NAL_HEADER_BYTES).is_some_and(|byte| byte & 0x80 != 0);
            if has_header && is_base_layer { Place::FirstSlice } else { Place::Slice }
        }
        NAL_OPI..=NAL_PREFIX_APS | NAL_PH | NAL_AUD | NAL_PREFIX_SEI | 26 | 28 | 29 if is_base_layer => Place::Head,
        _ => Place::Tail,
    }
}

/// Whether a NAL unit is the first slice of a picture; `None` for what is no slice.
pub fn is_first_slice(nal: &[u8]) -> Option<bool> {
    place(nal).is_first_slice()
}

/// Cuts a byte stream into access units of at most `max_bytes`.
pub fn access_units(max_bytes: usize) -> AccessUnits {
    AccessUnits::new(place, max_bytes)
}
