//! The MPD beside the segments of which it tells.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Track, TrackSet};
use arcly_codec::{Codec, CodecConfig, Colour, DolbyVision};

use super::mpd;
use crate::{
    GroupClock,
    cmaf::{CmafConfig, CmafPackager, CmafView},
    hls::Variant,
    testing::{AUDIO, Recipe, Rng},
};

const PLAIN: Recipe = Recipe {
    picture_90k: 3_600,
    gop: 25,
    b_frames: true,
    sample_rate_hz: 48_000,
    seconds: 10,
    start_90k: 900_000,
    max_picture_bytes: 400,
};

const BEGIN_S: u64 = 1_767_225_600;

fn push(packager: &mut CmafPackager, tracks: &Arc<TrackSet>, frames: &[Frame]) {
    push_late(packager, tracks, frames, Duration::ZERO);
}

fn push_late(packager: &mut CmafPackager, tracks: &Arc<TrackSet>, frames: &[Frame], late: Duration) {
    for frame in frames {
        let rate = u64::from(tracks.find(frame.track).unwrap().clock_rate_hz);
        let now = Duration::from_secs(BEGIN_S) + Duration::from_micros(frame.dts as u64 * 1_000_000 / rate) + late;
        packager.push(tracks, frame, now).unwrap();
    }
}

fn text(view: &CmafView) -> String {
    mpd(&[Variant { view, base: "" }], "manifest.mpd?session=1", "time.txt")
}

fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let after = text.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{name} in {text}")).1;
    after.split_once('"').unwrap().0
}

fn seconds(duration: &str) -> f64 {
    duration.strip_prefix("PT").and_then(|text| text.strip_suffix('S')).unwrap().parse().unwrap()
}

/// Each element of that name, with what is in it.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&format!("<{name} ")) {
        let end = rest[start..].find(&format!("</{name}>")).unwrap();
        found.push(&rest[start..start + end]);
        rest = &rest[start + end..];
    }
    found
}

/// Start and duration of each segment.
fn timeline(representation: &str) -> Vec<(i64, i64)> {
    let (mut at, mut found) = (0, Vec::new());
    for entry in representation.split("<S").skip(1).filter(|entry| entry.starts_with(' ')) {
        let entry = entry.split_once("/>").unwrap().0;
        let has = |name: &str| entry.contains(&format!(" {name}=\""));
        at = if has("t") { attribute(entry, "t").parse().unwrap() } else { at };
        let (duration, repeats): (i64, i64) =
            (attribute(entry, "d").parse().unwrap(), if has("r") { attribute(entry, "r").parse().unwrap() } else { 0 });
        for _ in 0..=repeats {
            found.push((at, duration));
            at += duration;
        }
    }
    found
}

#[test]
fn a_live_manifest_tells_of_every_segment_and_of_the_one_in_the_making() {
    let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(CmafConfig::default(), "s"));
    push(&mut packager, &tracks, &PLAIN.frames(&mut Rng(1)));
    let view = packager.view().unwrap();
    let text = text(&view);
    assert_eq!((attribute(&text, "type"), attribute(&text, "minimumUpdatePeriod")), ("dynamic", "PT1S"));
    assert!(attribute(&text, "availabilityStartTime").starts_with("2026-01-01T00:00:"));
    assert!(seconds(attribute(&text, "timeShiftBufferDepth")) >= 8.0);
    let representations = elements(&text, "Representation");
    assert_eq!(representations.len(), 2);
    for representation in representations {
        let track = view.track(attribute(representation, "id")).unwrap();
        let told = timeline(representation);
        let made: Vec<i64> = track.listed().iter().map(|segment| segment.start).collect();
        assert!(told.iter().map(|(start, _)| start).take(made.len()).eq(&made));
        assert_eq!(told.len(), made.len() + 1, "the segment in the making");
        assert!(told.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0), "one begins where the other ends");
        assert_eq!(told.last().unwrap().0, track.open.as_ref().unwrap().start);
        let number: u64 = attribute(representation, "startNumber").parse().unwrap();
        assert_eq!(number, track.listed()[0].sequence);
        let name = attribute(representation, "media").replace("$Number$", &number.to_string());
        assert_eq!(name, track.listed()[0].name);
        assert_eq!(attribute(representation, "initialization"), track.listed()[0].init.name);
        let early: f64 = attribute(representation, "availabilityTimeOffset").parse().unwrap();
        assert!((0.75..0.82).contains(&early), "{early}");
        assert!(representation.contains("availabilityTimeComplete=\"false\""));
    }
    let location = text.split_once("<Location>").unwrap().1;
    assert!(location.starts_with("manifest.mpd?session=1</Location>"));
}

#[test]
fn a_break_is_a_period_and_segments_are_where_it_begins() {
    let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(CmafConfig::default(), "s"));
    let mut rng = Rng(2);
    push(&mut packager, &tracks, &Recipe { seconds: 4, ..PLAIN }.frames(&mut rng));
    push(&mut packager, &tracks, &Recipe { seconds: 4, start_90k: 3_600_000, ..PLAIN }.frames(&mut rng));
    let text = text(&packager.view().unwrap());
    let periods = elements(&text, "Period");
    assert_eq!(periods.iter().map(|period| attribute(period, "id")).collect::<Vec<_>>(), ["0", "1"]);
    // The second one came 30 s after the first.
    let starts: Vec<f64> = periods.iter().map(|period| seconds(attribute(period, "start"))).collect();
    assert!(starts[0].abs() < 0.001 && (starts[1] - 30.0).abs() < 0.1, "{starts:?}");
    for representation in periods.iter().flat_map(|period| elements(period, "Representation")) {
        let rate: i64 = attribute(representation, "timescale").parse().unwrap();
        let offset: i64 = attribute(representation, "presentationTimeOffset").parse().unwrap();
        let first = timeline(representation)[0].0;
        assert!((0..rate / 5).contains(&(first - offset)), "{first} behind {offset} of {rate}");
    }
}

/// Found by a reader: the times of the Period before were told at the rate of the one behind.
#[test]
fn a_period_has_the_rate_of_its_own_sound() {
    let mut packager = CmafPackager::new(CmafConfig::default(), "s");
    for (sample_rate_hz, start_90k) in [(44_100, 900_000), (48_000, 1_260_000)] {
        let recipe = Recipe { seconds: 4, sample_rate_hz, start_90k, ..PLAIN };
        push(&mut packager, &recipe.tracks(), &recipe.frames(&mut Rng(4)));
    }
    let text = text(&packager.view().unwrap());
    let sounds: Vec<_> =
        elements(&text, "Representation").into_iter().filter(|it| attribute(it, "id") == "a1").collect();
    assert_eq!(sounds.iter().map(|it| attribute(it, "timescale")).collect::<Vec<_>>(), ["44100", "48000"], "{text}");
    for sound in sounds {
        let rate: i64 = attribute(sound, "timescale").parse().unwrap();
        let offset: i64 = attribute(sound, "presentationTimeOffset").parse().unwrap();
        assert_eq!(attribute(sound, "audioSamplingRate").parse(), Ok(rate));
        assert!((0..rate / 5).contains(&(timeline(sound)[0].0 - offset)), "{text}");
    }
}

/// FFmpeg plays the last Period, and gives up on one that has lost its pictures.
#[test]
fn a_period_is_told_of_with_all_its_tracks() {
    for part_target in [Duration::from_millis(200), Duration::ZERO] {
        let config = CmafConfig { part_target, ..CmafConfig::default() };
        let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(config, "s"));
        let mut rng = Rng(2);
        let before = Recipe { seconds: 4, ..PLAIN }.frames(&mut rng);
        let behind = Recipe { seconds: 4, start_90k: 3_600_000, ..PLAIN }.frames(&mut rng);
        let mut seen = 0;
        for frame in before.iter().chain(&behind) {
            push(&mut packager, &tracks, std::slice::from_ref(frame));
            let Some(view) = packager.view() else { continue };
            let text = text(&view);
            let periods = elements(&text, "Period");
            for period in &periods {
                assert_eq!(elements(period, "Representation").len(), 2, "{part_target:?}: {text}");
            }
            seen = periods.len().max(seen);
        }
        assert_eq!(seen, 2, "{part_target:?}");
    }
}

#[test]
fn what_has_ended_is_static_and_begins_at_its_first_segment() {
    let config = CmafConfig { window: Duration::ZERO, ..CmafConfig::default() };
    let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(config, "s"));
    push(&mut packager, &tracks, &Recipe { seconds: 20, ..PLAIN }.frames(&mut Rng(3)));
    packager.finish();
    let view = packager.view().unwrap();
    let text = text(&view);
    assert_eq!(attribute(&text, "type"), "static");
    assert!(!text.contains("Location") && !text.contains("availabilityTimeOffset") && !text.contains("UTCTiming"));
    let total = seconds(attribute(&text, "mediaPresentationDuration"));
    assert!((total - view.window_s()).abs() < 0.2, "{total} of {}", view.window_s());
    assert!(seconds(attribute(elements(&text, "Period")[0], "start")).abs() < 0.001);
    for representation in elements(&text, "Representation") {
        let rate: i64 = attribute(representation, "timescale").parse().unwrap();
        let offset: i64 = attribute(representation, "presentationTimeOffset").parse().unwrap();
        // Each track has the segments of its own window.
        assert!((0..rate * 5 / 4).contains(&(timeline(representation)[0].0 - offset)));
    }
}

#[test]
fn sizes_are_one_set_and_sounds_are_those_of_the_first() {
    let view = |seed| {
        let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(CmafConfig::default(), "s"));
        push(&mut packager, &tracks, &PLAIN.frames(&mut Rng(seed)));
        packager.view().unwrap()
    };
    let (large, small) = (view(1), view(2));
    let variants = [Variant { view: &large, base: "" }, Variant { view: &small, base: "../cam~360p/" }];
    let text = mpd(&variants, "manifest.mpd", "time.txt");
    let sets = elements(&text, "AdaptationSet");
    assert_eq!(sets.len(), 2);
    let ids =
        |set: &str| elements(set, "Representation").iter().map(|it| attribute(it, "id").to_owned()).collect::<Vec<_>>();
    assert_eq!((ids(sets[0]), ids(sets[1])), (vec!["v0".to_owned(), "cam~360p/v0".to_owned()], vec!["a1".to_owned()]));
    assert!(elements(sets[0], "Representation")[1].contains("media=\"../cam~360p/s-v0-$Number$.m4s\""));
}

/// Found by a reader: the size that broke was in no manifest until something behind the break could be told of.
#[test]
fn a_size_that_breaks_stays_in_the_manifest() {
    for part_target in [Duration::from_millis(200), Duration::ZERO] {
        let config = CmafConfig { part_target, ..CmafConfig::default() };
        let packager = || CmafPackager::new(config.clone(), "s");
        let (tracks, mut large, mut small) = (PLAIN.tracks(), packager(), packager());
        let whole = PLAIN.frames(&mut Rng(1));
        let (four, base) = (Recipe { seconds: 4, ..PLAIN }, "../cam~360p/");
        let mut broken = four.frames(&mut Rng(2));
        broken.extend(Recipe { start_90k: 3_600_000, ..four }.frames(&mut Rng(3)));
        let mut looks = 0;
        for (one, other) in whole.iter().zip(&broken) {
            push(&mut large, &tracks, std::slice::from_ref(one));
            push(&mut small, &tracks, std::slice::from_ref(other));
            let (Some(large), Some(small)) = (large.view(), small.view()) else { continue };
            let variants = [Variant { view: &large, base: "" }, Variant { view: &small, base }];
            let text = mpd(&variants, "m", "t");
            let sets = elements(&text, "AdaptationSet");
            assert_eq!(elements(sets[0], "Representation").len(), 2, "{part_target:?}: {text}");
            looks += 1;
        }
        assert!(looks > 400 && small.view().unwrap().epochs.len() == 2);
    }
}

/// Two streams with the same times, of which one came so much later.
fn two_sizes(late: Duration) -> String {
    let view = |late| {
        let (tracks, mut packager) = (PLAIN.tracks(), CmafPackager::new(CmafConfig::default(), "s"));
        push_late(&mut packager, &tracks, &PLAIN.frames(&mut Rng(1)), late);
        packager.view().unwrap()
    };
    let (large, small) = (view(Duration::ZERO), view(late));
    mpd(&[Variant { view: &large, base: "" }, Variant { view: &small, base: "../cam~360p/" }], "m", "t")
}

#[test]
fn sizes_of_one_encoder_have_one_clock_however_late_each_came() {
    let of_video = |late_ms| {
        let text = two_sizes(Duration::from_millis(late_ms));
        let video = elements(&text, "AdaptationSet")[0];
        let offset = |it: &&str| attribute(it, "presentationTimeOffset").parse().unwrap();
        let offsets: Vec<i64> = elements(video, "Representation").iter().map(offset).collect();
        (video.contains("segmentAlignment=\"true\""), offsets[0] == offsets[1])
    };
    assert_eq!(of_video(560), (true, true), "the pictures of one moment are at one time");
    // Another encoder, with cuts of its own: a player must not be told that it can go over anywhere.
    assert_eq!(of_video(1_560), (false, false));
}

/// ETSI TS 103 420. Found by a reader: objects were read and told to nobody.
#[test]
fn objects_are_said_behind_the_channels() {
    const DEC3: [u8; 8] = [0x02, 0x00, 0x20, 0x0f, 0x02, 0x02, 0x01, 0x0c];
    let of_sound = |record: &[u8]| {
        let config = CodecConfig::parse(Codec::Eac3, record.to_vec().into()).unwrap();
        let recipe = Recipe { picture_90k: 0, ..PLAIN };
        let tracks = Arc::new(TrackSet { revision: 1, tracks: vec![Track::new(AUDIO, config)] });
        let mut packager = CmafPackager::new(CmafConfig::default(), "s");
        push(&mut packager, &tracks, &recipe.frames(&mut Rng(1)));
        text(&packager.view().unwrap())
    };
    let objects = of_sound(&DEC3);
    let expected = "audio_channel_configuration:2011\" value=\"8\"/>\n\
        <SupplementalProperty schemeIdUri=\"tag:dolby.com,2018:dash:EC3_ExtensionType:2018\" value=\"JOC\"/>\n\
        <SupplementalProperty schemeIdUri=\"tag:dolby.com,2018:dash:EC3_ExtensionComplexityIndex:2018\" value=\"12\"/>\n\
        <SegmentTemplate ";
    assert!(objects.contains(expected), "{objects}");
    assert!(!of_sound(&DEC3[..6]).contains("EC3_Extension"));
}

/// When the segments of each Representation of an MPD begin, in seconds behind its beginning, and at which Period.
fn begins_s(text: &str) -> Vec<(String, String, f64)> {
    let mut found = Vec::new();
    for period in elements(text, "Period") {
        let start_s = seconds(attribute(period, "start"));
        for it in elements(period, "Representation") {
            let number = |name| attribute(it, name).parse::<i64>().unwrap();
            let behind = timeline(it)[0].0 - number("presentationTimeOffset");
            let begin_s = start_s + behind as f64 / number("timescale") as f64;
            found.push((attribute(period, "id").to_owned(), attribute(it, "id").to_owned(), begin_s));
        }
    }
    found
}

/// Found by a reader: times are unsigned, and the size whose clock began 10 s behind the Period was told of 10 s too early, for ever.
#[test]
fn a_size_whose_clock_began_later_is_told_of_where_it_is() {
    let (clock, tracks) = (Arc::<GroupClock>::default(), PLAIN.tracks());
    let packager = || CmafPackager::new(CmafConfig::default(), "s").with_clock(clock.clone());
    let (mut large, mut small) = (packager(), packager());
    let large_frames = Recipe { seconds: 20, ..PLAIN }.frames(&mut Rng(1));
    let small_frames = Recipe { start_90k: 0, ..PLAIN }.frames(&mut Rng(2));
    // What each second of the wall clock brings: the large one from its tenth second on, the small one from its first.
    let of_second = |frames: &[Frame], at: i64| -> Vec<Frame> {
        let rate = |frame: &Frame| i64::from(tracks.find(frame.track).unwrap().clock_rate_hz);
        frames.iter().filter(|frame| frame.dts / rate(frame) == at).cloned().collect()
    };
    let mut told = Vec::new();
    for at in 10..30 {
        push(&mut large, &tracks, &of_second(&large_frames, at));
        push_late(&mut small, &tracks, &of_second(&small_frames, at - 20), Duration::from_secs(20));
        let (Some(large), Some(small)) = (large.view(), small.view()) else { continue };
        let variants = [Variant { view: &large, base: "" }, Variant { view: &small, base: "../cam~360p/" }];
        told = begins_s(&mpd(&variants, "m", "t"));
        for (_, id, begin_s) in &told {
            let view = if id.starts_with("cam~360p") { &small } else { &large };
            let name = id.rsplit('/').next().unwrap();
            let track = view.track(name).unwrap();
            let starts = track.listed().iter().map(|it| it.start).chain(track.open.as_ref().map(|open| open.start));
            let offset_s = if Arc::ptr_eq(view, &small) { BEGIN_S + 20 } else { BEGIN_S } as f64;
            let begins = starts.map(|start| {
                start as f64 / f64::from(track.track.clock_rate_hz) + offset_s - large.start_us as f64 / 1e6
            });
            assert!(begins.clone().any(|it_s| (it_s - begin_s).abs() < 0.05), "{id} at {begin_s} in {told:?}");
        }
    }
    let newest = told.last().unwrap().0.clone();
    let ids: Vec<&str> = told.iter().filter(|it| it.0 == newest).map(|it| it.1.as_str()).collect();
    assert_eq!((ids, newest != "0"), (vec!["v0", "cam~360p/v0", "a1"], true), "a Period begins for it: {told:?}");
}

/// The MPD of a stream whose pictures have that transfer and Dolby Vision.
fn of_pictures(transfer: u8, dolby_vision: Option<(u8, u8)>) -> String {
    let recipe = Recipe { sample_rate_hz: 0, seconds: 4, ..PLAIN };
    let mut tracks = (*recipe.tracks()).clone();
    let track = &mut tracks.tracks[0];
    if let CodecConfig::H264(config) = &mut track.config {
        config.info.colour = Colour { primaries: 9, transfer, matrix: 9, full_range: false };
    }
    track.dolby_vision = dolby_vision.map(|(profile, compatibility)| {
        DolbyVision::parse(&[1, 0, profile << 1, 7 << 3 | 0b101, compatibility << 4]).unwrap()
    });
    let mut packager = CmafPackager::new(CmafConfig::default(), "s");
    push(&mut packager, &Arc::new(tracks), &recipe.frames(&mut Rng(1)));
    text(&packager.view().unwrap())
}

#[test]
fn dolby_vision_is_a_supplemental_codec_with_its_namespace() {
    let mpd = of_pictures(18, Some((8, 4)));
    assert!(mpd.contains("xmlns:scte214=\"urn:scte:dash:scte214-extensions\""), "{mpd}");
    let [picture] = elements(&mpd, "Representation")[..] else { panic!("one representation: {mpd}") };
    assert_eq!(attribute(picture, "codecs"), "avc1.64001f");
    assert_eq!(attribute(picture, "scte214:supplementalCodecs"), "dva1.08.07");
    assert_eq!(attribute(picture, "scte214:supplementalProfiles"), "db4h");
    let alone = of_pictures(2, Some((5, 0)));
    let [picture] = elements(&alone, "Representation")[..] else { panic!("one representation: {alone}") };
    assert_eq!(attribute(picture, "codecs"), "dva1.05.07");
    assert!(!of_pictures(18, None).contains("scte214"));
}

#[test]
fn the_colour_of_a_high_dynamic_range_is_said_in_the_order_of_the_schema() {
    let pq = of_pictures(16, None);
    let essential = "<EssentialProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"16\"/>";
    assert!(pq.contains(essential) && pq.find(essential) < pq.find("<Representation"), "{pq}");
    let hlg = of_pictures(18, None);
    assert!(
        hlg.contains(
            "<SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"18\"/>"
        )
    );
    assert!(!of_pictures(1, None).contains("cicp:Transfer"));
}
