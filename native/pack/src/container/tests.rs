use std::sync::Arc;

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, data::DataConfig};

use super::*;
use crate::Item;

mod languages;
mod passed_on;

#[test]
fn names_are_read_back() {
    for container in Container::ALL {
        assert_eq!(container.name().parse::<Container>().unwrap(), container);
    }
    assert!("mkv".parse::<Container>().is_err());
}

#[test]
fn files_are_told_by_their_beginning() {
    let mut ts = vec![0xff; 3 * 192 + 10];
    for at in [7, 7 + 192, 7 + 384] {
        ts[at] = 0x47;
    }
    assert_eq!(Container::sniff(&ts), Some(Container::MpegTs), "M2TS, from within a packet");
    assert_eq!(Container::sniff(b"FLV\x01\x05\0\0\0\x09"), Some(Container::Flv));
    assert_eq!(Container::sniff(b"\0\0\0\x18ftypiso6"), Some(Container::Mp4));
    assert_eq!(Container::sniff(b"\x1a\x45\xdf\xa3 Matroska"), None);
    assert_eq!(Container::sniff(&[0x47; 100]), None, "too little to tell");
    assert_eq!(Container::sniff(b""), None);
}

/// What the muxer writes is what the sniffer sees and what the demuxer reads, in pieces of any size.
#[test]
fn every_container_gives_back_what_it_was_given() {
    let (tracks, frames) = stream();
    for container in Container::ALL {
        let file = written(container, &tracks, &frames);
        assert_eq!(Container::sniff(&file), Some(container));
        for piece_bytes in [1, 188, 4096, file.len()] {
            let (read_tracks, read) = read(container, &file, piece_bytes);
            assert_eq!(read_tracks.len(), 2, "{container:?}");
            assert_eq!(read.len(), frames.len(), "{container:?} in pieces of {piece_bytes}");
            for track in [TrackId(0), TrackId(1)] {
                let of = |frames: &[Frame]| -> Vec<_> {
                    frames.iter().filter(|frame| frame.track == track).map(|frame| frame.payload.clone()).collect()
                };
                assert_eq!(of(&read), of(&frames), "{container:?} in pieces of {piece_bytes}");
            }
        }
    }
}

#[test]
fn what_is_no_such_container_is_said() {
    for container in Container::ALL {
        let mut demuxer = ContainerDemuxer::new(container, None);
        let outcome = demuxer.push(&[0x55; 20_000]).and_then(|()| demuxer.finish());
        assert!(outcome.is_err() || container == Container::Mp4, "{container:?}: {outcome:?}");
        assert!(demuxer.poll().is_none());
    }
}

/// A transport stream names its tracks in the map and shows them one after the other.
#[test]
fn a_transport_stream_does_not_begin_with_a_change_of_its_tracks() {
    let (tracks, frames) = stream();
    let file = written(Container::MpegTs, &tracks, &frames);
    let mut demuxer = ContainerDemuxer::new(Container::MpegTs, None);
    let mut announced = Vec::new();
    for packet in file.chunks(188) {
        demuxer.push(packet).unwrap();
        while let Some(item) = demuxer.poll() {
            match item {
                Item::Tracks(tracks) => announced.push(tracks.len()),
                _ => assert_eq!(announced, [2], "tracks come before the first frame"),
            }
        }
    }
    assert_eq!(announced, [2]);
}

#[test]
fn a_track_that_never_comes_holds_nothing_back_for_long() {
    let (tracks, frames) = stream();
    let video: Vec<_> = frames.into_iter().filter(|frame| frame.track == TrackId(0)).collect();
    let file = written(Container::MpegTs, &tracks, &video);
    let mut demuxer = ContainerDemuxer::new(Container::MpegTs, None);
    demuxer.push(&file).unwrap();
    assert!(demuxer.poll().is_none(), "the sound may still come");
    demuxer.finish().unwrap();
    let frames = std::iter::from_fn(|| demuxer.poll()).filter(|item| matches!(item, Item::Frame(_)));
    assert_eq!(frames.count(), video.len(), "nothing is lost");
}

#[test]
fn only_a_transport_stream_has_a_constant_bit_rate() {
    let (tracks, frames) = stream();
    for container in Container::ALL {
        let options = |rate_bps| MuxOptions { constant_bit_rate: Some(rate_bps), ..MuxOptions::default() };
        assert!(ContainerMuxer::new(container, tracks.clone(), options(7)).is_err());
        let muxer = ContainerMuxer::new(container, tracks.clone(), options(8_000_000));
        assert_eq!(muxer.is_ok(), container == Container::MpegTs);
        let Ok(mut muxer) = muxer else { continue };
        let mut file = Vec::new();
        frames.iter().for_each(|frame| muxer.write(frame, &mut file).unwrap());
        muxer.finish(&mut file).unwrap();
        assert_eq!((read(container, &file, 4096).1.len(), muxer.overrun_frames()), (frames.len(), 0));
    }
}

/// Found by reading: with a track of pictures a fragment ended at its key frames alone, and the sound of half an hour was in memory.
#[test]
fn sound_is_written_while_pictures_are_silent() {
    let (tracks, frames) = stream();
    let of = |track| frames.iter().find(|frame: &&Frame| frame.track == track).unwrap();
    let (picture, sound) = (of(TrackId(0)), of(TrackId(1)));
    let clock_hz = i64::from(tracks.find(TrackId(1)).unwrap().clock_rate_hz);
    let mut muxer = ContainerMuxer::new(Container::Mp4, tracks.clone(), MuxOptions::default()).unwrap();
    let (mut file, mut written) = (Vec::new(), vec![picture.clone()]);
    muxer.write(picture, &mut file).unwrap();
    for dts in (0..30 * clock_hz).step_by(1024) {
        let sound = Frame { dts, pts: dts, ..sound.clone() };
        muxer.write(&sound, &mut file).unwrap();
        written.push(sound);
    }
    let sounds_of_5_s = usize::try_from(5 * clock_hz / 1024 + 2).unwrap();
    let on_disk = read(Container::Mp4, &file, file.len()).1.len();
    assert!(on_disk + sounds_of_5_s >= written.len(), "{on_disk} of {}", written.len());
    muxer.finish(&mut file).unwrap();
    assert_eq!(read(Container::Mp4, &file, file.len()).1.len(), written.len());
}

/// Found by reading: behind a change of tracks there was a second `moov` in the file, which readers pass over.
#[test]
fn a_file_of_mp4_has_one_moov() {
    let (tracks, frames) = stream();
    let sound = TrackSet { revision: 2, tracks: vec![tracks.tracks[1].clone()] };
    let cues = Track::new(TrackId(7), CodecConfig::Scte35(DataConfig::default()));
    let with_cues = TrackSet { revision: 3, tracks: tracks.tracks.iter().cloned().chain([cues]).collect() };
    for container in Container::ALL {
        let mut muxer = ContainerMuxer::new(container, tracks.clone(), MuxOptions::default()).unwrap();
        assert!(!muxer.needs_new_file(&sound), "nothing is in it yet: {container:?}");
        let mut file = Vec::new();
        // What is decoded before 0 has room in front, which only the init segment tells.
        let early = frames.iter().map(|frame| Frame { dts: frame.dts - 9000, pts: frame.pts - 9000, ..frame.clone() });
        early.clone().for_each(|frame| muxer.write(&frame, &mut file).unwrap());
        assert_eq!(muxer.needs_new_file(&sound), container == Container::Mp4);
        assert!(!muxer.needs_new_file(&with_cues), "the init segment does not tell of them: {container:?}");
        if container == Container::Mp4 {
            muxer.reconfigure(Arc::new(with_cues.clone()), &mut file).unwrap();
            let last = frames.last().unwrap();
            early.for_each(|frame| {
                let later = Frame { dts: frame.dts + last.dts * 10, pts: frame.pts + last.pts * 10, ..frame };
                muxer.write(&later, &mut file).unwrap();
            });
            muxer.finish(&mut file).unwrap();
            assert_eq!(file.windows(4).filter(|bytes| bytes == b"moov").count(), 1);
        }
    }
}

/// The beginning of the demo clip: H.264 with B-frames, AAC.
fn stream() -> (Arc<TrackSet>, Vec<Frame>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clips/b_frames.flv");
    let beginning = std::fs::read(path).unwrap();
    let mut demuxer = ContainerDemuxer::new(Container::Flv, None);
    demuxer.push(&beginning[..400_000]).unwrap();
    let (mut tracks, mut frames) = (Vec::new(), Vec::new());
    while let Some(item) = demuxer.poll() {
        match item {
            Item::Tracks(now) => tracks = now,
            Item::Frame(frame) => frames.push(frame),
            Item::EndOfSequence => {}
        }
    }
    assert!(frames.len() > 200);
    (Arc::new(TrackSet { revision: 1, tracks }), frames)
}

fn written(container: Container, tracks: &Arc<TrackSet>, frames: &[Frame]) -> Vec<u8> {
    let mut muxer = ContainerMuxer::new(container, tracks.clone(), MuxOptions::default()).unwrap();
    let mut file = Vec::new();
    frames.iter().for_each(|frame| muxer.write(frame, &mut file).unwrap());
    muxer.finish(&mut file).unwrap();
    file
}

fn read(container: Container, file: &[u8], piece_bytes: usize) -> (Vec<Track>, Vec<Frame>) {
    let mut demuxer = ContainerDemuxer::new(container, None);
    let (mut tracks, mut frames) = (Vec::new(), Vec::new());
    let mut take = |demuxer: &mut ContainerDemuxer| {
        while let Some(item) = demuxer.poll() {
            match item {
                Item::Tracks(now) => tracks = now,
                Item::Frame(frame) => frames.push(frame),
                Item::EndOfSequence => {}
            }
        }
    };
    for piece in file.chunks(piece_bytes) {
        demuxer.push(piece).unwrap();
        take(&mut demuxer);
    }
    demuxer.finish().unwrap();
    take(&mut demuxer);
    assert_eq!(demuxer.left_out(), LeftOut::default(), "{container:?}");
    (tracks, frames)
}
