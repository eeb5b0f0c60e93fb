//! Frames to fragments and back: whatever the muxer takes, the demuxer gives back the same.

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, aac::AudioSpecificConfig, h264::AvcConfig};
use arcly_pack::{
    Item,
    mp4::{Fmp4Muxer, Head, Mp4Demuxer},
};
use bytes::Bytes;

use super::Target;
use crate::{
    avc::{RECORDS, unhex},
    mutate::{Input, MAX_INPUT_BYTES},
};

/// A frame in eight bytes of the input: bits (track, key, end of the fragment), bytes, step, composition offset, duration.
const FRAME_BYTES: usize = 8;
/// A frame of the input has a payload of at most so many bytes.
const PAYLOAD_BYTES_MAX: usize = 255 + 5;

pub const TARGET: Target = Target {
    name: "mp4_round",
    vectors,
    edit: None,
    buffered_bytes_max: MAX_INPUT_BYTES / FRAME_BYTES * PAYLOAD_BYTES_MAX * 2 + MAX_INPUT_BYTES * 20,
    run,
};

fn vectors() -> Vec<Vec<u8>> {
    let stream = |frames: u8, per_fragment: u8| {
        let frame = |index: u8| {
            let (key, end) = (u8::from(index.is_multiple_of(12)), u8::from(index.is_multiple_of(per_fragment)));
            let bits = (index % 2) | (key << 1) | (end << 2);
            [bits, 10 + index, 0x0b, 0xbb, index % 3, 0, 4, 0]
        };
        (0..frames).flat_map(frame).collect::<Vec<u8>>()
    };
    vec![stream(60, 6), stream(20, 1), stream(40, 40), stream(6, 2), stream(8, 3), stream(5, 5)]
}

fn tracks() -> Option<TrackSet> {
    let [record, ..] = RECORDS;
    let video = CodecConfig::H264(AvcConfig::parse(unhex(record).into()).ok()?);
    let audio = CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).ok()?);
    Some(TrackSet { revision: 1, tracks: vec![Track::new(TrackId(0), video), Track::new(TrackId(1), audio)] })
}

/// The frames of an input, and whether a fragment ends behind each.
fn frames(bytes: &[u8]) -> Vec<(Frame, bool)> {
    let (records, _) = bytes.as_chunks::<FRAME_BYTES>();
    let mut dts = [0_i64; 2];
    let frame = |&[bits, length, step_high, step_low, offset, sign, duration_high, duration_low]: &[u8;
                      FRAME_BYTES]| {
        let track = bits & 1;
        let at = dts.get_mut(usize::from(track))?;
        let step = i64::from(u16::from_be_bytes([step_high, step_low]));
        // Back, sometimes: a break in the timeline.
        *at += if bits >= 0xf8 { -step } else { step };
        let offset = if track == 1 { 0 } else { i64::from(offset) * 500 };
        let is_key = track == 0 && bits & 2 != 0;
        let nal = [&[if is_key { 0x65 } else { 0x41 }][..], &vec![sign; usize::from(length)]].concat();
        let payload = if track == 1 { nal } else { [&(nal.len() as u32).to_be_bytes()[..], &nal].concat() };
        let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        let duration = u32::from(u16::from_be_bytes([duration_high, duration_low]));
        let frame =
            Frame { track: TrackId(track), flags, pts: *at + offset, dts: *at, duration, payload: payload.into() };
        Some((frame, bits & 4 != 0))
    };
    records.iter().filter_map(frame).collect()
}

fn run(input: &Input) -> usize {
    let Some((tracks, mut muxer)) =
        tracks().and_then(|tracks| Some((Fmp4Muxer::new(&tracks).ok()?, tracks))).map(|(m, t)| (t, m))
    else {
        return 0;
    };
    let (mut demuxer, mut held) = (Mp4Demuxer::new(), 0);
    assert_eq!(demuxer.push(muxer.init_segment()), Ok(()));
    assert!(matches!(demuxer.poll(), Some(Item::Tracks(announced)) if announced.len() == tracks.tracks.len()));
    let mut fragment = Vec::new();
    for (frame, ends) in frames(&input.bytes) {
        fragment.push(frame);
        if ends {
            check(&mut muxer, &mut demuxer, &fragment);
            held = demuxer.buffered_bytes().max(held);
            fragment.clear();
        }
    }
    check(&mut muxer, &mut demuxer, &fragment);
    held
}

fn check(muxer: &mut Fmp4Muxer, demuxer: &mut Mp4Demuxer, frames: &[Frame]) {
    let mut out = Vec::new();
    if muxer.write_fragment(frames, &Head::default(), &mut out).is_err() {
        assert!(out.is_empty(), "an error, and something was written");
        let goes_back = |track| {
            let mut of = frames.iter().filter(|frame| frame.track == TrackId(track)).map(|frame| frame.dts).peekable();
            std::iter::from_fn(|| Some((of.next()?, *of.peek()?))).any(|(one, next)| next < one)
        };
        assert!(goes_back(0) || goes_back(1) || frames.iter().any(|frame| frame.dts < 0), "refused without a reason");
        return;
    }
    assert_eq!(demuxer.push(&out), Ok(()));
    let mut back: Vec<(TrackId, u8, i64, i64, Bytes)> = Vec::new();
    while let Some(item) = demuxer.poll() {
        if let Item::Frame(frame) = item {
            back.push((frame.track, frame.flags.bits(), frame.pts, frame.dts, frame.payload));
        }
    }
    for track in [TrackId(0), TrackId(1)] {
        let wanted = frames.iter().filter(|frame| frame.track == track);
        let wanted = wanted.map(|frame| (frame.track, frame.flags.bits(), frame.pts, frame.dts, frame.payload.clone()));
        let back = back.iter().filter(|(of, ..)| *of == track).cloned();
        assert_eq!(back.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "the round trip changes the frames");
    }
}
