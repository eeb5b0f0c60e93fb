//! Parameter sets that differ from known ones by their ids alone (§7.3.2.1, §7.3.2.2).

use bytes::Bytes;

use super::{Canonical, nal::has_idr};
use crate::{
    CodecError,
    bit_packer::BitPacker,
    bits::{BitReader, rbsp},
    nal::nal_units,
};

/// Largest set that is compared: real ones have less than 100 bytes, with scaling lists some 500.
const MAX_COMPARED_BYTES: usize = 1_024;

/// Whether an IDR picture brings sets of both kinds, and all of them are the present ones but for their ids: of an SPS the
/// first, which is that of the pictures. An encoder that does so brings them with each IDR picture, for a decoder that
/// begins there.
pub(super) fn are_renumbered(known_sps: &[Bytes], known_pps: &[Bytes], unit: &Canonical) -> bool {
    let is_whole = !unit.sps.is_empty() && !unit.pps.is_empty();
    is_whole
        && has_idr(nal_units(&unit.payload, 4).flatten())
        && are_known(known_sps.get(..1).unwrap_or_default(), &unit.sps, sps_without_id)
        && are_known(known_pps, &unit.pps, pps_without_ids)
}

fn are_known(known: &[Bytes], new: &[Bytes], without_ids: fn(&[u8]) -> Result<Bytes, CodecError>) -> bool {
    let contents: Vec<Bytes> = known.iter().filter_map(|set| without_ids(set).ok()).collect();
    new.iter().all(|set| without_ids(set).is_ok_and(|content| contents.contains(&content)))
}

/// Without `seq_parameter_set_id`.
fn sps_without_id(nal: &[u8]) -> Result<Bytes, CodecError> {
    let rbsp = small_rbsp(nal)?;
    let (mut bits, mut content) = (BitReader::new(&rbsp), BitPacker::new());
    content.copy(&mut bits, 8 + 24, "sequence parameter set")?;
    bits.ue("seq_parameter_set_id")?;
    rest(bits, content)
}

/// Without `pic_parameter_set_id` and `seq_parameter_set_id`.
fn pps_without_ids(nal: &[u8]) -> Result<Bytes, CodecError> {
    let rbsp = small_rbsp(nal)?;
    let (mut bits, mut content) = (BitReader::new(&rbsp), BitPacker::new());
    content.copy(&mut bits, 8, "picture parameter set")?;
    bits.ue("pic_parameter_set_id")?;
    bits.ue("seq_parameter_set_id")?;
    rest(bits, content)
}

fn small_rbsp(nal: &[u8]) -> Result<Vec<u8>, CodecError> {
    if nal.len() > MAX_COMPARED_BYTES {
        let (max, seen) = (MAX_COMPARED_BYTES, nal.len());
        return Err(CodecError::LimitExceeded { limit: "bytes of a parameter set to compare", max, seen });
    }
    rbsp(nal)
}

/// What is left, up to `rbsp_stop_one_bit`: how many zeros follow it depends on the length of the ids.
fn rest(mut bits: BitReader<'_>, mut content: BitPacker) -> Result<Bytes, CodecError> {
    let left = bits.remaining_bits();
    content.copy(&mut bits, left, "parameter set")?;
    let mut content = content.finish();
    content.truncate(content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    Ok(content)
}
