//! What stands beside the record: written, read back, and seen by ffprobe.

use std::sync::Arc;

use arcly_bus::{Track, TrackId, TrackSet};
use arcly_codec::{DolbyVision, MediaKind};

use super::{
    Read,
    foreign::{VIDEO, encode},
    index, push,
    written::{finalized, fragmented, frames},
};
use crate::testing::{Scratch, run};

fn of(profile: u8, compatibility: u8) -> DolbyVision {
    DolbyVision {
        version: (1, 0),
        profile,
        level: 5,
        has_metadata: true,
        has_enhancement: false,
        has_base: true,
        compatibility,
        metadata_compression: 0,
    }
}

fn has(file: &[u8], wanted: &[u8]) -> bool {
    file.windows(wanted.len()).any(|window| window == wanted)
}

fn encoded(scratch: &Scratch, name: &str) -> Read {
    let (_, codec) = VIDEO.iter().find(|(known, _)| *known == name).unwrap();
    let file = format!("{name}.mp4");
    if !scratch.path(&file).exists() {
        encode(scratch, &file, codec);
    }
    index(&std::fs::read(scratch.path(&file)).unwrap())
}

#[test]
fn it_comes_back_and_ffprobe_sees_it() {
    let scratch = Scratch::new("mp4-dolby-vision");
    for (codec, profile, compatibility, entry, record, brand) in [
        ("h265", 8, 4, &b"hvc1"[..], &b"dvvC"[..], &b"dby1db4h"[..]),
        ("h265", 5, 0, b"dvh1", b"dvcC", b"dby1"),
        ("h264", 9, 2, b"avc1", b"dvvC", b"dby1db2g"),
        ("av1", 10, 1, b"av01", b"dvvC", b"dby1db1p"),
        ("av1", 10, 0, b"dav1", b"dvvC", b"dby1"),
    ] {
        let read = encoded(&scratch, codec);
        let mark = |track: &Track| Track {
            dolby_vision: (track.kind() == MediaKind::Video).then_some(of(profile, compatibility)),
            ..track.clone()
        };
        let tracks = Arc::new(TrackSet { revision: 1, tracks: read.tracks.iter().map(mark).collect() });
        let fragments = fragmented(&tracks, &frames(&read), 40);
        for (file, form) in [(finalized(&fragments), "whole"), (fragments, "fragments")] {
            for found in [index(&file), push(&file, 1_000)] {
                assert_eq!(found.tracks, tracks.tracks, "{codec} {form}");
                assert_eq!(found.of(TrackId(0)).len(), read.of(TrackId(0)).len());
            }
            for wanted in [entry, record, brand] {
                assert!(has(&file, wanted), "{codec} {form}: {}", String::from_utf8_lossy(wanted));
            }
            scratch.write("out.mp4", &file);
            let args = ["-v", "error", "-select_streams", "v", "-show_streams", "-of", "flat", "out.mp4"];
            let text = String::from_utf8(run("ffprobe", &args, &scratch.path("."))).unwrap();
            // FFmpeg 5 does not know `dav1`.
            if entry != b"dav1" {
                assert!(text.contains(&format!("dv_profile={profile}\n")), "{codec} {form}: {text}");
                assert!(text.contains(&format!("dv_bl_signal_compatibility_id={compatibility}\n")), "{text}");
            }
        }
    }
}

#[test]
fn a_record_that_breaks_costs_only_itself() {
    let scratch = Scratch::new("mp4-dolby-vision-broken");
    let read = encoded(&scratch, "h264");
    let mark = |track: &Track| Track { dolby_vision: Some(of(9, 2)), ..track.clone() };
    let tracks = Arc::new(TrackSet { revision: 1, tracks: read.tracks.iter().map(mark).collect() });
    let mut file = fragmented(&tracks, &frames(&read), 40);
    let at = file.windows(4).position(|window| window == b"dvvC").unwrap();
    // The box becomes one of eight bytes with free space behind it.
    let old = u32::from_be_bytes(file[at - 4..at].try_into().unwrap());
    file[at - 4..at].copy_from_slice(&8_u32.to_be_bytes());
    file[at + 4..at + 8].copy_from_slice(&(old - 8).to_be_bytes());
    file[at + 8..at + 12].copy_from_slice(b"free");
    let found = index(&file);
    assert_eq!(found.tracks, read.tracks);
    assert_eq!(found.frames.len(), read.frames.len());
}
