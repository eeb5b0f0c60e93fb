//! ITU-T H.264: parameter sets, the avcC record, and the NAL units of an access unit.
//!
//! - `avcc`: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1), read and made.
//! - `sps`, `vui`: what a sequence parameter set says (§7.3.2.1.1, Annex E).
//! - `picture_timing`: the clock time that a message carries.
//! - `renumbered`: parameter sets that differ from known ones by their ids alone.
//! - `nal`: what the NAL units are.
//! - `canonical`: any form of an access unit to the one form of the bus.
//!
//! Clauses without another name are of ITU-T H.264. No state: each function reads what it is given.

mod avcc;
mod canonical;
mod nal;
mod picture_timing;
mod renumbered;
mod sps;
#[cfg(test)]
mod tests;
mod vui;

pub use avcc::AvcConfig;
pub use canonical::{annex_b_to_canonical, to_canonical};
pub use nal::{
    NAL_AUD, NAL_HEADER_BYTES, NAL_IDR, NAL_PPS, NAL_SEI, NAL_SLICE, NAL_SPS, NAL_SPS_EXTENSION, access_units, has_idr,
    hdr, is_entry, is_entry_of_container, is_first_slice, is_intra, is_random_access, is_reference, nal_type,
};
pub use picture_timing::timecode;
pub use sps::SpsInfo;
pub use vui::{PictureTiming, Vui};

pub use crate::nal::{
    AccessUnit, AccessUnits, Canonical, NalUnits, nal_units, picture::MAX_DIMENSION, record::MAX_RECORD_BYTES,
};
