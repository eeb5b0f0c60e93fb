//! Files of ours: read by foreign programs and by ourselves, judged by the validator, which is judged by broken files.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig, MediaKind, data::DataConfig};

use super::{
    Plain, Read,
    foreign::{AUDIO, VIDEO, assert_as_ffprobe, encode},
    index, push, stream,
    validate::validate,
};
use crate::{
    mp4::{
        Finalizer, Finalizing, Fmp4Muxer, Head, Layout, Mp4Demuxer, Mp4Index, SegmentType, Step, TrackOptions,
        WholeFragments,
    },
    testing::{Clip, Rng, Scratch, run},
};

/// Back to frames, to be muxed.
pub(super) fn frames(read: &Read) -> Vec<Frame> {
    let frame = |plain: &Plain| {
        let Plain { track, flags, pts, dts, duration, payload } = plain.clone();
        Frame { track, flags, pts, dts, duration, payload }
    };
    read.frames.iter().map(frame).collect()
}

/// Room for the times of these frames that are before 0.
pub(super) fn room(frames: &[Frame]) -> impl Fn(&Track) -> TrackOptions + '_ {
    |track| {
        let first = frames.iter().find(|frame| frame.track == track.id).map_or(0, |frame| frame.dts);
        TrackOptions { delay: Some(u32::try_from(-first.min(0)).unwrap()), ..TrackOptions::default() }
    }
}

/// A fragmented file of fragments of that many frames.
pub(super) fn fragmented(tracks: &Arc<TrackSet>, frames: &[Frame], per_fragment: usize) -> Vec<u8> {
    let mut muxer = Fmp4Muxer::with_options(tracks, room(frames)).unwrap();
    let mut out = muxer.init_segment().to_vec();
    let mut rest = frames;
    while !rest.is_empty() {
        let (fragment, behind) = rest.split_at(rest.len().min(per_fragment));
        let next =
            |track: &Track| behind.iter().find(|frame| frame.track == track.id).map(|frame| (track.id, frame.dts));
        let next: Vec<_> = tracks.tracks.iter().filter_map(next).collect();
        muxer.write_fragment(fragment, &Head { next: &next, ..Head::default() }, &mut out).unwrap();
        rest = behind;
    }
    out
}

/// The same with a fragment for each track, behind each other.
fn apart(tracks: &Arc<TrackSet>, frames: &[Frame], per_fragment: usize) -> Vec<u8> {
    let mut muxer = Fmp4Muxer::with_options(tracks, room(frames)).unwrap();
    let mut out = muxer.init_segment().to_vec();
    for (index, fragment) in frames.chunks(per_fragment).enumerate() {
        let behind = &frames[frames.len().min((index + 1) * per_fragment)..];
        for track in &tracks.tracks {
            let of = |frame: &&Frame| frame.track == track.id;
            let one: Vec<Frame> = fragment.iter().filter(of).cloned().collect();
            let next: Vec<_> = behind.iter().find(of).map(|frame| (frame.track, frame.dts)).into_iter().collect();
            if !one.is_empty() {
                muxer.write_fragment(&one, &Head { next: &next, ..Head::default() }, &mut out).unwrap();
            }
        }
    }
    out
}

/// When each frame is decoded, in microseconds.
fn decoded_us(read: &Read) -> Vec<i64> {
    let clock = |id| i64::from(read.tracks.iter().find(|track| track.id == id).unwrap().clock_rate_hz);
    read.frames.iter().map(|frame| frame.dts * 1_000_000 / clock(frame.track)).collect()
}

/// Found by reading: ffmpeg (`separate_moof`) and GStreamer write so. Sound came behind all the pictures of its fragment.
#[test]
fn tracks_whose_fragments_lie_behind_each_other_come_by_decoding_times() {
    let (tracks, frames) = stream(&mut Rng(27), 6, 0);
    let together = index(&fragmented(&tracks, &frames, 150));
    for per_fragment in [40, 150, 10_000] {
        let read = index(&apart(&tracks, &frames, per_fragment));
        for track in &tracks.tracks {
            assert_eq!(read.of(track.id), together.of(track.id), "{per_fragment}");
        }
        assert!(decoded_us(&read).windows(2).all(|pair| pair[1] >= pair[0] - 40_000), "{per_fragment}");
    }
}

/// One that has ended, or begins late, is waited for within a bound, and keeps nothing else.
#[test]
fn a_track_that_is_silent_keeps_no_other() {
    let (tracks, frames) = stream(&mut Rng(28), 20, 0);
    let sound = tracks.tracks.iter().find(|track| track.kind() == MediaKind::Audio).unwrap().id;
    let limit = |seconds: i64| seconds * 44_100;
    let (early, late) = (|dts| dts < limit(1), |dts| dts > limit(19));
    for has_sound in [&early as &dyn Fn(i64) -> bool, &late, &|dts| early(dts) || late(dts), &|_| false] {
        let kept: Vec<Frame> = frames.iter().filter(|at| at.track != sound || has_sound(at.dts)).cloned().collect();
        let file = apart(&tracks, &kept, 10);
        let (read, pushed) = (index(&file), push(&file, 4_096));
        assert_eq!(read.frames.len(), kept.len());
        for track in &tracks.tracks {
            assert_eq!(read.of(track.id), pushed.of(track.id));
        }
    }
}

/// What is broken is said when all has come that is in front of it, though it was looked at before that.
#[test]
fn a_fragment_that_is_broken_keeps_nothing_in_front_of_it() {
    let (tracks, frames) = stream(&mut Rng(29), 2, 0);
    let file = apart(&tracks, &frames, 10_000);
    let moofs: Vec<usize> = (0..file.len() - 4).filter(|&at| &file[at..at + 4] == b"moof").collect();
    let mut broken = file.clone();
    // The length of its first child.
    broken[moofs[1] + 4..moofs[1] + 8].copy_from_slice(&u32::MAX.to_be_bytes());
    let (mut reader, mut read) = (Mp4Index::new(broken.len() as u64), Read::default());
    let failed = loop {
        match reader.step() {
            Ok(Step::Read { offset, bytes }) => {
                let begin = usize::try_from(offset).unwrap();
                reader.supply(offset, bytes::Bytes::copy_from_slice(&broken[begin..begin + bytes]));
            }
            Ok(Step::Item(item)) => read.take(item),
            Ok(Step::End) => break false,
            Err(_) => break true,
        }
    };
    assert!(failed);
    assert_eq!(read.frames.len(), frames.iter().filter(|frame| frame.track == tracks.tracks[0].id).count());
}

/// The same with `moov` in front.
pub(super) fn finalized(recording: &[u8]) -> Vec<u8> {
    let mut finalizer = Finalizer::new(recording.len() as u64);
    let layout = loop {
        match finalizer.step().unwrap() {
            Finalizing::Read { offset, bytes } => {
                let begin = usize::try_from(offset).unwrap();
                finalizer.supply(offset, bytes::Bytes::copy_from_slice(&recording[begin..begin + bytes]));
            }
            Finalizing::Done(layout) => break layout,
        }
    };
    assemble(&layout, recording)
}

fn assemble(layout: &Layout, recording: &[u8]) -> Vec<u8> {
    let mut file = layout.head.to_vec();
    for range in &layout.media {
        let begin = usize::try_from(range.offset).unwrap();
        file.extend_from_slice(&recording[begin..begin + usize::try_from(range.bytes).unwrap()]);
    }
    assert_eq!(file.len() as u64, layout.bytes());
    file
}

fn track_set(read: &Read) -> Arc<TrackSet> {
    Arc::new(TrackSet { revision: 1, tracks: read.tracks.clone() })
}

#[test]
fn every_pair_of_codecs_is_read_by_ffmpeg_as_it_was_written() {
    let scratch = Scratch::new("mp4-written");
    let directory = scratch.path(".");
    for (name, codec) in VIDEO.iter().chain(&AUDIO) {
        encode(&scratch, &format!("{name}.mp4"), codec);
    }
    for (video, _) in VIDEO {
        for (audio, _) in AUDIO {
            let name = format!("{video}-{audio}");
            let inputs = [format!("{video}.mp4"), format!("{audio}.mp4")];
            run(
                "ffmpeg",
                &["-v", "error", "-i", &inputs[0], "-i", &inputs[1], "-c", "copy", "in.mp4", "-y"],
                &directory,
            );
            let read = index(&std::fs::read(scratch.path("in.mp4")).unwrap());
            let file = fragmented(&track_set(&read), &frames(&read), 40);
            for (file, form) in [(finalized(&file), "whole"), (file, "fragments")] {
                let report = validate(&file).unwrap_or_else(|what| panic!("{name} {form}: {what}"));
                assert_eq!(report.samples, read.frames.len() as u64);
                assert_eq!(report.gaps.values().sum::<u64>(), 0, "{name} {form}");
                let name = format!("{name}-{form}.mp4");
                scratch.write(&name, &file);
                assert_as_ffprobe(&[read.clone(), index(&file), push(&file, 1_000)], &directory, &name);
                run("ffmpeg", &["-v", "error", "-i", &name, "-f", "null", "-"], &directory);
            }
        }
    }
}

/// What comes back is what went in; the frames of a live stream, far from 0.
#[test]
fn frames_come_back_from_fragments_of_any_size_and_from_every_split() {
    let (tracks, frames) = stream(&mut Rng(5), 2, 90_000 * 1_000);
    let wanted = |track: u8| {
        let of = frames.iter().filter(|frame| frame.track.0 == track);
        of.map(|frame| (frame.flags, frame.pts, frame.dts, frame.payload.clone())).collect::<Vec<_>>()
    };
    for per_fragment in [1, 7, 1_000] {
        let file = fragmented(&tracks, &frames, per_fragment);
        validate(&file).unwrap();
        let pieces = [1, 13, 4_096, usize::MAX].map(|piece_bytes| push(&file, piece_bytes));
        for read in pieces.iter().chain([&index(&file), &index(&finalized(&file))]) {
            assert_eq!((read.dropped, read.broken), (0, 0));
            for track in [0, 1] {
                let back = read.of(TrackId(track)).into_iter();
                let back = back.map(|frame| (frame.flags, frame.pts, frame.dts, frame.payload.clone()));
                assert_eq!(back.collect::<Vec<_>>(), wanted(track), "{per_fragment} frames a fragment");
            }
        }
    }
}

#[test]
fn a_fragment_in_pieces_has_the_same_bytes() {
    let (tracks, frames) = stream(&mut Rng(6), 2, 90_000 * 1_000);
    let (mut whole, mut pieces) = (Fmp4Muxer::new(&tracks).unwrap(), Fmp4Muxer::new(&tracks).unwrap());
    let broken = [frames[9].clone(), frames[9].clone(), frames[0].clone()];
    for fragment in frames.chunks(17).chain([&broken[..], &[], &frames[..1]]) {
        let (mut expected, mut written) = (vec![1], vec![1]);
        let result = whole.write_fragment(fragment, &Head::default(), &mut expected);
        let in_pieces = pieces.write_fragment_head(fragment, &Head::default(), &mut written);
        assert_eq!(
            in_pieces.map(|payloads| payloads.iter().for_each(|payload| written.extend_from_slice(payload))),
            result
        );
        assert!(written == expected);
    }
}

/// The tracks of a finalized recording stay together: what is between them is in the edit lists.
#[test]
fn a_whole_file_keeps_the_tracks_in_step() {
    let (tracks, mut frames) = stream(&mut Rng(6), 2, 90_000 * 1_000);
    // Sound comes 333 ms later than pictures.
    frames.retain(|frame| frame.track.0 == 0 || frame.pts > 44_100 * 1_000 + 14_700);
    let read = index(&finalized(&fragmented(&tracks, &frames, 50)));
    let first = |frames: &[Frame], track: u8| {
        let of = frames.iter().filter(|frame| frame.track.0 == track);
        of.map(|frame| frame.pts).min().unwrap()
    };
    let between = |frames: &[Frame]| first(frames, 1) * 900 - first(frames, 0) * 441;
    let read = super::written::frames(&read);
    assert_eq!(first(&read, 0), first(&frames, 0));
    assert!((between(&read) - between(&frames)).abs() <= 900, "more than a tick");
}

#[test]
fn a_recording_that_is_cut_off_anywhere_keeps_its_whole_fragments() {
    let (tracks, frames) = stream(&mut Rng(7), 1, 0);
    let file = fragmented(&tracks, &frames, 20);
    let muxer = Fmp4Muxer::new(&tracks).unwrap();
    let mut ends = vec![muxer.init_segment().len()];
    ends.extend(file.windows(4).enumerate().filter(|(_, kind)| kind == b"moof").skip(1).map(|(at, _)| at - 4));
    ends.push(file.len());
    for length in (0..file.len()).step_by(7).chain([file.len()]) {
        let whole = ends.iter().filter(|&&end| end <= length).max().copied().unwrap_or(0);
        assert_eq!(whole_bytes(&file[..length]), whole as u64, "of {length}");
        if whole > ends[0] {
            // Cut off or not, a recording becomes a file.
            validate(&file[..whole]).unwrap();
        }
    }
    let cut = file.len() - 100;
    let (whole, rest) = (finalized(&file[..ends[ends.len() - 2]]), finalized(&file[..cut]));
    validate(&whole).unwrap();
    assert!(index(&rest).frames.len() >= index(&whole).frames.len());
}

fn whole_bytes(file: &[u8]) -> u64 {
    let mut whole = WholeFragments::new(file.len() as u64);
    while let Some(Step::Read { offset, bytes }) = whole.step() {
        let begin = usize::try_from(offset).unwrap();
        whole.supply(offset, &file[begin..begin + bytes]);
    }
    whole.whole_bytes()
}

/// 26 hours at a picture and a sound a fragment would be long: a thousand fragments, each of them 94 s after the one before.
#[test]
fn a_day_has_no_drift_and_keeps_its_gaps() {
    let (tracks, frames) = stream(&mut Rng(8), 1, 0);
    let mut muxer = Fmp4Muxer::new(&tracks).unwrap();
    let (mut demuxer, mut read) = (Mp4Demuxer::new(), Read::default());
    demuxer.push(muxer.init_segment()).unwrap();
    let mut gaps = 0;
    for hop in 0..1_000_i64 {
        // In ticks of 90 kHz; that of 44.1 kHz is rounded from the absolute time, as a source would.
        let start_90k = hop * 94 * 90_000 + hop % 7;
        let moved: Vec<Frame> = frames.iter().map(|frame| moved(frame, start_90k)).collect();
        let mut out = Vec::new();
        muxer.write_fragment(&moved, &Head::default(), &mut out).unwrap();
        demuxer.push(&out).unwrap();
        let before = read.frames.len();
        std::iter::from_fn(|| demuxer.poll()).for_each(|item| read.take(item));
        for track in [0, 1] {
            let wanted = moved.iter().filter(|frame| frame.track.0 == track).map(|frame| (frame.pts, frame.dts));
            let back = read.frames[before..].iter().filter(|frame| frame.track.0 == track);
            assert_eq!(back.map(|frame| (frame.pts, frame.dts)).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
        }
        gaps += usize::from(before > 0);
    }
    assert_eq!(gaps, 999);
    assert!(read.frames.last().unwrap().dts > 26 * 3_600 * 44_100 - 44_100 * 200);
}

fn moved(frame: &Frame, start_90k: i64) -> Frame {
    let shift = if frame.track.0 == 0 { start_90k } else { (start_90k * 441 + 450).div_euclid(900) };
    Frame { pts: frame.pts + shift, dts: frame.dts + shift, ..frame.clone() }
}

/// Without a gap for 26 hours: what each fragment says it lasts is where the next one begins, at every step.
#[test]
fn a_day_without_gaps_is_continuous() {
    let (tracks, _) = stream(&mut Rng(9), 1, 0);
    let mut muxer = Fmp4Muxer::new(&tracks).unwrap();
    let mut file = muxer.init_segment().to_vec();
    let pictures = 26 * 3_600 * 30_000 / 1_001;
    // A GOP of 10 s in each fragment, which has one picture a second: the validator reads it all.
    let mut next = Vec::new();
    for group in 0..pictures / 300 {
        let picture = |index: i64| {
            let dts = (group * 10 + index) * 30 * 3_003;
            let flags = if index == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
            let payload = bytes::Bytes::from_static(&[0, 0, 0, 2, 0x65, 1]);
            Frame { track: TrackId(0), flags, pts: dts, dts, duration: 0, payload }
        };
        let frames: Vec<Frame> = (0..10).map(picture).collect();
        next.clear();
        next.push((TrackId(0), (group + 1) * 300 * 3_003));
        muxer.write_fragment(&frames, &Head { next: &next, ..Head::default() }, &mut file).unwrap();
    }
    let report = validate(&file).unwrap();
    assert_eq!(report.gaps.values().sum::<u64>(), 0);
    assert_eq!(report.ends[&1], (pictures / 300 * 300 * 3_003) as u64);
}

#[test]
fn the_validator_finds_what_is_broken() {
    let (tracks, frames) = stream(&mut Rng(10), 1, 0);
    let file = fragmented(&tracks, &frames, 20);
    let whole = finalized(&file);
    validate(&file).unwrap();
    validate(&whole).unwrap();
    let broken = |file: &[u8], kind: &[u8; 4], nth: usize, at: usize, what: &str| {
        let mut file = file.to_vec();
        let found = file.windows(4).enumerate().filter(|(_, window)| *window == kind).nth(nth).unwrap().0;
        file[found + 4 + at] ^= 1;
        let judged = validate(&file);
        assert!(judged.as_ref().is_err_and(|said| said.contains(what)), "{}+{at}: {judged:?}", kind.escape_ascii());
    };
    // The box of each, the byte behind its type, and what must be said.
    broken(&file, b"mfhd", 1, 7, "sequence number");
    broken(&file, b"tfdt", 2, 10, "in front of the end");
    broken(&file, b"tfhd", 0, 7, "traf of no track");
    broken(&file, b"tfhd", 0, 3, "no base-data-offset");
    broken(&file, b"trun", 0, 7, "");
    broken(&file, b"trun", 0, 11, "a sample at");
    broken(&file, b"trun", 0, 19, "a sample at");
    broken(&file, b"trun", 0, 13, "sample flags");
    broken(&whole, b"stts", 0, 11, "stts");
    broken(&whole, b"ctts", 0, 11, "ctts");
    broken(&whole, b"stsz", 0, 15, "a sample at");
    broken(&whole, b"stco", 0, 11, "a sample at");
    broken(&whole, b"stsc", 0, 15, "");
    assert!(validate(&file[..file.len() - 1]).is_err());
    assert!(validate(&[&file[..], &[0, 0, 0, 9, b'm', b'd', b'a', b't', 0]].concat()).is_err());
}

#[test]
fn what_stands_in_front_of_a_fragment_is_read_by_ffprobe_and_by_us() {
    let scratch = Scratch::new("mp4-head");
    let Clip { tracks, frames } = Clip::make(&scratch, 2);
    let frames: Vec<Frame> = frames.iter().map(|frame| moved(frame, 900_000)).collect();
    let data = [
        (TrackId(2), CodecConfig::Id3(DataConfig::default())),
        (TrackId(3), CodecConfig::Scte35(DataConfig::default())),
    ];
    let mut tracks = TrackSet::clone(&tracks);
    tracks.tracks.extend(data.map(|(id, config)| Track::new(id, config)));
    let mut muxer = Fmp4Muxer::new(&tracks).unwrap();
    let mut file = muxer.init_segment().to_vec();
    let event = |track: u8, pts: i64, payload: &'static [u8]| Frame {
        track: TrackId(track),
        flags: FrameFlags::NONE,
        pts,
        dts: pts,
        duration: 0,
        payload: bytes::Bytes::from_static(payload),
    };
    let (first, second) = frames.split_at(frames.len() / 2);
    let wall_clock = Some(Duration::new(1_700_000_000, 500_000_000));
    let head = Head { segment_type: Some(SegmentType::Segment), index: true, wall_clock, next: &[] };
    let with_events = [&[event(2, 900_123, b"ID3 first"), event(3, 905_000, b"\xfc0splice")], first].concat();
    muxer.write_fragment(&with_events, &head, &mut file).unwrap();
    let chunk = Head { segment_type: Some(SegmentType::Chunk), ..Head::default() };
    // Said again in the next fragment, as in each of a segment: it is one event.
    let with_events = [&[event(2, 900_123, b"ID3 first"), event(2, 990_000, b"ID3 second")], second].concat();
    muxer.write_fragment(&with_events, &chunk, &mut file).unwrap();
    validate(&file).unwrap();
    let read = push(&file, 100);
    let events: Vec<_> = read.frames.iter().filter(|frame| frame.track.0 > 1).collect();
    let codec = |frame: &Plain| read.tracks.iter().find(|track| track.id == frame.track).unwrap().config.codec();
    let events: Vec<_> = events.into_iter().map(|frame| (codec(frame), frame.pts, &frame.payload[..])).collect();
    let wanted = [
        (Codec::Id3, 900_123, &b"ID3 first"[..]),
        (Codec::Scte35, 905_000, b"\xfc0splice"),
        (Codec::Id3, 990_000, b"ID3 second"),
    ];
    assert_eq!(events, wanted);
    let sidx = file.windows(4).position(|kind| kind == b"sidx").unwrap() - 4;
    let moofs: Vec<_> = file.windows(4).enumerate().filter(|(_, kind)| kind == b"styp").map(|(at, _)| at - 4).collect();
    let referenced = u32::from_be_bytes(file[sidx + 40..sidx + 44].try_into().unwrap()) as usize;
    assert_eq!(sidx + 52 + referenced, moofs[1], "sidx refers to all up to the next segment");
    scratch.write("head.mp4", &file);
    let args = ["-v", "error", "-show_packets", "-select_streams", "a", "-of", "csv", "head.mp4"];
    let packets = String::from_utf8(run("ffprobe", &args, &scratch.path("."))).unwrap();
    assert_eq!(
        packets.lines().filter(|line| line.starts_with("packet")).count(),
        frames.iter().filter(|f| f.track.0 == 1).count()
    );
}

#[test]
fn one_track_of_many_is_a_cmaf_track_of_the_same_times() {
    let (tracks, frames) = stream(&mut Rng(12), 1, 4_500);
    let all = push(&fragmented(&tracks, &frames, 25), 999);
    for track in &tracks.tracks {
        let one = Arc::new(TrackSet { revision: 1, tracks: vec![track.clone()] });
        let file = fragmented(&one, &frames, 25);
        validate(&file).unwrap();
        assert!(file.windows(4).any(|brand| brand == b"cmfc"));
        // Alone, any track is the first of its kind.
        let id = TrackId(if track.kind() == MediaKind::Video { 0 } else { 1 });
        assert_eq!(push(&file, 999).of(id), all.of(track.id));
    }
}
