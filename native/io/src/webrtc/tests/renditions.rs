//! A viewer of a stream that comes in renditions.

use super::*;

/// Bytes of a picture of each rendition: 1 Mbit/s and 100 kbit/s at 25 pictures a second.
const BYTES: [usize; 2] = [5000, 500];
const GOP: i64 = 50;

/// A group, one viewer of it, and what that was sent: the time in steps, whether it was of the better rendition.
struct Group {
    publishers: [Publisher; 2],
    feeds: [Feed; 2],
    viewer: Viewer,
    list: Arc<List>,
    start: Instant,
    number: i64,
    pictures: Vec<(u32, bool)>,
    sounds: Vec<u32>,
    pumped: Pumped,
    /// Added to the times of the lesser rendition: an encoder with a clock of its own.
    apart: i64,
    /// The better one has stopped.
    has_stopped: bool,
}

impl Group {
    fn new(apart: i64) -> Self {
        let publishers = [publisher(), publisher()];
        let feeds = [feed(&publishers[0]), feed(&publishers[1])];
        let list = List::new(Inbox::new(Waker::noop().clone()));
        let answered = Answered { codecs: [Some(Codec::H264), Some(Codec::Opus)], ..Answered::default() };
        let names = vec!["cam".into(), "cam~low".into()];
        let viewer = viewer(&list, &publishers[0], answered, names);
        Self {
            publishers,
            feeds,
            viewer,
            list,
            start: Instant::now(),
            number: 0,
            pictures: Vec::new(),
            sounds: Vec::new(),
            pumped: Pumped::Level,
            apart,
            has_stopped: false,
        }
    }

    /// So many pictures of 40 ms.
    fn play(&mut self, pictures: i64) {
        for _ in 0..pictures {
            let kind = if self.number % GOP == 0 { 0x65 } else { 0x41 };
            for (index, publisher) in self.publishers.iter_mut().enumerate() {
                let shift = if index == 1 { self.apart } else { 0 };
                if index == 1 || !self.has_stopped {
                    publisher.publish(picture(self.number, self.number + shift, kind, BYTES[index])).unwrap();
                }
                for half in 0..2 {
                    publisher.publish(sound(2 * (self.number + shift) + half)).unwrap();
                }
            }
            self.pump();
            self.number += 1;
        }
    }

    fn pump(&mut self) {
        let now = self.start + Duration::from_millis(40 * self.number as u64);
        self.feeds.iter_mut().for_each(|feed| feed.read(now));
        let feeds = [&self.feeds[0], &self.feeds[1]];
        loop {
            let (pictures, sounds) = (&mut self.pictures, &mut self.sounds);
            let mut bytes = 0;
            let pumped = self.viewer.pump(&feeds, now, &mut |lane, packet| {
                bytes += packet.payload.len();
                match lane {
                    Lane::Audio => sounds.push(packet.timestamp),
                    Lane::Video if packet.marker => pictures.push((packet.timestamp, bytes > 1000)),
                    Lane::Video | Lane::Data => {}
                }
                Ok(())
            });
            self.pumped = pumped.unwrap();
            if self.pumped != Pumped::More {
                return;
            }
        }
    }

    fn assert_times_go_on(&self) {
        let steps: Vec<_> = self.pictures.windows(2).map(|pair| pair[1].0.wrapping_sub(pair[0].0)).collect();
        assert!(steps.iter().all(|step| (90..=9000).contains(step)), "{steps:?}");
        assert!(self.sounds.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == 960), "sound goes on without a gap");
    }

    fn layer(&self) -> String {
        self.list.all()[0].layer.clone()
    }
}

#[test]
fn a_viewer_changes_at_key_frames_and_its_times_go_on() {
    for apart in [0, 250_000, -9] {
        let mut group = Group::new(apart);
        group.viewer.estimate(5_000_000);
        group.play(GOP + 10);
        assert_eq!(group.layer(), "cam", "apart by {apart}");
        group.viewer.estimate(900_000);
        let before = group.pictures.len();
        group.play(GOP);
        assert_eq!(group.layer(), "cam~low", "apart by {apart}");
        // The better one goes on up to the key frame of the other: 40 pictures, then 10.
        let better = group.pictures[before..].iter().filter(|(_, is_better)| *is_better).count();
        assert_eq!((group.pictures.len() - before, better), (50, 40), "apart by {apart}");
        group.viewer.estimate(5_000_000);
        group.play(3 * GOP);
        assert_eq!(group.layer(), "cam", "apart by {apart}");
        assert!(group.pictures.len() as i64 >= group.number - 1, "{} pictures", group.pictures.len());
        group.assert_times_go_on();
    }
}

/// A bug it had: a publisher whose path became narrow stopped the better one, and its viewers saw a picture that stood for ever.
#[test]
fn a_rendition_that_stops_is_left_and_taken_again_when_it_goes_on() {
    let mut group = Group::new(0);
    group.viewer.estimate(5_000_000);
    group.play(2 * GOP);
    assert_eq!(group.layer(), "cam");
    group.has_stopped = true;
    let before = group.pictures.len();
    group.play(125);
    assert_eq!(group.layer(), "cam~low");
    assert!(group.pictures.len() - before >= 25, "{} pictures", group.pictures.len() - before);
    group.has_stopped = false;
    group.play(4 * GOP);
    assert_eq!(group.layer(), "cam");
    assert!(group.sounds.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == 960), "sound goes on without a gap");
}

#[test]
fn who_comes_when_a_rendition_has_stopped_is_sent_another() {
    let mut group = Group::new(0);
    let viewer = std::mem::replace(&mut group.viewer, Group::new(0).viewer);
    group.play(GOP + 10);
    group.has_stopped = true;
    group.play(2 * GOP);
    group.viewer = viewer;
    let before = group.pictures.len();
    group.play(2 * GOP);
    assert_eq!(group.layer(), "cam~low", "without an estimate too");
    assert!(group.pictures.len() - before >= 50);
}

/// A bug it had: pictures in a codec that was not answered were sent as if they were in that one.
#[test]
fn a_rendition_that_comes_in_another_codec_is_left() {
    let mut group = Group::new(0);
    group.viewer.estimate(900_000);
    group.play(2 * GOP);
    assert_eq!(group.layer(), "cam~low");
    let vp8 = CodecConfig::parse(Codec::Vp8, Bytes::from_static(&[0, 11, 0x82, 2, 2, 2, 0, 0])).unwrap();
    let mut tracks = group.publishers[1].log().tracks().tracks.clone();
    tracks[0] = Track::new(VIDEO, vp8);
    group.publishers[1].set_tracks(tracks).unwrap();
    let before = group.pictures.len();
    group.play(2 * GOP);
    assert_eq!(group.layer(), "cam");
    assert!(group.pictures[before..].iter().all(|(_, is_better)| *is_better));
}

#[test]
fn pictures_pause_where_the_path_carries_far_less_and_sound_goes_on() {
    let mut group = Group::new(0);
    group.viewer.estimate(5_000_000);
    group.play(GOP + 10);
    group.viewer.estimate(300_000);
    let (pictures, sounds) = (group.pictures.len(), group.sounds.len());
    group.play(10);
    assert_eq!(group.pumped, Pumped::WaitsForKey(1), "the publisher is asked for a key frame of the lesser one");
    assert_eq!((group.pictures.len() - pictures, group.sounds.len() - sounds), (0, 20));
    group.play(GOP);
    assert!(group.pictures[pictures..].iter().all(|(_, is_better)| !is_better));
    assert_eq!(group.list.all()[0].estimate_bps, 300_000);
}

#[test]
fn a_rendition_that_ends_is_left_for_the_one_that_was_asked_for() {
    let mut group = Group::new(0);
    group.viewer.estimate(300_000);
    group.play(2 * GOP);
    assert_eq!(group.layer(), "cam~low");
    group.viewer.lose_layer(1, &[&group.feeds[0]], Instant::now());
    assert_eq!(group.layer(), "cam");
}

/// A bug it had: a log without a key frame gives a feed that begins there nothing, and a viewer by whom it began had no sound.
#[test]
fn who_comes_long_after_the_first_rendition_has_stopped_has_sound() {
    let mut group = Group::new(0);
    group.has_stopped = true;
    group.play(12 * GOP);
    group.feeds = [feed(&group.publishers[0]), feed(&group.publishers[1])];
    group.viewer = Group::new(0).viewer;
    let (pictures, sounds) = (group.pictures.len(), group.sounds.len());
    group.play(2 * GOP);
    assert!(group.pictures.len() - pictures >= 50, "{} pictures", group.pictures.len() - pictures);
    assert!(group.sounds.len() - sounds >= 100, "{} sounds", group.sounds.len() - sounds);
    group.sounds.clear();
    group.has_stopped = false;
    group.play(2 * GOP);
    group.assert_times_go_on();
}

/// A bug it had: behind a first rendition that had stopped for so long that its key frame was forgotten, nothing came.
#[test]
fn who_comes_when_the_key_frame_of_what_has_stopped_is_forgotten_is_sent_another() {
    let mut group = Group::new(0);
    let viewer = std::mem::replace(&mut group.viewer, Group::new(0).viewer);
    group.play(GOP);
    group.has_stopped = true;
    group.play(330 * GOP);
    assert_eq!(group.feeds[0].entry(), None);
    group.viewer = viewer;
    group.pictures.clear();
    group.play(2 * GOP);
    assert!(group.pictures.len() >= 50, "{} pictures", group.pictures.len());
}

/// A bug it had: who had lost the rendition that it was sent waited for the first one, though that had stopped.
#[test]
fn a_change_to_what_has_stopped_is_given_up_for_what_comes() {
    let mut group = Group::new(0);
    group.viewer.estimate(5_000_000);
    group.play(2 * GOP);
    let now = group.start + Duration::from_millis(40 * group.number as u64);
    group.viewer.lose_layer(2, &[&group.feeds[0], &group.feeds[1]], now);
    group.viewer.lose_layer(0, &[&group.feeds[0], &group.feeds[1]], now);
    group.has_stopped = true;
    group.pictures.clear();
    group.play(4 * GOP);
    assert!(group.pictures.len() >= 50, "{} pictures", group.pictures.len());
}

/// Of an encoder whose path is too narrow for the best one.
#[test]
fn pictures_come_from_another_rendition_until_the_first_one_has_some() {
    let mut group = Group::new(0);
    group.has_stopped = true;
    let tracks = group.publishers[0].log().tracks().tracks.clone();
    group.publishers[0].set_tracks(vec![tracks[1].clone()]).unwrap();
    group.play(3 * GOP);
    assert_eq!(group.layer(), "cam~low");
    assert!(group.pictures.len() as i64 >= 2 * GOP && group.sounds.len() >= 100, "{} pictures", group.pictures.len());
    group.publishers[0].set_tracks(tracks).unwrap();
    group.has_stopped = false;
    group.viewer.estimate(5_000_000);
    group.play(4 * GOP);
    assert_eq!(group.layer(), "cam");
    group.assert_times_go_on();
}
