//! Boxes, written (ISO/IEC 14496-12 §4.2): a header, what is in it, then the size that this came to.

use bytes::BufMut;

/// Size and type.
pub(super) const BOX_HEADER_BYTES: usize = 8;
/// Size, type, version and flags.
pub(super) const FULL_BOX_HEADER_BYTES: usize = 12;

/// A box with what `body` appends.
pub(super) fn put_box(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    body(out);
    // Boxes that are written this way hold no media: far below 4 GiB.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..).and_then(|written| written.first_chunk_mut()) {
        *field = size.to_be_bytes();
    }
}

/// A box that has a version and 24 bits of flags (§4.2).
pub(super) fn put_full_box(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, kind, |out| {
        out.put_u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
        body(out);
    });
}

/// A box whose content is there already.
pub(super) fn put_record(out: &mut Vec<u8>, kind: &[u8; 4], record: &[u8]) {
    put_box(out, kind, |out| out.put_slice(record));
}

/// The same behind version 0 (or another) and no flags.
pub(super) fn put_full_record(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, record: &[u8]) {
    put_full_box(out, kind, version, 0, |out| out.put_slice(record));
}

/// `count` zero bytes.
pub(super) fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.put_bytes(0, count);
}
