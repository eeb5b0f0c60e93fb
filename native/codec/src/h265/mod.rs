//! ITU-T H.265 (HEVC): parameter sets, the hvcC record, and the NAL units of an access unit.
//!
//! - `hvcc`: `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1), read and made.
//! - `ptl`: profile, tier and level (§7.3.3), and how they are written in a codec string.
//! - `sps`, `reference_sets`, `vui`: what a sequence parameter set says (§7.3.2.2, Annex E).
//! - `vps`, `pps`: what is needed of the other two.
//! - `nal`: what the NAL units are.
//! - `canonical`: any form of an access unit to the one form of the bus.
//!
//! Clauses without another name are of ITU-T H.265. No state: each function reads what it is given.

mod canonical;
mod hvcc;
mod nal;
mod pps;
mod ptl;
mod reference_sets;
mod sps;
#[cfg(test)]
mod tests;
mod vps;
mod vui;

pub use canonical::{annex_b_to_canonical, to_canonical};
pub use hvcc::HevcConfig;
pub use nal::{
    NAL_AUD, NAL_CRA, NAL_HEADER_BYTES, NAL_IDR_N_LP, NAL_IDR_W_RADL, NAL_PPS, NAL_PREFIX_SEI, NAL_SPS, NAL_SUFFIX_SEI,
    NAL_VPS, access_units, hdr, is_first_slice, is_random_access, is_reference, nal_type, temporal_id,
};
pub use ptl::ProfileTierLevel;
pub use sps::SpsInfo;

pub use crate::nal::{AccessUnit, AccessUnits, Canonical, NalUnits, nal_units};
