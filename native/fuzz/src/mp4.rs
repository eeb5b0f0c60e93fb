//! MP4 files, and edits that know boxes.

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, DolbyVision, aac::AudioSpecificConfig, h264::AvcConfig};
use arcly_pack::mp4::{Finalizer, Finalizing, Fmp4Muxer, Head};
use bytes::Bytes;

use crate::{
    avc::{RECORDS, unhex},
    mutate::edge,
    play_back::slice,
    random::Random,
};

/// What ffmpeg wrote; see the README beside them.
const FILES: [&[u8]; 6] = [
    include_bytes!("../../pack/src/mp4/tests/vectors/plain.mp4"),
    include_bytes!("../../pack/src/mp4/tests/vectors/faststart.mp4"),
    include_bytes!("../../pack/src/mp4/tests/vectors/fragmented.mp4"),
    include_bytes!("../../pack/src/mp4/tests/vectors/vp9.mp4"),
    include_bytes!("../../pack/src/mp4/tests/vectors/av1.mp4"),
    include_bytes!("../../pack/src/mp4/tests/vectors/quicktime.mov"),
];
/// Boxes that have nothing but boxes in them.
const CONTAINERS: [&[u8; 4]; 11] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf", b"wave"];
/// Boxes with a version and then a number of entries.
const COUNTED: [&[u8; 4]; 10] =
    [b"stts", b"ctts", b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stss", b"elst", b"trun"];
/// Types that something is turned into.
const TYPES: [&[u8; 4]; 27] = [
    b"moov", b"moof", b"mdat", b"traf", b"trak", b"free", b"stz2", b"co64", b"stss", b"ctts", b"avc3", b"hev1",
    b"encv", b"mp4a", b"sowt", b"twos", b"ipcm", b"Opus", b"fLaC", b"ac-3", b"ec-3", b"av01", b"vp09", b"emsg",
    b"dvcC", b"dvvC", b"dav1",
];

/// Whole files.
pub fn files() -> Vec<Vec<u8>> {
    FILES.iter().map(|file| file.to_vec()).collect()
}

/// Whole files, and small ones of our own: an edit of a file of FFmpeg hits what nobody reads more often than not.
pub fn vectors() -> Vec<Vec<u8>> {
    let tracks = [sound(), pictures(), dolby_vision()].into_iter().flatten();
    let fragmented: Vec<_> = tracks.filter_map(fragmented).collect();
    let with_tables: Vec<_> = fragmented.iter().filter_map(|file| with_tables(file)).collect();
    [files(), fragmented, with_tables].concat()
}

fn sound() -> Option<Track> {
    Some(Track::new(TrackId(0), CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).ok()?)))
}

fn pictures() -> Option<Track> {
    let [record, ..] = RECORDS;
    Some(Track::new(TrackId(0), CodecConfig::H264(AvcConfig::parse(unhex(record).into()).ok()?)))
}

/// Profile 9, compatible with SDR.
fn dolby_vision() -> Option<Track> {
    let found = DolbyVision::parse(&[1, 0, 0x12, 0x2d, 0x20]).ok();
    Some(Track { dolby_vision: found, ..pictures()? })
}

/// Two fragments of three frames; every other one is presented later than it is decoded.
fn fragmented(track: Track) -> Option<Vec<u8>> {
    let mut muxer = Fmp4Muxer::new(&TrackSet { revision: 1, tracks: vec![track] }).ok()?;
    let mut file = muxer.init_segment().to_vec();
    for fragment in 0..2 {
        let frame = |index: i64| {
            let dts = (fragment * 3 + index) * 1_024;
            let flags = if index == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
            let payload = Bytes::from_static(&[0, 0, 0, 4, 0x65, 0x88, 0x80, 0x10]);
            Frame { track: TrackId(0), flags, pts: dts + index % 2 * 2_048, dts, duration: 1_024, payload }
        };
        muxer.write_fragment(&[0, 1, 2].map(frame), &Head::default(), &mut file).ok()?;
    }
    Some(file)
}

/// The same as a file with `moov` in front.
fn with_tables(file: &[u8]) -> Option<Vec<u8>> {
    let file = Bytes::copy_from_slice(file);
    let mut finalizer = Finalizer::new(file.len() as u64);
    loop {
        match finalizer.step().ok()? {
            Finalizing::Read { offset, bytes } => finalizer.supply(offset, slice(&file, offset, bytes)),
            Finalizing::Done(layout) => {
                let media = layout.media.iter().map(|range| slice(&file, range.offset, range.bytes as usize));
                return Some([layout.head].into_iter().chain(media).collect::<Vec<_>>().concat());
            }
        }
    }
}

/// A box somewhere in a file.
#[derive(Debug, Clone)]
struct Found {
    at: usize,
    end: usize,
    kind: [u8; 4],
    /// Indices of the boxes that it is in.
    parents: Vec<usize>,
}

/// All boxes, containers first; sample entries are not looked into.
fn find_boxes(bytes: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut open = vec![(0, bytes.len(), Vec::new())];
    while let Some((mut at, end, parents)) = open.pop() {
        while let Some(header) = bytes.get(at..end).and_then(|rest| rest.first_chunk::<8>()) {
            let [s0, s1, s2, s3, kind @ ..] = *header;
            let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
            if size < 8 || size > end.saturating_sub(at) || found.len() > 2_000 {
                break;
            }
            let index = found.len();
            found.push(Found { at, end: at + size, kind, parents: parents.clone() });
            let skip = if CONTAINERS.contains(&&kind) { Some(8) } else { (kind == *b"stsd").then_some(16) };
            if let Some(skip) = skip.filter(|&skip| skip < size && parents.len() < 16) {
                open.push((at + skip, at + size, [&parents[..], &[index]].concat()));
            }
            at += size;
        }
    }
    found
}

/// Edits one box; the sizes of those around it stay right.
pub fn edit_boxes(random: &mut Random, bytes: &mut Vec<u8>) {
    let boxes = find_boxes(bytes);
    let Some(chosen) = random.pick(&boxes).cloned() else { return };
    match random.below(10) {
        0 => put(bytes, chosen.at, edge(random) as u32),
        1 => nudge(random, bytes, chosen.at),
        2 => {
            let kind = random.pick(&TYPES).copied().unwrap_or(b"free");
            bytes.iter_mut().skip(chosen.at + 4).zip(kind).for_each(|(byte, new)| *byte = *new);
        }
        3 => replace(bytes, &boxes, &chosen, &[]),
        4 => {
            let one = bytes.get(chosen.at..chosen.end).unwrap_or_default();
            let copies = one.repeat(2 + random.below(6));
            replace(bytes, &boxes, &chosen, &copies);
        }
        5 => {
            // Another box behind it, of anywhere in the file.
            let other = random.pick(&boxes).cloned().unwrap_or(chosen.clone());
            let both =
                [chosen.at..chosen.end, other.at..other.end].map(|range| bytes.get(range).unwrap_or_default().to_vec());
            replace(bytes, &boxes, &chosen, &both.concat());
        }
        6 | 7 => edit_count(random, bytes, &boxes),
        _ => {
            let at = chosen.at + 8 + random.below(chosen.end - chosen.at);
            if random.below(2) == 0 { put(bytes, at, edge(random) as u32) } else { nudge(random, bytes, at) }
        }
    }
}

/// The number of entries of a table, or its first numbers.
fn edit_count(random: &mut Random, bytes: &mut [u8], boxes: &[Found]) {
    let counted: Vec<_> = boxes.iter().filter(|found| COUNTED.contains(&&found.kind)).collect();
    let Some(found) = random.pick(&counted) else { return };
    let at = found.at + 12 + 4 * random.below(4);
    if random.below(2) == 0 { put(bytes, at, edge(random) as u32) } else { nudge(random, bytes, at) }
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes.iter_mut().skip(at).zip(value.to_be_bytes()).for_each(|(byte, new)| *byte = new);
}

fn read(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|field| u32::from_be_bytes(*field))
}

fn nudge(random: &mut Random, bytes: &mut [u8], at: usize) {
    let value = read(bytes, at).unwrap_or_default();
    let by = 1 + random.next() as u32 % 40;
    put(bytes, at, if random.below(2) == 0 { value.wrapping_add(by) } else { value.wrapping_sub(by) });
}

/// Puts other bytes in the place of a box.
fn replace(bytes: &mut Vec<u8>, boxes: &[Found], chosen: &Found, with: &[u8]) {
    let grown = with.len() as i64 - (chosen.end - chosen.at) as i64;
    for parent in chosen.parents.iter().filter_map(|&parent| boxes.get(parent)) {
        let size = i64::from(read(bytes, parent.at).unwrap_or_default()).saturating_add(grown);
        put(bytes, parent.at, size as u32);
    }
    bytes.splice(chosen.at..chosen.end, with.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_the_vectors_are_found_and_cover_them() {
        for file in files() {
            let boxes = find_boxes(&file);
            let top: usize =
                boxes.iter().filter(|found| found.parents.is_empty()).map(|found| found.end - found.at).sum();
            assert_eq!(top, file.len());
            assert!(boxes.len() > 40 && boxes.iter().any(|found| COUNTED.contains(&&found.kind)));
        }
    }

    #[test]
    fn small_files_have_tables_and_frames() {
        let vectors = vectors();
        let small = &vectors[files().len()..];
        assert_eq!(small.len(), 6);
        for file in small {
            assert!(file.len() < 1_400 && find_boxes(file).iter().any(|found| COUNTED.contains(&&found.kind)));
            let mut demuxer = arcly_pack::mp4::Mp4Demuxer::new();
            assert_eq!(demuxer.push(file), Ok(()));
            demuxer.finish();
            let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
            assert_eq!(items.iter().filter(|item| matches!(item, arcly_pack::Item::Frame(_))).count(), 6);
        }
    }

    #[test]
    fn most_edits_leave_boxes() {
        let mut whole = 0;
        for number in 0..1_000 {
            let mut random = Random::new(3, number);
            let mut file = random.pick(&files()).cloned().unwrap();
            edit_boxes(&mut random, &mut file);
            let boxes = find_boxes(&file);
            whole += usize::from(
                boxes.iter().filter(|found| found.parents.is_empty()).map(|f| f.end - f.at).sum::<usize>()
                    == file.len(),
            );
        }
        assert!((500..1_000).contains(&whole), "{whole} of 1000");
    }

    #[test]
    fn edits_end_with_any_input() {
        edit_boxes(&mut Random::new(1, 1), &mut Vec::new());
        for number in 0..300 {
            edit_boxes(&mut Random::new(1, number), &mut vec![0, 0, 0, 8, b'm', b'o', b'o', b'v']);
        }
    }
}
