//! What playlists name can be had, and is what was recorded.

use std::sync::Arc;

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig, h264::AvcConfig};
use bytes::Bytes;

use super::*;
use crate::{
    Item,
    container::Container,
    mp4::{Head, Mp4Demuxer, OutlineReader, Step},
    testing::{AUDIO, Recipe, Rng, VIDEO, audio_track},
};

const SECONDS: i64 = 30;

/// An avcC record of libx264.
const RECORD: [u8; 37] = [
    1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3, 0,
    0x40, 0, 0, 7, 0x83, 0xc5, 0x0a, 0xa8, 1, 0, 4, 0x68, 0xce, 0x0f, 0xc8,
];

fn stream() -> (Arc<TrackSet>, Vec<Frame>) {
    let recipe = Recipe {
        picture_90k: 3600,
        gop: 50,
        b_frames: true,
        sample_rate_hz: 48_000,
        seconds: SECONDS,
        start_90k: 0,
        max_picture_bytes: 400,
    };
    let config = AvcConfig::parse(Bytes::from_static(&RECORD)).unwrap();
    let tracks =
        TrackSet { revision: 1, tracks: vec![Track::new(VIDEO, CodecConfig::H264(config)), audio_track(48_000)] };
    (Arc::new(tracks), recipe.frames(&mut Rng(7)).into_iter().map(with_header).collect())
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

/// Frames as a file, a fragment a second; times begin at 0. Returns the file and what was taken off, in seconds.
fn file(tracks: &TrackSet, frames: &[Frame]) -> (Bytes, i64) {
    let seconds = |frame: &Frame| frame.dts.div_euclid(i64::from(clock_hz(frame.track)));
    let base = frames.iter().map(seconds).min().unwrap();
    let mut muxer = Fmp4Muxer::new(tracks).unwrap();
    let mut out = muxer.init_segment().to_vec();
    for group in frames.chunk_by(|one, other| seconds(one) == seconds(other)) {
        let shifted: Vec<Frame> = group.iter().map(|frame| moved(frame, -base)).collect();
        muxer.write_fragment(&shifted, &Head::default(), &mut out).unwrap();
    }
    (out.into(), base)
}

fn clock_hz(track: TrackId) -> u32 {
    if track == VIDEO { 90_000 } else { 48_000 }
}

fn moved(frame: &Frame, seconds: i64) -> Frame {
    let ticks = seconds * i64::from(clock_hz(frame.track));
    Frame { pts: frame.pts + ticks, dts: frame.dts + ticks, ..frame.clone() }
}

fn outline(file: &Bytes) -> Outline {
    let mut reader = OutlineReader::new(file.len() as u64);
    while let Some(Step::Read { offset, bytes }) = reader.step().unwrap() {
        reader.supply(offset, file.slice(offset as usize..offset as usize + bytes));
    }
    reader.finish()
}

fn piece(file: &Bytes, number: u64, base: i64, position_s: i64, follows: bool) -> Piece {
    let outline = Arc::new(outline(file));
    let init = file.slice(..outline.init_bytes as usize);
    let (position_us, began_unix_ms) = (position_s as u64 * 1_000_000, 1_700_000_000_000);
    let (form, base_ticks) = (Form::Stream(Container::Mp4), base * 6000);
    Piece { outline, init, form, number, position_us, base_ticks, base_hz: 6000, follows, began_unix_ms }
}

#[test]
fn what_was_kept_of_fragments_is_the_same_with_one_of_them() {
    let (tracks, frames) = stream();
    let (file, _) = file(&tracks, &frames);
    let (outline, init) = (outline(&file), file.slice(..outline(&file).init_bytes as usize));
    let packed = Bytes::from(pack_fragments(&outline, &init, file.len() as u64).unwrap());
    let kept = PackedOutline::parse(&packed).unwrap();
    assert_eq!((kept.container(), kept.file_bytes), (Container::Mp4, file.len() as u64));
    let Range { offset, bytes } = kept.tracks_in;
    let part = &file[offset as usize..(offset + bytes) as usize];
    assert_eq!(kept.with_part(part).unwrap(), (outline, init));
}

/// A recording in files that end at these seconds; those named in `gaps` do not follow.
fn recording(ends: &[i64], gaps: &[u64], has_ended: bool) -> (Vod, Vec<Bytes>, Vec<Frame>) {
    recording_with(stream().1, ends, gaps, has_ended)
}

fn second(frame: &Frame) -> i64 {
    frame.dts.div_euclid(i64::from(clock_hz(frame.track)))
}

fn recording_with(frames: Vec<Frame>, ends: &[i64], gaps: &[u64], has_ended: bool) -> (Vod, Vec<Bytes>, Vec<Frame>) {
    let tracks = stream().0;
    let (mut pieces, mut files, mut begin) = (Vec::new(), Vec::new(), 0);
    for (number, &end) in (0_u64..).zip(ends) {
        let own: Vec<Frame> = frames.iter().filter(|frame| (begin..end).contains(&second(frame))).cloned().collect();
        let (file, base) = file(&tracks, &own);
        pieces.push(piece(&file, number, base, base, number > 0 && !gaps.contains(&number)));
        files.push(file);
        begin = end;
    }
    (Vod::new(pieces, has_ended), files, frames)
}

/// All frames of a track, segment by segment, as the playlist names them.
fn played(vod: &Vod, files: &[Bytes], track: TrackId) -> Vec<Frame> {
    let playlist = vod.media_playlist(track).unwrap();
    let (mut init, mut frames) = (Bytes::new(), Vec::new());
    for line in playlist.lines() {
        if let Some(map) = line.strip_prefix("#EXT-X-MAP:URI=\"init-") {
            init = vod.init_segment(map.split('-').next().unwrap().parse().unwrap(), track).unwrap();
        }
        let Some(name) = line.strip_suffix(".m4s").filter(|name| !name.ends_with("-gap")) else { continue };
        let segment = vod.segment(track, name.split_once('-').unwrap().1.parse().unwrap()).unwrap();
        let Range { offset, bytes } = segment.range;
        let file = files[segment.piece].slice(offset as usize..(offset + bytes) as usize);
        let mut demuxer = Mp4Demuxer::new();
        demuxer.push(&init).unwrap();
        demuxer.push(&vod.segment_bytes(&segment, &file).unwrap()).unwrap();
        demuxer.finish();
        let found = std::iter::from_fn(|| demuxer.poll());
        frames.extend(found.filter_map(|item| if let Item::Frame(frame) = item { Some(frame) } else { None }));
    }
    frames
}

fn essence(frames: impl IntoIterator<Item = Frame>, track: TrackId) -> Vec<(i64, i64, Bytes)> {
    let own = frames.into_iter().filter(|frame| frame.track == track);
    own.map(|frame| (frame.pts, frame.dts, frame.payload)).collect()
}

#[test]
fn segments_have_every_frame_at_its_time_over_the_ends_of_files() {
    let (vod, files, frames) = recording(&[8, 20, SECONDS + 1], &[], true);
    assert_eq!(vod.sections.len(), 1);
    for track in [VIDEO, AUDIO] {
        // A file of one track calls that track 0.
        let found: Vec<Frame> = played(&vod, &files, track).into_iter().map(|frame| Frame { track, ..frame }).collect();
        let (found, expected) = (essence(found, track), essence(frames.clone(), track));
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "{track:?}");
    }
}

#[test]
fn a_gap_is_a_discontinuity_and_a_period() {
    let (vod, files, frames) = recording(&[8, 20, SECONDS + 1], &[1], true);
    assert_eq!(vod.sections.len(), 2);
    let playlist = vod.media_playlist(VIDEO).unwrap();
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert_eq!(playlist.matches("#EXT-X-MAP").count(), 2);
    assert_eq!(vod.manifest().matches("<Period ").count(), 2);
    let found: Vec<Bytes> = played(&vod, &files, VIDEO).into_iter().map(|frame| frame.payload).collect();
    let expected = frames.into_iter().filter(|frame| frame.track == VIDEO).map(|frame| frame.payload);
    assert!(found == expected.collect::<Vec<_>>());
}

/// How long the segments of a playlist are, in seconds.
fn lasts(playlist: &str) -> Vec<f64> {
    let texts = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    texts.map(|text| text.parse().unwrap()).collect()
}

/// Found by a reader: the sound from there on was one segment of hours, which is more than anybody is given.
#[test]
fn where_pictures_cease_the_sound_goes_on_in_segments_and_pictures_that_come_again_are_at_their_time() {
    for again_s in [24, SECONDS + 1] {
        let mut frames = stream().1;
        frames.retain(|frame| frame.track == AUDIO || second(frame) < 5 || second(frame) >= again_s);
        let (vod, files, frames) = recording_with(frames, &[10, 20, SECONDS + 1], &[], true);
        for track in [VIDEO, AUDIO] {
            let found = played(&vod, &files, track).into_iter().map(|frame| Frame { track, ..frame });
            assert!(essence(found, track) == essence(frames.clone(), track), "{track:?}");
            let lasts = lasts(&vod.media_playlist(track).unwrap());
            assert!(lasts.iter().all(|&lasts| lasts < 10.0), "{track:?} {lasts:?}");
            let sum = if track == VIDEO && again_s > SECONDS { 5.0 } else { SECONDS as f64 };
            assert!((lasts.iter().sum::<f64>() - sum).abs() < 0.2, "{track:?} {lasts:?}");
        }
        assert_eq!(vod.media_playlist(VIDEO).unwrap().contains("EXT-X-GAP"), again_s == 24);
        let clip = vod.clip(15_000_000, 17_000_000).unwrap();
        assert!((10_000_000..=15_000_000).contains(&clip.begin_us), "{}", clip.begin_us);
        assert_eq!(clip.parts.len(), 1);
    }
}

/// Found by reading: the gap in front of the sound is where pictures are first decoded, and the period began there, with nothing to show.
#[test]
fn a_period_begins_with_what_is_first_presented_where_a_track_is_late() {
    let mut frames = stream().1;
    frames.retain(|frame| frame.track == VIDEO || second(frame) >= 10);
    let first_pts = frames.iter().filter(|frame| frame.track == VIDEO).map(|frame| frame.pts).min().unwrap();
    let (vod, ..) = recording_with(frames, &[SECONDS + 1], &[], true);
    assert!(vod.sections[0].cuts_of(AUDIO).unwrap().1[0].is_gap());
    assert_eq!(vod.sections[0].begin_us(), first_pts * 100 / 9);
}

#[test]
fn segments_begin_with_key_frames_and_are_as_long_as_the_playlist_says() {
    let (vod, files, _) = recording(&[SECONDS + 1], &[], true);
    let playlist = vod.media_playlist(VIDEO).unwrap();
    let lasts = lasts(&playlist);
    let target: f64 = playlist.split("TARGETDURATION:").nth(1).unwrap().split('\n').next().unwrap().parse().unwrap();
    assert!(lasts.iter().all(|lasts| lasts.round() <= target), "{lasts:?} {target}");
    assert!((lasts.iter().sum::<f64>() - SECONDS as f64).abs() < 0.1, "{lasts:?}");
    assert!(lasts.len() > 5);
    let found = played(&vod, &files, VIDEO);
    assert_eq!(found.iter().filter(|frame| frame.is_key()).count(), 15);
}

#[test]
fn the_last_segment_of_a_recording_that_goes_on_is_not_named() {
    let (ended, ..) = recording(&[8, SECONDS + 1], &[], true);
    let (grows, ..) = recording(&[8, SECONDS + 1], &[], false);
    let count = |vod: &Vod| vod.media_playlist(VIDEO).unwrap().matches("#EXTINF").count();
    assert_eq!(count(&grows) + 1, count(&ended));
    assert!(!grows.media_playlist(VIDEO).unwrap().contains("ENDLIST"));
}

#[test]
fn names_stay_right_when_the_first_files_are_deleted() {
    let (vod, files, _) = recording(&[8, 20, SECONDS + 1], &[], true);
    let later = Vod::new(vod.pieces()[1..].to_vec(), true);
    let names = |vod: &Vod| -> Vec<String> {
        let playlist = vod.media_playlist(AUDIO).unwrap();
        playlist.lines().filter(|line| line.ends_with(".m4s")).map(str::to_owned).collect()
    };
    for name in names(&vod).iter().filter(|name| !names(&later).contains(name)) {
        let begin: i64 = name.strip_suffix(".m4s").unwrap().split_once('-').unwrap().1.parse().unwrap();
        assert!(begin < 8 * 48_000, "{name}");
        assert!(later.segment(AUDIO, begin).is_none());
    }
    assert!(!played(&later, &files[1..], AUDIO).is_empty());
}

#[test]
fn a_clip_begins_at_the_key_frame_before_and_ends_where_it_is_told() {
    let (vod, ..) = recording(&[8, 20, SECONDS + 1], &[], true);
    let plan = vod.clip(5_000_000, 9_500_000).unwrap();
    assert!((3_900_000..=4_200_000).contains(&plan.begin_us), "{}", plan.begin_us);
    assert_eq!(plan.parts.iter().map(|part| part.piece).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(vod.clip(i64::MAX, i64::MAX).unwrap().parts.len(), 1, "the last key frame there is");
    assert!(Vod::new(Vec::new(), true).clip(0, 1).is_none());
}

fn sound(id: u8, codec: Codec, record: &[u8]) -> Track {
    Track::new(TrackId(id), CodecConfig::parse(codec, record.to_vec().into()).unwrap())
}

/// A recording of these tracks, sounds as if each were a copy of the first; without pictures where none of them has some.
fn recording_of(tracks: &[Track]) -> Vod {
    let copies = |frame: Frame| -> Vec<Frame> {
        let own = tracks.iter().filter(|track| (track.kind() == MediaKind::Video) == (frame.track == VIDEO));
        // A frame of MPEG audio begins with its configuration.
        let payload = |track: &Track| match track.config.codec() {
            Codec::Mp2 => [&MP2[..], &frame.payload].concat().into(),
            _ => frame.payload.clone(),
        };
        own.map(|track| Frame { track: track.id, payload: payload(track), ..frame.clone() }).collect()
    };
    let frames: Vec<Frame> = stream().1.into_iter().flat_map(copies).collect();
    let (file, base) = file(&TrackSet { revision: 1, tracks: tracks.to_vec() }, &frames);
    Vod::new(vec![piece(&file, 0, base, base, false)], true)
}

fn lines(playlist: &str, tag: &str) -> Vec<String> {
    playlist.lines().filter(|line| line.starts_with(tag)).map(str::to_owned).collect()
}

fn codecs(variant: &str) -> &str {
    variant.split_once("CODECS=\"").unwrap().1.split_once('"').unwrap().0
}

fn pictures() -> Track {
    stream().0.tracks[0].clone()
}

/// Records of ffmpeg, as the tests of the codecs have them.
const AC3: [u8; 3] = [0x50, 0x3d, 0xe0];
const G711: [u8; 6] = [0, 0, 0x1f, 0x40, 1, 8];
const MP2: [u8; 4] = [0xff, 0xfd, 0xe4, 0x04];
const VP8: [u8; 8] = [0, 0, 0x82, 2, 2, 6, 0, 0];

/// Found by a reader: all sounds were in one variant, which hls.js drops where the browser lacks one of them, and with it the recording.
#[test]
fn sounds_of_two_codecs_are_two_variants() {
    let vod = recording_of(&[pictures(), audio_track(48_000), sound(2, Codec::Ac3, &AC3)]);
    let playlist = vod.multivariant_playlist();
    let variants = lines(&playlist, "#EXT-X-STREAM-INF:");
    let named: Vec<&str> = variants.iter().map(|variant| codecs(variant)).collect();
    assert_eq!(named, ["avc1.42c00c,mp4a.40.2", "avc1.42c00c,ac-3"], "{playlist}");
    assert!(variants[0].ends_with(",AUDIO=\"aac\"") && variants[1].ends_with(",AUDIO=\"ac3\""), "{playlist}");
    let media = lines(&playlist, "#EXT-X-MEDIA:");
    assert!(media[0].contains("GROUP-ID=\"aac\"") && media[0].ends_with("URI=\"1.m3u8\""), "{playlist}");
    assert!(media[1].contains("GROUP-ID=\"ac3\"") && media[1].ends_with("URI=\"2.m3u8\""), "{playlist}");
}

/// Found by a reader: the codecs of an IP camera ended in a comma, and a sound was announced that no browser takes.
#[test]
fn sound_that_players_do_not_take_is_left_out_beside_what_they_do() {
    for strange in [sound(1, Codec::G711A, &G711), sound(1, Codec::Mp2, &MP2)] {
        let vod = recording_of(&[pictures(), strange.clone()]);
        let playlist = vod.multivariant_playlist();
        let [variant] = &lines(&playlist, "#EXT-X-STREAM-INF:")[..] else { panic!("{playlist}") };
        assert_eq!(codecs(variant), "avc1.42c00c");
        assert!(!playlist.contains("#EXT-X-MEDIA:") && !variant.contains("AUDIO="), "{playlist}");
        assert!(!vod.manifest().contains("codecs=\"\""), "{}", vod.manifest());
        assert_eq!(vod.clip(0, 1).unwrap().tracks.len(), 2, "a clip has all of it");
        // Alone, it is better than nothing.
        let alone = recording_of(&[strange]);
        assert!(alone.multivariant_playlist().ends_with("\n1.m3u8\n"), "{}", alone.multivariant_playlist());
        assert!(alone.manifest().contains("<AdaptationSet "));
    }
}

/// VP8 in MP4 is for few players: those that have no form for it hear the sound, as they do live.
#[test]
fn pictures_that_few_players_take_are_one_variant_and_sound_alone_another() {
    let vod = recording_of(&[
        Track::new(VIDEO, CodecConfig::parse(Codec::Vp8, VP8.to_vec().into()).unwrap()),
        audio_track(48_000),
    ]);
    let playlist = vod.multivariant_playlist();
    let variants = lines(&playlist, "#EXT-X-STREAM-INF:");
    let named: Vec<&str> = variants.iter().map(|variant| codecs(variant)).collect();
    assert_eq!(named, ["vp8,mp4a.40.2", "mp4a.40.2"], "{playlist}");
}
