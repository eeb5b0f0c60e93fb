//! The muxer against the probe, and against ffmpeg.

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, aac::AudioSpecificConfig, data::DataConfig};

use super::{
    MAX_TRACKS, PacketBuffer, TsMuxer,
    probe::{Finding, Probe, Unit, WRAP, assert_carries},
};
use crate::{
    PackError,
    testing::{
        AUDIO, Clip, Recipe, Rng, Scratch, Seed, VIDEO, audio_track, picture, run, sound, track_set, video_track,
    },
};

fn mux(tracks: &TrackSet, frames: &[Frame]) -> Vec<u8> {
    let mut muxer = TsMuxer::new(tracks).unwrap();
    let mut out = Vec::new();
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    out
}

/// Every frame is there, once, in order, bit for bit.
fn assert_units(probe: &Probe, tracks: &TrackSet, frames: &[Frame]) {
    assert_eq!(probe.units.len(), frames.len());
    for track in &tracks.tracks {
        let frames: Vec<&Frame> = frames.iter().filter(|frame| frame.track == track.id).collect();
        let units: Vec<&Unit> = probe.of(0x100 + u16::from(track.id.0)).collect();
        assert_eq!(units.len(), frames.len());
        units.iter().zip(frames).for_each(|(unit, frame)| assert_carries(unit, track, frame));
    }
}

const PLAIN: Recipe = Recipe {
    picture_90k: 3_600,
    gop: 50,
    b_frames: true,
    sample_rate_hz: 48_000,
    seconds: 2,
    start_90k: 0,
    max_picture_bytes: 5_000,
};

fn check(recipe: Recipe, seed: u64) -> Probe {
    let _seed = Seed(seed);
    let frames = recipe.frames(&mut Rng(seed));
    let probe = Probe::read(&mux(&recipe.tracks(), &frames));
    assert_units(&probe, &recipe.tracks(), &frames);
    assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity), "one time base");
    probe
}

#[test]
fn stream_with_b_frames_and_sound_passes_the_probe() {
    let probe = check(PLAIN, 1);
    let (first_pcr, _) = probe.pcrs[0];
    assert_eq!(first_pcr, 90_000 - 63_000);
    let streams = &probe.programs[0].streams;
    assert_eq!(*streams, [(0x100, 0x1B, vec![0x28, 4, 100, 0, 31, 0x3F]), (0x101, 0x0F, vec![])]);
    assert_eq!(probe.of(0x100).filter(|unit| unit.random_access).count(), 1);
    assert!(probe.of(0x101).all(|unit| !unit.random_access));
}

#[test]
fn every_frame_rate_passes_the_probe_with_and_without_sound() {
    for picture_90k in [1_500, 1_800, 3_000, 3_003, 3_600, 3_601, 3_750, 3_754, 6_000, 9_000, 18_000, 90_000, 450_000] {
        for sample_rate_hz in [0, 8_000, 44_100, 96_000] {
            let seconds = 3 + picture_90k / 45_000;
            check(Recipe { picture_90k, sample_rate_hz, seconds, max_picture_bytes: 900, ..PLAIN }, picture_90k as u64);
        }
    }
}

#[test]
fn stream_of_sound_alone_carries_its_own_clock() {
    for sample_rate_hz in [7_350, 16_000, 44_100, 48_000, 96_000] {
        let probe = check(Recipe { picture_90k: 0, sample_rate_hz, ..PLAIN }, 2);
        assert_eq!(probe.programs[0].pcr_pid, 0x101);
        assert!(probe.units.iter().all(|unit| unit.random_access));
    }
}

#[test]
fn access_units_of_every_size_are_stuffed_right() {
    let mut rng = Rng(3);
    for (delay, key) in [(0, false), (3_600, false), (0, true), (3_600, true)] {
        let one_nal = |rng: &mut Rng, index: i64| {
            let nal = rng.bytes(index as usize);
            let payload = [&(nal.len() as u32).to_be_bytes()[..], &nal].concat();
            Frame { payload: payload.into(), ..picture(rng, index * 3_600, delay, key, 1) }
        };
        let frames: Vec<Frame> = (1..=600).map(|index| one_nal(&mut rng, index)).collect();
        let probe = Probe::read(&mux(&track_set(&[video_track()]), &frames));
        assert_units(&probe, &track_set(&[video_track()]), &frames);
    }
    let sounds: Vec<Frame> = (1..=600).map(|index| sound(&mut rng, index * 1024, index as usize)).collect();
    // Behind a picture that never comes, so that sound has packets without an adaptation field.
    let tracks = track_set(&[video_track(), audio_track(48_000)]);
    let probe = Probe::read(&mux(&tracks, &sounds));
    assert_units(&probe, &tracks, &sounds);
    let stuffed: Vec<usize> = probe.of(0x101).map(|unit| unit.stuffed).collect();
    (0..184).for_each(|bytes| assert!(stuffed.contains(&bytes), "{bytes} bytes of adaptation field"));
}

/// Where the second unit begins runs through every place of a packet, those among them that leave less than a header's bytes.
#[test]
fn units_that_begin_anywhere_in_a_packet_are_whole() {
    let mut rng = Rng(5);
    let two_nals = |rng: &mut Rng, index: i64| {
        let nals = [rng.bytes(index as usize), rng.bytes(555)];
        let payload = nals.map(|nal| [&(nal.len() as u32).to_be_bytes()[..], &nal].concat()).concat();
        Frame { payload: payload.into(), ..picture(rng, index * 3_600, 0, false, 1) }
    };
    let frames: Vec<Frame> = (1..=2 * 184).map(|index| two_nals(&mut rng, index)).collect();
    let tracks = track_set(&[video_track()]);
    assert_units(&Probe::read(&mux(&tracks, &frames)), &tracks, &frames);
}

/// An empty NAL unit is none, wherever it stands.
#[test]
fn empty_nal_units_are_left_out() {
    let mut rng = Rng(6);
    let nal = rng.bytes(200);
    let unit = [&200_u32.to_be_bytes()[..], &nal].concat();
    let of = |parts: &[&[u8]]| Frame { payload: parts.concat().into(), ..picture(&mut Rng(1), 0, 0, false, 1) };
    let tracks = track_set(&[video_track()]);
    let plain = mux(&tracks, &[of(&[&unit, &unit])]);
    for parts in [[&[0; 4][..], &unit, &unit], [&unit, &[0; 8], &unit], [&unit, &unit, &[0; 4]]] {
        assert_eq!(mux(&tracks, &[of(&parts)]), plain);
    }
}

#[test]
fn what_was_in_a_buffer_before_is_not_seen_again() {
    let (mut packets, tracks) = (PacketBuffer::with_capacity(1_000), PLAIN.tracks());
    for seed in 0..20 {
        let frames = Recipe { max_picture_bytes: 1 + 400 * (seed % 7), ..PLAIN }.frames(&mut Rng(seed));
        let mut muxer = TsMuxer::new(&tracks).unwrap();
        packets.clear();
        frames.iter().for_each(|frame| muxer.write_in(frame, &mut packets).unwrap());
        assert_eq!(packets[..], mux(&tracks, &frames));
    }
    let written = packets.to_vec();
    assert_eq!(packets.into_vec(), written);
}

#[test]
fn large_access_units_are_whole() {
    let mut rng = Rng(4);
    let sizes = [65_535, 65_536, 300_000, 184 * 1000, 1, 100_003];
    let frames: Vec<Frame> = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| picture(&mut rng, index as i64 * 3_600, 0, index == 0, *size))
        .collect();
    let tracks = track_set(&[video_track()]);
    assert_units(&Probe::read(&mux(&tracks, &frames)), &tracks, &frames);
}

#[test]
fn frame_without_bytes_writes_nothing() {
    let tracks = track_set(&[video_track(), audio_track(48_000)]);
    let mut muxer = TsMuxer::new(&tracks).unwrap();
    let mut out = Vec::new();
    for payload in [&[][..], &[0, 0, 0, 0], &[0; 12]] {
        let frame = Frame { payload: payload.to_vec().into(), ..picture(&mut Rng(5), 0, 0, true, 1) };
        muxer.write(&frame, &mut out).unwrap();
    }
    muxer.write(&sound(&mut Rng(5), 0, 0), &mut out).unwrap();
    assert!(out.is_empty());
}

#[test]
fn refused_frame_leaves_no_trace() {
    let tracks = track_set(&[video_track(), audio_track(48_000)]);
    let mut rng = Rng(6);
    let good = PLAIN.frames(&mut rng);
    let bad = [
        Frame { payload: vec![0, 0, 0, 9, 1].into(), ..good[0].clone() },
        Frame { payload: vec![0, 0].into(), ..good[0].clone() },
        sound(&mut rng, 500_000_000, 8_185),
        Frame { track: TrackId(7), ..good[0].clone() },
    ];
    let errors: Vec<PackError> = {
        let mut muxer = TsMuxer::new(&tracks).unwrap();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        for (index, frame) in good.iter().enumerate() {
            if let Some(bad) = bad.get(index) {
                errors.push(muxer.write(bad, &mut out).unwrap_err());
            }
            muxer.write(frame, &mut out).unwrap();
        }
        assert!(out == mux(&tracks, &good));
        errors
    };
    assert!(matches!(errors[0], PackError::Malformed { offset: 0, .. }), "{:?}", errors[0]);
    assert!(matches!(errors[1], PackError::Malformed { offset: 0, .. }), "{:?}", errors[1]);
    assert!(matches!(errors[2], PackError::LimitExceeded { max: 8191, seen: 8192, .. }), "{:?}", errors[2]);
    assert!(matches!(errors[3], PackError::Misuse { .. }), "{:?}", errors[3]);
}

#[test]
fn tracks_that_cannot_be_carried_are_refused() {
    let error = |tracks: &[Track]| TsMuxer::new(&track_set(tracks)).unwrap_err();
    assert!(matches!(error(&[]), PackError::Misuse { .. }));
    let many: Vec<Track> = (0..=MAX_TRACKS).map(|id| Track { id: TrackId(id as u8), ..video_track() }).collect();
    assert!(matches!(error(&many), PackError::LimitExceeded { max: MAX_TRACKS, seen: 17, .. }));
    let asc = AudioSpecificConfig { object_type: 42, ..AudioSpecificConfig::new(2, 48_000, 2).unwrap() };
    let xhe = Track::new(AUDIO, CodecConfig::Aac(asc));
    assert!(matches!(error(&[video_track(), xhe.clone()]), PackError::Unsupported { .. }));
    assert!(TsMuxer::supports(&xhe).is_err() && TsMuxer::supports(&video_track()).is_ok());
}

#[test]
fn as_many_tracks_as_are_allowed_fit() {
    let tracks: Vec<Track> = (0..MAX_TRACKS).map(|id| Track { id: TrackId(15 * id as u8), ..video_track() }).collect();
    let frame = |track: &Track| Frame { track: track.id, ..picture(&mut Rng(7), 0, 0, true, 10) };
    let frames: Vec<Frame> = tracks.iter().map(frame).collect();
    let probe = Probe::read(&mux(&track_set(&tracks), &frames));
    assert_units(&probe, &track_set(&tracks), &frames);
}

#[test]
fn times_wrap_at_33_bits() {
    let probe = check(Recipe { start_90k: WRAP - 90_000 - 90_000, seconds: 3, ..PLAIN }, 8);
    let pcrs = &probe.pcrs;
    assert!(pcrs.windows(2).any(|pair| pair[1].0 < pair[0].0), "the clock wrapped");
    check(Recipe { start_90k: -45_000, ..PLAIN }, 9);
}

#[test]
fn decoding_time_is_never_behind_presentation_time() {
    let mut rng = Rng(10);
    let frames: Vec<Frame> = (0..50).map(|index| picture(&mut rng, index * 3_600, -7_200, index == 0, 50)).collect();
    let tracks = track_set(&[video_track()]);
    assert_units(&Probe::read(&mux(&tracks, &frames)), &tracks, &frames);
}

#[test]
fn gap_is_filled_with_clock_references_up_to_ten_seconds() {
    let tracks = track_set(&[video_track()]);
    for (gap, restarts) in
        [(450_000, 0), (900_000, 0), (900_001, 1), (8_000_000_000, 1), (-3_600, 1), (-900_000, 1), (0, 1)]
    {
        let mut rng = Rng(11);
        let mut frames: Vec<Frame> =
            (0..50).map(|index| picture(&mut rng, index * 3_600, 0, index == 0, 300)).collect();
        frames.extend((0..50).map(|index| picture(&mut rng, 49 * 3_600 + gap + index * 3_600, 0, false, 300)));
        let probe = Probe::read(&mux(&tracks, &frames));
        assert_units(&probe, &tracks, &frames);
        assert_eq!(probe.pcrs.iter().filter(|(_, discontinuity)| *discontinuity).count(), restarts, "gap {gap}");
    }
}

#[test]
fn both_tracks_jump_back_and_the_time_base_restarts_once() {
    let (first, again) = (PLAIN.frames(&mut Rng(12)), PLAIN.frames(&mut Rng(13)));
    let frames = [first, again].concat();
    let probe = Probe::read(&mux(&PLAIN.tracks(), &frames));
    assert_units(&probe, &PLAIN.tracks(), &frames);
    assert_eq!(probe.pcrs.iter().filter(|(_, discontinuity)| *discontinuity).count(), 1);
}

#[test]
fn sound_begins_a_new_time_base_before_the_picture_does() {
    let mut rng = Rng(14);
    let mut frames = PLAIN.frames(&mut rng);
    frames.push(sound(&mut rng, 48_000 * 100, 100));
    frames.push(picture(&mut rng, 90_000 * 100, 0, true, 100));
    let probe = Probe::read(&mux(&PLAIN.tracks(), &frames));
    assert_units(&probe, &PLAIN.tracks(), &frames);
}

#[test]
fn late_track_never_turns_the_clock_back() {
    let mut rng = Rng(15);
    let mut frames = Vec::new();
    for index in 0..100_i64 {
        let gap_s = if index < 50 { 0 } else { 5 };
        frames.push(picture(&mut rng, gap_s * 90_000 + index * 3_600, 0, index == 0, 100));
        frames.push(sound(&mut rng, (gap_s - 6) * 48_000 + index * 1_920, 100)); // 6 s behind
    }
    let mut probe = Probe::for_late_units();
    probe.feed(&mux(&PLAIN.tracks(), &frames));
    probe.finish();
    assert_eq!(probe.units.len(), frames.len());
    assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity), "neither the gap nor the lateness breaks time");
}

/// Ten seconds of pictures, and a measurement each second whose time is so far ahead.
fn with_klv(ahead_90k: i64) -> (std::sync::Arc<TrackSet>, Vec<Frame>) {
    let klv = Track::new(TrackId(2), CodecConfig::Klv(DataConfig::default()));
    let recipe = Recipe { sample_rate_hz: 0, seconds: 10, ..PLAIN };
    let measured = |picture: &Frame| {
        let dts = picture.dts + ahead_90k;
        Frame { track: TrackId(2), flags: FrameFlags::NONE, pts: dts, dts, ..sound(&mut Rng(0), 0, 30) }
    };
    let mut frames = Vec::new();
    for (index, picture) in recipe.frames(&mut Rng(1)).into_iter().enumerate() {
        let klv = (index % 25 == 0).then(|| measured(&picture));
        frames.push(picture);
        frames.extend(klv);
    }
    (track_set(&[video_track(), klv]), frames)
}

/// Each of them began two time bases, or its time became that of the pictures.
#[test]
fn measurements_of_another_time_base_leave_the_clock_to_the_pictures() {
    for ahead_90k in [3_600 * 90_000, 5 * 90_000, -3_600 * 90_000, 0] {
        let (tracks, frames) = with_klv(ahead_90k);
        let ts = mux(&tracks, &frames);
        let mut probe = Probe::for_hostile_times();
        probe.feed(&ts);
        probe.finish();
        assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity), "one time base at {ahead_90k}");
        let mut pcr_90k = None;
        let mut pictures = probe.of(0x100);
        for packet in ts.chunks(188) {
            if let Some(&at) = with_pcr(packet).first() {
                assert_eq!(at, 0);
                pcr_90k = Some(packet[6..10].iter().fold(0, |base, byte| base << 8 | i64::from(*byte)) * 2);
            }
            if !pes_starts(packet, 0x100).is_empty() {
                let dts_90k = pictures.next().unwrap().dts;
                assert!(pcr_90k.is_some_and(|pcr_90k| (0..90_000).contains(&(dts_90k - pcr_90k))), "{ahead_90k}");
            }
        }
        assert!(pictures.next().is_none());
    }
}

#[test]
fn segment_can_be_read_alone_and_counters_go_on() {
    let mut rng = Rng(16);
    let frames = Recipe { gop: 10, ..PLAIN }.frames(&mut rng);
    let mut muxer = TsMuxer::new(&PLAIN.tracks()).unwrap();
    let mut whole = Probe::default();
    for segment in frames.chunks(17) {
        let mut out = Vec::new();
        muxer.start_segment(&mut out);
        segment.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
        whole.feed_segment(&out);
        assert_units(&Probe::read(&out), &PLAIN.tracks(), segment);
    }
    whole.finish();
    assert_units(&whole, &PLAIN.tracks(), &frames);
}

#[test]
fn new_configuration_has_a_new_version_and_goes_on_counting() {
    let mut rng = Rng(17);
    let (video, audio) = (video_track(), audio_track(48_000));
    let sets = [
        track_set(&[video.clone(), audio.clone()]),
        track_set(std::slice::from_ref(&audio)),
        track_set(&[video, audio]),
    ];
    let mut muxer = TsMuxer::new_with_version(&sets[0], 31).unwrap();
    let mut out = Vec::new();
    for (index, tracks) in sets.iter().enumerate() {
        if index > 0 {
            muxer.reconfigure(tracks).unwrap();
        }
        let part = Recipe { seconds: 1, start_90k: 90_000 * index as i64, ..PLAIN };
        let frames = part.frames(&mut rng);
        let carried = frames.iter().filter(|frame| tracks.find(frame.track).is_some());
        carried.for_each(|frame| muxer.write(frame, &mut out).unwrap());
    }
    let probe = Probe::read(&out);
    let versions: Vec<(u8, u16)> = probe.programs.iter().map(|program| (program.version, program.pcr_pid)).collect();
    assert_eq!(versions, [(31, 0x100), (0, 0x101), (1, 0x100)]);
}

/// They came with the next key picture: the pictures up to there named sets that no viewer had.
#[test]
fn other_parameter_sets_are_in_front_of_the_first_picture_with_them() {
    let (video, mut other) = (video_track(), video_track());
    let second = [0x68, 0x4b, 0x0f, 0xc8];
    if let CodecConfig::H264(config) = &mut other.config {
        config.pps.push(second.to_vec().into());
    }
    let (mut muxer, mut rng) = (TsMuxer::new(&track_set(&[video, audio_track(48_000)])).unwrap(), Rng(3));
    let write = |muxer: &mut TsMuxer, frame: Frame| {
        let mut out = Vec::new();
        muxer.write(&frame, &mut out).unwrap();
        out.windows(second.len()).any(|window| window == second)
    };
    assert!(!write(&mut muxer, picture(&mut rng, 0, 0, true, 100)));
    assert!(!write(&mut muxer, picture(&mut rng, 3_600, 0, false, 100)));
    muxer.reconfigure(&track_set(&[other.clone(), audio_track(48_000)])).unwrap();
    muxer.reconfigure(&track_set(&[other])).unwrap();
    assert!(write(&mut muxer, picture(&mut rng, 7_200, 0, false, 100)));
    assert!(!write(&mut muxer, picture(&mut rng, 10_800, 0, false, 100)));
    assert!(write(&mut muxer, picture(&mut rng, 14_400, 0, true, 100)));
}

#[test]
fn refused_configuration_changes_nothing() {
    let frames = PLAIN.frames(&mut Rng(18));
    let mut muxer = TsMuxer::new(&PLAIN.tracks()).unwrap();
    let mut out = Vec::new();
    for frame in &frames {
        muxer.reconfigure(&TrackSet::default()).unwrap_err();
        muxer.write(frame, &mut out).unwrap();
    }
    assert!(out == mux(&PLAIN.tracks(), &frames));
}

/// Times that no encoder would write: nothing may panic, and the stream stays one that can be read.
#[test]
fn hostile_times_and_sizes_give_a_readable_stream() {
    for seed in 0..100 {
        let _seed = Seed(seed);
        let mut rng = Rng(seed);
        let mut muxer = TsMuxer::new(&PLAIN.tracks()).unwrap();
        let mut out = Vec::new();
        let mut written = 0;
        let mut dts = 0_i64;
        for _ in 0..60 {
            dts = match rng.below(8) {
                0 => rng.next() as i64,
                1 => dts.wrapping_sub(rng.below(2_000_000) as i64),
                2 => i64::MIN + rng.below(9) as i64,
                3 => dts.wrapping_add(rng.below(2_000_000) as i64),
                _ => dts.wrapping_add(rng.below(4_000) as i64),
            };
            let bytes = 1 + rng.below(400) as usize;
            let mut frame =
                if rng.one_in(2) { picture(&mut rng, 0, 0, false, bytes) } else { sound(&mut rng, 0, bytes) };
            (frame.dts, frame.pts) = (dts, if rng.one_in(5) { rng.next() as i64 } else { dts });
            let before = out.len();
            muxer.write(&frame, &mut out).unwrap();
            written += 1;
            assert!(out.len() - before < 100_000, "a frame of {bytes} bytes becomes {}", out.len() - before);
        }
        // Times beyond ±2^61 are held there, so here they are only read, not compared.
        let mut probe = Probe::for_hostile_times();
        probe.feed(&out);
        probe.finish();
        assert_eq!(probe.units.len(), written);
    }
}

#[test]
fn random_streams_pass_the_probe() {
    for seed in 0..30 {
        let mut rng = Rng(seed ^ 0xA5A5);
        let recipe = Recipe {
            picture_90k: 90_000 / (5 + rng.below(56) as i64),
            gop: 1 + rng.below(60),
            b_frames: rng.one_in(2),
            sample_rate_hz: [0, 44_100, 48_000][rng.below(3) as usize],
            seconds: 1,
            start_90k: rng.below(1 << 40) as i64,
            max_picture_bytes: [600, 4_000, 30_000][rng.below(3) as usize],
        };
        check(recipe, seed);
    }
}

/// Packets as ffprobe tells them: PTS, DTS, size.
fn packets(scratch: &Scratch, file: &str, stream: &str) -> Vec<(i64, i64, usize)> {
    let entries =
        ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts,dts,size", "-of", "csv=p=0", file];
    let text = String::from_utf8(run("ffprobe", &entries, &scratch.path(""))).unwrap();
    let line = |line: &str| {
        let fields: Vec<i64> = line.split(',').filter_map(|field| field.trim().parse().ok()).collect();
        (fields[0], fields[1], fields[2] as usize)
    };
    text.lines().filter(|text| !text.is_empty()).map(line).collect()
}

#[test]
fn ffmpeg_reads_what_was_muxed() {
    let scratch = Scratch::new("mpegts");
    let clip = Clip::make(&scratch, 4);
    let mut out = Vec::new();
    let mut muxer = TsMuxer::new(&clip.tracks).unwrap();
    clip.frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    assert_units(&Probe::read(&out), &clip.tracks, &clip.frames);
    scratch.write("clip.ts", &out);
    run("ffmpeg", &["-v", "warning", "-i", "clip.ts", "-f", "null", "-"], &scratch.path(""));
    for (stream, track) in [("v:0", VIDEO), ("a:0", AUDIO)] {
        let rate = i64::from(clip.tracks.find(track).unwrap().clock_rate_hz);
        let ticks_90k = |ticks: i64| (ticks * 90_000 * 2 + rate).div_euclid(2 * rate) + 90_000;
        let expected: Vec<(i64, i64)> =
            clip.of(track).map(|frame| (ticks_90k(frame.pts), ticks_90k(frame.dts))).collect();
        let seen: Vec<(i64, i64)> =
            packets(&scratch, "clip.ts", stream).iter().map(|(pts, dts, _)| (*pts, *dts)).collect();
        assert_eq!(seen, expected, "{stream}");
    }
    // What is decoded is what was encoded.
    let decode = |file: &str, map: &str| {
        run("ffmpeg", &["-v", "error", "-i", file, "-map", map, "-f", "md5", "-"], &scratch.path(""))
    };
    assert_eq!(decode("clip.ts", "0:v"), decode("clip.h264", "0:v"));
    assert_eq!(decode("clip.ts", "0:a"), decode("clip.aac", "0:a"));
}

#[test]
fn marked_frame_of_a_continuous_timeline_does_not_restart_the_clock() {
    let mut frames = PLAIN.frames(&mut Rng(19));
    frames[40].flags = frames[40].flags.with(FrameFlags::DISCONTINUITY);
    let probe = Probe::read(&mux(&PLAIN.tracks(), &frames));
    assert!(probe.pcrs.iter().all(|(_, discontinuity)| !discontinuity));
}

/// One thing broken in a good stream, and what must be found.
type Damage = (Finding, fn(&mut Vec<u8>));

/// Where the packets of a PID begin.
fn of_pid(stream: &[u8], pid: u16) -> Vec<usize> {
    let is_wanted = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == pid;
    (0..stream.len()).step_by(188).filter(|at| is_wanted(&stream[*at..])).collect()
}

/// Where packets with a clock reference begin.
fn with_pcr(stream: &[u8]) -> Vec<usize> {
    let has_pcr = |packet: &[u8]| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0;
    (0..stream.len()).step_by(188).filter(|at| has_pcr(&stream[*at..])).collect()
}

/// Where PES packets of a PID begin.
fn pes_starts(stream: &[u8], pid: u16) -> Vec<usize> {
    of_pid(stream, pid).into_iter().filter(|at| stream[at + 1] & 0x40 != 0).collect()
}

/// Where the PES header begins in the packet at `at`.
fn pes_at(stream: &[u8], at: usize) -> usize {
    at + 4 + if stream[at + 3] & 0x20 != 0 { 1 + usize::from(stream[at + 4]) } else { 0 }
}

const DAMAGES: [Damage; 16] = [
    (Finding::SyncByte, |stream| stream[188 * 9] = 0x46),
    (Finding::TransportError, |stream| stream[188 * 9 + 1] |= 0x80),
    (Finding::Syntax, |stream| stream[188 * 9 + 3] |= 0x80),
    (Finding::Continuity, |stream| drop(stream.drain(188 * 9..188 * 10))),
    (Finding::Pid, |stream| {
        let at = of_pid(stream, 0x100)[9];
        stream[at + 2] = 0x77;
    }),
    (Finding::Crc, |stream| {
        let at = of_pid(stream, 0x1000)[2];
        stream[at + 18] ^= 1;
    }),
    // All tables but the first are gone.
    (Finding::Tables, |stream| {
        for pid in [0, 0x1000] {
            of_pid(stream, pid).into_iter().skip(1).rev().for_each(|at| drop(stream.drain(at..at + 188)));
        }
    }),
    (Finding::Tables, |stream| drop(stream.drain(..2 * 188))),
    (Finding::ClockJump, |stream| {
        let at = with_pcr(stream)[3];
        stream[at + 6] ^= 0x40;
    }),
    (Finding::ClockInterval, |stream| {
        let at = with_pcr(stream)[3];
        // The flag is gone; its bytes are no stuffing either.
        stream[at + 5] &= !0x10;
    }),
    (Finding::Map, |stream| {
        let at = with_pcr(stream)[3];
        stream[at + 2] ^= 1;
    }),
    (Finding::Times, |stream| {
        let at = pes_starts(stream, 0x101)[3];
        let time = pes_at(stream, at) + 9;
        let earlier = pes_at(stream, pes_starts(stream, 0x101)[1]) + 9;
        stream.copy_within(earlier..earlier + 5, time);
    }),
    (Finding::Buffer, |stream| {
        let at = pes_starts(stream, 0x101)[3];
        let time = pes_at(stream, at) + 9;
        stream[time + 1] ^= 0x40;
    }),
    (Finding::Pes, |stream| {
        let at = pes_starts(stream, 0x101)[3];
        let length = pes_at(stream, at) + 5;
        stream[length] ^= 1;
    }),
    (Finding::Pes, |stream| {
        let at = pes_starts(stream, 0x100)[3];
        let prefix = pes_at(stream, at) + 2;
        stream[prefix] = 2;
    }),
    (Finding::ClockJump, |stream| {
        let at = with_pcr(stream)[0];
        stream[at + 5] |= 0x80;
    }),
];

#[test]
fn probe_finds_each_damage() {
    let good = mux(&PLAIN.tracks(), &PLAIN.frames(&mut Rng(20)));
    assert!(Probe::default().judge(&good).is_empty());
    for (index, (finding, damage)) in DAMAGES.iter().enumerate() {
        let mut bad = good.clone();
        damage(&mut bad);
        let found = Probe::default().judge(&bad);
        assert!(found.contains(finding), "damage {index}: {finding:?} is not among {found:?}");
    }
    let found = Probe::for_constant_rate(5_000_000).judge(&good);
    assert!(found.contains(&Finding::ClockAccuracy), "a stream of a varying rate is none of a constant one");
}
