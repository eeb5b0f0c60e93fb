//! Transport streams: what comes out must not depend on how the input is cut, and must be what the bus takes.

use arcly_bus::{Frame, Track, TrackId};
use arcly_pack::{
    Item,
    container::Container,
    mpegts::{TsDemuxer, TsLimits, TsOptions},
};

use super::{Target, annex_b::STREAMS};
use crate::{
    avc::unhex,
    checks::check_payload,
    mutate::{Input, MAX_INPUT_BYTES},
    play_back, ts,
    ts_edits::edit_packets,
};

/// Small, so that they are reached.
const LIMITS: TsLimits = TsLimits { video_pes_bytes: 16 << 10, other_pes_bytes: 2 << 10 };

pub const TARGET: Target = Target {
    name: "ts_demux",
    vectors,
    edit: Some(edit_packets),
    // What is held has come, once.
    buffered_bytes_max: MAX_INPUT_BYTES,
    run,
};

/// Written by ffmpeg 5, and by us.
fn vectors() -> Vec<Vec<u8>> {
    let [_, _, h266] = STREAMS;
    let foreign = [
        &include_bytes!("../../corpus/ts_demux/h264_aac.ts")[..],
        include_bytes!("../../corpus/ts_demux/h265_opus.ts"),
        include_bytes!("../../corpus/ts_demux/mp3.ts"),
        include_bytes!("../../corpus/ts_demux/mp2.ts"),
        include_bytes!("../../corpus/ts_demux/ac3_dvb.ts"),
        include_bytes!("../../corpus/ts_demux/eac3.ts"),
        include_bytes!("../../corpus/ts_demux/latm.ts"),
        include_bytes!("../../corpus/ts_demux/m2ts.ts"),
    ]
    .map(<[u8]>::to_vec);
    [&foreign[..], &ts::streams(&unhex(h266))].concat()
}

fn run(input: &Input) -> usize {
    let mut held = 0;
    let whole = read(Input::whole(input.bytes.clone()).pieces(), &mut held);
    let pieces = read(input.pieces(), &mut held);
    assert_eq!(facts(&whole), facts(&pieces), "the cuts change the items");
    check(&whole);
    if play_back::is_due(&input.bytes) {
        play_back::stream(Container::MpegTs, input);
    }
    held
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, held: &mut usize) -> Vec<Item> {
    let mut demuxer = TsDemuxer::new(TsOptions { program: None, limits: LIMITS });
    let mut items = Vec::new();
    for piece in pieces {
        demuxer.push(piece);
        items.extend(std::iter::from_fn(|| demuxer.poll()));
        *held = demuxer.buffered_bytes().max(*held);
    }
    let result = demuxer.finish();
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    let frames = items.iter().filter(|item| matches!(item, Item::Frame(_))).count();
    assert_eq!(result.is_ok(), frames > 0, "an error says why there was nothing");
    assert_eq!(demuxer.stats().frames, frames as u64, "frames are counted");
    assert!(demuxer.programs().len() <= 256, "programs are bounded");
    items
}

/// Tracks come in front of their frames, change when they are said to, and frames have the form of the bus.
fn check(items: &[Item]) {
    let mut tracks: &[Track] = &[];
    for item in items {
        match item {
            Item::Tracks(new) => {
                assert_ne!(new, tracks, "a change that changes nothing");
                assert!(new.is_sorted_by_key(|track| track.id.0), "by number");
                tracks = new;
            }
            Item::Frame(frame) => {
                let track = tracks.iter().find(|track| track.id == frame.track);
                assert!(track.is_some(), "tracks come in front of their frames");
                track.into_iter().for_each(|track| check_payload(&track.config, frame));
            }
            _ => {}
        }
    }
}

/// What must not depend on the cuts.
fn facts(items: &[Item]) -> Vec<Fact<'_>> {
    items.iter().map(Fact::of).collect()
}

#[derive(Debug, PartialEq)]
enum Fact<'a> {
    Frame(TrackId, u8, [i64; 2], u32, &'a [u8]),
    Tracks(&'a [Track]),
    EndOfSequence,
}

impl<'a> Fact<'a> {
    fn of(item: &'a Item) -> Self {
        match item {
            Item::Frame(Frame { track, flags, pts, dts, duration, payload }) => {
                Self::Frame(*track, flags.bits(), [*pts, *dts], *duration, payload)
            }
            Item::Tracks(tracks) => Self::Tracks(tracks),
            Item::EndOfSequence => Self::EndOfSequence,
        }
    }
}
