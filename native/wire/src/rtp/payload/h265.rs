//! H.265 (RFC 7798).

use arcly_codec::{
    CodecConfig, CodecError,
    cursor::Cursor,
    h265::{self, HevcConfig},
    nal::{Canonical, LateSets, nal_units},
};
use bytes::Bytes;

use super::nal::{Head, NalBuffer, NalFormat};
use crate::rtp::format::Format;

/// `Type` of payloads that are no NAL unit by themselves (§4.4).
const AP: u8 = 48;
const FU: u8 = 49;
const PACI: u8 = 50;

/// `S` and `E` of a fragment header (§4.4.3).
const START: u8 = 0b1000_0000;
const END: u8 = 0b0100_0000;
/// All of the first byte of a NAL unit header but its type.
const NOT_TYPE: u8 = 0b1000_0001;

#[derive(Debug)]
pub(super) struct H265 {
    /// `sprop-max-don-diff` is more than 0: decoding order numbers are in the payloads (§4.4).
    has_don: bool,
}

impl NalFormat for H265 {
    const HEADER_BYTES: usize = h265::NAL_HEADER_BYTES;

    fn new(format: &Format) -> Self {
        let says_order = |name| format.parameters.number(name).is_some_and(|value| value > 0);
        Self { has_don: says_order("sprop-max-don-diff") || says_order("sprop-depack-buf-nalus") }
    }

    fn fragment_head(nal: &[u8], is_first: bool, is_last: bool) -> Head {
        let (first, second) = header(nal);
        let flags = if is_first { START } else { 0 } | if is_last { END } else { 0 };
        ([first & NOT_TYPE | FU << 1, second, flags | h265::nal_type(nal)], 3)
    }

    /// The lowest layer and the lowest `TID` of what it aggregates (§4.4.2).
    fn aggregation_head(nals: &[&[u8]]) -> Head {
        let layer_and_tid = |nal: &&[u8]| {
            let (first, second) = header(nal);
            (u16::from(first & 1) << 5 | u16::from(second >> 3), second & 7)
        };
        let layer = nals.iter().map(layer_and_tid).map(|(layer, _)| layer).min().unwrap_or_default();
        let tid = nals.iter().map(layer_and_tid).map(|(_, tid)| tid).min().unwrap_or(1);
        ([AP << 1 | (layer >> 5) as u8, (layer << 3) as u8 | tid, 0], 2)
    }

    fn parameter_sets(config: &CodecConfig) -> Vec<Bytes> {
        let CodecConfig::H265(config) = config else { return Vec::new() };
        [&config.vps, &config.sps, &config.pps].into_iter().flatten().cloned().collect()
    }

    fn read(&self, payload: &[u8], buffer: &mut NalBuffer) -> Result<(), CodecError> {
        let malformed = |what, offset| CodecError::Malformed { what, offset };
        let mut fields = Cursor::new(payload);
        let header: [u8; 2] = fields.array().ok_or(malformed("H.265 payload", 0))?;
        match h265::nal_type(payload) {
            AP => self.aggregated(fields, buffer),
            FU => self.fragment(header, fields, buffer),
            0..AP if self.has_don => {
                fields.u16().ok_or(malformed("DONL", 2))?;
                buffer.push_fragment(&header, fields.rest(), true, true)
            }
            0..AP => buffer.push(payload),
            PACI => self.extended(header, fields, buffer),
            // Unspecified: to be passed over (§4.4).
            _ => Ok(()),
        }
    }

    fn is_unit(nal: &[u8]) -> bool {
        nal.len() >= Self::HEADER_BYTES && h265::nal_type(nal) < AP
    }

    fn is_first_slice(nal: &[u8]) -> Option<bool> {
        h265::is_first_slice(nal)
    }

    fn to_canonical(access_unit: Bytes) -> Result<Canonical, CodecError> {
        h265::to_canonical(access_unit, 4)
    }

    fn is_key(unit: &Canonical) -> bool {
        h265::is_random_access(nal_units(&unit.payload, 4).flatten())
    }

    fn keeps_sets(config: &CodecConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool {
        matches!(config, CodecConfig::H265(config) if config.keep_sets(late, canonical, Self::is_key))
    }

    fn merge(config: Option<&CodecConfig>, sets: &Canonical) -> Result<Option<CodecConfig>, CodecError> {
        let merged = match config {
            Some(CodecConfig::H265(config)) => config.with_parameter_sets(&sets.vps, &sets.sps, &sets.pps)?,
            _ => {
                // Copies: slices would keep the access unit alive for as long as the stream.
                let copies = |sets: &[Bytes]| sets.iter().map(|set| Bytes::copy_from_slice(set)).collect();
                Some(HevcConfig::from_parameter_sets(copies(&sets.vps), copies(&sets.sps), copies(&sets.pps))?)
            }
        };
        Ok(merged.map(CodecConfig::H265))
    }
}

impl H265 {
    /// A payload with extensions in front of it, which are passed over (§4.4.4). Its header is that of the payload inside but for the type, of which
    /// `cType` has the rest; a payload with extensions never holds another one.
    fn extended(
        &self,
        [first, second]: [u8; 2],
        mut fields: Cursor<'_>,
        buffer: &mut NalBuffer,
    ) -> Result<(), CodecError> {
        let malformed = |offset| CodecError::Malformed { what: "PACI header", offset };
        // A, cType, PHSsize, F0 to F2 and Y: 1, 6, 5, 3 and 1 bits.
        let head = fields.u16().ok_or(malformed(2))?;
        let (is_forbidden, kind) = ((head >> 15) as u8 | first & 0x80, (head >> 9) as u8 & 0x3f);
        fields.take(usize::from(head >> 4 & 0x1f)).ok_or(malformed(4))?;
        if kind >= PACI {
            return Err(malformed(2));
        }
        let inner = [is_forbidden & 0x80 | kind << 1 | first & 1, second];
        self.read(&[&inner, fields.rest()].concat(), buffer)
    }

    /// NAL units behind 16-bit lengths; with order numbers one of 16 bits in front of the first, and differences of 8 bits
    /// in front of the others (§4.4.2).
    fn aggregated(&self, mut fields: Cursor<'_>, buffer: &mut NalBuffer) -> Result<(), CodecError> {
        let mut order_bytes = 2;
        while !fields.is_empty() {
            let malformed = CodecError::Malformed { what: "aggregated NAL unit", offset: fields.offset() };
            if self.has_don {
                fields.take(order_bytes).ok_or(malformed.clone())?;
                order_bytes = 1;
            }
            let unit = fields.u16().and_then(|bytes| fields.take(usize::from(bytes))).ok_or(malformed.clone())?;
            // An aggregation within an aggregation, or less than a header.
            if h265::nal_type(unit) >= AP || unit.len() < Self::HEADER_BYTES {
                return Err(malformed);
            }
            buffer.push(unit)?;
        }
        Ok(())
    }

    /// A fragment (§4.4.3). The header of its NAL unit is that of the payload with the type of the fragment.
    fn fragment(
        &self,
        [first, second]: [u8; 2],
        mut fields: Cursor<'_>,
        buffer: &mut NalBuffer,
    ) -> Result<(), CodecError> {
        let malformed = |offset| CodecError::Malformed { what: "fragment header", offset };
        let header = fields.u8().ok_or(malformed(2))?;
        let is_first = header & START != 0;
        if self.has_don && is_first {
            fields.u16().ok_or(malformed(3))?;
        }
        let nal_type = header & 0x3f;
        if nal_type >= AP {
            return Err(malformed(2));
        }
        buffer.push_fragment(&[first & NOT_TYPE | nal_type << 1, second], fields.rest(), is_first, header & END != 0)
    }
}

fn header(nal: &[u8]) -> (u8, u8) {
    (nal.first().copied().unwrap_or_default(), nal.get(1).copied().unwrap_or(1))
}
