//! H.264 (RFC 6184).

use arcly_codec::{
    CodecConfig, CodecError,
    cursor::Cursor,
    h264::{self, AvcConfig},
    nal::{Canonical, LateSets},
};
use bytes::Bytes;

use super::nal::{Head, NalBuffer, NalFormat};
use crate::rtp::format::Format;

/// Types of payloads that are no NAL unit by themselves (RFC 6184 Table 1).
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// `forbidden_zero_bit` and `nal_ref_idc`.
const REF_IDC: u8 = 0b1110_0000;
const TYPE: u8 = 0b0001_1111;
/// `S` and `E` of a fragment header (§5.8).
const START: u8 = 0b1000_0000;
const END: u8 = 0b0100_0000;

#[derive(Debug)]
pub(super) struct H264;

impl NalFormat for H264 {
    const HEADER_BYTES: usize = h264::NAL_HEADER_BYTES;

    fn new(_format: &Format) -> Self {
        Self
    }

    fn fragment_head(nal: &[u8], is_first: bool, is_last: bool) -> Head {
        let header = nal.first().copied().unwrap_or_default();
        let flags = if is_first { START } else { 0 } | if is_last { END } else { 0 };
        ([header & REF_IDC | FU_A, flags | header & TYPE, 0], 2)
    }

    /// The header has the highest `nal_ref_idc` of what it aggregates (§5.7).
    fn aggregation_head(nals: &[&[u8]]) -> Head {
        let ref_idc = nals.iter().filter_map(|nal| nal.first()).map(|header| header & 0x60).max();
        ([ref_idc.unwrap_or_default() | STAP_A, 0, 0], 1)
    }

    fn parameter_sets(config: &CodecConfig) -> Vec<Bytes> {
        let CodecConfig::H264(config) = config else { return Vec::new() };
        [&config.sps, &config.sps_extensions, &config.pps].into_iter().flatten().cloned().collect()
    }

    fn read(&self, payload: &[u8], buffer: &mut NalBuffer) -> Result<(), CodecError> {
        let malformed = |what| CodecError::Malformed { what, offset: 0 };
        let mut fields = Cursor::new(payload);
        let header = fields.u8().ok_or(malformed("H.264 payload"))?;
        match header & TYPE {
            1..=23 => buffer.push(payload),
            STAP_A => aggregated(fields, 0, buffer),
            // Interleaved mode (§6.4) is read in the order of its packets, which is what the few senders of it use.
            STAP_B => {
                fields.u16().ok_or(malformed("DON"))?;
                aggregated(fields, 0, buffer)
            }
            MTAP16 | MTAP24 => {
                fields.u16().ok_or(malformed("DONB"))?;
                // DOND and an offset of the time, which within an access unit is 0.
                aggregated(fields, if header & TYPE == MTAP16 { 3 } else { 4 }, buffer)
            }
            fragment_type @ (FU_A | FU_B) => fragment(header, fields, fragment_type == FU_B, buffer),
            // Undefined: to be passed over (§5.2).
            _ => Ok(()),
        }
    }

    fn is_unit(nal: &[u8]) -> bool {
        matches!(h264::nal_type(nal), 1..STAP_A)
    }

    fn is_first_slice(nal: &[u8]) -> Option<bool> {
        h264::is_first_slice(nal)
    }

    fn to_canonical(access_unit: Bytes) -> Result<Canonical, CodecError> {
        h264::to_canonical(access_unit, 4)
    }

    fn is_key(unit: &Canonical) -> bool {
        h264::is_entry(unit)
    }

    fn keeps_sets(config: &CodecConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool {
        matches!(config, CodecConfig::H264(config) if config.keep_sets(late, canonical, Self::is_key))
    }

    fn merge(config: Option<&CodecConfig>, sets: &Canonical) -> Result<Option<CodecConfig>, CodecError> {
        let merged = match config {
            Some(CodecConfig::H264(config)) => config.with_parameter_sets(&sets.sps, &sets.pps)?,
            _ => {
                // Copies: slices would keep the access unit alive for as long as the stream.
                let copies = |sets: &[Bytes]| sets.iter().map(|set| Bytes::copy_from_slice(set)).collect();
                Some(AvcConfig::from_parameter_sets(copies(&sets.sps), copies(&sets.pps))?)
            }
        };
        Ok(merged.map(CodecConfig::H264))
    }
}

/// NAL units behind 16-bit lengths, and `skip` bytes between length and unit (§5.7).
fn aggregated(mut fields: Cursor<'_>, skip: usize, buffer: &mut NalBuffer) -> Result<(), CodecError> {
    while !fields.is_empty() {
        let malformed = CodecError::Malformed { what: "aggregated NAL unit", offset: fields.offset() };
        let unit = fields.u16().and_then(|bytes| fields.take(usize::from(bytes)));
        let nal = unit.and_then(|unit| unit.get(skip..)).ok_or(malformed.clone())?;
        // An aggregation within an aggregation.
        if matches!(h264::nal_type(nal), STAP_A..) {
            return Err(malformed);
        }
        // Unspecified, as a packet of its own would be.
        if h264::nal_type(nal) != 0 {
            buffer.push(nal)?;
        }
    }
    Ok(())
}

/// A fragment (§5.8). The header of its NAL unit is made of both headers.
fn fragment(indicator: u8, mut fields: Cursor<'_>, has_don: bool, buffer: &mut NalBuffer) -> Result<(), CodecError> {
    let malformed = |offset| CodecError::Malformed { what: "fragment header", offset };
    let header = fields.u8().ok_or(malformed(1))?;
    if has_don {
        fields.u16().ok_or(malformed(2))?;
    }
    if !matches!(header & TYPE, 1..=23) {
        return Err(malformed(1));
    }
    let nal_header = [indicator & REF_IDC | header & TYPE];
    buffer.push_fragment(&nal_header, fields.rest(), header & START != 0, header & END != 0)
}
