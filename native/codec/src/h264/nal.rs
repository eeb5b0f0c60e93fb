//! What the NAL units are (§7.4.1).

use super::Canonical;
use crate::{
    CodecError, Hdr,
    bits::BitReader,
    nal::{AccessUnits, Place, Role, nal_units},
    sei,
};

/// `nal_unit_type` of a slice of a picture that is not an IDR picture (Table 7-1).
pub const NAL_SLICE: u8 = 1;
/// `nal_unit_type` of a slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information.
pub const NAL_SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const NAL_PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub const NAL_AUD: u8 = 9;
/// `nal_unit_type` of a sequence parameter set extension.
pub const NAL_SPS_EXTENSION: u8 = 13;
/// Bytes of a NAL unit header (§7.3.1), but for the types 14, 20 and 21.
pub const NAL_HEADER_BYTES: usize = 1;

/// `nal_unit_type`; 0 (unspecified) for no bytes.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Whether one of the NAL units is a slice of an IDR picture.
pub fn has_idr<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| nal_type(nal) == NAL_IDR)
}

/// Whether decoding can begin at the access unit with these NAL units: at an IDR picture, or at a recovery point SEI
/// message. The latter is all that an encoder with open GOPs or with intra refresh ever sends after its first picture;
/// the picture may then need `recovery_frame_cnt` frames to be whole (Annex D.2.8).
pub fn is_random_access<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| match nal_type(nal) {
        NAL_IDR => true,
        NAL_SEI => sei::has_message(nal, NAL_HEADER_BYTES, sei::RECOVERY_POINT),
        _ => false,
    })
}

/// Whether the picture with these NAL units is predicted from no other; of two fields, the first. Decoding may begin there if
/// something else says so: what follows may be predicted from pictures in front.
pub fn is_intra<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut slices = nals.into_iter().filter(|nal| is_slice(nal_type(nal)));
    slices.next().is_some_and(is_intra_slice)
        && slices.take_while(|nal| is_first_slice(nal) != Some(true)).all(is_intra_slice)
}

fn is_intra_slice(nal: &[u8]) -> bool {
    // I, and I for all slices of the picture (Table 7-6).
    matches!(nal_type(nal), NAL_SLICE | NAL_IDR) && matches!(slice_type(nal), Ok(2 | 7))
}

/// `slice_type` (§7.3.3). In front of it are never the 22 zero bits that emulation prevention takes.
fn slice_type(nal: &[u8]) -> Result<u32, CodecError> {
    let mut bits = BitReader::new(nal);
    bits.skip(8, "nal_unit_header")?;
    bits.ue("first_mb_in_slice")?;
    bits.ue("slice_type")
}

/// Whether decoding can begin at an access unit of which no container says so. An encoder that sends neither IDR pictures nor recovery
/// points puts a sequence parameter set in front of the I pictures at which it can.
pub fn is_entry(unit: &Canonical) -> bool {
    let nals = || nal_units(&unit.payload, 4).flatten();
    is_random_access(nals()) || !unit.sps.is_empty() && is_intra(nals())
}

/// Whether decoding can begin at an access unit in the form of the bus, of which its container `claims` it: an IDR picture needs no
/// claim, and a claim is not enough for a picture that is predicted from others.
pub fn is_entry_of_container(payload: &[u8], claims: bool) -> bool {
    let nals = || nal_units(payload, 4).flatten();
    has_idr(nals()) || claims && (is_random_access(nals()) || is_intra(nals()))
}

/// Whether another picture may be predicted from the one with these NAL units (`nal_ref_idc`, §7.4.1): what is not
/// referenced can be dropped without harm.
pub fn is_reference<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> bool {
    nals.into_iter().any(|nal| is_slice(nal_type(nal)) && nal.first().is_some_and(|header| header & 0x60 != 0))
}

/// Slices and partitions of slices of a primary coded picture (Table 7-1).
pub(super) fn is_slice(nal_type: u8) -> bool {
    (NAL_SLICE..=NAL_IDR).contains(&nal_type)
}

pub(super) fn role(nal: &[u8]) -> Role {
    match nal_type(nal) {
        NAL_SPS => Role::Sps,
        NAL_PPS => Role::Pps,
        NAL_AUD => Role::Delimiter,
        _ => Role::Payload,
    }
}

/// What the SEI messages among these NAL units say about HDR.
pub fn hdr<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Hdr {
    sei::hdr(nals.into_iter().filter(|nal| nal_type(nal) == NAL_SEI), NAL_HEADER_BYTES)
}

/// Where a NAL unit stands in its access unit (§7.4.1.2.3). A picture begins with the slice of its first macroblock: slices
/// in another order (`arbitrary slice order`, Baseline) and redundant ones are not known here. Each field of a frame is an
/// access unit of its own.
fn place(nal: &[u8]) -> Place {
    match nal_type(nal) {
        // first_mb_in_slice is ue(v): a set bit is 0.
        NAL_SLICE | 2 | NAL_IDR if nal.get(1).is_some_and(|byte| byte & 0x80 != 0) => Place::FirstSlice,
        NAL_SLICE..=NAL_IDR => Place::Slice,
        NAL_SEI..=NAL_AUD | 15..=18 => Place::Head,
        14 => Place::SlicePrefix,
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
