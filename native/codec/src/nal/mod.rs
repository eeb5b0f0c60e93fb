//! What H.264, H.265 and H.266 share: NAL units behind lengths, parameter sets, the form of an access unit on the bus.
//!
//! - `lengths`: the NAL units of an access unit behind lengths (ISO/IEC 14496-15 §4.3.2).
//! - `canonical`: any form of an access unit to the one form of the bus; `in_place`: without a copy.
//! - `access_units`: a byte stream cut into access units.
//! - `late`: picture parameter sets that come where decoding cannot begin.
//! - `record`: the fields of a decoder configuration record, and lists of parameter sets.
//! - `picture`: sizes and cropping; `vui`: what the VUI of several standards writes in the same way.

mod access_units;
mod canonical;
mod in_place;
mod late;
mod lengths;
pub(crate) mod picture;
pub(crate) mod record;
#[cfg(test)]
mod tests;
pub(crate) mod vui;

pub(crate) use access_units::Place;
pub use access_units::{AccessUnit, AccessUnits};
pub use canonical::{Canonical, MAX_PARAMETER_SETS};
pub(crate) use canonical::{annex_b_to_canonical, to_canonical};
pub(crate) use late::Known;
pub use late::LateSets;
pub use lengths::{NalUnits, nal_units};

/// What a NAL unit is to the form of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A video parameter set.
    Vps,
    /// A sequence parameter set.
    Sps,
    /// A picture parameter set.
    Pps,
    /// An access unit delimiter: says nothing that the bus does not say.
    Delimiter,
    /// Everything that stays: slices, SEI, what is not known.
    Payload,
}
