//! The constant rate against the probe, which knows where each reference must be, and against ffmpeg.

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, data::DataConfig};

use super::{
    super::probe::{Probe, assert_carries},
    ConstantRateMuxer, ConstantRateStats, SMOOTHING_BUFFER,
};
use crate::{
    PackError,
    testing::{AUDIO, Clip, Recipe, Rng, Scratch, VIDEO, audio_track, picture, run, sound, track_set, video_track},
};

const PLAIN: Recipe = Recipe {
    picture_90k: 3_600,
    gop: 50,
    b_frames: true,
    sample_rate_hz: 48_000,
    seconds: 4,
    start_90k: 0,
    max_picture_bytes: 12_000,
};

/// The stream of `frames`, no more than the buffer of which ever waits.
fn mux(tracks: &TrackSet, frames: &[Frame], rate_bps: u32) -> (Vec<u8>, ConstantRateStats) {
    let (mut muxer, mut out) = (ConstantRateMuxer::new(tracks, rate_bps).unwrap(), Vec::new());
    let most = u128::from(rate_bps) / 8 * SMOOTHING_BUFFER.as_millis() / 1000;
    for frame in frames {
        muxer.write(frame, &mut out).unwrap();
        assert!(muxer.buffered_bytes() as u128 <= most);
    }
    muxer.finish(&mut out);
    assert_eq!(muxer.buffered_bytes(), 0);
    assert_eq!(muxer.stats().packets, out.len() as u64 / 188);
    (out, muxer.stats())
}

fn probe(stream: &[u8], rate_bps: u32) -> Probe {
    let mut probe = Probe::for_constant_rate(rate_bps.into());
    probe.feed(stream);
    probe.finish();
    probe
}

/// Nothing is left out, and the probe has nothing to say.
fn check(tracks: &TrackSet, frames: &[Frame], rate_bps: u32) -> (Probe, ConstantRateStats) {
    let (stream, stats) = mux(tracks, frames, rate_bps);
    assert_eq!((stats.overrun_frames, stats.late_frames), (0, 0), "at {rate_bps}: {stats:?}");
    let probe = probe(&stream, rate_bps);
    assert_eq!(probe.null_packets, stats.null_packets);
    for track in &tracks.tracks {
        let frames = frames.iter().filter(|frame| frame.track == track.id);
        let units: Vec<_> = probe.of(0x100 + u16::from(track.id.0)).collect();
        assert_eq!(units.len(), frames.clone().count());
        units.into_iter().zip(frames).for_each(|(unit, frame)| assert_carries(unit, track, frame));
    }
    (probe, stats)
}

#[test]
fn every_rate_passes_the_probe() {
    let frames = PLAIN.frames(&mut Rng(1));
    for rate_bps in [2_000_000, 2_111_111, 3_000_001, 5_000_000, 19_392_658, 38_014_706] {
        let (probe, stats) = check(&PLAIN.tracks(), &frames, rate_bps);
        let seconds = stats.packets as f64 * 1504.0 / f64::from(rate_bps);
        assert!((3.9..4.7).contains(&seconds), "{seconds} s of 4");
        assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity));
    }
}

#[test]
fn every_frame_rate_passes_the_probe_at_a_low_rate() {
    for picture_90k in [1_500, 3_003, 3_600, 9_000, 45_000, 90_000] {
        for sample_rate_hz in [0, 44_100] {
            let recipe = Recipe { picture_90k, sample_rate_hz, max_picture_bytes: 400, ..PLAIN };
            check(&recipe.tracks(), &recipe.frames(&mut Rng(2)), 1_000_000);
        }
    }
    let recipe = Recipe { picture_90k: 0, ..PLAIN };
    check(&recipe.tracks(), &recipe.frames(&mut Rng(3)), 500_000);
}

#[test]
fn tables_and_references_of_many_tracks_keep_their_intervals_at_the_lowest_rate() {
    let many = (0..16).map(|id| Track { id: TrackId(id), ..video_track() });
    let tracks = track_set(&many.collect::<Vec<_>>());
    let frames: Vec<Frame> = (0..100).map(|index| picture(&mut Rng(4), index * 3_600, 0, index == 0, 900)).collect();
    let (stream, stats) = mux(&tracks, &frames, 200_000);
    assert!(stats.overrun_frames > 0, "there is no room for 180 kbit/s beside them");
    probe(&stream, 200_000);
}

#[test]
fn a_large_key_picture_is_spread_and_still_comes_in_time() {
    let mut rng = Rng(5);
    // 100 frames of 8 kB, every 25th of 150 kB: 2.8 Mbit/s, with peaks of 30.
    let frames: Vec<Frame> = (0..100)
        .map(|index| {
            picture(&mut rng, index * 3_600, 0, index % 25 == 0, if index % 25 == 0 { 150_000 } else { 8_000 })
        })
        .collect();
    check(&track_set(&[video_track()]), &frames, 4_000_000);
}

#[test]
fn times_wrap_at_33_bits() {
    let recipe = Recipe { start_90k: super::super::probe::WRAP - 180_000, ..PLAIN };
    let (probe, _) = check(&recipe.tracks(), &recipe.frames(&mut Rng(6)), 4_000_000);
    assert!(probe.pcrs.windows(2).any(|pair| pair[1].0 < pair[0].0), "the clock wrapped");
    let recipe = Recipe { start_90k: -45_000, ..PLAIN };
    check(&recipe.tracks(), &recipe.frames(&mut Rng(6)), 4_000_000);
}

#[test]
fn overrun_is_counted_and_costs_whole_groups_of_pictures() {
    let mut rng = Rng(7);
    // The second of three GOPs is ten times as large.
    let bytes = |index: i64| if (50..100).contains(&index) { 40_000 } else { 4_000 };
    let pictures: Vec<Frame> =
        (0..150).map(|index| picture(&mut rng, index * 3_600, 0, index % 50 == 0, bytes(index))).collect();
    let (stream, stats) = mux(&track_set(&[video_track()]), &pictures, 1_500_000);
    let probe = probe(&stream, 1_500_000);
    assert_eq!(probe.units.len() as u64 + stats.overrun_frames, 150);
    let seen: Vec<i64> = probe.units.iter().map(|unit| (unit.dts - 90_000) / 3_600).collect();
    let lost: Vec<i64> = (0..150).filter(|index| !seen.contains(index)).collect();
    assert!(lost.len() > 20 && lost.len() < 50, "{lost:?}");
    // From the first that is lost to the next key picture, and no other.
    assert_eq!(lost, (lost[0]..100).collect::<Vec<_>>());
    assert_eq!(stats.late_frames, 0);
}

#[test]
fn sound_goes_on_while_pictures_overrun() {
    let mut rng = Rng(8);
    let mut frames = Vec::new();
    for index in 0..100_i64 {
        frames.push(picture(&mut rng, index * 3_600, 0, true, 200_000));
        frames.push(sound(&mut rng, index * 1_920, 100));
    }
    let (stream, stats) = mux(&PLAIN.tracks(), &frames, 1_000_000);
    let probe = probe(&stream, 1_000_000);
    assert_eq!((stats.overrun_frames, probe.of(0x101).count()), (100, 100));
}

#[test]
fn a_gap_is_filled_up_to_two_seconds_and_begins_a_time_base_beyond() {
    for (gap_90k, restarts) in [(90_000, 0), (170_000, 0), (200_000, 1), (1_000_000, 1), (-900_000, 1)] {
        let mut rng = Rng(9);
        let mut frames: Vec<Frame> = (0..50).map(|index| picture(&mut rng, index * 3_600, 0, true, 300)).collect();
        frames.extend((0..50).map(|index| picture(&mut rng, 49 * 3_600 + gap_90k + index * 3_600, 0, false, 300)));
        let (probe, _) = check(&track_set(&[video_track()]), &frames, 1_000_000);
        assert_eq!(probe.pcrs.iter().filter(|(_, other)| *other).count(), restarts, "gap {gap_90k}");
    }
}

#[test]
fn other_tracks_come_behind_what_waits_and_the_clock_moves_over() {
    let mut rng = Rng(10);
    let (video, audio) = (video_track(), audio_track(48_000));
    let sets = [
        track_set(&[video.clone(), audio.clone()]),
        track_set(std::slice::from_ref(&audio)),
        track_set(&[video, audio]),
    ];
    let mut muxer = ConstantRateMuxer::new(&sets[0], 3_000_000).unwrap();
    let (mut out, mut written) = (Vec::new(), 0);
    for (index, tracks) in sets.iter().enumerate() {
        muxer.reconfigure(tracks).unwrap();
        let part = Recipe { seconds: 1, start_90k: 90_000 * index as i64, ..PLAIN };
        for frame in part.frames(&mut rng).iter().filter(|frame| tracks.find(frame.track).is_some()) {
            muxer.write(frame, &mut out).unwrap();
            written += 1;
        }
    }
    muxer.finish(&mut out);
    let probe = probe(&out, 3_000_000);
    assert_eq!((probe.units.len(), muxer.stats().overrun_frames), (written, 0));
    assert_eq!(probe.programs.iter().map(|program| program.pcr_pid).collect::<Vec<_>>(), [0x100, 0x101, 0x100]);
}

#[test]
fn a_track_that_is_far_behind_is_counted_as_late() {
    let mut rng = Rng(11);
    let mut frames = Vec::new();
    for index in 25..100_i64 {
        frames.push(picture(&mut rng, index * 3_600, 0, index == 25, 300));
        frames.push(sound(&mut rng, (index - 25) * 1_920, 100)); // 1 s behind
    }
    let (_, stats) = mux(&PLAIN.tracks(), &frames, 2_000_000);
    assert_eq!((stats.late_frames, stats.overrun_frames), (75, 0));
}

#[test]
fn hostile_times_give_a_valid_stream() {
    for seed in 0..30 {
        let mut rng = Rng(seed);
        let (mut muxer, mut out, mut dts) =
            (ConstantRateMuxer::new(&PLAIN.tracks(), 1_000_000).unwrap(), Vec::new(), 0_i64);
        for _ in 0..40 {
            dts = match rng.below(6) {
                0 => rng.next() as i64,
                1 => dts.wrapping_sub(rng.below(2_000_000) as i64),
                _ => dts.wrapping_add(rng.below(4_000) as i64),
            };
            let mut frame = if rng.one_in(2) { picture(&mut rng, 0, 0, true, 300) } else { sound(&mut rng, 0, 300) };
            (frame.dts, frame.pts) = (dts, dts);
            let before = out.len();
            muxer.write(&frame, &mut out).unwrap();
            assert!(out.len() - before < 1_000_000 / 8 * 3, "2 s of gap and the buffer at most");
        }
        muxer.finish(&mut out);
        let mut probe = Probe::for_hostile_times().at_constant_rate(1_000_000);
        probe.feed(&out);
        probe.finish();
    }
}

#[test]
fn rates_out_of_range_are_refused() {
    for rate_bps in [0, 199_999, 200_000_001, u32::MAX] {
        let error = ConstantRateMuxer::new(&PLAIN.tracks(), rate_bps).unwrap_err();
        assert!(matches!(error, PackError::Misuse { .. }));
    }
}

#[test]
fn timed_data_find_their_slots() {
    let id3 = Track::new(TrackId(2), CodecConfig::Id3(DataConfig::default()));
    let tracks = track_set(&[video_track(), audio_track(48_000), id3]);
    let mut frames = PLAIN.frames(&mut Rng(12));
    let tag = Frame { track: TrackId(2), payload: (&b"ID3\x04\0\0\0\0\0\0"[..]).into(), ..sound(&mut Rng(0), 0, 1) };
    frames.insert(60, Frame { pts: frames[60].dts.max(40_000), dts: 40_000, ..tag });
    let (stream, stats) = mux(&tracks, &frames, 4_000_000);
    assert_eq!(stats.overrun_frames, 0);
    assert_eq!(Probe::for_constant_rate(4_000_000).judge(&stream).len(), 0);
}

/// Each of them emptied the buffer and began two time bases; the first found no slots, and its tables were lost with it.
#[test]
fn measurements_of_another_time_base_keep_the_rate() {
    let klv = Track::new(TrackId(2), CodecConfig::Klv(DataConfig::default()));
    let tracks = track_set(&[video_track(), audio_track(48_000), klv]);
    for ahead_90k in [3_600 * 90_000, 5 * 90_000, -3_600 * 90_000] {
        let mut frames = Vec::new();
        for (index, frame) in PLAIN.frames(&mut Rng(12)).into_iter().enumerate() {
            let dts = frame.dts + ahead_90k;
            let measured = Frame { track: TrackId(2), pts: dts, dts, ..sound(&mut Rng(0), 0, 30) };
            frames.extend((index % 50 == 0).then_some(measured));
            frames.push(frame);
        }
        let (stream, stats) = mux(&tracks, &frames, 4_000_000);
        assert_eq!(stats.overrun_frames, 0);
        let mut probe = Probe::for_hostile_times().at_constant_rate(4_000_000);
        probe.feed(&stream);
        probe.finish();
        assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity), "one time base at {ahead_90k}");
        assert_eq!((probe.units.len(), probe.programs.len()), (frames.len(), 1));
        assert!(stats.null_packets * 4 < stats.packets * 3);
    }
}

#[test]
fn ffmpeg_reads_a_constant_rate_and_sees_it() {
    let scratch = Scratch::new("mpegts-rate");
    let clip = Clip::make(&scratch, 4);
    let (out, stats) = mux(&clip.tracks, &clip.frames, 3_000_000);
    assert_eq!(stats.overrun_frames, 0);
    probe(&out, 3_000_000);
    scratch.write("clip.ts", &out);
    run("ffmpeg", &["-v", "warning", "-i", "clip.ts", "-f", "null", "-"], &scratch.path(""));
    let decode = |file: &str, map: &str| {
        run("ffmpeg", &["-v", "error", "-i", file, "-map", map, "-f", "md5", "-"], &scratch.path(""))
    };
    assert_eq!(decode("clip.ts", "0:v"), decode("clip.h264", "0:v"));
    assert_eq!(decode("clip.ts", "0:a"), decode("clip.aac", "0:a"));
    for (stream, track) in [("v:0", VIDEO), ("a:0", AUDIO)] {
        let entries =
            ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts", "-of", "csv=p=0", "clip.ts"];
        let text = String::from_utf8(run("ffprobe", &entries, &scratch.path(""))).unwrap();
        assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), clip.of(track).count());
    }
}
