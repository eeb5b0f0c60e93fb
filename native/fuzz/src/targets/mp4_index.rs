//! MP4 by random access: reads stay within the file, it comes to an end, and every seek does. What is played back of it lies within it, too.

use std::time::Duration;

use arcly_bus::Track;
use arcly_pack::{
    Item,
    mp4::{Finalizer, Finalizing, Mp4Index, Step, WholeFragments},
};
use bytes::Bytes;

use super::{Target, mp4_push::check_frame};
use crate::{
    mp4::{edit_boxes, vectors},
    mutate::{Input, MAX_INPUT_BYTES},
    play_back,
};

pub const TARGET: Target = Target {
    name: "mp4_index",
    vectors,
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
    if play_back::is_due(&file) {
        play_back::fragments(&file);
        play_back::samples(&file);
    }
    0
}

/// To the end, or to the first error.
fn read(index: &mut Mp4Index, file: &Bytes, tracks: &mut Vec<Track>) {
    let (mut payload_bytes, mut reads) = (0, 0);
    loop {
        match index.step() {
            Ok(Step::Read { offset, bytes }) => {
                index.supply(offset, play_back::slice(file, offset, bytes));
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
            Ok(Finalizing::Read { offset, bytes }) => finalizer.supply(offset, play_back::slice(file, offset, bytes)),
            Ok(Finalizing::Done(layout)) => {
                for range in &layout.media {
                    play_back::slice(file, range.offset, range.bytes as usize);
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
        whole.supply(offset, &play_back::slice(file, offset, bytes));
    }
    assert!(whole.whole_bytes() <= file.len() as u64);
}
