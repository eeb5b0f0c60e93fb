//! Temporal units (§7.5) of a whole stream: those of files and captures, where nothing else says where one ends.

use super::obu::{OBU_TEMPORAL_DELIMITER, leb128, obus};
use crate::CodecError;

/// The temporal units of a stream in the low-overhead format (§5.2): each from its temporal delimiter to the next. What
/// stands in front of the first delimiter is one too. Behind an error there is nothing.
pub fn temporal_units(stream: &[u8]) -> impl Iterator<Item = Result<&[u8], CodecError>> {
    let (mut obus, mut begin, mut end) = (obus(stream), 0, 0);
    std::iter::from_fn(move || {
        for obu in obus.by_ref() {
            let obu = match obu {
                Ok(obu) => obu,
                Err(error) => {
                    begin = end;
                    return Some(Err(error));
                }
            };
            let unit = begin..end;
            end += obu.bytes.len();
            if obu.kind == OBU_TEMPORAL_DELIMITER && !unit.is_empty() {
                begin = unit.end;
                return stream.get(unit).map(Ok);
            }
        }
        let last = begin..end;
        begin = end;
        stream.get(last).filter(|unit| !unit.is_empty()).map(Ok)
    })
}

/// The temporal units of a stream in the length-delimited format (Annex B), each without its `temporal_unit_size`: for
/// [`annex_b_to_canonical`](super::annex_b_to_canonical). Behind an error there is nothing.
pub fn annex_b_temporal_units(stream: &[u8]) -> impl Iterator<Item = Result<&[u8], CodecError>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let offset = stream.len() - rest.len();
        let unit = leb128(rest).and_then(|(size, behind)| behind.split_at_checked(size));
        rest = unit.map_or(&[][..], |(_, behind)| behind);
        Some(unit.map(|(unit, _)| unit).ok_or(CodecError::Malformed { what: "temporal_unit_size", offset }))
    })
}
