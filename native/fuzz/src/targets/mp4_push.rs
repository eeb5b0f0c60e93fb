//! MP4 in pieces; the frames must not depend on how the input is cut.

use arcly_bus::{Frame, Track};
use arcly_codec::CodecConfig;
use arcly_pack::{Item, PackError, mp4::Mp4Demuxer};

use super::Target;
use crate::{
    checks::check_payload,
    mp4::{edit_boxes, vectors},
    mutate::{Input, MAX_INPUT_BYTES},
};

pub const TARGET: Target = Target {
    name: "mp4_push",
    vectors,
    edit: Some(edit_boxes),
    // Media that waits for what comes before it, and frames that wait to be polled: samples may use bytes twice.
    buffered_bytes_max: 4 * MAX_INPUT_BYTES,
    run,
};

/// What came out, and the error that ended it.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    items: Vec<Plain>,
    error: Option<PackError>,
    left_out: (u64, u64),
}

#[derive(Debug, PartialEq)]
enum Plain {
    Tracks(Vec<Track>),
    Frame { track: u8, flags: u8, pts: i64, dts: i64, duration: u32, payload: bytes::Bytes },
}

fn run(input: &Input) -> usize {
    let mut held = 0;
    let whole = read(Input::whole(input.bytes.clone()).pieces(), &mut held);
    let in_pieces = read(input.pieces(), &mut held);
    let differs = in_pieces.items.iter().zip(&whole.items).position(|(piece, whole)| piece != whole);
    let counts = (in_pieces.items.len(), whole.items.len(), &in_pieces.error, &whole.error);
    assert!(in_pieces == whole, "the cuts change the frames: {counts:?}, first at {differs:?}");
    held
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, held: &mut usize) -> Outcome {
    let (mut demuxer, mut outcome, mut tracks) = (Mp4Demuxer::new(), Outcome::default(), Vec::new());
    for piece in pieces {
        let result = demuxer.push(piece);
        *held = demuxer.buffered_bytes().max(*held);
        take(&mut demuxer, &mut outcome, &mut tracks);
        if let Err(error) = result {
            assert_eq!(demuxer.push(&[0; 8]), Err(error.clone()), "an error stays");
            outcome.error = Some(error);
            return outcome;
        }
    }
    demuxer.finish();
    take(&mut demuxer, &mut outcome, &mut tracks);
    outcome.left_out = (demuxer.dropped_frames(), demuxer.broken_frames());
    outcome
}

fn take(demuxer: &mut Mp4Demuxer, outcome: &mut Outcome, tracks: &mut Vec<Track>) {
    while let Some(item) = demuxer.poll() {
        outcome.items.extend(match item {
            Item::Tracks(announced) => {
                tracks.clone_from(&announced);
                Some(Plain::Tracks(announced))
            }
            Item::Frame(frame) => {
                check_frame(tracks, &frame);
                let Frame { track, flags, pts, dts, duration, payload } = frame;
                Some(Plain::Frame { track: track.0, flags: flags.bits(), pts, dts, duration, payload })
            }
            _ => None,
        });
    }
}

/// A frame belongs to a track that was said, and has the form of the bus.
pub fn check_frame(tracks: &[Track], frame: &Frame) {
    let track = tracks.iter().find(|track| track.id == frame.track);
    assert!(track.is_some(), "a frame has a track");
    assert!(frame.pts >= frame.dts && !frame.payload.is_empty(), "{frame:?}");
    if let Some(CodecConfig::H264(_)) = track.map(|track| &track.config) {
        track.into_iter().for_each(|track| check_payload(&track.config, frame));
    }
}
