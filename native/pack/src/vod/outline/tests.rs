//! What is found in recorded streams, however they come and wherever their times begin again.

use std::sync::Arc;

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, h264::AvcConfig};
use bytes::Bytes;

use super::*;
use crate::{
    container::{ContainerMuxer, MuxOptions},
    mp4::{Finalizer, Finalizing, Outline, Range, Step},
    testing::{AUDIO, Recipe, Rng, VIDEO, audio_track},
    vod::{Piece, Remux, Vod},
};

const SECONDS: i64 = 20;

/// An avcC record of libx264.
const RECORD: [u8; 37] = [
    1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0,
    0x40, 0, 0, 7, 0x83, 0xc5, 0x0a, 0xa8, 1, 0, 4, 0x68, 0xce, 0x0f, 0xc8,
];

/// A recording whose first frame is decoded at that time.
fn file(container: Container, start_90k: i64) -> (Bytes, Vec<Frame>) {
    let (tracks, frames) = stream(start_90k);
    (muxed(container, tracks, &frames), frames)
}

fn stream(start_90k: i64) -> (Arc<TrackSet>, Vec<Frame>) {
    stream_of(50, start_90k)
}

fn stream_of(gop: u64, start_90k: i64) -> (Arc<TrackSet>, Vec<Frame>) {
    let recipe = Recipe {
        picture_90k: 3600,
        gop,
        b_frames: true,
        sample_rate_hz: 48_000,
        seconds: SECONDS,
        start_90k,
        max_picture_bytes: 4000,
    };
    let config = AvcConfig::parse(Bytes::from_static(&RECORD)).unwrap();
    let tracks = vec![Track::new(VIDEO, CodecConfig::H264(config)), audio_track(48_000)];
    let tracks = Arc::new(TrackSet { revision: 1, tracks });
    (tracks, recipe.frames(&mut Rng(7)).into_iter().map(with_header).collect())
}

fn muxed(container: Container, tracks: Arc<TrackSet>, frames: &[Frame]) -> Bytes {
    let mut muxer = ContainerMuxer::new(container, tracks, MuxOptions::default()).unwrap();
    let mut out = Vec::new();
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    muxer.finish(&mut out).unwrap();
    out.into()
}

/// Pictures of noise, behind the header of a NAL unit that is right.
fn with_header(frame: Frame) -> Frame {
    if frame.track != VIDEO {
        return frame;
    }
    let header = if frame.is_key() { 0x65 } else { 0x41 };
    let length = (frame.payload.len() + 1) as u32;
    Frame { payload: [&length.to_be_bytes()[..], &[header], &frame.payload].concat().into(), ..frame }
}

fn outline(container: Container, pieces: impl Iterator<Item = Bytes>) -> Outline {
    let mut outliner = StreamOutliner::new(container).unwrap();
    pieces.for_each(|piece| outliner.push(&piece).unwrap());
    outliner.outline().unwrap().0
}

fn frames_of(outline: &Outline, track: TrackId) -> u32 {
    let spans = outline.fragments.iter().flat_map(|fragment| &fragment.spans);
    spans.filter(|span| span.track == track).map(|span| span.frames).sum()
}

/// Each part of a track begins where the one before it ends, and the first one at 0.
fn check_times(outline: &Outline, container: Container) {
    for (track, clock_hz) in [(VIDEO, 90_000), (AUDIO, 48_000)] {
        let spans: Vec<Span> = outline
            .fragments
            .iter()
            .flat_map(|fragment| fragment.spans.iter().copied())
            .filter(|span| span.track == track)
            .collect();
        let within = |one: i64, other: i64| (one - other).abs() <= clock_hz / 20;
        assert!(within(spans.first().unwrap().begin_dts, 0), "{container:?} {track:?}");
        for pair in spans.windows(2) {
            assert!(within(pair[0].end_dts, pair[1].begin_dts), "{container:?} {track:?} {pair:?}");
        }
        assert!(within(spans.last().unwrap().end_dts / SECONDS, clock_hz), "{container:?} {track:?}");
    }
}

#[test]
fn every_frame_is_found_in_parts_that_begin_with_key_frames() {
    for container in [Container::MpegTs, Container::Flv] {
        let (file, frames) = file(container, 0);
        let found = outline(container, [file].into_iter());
        assert_eq!(found.fragments.len(), 10, "{container:?}");
        assert!(found.fragments.iter().all(|fragment| fragment.is_entry));
        for track in [VIDEO, AUDIO] {
            assert_eq!(frames_of(&found, track) as usize, frames.iter().filter(|frame| frame.track == track).count());
        }
        check_times(&found, container);
    }
}

/// What a file of fragments has when it has tables.
fn sample_outline(fragmented: &Bytes) -> Outline {
    let slice = |file: &Bytes, offset: u64, bytes: u64| file.slice(offset as usize..(offset + bytes) as usize);
    let mut finalizer = Finalizer::new(fragmented.len() as u64);
    let layout = loop {
        match finalizer.step().unwrap() {
            Finalizing::Read { offset, bytes } => finalizer.supply(offset, slice(fragmented, offset, bytes as u64)),
            Finalizing::Done(layout) => break layout,
        }
    };
    let mut file = layout.head.to_vec();
    layout.media.iter().for_each(|range| file.extend_from_slice(&slice(fragmented, range.offset, range.bytes)));
    let file = Bytes::from(file);
    let mut outliner = SampleOutliner::new(file.len() as u64);
    while let Some(Step::Read { offset, bytes }) = outliner.step().unwrap() {
        outliner.supply(offset, slice(&file, offset, bytes as u64));
    }
    outliner.finish().unwrap()
}

/// Found by a reader: all of the sound from there on was one part.
#[test]
fn where_pictures_cease_parts_end_without_them() {
    for container in [Container::MpegTs, Container::Flv, Container::Mp4] {
        let (tracks, mut frames) = stream(0);
        frames.retain(|frame| frame.track == AUDIO || frame.dts < 5 * 90_000);
        let file = muxed(container, tracks, &frames);
        let found = match container {
            Container::Mp4 => sample_outline(&file),
            container => outline(container, [file].into_iter()),
        };
        let spans = found.fragments.iter().flat_map(|fragment| &fragment.spans).filter(|span| span.track == AUDIO);
        let longest = spans.map(|span| span.end_dts - span.begin_dts).max().unwrap();
        // It takes 10 s to see that they have, behind a GOP of 2 s.
        assert!(longest < 13 * 48_000, "{container:?} {longest}");
        assert!(found.fragments.len() < 25, "{container:?} {}", found.fragments.len());
        assert_eq!(frames_of(&found, AUDIO) as usize, frames.iter().filter(|frame| frame.track == AUDIO).count());
    }
}

/// The pictures of a recording in one file as a clip has them.
fn clipped(container: Container, file: &Bytes) -> (Vod, Vec<Frame>) {
    let mut outliner = StreamOutliner::new(container).unwrap();
    outliner.push(file).unwrap();
    let (outline, init) = outliner.outline().unwrap();
    let piece = Piece {
        outline: Arc::new(outline),
        init,
        form: Form::Stream(container),
        number: 0,
        position_us: 0,
        base_ticks: 0,
        base_hz: 90_000,
        follows: false,
        began_unix_ms: 0,
    };
    let vod = Vod::new(vec![piece], true);
    let (remux, parts) = Remux::new(&vod, vod.clip(0, i64::MAX).unwrap()).unwrap().unwrap();
    let mut clip = remux.init_segment().to_vec();
    for (number, part) in (1..).zip(&parts) {
        let Range { offset, bytes } = part.range;
        let own = file.slice(offset as usize..(offset + bytes) as usize);
        clip.extend(remux.fragment(&vod, number, part, &own).unwrap());
    }
    let (_, frames) = demux(Container::Mp4, [&clip, &[]]).unwrap();
    (vod, frames.into_iter().filter(|frame| frame.track == VIDEO).collect())
}

/// Found by reading: a part ended after 64 sounds, and pictures of the next one that came before a key were nowhere.
#[test]
fn pictures_that_come_seldom_or_again_within_a_gop_are_all_there() {
    type Keeps = fn(usize, i64) -> bool;
    let keeps: [(&str, Keeps); 3] = [
        ("one every 2 s", |index, _| index % 50 == 0),
        ("a stall of 3 s", |_, at_s| !(4..7).contains(&at_s)),
        ("a silence of 12 s", |_, at_s| !(4..16).contains(&at_s)),
    ];
    for container in [Container::MpegTs, Container::Flv] {
        for (name, keeps) in keeps {
            let (tracks, frames) = stream_of(500, 0);
            let (pictures, sounds): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| frame.track == VIDEO);
            let kept = pictures.into_iter().enumerate().filter(|(index, frame)| keeps(*index, frame.dts / 90_000));
            let pictures: Vec<Frame> = kept.map(|(_, frame)| frame).collect();
            let mut frames = [&pictures[..], &sounds].concat();
            frames.sort_by_key(|frame| frame.dts * if frame.track == VIDEO { 8 } else { 15 });
            let (vod, found) = clipped(container, &muxed(container, tracks, &frames));
            assert_eq!(found.len(), pictures.len(), "{container:?}, {name}");
            // FLV has milliseconds.
            let is_at =
                |(one, other): (&Frame, &Frame)| ((one.dts - found[0].dts) - (other.dts - pictures[0].dts)).abs() < 180;
            assert!(found.iter().zip(&pictures).all(is_at), "{container:?}, {name}");
            let playlist = vod.media_playlist(VIDEO).unwrap();
            assert!(!playlist.contains("EXT-X-GAP"), "{container:?}, {name}: {playlist}");
        }
    }
}

#[test]
fn times_go_on_where_those_of_the_container_begin_again() {
    // 33 bits of 90 kHz, and 32 bits of milliseconds, less half of the file.
    let half_90k = SECONDS * 45_000;
    check_times(
        &outline(Container::MpegTs, [file(Container::MpegTs, (1 << 33) - half_90k).0].into_iter()),
        Container::MpegTs,
    );
    check_times(
        &outline(Container::Flv, [file(Container::Flv, (1 << 32) * 90 - half_90k).0].into_iter()),
        Container::Flv,
    );
}

#[test]
fn however_it_is_cut_and_however_often_one_looks_the_same_is_found() {
    for container in [Container::MpegTs, Container::Flv] {
        let (file, _) = file(container, 0);
        let whole = outline(container, [file.clone()].into_iter());
        for piece_bytes in [7, 188, 4096, 70_001] {
            let mut outliner = StreamOutliner::new(container).unwrap();
            for (count, piece) in file.chunks(piece_bytes).enumerate() {
                outliner.push(piece).unwrap();
                if count % 97 == 0 {
                    let so_far = outliner.outline().unwrap().0;
                    let whole_parts = so_far.fragments.len().saturating_sub(1);
                    assert_eq!(so_far.fragments[..whole_parts], whole.fragments[..whole_parts]);
                }
            }
            assert_eq!(outliner.position(), file.len() as u64);
            assert_eq!(outliner.outline().unwrap().0, whole, "{container:?} in pieces of {piece_bytes}");
        }
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    for container in [Container::MpegTs, Container::Flv] {
        let mut outliner = StreamOutliner::new(container).unwrap();
        assert!(outliner.push(&[0; 1000]).is_err());
    }
    assert!(StreamOutliner::new(Container::Mp4).is_err());
}

#[test]
fn what_was_kept_is_the_same_with_one_part_of_the_file() {
    for container in [Container::MpegTs, Container::Flv] {
        let (file, _) = file(container, 0);
        let mut outliner = StreamOutliner::new(container).unwrap();
        outliner.push(&file).unwrap();
        let packed = Bytes::from(outliner.pack().unwrap().unwrap());
        let kept = PackedOutline::parse(&packed).unwrap();
        assert_eq!((kept.container(), kept.file_bytes), (container, file.len() as u64));
        let Range { offset, bytes } = kept.tracks_in;
        assert!(bytes < file.len() as u64 / 5);
        let part = &file[offset as usize..(offset + bytes) as usize];
        assert_eq!(kept.clone().with_part(part).unwrap(), outliner.outline().unwrap());
        // Another file of that size.
        assert!(kept.with_part(&vec![0; part.len()]).is_err());
        for bytes in 0..packed.len() {
            assert!(PackedOutline::parse(&packed.slice(..bytes)).is_err());
        }
    }
}
