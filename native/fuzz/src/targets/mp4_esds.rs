//! `esds` boxes, within the smallest file that has one.

use arcly_codec::Codec;
use arcly_pack::{Item, mp4::Mp4Demuxer};

use super::Target;
use crate::{
    mp4::files,
    mutate::{Input, MAX_INPUT_BYTES},
};

pub const TARGET: Target =
    Target { name: "mp4_esds", vectors, edit: None, buffered_bytes_max: 2 * MAX_INPUT_BYTES, run };

/// AAC with lengths of four bytes and of one, MP3 without specific info, MPEG-2 AAC with all flags, AC-3.
fn vectors() -> Vec<Vec<u8>> {
    vec![
        esds(&[0, 1, 0], 0x40, &[0x12, 0x10, 0x56, 0xe5, 0], 4),
        esds(&[0, 1, 0], 0x40, &[0x12, 0x10], 1),
        esds(&[0, 0, 0], 0x6b, &[], 4),
        esds(&[0, 0, 0xe0, 0, 1, 3, b'u', b'r', b'l', 0, 2], 0x67, &[0x12, 0x10], 1),
        esds(&[0, 0, 0], 0xa5, &[], 2),
    ]
}

fn esds(head: &[u8], object: u8, specific: &[u8], length_bytes: usize) -> Vec<u8> {
    let specific = if specific.is_empty() { Vec::new() } else { descriptor(5, specific, length_bytes) };
    let config = [&[object, 0x15, 0, 0, 0, 0, 0, 0xfa, 0, 0, 0, 0xfa, 0][..], &specific].concat();
    let body = [head, &descriptor(4, &config, length_bytes), &descriptor(6, &[2], length_bytes)].concat();
    descriptor(3, &body, length_bytes)
}

fn descriptor(tag: u8, body: &[u8], length_bytes: usize) -> Vec<u8> {
    let length = (1..length_bytes).map(|_| 0x80).chain([body.len() as u8]);
    [tag].into_iter().chain(length).chain(body.iter().copied()).collect()
}

/// `moov` of the first vector with another `esds` in its sample entry.
fn file(esds: &[u8]) -> Option<Vec<u8>> {
    let file = files().into_iter().nth(1)?;
    let at = file.windows(4).position(|kind| kind == b"esds")?.checked_sub(4)?;
    let old = u32::from_be_bytes(*file.get(at..)?.first_chunk()?) as usize;
    let new = [&(12 + esds.len() as u32).to_be_bytes()[..], b"esds\0\0\0\0", esds].concat();
    let grown = new.len() as i64 - old as i64;
    let mut changed = file.clone();
    // All boxes around it: those that begin in front of it and end behind it.
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4a"] {
        let around = file.get(..at)?.windows(4).rposition(|window| window == kind)?.checked_sub(4)?;
        let size = i64::from(u32::from_be_bytes(*file.get(around..)?.first_chunk()?)).saturating_add(grown);
        changed.get_mut(around..)?.iter_mut().zip((size as u32).to_be_bytes()).for_each(|(byte, new)| *byte = new);
    }
    changed.splice(at..at + old, new);
    let end = changed.windows(4).position(|kind| kind == b"mdat")?.checked_sub(4)?;
    changed.truncate(end);
    Some(changed)
}

fn run(input: &Input) -> usize {
    let Some(file) = file(&input.bytes) else { return 0 };
    let mut demuxer = Mp4Demuxer::new();
    if demuxer.push(&file).is_err() {
        return demuxer.buffered_bytes();
    }
    while let Some(item) = demuxer.poll() {
        if let Item::Tracks(tracks) = item {
            let is_known = |codec| matches!(codec, Codec::H264 | Codec::Aac | Codec::Mp3 | Codec::Mp2 | Codec::Ac3);
            assert!(tracks.iter().all(|track| is_known(track.config.codec())), "{tracks:?}");
        }
    }
    demuxer.buffered_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_are_read() {
        let sounds = vectors().into_iter().map(|esds| {
            let mut demuxer = Mp4Demuxer::new();
            demuxer.push(&file(&esds).unwrap()).unwrap();
            let Some(Item::Tracks(tracks)) = demuxer.poll() else { panic!("no tracks") };
            tracks.len()
        });
        // MP3 and AC-3 are known by their first frames only.
        assert_eq!(sounds.collect::<Vec<_>>(), [2, 2, 1, 2, 1]);
    }
}
