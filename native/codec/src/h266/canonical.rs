//! Any form of an H.266 access unit to the form of the bus.

use bytes::Bytes;

use super::nal::role;
use crate::{
    CodecError,
    nal::{self, Canonical},
};

/// Brings an access unit of `nal_length_size`-byte lengths (1, 2 or 4) into the form of the bus. One that is in that
/// form already, which is what encoders send nearly always, comes back as it is: no copy.
///
/// # Errors
/// [`CodecError::Malformed`] when the lengths do not add up; [`CodecError::LimitExceeded`] for absurdly many
/// parameter sets.
pub fn to_canonical(payload: Bytes, nal_length_size: u8) -> Result<Canonical, CodecError> {
    nal::to_canonical(payload, nal_length_size, role)
}

/// Brings an access unit in the byte stream form (Annex B) into the form of the bus.
///
/// # Errors
/// [`CodecError::Malformed`] when something else than zero bytes stands in front of the first start code, or when there
/// is none; [`CodecError::LimitExceeded`] for absurdly many parameter sets.
pub fn annex_b_to_canonical(stream: Bytes) -> Result<Canonical, CodecError> {
    nal::annex_b_to_canonical(stream, role)
}
