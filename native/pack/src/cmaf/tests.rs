//! The packager against a model of RFC 8216bis' rules, and foreign readers.

mod events;
mod renditions;
mod silence;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig};
use bytes::Bytes;

use super::{Awaited, CmafConfig, CmafPackager, CmafView, Found, TrackView};
use crate::GroupClock;
use crate::testing::{
    AUDIO, Clip, Recipe, Rng, Scratch, Seed, VIDEO, audio_track, picture, run, track_set, video_track,
};

const PLAIN: Recipe = Recipe {
    picture_90k: 3_600,
    gop: 25,
    b_frames: true,
    sample_rate_hz: 48_000,
    seconds: 20,
    start_90k: 0,
    max_picture_bytes: 400,
};

/// 2026-01-01T00:00:00Z
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// A media playlist as a player reads it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Playlist {
    target_us: i64,
    part_target_us: i64,
    hold_back_us: i64,
    media_sequence: u64,
    discontinuity_sequence: u64,
    independent: bool,
    is_event: bool,
    skipped: u64,
    segments: Vec<Entry>,
    /// Parts behind the last segment.
    open: Entry,
    hint: Option<String>,
    reports: Vec<(String, u64, u64)>,
    date_ranges: Vec<String>,
    ended: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Entry {
    name: String,
    duration_us: i64,
    breaks: u64,
    map: Option<String>,
    program: Option<String>,
    parts: Vec<PartEntry>,
}

#[derive(Debug, Clone, PartialEq)]
struct PartEntry {
    name: String,
    duration_us: i64,
    independent: bool,
}

fn us(seconds: &str) -> i64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    whole.parse::<i64>().unwrap() * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap()
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes
        .split(',')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

/// Reads a playlist and refuses any tag that this packager has no reason to write.
fn parse(text: &Bytes) -> Playlist {
    let text = std::str::from_utf8(text).unwrap();
    let (mut playlist, mut entry) = (Playlist::default(), Entry::default());
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (Some("#EXTM3U"), Some("#EXT-X-VERSION:9")));
    for line in lines {
        assert!(!playlist.ended, "nothing behind the end");
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-TARGETDURATION" => playlist.target_us = us(value),
            "#EXT-X-SERVER-CONTROL" => {
                assert_eq!(attribute(value, "CAN-BLOCK-RELOAD"), Some("YES"));
                assert!(us(attribute(value, "CAN-SKIP-UNTIL").unwrap()) >= 6 * playlist.target_us);
                playlist.hold_back_us = attribute(value, "PART-HOLD-BACK").map_or(0, us);
            }
            "#EXT-X-PART-INF" => playlist.part_target_us = us(attribute(value, "PART-TARGET").unwrap()),
            "#EXT-X-MEDIA-SEQUENCE" => playlist.media_sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = value.parse().unwrap(),
            "#EXT-X-PLAYLIST-TYPE" => playlist.is_event = value == "EVENT",
            "#EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent = true,
            "#EXT-X-SKIP" => playlist.skipped = attribute(value, "SKIPPED-SEGMENTS").unwrap().parse().unwrap(),
            "#EXT-X-DATERANGE" => playlist.date_ranges.push(value.to_owned()),
            "#EXT-X-DISCONTINUITY" => entry.breaks += 1,
            "#EXT-X-MAP" => entry.map = attribute(value, "URI").map(str::to_owned),
            "#EXT-X-PROGRAM-DATE-TIME" => entry.program = Some(value.to_owned()),
            "#EXT-X-PART" => entry.parts.push(PartEntry {
                name: attribute(value, "URI").unwrap().to_owned(),
                duration_us: us(attribute(value, "DURATION").unwrap()),
                independent: attribute(value, "INDEPENDENT") == Some("YES"),
            }),
            "#EXTINF" => entry.duration_us = us(value.strip_suffix(',').unwrap()),
            "#EXT-X-PRELOAD-HINT" => {
                assert_eq!(attribute(value, "TYPE"), Some("PART"));
                playlist.hint = attribute(value, "URI").map(str::to_owned);
            }
            "#EXT-X-RENDITION-REPORT" => playlist.reports.push((
                attribute(value, "URI").unwrap().to_owned(),
                attribute(value, "LAST-MSN").unwrap().parse().unwrap(),
                attribute(value, "LAST-PART").unwrap().parse().unwrap(),
            )),
            "#EXT-X-ENDLIST" => playlist.ended = true,
            _ if !line.starts_with('#') => {
                entry.name = line.to_owned();
                playlist.segments.push(std::mem::take(&mut entry));
            }
            _ => panic!("{line}"),
        }
    }
    playlist.open = entry;
    playlist
}

/// Whether a chunk has a run of samples.
fn has_samples(data: &[u8]) -> bool {
    data.windows(4).any(|four| four == b"trun")
}

/// A player of one track that fetches the playlist at each change. Asserts RFC 8216bis at each step.
#[derive(Default)]
struct Player {
    newest: Option<Playlist>,
    /// Every segment that was ever listed, and its bytes.
    fetched: Vec<(Entry, Vec<u8>)>,
    /// Every part by name.
    parts: HashMap<String, (PartEntry, Bytes)>,
    hint: Option<String>,
    first: Option<u64>,
    init_names: Vec<String>,
    inits: Vec<Bytes>,
}

impl Player {
    fn fetch(&mut self, view: &TrackView) {
        let playlist = parse(view.playlist());
        self.check_head(&playlist, view);
        for (index, entry) in playlist.segments.iter().enumerate() {
            let sequence = playlist.media_sequence + index as u64;
            // §4.4.3.1: EXTINF, rounded, is at most the target duration.
            assert!((entry.duration_us + 500_000) / 1_000_000 * 1_000_000 <= playlist.target_us, "{entry:?}");
            let parts_us: i64 = entry.parts.iter().map(|part| part.duration_us).sum();
            assert!(entry.parts.is_empty() || parts_us == entry.duration_us, "parts make up their segment: {entry:?}");
            self.see(entry, sequence, view);
        }
        for (entry, is_open) in playlist.segments.iter().map(|it| (it, false)).chain([(&playlist.open, true)]) {
            self.see_parts(entry, is_open, &playlist, view);
        }
        if let Some(hint) = self.hint.take()
            && let Some(last) = self.newest.as_ref().filter(|newest| !newest.ended)
            && !playlist.ended
            && last.hint != playlist.hint
        {
            assert!(self.parts.contains_key(&hint), "a hint comes true: {hint}");
        }
        self.hint.clone_from(&playlist.hint);
        self.check_delta(&playlist, view);
        if let Some(newest) = self.newest.take() {
            compare(&newest, &playlist);
        }
        self.newest = Some(playlist);
    }

    fn check_head(&self, playlist: &Playlist, view: &TrackView) {
        assert_eq!(playlist.ended, view.ended());
        assert!(playlist.target_us > 0 && !playlist.segments.is_empty());
        if playlist.part_target_us > 0 {
            // §4.4.3.8: at least twice, better three times.
            assert_eq!(playlist.hold_back_us, 3 * playlist.part_target_us);
        }
        assert_eq!(playlist.hint.is_some(), !playlist.ended && playlist.part_target_us > 0);
        assert!(playlist.segments.first().unwrap().map.is_some(), "the first segment has its header");
        let first_breaks = playlist.segments.first().unwrap().breaks;
        assert_eq!(first_breaks, 0, "a break in front of the playlist is in its number");
    }

    fn see(&mut self, entry: &Entry, sequence: u64, view: &TrackView) {
        assert!(entry.program.is_some());
        let data = whole(view, &entry.name);
        let known = self.fetched.iter().position(|(known, _)| known.name == entry.name);
        let first = *self.first.get_or_insert(sequence);
        match known {
            Some(index) => {
                assert_eq!(index as u64, sequence - first);
                let (known, bytes) = &self.fetched[index];
                assert_eq!(
                    (known.duration_us, &known.program),
                    (entry.duration_us, &entry.program),
                    "it never changes"
                );
                assert_eq!(bytes, &data, "a segment never changes");
            }
            None => {
                assert_eq!(self.fetched.len() as u64, sequence - first, "no number is left out");
                let parts = entry.parts.iter().map(|part| whole(view, &part.name));
                let of_parts = parts.filter(|data| has_samples(data)).collect::<Vec<_>>().concat();
                assert!(entry.parts.is_empty() || of_parts == data, "a segment is its parts");
                self.fetched.push((entry.clone(), data));
            }
        }
        if let Some(map) = entry.map.as_ref().filter(|map| !self.init_names.contains(map)) {
            self.inits.push(whole(view, map).into());
            self.init_names.push(map.clone());
        }
    }

    fn see_parts(&mut self, entry: &Entry, is_open: bool, playlist: &Playlist, view: &TrackView) {
        let last = entry.parts.len().saturating_sub(1);
        for (index, part) in entry.parts.iter().enumerate() {
            // §4.4.4.9: at most the part target, and at least 85 % of it but for the last one of a segment.
            assert!(part.duration_us <= playlist.part_target_us, "{part:?} of {}", playlist.part_target_us);
            let is_short = part.duration_us * 100 < playlist.part_target_us * 85;
            assert!(
                !is_short || (!is_open && index >= last.saturating_sub(1)),
                "{part:?} of {}",
                playlist.part_target_us
            );
            let data = whole(view, &part.name);
            // A sync sample at the head of a run, or flags of each sample: what INDEPENDENT promises.
            let known = self.parts.entry(part.name.clone()).or_insert_with(|| (part.clone(), data.clone().into()));
            assert_eq!((&known.0, &known.1[..]), (part, &data[..]), "a part never changes");
        }
    }

    /// §6.2.5.1: what is skipped and what is not make up the whole.
    fn check_delta(&self, playlist: &Playlist, view: &TrackView) {
        let delta = parse(view.delta_update());
        let skipped = delta.skipped as usize;
        let after: i64 = playlist.segments[skipped..].iter().map(|segment| segment.duration_us).sum();
        let open: i64 = playlist.open.parts.iter().map(|part| part.duration_us).sum();
        assert!(skipped == 0 || after + open >= 6 * playlist.target_us);
        let strip =
            |entries: &[Entry]| entries.iter().map(|entry| Entry { map: None, ..entry.clone() }).collect::<Vec<_>>();
        assert_eq!(strip(&delta.segments), strip(&playlist.segments[skipped..]));
        assert_eq!(
            (delta.media_sequence, &delta.hint, delta.ended, &delta.date_ranges),
            (playlist.media_sequence, &playlist.hint, playlist.ended, &playlist.date_ranges)
        );
    }
}

fn compare(newest: &Playlist, playlist: &Playlist) {
    assert_eq!(newest.target_us, playlist.target_us, "the target duration never changes");
    assert_eq!(newest.part_target_us, playlist.part_target_us, "the part target never changes");
    let gone = (playlist.media_sequence - newest.media_sequence) as usize;
    // The breaks in front of the segments that are gone, and in front of the one that is the first one now.
    let all: Vec<u64> = newest.segments.iter().map(|entry| entry.breaks).chain([newest.open.breaks]).collect();
    if gone < newest.segments.len() {
        let breaks: u64 = all[..=gone].iter().sum();
        assert_eq!(playlist.discontinuity_sequence, newest.discontinuity_sequence + breaks);
        let remains: i64 = playlist.segments.iter().map(|entry| entry.duration_us).sum();
        assert!(gone == 0 || remains >= 3 * playlist.target_us, "three target durations remain");
    }
    assert!(!newest.is_event || gone == 0);
}

fn whole(view: &TrackView, name: &str) -> Vec<u8> {
    match view.find(name) {
        Found::Whole(pieces) => pieces.concat(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Packs frames and plays each track; frames come when they are decoded.
struct Scene {
    packager: CmafPackager,
    players: HashMap<String, Player>,
    views: usize,
}

impl Scene {
    fn new(config: CmafConfig) -> Self {
        Self { packager: CmafPackager::new(config, "s"), players: HashMap::new(), views: 0 }
    }

    fn play(&mut self, tracks: &Arc<TrackSet>, frames: &[Frame]) {
        self.play_from(BEGIN, tracks, frames);
    }

    fn play_from(&mut self, begin: Duration, tracks: &Arc<TrackSet>, frames: &[Frame]) {
        for frame in frames {
            let track = tracks.find(frame.track).unwrap();
            let at = frame.dts.max(0) as u64 * 1_000_000 / u64::from(track.clock_rate_hz);
            if self.packager.push(tracks, frame, begin + Duration::from_micros(at)).unwrap() {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        self.views += 1;
        let view = self.packager.view().unwrap();
        for track in &view.tracks {
            self.players.entry(track.name.clone()).or_default().fetch(track);
        }
    }

    fn finish(&mut self) -> Arc<CmafView> {
        self.packager.finish();
        self.look();
        self.packager.view().unwrap()
    }
}

fn all_recipes() -> impl Iterator<Item = Recipe> {
    let rates = [(3_600, 25), (3_003, 30), (3_750, 24), (1_500, 120), (9_000, 10), (90_000, 1), (3_754, 48)];
    let audio = [48_000, 44_100, 32_000, 0];
    rates.into_iter().flat_map(move |(picture_90k, gop)| {
        audio.into_iter().map(move |sample_rate_hz| Recipe { picture_90k, gop, sample_rate_hz, ..PLAIN })
    })
}

#[test]
fn playlists_of_every_rate_keep_the_rules_from_the_first_to_the_last() {
    for (index, recipe) in all_recipes().enumerate() {
        let seed = Seed(index as u64);
        let mut scene = Scene::new(CmafConfig::default());
        scene.play(&recipe.tracks(), &recipe.frames(&mut Rng(seed.0)));
        let view = scene.finish();
        assert!(view.ended && scene.views >= 18, "{recipe:?}: {}", scene.views);
    }
}

#[test]
fn sound_alone_and_pictures_alone_are_streams() {
    for (picture_90k, sample_rate_hz, name) in [(0, 48_000, "a1"), (3_600, 0, "v0")] {
        let recipe = Recipe { picture_90k, sample_rate_hz, ..PLAIN };
        let mut scene = Scene::new(CmafConfig::default());
        scene.play(&recipe.tracks(), &recipe.frames(&mut Rng(1)));
        let view = scene.finish();
        assert_eq!(view.tracks.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), [name]);
        assert_eq!(view.target_duration_s, 1);
    }
}

#[test]
fn a_playlist_waits_for_the_part_that_is_asked_for() {
    let mut scene = Scene::new(CmafConfig::default());
    scene.play(&PLAIN.tracks(), &PLAIN.frames(&mut Rng(1)));
    let view = scene.packager.view().unwrap();
    let track = view.track("v0").unwrap();
    let (open, next) = (track.open.as_ref().unwrap().parts.len() as u64, track.next_sequence());
    let has = |sequence, part| track.has(Awaited { sequence, part });
    assert!(has(next - 1, None) && has(next - 1, Some(99)), "a complete segment has all its parts");
    assert!(has(next, Some(open - 1)) && !has(next, Some(open)) && !has(next, None) && !has(next + 1, Some(0)));
    let is_far = |sequence, part| track.is_far(Awaited { sequence, part });
    // 210 ms: fifteen parts in three seconds.
    assert!(!is_far(next, Some(open - 1 + 15)) && is_far(next, Some(open + 15)));
    assert!(!is_far(next + 1, None) && is_far(next + 2, None));
    let name = track.next_part_name();
    assert!(matches!(track.find(&name), Found::Coming));
    assert!(matches!(track.find(&format!("s-v0-{next}.m4s")), Found::Growing(pieces) if pieces.len() as u64 == open));
    assert!(matches!(track.find(&format!("s-v0-{}.m4s", next + 1)), Found::Nothing));
    for name in [
        "s-v0-99999.m4s",
        "s-v0-p99999.m4s",
        "s-v0-i9.mp4",
        "s-v0-x.m4s",
        "s-v0-.m4s",
        "s-a1-0.m4s",
        "x",
        "s-v0",
        "s-v0-0",
    ] {
        assert!(matches!(track.find(name), Found::Nothing), "{name}");
    }
    let view = scene.finish();
    assert!(
        matches!(view.track("v0").unwrap().find(&name), Found::Whole(_) | Found::Nothing),
        "nobody waits at the end"
    );
}

/// Found by a reader: it was answered at once, with the end of the segment (RFC 8216bis §6.2.5.2).
#[test]
fn behind_the_last_part_of_a_segment_is_the_first_of_the_next() {
    let mut packager = CmafPackager::new(CmafConfig::default(), "s");
    let mut ends = 0;
    for frame in PLAIN.frames(&mut Rng(1)) {
        if !packager.push(&PLAIN.tracks(), &frame, BEGIN).unwrap() {
            continue;
        }
        let view = packager.view().unwrap();
        let track = view.track("v0").unwrap();
        let newest = track.listed().last().unwrap();
        let has = |part| track.has(Awaited { sequence: newest.sequence, part: Some(part) });
        let parts = newest.parts().len() as u64;
        assert!(has(parts - 1) && track.has(Awaited { sequence: newest.sequence, part: None }));
        assert_eq!((has(parts), has(parts + 9)), (track.open.is_some(), track.open.is_some()));
        ends += usize::from(track.open.is_none());
    }
    assert!(ends >= 18, "{ends}");
    packager.finish();
    let view = packager.view().unwrap();
    let track = view.track("v0").unwrap();
    assert!(track.has(Awaited { sequence: track.next_sequence() - 1, part: Some(99) }), "nobody waits at the end");
}

#[test]
fn a_break_of_one_track_is_one_discontinuity_of_all() {
    for (jump_90k, is_marked) in [(-900_000, false), (2_700_000, false), (90_000, true)] {
        let (tracks, mut rng) = (PLAIN.tracks(), Rng(5));
        let mut scene = Scene::new(CmafConfig::default());
        let first = Recipe { seconds: 5, start_90k: 1_800_000, ..PLAIN };
        scene.play(&tracks, &first.frames(&mut rng));
        let mut again = Recipe { seconds: 5, start_90k: 2_250_000 + jump_90k, ..PLAIN }.frames(&mut rng);
        if is_marked {
            for id in [VIDEO, AUDIO] {
                let frame = again.iter_mut().find(|frame| frame.track == id).unwrap();
                frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
            }
        }
        scene.play(&tracks, &again);
        scene.finish();
        for (name, player) in &scene.players {
            let breaks: Vec<u64> =
                player.fetched.iter().map(|(entry, _)| entry.breaks).filter(|breaks| *breaks > 0).collect();
            assert_eq!(breaks, [1], "{name} {jump_90k} {is_marked}");
            assert_eq!(player.newest.as_ref().unwrap().discontinuity_sequence, 0);
        }
    }
}

#[test]
fn other_tracks_are_a_discontinuity_and_a_new_header() {
    let mut scene = Scene::new(CmafConfig::default());
    let (video, audio) = (video_track(), audio_track(48_000));
    let mut larger = video.clone();
    if let arcly_codec::CodecConfig::H264(config) = &mut larger.config {
        (config.info.width, config.info.height) = (1920, 1080);
    }
    scene.play(&track_set(&[video, audio.clone()]), &Recipe { seconds: 5, ..PLAIN }.frames(&mut Rng(1)));
    let again = Recipe { seconds: 5, start_90k: 450_000, ..PLAIN }.frames(&mut Rng(2));
    scene.play(&track_set(&[larger, audio]), &again);
    scene.finish();
    assert_eq!((scene.players["v0"].inits.len(), scene.players["a1"].inits.len()), (2, 1));
    let breaks = |name: &str| scene.players[name].fetched.iter().map(|(entry, _)| entry.breaks).sum::<u64>();
    assert_eq!((breaks("v0"), breaks("a1")), (1, 1), "a break is one for all tracks");
}

/// Every file that was ever listed, by name, and the highest number of each playlist.
#[derive(Default)]
struct Archive {
    files: HashMap<String, Vec<u8>>,
    sequences: HashMap<String, (u64, u64, i64)>,
}

impl Archive {
    fn look(&mut self, view: &TrackView) {
        let playlist = parse(view.playlist());
        let now = (playlist.media_sequence, playlist.discontinuity_sequence, playlist.part_target_us);
        let before = self.sequences.insert(view.name.clone(), now).unwrap_or(now);
        assert!(now.0 >= before.0 && now.1 >= before.1, "{}: {now:?} behind {before:?}", view.name);
        assert_eq!(now.2, before.2, "{}: the part target never changes", view.name);
        for entry in playlist.segments.iter().chain([&playlist.open]) {
            let parts = entry.parts.iter().map(|part| &part.name);
            for name in entry.map.iter().chain(parts).chain([&entry.name]).filter(|name| !name.is_empty()) {
                let data = whole(view, name);
                assert!(*self.files.entry(name.clone()).or_insert_with(|| data.clone()) == data, "{name} has changed");
            }
        }
    }
}

/// Found by a reader: a track that came back began again at 0, with names that caches keep for ever (RFC 8216bis §6.2.2).
#[test]
fn a_track_that_comes_back_goes_on_where_it_was() {
    let (sound, pictures) = (Recipe { picture_90k: 0, ..PLAIN }, Recipe { sample_rate_hz: 0, ..PLAIN });
    let other = Recipe { sample_rate_hz: 44_100, ..PLAIN };
    for recipes in [[PLAIN, pictures, other], [sound, other, pictures]] {
        let (mut packager, mut archive, mut rng) =
            (CmafPackager::new(CmafConfig::default(), "s"), Archive::default(), Rng(1));
        for (index, recipe) in recipes.iter().cycle().take(9).enumerate() {
            let recipe = Recipe { seconds: 4, start_90k: index as i64 * 360_000, ..*recipe };
            let tracks = recipe.tracks();
            for frame in recipe.frames(&mut rng) {
                let rate_hz = u64::from(tracks.find(frame.track).unwrap().clock_rate_hz);
                let at = Duration::from_micros(frame.dts as u64 * 1_000_000 / rate_hz);
                if packager.push(&tracks, &frame, BEGIN + at).unwrap() {
                    packager.view().unwrap().tracks.iter().for_each(|track| archive.look(track));
                }
            }
        }
        let least = |name: &str| archive.sequences[name].0;
        assert!(least("v0") >= 15 && least("a1") >= 15, "{:?}", archive.sequences);
    }
}

#[test]
fn a_frame_that_lasts_longer_than_a_part_may_is_followed_by_parts_without_a_frame() {
    let (tracks, mut rng) = (PLAIN.tracks(), Rng(7));
    let frames = PLAIN.frames(&mut rng);
    // Pictures 253 to 262 are lost on their way, as congestion makes it.
    let lost = |frame: &Frame| frame.track == VIDEO && (253..=262).contains(&(frame.dts / 3_600));
    let frames: Vec<Frame> = frames.into_iter().filter(|frame| !lost(frame)).collect();
    let mut scene = Scene::new(CmafConfig::default());
    scene.play(&tracks, &frames);
    scene.finish();
    let without = scene.players["v0"].parts.values().filter(|(_, data)| !has_samples(data));
    // 440 ms in parts of 209 ms: what is left is told of the part behind them.
    assert_eq!(without.count(), 1);
    let breaks: u64 = scene.players["v0"].fetched.iter().map(|(entry, _)| entry.breaks).sum();
    assert_eq!(breaks, 0);
}

#[test]
fn a_group_of_pictures_that_outlasts_the_target_is_cut_within() {
    let (tracks, mut rng) = (PLAIN.tracks(), Rng(8));
    let mut scene = Scene::new(CmafConfig::default());
    scene.play(&tracks, &Recipe { seconds: 6, ..PLAIN }.frames(&mut rng));
    scene.play(&tracks, &Recipe { seconds: 10, gop: 100, start_90k: 540_000, ..PLAIN }.frames(&mut rng));
    assert!(scene.players["v0"].fetched.iter().all(|(entry, _)| entry.duration_us < 1_500_000));
    let playlist = scene.players["v0"].newest.clone().unwrap();
    assert!(!playlist.independent);
    scene.finish();
}

/// Found by a reader: a second of sound that waited for the first key picture fixed the target duration, and every GOP was cut within.
#[test]
fn sound_that_waits_for_pictures_does_not_settle_the_target_duration() {
    let mut frames = Recipe { gop: 100, seconds: 24, ..PLAIN }.frames(&mut Rng(8));
    // In the middle of a GOP: the key picture comes 3.5 s behind the first sound.
    frames.retain(|frame| frame.dts >= if frame.track == VIDEO { 45_000 } else { 24_000 });
    let mut scene = Scene::new(CmafConfig::default());
    scene.play(&PLAIN.tracks(), &frames);
    let view = scene.finish();
    assert_eq!(view.target_duration_s, 4);
    let lasts: Vec<i64> = scene.players["v0"].fetched.iter().map(|(entry, _)| entry.duration_us).collect();
    assert_eq!(lasts, [4_000_000; 5]);
    assert!(scene.players.values().all(|player| player.newest.as_ref().unwrap().independent));
}

/// As before: nobody waits for pictures for ever.
#[test]
fn sound_without_the_pictures_that_were_announced_is_shown_behind_three_segments() {
    let frames = PLAIN.frames(&mut Rng(8)).into_iter().filter(|frame| frame.track == AUDIO);
    let mut scene = Scene::new(CmafConfig::default());
    for frame in frames {
        scene.play(&PLAIN.tracks(), std::slice::from_ref(&frame));
        if scene.views > 0 {
            assert!((232_000..245_000).contains(&frame.dts), "2 s, and three segments: {}", frame.dts);
            break;
        }
    }
    assert_eq!(scene.packager.view().unwrap().target_duration_s, 1);
}

#[test]
fn the_window_is_as_long_as_it_should_be_and_memory_is_flat() {
    for (window_s, least_s) in [(0, 6), (60, 60)] {
        let (tracks, mut rng) = (PLAIN.tracks(), Rng(9));
        let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(window_s), ..CmafConfig::default() });
        let mut sizes = Vec::new();
        for minute in 0..17 {
            let recipe = Recipe { seconds: 60, start_90k: minute * 5_400_000, max_picture_bytes: 40, ..PLAIN };
            for frame in recipe.frames(&mut rng) {
                let at = frame.dts as u64 * 1_000_000 / if frame.track == VIDEO { 90_000 } else { 48_000 };
                scene.packager.push(&tracks, &frame, BEGIN + Duration::from_micros(at)).unwrap();
            }
            scene.look_without_history();
            let view = scene.packager.view().unwrap();
            assert!(view.window_s() >= least_s as f64 || minute == 0, "{}", view.window_s());
            assert!(view.window_s() < least_s as f64 + 2.0);
            sizes.push(view.window_bytes());
        }
        // 1 020 segments of each track have passed.
        assert!(scene.packager.view().unwrap().track("v0").unwrap().next_sequence() >= 1_000);
        // Pictures are of random sizes: minutes are compared by sevens.
        let (early, late) = (sizes[3..10].iter().sum::<usize>(), sizes[10..].iter().sum::<usize>());
        assert!(early.abs_diff(late) * 10 < early, "{sizes:?}");
    }
}

impl Scene {
    fn look_without_history(&mut self) {
        self.players.clear();
        self.look();
    }
}

#[test]
fn all_tracks_together_keep_to_the_limit_of_bytes_and_the_oldest_go_first() {
    let (tracks, mut rng) = (PLAIN.tracks(), Rng(12));
    let recipe = Recipe { seconds: 60, max_picture_bytes: 20_000, ..PLAIN };
    for (max_window_bytes, is_short) in [(3_000_000, true), (100_000_000, false)] {
        let window = Duration::from_secs(30);
        let mut packager = CmafPackager::new(CmafConfig { window, max_window_bytes, ..CmafConfig::default() }, "s");
        for frame in recipe.frames(&mut rng) {
            packager.push(&tracks, &frame, BEGIN).unwrap();
        }
        let view = packager.view().unwrap();
        assert_eq!(packager.is_shortened(), is_short);
        // What has come since a segment was completed last counts with the next one.
        assert!(view.window_bytes() <= max_window_bytes + max_window_bytes / 8);
        let begins = view.tracks.iter().map(|track| track.listed()[0].start_us);
        let (first, last) = (begins.clone().min().unwrap(), begins.max().unwrap());
        assert!(last - first <= 1_100_000, "a track is not shorter than the others by more than a segment");
        assert_eq!(view.window_s() < 29.0, is_short);
    }
}

#[test]
fn an_event_keeps_everything_and_ends_at_its_limit() {
    let (tracks, mut rng) = (PLAIN.tracks(), Rng(10));
    let config = CmafConfig { is_event: true, max_window_bytes: 150_000, ..CmafConfig::default() };
    let mut packager = CmafPackager::new(config, "s");
    let mut refused = 0;
    for frame in (Recipe { seconds: 60, ..PLAIN }).frames(&mut rng) {
        match packager.push(&tracks, &frame, BEGIN) {
            Ok(_) => assert_eq!(refused, 0),
            Err(_) => refused += 1,
        }
    }
    let view = packager.view().unwrap();
    let playlist = parse(view.tracks[0].playlist());
    assert!(playlist.is_event && playlist.ended && playlist.media_sequence == 0 && refused > 0);
}

#[test]
fn a_publisher_who_breaks_its_time_at_every_frame_costs_little() {
    let (tracks, mut rng) = (PLAIN.tracks(), Rng(11));
    let mut packager = CmafPackager::new(CmafConfig::default(), "s");
    for index in 0..5_000 {
        let mut frame = picture(&mut rng, index * 3_600, 0, true, 10);
        frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        packager.push(&tracks, &frame, BEGIN).unwrap();
    }
    let view = packager.view().unwrap();
    assert!(view.tracks[0].listed().len() <= 200, "{}", view.tracks[0].listed().len());
    assert!(view.epochs.len() <= 201);
}

#[test]
fn whatever_comes_the_playlists_keep_the_rules() {
    for seed in 0..60 {
        let seed = Seed(seed);
        let mut rng = Rng(seed.0);
        let recipe = Recipe {
            gop: 1 + rng.below(90),
            max_picture_bytes: 50,
            picture_90k: 1_500 + rng.below(4_000) as i64,
            ..PLAIN
        };
        let mut frames = recipe.frames(&mut rng);
        frames.retain(|_| !rng.one_in(40));
        for frame in &mut frames {
            if rng.one_in(300) {
                frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
            }
            if rng.one_in(400) {
                let by = rng.below(400_000) as i64 - 100_000;
                (frame.dts, frame.pts) = ((frame.dts + by).max(0), (frame.pts + by).max(0));
            }
        }
        let mut scene = Scene::new(CmafConfig::default());
        let tracks = recipe.tracks();
        for frame in &frames {
            if let Ok(true) = scene.packager.push(&tracks, frame, BEGIN) {
                scene.look_at_rules_only();
            }
        }
        scene.packager.finish();
    }
}

impl Scene {
    /// Parts of irregular frames may be shorter than 85 %; everything else holds.
    fn look_at_rules_only(&mut self) {
        for track in &self.packager.view().unwrap().tracks {
            let playlist = parse(track.playlist());
            for entry in playlist.segments.iter().chain([&playlist.open]) {
                assert!((entry.duration_us + 500_000) / 1_000_000 * 1_000_000 <= playlist.target_us, "{entry:?}");
                assert!(
                    entry.parts.iter().all(|part| part.duration_us <= playlist.part_target_us && part.duration_us > 0)
                );
            }
            if let Some(newest) = self.players.entry(track.name.clone()).or_default().newest.replace(playlist.clone()) {
                compare(&newest, &playlist);
            }
        }
    }
}

#[test]
fn ffmpeg_plays_the_segments_without_a_word_and_finds_every_frame() {
    let scratch = Scratch::new("cmaf-ffmpeg");
    let clip = Clip::make(&scratch, 8);
    let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
    scene.play(&clip.tracks, &clip.frames);
    let view = scene.finish();
    for (track, id) in [("v0", VIDEO), ("a1", AUDIO)] {
        let view = view.track(track).unwrap();
        for (index, (entry, data)) in scene.players[track].fetched.iter().enumerate() {
            assert_eq!(entry.name, format!("s-{track}-{index}.m4s"));
            scratch.write(&entry.name, data);
        }
        scratch.write(&format!("s-{track}-i0.mp4"), &scene.players[track].inits[0]);
        let playlist = scratch.write(&format!("{track}.m3u8"), view.playlist());
        let playlist = playlist.to_str().unwrap();
        run("ffmpeg", &["-v", "error", "-i", playlist, "-f", "null", "-"], &scratch.path("."));
        let count =
            ["-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", playlist];
        let count = String::from_utf8(run("ffprobe", &count, &scratch.path("."))).unwrap();
        assert_eq!(
            count.lines().next().unwrap().trim().trim_end_matches(',').parse::<usize>().unwrap(),
            clip.of(id).count()
        );
    }
}

/// 20 s in GOPs of 4 s, of which `other` comes beside the pictures from `at_90k` on. Asserts that no picture is lost.
fn play_joined_by(other: &Track, at_90k: i64) -> Scene {
    let alone = track_set(&[video_track()]);
    let together = track_set(&[video_track(), other.clone()]);
    let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
    for frame in (Recipe { gop: 100, ..PLAIN }).frames(&mut Rng(1)) {
        let at_90k_of_it = if frame.track == VIDEO { frame.dts } else { frame.dts * 90 / 48 };
        if frame.track == VIDEO || (frame.track == other.id && at_90k_of_it >= at_90k) {
            let tracks = if at_90k_of_it < at_90k { &alone } else { &together };
            scene.play(tracks, std::slice::from_ref(&frame));
        }
    }
    let pictures = scene.finish().track("v0").unwrap().listed().iter().map(|segment| segment.frames).sum::<u64>();
    assert_eq!(pictures, 500, "{other:?} from {at_90k} on");
    scene
}

impl Scene {
    /// Segments of a track in front of which there is a break.
    fn broken(&self, track: &str) -> Vec<&Entry> {
        self.players[track].fetched.iter().map(|(entry, _)| entry).filter(|entry| entry.breaks > 0).collect()
    }
}

/// Found by a reader: a tag a second behind a key picture took the pictures away until the next one.
#[test]
fn a_data_track_that_comes_in_the_middle_of_a_gop_costs_no_picture() {
    let id3 = Track::new(TrackId(7), CodecConfig::parse(Codec::Id3, Bytes::new()).unwrap());
    for at_90k in [3_600, 9 * 90_000] {
        assert!(play_joined_by(&id3, at_90k).broken("v0").is_empty());
    }
}

#[test]
fn sound_that_comes_in_the_middle_of_a_gop_costs_no_picture_and_is_a_break_at_the_next_key() {
    // Announced one picture late, as some encoders do: nobody has seen the pictures alone.
    let scene = play_joined_by(&audio_track(48_000), 3_600);
    assert!(scene.broken("v0").is_empty() && scene.broken("a1").is_empty());
    let scene = play_joined_by(&audio_track(48_000), 9 * 90_000);
    let [broken] = scene.broken("v0")[..] else { panic!("one break") };
    assert!(broken.program.as_ref().unwrap().starts_with("2026-01-01T00:00:12.0"), "{broken:?}");
    assert_eq!(scene.broken("a1").len(), 1, "heard before it");
}
