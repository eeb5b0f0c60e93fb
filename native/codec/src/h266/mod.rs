//! ITU-T H.266 (VVC): parameter sets, the vvcC record, and the NAL units of an access unit.
//!
//! - `vvcc`: `VvcDecoderConfigurationRecord` (ISO/IEC 14496-15 §11.2.4.2), read and made.
//! - `ptl`: profile, tier and level (§7.3.3), and how they are written in a codec string.
//! - `sps`, `subpictures`, `coding_tools`, `reference_lists`, `timing`, `vui`: what a sequence parameter set says (§7.3.2.4).
//! - `nal`: what the NAL units are.
//! - `canonical`: any form of an access unit to the one form of the bus.
//!
//! Clauses without another name are of ITU-T H.266. No state: each function reads what it is given.

mod canonical;
mod coding_tools;
mod nal;
mod ptl;
mod reference_lists;
mod sps;
mod subpictures;
#[cfg(test)]
mod tests;
mod timing;
mod vui;
mod vvcc;

pub use canonical::{annex_b_to_canonical, to_canonical};
pub use nal::{
    NAL_AUD, NAL_CRA, NAL_GDR, NAL_HEADER_BYTES, NAL_IDR_N_LP, NAL_IDR_W_RADL, NAL_PH, NAL_PPS, NAL_PREFIX_SEI,
    NAL_SPS, NAL_SUFFIX_SEI, NAL_VPS, access_units, hdr, is_first_slice, is_random_access, is_reference, nal_type,
    temporal_id,
};
pub use ptl::ProfileTierLevel;
pub use sps::SpsInfo;
pub use vvcc::VvcConfig;

pub use crate::nal::{AccessUnit, AccessUnits, Canonical, NalUnits, nal_units};
