//! Sound that pauses while pictures go on: push to talk, or a loss on the way.

use super::*;

/// 20 s without the sound from `from_ms` to `to_ms`, as `change` leaves them.
fn play_silent(recipe: Recipe, (from_ms, to_ms): (i64, i64), change: impl Fn(&mut Vec<Frame>)) -> Scene {
    let is_silent = |frame: &Frame| frame.track == AUDIO && (from_ms..to_ms).contains(&(frame.dts / 48));
    let mut frames = recipe.frames(&mut Rng(1));
    frames.retain(|frame| !is_silent(frame));
    change(&mut frames);
    let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
    scene.play(&recipe.tracks(), &frames);
    scene.finish();
    scene
}

/// When each segment of the sound begins.
fn sound_begins_ms(scene: &Scene) -> Vec<i64> {
    let view = scene.packager.view().unwrap();
    view.track("a1").unwrap().listed().iter().map(|segment| segment.start_us / 1_000).collect()
}

/// Found by a reader: the timeline of all tracks broke where the sound came back, and the pictures were lost up to their next key.
#[test]
fn sound_that_comes_back_from_a_silence_is_a_break_at_the_next_key_picture() {
    let scene = play_silent(Recipe { gop: 50, ..PLAIN }, (5_100, 8_300), |_| {});
    let view = scene.packager.view().unwrap();
    let pictures = view.track("v0").unwrap().listed();
    assert!(pictures.iter().all(|segment| segment.independent));
    assert_eq!(pictures.iter().map(|segment| segment.frames).sum::<u64>(), 500);
    let epochs: Vec<(i64, u64)> = pictures.iter().map(|it| (it.start_us / 1_000_000, it.epoch)).collect();
    assert_eq!(epochs, (0..10).map(|at| (2 * at, u64::from(at >= 5))).collect::<Vec<_>>());
    assert_eq!((scene.broken("v0").len(), scene.broken("a1").len()), (1, 1));
    let begins_ms = sound_begins_ms(&scene);
    assert!(!begins_ms.iter().any(|ms| (5_100..9_950).contains(ms)), "{begins_ms:?}");
    assert!(begins_ms.iter().any(|ms| (9_950..10_050).contains(ms)), "heard again with the key picture: {begins_ms:?}");
}

#[test]
fn sound_that_comes_back_waits_no_longer_than_a_segment_for_pictures() {
    let no_keys = |frames: &mut Vec<Frame>| {
        let late = frames.iter_mut().filter(|frame| frame.is_key() && frame.dts > 5 * 90_000);
        late.for_each(|frame| frame.flags = FrameFlags::NONE);
    };
    let no_pictures = |frames: &mut Vec<Frame>| frames.retain(|frame| frame.track == AUDIO || frame.dts < 7 * 90_000);
    for scene in [play_silent(PLAIN, (6_000, 9_000), no_keys), play_silent(PLAIN, (6_000, 9_000), no_pictures)] {
        let begins_ms = sound_begins_ms(&scene);
        assert!(begins_ms.iter().any(|ms| (10_000..11_000).contains(ms)), "{begins_ms:?}");
        assert!(*begins_ms.last().unwrap() > 18_000, "{begins_ms:?}");
        assert_eq!(scene.broken("a1").len(), 1);
    }
}

/// A second size within the stream may lose pictures: it goes on at a key picture of its own.
#[test]
fn pictures_that_come_back_beside_others_begin_with_a_key_picture() {
    let second = Track { id: TrackId(2), ..video_track() };
    let (tracks, mut packager) = (track_set(&[video_track(), second]), CmafPackager::new(CmafConfig::default(), "s"));
    let mut rng = Rng(1);
    for index in 0..500 {
        let frame = picture(&mut rng, index * 3_600, 0, index % 50 == 0, 40);
        // Its keys are half a second behind those of the first, and nothing comes of it from 4.2 s to 8.2 s.
        let other = picture(&mut rng, index * 3_600, 0, index % 50 == 12, 40);
        packager.push(&tracks, &frame, BEGIN).unwrap();
        if !(105..205).contains(&index) {
            packager.push(&tracks, &Frame { track: TrackId(2), ..other }, BEGIN).unwrap();
        }
    }
    packager.finish();
    let view = packager.view().unwrap();
    let begins_anew = |name: &str| {
        let listed = view.track(name).unwrap().listed();
        let anew = listed.windows(2).filter(|two| two[0].epoch != two[1].epoch).map(|two| two[1].independent);
        anew.collect::<Vec<_>>()
    };
    assert_eq!((begins_anew("v0"), begins_anew("v2")), (vec![true], vec![true]));
}
