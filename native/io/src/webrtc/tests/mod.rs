//! What is decided here and not by a peer: who is let in, how a stream is cut, and where its viewers begin.

mod renditions;
mod transport;

use std::{
    net::IpAddr,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, Publisher, StreamKey, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use arcly_wire::webrtc::Lane;
use bytes::Bytes;

use super::{
    WebRtcOptions,
    door::{Door, Full},
    from_bus::{Answered, Apart, BFrames, Feed, Pumped, Viewer},
};
use crate::{
    Inbox,
    egress::{List, Watcher},
};

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
/// 40 ms.
const STEP: i64 = 3600;

fn publisher() -> Publisher {
    let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let video = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
    let audio = CodecConfig::parse(Codec::Opus, Bytes::from_static(OPUS_HEAD)).unwrap();
    publisher.set_tracks(vec![Track::new(VIDEO, video), Track::new(AUDIO, audio)]).unwrap();
    publisher
}

/// A picture of so many bytes; a key frame is an IDR slice, others are what `kind` says (0x41 is needed by others, 0x01 is not).
fn picture(number: i64, shown: i64, kind: u8, bytes: usize) -> Frame {
    let mut unit = vec![0xaa; bytes];
    unit[0] = kind;
    let flags = if kind == 0x65 { FrameFlags::KEY } else { FrameFlags::NONE };
    let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
    Frame { track: VIDEO, flags, pts: shown * STEP, dts: (number - 2) * STEP, duration: 0, payload }
}

fn sound(number: i64) -> Frame {
    let (pts, payload) = (number * 960, Bytes::from_static(&[0xfc, 0xff, 0xfe]));
    Frame { track: AUDIO, flags: FrameFlags::NONE, pts, dts: pts, duration: 960, payload }
}

fn feed_with(publisher: &Publisher, b_frames: BFrames) -> Feed {
    Feed::new(publisher.log(), &Apart::default(), Waker::noop(), Duration::from_millis(500), b_frames)
}

fn feed(publisher: &Publisher) -> Feed {
    feed_with(publisher, BFrames::Drop)
}

fn viewer(list: &Arc<List>, publisher: &Publisher, answered: Answered, names: Vec<String>) -> Viewer {
    let (key, peer) = (StreamKey::new("live", "cam").unwrap(), "192.0.2.1:5".parse().unwrap());
    let entry = list.enter(Watcher { key, protocol: "webrtc", peer, agent: String::new() }, 1).unwrap();
    Viewer::new(entry, publisher.log().viewer("webrtc"), answered, names)
}

/// Times of the pictures that are kept, in steps from the first one.
fn pictures(feed: &Feed) -> Vec<u32> {
    let packets: Vec<_> = (0..feed.end()).filter_map(|at| feed.packet(at)).collect();
    let ends = packets.iter().filter(|packet| packet.lane == Lane::Video && packet.marker);
    let times: Vec<_> = ends.map(|packet| packet.timestamp).collect();
    times.iter().map(|time| time.wrapping_sub(times[0]) / STEP as u32).collect()
}

#[test]
fn viewers_begin_at_the_newest_key_frame_and_older_packets_are_forgotten() {
    let (mut publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    for number in 0..75 {
        let kind = if number % 25 == 0 { 0x65 } else { 0x41 };
        publisher.publish(picture(number, number, kind, 3000)).unwrap();
        publisher.publish(sound(2 * number)).unwrap();
        feed.read(now + Duration::from_millis(40 * number as u64));
    }
    assert_eq!(pictures(&feed), (0..25).collect::<Vec<_>>());
    let entry = feed.packet(feed.entry().unwrap()).unwrap();
    // The parameter sets come first, together (RFC 6184 §5.7.1).
    assert_eq!((entry.lane, entry.payload[0] & 0x1f), (Lane::Video, 24));
    assert!((0..feed.end()).filter_map(|at| feed.packet(at)).all(|packet| packet.payload.len() <= 1180));
}

#[test]
fn pictures_out_of_order_are_left_out_and_told_of_once_or_pass_as_they_are() {
    let (mut publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    let mut passing = feed_with(&publisher, BFrames::Pass);
    // I2 P5 B3 B4 P8 B6 B7, then in order.
    for (number, shown, kind) in
        [(0, 2, 0x65), (1, 5, 0x41), (2, 3, 0x01), (3, 4, 0x41), (4, 8, 0x41), (5, 6, 0x01), (6, 7, 0x01), (7, 9, 0x41)]
    {
        publisher.publish(picture(number, shown, kind, 50)).unwrap();
    }
    feed.read(now);
    assert_eq!(pictures(&feed), [0, 3, 6, 7]);
    assert_eq!(feed.take_notes().len(), 1);
    assert!(feed.take_notes().is_empty());
    passing.read(now);
    assert_eq!(
        pictures(&passing),
        [0, 3, 1, 2, 6, 4, 5, 7],
        "in decoding order, under the times at which they are shown"
    );
    assert!(passing.take_notes().is_empty());
}

#[test]
fn sound_that_is_far_behind_the_pictures_is_left_out() {
    let mut publisher = publisher();
    let mut feed = feed(&publisher);
    for number in 0..50 {
        publisher.publish(picture(number, number, if number == 0 { 0x65 } else { 0x41 }, 50)).unwrap();
    }
    // Two seconds of pictures; then all of their sound at once.
    (0..100).for_each(|number| publisher.publish(sound(number)).unwrap());
    feed.read(Instant::now());
    let sounds = (0..feed.end()).filter_map(|at| feed.packet(at)).filter(|packet| packet.lane == Lane::Audio).count();
    assert_eq!(sounds, 77, "of the last second and a half");
}

#[test]
fn without_pictures_everybody_begins_with_what_comes_next() {
    let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let audio = CodecConfig::parse(Codec::Opus, Bytes::from_static(OPUS_HEAD)).unwrap();
    publisher.set_tracks(vec![Track::new(AUDIO, audio)]).unwrap();
    let mut feed = feed(&publisher);
    (0..500).for_each(|number| publisher.publish(sound(number)).unwrap());
    feed.read(Instant::now());
    assert_eq!(feed.entry(), Some(feed.end()));
    let kept = (0..feed.end()).filter(|at| feed.packet(*at).is_some()).count();
    assert_eq!(kept, 64);
}

/// Found by reading: pictures were announced and did not come, and viewers waited for them in silence.
#[test]
fn where_announced_pictures_do_not_come_viewers_begin_with_sound_and_get_pictures_from_their_key_on() {
    let (mut publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    let answered = Answered { codecs: [Some(Codec::H264), Some(Codec::Opus)], ..Answered::default() };
    let list = List::new(Inbox::new(Waker::noop().clone()));
    (0..40_000).for_each(|number| {
        publisher.publish(sound(number)).unwrap();
        feed.read(now);
    });
    assert_eq!(feed.take_notes(), [""; 0], "nothing is too long here");
    let mut viewer = viewer(&list, &publisher, answered, vec!["cam".into()]);
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::Level);
    let mut lanes = Vec::new();
    for frame in [sound(40_000), picture(0, 0, 0x41, 50), picture(1, 1, 0x65, 50), picture(2, 2, 0x41, 50)] {
        publisher.publish(frame).unwrap();
        feed.read(now);
        let send = &mut |lane, _| {
            lanes.push(lane);
            Ok(())
        };
        assert_eq!(viewer.pump(&[&feed], now, send).unwrap(), Pumped::Level);
    }
    assert_eq!(lanes, [Lane::Audio, Lane::Video, Lane::Video], "the key picture, and what follows it");
}

#[test]
fn wishes_for_a_key_frame_of_many_viewers_are_one() {
    let (publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    let mut asked = |ms| {
        feed.request_key_frame(now + Duration::from_millis(ms));
        publisher.take_keyframe_request()
    };
    assert_eq!([0, 1, 499, 500, 501].map(&mut asked), [true, false, false, true, false]);
}

/// A bug it had: sound that came in one go with a key frame was lost to all viewers, on a busy machine every time.
#[test]
fn what_comes_in_one_go_in_front_of_a_key_frame_is_there_to_be_sent() {
    let (mut publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    publisher.publish(picture(0, 0, 0x65, 50)).unwrap();
    feed.read(now);
    let level = feed.end();
    publisher.publish(sound(0)).unwrap();
    publisher.publish(picture(1, 1, 0x41, 50)).unwrap();
    publisher.publish(picture(2, 2, 0x65, 50)).unwrap();
    feed.read(now);
    assert!((level..feed.end()).all(|at| feed.packet(at).is_some()));
    let key = feed.entry().unwrap();
    assert!(key > level);
    feed.read(now);
    assert!(feed.packet(key).is_some() && feed.packet(key - 1).is_none(), "joiners need no more than that");
}

/// Of pictures, sound, and messages.
fn publisher_with_messages() -> Publisher {
    let mut publisher = publisher();
    let mut tracks = publisher.log().tracks().tracks.clone();
    tracks.push(Track::new(TrackId(2), CodecConfig::parse(Codec::Message, Bytes::new()).unwrap()));
    publisher.set_tracks(tracks).unwrap();
    publisher
}

fn goal() -> Frame {
    let payload = Bytes::from_static(b"goal");
    Frame { track: TrackId(2), flags: FrameFlags::NONE, pts: 90, dts: 90, duration: 0, payload }
}

/// A bug it had: the viewers of pictures that were made in order were sent none.
#[test]
fn messages_of_a_stream_go_with_what_was_made_of_its_pictures() {
    let (mut stream, mut made, now) = (publisher_with_messages(), publisher(), Instant::now());
    let apart = Apart { sound: Some(stream.log().clone()), messages: Some(stream.log().clone()) };
    let mut feed = Feed::new(made.log(), &apart, Waker::noop(), Duration::from_millis(500), BFrames::Drop);
    stream.publish(picture(0, 0, 0x65, 50)).unwrap();
    made.publish(picture(0, 0, 0x65, 70)).unwrap();
    stream.publish(goal()).unwrap();
    stream.publish(sound(0)).unwrap();
    feed.read(now);
    let packets: Vec<_> = (0..feed.end()).filter_map(|at| feed.packet(at)).collect();
    let of = |lane| packets.iter().filter(|packet| packet.lane == lane).collect::<Vec<_>>();
    assert_eq!(of(Lane::Data).iter().map(|packet| &packet.payload[..]).collect::<Vec<_>>(), [b"goal"]);
    assert_eq!(of(Lane::Audio).len(), 1);
    assert!(of(Lane::Video).iter().all(|packet| packet.payload.len() != 50), "of the pictures those that were made");
    stream.end("enough");
    feed.read(now);
    assert!(!feed.is_over(), "what was made has an end of its own");
}

/// A bug it had: who came before the pictures did was sent sound alone, for as long as it watched.
#[test]
fn who_asked_for_pictures_that_were_not_there_is_told_when_they_come() {
    let now = Instant::now();
    for lacked in [false, true] {
        let tracks = publisher().log().tracks().tracks.clone();
        let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        publisher.set_tracks(vec![tracks[1].clone()]).unwrap();
        let mut feed = feed(&publisher);
        let answered = Answered { codecs: [None, Some(Codec::Opus)], lacked: [lacked, false] };
        let list = List::new(Inbox::new(Waker::noop().clone()));
        let mut viewer = viewer(&list, &publisher, answered, vec!["cam".into()]);
        let mut pumped = |publisher: &mut Publisher, number| {
            publisher.publish(sound(number)).unwrap();
            feed.read(now);
            viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap()
        };
        assert_eq!(pumped(&mut publisher, 0), Pumped::Level);
        publisher.set_tracks(tracks).unwrap();
        assert_eq!(pumped(&mut publisher, 1) == Pumped::Gained(Lane::Video), lacked);
    }
}

/// Found by reading: they waited for key frames that they would not be sent, and the pictures between counted as theirs.
#[test]
fn viewers_of_sound_alone_wait_for_no_key_frame_and_are_sent_no_pictures() {
    let now = Instant::now();
    let answered = Answered { codecs: [None, Some(Codec::Opus)], ..Answered::default() };
    for pictures in [1, 40] {
        let mut publisher = publisher();
        let mut feed = feed(&publisher);
        for number in 0..pictures {
            publisher.publish(picture(number, number, if number == 0 { 0x65 } else { 0x41 }, 1 << 20)).unwrap();
            feed.read(now);
        }
        assert_eq!(feed.entry().is_some(), pictures == 1, "a GOP that is too long is not kept");
        let list = List::new(Inbox::new(Waker::noop().clone()));
        let mut viewer = viewer(&list, &publisher, answered, vec!["cam".into()]);
        assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::Level, "{pictures}");
        publisher.publish(picture(pictures, pictures, 0x41, 5000)).unwrap();
        publisher.publish(sound(2 * pictures)).unwrap();
        feed.read(now);
        let mut lanes = Vec::new();
        let pumped = viewer.pump(&[&feed], now, &mut |lane, _| {
            lanes.push(lane);
            Ok(())
        });
        assert_eq!((pumped.unwrap(), lanes), (Pumped::Level, vec![Lane::Audio]), "{pictures}");
        let counted = &list.all()[0];
        assert_eq!((counted.bytes, counted.frames), (3, 1), "{pictures}");
    }
}

/// Found by reading: nobody asked for one, and who came first saw and heard nothing until the encoder made it unasked.
#[test]
fn a_key_frame_is_asked_for_where_the_log_has_none_to_begin_with() {
    let (mut publisher, now) = (publisher(), Instant::now());
    publisher.publish(picture(0, 0, 0x41, 50)).unwrap();
    let mut feed = feed(&publisher);
    feed.read(now);
    let list = List::new(Inbox::new(Waker::noop().clone()));
    let answered = Answered { codecs: [Some(Codec::H264), Some(Codec::Opus)], ..Answered::default() };
    let mut viewer = viewer(&list, &publisher, answered, vec!["cam".into()]);
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::WaitsForKey(0));
    publisher.publish(picture(1, 1, 0x65, 50)).unwrap();
    feed.read(now);
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::Level);
    assert_eq!(list.all()[0].frames, 1);
}

/// Found by reading: the sound that a viewer of pictures alone is not sent counted as its own.
#[test]
fn viewers_of_pictures_alone_are_sent_no_sound() {
    let (mut publisher, now) = (publisher(), Instant::now());
    let mut feed = feed(&publisher);
    let list = List::new(Inbox::new(Waker::noop().clone()));
    let answered = Answered { codecs: [Some(Codec::H264), None], ..Answered::default() };
    let mut viewer = viewer(&list, &publisher, answered, vec!["cam".into()]);
    publisher.publish(picture(0, 0, 0x65, 50)).unwrap();
    (0..50).for_each(|number| publisher.publish(sound(number)).unwrap());
    feed.read(now);
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::Level, "and they take no turns");
    assert_eq!(list.all()[0].frames, 1);
}

/// Found by reading: who had asked for pictures while there were none sat without them, though another rendition had begun.
#[test]
fn who_asked_for_pictures_that_were_not_there_is_told_when_another_rendition_has_them() {
    let (mut base, mut low, now) = (publisher(), publisher(), Instant::now());
    let tracks = base.log().tracks().tracks.clone();
    base.set_tracks(vec![tracks[1].clone()]).unwrap();
    let mut feeds = [feed(&base), feed(&low)];
    let answered = Answered { codecs: [None, Some(Codec::Opus)], lacked: [true, false] };
    let list = List::new(Inbox::new(Waker::noop().clone()));
    let mut viewer = viewer(&list, &base, answered, vec!["cam".into(), "cam~low".into()]);
    let mut pumped = |feeds: &mut [Feed; 2]| {
        feeds.iter_mut().for_each(|feed| feed.read(now));
        viewer.pump(&[&feeds[0], &feeds[1]], now, &mut |_, _| Ok(())).unwrap()
    };
    base.publish(sound(0)).unwrap();
    assert_eq!(pumped(&mut feeds), Pumped::Level);
    low.publish(picture(0, 0, 0x65, 50)).unwrap();
    assert_eq!(pumped(&mut feeds), Pumped::Gained(Lane::Video));
}

/// A bug it had: where the pictures of a stream have the number that made sound has, the sound was taken for pictures and left out.
/// A bug it had: viewers of sound that was made sat in silence when the stream went on in a codec that needs no making.
#[test]
fn viewers_of_sound_that_was_made_are_ended_when_the_stream_needs_none_any_more() {
    let (mut stream, mut made, now) = (publisher(), publisher(), Instant::now());
    let tracks = stream.log().tracks().tracks.clone();
    stream.set_tracks(vec![tracks[0].clone()]).unwrap();
    made.set_tracks(vec![tracks[1].clone()]).unwrap();
    let apart = Apart { sound: Some(made.log().clone()), messages: None };
    let mut feed = Feed::new(stream.log(), &apart, Waker::noop(), Duration::from_millis(500), BFrames::Drop);
    let answered = Answered { codecs: [Some(Codec::H264), Some(Codec::Opus)], ..Answered::default() };
    let list = List::new(Inbox::new(Waker::noop().clone()));
    let mut viewer = viewer(&list, &stream, answered, Vec::new());
    stream.publish(picture(0, 0, 0x65, 50)).unwrap();
    made.publish(sound(0)).unwrap();
    feed.read(now);
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::Level);
    made.end("failed");
    feed.read(now);
    assert!(viewer.is_level(&[&feed]), "it goes on in silence");
    stream.set_tracks(tracks).unwrap();
    stream.publish(sound(1)).unwrap();
    feed.read(now);
    assert!(!viewer.is_level(&[&feed]));
    assert_eq!(viewer.pump(&[&feed], now, &mut |_, _| Ok(())).unwrap(), Pumped::OtherCodec);
}

#[test]
fn sound_that_was_made_has_numbers_of_its_own() {
    let writer = || Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let (mut stream, mut made, now) = (writer(), writer(), Instant::now());
    let tracks = publisher().log().tracks().tracks.clone();
    stream.set_tracks(vec![Track::new(AUDIO, tracks[0].config.clone())]).unwrap();
    made.set_tracks(vec![tracks[1].clone()]).unwrap();
    let apart = Apart { sound: Some(made.log().clone()), messages: None };
    let mut feed = Feed::new(stream.log(), &apart, Waker::noop(), Duration::from_millis(500), BFrames::Drop);
    stream.publish(Frame { track: AUDIO, ..picture(0, 0, 0x65, 50) }).unwrap();
    made.publish(sound(0)).unwrap();
    feed.read(now);
    let lanes: Vec<_> = (0..feed.end()).filter_map(|at| feed.packet(at)).map(|packet| packet.lane).collect();
    assert!(lanes.contains(&Lane::Video) && lanes.contains(&Lane::Audio), "{lanes:?}");
}

#[test]
fn messages_go_between_the_pictures() {
    let (mut publisher, now) = (publisher_with_messages(), Instant::now());
    let mut feed = feed(&publisher);
    publisher.publish(picture(0, 0, 0x65, 50)).unwrap();
    publisher.publish(goal()).unwrap();
    publisher.publish(picture(1, 1, 0x41, 50)).unwrap();
    feed.read(now);
    let packets: Vec<_> = (0..feed.end()).filter_map(|at| feed.packet(at)).collect();
    let said = packets.iter().position(|packet| packet.lane == Lane::Data).unwrap();
    assert_eq!(&packets[said].payload[..], b"goal");
    assert!(said > 0 && said + 1 < packets.len(), "{said} of {}", packets.len());
}

#[test]
fn the_end_of_a_stream_is_seen() {
    let mut publisher = publisher();
    let mut feed = feed(&publisher);
    publisher.publish(picture(0, 0, 0x65, 50)).unwrap();
    publisher.end("enough");
    feed.read(Instant::now());
    assert!(feed.is_over());
}

#[test]
fn strangers_are_counted_by_address_until_they_connect() {
    let options = WebRtcOptions {
        sessions_max: 4,
        unconnected_max: 3,
        unconnected_per_address_max: 2,
        ..WebRtcOptions::default()
    };
    let door = Door::new(&options);
    let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
    let mut first = door.enter(here).unwrap();
    let _second = door.enter(here).unwrap();
    assert_eq!(door.enter(here).err(), Some(Full::ForAddress));
    first.connect();
    first.connect();
    let third = door.enter(here).unwrap();
    let _fourth = door.enter(there).unwrap();
    assert_eq!(door.enter(there).err(), Some(Full::Everywhere));
    assert_eq!(door.sessions(), 4);
    drop((first, third));
    assert_eq!(door.sessions(), 2);
    door.enter(there).unwrap();
}
