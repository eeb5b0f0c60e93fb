//! When segments of MPEG-TS are, and the cues that need it.

use super::*;

const BEGIN_S: u64 = 1_767_225_600;
/// The sample of ANSI/SCTE 35 §14.2.
const CUE: &str =
    "FC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";

/// The playlist, line by line, of 12 s with a cue at 7 s; frames from the 6th second on come at `late`, behind a break if there is one.
fn lines(late: i64, breaks: bool) -> Vec<String> {
    let cue: Vec<u8> = (0..CUE.len() / 2).map(|at| u8::from_str_radix(&CUE[2 * at..][..2], 16).unwrap()).collect();
    let scte35 =
        Track::new(arcly_bus::TrackId(8), CodecConfig::parse(arcly_codec::Codec::Scte35, Bytes::new()).unwrap());
    let tracks = track_set(&[video_track(), scte35]);
    let recipe = Recipe { sample_rate_hz: 0, seconds: 12, start_90k: 0, ..PLAIN };
    let mut packager = HlsPackager::new(HlsConfig { playlist_segments: 20, ..config() }, "s");
    for mut frame in recipe.frames(&mut Rng(1)) {
        let us = frame.dts * 1_000_000 / 90_000 + if frame.dts >= 6 * 90_000 { late } else { 0 };
        packager.tell_time(Duration::from_secs(BEGIN_S) + Duration::from_micros(u64::try_from(us).unwrap()));
        if breaks && frame.dts == 6 * 90_000 {
            frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        }
        packager.push(&tracks, &frame).unwrap();
        if frame.dts == 7 * 90_000 {
            let payload = Bytes::from(cue.clone());
            let cue = Frame { track: arcly_bus::TrackId(8), payload, flags: FrameFlags::NONE, ..frame };
            packager.push(&tracks, &cue).unwrap();
        }
    }
    packager.finish();
    let view = packager.view().unwrap();
    std::str::from_utf8(view.media_playlist()).unwrap().lines().map(str::to_owned).collect()
}

/// Milliseconds into the day of each date, and how long its segment lasts.
fn dates(lines: &[String]) -> Vec<(i64, f64)> {
    let date = |line: &str| {
        let time = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T")?.strip_suffix('Z')?;
        let (clock, ms) = time.split_once('.')?;
        let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
        Some(seconds * 1_000 + ms.parse::<i64>().unwrap())
    };
    let lasts = |line: &str| line.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse().ok();
    lines.windows(2).filter_map(|pair| Some((date(&pair[0])?, lasts(&pair[1])?))).collect()
}

#[test]
fn every_segment_has_its_date_and_a_cue_stands_in_front_of_its_segment() {
    let lines = lines(0, false);
    let all = dates(&lines);
    assert_eq!(all.len(), lines.iter().filter(|line| line.starts_with("#EXTINF")).count());
    for pair in all.windows(2) {
        assert!((pair[0].0 as f64 + pair[0].1 * 1_000.0 - pair[1].0 as f64).abs() < 2.0, "{all:?}");
    }
    let cues: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("#EXT-X-DATERANGE")).collect();
    let [at] = cues[..] else { panic!("one cue: {lines:?}") };
    let begins = "#EXT-X-DATERANGE:ID=\"splice-1207959695\",START-DATE=\"2026-01-01T00:00:07.";
    assert!(lines[at].starts_with(begins) && lines[at].ends_with(&format!("SCTE35-OUT=0x{CUE}")), "{}", lines[at]);
    let (ms, seconds) = dates(&lines[at..])[0];
    assert!((ms..ms + (seconds * 1_000.0) as i64).contains(&7_000), "{ms} {seconds}");
}

#[test]
fn dates_follow_the_clock_at_a_break_and_go_never_back() {
    let at_break = |late: i64, breaks| {
        let lines = lines(late, breaks);
        let at = lines.iter().position(|line| line == "#EXT-X-DISCONTINUITY");
        (at.map(|at| dates(&lines[at..])[0].0), dates(&lines))
    };
    let (at, all) = at_break(3_000_000, true);
    assert!((9_000..9_200).contains(&at.unwrap()), "{all:?}");
    // The clock was set back: what comes next is behind what there is.
    let (at, all) = at_break(-4_000_000, true);
    assert!((6_000..6_200).contains(&at.unwrap()), "{all:?}");
    // Without a break the clock of the media is that of the playlist.
    let (at, all) = at_break(3_000_000, false);
    assert!(at.is_none() && all.last().unwrap().0 < 12_000, "{all:?}");
}

#[test]
fn renditions_of_one_clock_have_the_same_dates() {
    let group = Arc::<crate::GroupClock>::default();
    let recipe = Recipe { sample_rate_hz: 0, seconds: 12, start_90k: 0, ..PLAIN };
    let dates_of = |late_ms: u64| {
        let config = HlsConfig { playlist_segments: 20, ..config() };
        let mut packager = HlsPackager::new(config, "s").with_clock(group.clone());
        for frame in recipe.frames(&mut Rng(1)) {
            let us = u64::try_from(frame.dts * 1_000_000 / 90_000).unwrap();
            packager.tell_time(Duration::from_secs(BEGIN_S) + Duration::from_micros(us + late_ms * 1_000));
            packager.push(&recipe.tracks(), &frame).unwrap();
        }
        packager.finish();
        let text = packager.view().unwrap().media_playlist().to_vec();
        dates(&String::from_utf8(text).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let first = dates_of(150);
    assert!(first.len() > 3);
    assert_eq!([dates_of(0), dates_of(300)], [first.clone(), first.clone()]);
    assert_ne!(dates_of(5_000), first, "another clock of media");
}
