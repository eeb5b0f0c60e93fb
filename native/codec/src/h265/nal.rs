//! What the NAL units are (§7.4.2.2).

use crate::{
    Hdr,
    nal::{AccessUnits, Place, Role},
    sei,
};

/// `nal_unit_type` of the first IRAP pictures, those of a broken link (Table 7-1).
const NAL_BLA_W_LP: u8 = 16;
/// `nal_unit_type` of an IDR picture that may have leading pictures.
pub const NAL_IDR_W_RADL: u8 = 19;
/// `nal_unit_type` of an IDR picture without leading pictures.
pub const NAL_IDR_N_LP: u8 = 20;
/// `nal_unit_type` of a CRA picture.
pub const NAL_CRA: u8 = 21;
/// The last `nal_unit_type` of a slice segment, reserved ones included.
const NAL_VCL_MAX: u8 = 31;
/// `nal_unit_type` of a video parameter set.
pub const NAL_VPS: u8 = 32;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 34;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 35;
/// `nal_unit_type` of supplemental enhancement information in front of the slices.
pub const NAL_PREFIX_SEI: u8 = 39;
/// `nal_unit_type` of supplemental enhancement information behind them.
pub const NAL_SUFFIX_SEI: u8 = 40;
/// Bytes of a NAL unit header (§7.3.1.2).
pub const NAL_HEADER_BYTES: usize = 2;

/// `nal_unit_type`; 63 (unspecified) for no bytes.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(63, |header| header >> 1 & 0x3f)
}

/// `nuh_layer_id`: 0 is the base layer, which is all that a plain decoder looks at.
pub(super) fn layer_id(nal: &[u8]) -> u8 {
    match nal {
        [first, second, ..] => (first & 1) << 5 | second >> 3,
        _ => 0,
    }
}

/// `TemporalId` (§7.4.2.2): 0 for what every decoder of the stream needs.
pub fn temporal_id(nal: &[u8]) -> u8 {
    nal.get(1).map_or(0, |second| (second & 7).saturating_sub(1))
}

/// Whether decoding can begin at the access unit with these NAL units: at an IRAP picture (IDR, CRA, BLA), or at a
/// recovery point SEI message, which is all that an encoder with intra refresh sends after its first picture. Pictures
/// behind a CRA picture that are shown in front of it (RASL) cannot be decoded then (§8.1.3).
pub fn is_random_access<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| match nal_type(nal) {
        NAL_BLA_W_LP..=NAL_CRA => true,
        NAL_PREFIX_SEI => sei::has_message(nal, NAL_HEADER_BYTES, sei::RECOVERY_POINT),
        _ => false,
    })
}

/// Whether another picture of the same temporal sub-layer may be predicted from the one with these NAL units. What is not
/// a reference (`TRAIL_N`, `RASL_N` …, §7.4.2.2) can be dropped without harm when it is of the highest [`temporal_id`].
pub fn is_reference<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().map(nal_type).any(|nal_type| match nal_type {
        // Even numbers up to RSV_VCL_N14 are sub-layer non-reference pictures (Table 7-1).
        0..=15 => nal_type % 2 == 1,
        _ => nal_type <= NAL_VCL_MAX,
    })
}

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

/// Where a NAL unit stands in its access unit (§7.4.2.4.4); those of higher layers never begin one.
fn place(nal: &[u8]) -> Place {
    let is_base_layer = layer_id(nal) == 0;
    match nal_type(nal) {
        0..=NAL_VCL_MAX => {
            // first_slice_segment_in_pic_flag.
            let is_first = nal.get(NAL_HEADER_BYTES).is_some_and(|byte| byte & 0x80 != 0);
            if is_first && is_base_layer { Place::FirstSlice } else { Place::Slice }
        }
        NAL_VPS..=NAL_AUD | NAL_PREFIX_SEI | 41..=44 | 48..=55 if is_base_layer => Place::Head,
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
