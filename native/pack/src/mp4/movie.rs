//! `moov` (ISO/IEC 14496-12 §8.2), written: of a fragmented file and of a whole one.

use arcly_bus::Track;
use arcly_codec::MediaKind;
use bytes::BufMut;

use super::{
    entry::{Extras, put_entry},
    write::{put_box, put_full_box, put_zeros},
};
use crate::PackError;

/// Ticks per second of `mvhd`, `tkhd` and the durations of edits. Fine enough for a pause in front of a track to be off by less than
/// a sample of 48 kHz.
pub(super) const MOVIE_CLOCK_HZ: u32 = 90_000;

/// `ftyp` of what is fragmented (§4.3): brand, version, compatible brands. Others may follow.
pub(super) const FRAGMENTED: &[u8] = b"iso6\0\0\0\0iso6mp41dash";
/// The same of a file with tables.
pub(super) const WITH_TABLES: &[u8] = b"isom\0\0\x02\0isomiso6mp41";

/// No rotation, no scaling, as 16.16, the last column as 2.30 (§8.2.2.2).
const UNITY_MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];
/// `track_enabled`, `track_in_movie`.
const TRACK_IN_MOVIE: u32 = 0b011;
/// The media is in this file (§8.7.2).
const SELF_CONTAINED: u32 = 1;
/// 1.0 as 16.16: play at the ordinary speed.
const RATE_ONE: u32 = 0x0001_0000;

/// Sample flags (§8.8.3.1): depends on no other sample.
pub(super) const SYNC_SAMPLE: u32 = 0x0200_0000;
/// Depends on others, and decoding cannot begin at it.
pub(super) const OTHER_SAMPLE: u32 = 0x0101_0000;

/// One `trak`.
pub(super) struct Trak<'a> {
    pub track: &'a Track,
    pub extras: Extras,
    /// In ticks of the movie; 0 when it is not known.
    pub movie_duration: u64,
    /// In ticks of the track; 0 when it is not known.
    pub media_duration: u64,
    pub edits: Vec<Edit>,
}

/// One entry of an edit list (§8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// In ticks of the movie; 0 in the last edit of a fragmented file: to the end.
    pub movie_duration: u64,
    /// In ticks of the track; `None` for a time in which nothing is shown.
    pub media_time: Option<u64>,
}

/// The number of a track in the file: 0 is no number (§8.3.2.3).
pub(super) fn track_number(track: &Track) -> u32 {
    u32::from(track.id.0) + 1
}

/// `mvhd`.
pub(super) fn put_movie_header(out: &mut Vec<u8>, movie_duration: u64, next_track_number: u32) {
    put_full_box(out, b"mvhd", 1, 0, |out| {
        // Creation and modification: not said.
        put_zeros(out, 16);
        out.put_u32(MOVIE_CLOCK_HZ);
        out.put_u64(movie_duration);
        out.put_u32(RATE_ONE);
        out.put_u16(0x0100);
        put_zeros(out, 10);
        UNITY_MATRIX.iter().for_each(|&value| out.put_u32(value));
        put_zeros(out, 24);
        out.put_u32(next_track_number);
    });
}

/// The brands of `ftyp` that tracks ask for: those of Dolby Vision, of which a manifest names one.
pub(super) fn put_brands<'a>(out: &mut Vec<u8>, tracks: impl Iterator<Item = &'a Track>) {
    let Some(track) = tracks.into_iter().find(|track| track.dolby_vision.is_some()) else { return };
    out.put_slice(b"dby1");
    if let Some((_, brand)) = track.supplemental_codec() {
        out.put_slice(brand.as_bytes());
    }
}

/// Whether a file begins with an `ftyp` that is written here, as far as there is one.
pub fn is_written_here(beginning: &[u8]) -> bool {
    let is_written = |brands| beginning.iter().skip(4).zip(b"ftyp".iter().chain(brands)).all(|(a, b)| a == b);
    is_written(FRAGMENTED) || is_written(WITH_TABLES)
}

/// `mvex`: there will be fragments (§8.8.1).
pub(super) fn put_movie_extends(out: &mut Vec<u8>, tracks: &[&Track]) {
    put_box(out, b"mvex", |out| {
        for track in tracks {
            put_full_box(out, b"trex", 0, 0, |out| {
                out.put_u32(track_number(track));
                // The only sample entry; no duration and no size by default.
                out.put_u32(1);
                put_zeros(out, 8);
                out.put_u32(if track.kind() == MediaKind::Video { OTHER_SAMPLE } else { SYNC_SAMPLE });
            });
        }
    });
}

/// One `trak`; `tables` writes what is in `stbl` behind the sample entry.
pub(super) fn put_trak(out: &mut Vec<u8>, trak: &Trak<'_>, tables: impl FnOnce(&mut Vec<u8>)) -> Result<(), PackError> {
    // Beforehand, since nothing may fail within the boxes.
    let mut entry = Vec::new();
    put_entry(&mut entry, trak.track, &trak.extras)?;
    put_box(out, b"trak", |out| {
        put_track_header(out, trak);
        put_edits(out, &trak.edits);
        put_box(out, b"mdia", |out| {
            put_media_header(out, trak);
            put_box(out, b"minf", |out| {
                put_media_information(out, trak.track.kind());
                put_box(out, b"stbl", |out| {
                    put_full_box(out, b"stsd", 0, 0, |out| {
                        out.put_u32(1);
                        out.put_slice(&entry);
                    });
                    tables(out);
                });
            });
        });
    });
    Ok(())
}

fn put_track_header(out: &mut Vec<u8>, trak: &Trak<'_>) {
    let is_audio = trak.track.kind() == MediaKind::Audio;
    let (width, height) = presented_size(trak.track);
    put_full_box(out, b"tkhd", 1, TRACK_IN_MOVIE, |out| {
        put_zeros(out, 16);
        out.put_u32(track_number(trak.track));
        out.put_u32(0);
        out.put_u64(trak.movie_duration);
        put_zeros(out, 8);
        out.put_u16(0);
        // One of each kind is played: they are alternatives of each other.
        out.put_u16(if is_audio { 1 } else { 0 });
        out.put_u16(if is_audio { 0x0100 } else { 0 });
        out.put_u16(0);
        UNITY_MATRIX.iter().for_each(|&value| out.put_u32(value));
        out.put_u32(width);
        out.put_u32(height);
    });
}

/// Width and height as 16.16 (§8.3.2.3), the width stretched by the sample aspect ratio.
fn presented_size(track: &Track) -> (u32, u32) {
    let info = track.config.video().unwrap_or_default();
    let (horizontal, vertical) = info.sample_aspect_ratio.unwrap_or((1, 1));
    let width = (u64::from(info.width.min(0xffff)) << 16) * u64::from(horizontal) / u64::from(vertical.max(1));
    (u32::try_from(width).unwrap_or(u32::MAX), info.height.min(0xffff) << 16)
}

fn put_edits(out: &mut Vec<u8>, edits: &[Edit]) {
    if edits.is_empty() {
        return;
    }
    put_box(out, b"edts", |out| {
        put_full_box(out, b"elst", 1, 0, |out| {
            out.put_u32(u32::try_from(edits.len()).unwrap_or(0));
            for edit in edits {
                out.put_u64(edit.movie_duration);
                out.put_i64(edit.media_time.map_or(-1, |time| i64::try_from(time).unwrap_or(i64::MAX)));
                out.put_u32(RATE_ONE);
            }
        });
    });
}

fn put_media_header(out: &mut Vec<u8>, trak: &Trak<'_>) {
    put_full_box(out, b"mdhd", 1, 0, |out| {
        put_zeros(out, 16);
        out.put_u32(trak.track.clock_rate_hz);
        out.put_u64(trak.media_duration);
        out.put_u16(packed_language(trak.track));
        out.put_u16(0);
    });
    let (handler, name): (&[u8; 4], &[u8]) = match trak.track.kind() {
        MediaKind::Video => (b"vide", b"video\0"),
        MediaKind::Audio => (b"soun", b"audio\0"),
        MediaKind::Data => (b"meta", b"data\0"),
    };
    put_full_box(out, b"hdlr", 0, 0, |out| {
        out.put_u32(0);
        out.put_slice(handler);
        put_zeros(out, 12);
        out.put_slice(name);
    });
}

/// Three letters of five bits (§8.4.2.3).
fn packed_language(track: &Track) -> u16 {
    let letters = track.language.map_or(*b"und", |language| language.bytes());
    letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter & 0x1f))
}

fn put_media_information(out: &mut Vec<u8>, kind: MediaKind) {
    match kind {
        MediaKind::Video => put_full_box(out, b"vmhd", 0, 1, |out| put_zeros(out, 8)),
        MediaKind::Audio => put_full_box(out, b"smhd", 0, 0, |out| put_zeros(out, 4)),
        MediaKind::Data => put_full_box(out, b"nmhd", 0, 0, |_| {}),
    }
    put_box(out, b"dinf", |out| {
        put_full_box(out, b"dref", 0, 0, |out| {
            out.put_u32(1);
            put_full_box(out, b"url ", 0, SELF_CONTAINED, |_| {});
        });
    });
}

/// The tables of a track whose samples are all in fragments.
pub(super) fn put_empty_tables(out: &mut Vec<u8>) {
    put_full_box(out, b"stts", 0, 0, |out| out.put_u32(0));
    put_full_box(out, b"stsc", 0, 0, |out| out.put_u32(0));
    put_full_box(out, b"stsz", 0, 0, |out| out.put_u64(0));
    put_full_box(out, b"stco", 0, 0, |out| out.put_u32(0));
}
