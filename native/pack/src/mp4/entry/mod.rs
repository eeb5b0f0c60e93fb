//! Sample entries (ISO/IEC 14496-12 §8.5.2): what a decoder must know, per codec.
//!
//! | codec | entry | record | where it is laid down |
//! |---|---|---|---|
//! | H.264 | `avc1`, read also `avc3` | `avcC` | ISO/IEC 14496-15 §5.4 |
//! | H.265 | `hvc1`, read also `hev1` | `hvcC` | ISO/IEC 14496-15 §8.4 |
//! | H.266 | `vvc1`, read also `vvi1` | `vvcC` | ISO/IEC 14496-15 §11.3 |
//! | AV1 | `av01` | `av1C` | AV1-ISOBMFF §2.2 |
//! | Dolby Vision on top of these | the same, or `dva1`, `dvh1`, `dav1` where others cannot show it | the same, and `dvcC`, `dvvC` or `dvwC` | Dolby Vision Streams Within the ISO Base Media File Format |
//! | VP9, VP8 | `vp09`, `vp08` | `vpcC` | VP-ISOBMFF |
//! | AAC, MP3, MP2 | `mp4a`, read also `.mp3`, `ms U` (and AC-3 in `mp4a`) | `esds` | ISO/IEC 14496-14 §5.6 |
//! | Opus | `Opus` | `dOps` | Opus-ISOBMFF §4.3 |
//! | FLAC | `fLaC` | `dfLa` | FLAC-ISOBMFF §3.3 |
//! | AC-3, E-AC-3 | `ac-3`, `ec-3` | `dac3`, `dec3` | ETSI TS 102 366 Annex F |
//! | PCM | `ipcm` (8 bits: `twos`), read also `sowt`, `in24`, `in32`, `lpcm`, `raw ` | `pcmC` | ISO/IEC 23003-5 §5; QTFF |
//! | G.711 | `alaw`, `ulaw` | – | QTFF |
//!
//! Encrypted entries (`encv`, `enca`: ISO/IEC 14496-12 §8.12) are refused when they are read. To write them, `entry` would put the
//! `sinf` box behind the record, and `fragment` a `senc` box into each `traf`.

mod audio;
mod esds;
mod video;

use arcly_bus::Track;
use arcly_codec::MediaKind;
use bytes::BufMut;

use super::write::put_box;
use crate::PackError;

/// Bit rates of a track for `btrt` (ISO/IEC 14496-12 §8.5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BitRate {
    /// Bytes that a decoder must buffer; 0 when unknown.
    pub buffer_bytes: u32,
    /// Most bits in any second.
    pub max_bps: u32,
    /// Bits a second over the whole.
    pub average_bps: u32,
}

/// What a sample entry says beyond the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extras {
    pub bit_rate: Option<BitRate>,
}

/// Whether MP4 has a sample entry for this track.
pub(super) fn check(track: &Track) -> Result<(), PackError> {
    put_entry(&mut Vec::new(), track, &Extras::default())
}

/// Writes the sample entry of a track.
pub(super) fn put_entry(out: &mut Vec<u8>, track: &Track, extras: &Extras) -> Result<(), PackError> {
    match track.kind() {
        MediaKind::Video => video::put_entry(out, track, extras),
        MediaKind::Audio => audio::put_entry(out, &track.config, extras),
        MediaKind::Data => Err(PackError::Unsupported { what: "data track in MP4" }),
    }
}

/// `SampleEntry` (§8.5.2.2): reserved bytes and the index of the data reference, which is always "this file".
fn put_sample_entry(out: &mut Vec<u8>, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    put_box(out, kind, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1);
        body(out);
    });
}

/// `btrt`.
fn put_bit_rate(out: &mut Vec<u8>, bit_rate: Option<BitRate>) {
    let Some(BitRate { buffer_bytes, max_bps, average_bps }) = bit_rate else { return };
    put_box(out, b"btrt", |out| {
        out.put_u32(buffer_bytes);
        out.put_u32(max_bps);
        out.put_u32(average_bps);
    });
}

/// For a configuration that has no entry.
const NO_ENTRY: PackError = PackError::Unsupported { what: "codec in MP4" };
