//! MP4 by random access: reads stay within the file, it comes to an end, and every seek does. What is played back of it lies within it, too.

use std::{sync::Arc, time::Duration};

use arcly_bus::Track;
use arcly_pack::{
    Item,
    mp4::{Finalizer, Finalizing, Mp4Index, OutlineReader, Step, WholeFragments},
    vod::{Piece, Vod},
};
use bytes::Bytes;

use super::{Target, mp4_push::check_frame};
use crate::{
    mp4::{edit_boxes, files},
    mutate::{Input, MAX_INPUT_BYTES},
};

pub const TARGET: Target = Target {
    name: "mp4_index",
    vectors: files,
    edit: Some(edit_boxes),
    // Nothing is held but what is supplied: windows of the file.
    buffered_bytes_max: 4 * MAX_INPUT_BYTES,
    run,
};

fn run(input: &Input) -> usize {
    let file = Bytes::copy_from_slice(&input.bytes);
    let mut index = Mp4Index::new(file.len() as u64);
    let mut tracks = Vec::new();
    read(&mut index, &file, &mut tracks);
    for millis in [0, 100, 250, 3_600_000] {
        if index.seek(Duration::from_millis(millis)).is_ok() {
            read(&mut index, &file, &mut tracks);
        }
    }
    finalize(&file);
    check_whole(&file);
    play_back(&file);
    0
}

fn slice(file: &Bytes, offset: u64, bytes: usize) -> Bytes {
    let end = offset.checked_add(bytes as u64).filter(|&end| end <= file.len() as u64);
    assert!(end.is_some() && bytes > 0, "{bytes} bytes at {offset} of {}", file.len());
    file.slice(offset as usize..offset as usize + bytes)
}

/// To the end, or to the first error.
fn read(index: &mut Mp4Index, file: &Bytes, tracks: &mut Vec<Track>) {
    let (mut payload_bytes, mut reads) = (0, 0);
    loop {
        match index.step() {
            Ok(Step::Read { offset, bytes }) => {
                index.supply(offset, slice(file, offset, bytes));
                reads += 1;
            }
            Ok(Step::Item(Item::Tracks(announced))) => *tracks = announced,
            Ok(Step::Item(Item::Frame(frame))) => {
                check_frame(tracks, &frame);
                payload_bytes += frame.payload.len();
            }
            Ok(Step::Item(_)) => {}
            Ok(Step::End) | Err(_) => break,
        }
    }
    // An AV1 or waveform frame has no more bytes than its sample; an open-ended budget would be seen here.
    assert!(payload_bytes <= 2 * file.len() + (1 << 20), "{payload_bytes} of a file of {}", file.len());
    assert!(reads <= file.len() + 8, "{reads} reads");
}

/// What is made of a file has the length that it says.
fn finalize(file: &Bytes) {
    let mut finalizer = Finalizer::new(file.len() as u64);
    loop {
        match finalizer.step() {
            Ok(Finalizing::Read { offset, bytes }) => finalizer.supply(offset, slice(file, offset, bytes)),
            Ok(Finalizing::Done(layout)) => {
                for range in &layout.media {
                    slice(file, range.offset, range.bytes as usize);
                }
                break;
            }
            Err(_) => break,
        }
    }
}

fn check_whole(file: &Bytes) {
    let mut whole = WholeFragments::new(file.len() as u64);
    while let Some(Step::Read { offset, bytes }) = whole.step() {
        whole.supply(offset, &slice(file, offset, bytes));
    }
    assert!(whole.whole_bytes() <= file.len() as u64);
}

/// What a playlist names lies within the file.
fn play_back(file: &Bytes) {
    let mut reader = OutlineReader::new(file.len() as u64);
    loop {
        match reader.step() {
            Ok(Some(Step::Read { offset, bytes })) => reader.supply(offset, slice(file, offset, bytes)),
            Ok(_) => break,
            Err(_) => return,
        }
    }
    let outline = reader.finish();
    outline
        .fragments
        .iter()
        .for_each(|fragment| drop(slice(file, fragment.range.offset, fragment.range.bytes as usize)));
    let init = file.slice(..outline.init_bytes as usize);
    let piece = Piece {
        outline: Arc::new(outline),
        init,
        number: 0,
        position_us: 0,
        base_ticks: 0,
        base_hz: 1,
        follows: false,
        began_unix_ms: 0,
    };
    let vod = Vod::new(vec![piece], true);
    let _ = (vod.multivariant_playlist(), vod.manifest());
    for track in vod.tracks() {
        let playlist = vod.media_playlist(track.id).unwrap_or_default();
        assert!(!playlist.is_empty(), "no playlist of a track that is there");
        for name in playlist.lines().filter_map(|line| line.strip_suffix(".m4s")) {
            let Some(begin) = name.split_once('-').and_then(|(_, begin)| begin.parse().ok()) else { continue };
            // Where times go back within a file, names are not in their order and some lead nowhere.
            let Some(segment) = vod.segment(track.id, begin) else { continue };
            let _ = vod.segment_bytes(&segment, &slice(file, segment.range.offset, segment.range.bytes as usize));
        }
    }
    if let Some(plan) = vod.clip(0, i64::MAX) {
        plan.parts.iter().for_each(|part| drop(slice(file, part.range.offset, part.range.bytes as usize)));
    }
}
