//! Renditions of one picture in a group: numbers of breaks, and dates.

use super::*;

/// Renditions of one group, as one encoder sends them.
struct Renditions {
    group: Arc<GroupClock>,
    scenes: Vec<Scene>,
}

impl Renditions {
    fn new() -> Self {
        Self { group: Arc::default(), scenes: Vec::new() }
    }

    fn begin(&mut self) -> usize {
        let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
        scene.packager = scene.packager.with_clock(self.group.clone());
        self.scenes.push(scene);
        self.scenes.len() - 1
    }

    /// A second of all that have begun; those `marked` are broken at its beginning.
    fn go_on(&mut self, second: i64, marked: &[usize]) {
        for (index, scene) in self.scenes.iter_mut().enumerate() {
            let recipe = Recipe { seconds: 1, start_90k: second * 90_000, b_frames: false, ..PLAIN };
            let mut frames = recipe.frames(&mut Rng(second as u64));
            if marked.contains(&index) {
                frames[0].flags = frames[0].flags.with(FrameFlags::DISCONTINUITY);
            }
            scene.play(&recipe.tracks(), &frames);
        }
    }

    /// Of a track: the number of its discontinuities at the beginning of each second.
    fn numbers(&self, index: usize, track: &str) -> Vec<(i64, u64)> {
        let view = self.scenes[index].packager.view().unwrap();
        let listed = view.track(track).unwrap().listed();
        let second = |us: i64| (us + 500_000) / 1_000_000;
        listed.iter().map(|segment| (second(segment.start_us), segment.epoch)).collect()
    }
}

/// Found by a reader: each counted its own. Behind a break of the pictures that a player watched it found no sound of their number in the
/// playlist of another rendition, and played none for ever (RFC 8216bis §6.2.4).
#[test]
fn renditions_of_a_group_have_the_same_breaks_from_the_next_key_picture_on() {
    let mut renditions = Renditions::new();
    let (first, second) = (renditions.begin(), renditions.begin());
    let mut third = None;
    for at in 0..20 {
        match at {
            5 => renditions.go_on(at, &[second]),
            10 => renditions.go_on(at, &[first, second]),
            _ => renditions.go_on(at, &[]),
        }
        if at == 14 {
            third = Some(renditions.begin());
        }
    }
    let number = |at: i64| u64::from(at >= 5) + u64::from(at >= 10);
    for index in [first, second, third.unwrap()] {
        for track in ["v0", "a1"] {
            let numbers = renditions.numbers(index, track);
            assert!(numbers.len() >= 4);
            for (at, found) in numbers.into_iter().filter(|(at, _)| ![5, 10].contains(at)) {
                assert_eq!(found, number(at), "{track} of {index} at {at}");
            }
        }
        let breaks = renditions.scenes[index].broken("v0").len();
        assert_eq!(breaks, if Some(index) == third { 0 } else { 2 }, "{index}");
    }
    let dates = |index: usize| {
        let view = renditions.scenes[index].packager.view().unwrap();
        view.epochs.iter().map(|epoch| epoch.wall_offset_us).collect::<Vec<_>>()
    };
    assert!(dates(first)[..2].windows(2).all(|pair| pair[0] == pair[1]), "time goes on: {:?}", dates(first));
}

/// Two renditions of 20 s, of which one breaks at a hundred frames of each second that `is_bad`. The other one.
fn play_beside_one_that_breaks(is_bad: impl Fn(i64) -> bool) -> (Renditions, CmafPackager) {
    let mut renditions = Renditions::new();
    renditions.begin();
    let mut broken = CmafPackager::new(CmafConfig::default(), "s").with_clock(renditions.group.clone());
    let mut rng = Rng(1);
    for at in 0..20 {
        renditions.go_on(at, &[]);
        for index in 0..100 {
            let mut frame = picture(&mut rng, (at * 100 + index) * 900, 0, true, 10);
            if is_bad(at) {
                frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
            }
            broken.push(&PLAIN.tracks(), &frame, BEGIN).unwrap();
        }
    }
    (renditions, broken)
}

#[test]
fn a_rendition_that_breaks_at_every_frame_does_not_fill_the_playlists_of_others() {
    let (renditions, _) = play_beside_one_that_breaks(|_| true);
    let breaks = renditions.scenes[0].broken("v0").into_iter().map(|entry| entry.breaks);
    assert_eq!(breaks.max(), Some(16));
}

/// Found by a reader: behind more breaks than are taken over at a time it took over none any more, for ever.
#[test]
fn a_rendition_has_the_number_of_the_others_again_some_segments_behind_a_burst_of_breaks() {
    let (renditions, broken) = play_beside_one_that_breaks(|at| at == 5);
    let number = broken.view().unwrap().epochs.last().unwrap().number;
    assert!(number > 90);
    for track in ["v0", "a1"] {
        assert_eq!(renditions.numbers(0, track).last().unwrap().1, number, "{track}");
    }
}

/// The dates of all segments, of renditions whose frames come so much late.
fn dates_of(arrivals_late_ms: &[u64], breaks: bool) -> Vec<Vec<Option<String>>> {
    let group = Arc::<GroupClock>::default();
    let dates = |late_ms: &u64| {
        let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
        scene.packager = scene.packager.with_clock(group.clone());
        let mut frames = PLAIN.frames(&mut Rng(1));
        frames.iter_mut().filter(|frame| breaks && frame.track == VIDEO && frame.dts == 10 * 90_000).for_each(
            |frame| {
                frame.flags = frame.flags.with(FrameFlags::DISCONTINUITY);
            },
        );
        scene.play_from(BEGIN + Duration::from_millis(*late_ms), &PLAIN.tracks(), &frames);
        let view = scene.finish();
        parse(view.tracks[0].playlist()).segments.into_iter().map(|entry| entry.program).collect()
    };
    arrivals_late_ms.iter().map(dates).collect()
}

/// Found by reading: each was dated by its own arrival (RFC 8216bis §6.2.4).
#[test]
fn renditions_of_one_clock_have_the_same_dates_in_front_of_a_break_and_behind_it() {
    for breaks in [false, true] {
        let dates = dates_of(&[150, 0, 300, 5_000], breaks);
        assert!(dates[0].len() >= 19 && dates[0].iter().all(Option::is_some));
        assert_eq!((&dates[1], &dates[2]), (&dates[0], &dates[0]));
        assert_ne!(dates[3], dates[0], "another clock of media");
    }
}

/// Found by a reader: the clock of the publish that had ended was one of a rendition, so that the next one, which counts from 0 again, broke.
#[test]
fn a_publisher_that_comes_again_when_all_renditions_are_gone_breaks_nothing() {
    let group = Arc::<GroupClock>::default();
    for late_s in [0, 60] {
        let mut scene = Scene::new(CmafConfig { window: Duration::from_secs(60), ..CmafConfig::default() });
        scene.packager = scene.packager.with_clock(group.clone());
        scene.play_from(BEGIN + Duration::from_secs(late_s), &PLAIN.tracks(), &PLAIN.frames(&mut Rng(1)));
        scene.finish();
        assert_eq!((scene.broken("v0").len(), group.breaks()), (0, 0), "{late_s}");
    }
}
