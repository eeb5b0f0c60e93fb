//! The packager against a model of RFC 8216's rules, the transport stream probe, and ffmpeg.

mod dates;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arcly_bus::{Frame, FrameFlags, Track, TrackSet};
use arcly_codec::CodecConfig;
use bytes::Bytes;

use super::{HlsConfig, HlsPackager, HlsView};
use crate::{
    Held, Movable, PackError,
    mpegts::probe::{Probe, Unit, assert_carries},
    testing::{
        AUDIO, Clip, Recipe, Rng, Scratch, Seed, VIDEO, audio_track, picture, run, sound, track_set, video_track,
    },
};

const PLAIN: Recipe = Recipe {
    picture_90k: 3_600,
    gop: 50,
    b_frames: true,
    sample_rate_hz: 48_000,
    seconds: 20,
    start_90k: 0,
    max_picture_bytes: 400,
};

/// A media playlist as a player reads it.
#[derive(Debug, Clone, PartialEq)]
struct Playlist {
    target_duration_s: u64,
    media_sequence: u64,
    discontinuity_sequence: u64,
    independent: bool,
    entries: Vec<Entry>,
    ended: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    name: String,
    duration_us: i64,
    discontinuity: bool,
}

/// Reads a playlist and refuses any line that this packager has no reason to write.
fn parse(text: &Bytes) -> Playlist {
    let text = std::str::from_utf8(text).unwrap();
    let mut lines = text.lines().peekable();
    let mut tag = |name: &str| lines.next().unwrap().strip_prefix(name).unwrap_or_else(|| panic!("{name}")).to_owned();
    assert_eq!((tag("#EXTM3U"), tag("#EXT-X-VERSION:")), (String::new(), "3".to_owned()));
    let mut number = |name: &str| tag(name).parse().unwrap();
    let mut playlist = Playlist {
        target_duration_s: number("#EXT-X-TARGETDURATION:"),
        media_sequence: number("#EXT-X-MEDIA-SEQUENCE:"),
        discontinuity_sequence: number("#EXT-X-DISCONTINUITY-SEQUENCE:"),
        independent: lines.next_if_eq(&"#EXT-X-INDEPENDENT-SEGMENTS").is_some(),
        entries: Vec::new(),
        ended: false,
    };
    while let Some(line) = lines.next() {
        if line == "#EXT-X-ENDLIST" {
            assert_eq!(lines.next(), None);
            playlist.ended = true;
            break;
        }
        let discontinuity = line == "#EXT-X-DISCONTINUITY";
        let info = if discontinuity { lines.next().unwrap() } else { line };
        let (seconds, us) = info.strip_prefix("#EXTINF:").unwrap().strip_suffix(',').unwrap().split_once('.').unwrap();
        assert_eq!(us.len(), 6);
        let duration_us = seconds.parse::<i64>().unwrap() * 1_000_000 + us.parse::<i64>().unwrap();
        playlist.entries.push(Entry { name: lines.next().unwrap().to_owned(), duration_us, discontinuity });
    }
    playlist
}

/// A player that fetches the playlist at each change, and every segment once. Asserts RFC 8216 at each step.
#[derive(Default)]
struct Player {
    newest: Option<Playlist>,
    /// Every entry that was ever listed, and its bytes.
    fetched: Vec<(Entry, Bytes)>,
    /// Media time at which a segment left the playlist, and how long it must stay.
    left: HashMap<String, (i64, i64)>,
    clock_us: i64,
    sheds: bool,
}

impl Player {
    fn fetch(&mut self, view: &HlsView) {
        let playlist = parse(view.media_playlist());
        assert_eq!((playlist.ended, playlist.target_duration_s), (view.ended(), view.target_duration_s()));
        assert!(!playlist.entries.is_empty());
        for (index, entry) in playlist.entries.iter().enumerate() {
            let rounded_s = (entry.duration_us + 500_000) / 1_000_000;
            assert!(rounded_s <= playlist.target_duration_s as i64, "{entry:?} of {}", playlist.target_duration_s);
            assert!(entry.duration_us > 0);
            let sequence = playlist.media_sequence + index as u64;
            assert_eq!(entry.name, format!("s-{sequence}.ts"));
            self.see(entry, sequence, view);
        }
        if let Some(newest) = self.newest.take() {
            self.compare(&newest, &playlist, view);
        }
        self.newest = Some(playlist);
    }

    fn see(&mut self, entry: &Entry, sequence: u64, view: &HlsView) {
        let held = view.segment(&entry.name).expect("a listed segment can be fetched");
        let data = held.into_bytes().expect("nobody has moved it");
        match self.fetched.get(sequence as usize) {
            Some((known, bytes)) => {
                assert_eq!(known, entry, "an entry never changes");
                assert_eq!((bytes.as_ptr(), bytes.len()), (data.as_ptr(), data.len()), "a segment never changes");
            }
            None => {
                assert_eq!(self.fetched.len(), sequence as usize, "no sequence number is left out");
                self.clock_us += entry.duration_us;
                self.fetched.push((entry.clone(), data.clone()));
            }
        }
    }

    fn compare(&mut self, newest: &Playlist, playlist: &Playlist, view: &HlsView) {
        assert_eq!(newest.target_duration_s, playlist.target_duration_s, "the target duration never changes");
        let gone = (playlist.media_sequence - newest.media_sequence) as usize;
        let gone = &newest.entries[..gone.min(newest.entries.len())];
        let breaks = gone.iter().filter(|entry| entry.discontinuity).count() as u64;
        assert_eq!(playlist.discontinuity_sequence, newest.discontinuity_sequence + breaks);
        if self.sheds {
            return;
        }
        let total = |entries: &[Entry]| entries.iter().map(|entry| entry.duration_us).sum::<i64>();
        assert!(
            gone.is_empty() || total(&playlist.entries) >= 3_000_000 * playlist.target_duration_s as i64,
            "three target durations remain"
        );
        gone.iter().for_each(|entry| {
            let stays_us = entry.duration_us + total(&newest.entries);
            self.left.insert(entry.name.clone(), (self.clock_us, stays_us));
        });
        for (name, (left_us, stays_us)) in &self.left {
            let is_due = self.clock_us - left_us < *stays_us;
            assert!(!is_due || view.segment(name).is_some(), "{name} stays available");
        }
    }

    /// All segments, read one after the other.
    fn probe(&self) -> Probe {
        let mut probe = Probe::for_late_units();
        self.fetched.iter().for_each(|(_, data)| probe.feed_segment(data));
        probe.finish();
        probe
    }
}

fn config() -> HlsConfig {
    HlsConfig::default()
}

/// Pushes everything; the player looks at each change.
fn package(config: HlsConfig, pushes: &[(Arc<TrackSet>, Frame)]) -> (HlsPackager, Player) {
    let mut packager = HlsPackager::new(config.clone(), "s");
    let mut player = Player::default();
    for (tracks, frame) in pushes {
        let before = packager.view();
        let changed = packager.push(tracks, frame).unwrap();
        let view = packager.view();
        assert_eq!(changed, before.map(|view| Arc::as_ptr(&view)) != view.as_ref().map(Arc::as_ptr));
        if changed {
            player.fetch(&view.unwrap());
        }
    }
    if packager.finish() {
        player.fetch(&packager.view().unwrap());
    }
    (packager, player)
}

fn with(tracks: &Arc<TrackSet>, frames: Vec<Frame>) -> Vec<(Arc<TrackSet>, Frame)> {
    frames.into_iter().map(|frame| (Arc::clone(tracks), frame)).collect()
}

fn package_recipe(config: HlsConfig, recipe: Recipe, seed: u64) -> Player {
    let pushes = with(&recipe.tracks(), recipe.frames(&mut Rng(seed)));
    let (_, player) = package(config, &pushes);
    assert_every_frame(&player, &pushes);
    player
}

/// Every frame from the first key picture on is in exactly one segment, bit for bit, in order.
fn assert_every_frame(player: &Player, pushes: &[(Arc<TrackSet>, Frame)]) {
    let probe = player.probe();
    let has_video = pushes[0].0.find(VIDEO).is_some();
    let first = pushes.iter().position(|(_, frame)| !has_video || frame.is_key()).unwrap();
    for id in [VIDEO, AUDIO] {
        let units: Vec<&Unit> = probe.of(0x100 + u16::from(id.0)).collect();
        let pushed: Vec<_> = pushes[first..].iter().filter(|(_, frame)| frame.track == id).collect();
        assert_eq!(units.len(), pushed.len(), "{id:?}");
        units
            .iter()
            .zip(pushed)
            .for_each(|(unit, (tracks, frame))| assert_carries(unit, tracks.find(id).unwrap(), frame));
    }
}

fn durations(player: &Player) -> Vec<i64> {
    player.fetched.iter().map(|(entry, _)| entry.duration_us).collect()
}

#[test]
fn regular_stream_is_cut_at_its_key_pictures() {
    let player = package_recipe(config(), PLAIN, 1);
    assert_eq!(durations(&player), [2_000_000; 10]);
    let playlist = player.newest.as_ref().unwrap();
    assert!(playlist.independent && playlist.ended && playlist.target_duration_s == 2);
    assert_eq!((playlist.media_sequence, playlist.entries.len()), (3, 7));
    for (_, data) in &player.fetched {
        let probe = Probe::read(data);
        assert!(probe.of(0x100).next().unwrap().random_access, "a segment begins with a key picture");
    }
}

#[test]
fn playlists_have_exactly_these_bytes() {
    let mut frames = Recipe { picture_90k: 3_003, gop: 60, seconds: 9, ..PLAIN }.frames(&mut Rng(2));
    let third_key = frames.iter_mut().filter(|frame| frame.is_key()).nth(2).unwrap();
    third_key.flags = third_key.flags.with(FrameFlags::DISCONTINUITY);
    let pushes = with(&PLAIN.tracks(), frames);
    let mut packager = HlsPackager::new(HlsConfig { playlist_segments: 3, ..config() }, "3f9a1c");
    for (tracks, frame) in &pushes {
        assert_eq!(packager.push(tracks, frame), Ok(frame.is_key() && frame.dts > 0));
    }
    let text = |packager: &HlsPackager| String::from_utf8(packager.view().unwrap().media_playlist().to_vec()).unwrap();
    let live = "#EXTM3U\n\
        #EXT-X-VERSION:3\n\
        #EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:1\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXTINF:2.002000,\n\
        3f9a1c-1.ts\n\
        #EXT-X-DISCONTINUITY\n\
        #EXTINF:2.002000,\n\
        3f9a1c-2.ts\n\
        #EXTINF:2.002000,\n\
        3f9a1c-3.ts\n";
    assert_eq!(text(&packager), live);
    assert!(packager.finish());
    // 3f9a1c-1.ts stays: three target durations must remain.
    let last = last_duration(&pushes, 240 * 3_003);
    assert_eq!(text(&packager), format!("{live}#EXTINF:{last},\n3f9a1c-4.ts\n#EXT-X-ENDLIST\n"));
    let multivariant = packager.view().unwrap().multivariant("media.m3u8");
    let (bandwidth, rest) = multivariant.split_once(",CODECS").unwrap();
    assert!(bandwidth.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH="), "{bandwidth}");
    assert_eq!(rest, "=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970\nmedia.m3u8\n");
}

/// From the last key picture to the end of what ends last, as a playlist says it.
fn last_duration(pushes: &[(Arc<TrackSet>, Frame)], start_90k: i64) -> String {
    let end_us = |frame: &Frame| match frame.track {
        VIDEO => (frame.dts + 3_003) * 100 / 9,
        _ => (frame.dts + 1_024) * 1_000_000 / 48_000,
    };
    let us = pushes.iter().map(|(_, frame)| end_us(frame)).max().unwrap() - start_90k * 100 / 9;
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[test]
fn stream_of_sound_alone_is_cut_at_the_target() {
    for sample_rate_hz in [8_000, 44_100, 96_000] {
        let player = package_recipe(config(), Recipe { picture_90k: 0, sample_rate_hz, ..PLAIN }, 3);
        let frame_us = 1_024_000_000 / i64::from(sample_rate_hz);
        let durations = durations(&player);
        let (_, whole) = durations.split_last().unwrap();
        assert!(whole.iter().all(|us| (2_000_000..=2_000_001 + frame_us).contains(us)), "{whole:?}");
        let total_us: i64 = player.fetched.iter().map(|(entry, _)| entry.duration_us).sum();
        let frames = 20 * i64::from(sample_rate_hz) / 1024;
        assert_eq!(total_us, (frames * 1_024_000_000 + i64::from(sample_rate_hz) / 2) / i64::from(sample_rate_hz));
    }
}

/// Found by a reader: a GOP that was 1 ms short of the target was cut in its middle half a second later.
#[test]
fn a_key_picture_a_little_before_the_target_ends_its_segment() {
    let mut frames = PLAIN.frames(&mut Rng(40));
    // Keys at 0, 2.001, 4.000, as they come where times are rounded to milliseconds.
    let late = frames.iter_mut().filter(|frame| frame.is_key() && frame.dts % 360_000 == 180_000);
    late.for_each(|frame| (frame.dts, frame.pts) = (frame.dts + 90, frame.pts + 90));
    let (_, player) = package(config(), &with(&PLAIN.tracks(), frames));
    let whole: Vec<i64> = [2_001_000, 1_999_000].into_iter().cycle().take(10).collect();
    assert_eq!(durations(&player)[..9], whole[..9]);
    assert!(player.newest.unwrap().independent);
}

#[test]
fn first_segment_sets_a_target_duration_that_holds_for_ever() {
    // GOPs of 3 s, then of 5 s.
    let mut frames = Recipe { gop: 75, sample_rate_hz: 0, seconds: 9, ..PLAIN }.frames(&mut Rng(4));
    frames.extend(Recipe { gop: 125, sample_rate_hz: 0, seconds: 20, start_90k: 810_000, ..PLAIN }.frames(&mut Rng(5)));
    let pushes = with(&track_set(&[video_track()]), frames);
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    let durations = durations(&player);
    assert_eq!(durations[..5], [3_000_000, 3_000_000, 3_000_000, 3_480_000, 3_480_000]);
    let playlist = player.newest.unwrap();
    assert_eq!(playlist.target_duration_s, 3);
    assert!(!playlist.independent, "some segments begin in the middle of a GOP");
}

#[test]
fn target_duration_has_a_floor() {
    let config = HlsConfig { target_duration_min: Duration::from_millis(5_100), ..config() };
    let player = package_recipe(config, Recipe { gop: 140, ..PLAIN }, 6);
    assert_eq!(player.newest.as_ref().unwrap().target_duration_s, 6);
    assert_eq!(durations(&player)[..2], [5_600_000; 2]);
}

#[test]
fn first_segment_ends_even_without_a_second_key_picture() {
    let player = package_recipe(config(), Recipe { gop: 1_000_000, seconds: 40, ..PLAIN }, 7);
    let durations = durations(&player);
    assert!(durations[0] <= 10_000_000 && durations[0] > 9_900_000, "{durations:?}");
    assert_eq!(player.newest.unwrap().target_duration_s, 10);
}

#[test]
fn segment_is_cut_before_it_gets_too_big() {
    let config = HlsConfig { max_segment_bytes: 100_000, ..config() };
    let recipe = Recipe { max_picture_bytes: 20_000, seconds: 10, ..PLAIN };
    let player = package_recipe(config, recipe, 8);
    let largest = player.fetched.iter().map(|(_, data)| data.len()).max().unwrap();
    assert!((80_000..101_000).contains(&largest), "{largest}");
    assert!(!player.newest.unwrap().independent);
}

#[test]
fn stream_begins_at_the_first_key_picture() {
    let mut frames = PLAIN.frames(&mut Rng(9));
    frames.drain(..70);
    let pushes = with(&PLAIN.tracks(), frames);
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
}

#[test]
fn sound_goes_on_alone_when_pictures_do_not_come_and_they_join_later() {
    let pushes = with(&PLAIN.tracks(), PLAIN.frames(&mut Rng(10)));
    // Pictures from 10 s on, in the middle of a GOP first.
    let comes = |frame: &Frame| frame.track == AUDIO || frame.dts >= 900_000 + 36_000;
    let pushes: Vec<_> = pushes.into_iter().filter(|(_, frame)| comes(frame)).collect();
    let (_, player) = package(config(), &pushes);
    let probe = player.probe();
    let first_sound = probe.of(0x101).next().unwrap();
    assert!((first_sound.dts - 90_000 - 4 * 90_000).abs() < 3_000, "{}", first_sound.dts);
    let first_picture = probe.of(0x100).next().unwrap();
    assert!(first_picture.random_access);
    assert_eq!(first_picture.dts, 90_000 + 12 * 90_000);
    assert_eq!(probe.of(0x100).count(), 8 * 25);
    assert!(player.newest.unwrap().entries.iter().all(|entry| !entry.discontinuity));
}

/// Found by a reader: two seconds of sound that waited for the first key picture fixed the target duration.
#[test]
fn sound_that_waits_for_pictures_does_not_settle_the_target_duration() {
    let mut frames = Recipe { gop: 200, seconds: 40, ..PLAIN }.frames(&mut Rng(10));
    // In the middle of a GOP: the key picture comes 6.5 s behind the first sound.
    frames.retain(|frame| frame.dts >= if frame.track == VIDEO { 135_000 } else { 72_000 });
    let (_, player) = package(config(), &with(&PLAIN.tracks(), frames));
    let playlist = player.newest.as_ref().unwrap();
    assert!(playlist.independent && playlist.target_duration_s == 8, "{playlist:?}");
    assert_eq!(player.fetched.len(), 5, "sound, then sound and a GOP, then GOPs: {:?}", durations(&player));
}

/// Nobody waits for pictures for ever.
#[test]
fn sound_without_the_pictures_that_were_announced_is_shown_behind_three_segments() {
    let mut packager = HlsPackager::new(config(), "s");
    let sounds = || PLAIN.frames(&mut Rng(10)).into_iter().filter(|frame| frame.track == AUDIO);
    let shown = sounds().find(|frame| packager.push(&PLAIN.tracks(), frame).unwrap()).unwrap();
    assert!((480_000..483_000).contains(&shown.dts), "4 s, and three segments: {}", shown.dts);
    assert_eq!(packager.view().unwrap().target_duration_s(), 2);
}

#[test]
fn segments_go_on_when_pictures_stop() {
    let pushes = with(&PLAIN.tracks(), PLAIN.frames(&mut Rng(11)));
    let pushes: Vec<_> =
        pushes.into_iter().filter(|(_, frame)| frame.track == AUDIO || frame.dts < 5 * 90_000).collect();
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    assert!(player.newest.unwrap().independent);
}

#[test]
fn change_of_tracks_begins_a_segment_behind_a_discontinuity() {
    let (video, audio) = (video_track(), audio_track(48_000));
    let other = Track::new(AUDIO, audio_track(44_100).config);
    let sets =
        [track_set(std::slice::from_ref(&video)), track_set(&[video.clone(), audio]), track_set(&[video, other])];
    let part = |index: usize, rate: u32| {
        let recipe = Recipe { seconds: 5, start_90k: 450_000 * index as i64, sample_rate_hz: rate, gop: 25, ..PLAIN };
        with(&sets[index], recipe.frames(&mut Rng(12)))
    };
    let pushes = [part(0, 0), part(1, 48_000), part(2, 44_100)].concat();
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    let breaks: Vec<usize> = (0..player.fetched.len()).filter(|index| player.fetched[*index].0.discontinuity).collect();
    assert_eq!(breaks, [3, 6]);
    assert_eq!(durations(&player)[..6].iter().sum::<i64>(), 10_000_000, "a change of tracks costs no time");
}

/// The video track with another configuration, and no word on its picture rate.
fn other_video_track() -> Track {
    let mut video = video_track();
    if let CodecConfig::H264(avc) = &mut video.config {
        avc.info.level = 40;
        avc.info.frame_rate = None;
    }
    video
}

#[test]
fn pictures_of_a_new_configuration_wait_for_a_key_picture() {
    let sets = [track_set(&[video_track()]), track_set(&[other_video_track()])];
    let frames = Recipe { sample_rate_hz: 0, seconds: 8, ..PLAIN }.frames(&mut Rng(33));
    let tracks = |frame: &Frame| Arc::clone(&sets[usize::from(frame.dts >= 3 * 90_000)]);
    let pushes: Vec<_> = frames.into_iter().map(|frame| (tracks(&frame), frame)).collect();
    let (packager, player) = package(config(), &pushes);
    let times: Vec<i64> = player.probe().units.iter().map(|unit| (unit.dts - 90_000) / 3_600).collect();
    assert_eq!(times, (0..75).chain(100..200).collect::<Vec<i64>>());
    assert!(packager.view().unwrap().multivariant("m").contains("\"avc1.640028\""));
}

#[test]
fn picture_rate_is_that_of_the_present_tracks() {
    let sets = [track_set(&[video_track()]), track_set(&[other_video_track()])];
    let slow = Recipe { picture_90k: 9_000, gop: 20, sample_rate_hz: 0, seconds: 10, ..PLAIN };
    let fast = Recipe { picture_90k: 3_600, gop: 50, start_90k: 900_000, ..slow };
    let pushes = [with(&sets[0], slow.frames(&mut Rng(34))), with(&sets[1], fast.frames(&mut Rng(35)))].concat();
    let (packager, _) = package(config(), &pushes);
    assert!(packager.view().unwrap().multivariant("m").contains(",FRAME-RATE=25.000\n"));
}

#[test]
fn short_first_segment_does_not_settle_the_target_duration() {
    // The sound is announced one picture late, as some encoders do; GOPs have 4 s.
    let sets = [track_set(&[video_track()]), PLAIN.tracks()];
    let mut frames = Recipe { gop: 100, ..PLAIN }.frames(&mut Rng(36));
    frames.retain(|frame| frame.track == VIDEO || frame.dts > 0);
    let pushes: Vec<_> =
        frames.into_iter().enumerate().map(|(index, frame)| (Arc::clone(&sets[index.min(1)]), frame)).collect();
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    let durations = durations(&player);
    assert_eq!(durations[2..5], [4_000_000; 3], "{durations:?}");
    assert_eq!(player.newest.as_ref().unwrap().target_duration_s, 4);
}

/// 20 s in GOPs of 4 s, beside whose pictures `other` is from 9 s to 13 s. Asserts that each segment begins with a key picture; returns
/// when each that has a discontinuity in front of it begins.
fn play_beside(other: &Track) -> Vec<i64> {
    let (alone, together) = (track_set(&[video_track()]), track_set(&[video_track(), other.clone()]));
    let mut pushes = Vec::new();
    for frame in (Recipe { gop: 100, ..PLAIN }).frames(&mut Rng(39)) {
        let ms = if frame.track == VIDEO { frame.dts / 90 } else { frame.dts / 48 };
        let is_beside = (9_000..13_000).contains(&ms);
        if frame.track == VIDEO || (is_beside && frame.track == other.id) {
            pushes.push((if is_beside { together.clone() } else { alone.clone() }, frame));
        }
    }
    let (_, player) = package(config(), &pushes);
    assert_eq!(player.probe().of(0x100).count(), 500);
    let (mut at_us, mut broken_us) = (0, Vec::new());
    for (entry, data) in &player.fetched {
        assert!(Probe::read(data).of(0x100).next().unwrap().random_access, "{other:?}: {entry:?} at {at_us}");
        broken_us.extend(entry.discontinuity.then_some(at_us));
        at_us += entry.duration_us;
    }
    broken_us
}

/// Found by a reader: the segment was cut where a tag was announced, and the next one began with pictures that nobody could decode.
#[test]
fn tracks_that_come_and_go_in_the_middle_of_a_gop_cost_no_picture() {
    let id3 = CodecConfig::parse(arcly_codec::Codec::Id3, Bytes::new()).unwrap();
    assert_eq!(play_beside(&Track::new(arcly_bus::TrackId(7), id3)), [], "data");
    assert_eq!(play_beside(&audio_track(48_000)), [12_000_000, 16_000_000], "sound, at the next key pictures");
}

/// Found by a reader: what came and went again between two key pictures was taken for a replacement, and the next picture was cut off.
#[test]
fn sound_that_comes_and_goes_within_one_gop_is_no_discontinuity() {
    let (alone, together) = (track_set(&[video_track()]), PLAIN.tracks());
    for is_beside_at_first in [false, true] {
        let mut pushes = Vec::new();
        for frame in (Recipe { gop: 100, ..PLAIN }).frames(&mut Rng(40)) {
            let ms = if frame.track == VIDEO { frame.dts / 90 } else { frame.dts / 48 };
            let is_beside = (9_000..9_300).contains(&ms) != is_beside_at_first;
            if frame.track == VIDEO || is_beside {
                pushes.push((if is_beside { together.clone() } else { alone.clone() }, frame));
            }
        }
        let (_, player) = package(config(), &pushes);
        assert_every_frame(&player, &pushes);
        let whole = |(entry, data): &(Entry, Bytes)| {
            !entry.discontinuity && Probe::read(data).of(0x100).next().unwrap().random_access
        };
        assert!(player.fetched.iter().all(whole), "{is_beside_at_first}: {:?}", durations(&player));
    }
}

#[test]
fn new_revision_without_a_change_is_no_discontinuity() {
    let frames = PLAIN.frames(&mut Rng(13));
    let set = |revision| Arc::new(TrackSet { revision, tracks: PLAIN.tracks().tracks.clone() });
    let pushes: Vec<_> =
        frames.into_iter().enumerate().map(|(index, frame)| (set(index as u32 / 100), frame)).collect();
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    assert!(player.fetched.iter().all(|(entry, _)| !entry.discontinuity));
}

#[test]
fn break_that_both_tracks_mark_is_one_discontinuity() {
    let first = PLAIN.frames(&mut Rng(14));
    let mut again = Recipe { start_90k: -900_000, ..PLAIN }.frames(&mut Rng(15));
    for id in [VIDEO, AUDIO] {
        let frame = again.iter_mut().find(|frame| frame.track == id).unwrap();
        frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
    }
    let pushes = with(&PLAIN.tracks(), [first, again].concat());
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    assert_eq!(player.fetched.iter().filter(|(entry, _)| entry.discontinuity).count(), 1);
}

#[test]
fn unmarked_jump_back_is_a_discontinuity() {
    let pushes = with(&PLAIN.tracks(), [PLAIN.frames(&mut Rng(16)), PLAIN.frames(&mut Rng(17))].concat());
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    assert_eq!(player.fetched.iter().filter(|(entry, _)| entry.discontinuity).count(), 1);
}

#[test]
fn gap_longer_than_a_segment_is_a_discontinuity() {
    let later = Recipe { start_90k: 90_000 * 60, ..PLAIN };
    let pushes = with(&PLAIN.tracks(), [PLAIN.frames(&mut Rng(18)), later.frames(&mut Rng(19))].concat());
    let (_, player) = package(config(), &pushes);
    assert_every_frame(&player, &pushes);
    let breaks = player.fetched.iter().filter(|(entry, _)| entry.discontinuity).count();
    assert_eq!((breaks, durations(&player).iter().max()), (1, Some(&2_000_000)));
}

#[test]
fn slow_pictures_are_listed_one_or_two_a_segment() {
    for picture_90k in [45_000, 90_000, 180_000, 270_000] {
        let recipe = Recipe { picture_90k, gop: 1, b_frames: false, sample_rate_hz: 0, seconds: 60, ..PLAIN };
        let player = package_recipe(config(), recipe, 20);
        assert!(player.fetched.iter().all(|(entry, _)| !entry.discontinuity));
        assert_eq!(durations(&player).iter().sum::<i64>(), 60_000_000);
    }
}

#[test]
fn dropped_segments_stay_for_a_while_and_are_freed() {
    let pushes = with(&PLAIN.tracks(), Recipe { seconds: 120, max_picture_bytes: 40, ..PLAIN }.frames(&mut Rng(21)));
    let (packager, player) = package(HlsConfig { playlist_segments: 3, ..config() }, &pushes);
    let view = packager.view().unwrap();
    let available = |index: usize| view.segment(&player.fetched[index].0.name).is_some();
    // Three listed; the ones before them for 2 s + 8 s: the playlist had four for a moment, in the same change.
    let known: Vec<bool> = (0..60).map(available).collect();
    let first = known.iter().position(|known| *known).unwrap();
    assert!((51..=53).contains(&first), "{first}");
    assert!(known[first..].iter().all(|known| *known));
    assert!(["s-1.ts", "s-60.ts", "x-59.ts"].iter().all(|name| view.segment(name).is_none()));
}

#[test]
fn memory_is_bounded_whatever_the_bit_rate() {
    let config = HlsConfig { max_window_bytes: 1_000_000, ..config() };
    let recipe = Recipe { max_picture_bytes: 20_000, ..PLAIN };
    let mut packager = HlsPackager::new(config, "s");
    let mut player = Player { sheds: true, ..Player::default() };
    for frame in recipe.frames(&mut Rng(22)) {
        if packager.push(&recipe.tracks(), &frame).unwrap() {
            let view = packager.view().unwrap();
            assert!(view.window_bytes() <= 1_000_000, "{}", view.window_bytes());
            player.fetch(&view);
        }
    }
    assert_eq!(player.newest.unwrap().entries.len(), 1);
}

#[test]
fn what_the_host_moves_away_stays_listed_and_costs_no_memory() {
    let memory = Duration::from_secs(12);
    let recipe = Recipe { seconds: 300, ..PLAIN };
    for moves in [true, false] {
        let config = HlsConfig { playlist_segments: 60, memory: Some(memory), ..config() };
        let mut packager = HlsPackager::new(config, "s");
        for frame in recipe.frames(&mut Rng(23)) {
            if packager.push(&recipe.tracks(), &frame).unwrap() && moves {
                let movable = packager.view().unwrap().movable(memory.as_micros() as i64);
                movable.iter().for_each(|segment| segment.move_away(Arc::new(segment.name().to_owned())));
            }
        }
        let view = packager.view().unwrap();
        let playlist = parse(view.media_playlist());
        let held = playlist.entries.iter().map(|entry| view.segment(&entry.name).unwrap());
        let here = held.filter(|held| matches!(held, Held::Here(_))).count();
        // Six of two seconds; without a host that takes the rest, as much again and ten seconds more.
        assert_eq!((playlist.entries.len(), here), if moves { (60, 6) } else { (17, 17) });
        let Some(Held::Away(name)) = view.segment(&playlist.entries[0].name).filter(|_| moves) else { continue };
        assert_eq!(name.downcast_ref::<String>(), Some(&playlist.entries[0].name));
    }
}

#[test]
fn timeline_that_breaks_at_every_frame_grows_nothing() {
    let mut packager = HlsPackager::new(config(), "s");
    let tracks = track_set(&[video_track()]);
    let mut rng = Rng(23);
    for index in 0..3_000 {
        let mut frame = picture(&mut rng, index * 2, 0, index == 0, 10);
        frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
        packager.push(&tracks, &frame).unwrap();
    }
    let view = packager.view().unwrap();
    assert!(view.media_playlist().len() < 10_000 && view.segments.len() <= 130, "{}", view.segments.len());
}

#[test]
fn bad_frames_are_refused_and_the_rest_goes_on() {
    let tracks = PLAIN.tracks();
    let pushes = with(&tracks, PLAIN.frames(&mut Rng(24)));
    let bad = Frame { payload: vec![0, 0, 0, 9, 1].into(), ..pushes[0].1.clone() };
    let stranger = Frame { track: arcly_bus::TrackId(9), ..bad.clone() };
    let empty = Frame { payload: Bytes::new(), ..bad.clone() };
    let mut packager = HlsPackager::new(config(), "s");
    for (tracks, frame) in &pushes {
        assert!(matches!(packager.push(tracks, &bad), Err(PackError::Malformed { .. })));
        assert!(matches!(packager.push(tracks, &stranger), Err(PackError::Misuse { .. })));
        assert_eq!(packager.push(tracks, &empty), Ok(false));
        packager.push(tracks, frame).unwrap();
    }
    assert!(packager.finish() && !packager.finish());
    assert!(matches!(packager.push(&tracks, &bad), Err(PackError::Misuse { .. })));
    let (clean, _) = package(config(), &pushes);
    let views = (packager.view().unwrap(), clean.view().unwrap());
    assert_eq!(views.0.media_playlist(), views.1.media_playlist());
}

#[test]
fn stream_without_media_has_no_view() {
    let mut packager = HlsPackager::new(config(), "s");
    assert!(!packager.finish() && packager.view().is_none());
    let mut packager = HlsPackager::new(config(), "s");
    packager.push(&PLAIN.tracks(), &sound(&mut Rng(25), 0, 100)).unwrap();
    assert!(!packager.finish() && packager.view().is_none());
}

#[test]
fn track_that_mpegts_cannot_carry_is_left_out() {
    let mut odd = audio_track(48_000);
    if let CodecConfig::Aac(asc) = &mut odd.config {
        asc.object_type = 42;
    }
    let pushes = with(&track_set(&[video_track(), odd.clone()]), PLAIN.frames(&mut Rng(26)));
    let (packager, player) = package(config(), &pushes);
    assert_eq!(player.probe().of(0x101).count(), 0);
    assert_eq!(player.probe().of(0x100).count(), 500);
    assert!(packager.view().unwrap().multivariant("m").contains(",CODECS=\"avc1.64001f\","));
    let mut packager = HlsPackager::new(config(), "s");
    let refused = packager.push(&track_set(&[odd]), &sound(&mut Rng(27), 0, 9));
    assert!(matches!(refused, Err(PackError::Unsupported { .. })));
}

#[test]
fn bandwidth_is_the_peak_and_the_average_of_the_segments() {
    let recipe = Recipe { b_frames: false, sample_rate_hz: 0, seconds: 8, ..PLAIN };
    let mut frames = recipe.frames(&mut Rng(28));
    let large = picture(&mut Rng(29), 0, 0, false, 500_000).payload;
    frames[60].payload = large;
    let (packager, player) = package(config(), &with(&recipe.tracks(), frames));
    let sizes: Vec<u64> = player.fetched.iter().map(|(_, data)| data.len() as u64).collect();
    let (peak, average) = (sizes[1] * 4, sizes.iter().sum::<u64>());
    let text = packager.view().unwrap().multivariant("m");
    assert!(text.contains(&format!(":BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS")), "{text}");
}

#[test]
fn bandwidth_of_a_short_segment_counts_with_its_neighbours() {
    let recipe = Recipe { b_frames: false, sample_rate_hz: 0, seconds: 8, ..PLAIN };
    let mut frames = recipe.frames(&mut Rng(37));
    frames[100].payload = picture(&mut Rng(38), 0, 0, false, 500_000).payload;
    // A segment of one picture, and a large one.
    frames[101].flags = frames[101].flags.with(FrameFlags::DISCONTINUITY);
    let (packager, player) = package(config(), &with(&recipe.tracks(), frames));
    let sizes: Vec<u64> = player.fetched.iter().map(|(_, data)| data.len() as u64).collect();
    let us = durations(&player)[2..4].iter().sum::<i64>() as u64;
    let peak = (sizes[2] + sizes[3]) * 8_000_000 / us;
    let text = packager.view().unwrap().multivariant("m");
    assert!(text.contains(&format!(":BANDWIDTH={peak},")), "{text} {peak}");
}

#[test]
fn picture_rate_is_measured_when_the_encoder_does_not_say() {
    for (claimed, expected) in [(None, "25.000"), (Some((u32::MAX, 1)), "25.000"), (Some((60_000, 1_001)), "59.940")] {
        let mut video = video_track();
        if let CodecConfig::H264(avc) = &mut video.config {
            avc.info.frame_rate = claimed;
        }
        let recipe = Recipe { sample_rate_hz: 0, ..PLAIN };
        let (packager, _) = package(config(), &with(&track_set(&[video]), recipe.frames(&mut Rng(30))));
        let text = packager.view().unwrap().multivariant("m");
        assert!(text.contains(&format!(",FRAME-RATE={expected}\n")), "{text}");
    }
}

/// Irregular GOPs and frame rates, gaps, breaks and changes of tracks, as the seed has it.
fn random_pushes(rng: &mut Rng) -> Vec<(Arc<TrackSet>, Frame)> {
    let mut pushes: Vec<(Arc<TrackSet>, Frame)> = Vec::new();
    let rate = [0, 44_100, 48_000][rng.below(3) as usize];
    let mut start_90k = rng.below(1 << 34) as i64;
    for _ in 0..1 + rng.below(5) {
        let recipe = Recipe {
            picture_90k: if rate > 0 && rng.one_in(6) { 0 } else { 90_000 / (5 + rng.below(26) as i64) },
            gop: 1 + rng.below(150),
            b_frames: rng.one_in(2),
            sample_rate_hz: rate,
            seconds: 1 + rng.below(12) as i64,
            start_90k,
            max_picture_bytes: 300,
        };
        let mut frames = recipe.frames(rng);
        frames.retain(|frame| frame.is_key() || !rng.one_in(40));
        if rng.one_in(3) {
            let marked = rng.below(frames.len() as u64) as usize;
            frames[marked].flags = frames[marked].flags.with(FrameFlags::DISCONTINUITY);
        }
        pushes.extend(with(&recipe.tracks(), frames));
        start_90k += recipe.seconds * 90_000 + [0, 0, 9_000, 400_000, 5_000_000, -700_000][rng.below(6) as usize];
    }
    pushes
}

#[test]
fn random_streams_keep_every_rule() {
    for seed in 0..25 {
        let _seed = Seed(seed);
        let mut rng = Rng(seed);
        let pushes = random_pushes(&mut rng);
        let config = HlsConfig {
            segment_target: Duration::from_millis(500 + rng.below(4_000)),
            playlist_segments: 3 + rng.below(6) as usize,
            max_segment_bytes: [20_000, 64 << 20][rng.below(2) as usize],
            ..config()
        };
        let (_, player) = package(config, &pushes);
        assert_admitted(&player, &pushes);
    }
}

/// As [`assert_every_frame`], where pictures come and go with their track: what is held back is only what comes before a
/// key picture of a new configuration.
fn assert_admitted(player: &Player, pushes: &[(Arc<TrackSet>, Frame)]) {
    let mut video: Option<&Track> = None;
    let (mut pictures, mut sounds) = (false, false);
    let mut admitted: Vec<&(Arc<TrackSet>, Frame)> = Vec::new();
    for push in pushes {
        let (tracks, frame) = push;
        if tracks.find(VIDEO) != video {
            video = tracks.find(VIDEO);
            pictures = false;
        }
        pictures |= frame.is_key();
        sounds |= pictures || video.is_none();
        if if frame.track == VIDEO { pictures } else { sounds } {
            admitted.push(push);
        }
    }
    let probe = player.probe();
    for id in [VIDEO, AUDIO] {
        let units: Vec<&Unit> = probe.of(0x100 + u16::from(id.0)).collect();
        let admitted: Vec<_> = admitted.iter().filter(|(_, frame)| frame.track == id).collect();
        assert_eq!(units.len(), admitted.len(), "{id:?}");
        units
            .iter()
            .zip(admitted)
            .for_each(|(unit, (tracks, frame))| assert_carries(unit, tracks.find(id).unwrap(), frame));
    }
}

/// Nothing that a publisher says about time makes the packager panic, grow, or break a rule.
#[test]
fn hostile_times_keep_the_playlist_true() {
    for seed in 0..50 {
        let _seed = Seed(seed);
        let mut rng = Rng(seed ^ 0x5EED);
        let mut packager = HlsPackager::new(config(), "s");
        let mut player = Player { sheds: true, ..Player::default() };
        let mut dts = 0_i64;
        for index in 0..200 {
            dts = match rng.below(12) {
                0 => rng.next() as i64,
                1 => dts.wrapping_sub(rng.below(2_000_000) as i64),
                2 => i64::MAX - rng.below(3) as i64,
                3 => i64::MIN,
                _ => dts.wrapping_add(rng.below(40_000) as i64),
            };
            let mut frame = if rng.one_in(2) { sound(&mut rng, 0, 20) } else { picture(&mut rng, 0, 0, index < 2, 20) };
            frame.flags = frame.flags.with(FrameFlags::from_bits(rng.below(32).saturating_sub(28) as u8));
            (frame.dts, frame.pts) = (dts, dts.wrapping_add(rng.below(9_000) as i64));
            frame.duration = if rng.one_in(9) { rng.next() as u32 } else { 0 };
            if packager.push(&PLAIN.tracks(), &frame).unwrap() {
                player.fetch(&packager.view().unwrap());
            }
        }
        if packager.finish() {
            player.fetch(&packager.view().unwrap());
        }
        assert!(packager.view().is_none_or(|view| view.segments.len() <= 130 && view.window_bytes() < 8 << 20));
    }
}

#[test]
fn absurd_configurations_do_not_overflow() {
    let absurd = HlsConfig {
        segment_target: Duration::MAX,
        playlist_segments: usize::MAX,
        target_duration_min: Duration::MAX,
        first_segment_max: Duration::MAX,
        max_segment_bytes: usize::MAX,
        max_window_bytes: usize::MAX,
        memory: Some(Duration::MAX),
        encryption: None,
    };
    package_recipe(absurd, PLAIN, 31);
    let zero = HlsConfig {
        segment_target: Duration::ZERO,
        playlist_segments: 0,
        target_duration_min: Duration::ZERO,
        first_segment_max: Duration::ZERO,
        max_segment_bytes: 0,
        max_window_bytes: 0,
        memory: Some(Duration::ZERO),
        encryption: None,
    };
    let mut packager = HlsPackager::new(zero, "s");
    let mut player = Player { sheds: true, ..Player::default() };
    let recipe = Recipe { seconds: 3, ..PLAIN };
    for frame in recipe.frames(&mut Rng(32)) {
        if packager.push(&PLAIN.tracks(), &frame).unwrap() {
            player.fetch(&packager.view().unwrap());
        }
    }
}

/// What ffmpeg finds in the playlist at `directory`: a line of hash and times a packet.
fn framemd5(directory: &Scratch, input: &str, map: &str) -> Vec<String> {
    let args =
        ["-v", "warning", "-copyts", "-i", input, "-map", map, "-c", "copy", "-f", "framehash", "-hash", "md5", "-"];
    let text = String::from_utf8(run("ffmpeg", &args, &directory.path(""))).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn ffmpeg_reads_the_playlist() {
    let scratch = Scratch::new("hls");
    let clip = Clip::make(&scratch, 7);
    let (packager, player) =
        package(HlsConfig { playlist_segments: 10, ..config() }, &with(&clip.tracks, clip.frames.clone()));
    let view = packager.view().unwrap();
    scratch.write("media.m3u8", view.media_playlist());
    scratch.write("index.m3u8", view.multivariant("media.m3u8").as_bytes());
    player.fetched.iter().for_each(|(entry, data)| drop(scratch.write(&entry.name, data)));
    assert!(player.fetched.len() >= 4);
    run("ffmpeg", &["-v", "warning", "-i", "index.m3u8", "-f", "null", "-"], &scratch.path(""));
    for (map, track) in [("0:v", VIDEO), ("0:a", AUDIO)] {
        let rate = i64::from(clip.tracks.find(track).unwrap().clock_rate_hz);
        let ticks_90k = |ticks: i64| (ticks * 90_000 * 2 + rate).div_euclid(2 * rate) + 90_000;
        let expected: Vec<(i64, i64)> =
            clip.of(track).map(|frame| (ticks_90k(frame.dts), ticks_90k(frame.pts))).collect();
        let line = |line: &String| {
            let fields: Vec<i64> = line.split(',').take(3).map(|field| field.trim().parse().unwrap()).collect();
            (fields[1], fields[2])
        };
        let seen: Vec<(i64, i64)> = framemd5(&scratch, "index.m3u8", map).iter().map(line).collect();
        assert_eq!(seen, expected, "{map}");
    }
    let decode = |file: &str, map: &str| {
        run("ffmpeg", &["-v", "error", "-i", file, "-map", map, "-f", "md5", "-"], &scratch.path(""))
    };
    assert_eq!(decode("index.m3u8", "0:v"), decode("clip.h264", "0:v"));
    assert_eq!(decode("index.m3u8", "0:a"), decode("clip.aac", "0:a"));
}

#[test]
fn tags_of_id3_go_along_in_the_segments() {
    let id3 = Track::new(arcly_bus::TrackId(7), CodecConfig::parse(arcly_codec::Codec::Id3, Bytes::new()).unwrap());
    let tracks = track_set(&[video_track(), audio_track(48_000), id3]);
    let mut packager = HlsPackager::new(HlsConfig::default(), "s");
    let mut sent = 0;
    for frame in PLAIN.frames(&mut Rng(1)) {
        packager.push(&tracks, &frame).unwrap();
        if frame.track == VIDEO && frame.dts % 90_000 == 0 {
            let payload = Bytes::from_static(b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0");
            let tag = Frame { track: arcly_bus::TrackId(7), payload, flags: FrameFlags::NONE, ..frame };
            packager.push(&tracks, &tag).unwrap();
            sent += 1;
        }
    }
    packager.finish();
    let view = packager.view().unwrap();
    let found: usize =
        view.segments.iter().map(|it| bytes_of(&**it).windows(4).filter(|four| four == b"TXXX").count()).sum();
    // The oldest segments are gone by now.
    assert!(sent >= 18 && found >= 14, "{found} of {sent}");
    assert_eq!(parse(view.media_playlist()).discontinuity_sequence, 0);
}

fn bytes_of(segment: &impl Movable) -> Bytes {
    segment.held().into_bytes().unwrap()
}
