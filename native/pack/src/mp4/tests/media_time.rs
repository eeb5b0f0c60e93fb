//! What says how times of the media are times of the presentation and of the clock on the wall, byte by byte.

use std::time::Duration;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{CodecConfig, opus::OpusConfig};

use super::{index, stream, validate::validate, written::finalized};
use crate::{
    mp4::{Fmp4Muxer, Head, TrackOptions},
    testing::{AUDIO, Rng, audio_track, track_set},
};

/// The body of the only full box of that type, behind its version and flags, and these.
fn only<'a>(file: &'a [u8], kind: &[u8; 4]) -> Option<(u32, &'a [u8])> {
    let mut found = file.windows(4).enumerate().filter(|(_, window)| window == kind);
    let (at, _) = found.next()?;
    assert!(found.next().is_none(), "one {}", kind.escape_ascii());
    let bytes = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    let (version_and_flags, body) = file[at + 4..at - 4 + bytes].split_at(4);
    Some((u32::from_be_bytes(version_and_flags.try_into().unwrap()), body))
}

fn number(body: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(body[at..at + 8].try_into().unwrap())
}

/// Two sounds of this track, and what else is told of it.
fn written(track: &Track, first_dts: i64, options: TrackOptions) -> Vec<u8> {
    let step = track.config.audio().unwrap().samples_per_frame;
    let sound = |dts| Frame {
        track: track.id,
        flags: FrameFlags::NONE,
        pts: dts,
        dts,
        duration: step,
        payload: bytes::Bytes::from_static(&[0x78, 1, 2]),
    };
    let mut muxer = Fmp4Muxer::with_options(&track_set(std::slice::from_ref(track)), |_| options).unwrap();
    let mut file = muxer.init_segment().to_vec();
    let frames = [sound(first_dts), sound(first_dts + i64::from(step))];
    muxer.write_fragment(&frames, &Head::default(), &mut file).unwrap();
    validate(&file).unwrap();
    assert_eq!(index(&file).frames[0].pts, first_dts, "the edit takes the delay away again");
    file
}

/// ISO/IEC 14496-12 §8.6.6: one edit, which begins so far within the media and lasts to the end, at the ordinary speed.
fn assert_edit(file: &[u8], media_time: i64) {
    let wanted = [&1_u32.to_be_bytes()[..], &0_u64.to_be_bytes(), &media_time.to_be_bytes(), &[0, 1, 0, 0]].concat();
    assert_eq!(only(file, b"elst"), Some((1 << 24, &wanted[..])));
}

fn media_begins(file: &[u8]) -> u64 {
    let (version, body) = only(file, b"tfdt").unwrap();
    assert_eq!(version, 1 << 24);
    number(body, 0)
}

#[test]
fn the_pre_skip_of_opus_is_in_the_edit_list() {
    let head = [0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
    let track = Track::new(AUDIO, CodecConfig::Opus(OpusConfig::from_dops(&head).unwrap()));
    let file = written(&track, 0, TrackOptions::default());
    assert_edit(&file, 312);
    assert_eq!(media_begins(&file), 312);
}

/// Its configuration does not say it: without being told, arcly says nothing.
#[test]
fn the_delay_of_aac_is_in_the_edit_list_when_it_is_told() {
    let track = audio_track(48_000);
    let file = written(&track, -2_112, TrackOptions { delay: Some(2_112), ..TrackOptions::default() });
    assert_edit(&file, 2_112);
    assert_eq!(media_begins(&file), 0);
    let file = written(&track, 0, TrackOptions::default());
    assert_eq!((only(&file, b"edts"), only(&file, b"elst"), media_begins(&file)), (None, None, 0));
}

/// In a whole file the edit says too how long the media is shown, in the clock of the movie.
#[test]
fn the_delay_of_aac_stays_in_the_edit_list_of_a_whole_file() {
    let track = audio_track(48_000);
    let file = finalized(&written(&track, -1_024, TrackOptions { delay: Some(1_024), ..TrackOptions::default() }));
    let shown_90k = 1_024 * 90_000 / 48_000_u64;
    let wanted = [&1_u32.to_be_bytes()[..], &shown_90k.to_be_bytes(), &1_024_u64.to_be_bytes(), &[0, 1, 0, 0]].concat();
    assert_eq!(only(&file, b"elst"), Some((1 << 24, &wanted[..])));
    assert_eq!(index(&file).frames[0].pts, -1_024);
}

/// ISO/IEC 14496-12 §8.16.5: the NTP time at which the first sample of a track was made, and its time on the timeline of the media.
#[test]
fn the_producer_reference_time_is_that_of_the_first_sample() {
    let (tracks, frames) = stream(&mut Rng(13), 1, 900_000);
    let options = |track: &Track| {
        let delay = (track.id == TrackId(0)).then_some(7_000);
        TrackOptions { delay, ..TrackOptions::default() }
    };
    let mut muxer = Fmp4Muxer::with_options(&tracks, options).unwrap();
    let mut file = muxer.init_segment().to_vec();
    let wall_clock = Duration::new(1_700_000_000, 250_000_000);
    let head = Head { index: true, wall_clock: Some(wall_clock), ..Head::default() };
    muxer.write_fragment(&frames, &head, &mut file).unwrap();
    validate(&file).unwrap();
    let (version, body) = only(&file, b"prft").unwrap();
    assert_eq!((version, body.len()), (1 << 24, 20));
    assert_eq!(u32::from_be_bytes(body[..4].try_into().unwrap()), 1, "reference_track_ID of the pictures");
    // 14 November 2023, 22:13:20.25: seconds since 1900, and parts of 2^32 of one.
    assert_eq!(number(body, 4), 3_908_988_800 << 32 | 1 << 30);
    let first = frames.iter().find(|frame| frame.track == TrackId(0)).unwrap();
    assert!(first.pts > first.dts, "it is presented later than it is decoded");
    assert_eq!(number(body, 12), u64::try_from(first.pts + 7_000).unwrap());
    // In front of the fragment of which it tells, and within what sidx refers to.
    let at = |kind: &[u8; 4]| file.windows(4).position(|window| window == kind).unwrap();
    assert!(at(b"sidx") < at(b"prft") && at(b"prft") < at(b"moof"));
    // Without a wall clock there is none.
    let mut later = Vec::new();
    muxer.write_fragment(&frames, &Head::default(), &mut later).unwrap();
    assert_eq!(only(&later, b"prft"), None);
}
