//! ITU-T H.264: parameter sets, the avcC record, and the NAL units of an access unit.
//!
//! - `avcc`: `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1), read and made.
//! - `sps`: what a sequence parameter set says (§7.3.2.1.1, Annex E).
//! - `nal`: NAL units behind lengths (ISO/IEC 14496-15) and behind start codes (Annex B), and what they are.
//! - `canonical`: any form of an access unit to the one form of the bus.
//!
//! Clauses without another name are of ITU-T H.264. No state: each function reads what it is given.

mod avcc;
mod canonical;
mod nal;
mod sps;
#[cfg(test)]
mod tests;

pub use avcc::{AvcConfig, MAX_RECORD_BYTES};
pub use canonical::{Canonical, annex_b_to_canonical, to_canonical};
pub use nal::{
    NAL_AUD, NAL_IDR, NAL_PPS, NAL_SEI, NAL_SLICE, NAL_SPS, NalUnits, annex_b_units, has_idr, is_random_access,
    nal_type, nal_units,
};
pub use sps::{MAX_DIMENSION, SpsInfo};
