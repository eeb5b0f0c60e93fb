//! What the formats of H.264 and H.265 share: a NAL unit is a packet of its own, or aggregated with others, or fragmented.
//!
//! - `packetize`: NAL units to payloads.
//! - `access_unit`: NAL units and fragments to an access unit.
//! - `depacketize`: which of them belong together, and which are to be believed.

mod access_unit;
mod depacketize;
mod packetize;

use std::fmt::Debug;

use arcly_codec::{
    CodecConfig, CodecError,
    nal::{Canonical, LateSets},
};
use bytes::Bytes;

pub(super) use access_unit::NalBuffer;
pub(super) use depacketize::NalDepacketizer;
pub(super) use packetize::NalPacketizer;

use crate::rtp::format::Format;

/// What stands in front of a payload that is no NAL unit by itself.
pub(super) type Head = ([u8; 3], usize);

/// What differs between the formats.
pub(super) trait NalFormat: Debug + Send + 'static {
    /// Bytes of a NAL unit header.
    const HEADER_BYTES: usize;

    /// What the description says of how payloads are to be read.
    fn new(format: &Format) -> Self;

    /// The head of a fragment of `nal`.
    fn fragment_head(nal: &[u8], is_first: bool, is_last: bool) -> Head;

    /// The head of an aggregation of `nals`.
    fn aggregation_head(nals: &[&[u8]]) -> Head;

    /// The NAL units of the configuration that go in front of a key frame.
    fn parameter_sets(config: &CodecConfig) -> Vec<Bytes>;

    /// Reads a payload into `buffer`.
    fn read(&self, payload: &[u8], buffer: &mut NalBuffer) -> Result<(), CodecError>;

    /// Whether this is a NAL unit, and not what only packets have (aggregations, fragments) or nobody.
    fn is_unit(nal: &[u8]) -> bool;

    /// Whether a NAL unit is the first slice of a picture; `None` for what is no slice.
    fn is_first_slice(nal: &[u8]) -> Option<bool>;

    /// NAL units behind 4-byte lengths to the form of the bus.
    fn to_canonical(access_unit: Bytes) -> Result<Canonical, CodecError>;

    /// Whether decoding can begin at an access unit.
    fn is_key(unit: &Canonical) -> bool;

    /// Puts back parameter sets for which the configuration stays; whether it does.
    fn keeps_sets(config: &CodecConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool;

    /// The configuration behind these parameter sets; `None` when it stays.
    fn merge(config: Option<&CodecConfig>, sets: &Canonical) -> Result<Option<CodecConfig>, CodecError>;
}
