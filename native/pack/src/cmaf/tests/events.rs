//! Tags and cues: events in the segments, date ranges in the playlists.

use super::*;

/// The sample of ANSI/SCTE 35 §14.2: a break of a minute.
const CUE: &str =
    "FC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";

fn cue() -> Bytes {
    (0..CUE.len() / 2).map(|at| u8::from_str_radix(&CUE[2 * at..][..2], 16).unwrap()).collect()
}

/// A tag of ID3v2.4 with an empty text.
const TAG: &[u8] = b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0";

/// 20 s with a tag at 5 s and a cue at 7 s.
fn play_with_events(window: Duration) -> Scene {
    let cue = cue();
    let data = |id, codec| Track::new(TrackId(id), CodecConfig::parse(codec, Bytes::new()).unwrap());
    let (id3, scte35) = (data(7, Codec::Id3), data(8, Codec::Scte35));
    let tracks = track_set(&[video_track(), audio_track(48_000), id3, scte35]);
    let mut scene = Scene::new(CmafConfig { window, ..CmafConfig::default() });
    for frame in PLAIN.frames(&mut Rng(1)) {
        let event = |id, payload: &[u8]| Frame {
            track: TrackId(id),
            payload: Bytes::copy_from_slice(payload),
            ..frame.clone()
        };
        let is_at = |second: i64| frame.track == VIDEO && frame.dts == second * 90_000;
        let tag = is_at(5).then(|| event(7, TAG));
        let cue = is_at(7).then(|| event(8, &cue));
        let frames: Vec<Frame> = [frame.clone()].into_iter().chain(tag).chain(cue).collect();
        scene.play(&tracks, &frames);
    }
    scene
}

/// The full playlist lost it with its segment.
#[test]
fn who_comes_within_a_break_is_told_of_it() {
    let mut scene = play_with_events(Duration::from_secs(6));
    for track in &scene.finish().tracks {
        let playlist = parse(track.playlist());
        assert!(playlist.segments[0].program.as_deref() > Some("2026-01-01T00:00:10"), "the beginning is out of it");
        assert_eq!(playlist.date_ranges.len(), 1);
    }
}

#[test]
fn tags_and_cues_are_events_in_the_segments_and_cues_are_date_ranges() {
    let mut scene = play_with_events(Duration::from_secs(60));
    let view = scene.finish();
    assert!(view.has_id3 && view.has_scte35);
    let count = |track: &str, scheme: &[u8]| {
        let fetched = &scene.players[track].fetched;
        fetched.iter().filter(|(_, data)| data.windows(scheme.len()).any(|window| window == scheme)).count()
    };
    assert_eq!((count("v0", b"https://aomedia.org/emsg/ID3"), count("v0", b"urn:scte:scte35:2013:bin")), (1, 1));
    assert_eq!(count("a1", b"emsg"), 0, "once for the stream");
    for track in &view.tracks {
        let ranges = parse(track.playlist()).date_ranges;
        assert_eq!(ranges.len(), 1);
        let begins = "ID=\"splice-1207959695\",START-DATE=\"2026-01-01T00:00:07.";
        assert!(ranges[0].starts_with(begins), "{ranges:?}");
        assert!(ranges[0].ends_with(&format!("PLANNED-DURATION=60.293,SCTE35-OUT=0x{CUE}")), "{ranges:?}");
    }
}

/// Found by a reader: it was in no playlist that ended with a whole segment, and where there are no parts in none before its segment.
#[test]
fn a_cue_that_is_announced_ahead_is_in_every_playlist_from_then_on() {
    let cue = cue();
    let scte35 = Track::new(TrackId(8), CodecConfig::parse(Codec::Scte35, Bytes::new()).unwrap());
    let tracks = track_set(&[video_track(), audio_track(48_000), scte35]);
    for part_target in [CmafConfig::default().part_target, Duration::ZERO] {
        let mut packager = CmafPackager::new(CmafConfig { part_target, ..CmafConfig::default() }, "s");
        let (mut is_announced, mut views) = (false, 0);
        for frame in PLAIN.frames(&mut Rng(1)) {
            if packager.push(&tracks, &frame, BEGIN).unwrap() && is_announced {
                views += 1;
                let view = packager.view().unwrap();
                let told = parse(view.track("v0").unwrap().playlist()).date_ranges.len();
                assert_eq!(told, 1, "view {views}, parts of {part_target:?}");
            }
            if frame.track == VIDEO && frame.dts == 360_000 {
                let (pts, payload) = (frame.pts + 6 * 90_000, cue.clone());
                packager.push(&tracks, &Frame { track: TrackId(8), pts, payload, ..frame }, BEGIN).unwrap();
                is_announced = true;
            }
        }
        assert!(views > 15);
    }
}

/// Found by a reader: the part was written without the tracks that had gone, and so without what had come of them.
#[test]
fn a_tag_whose_track_goes_is_in_its_part_all_the_same() {
    let id3 = Track::new(TrackId(7), CodecConfig::parse(Codec::Id3, Bytes::new()).unwrap());
    let (together, alone) = (track_set(&[video_track(), id3.clone()]), track_set(&[video_track()]));
    let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
    let pictures = PLAIN.frames(&mut Rng(1)).into_iter().filter(|frame| frame.track == VIDEO);
    for picture in pictures {
        scene.play(if picture.dts <= 9 * 90_000 { &together } else { &alone }, std::slice::from_ref(&picture));
        if picture.dts == 9 * 90_000 {
            let payload = Bytes::from_static(TAG);
            scene.play(&together, &[Frame { track: id3.id, payload, ..picture.clone() }]);
        }
    }
    scene.finish();
    let tag = b"https://aomedia.org/emsg/ID3";
    let has_tag = |(_, data): &&(Entry, Vec<u8>)| data.windows(tag.len()).any(|window| window == tag);
    assert_eq!(scene.players["v0"].fetched.iter().filter(has_tag).count(), 1);
    assert!(scene.broken("v0").is_empty());
}

/// Found by a reader: where the sound has the lower id, it was to carry the events and the pictures were given them; and any new set of
/// tracks was a break.
#[test]
fn events_go_with_the_pictures_also_where_their_id_is_above_that_of_the_sound() {
    let (sound, pictures, tags) = (TrackId(0), TrackId(1), TrackId(2));
    let renamed = |track: Track, id| Track { id, ..track };
    let id3 = Track::new(tags, CodecConfig::parse(Codec::Id3, Bytes::new()).unwrap());
    let tracks = [renamed(audio_track(48_000), sound), renamed(video_track(), pictures), id3];
    let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
    for frame in PLAIN.frames(&mut Rng(1)) {
        let tag = (frame.track == VIDEO && frame.dts == 5 * 90_000).then(|| Frame {
            track: tags,
            payload: Bytes::from_static(TAG),
            ..frame.clone()
        });
        let track = if frame.track == VIDEO { pictures } else { sound };
        let frames: Vec<Frame> = [Frame { track, ..frame }].into_iter().chain(tag).collect();
        // Each time another set with the same tracks in it.
        scene.play(&track_set(&tracks), &frames);
    }
    scene.finish();
    let has_tag = |data: &[u8]| data.windows(4).any(|four| four == b"emsg");
    let of = |name: &str| &scene.players[name].fetched;
    assert_eq!(of("v1").iter().filter(|(_, data)| has_tag(data)).count(), 1);
    assert!(!of("a0").iter().any(|(_, data)| has_tag(data)), "once for the stream");
    assert!(of("v1").iter().all(|(entry, _)| entry.breaks == 0));
}
