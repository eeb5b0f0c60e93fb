//! AOM AV1: the sequence header, the av1C record, and the open bitstream units (OBUs) of a temporal unit.
//!
//! - `obu`: OBUs one behind the other, with and without sizes (§5.3), and in the length-delimited form (Annex B).
//! - `sequence`: what a sequence header says (§5.5).
//! - `frame`: what is known of a frame without decoding it (§5.9.2).
//! - `metadata`: HDR and ITU-T T.35 messages (§5.8).
//! - `record`: `AV1CodecConfigurationRecord` (AV1-ISOBMFF §2.3), read and made, and the `codecs` parameter (§5).
//! - `units`: where the temporal units of a whole stream begin (§7.5, Annex B).
//! - `canonical`: any form of a temporal unit to the one form of the bus.
//!
//! Clauses without another name are of the AV1 bitstream specification.

mod canonical;
mod frame;
mod metadata;
mod obu;
mod record;
mod sequence;
#[cfg(test)]
mod tests;
mod units;

pub use canonical::{Canonical, annex_b_to_canonical, to_canonical};
pub use frame::{FrameHeader, FrameType, is_random_access, is_reference};
pub use metadata::{ItuT35, Metadata, hdr, metadata};
pub use obu::{
    MAX_OBUS, OBU_FRAME, OBU_FRAME_HEADER, OBU_METADATA, OBU_PADDING, OBU_REDUNDANT_FRAME_HEADER, OBU_SEQUENCE_HEADER,
    OBU_TEMPORAL_DELIMITER, OBU_TILE_GROUP, OBU_TILE_LIST, Obu, annex_b_obus, leb128, leb128_bytes, obus, put_leb128,
};
pub use record::{Av1Config, MAX_RECORD_BYTES};
pub use sequence::{DecoderModel, OperatingPoint, SequenceHeader};
pub use units::{annex_b_temporal_units, temporal_units};
