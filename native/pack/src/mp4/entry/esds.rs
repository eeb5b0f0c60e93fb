//! `esds`: the elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.5) that MPEG-4 puts in front of its audio.

use bytes::BufMut;

use super::BitRate;
use crate::mp4::write::put_full_box;

/// `objectTypeIndication` of MPEG-4 audio, that is AAC (ISO/IEC 14496-1 Table 5).
pub(super) const OBJECT_AAC: u8 = 0x40;

/// Tags of descriptors (§7.2.2.1).
const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC_INFO: u8 = 5;
const SL_CONFIG: u8 = 6;
/// `streamType` audio, `upStream` 0, the reserved bit 1.
const AUDIO_STREAM: u8 = 0x05 << 2 | 1;
/// Predefined `SLConfigDescriptor` of MP4 files (ISO/IEC 14496-14 §3.1.2).
const SL_PREDEFINED_MP4: u8 = 2;

/// Writes an `esds` box.
pub(super) fn put_esds(out: &mut Vec<u8>, object: u8, specific: &[u8], bit_rate: Option<BitRate>) {
    let BitRate { buffer_bytes, max_bps, average_bps } = bit_rate.unwrap_or_default();
    put_full_box(out, b"esds", 0, 0, |out| {
        put_descriptor(out, ES_DESCRIPTOR, |out| {
            // ES_ID: 0 in a file; no dependency, no URL, no priority.
            out.put_slice(&[0, 0, 0]);
            put_descriptor(out, DECODER_CONFIG, |out| {
                out.put_slice(&[object, AUDIO_STREAM]);
                out.put_uint(u64::from(buffer_bytes.min(0x00ff_ffff)), 3);
                out.put_u32(max_bps);
                out.put_u32(average_bps);
                if !specific.is_empty() {
                    put_descriptor(out, DECODER_SPECIFIC_INFO, |out| out.put_slice(specific));
                }
            });
            put_descriptor(out, SL_CONFIG, |out| out.put_u8(SL_PREDEFINED_MP4));
        });
    });
}

/// Tag, length in four bytes of seven bits, body. The long form is what every writer uses, since some readers take no other.
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.put_u8(tag);
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = out.len() - at - 4;
    let seven = |shift: u32| u8::try_from(length >> shift & 0x7f).unwrap_or(0);
    if let Some(field) = out.get_mut(at..).and_then(|written| written.first_chunk_mut()) {
        *field = [seven(21) | 0x80, seven(14) | 0x80, seven(7) | 0x80, seven(0)];
    }
}
