//! Streams sent and heard over loopback, and what happens to those who send something else.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{
    Frame, FrameFlags, Log, LogBounds, LogWriter, Publisher, Read, StreamKey, Subscription, Track, TrackId,
};
use arcly_codec::{Codec, CodecConfig};
use arcly_pack::mpegts::TsMuxer;
use bytes::Bytes;

use super::*;
use crate::{Backoff, Inbox, LinkGuard, LinkState, Notice, PublishRequest, Refusal, Runtime};

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];
const VIDEO: TrackId = TrackId(0);
/// Long enough on a busy machine; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);
const QUICK: Backoff = Backoff {
    first: Duration::from_millis(5),
    max: Duration::from_millis(20),
    healthy: Duration::from_secs(10),
    retries_max: None,
};

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn publisher() -> Publisher {
    Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()))
}

fn track() -> Track {
    Track::new(VIDEO, CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap())
}

/// Picture `n` of 25 a second, with its number in it; every tenth is a key picture.
fn picture(n: u64, bytes: usize) -> Frame {
    let is_key = n.is_multiple_of(10);
    let mut unit = vec![if is_key { 0x65 } else { 0x41 }; bytes];
    // Never a start code.
    unit[1..9].copy_from_slice(&(n | 0x0101_0101_0101_0000).to_be_bytes());
    let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
    let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
    Frame { track: VIDEO, flags, pts: n as i64 * 3600, dts: n as i64 * 3600, duration: 3600, payload }
}

/// A runtime, and an inbox that is read by nobody but the test.
struct Stage {
    runtime: Runtime,
    inbox: Arc<Inbox>,
}

impl Stage {
    fn new() -> Self {
        Self { runtime: Runtime::start(2).unwrap(), inbox: Inbox::new(Waker::noop().clone()) }
    }

    fn pull(&self, url: &str, key: &str, options: PullOptions) -> LinkGuard {
        let pulling = self.try_to_pull(url, key, options);
        self.said("listening");
        pulling
    }

    fn try_to_pull(&self, url: &str, key: &str, options: PullOptions) -> LinkGuard {
        let (key, url) = (StreamKey::new("live", key).unwrap(), UdpUrl::parse(url).unwrap());
        let options = PullOptions { backoff: QUICK, ..options };
        pull(self.runtime.handle(), url, key, options, self.inbox.clone(), Waker::noop().clone())
    }

    fn push(&self, url: &str, log: &Arc<Log>) -> LinkGuard {
        let (url, options) = (UdpUrl::parse(url).unwrap(), PushOptions { backoff: QUICK });
        push(self.runtime.handle(), url, log.clone(), options, self.inbox.clone(), Waker::noop().clone())
    }

    /// The next request to publish; lines before it are passed over.
    fn asked(&self) -> PublishRequest {
        eventually("a request", || match self.inbox.pop() {
            Some(Notice::Publish(request)) => Some(request),
            _ => None,
        })
    }

    /// Answers the next request, and shows what is published then.
    fn accept(&self, stream: &str) -> Heard {
        let request = self.asked();
        assert_eq!(request.ask.stream, stream);
        Heard::of(request)
    }

    /// The next line of the log that has this in it.
    fn said(&self, part: &str) -> String {
        eventually(part, || match self.inbox.pop() {
            Some(Notice::Warning(text) | Notice::News(text)) if text.contains(part) => Some(text),
            _ => None,
        })
    }
}

/// The tables of a program with MPEG-2 video and nothing else, and null packets.
pub(crate) fn mpeg_2_tables() -> Vec<u8> {
    let association = [0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 4, 0xB2];
    let map = [2, 0xB0, 0x12, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 2, 0xE1, 0, 0xF0, 0, 0x9E, 0x8B, 0x23, 0xD1];
    let packet = |header: [u8; 5], section: &[u8]| {
        let mut packet = [&header, section].concat();
        packet.resize(188, 0xFF);
        packet
    };
    let null = packet([0x47, 0x1F, 0xFF, 0x10, 0xFF], &[]);
    [packet([0x47, 0x40, 0, 0x10, 0], &association), packet([0x47, 0x50, 0, 0x10, 0], &map), null.repeat(5)].concat()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What is published behind a request that was accepted.
struct Heard {
    log: Arc<Log>,
    cursor: Subscription,
    frames: Vec<Frame>,
}

impl Heard {
    fn of(request: PublishRequest) -> Self {
        let publisher = publisher();
        let log = publisher.log().clone();
        let cursor = log.tap();
        assert!(request.accept(publisher));
        Self { log, cursor, frames: Vec::new() }
    }

    fn read(&mut self) -> &[Frame] {
        while let Read::Frames(batch) = self.cursor.read(64) {
            self.frames.extend_from_slice(batch.frames);
        }
        &self.frames
    }

    /// All frames, as soon as there are so many.
    fn frames(&mut self, count: usize) -> &[Frame] {
        let end = Instant::now() + PATIENCE;
        while self.read().len() < count {
            assert!(Instant::now() < end, "{} frames of {count}", self.frames.len());
            std::thread::sleep(Duration::from_millis(1));
        }
        &self.frames
    }
}

/// A sender of our own: datagrams of seven packets, of a stream that begins at picture `from`.
struct Sender {
    socket: UdpSocket,
    to: u16,
    muxer: TsMuxer,
}

impl Sender {
    fn new(to: u16) -> Self {
        let tracks = arcly_bus::TrackSet { revision: 1, tracks: vec![track()] };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { socket, to, muxer: TsMuxer::new(&tracks).unwrap() }
    }

    fn send(&mut self, pictures: std::ops::Range<u64>) {
        for n in pictures {
            let mut packets = Vec::new();
            self.muxer.write(&picture(n, 3000), &mut packets).unwrap();
            packets.chunks(1316).for_each(|datagram| self.send_raw(datagram));
        }
    }

    fn send_raw(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, (Ipv4Addr::LOCALHOST, self.to)).unwrap();
    }
}

#[test]
fn what_is_pushed_is_pulled() {
    let group = "239.77.2.1";
    for (scheme, host, more) in [
        ("udp", "127.0.0.1", ""),
        ("rtp", "127.0.0.1", ""),
        ("udp", "127.0.0.1", "&bitrate=4000000"),
        ("rtp", "127.0.0.1", "&bitrate=4000000&pkt_size=376"),
        ("udp", group, "&iface=lo&ttl=2"),
        ("rtp", group, "&iface=127.0.0.1"),
    ] {
        let (stage, port) = (Stage::new(), free_port());
        let pulling = stage.pull(&format!("{scheme}://@{host}:{port}?{more}"), "copy", PullOptions::default());
        let mut source = publisher();
        source.set_tracks(vec![track()]).unwrap();
        let pushing = stage.push(&format!("{scheme}://{host}:{port}?{more}"), source.log());
        let mut sent = 0;
        let copy = eventually("a request", || {
            source.publish(picture(sent, 3000)).unwrap();
            sent += 1;
            std::thread::sleep(Duration::from_millis(10));
            match stage.inbox.pop() {
                Some(Notice::Publish(request)) => Some(request),
                _ => None,
            }
        });
        let mut heard = Heard::of(copy);
        for n in sent..sent + 50 {
            source.publish(picture(n, 3000)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        source.end("the end");
        eventually("the end of the push", || (pushing.link().status().state == LinkState::Stopped).then_some(()));
        let last = picture(sent + 48, 3000).payload;
        eventually("the last frames", || heard.read().iter().any(|frame| frame.payload == last).then_some(()));
        // Every picture, in order, from the first that came.
        let numbers: Vec<_> = heard.frames.iter().map(|frame| frame.payload.slice(5..13)).collect();
        let first = (0..sent + 50).find(|n| picture(*n, 3000).payload.slice(5..13) == numbers[0]).unwrap();
        let expected: Vec<_> = (first..).map(|n| picture(n, 3000).payload.slice(5..13)).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "{scheme} {host} {more}");
        assert_eq!(pulling.link().status().state, LinkState::Running);
        assert!(pushing.link().status().bytes > 100_000);
    }
}

#[test]
fn a_refused_key_is_asked_for_again_and_stops_nobody_else() {
    let stage = Stage::new();
    let (refused, other) = (free_port(), free_port());
    let _refused = stage.pull(&format!("udp://127.0.0.1:{refused}"), "taken", PullOptions::default());
    let mut sender = Sender::new(refused);
    sender.send(0..3);
    let request = stage.asked();
    assert!(request.refuse(Refusal::BadName, "somebody publishes to live/taken already".into()));
    assert!(stage.said("live/taken cannot be published").contains("somebody publishes"));
    let _other = stage.pull(&format!("udp://127.0.0.1:{other}"), "free", PullOptions::default());
    let mut beside = Sender::new(other);
    beside.send(0..3);
    let mut heard = stage.accept("free");
    beside.send(3..9);
    heard.frames(7);
    // And the first one, when its key has become free.
    let mut n = 3;
    let request = eventually("another request", || {
        sender.send(n..n + 1);
        n += 1;
        match stage.inbox.pop() {
            Some(Notice::Publish(request)) => Some(request),
            _ => None,
        }
    });
    assert_eq!(request.ask.stream, "taken");
}

#[test]
fn a_sender_that_falls_silent_ends_its_stream_and_comes_back() {
    let (stage, port) = (Stage::new(), free_port());
    let options = PullOptions { idle_time: Duration::from_millis(200), grace: Duration::ZERO, ..Default::default() };
    let pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", options);
    for round in 0..3 {
        let mut sender = Sender::new(port);
        sender.send(round * 10..round * 10 + 9);
        let mut heard = stage.accept("cam");
        // The last picture too, whose end only silence shows.
        assert_eq!(heard.frames(9).len(), 9);
        eventually("the end of the stream", || heard.log.is_closed().then_some(()));
        eventually("waiting", || (pulling.link().status().state == LinkState::Connecting).then_some(()));
    }
}

#[test]
fn within_its_grace_a_stream_goes_on_with_a_discontinuity() {
    let (stage, port) = (Stage::new(), free_port());
    let options = PullOptions { idle_time: Duration::from_millis(100), ..Default::default() };
    let pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", options);
    Sender::new(port).send(100..105);
    let mut heard = stage.accept("cam");
    heard.frames(5);
    eventually("silence", || (pulling.link().status().state == LinkState::Connecting).then_some(()));
    let mut again = Sender::new(port);
    again.send(0..5);
    let frames = heard.frames(10);
    let marked: Vec<_> = frames.iter().filter(|frame| frame.is_discontinuity()).map(|frame| &frame.payload).collect();
    assert_eq!(marked, [&picture(0, 3000).payload]);
    assert!(frames.is_sorted_by_key(|frame| frame.dts));
}

#[test]
fn a_second_sender_is_not_heard_and_told_of_once() {
    let (stage, port) = (Stage::new(), free_port());
    let _pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", PullOptions::default());
    let (mut first, mut second) = (Sender::new(port), Sender::new(port));
    first.send(0..3);
    let mut heard = stage.accept("cam");
    for n in 3..10 {
        first.send(n..n + 1);
        second.send(n + 1000..n + 1001);
    }
    stage.said("sends too and is not heard");
    let frames = heard.frames(9);
    assert!(frames.iter().zip(0..).all(|(frame, n)| frame.payload == picture(n, 3000).payload));
}

#[test]
fn garbage_between_packets_costs_nothing_but_itself() {
    let (stage, port) = (Stage::new(), free_port());
    let _pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", PullOptions::default());
    let mut sender = Sender::new(port);
    sender.send(0..3);
    let mut heard = stage.accept("cam");
    for n in 3..30 {
        sender.send(n..n + 1);
        for garbage in [&[0; 1][..], &[0x80; 12], &[0xFF; 1400], &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x47]] {
            sender.send_raw(garbage);
        }
    }
    assert_eq!(heard.frames(29).len(), 29);
}

/// 16 datagrams are 112 packets, 7 times 16: by the counters of the stream, none. The picture came out without its middle.
#[test]
fn a_picture_that_misses_sixteen_datagrams_is_left_out() {
    let (stage, port) = (Stage::new(), free_port());
    let _pulling = stage.pull(&format!("rtp://127.0.0.1:{port}"), "cam", PullOptions::default());
    let (mut sender, mut wrapper) = (Sender::new(port), super::rtp::Wrapper::new(7));
    let mut packets = Vec::new();
    (0..6).for_each(|n| sender.muxer.write(&picture(n, 60_000), &mut packets).unwrap());
    for (n, datagram) in packets.chunks(1316).enumerate() {
        let header = wrapper.header(Duration::ZERO);
        if !(60..76).contains(&n) {
            sender.send_raw(&[&header[..], datagram].concat());
        }
    }
    let mut heard = stage.accept("cam");
    let seen: Vec<_> =
        heard.frames(4)[..4].iter().map(|frame| (frame.payload.slice(5..13), frame.is_discontinuity())).collect();
    let number = |n| picture(n, 60_000).payload.slice(5..13);
    assert_eq!(seen, [(number(0), false), (number(2), true), (number(3), false), (number(4), false)]);
}

/// Nothing was ever said of it, since nothing of it can be published.
#[test]
fn a_program_that_cannot_be_read_is_told_of() {
    let (stage, port) = (Stage::new(), free_port());
    let _pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", PullOptions::default());
    let sender = Sender::new(port);
    let said = eventually("a line", || {
        sender.send_raw(&mpeg_2_tables());
        let notices = std::iter::from_fn(|| stage.inbox.pop());
        notices.filter_map(|notice| if let Notice::Warning(text) = notice { Some(text) } else { None }).next()
    });
    assert!(
        said.ends_with("live/cam: unsupported MPEG-2 video (stream type 0x02) at PID 0x100: this track is left out"),
        "{said}"
    );
}

#[test]
fn a_stream_that_the_server_ends_is_asked_for_anew() {
    let (stage, port) = (Stage::new(), free_port());
    let _pulling = stage.pull(&format!("udp://127.0.0.1:{port}"), "cam", PullOptions::default());
    let mut sender = Sender::new(port);
    sender.send(0..3);
    stage.accept("cam").log.close();
    let mut n = 3;
    eventually("another request", || {
        sender.send(n..n + 1);
        n += 1;
        matches!(stage.inbox.pop(), Some(Notice::Publish(_))).then_some(())
    });
}

#[test]
fn an_address_that_cannot_be_had_is_tried_again() {
    let (stage, taken) = (Stage::new(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let port = taken.local_addr().unwrap().port();
    let pulling = stage.try_to_pull(&format!("udp://127.0.0.1:{port}"), "cam", PullOptions::default());
    eventually("a refusal", || (pulling.link().status().retries > 0).then_some(()));
    drop(taken);
    let mut sender = Sender::new(port);
    eventually("a request", || {
        sender.send(0..3);
        matches!(stage.inbox.pop(), Some(Notice::Publish(_))).then_some(())
    });
}
