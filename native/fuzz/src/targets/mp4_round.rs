//! Frames to fragments and back: whatever the muxer takes, the demuxer gives back the same.

use std::sync::OnceLock;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig, MediaKind};
use arcly_pack::{
    Item,
    mp4::{Fmp4Muxer, Head, Mp4Demuxer},
};
use bytes::Bytes;

use super::Target;
use crate::{
    mutate::{Input, MAX_INPUT_BYTES},
    rtp::formats,
};

/// A frame in eight bytes of the input: bits (track, key, end of the fragment), bytes, step, composition offset, duration.
const FRAME_BYTES: usize = 8;
/// A frame of the input has a payload of at most so many bytes: a unit, and what the input adds.
const PAYLOAD_BYTES_MAX: usize = UNIT_BYTES_MAX + 255;
/// Of a unit of `rtp`: the muxer looks at beginnings alone.
const UNIT_BYTES_MAX: usize = 32;
/// Codecs of pictures, and of sound; the first byte of an input chooses.
const CODECS: usize = 5;
const CHOICES: u8 = (CODECS * CODECS) as u8;

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
    let streams = [stream(60, 6), stream(20, 1), stream(40, 40), stream(6, 2), stream(8, 3), stream(5, 5)];
    let choices = (0..).step_by(7).zip(streams).map(|(choice, stream)| [&[choice], &stream[..]].concat());
    let short = (0..CHOICES).map(|choice| [&[choice], &stream(6, 3)[..]].concat());
    choices.chain(short).collect()
}

/// A codec with a key frame and another frame.
type Coded = (CodecConfig, Vec<Vec<u8>>);

/// What the tracks can be, pictures and sound.
fn coded() -> &'static [Vec<Coded>; 2] {
    static CODED: OnceLock<[Vec<Coded>; 2]> = OnceLock::new();
    CODED.get_or_init(|| [coded_as(MediaKind::Video), coded_as(MediaKind::Audio)])
}

/// Each codec once. Samples of waveforms are no frames: they come back in others.
fn coded_as(kind: MediaKind) -> Vec<Coded> {
    let is_waveform = |codec| matches!(codec, Codec::Pcm | Codec::G711A | Codec::G722);
    let mut coded: Vec<Coded> = Vec::new();
    for (_, config, units) in formats() {
        let is_known = coded.iter().any(|(known, _)| known.codec() == config.codec());
        if config.kind() == kind && !is_waveform(config.codec()) && !is_known {
            coded.push((config, units));
        }
    }
    coded
}

fn choose(choice: u8) -> Option<[&'static Coded; 2]> {
    let [pictures, sound] = coded();
    let choice = usize::from(choice);
    Some([pictures.get(choice % CODECS)?, sound.get(choice / CODECS % CODECS)?])
}

fn tracks([pictures, sound]: [&Coded; 2]) -> TrackSet {
    let tracks = vec![Track::new(TrackId(0), pictures.0.clone()), Track::new(TrackId(1), sound.0.clone())];
    TrackSet { revision: 1, tracks }
}

/// A frame of a codec, longer by some bytes where these change nothing of what it is.
fn payload((config, units): &Coded, is_key: bool, more: &[u8]) -> Bytes {
    let unit = units.get(usize::from(!is_key)).map(Vec::as_slice).unwrap_or_default();
    let unit = unit.get(..UNIT_BYTES_MAX).unwrap_or(unit);
    match config.codec() {
        Codec::Av1 => unit.to_vec(),
        Codec::H264 | Codec::H265 => {
            let nal = [unit.get(4..).unwrap_or_default(), more].concat();
            [&(nal.len() as u32).to_be_bytes()[..], &nal].concat()
        }
        _ => [unit, more].concat(),
    }
    .into()
}

/// The frames of an input, and whether a fragment ends behind each.
fn frames(coded: [&Coded; 2], bytes: &[u8]) -> Vec<(Frame, bool)> {
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
        let payload = payload(coded.get(usize::from(track))?, is_key, &vec![sign; usize::from(length)]);
        let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        let duration = u32::from(u16::from_be_bytes([duration_high, duration_low]));
        let frame = Frame { track: TrackId(track), flags, pts: *at + offset, dts: *at, duration, payload };
        Some((frame, bits & 4 != 0))
    };
    records.iter().filter_map(frame).collect()
}

fn run(input: &Input) -> usize {
    let (choice, records) = input.bytes.split_first().unwrap_or((&0, &[]));
    let coded = choose(*choice);
    assert!(coded.is_some(), "each choice has codecs");
    let Some(coded) = coded else { return 0 };
    let muxer = Fmp4Muxer::new(&tracks(coded));
    assert!(muxer.is_ok(), "each codec has a place in MP4");
    let Ok(mut muxer) = muxer else { return 0 };
    let (mut demuxer, mut held) = (Mp4Demuxer::new(), 0);
    assert_eq!(demuxer.push(muxer.init_segment()), Ok(()));
    let (mut fragment, mut announced) = (Vec::new(), Vec::new());
    for (frame, ends) in frames(coded, records) {
        fragment.push(frame);
        if ends {
            check(&mut muxer, &mut demuxer, &mut announced, &fragment);
            held = demuxer.buffered_bytes().max(held);
            fragment.clear();
        }
    }
    check(&mut muxer, &mut demuxer, &mut announced, &fragment);
    held
}

fn check(muxer: &mut Fmp4Muxer, demuxer: &mut Mp4Demuxer, announced: &mut Vec<Track>, frames: &[Frame]) {
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
        match item {
            Item::Tracks(tracks) => *announced = tracks,
            Item::Frame(frame) => {
                assert!(announced.iter().any(|track| track.id == frame.track), "a frame of no track");
                back.push((frame.track, frame.flags.bits(), frame.pts, frame.dts, frame.payload));
            }
            _ => {}
        }
    }
    for track in [TrackId(0), TrackId(1)] {
        let wanted = frames.iter().filter(|frame| frame.track == track);
        let wanted = wanted.map(|frame| (frame.track, frame.flags.bits(), frame.pts, frame.dts, frame.payload.clone()));
        let back = back.iter().filter(|(of, ..)| *of == track).cloned();
        assert_eq!(back.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "the round trip changes the frames");
    }
}
