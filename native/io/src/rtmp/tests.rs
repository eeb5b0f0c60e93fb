//! Pull and push against remotes that are silent, rude, slow, or gone for a while.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Frame, FrameFlags, Log, LogBounds, LogWriter, Publisher, Read, StreamKey, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use arcly_pack::flv::{FlvMuxer, TagKind};
use arcly_wire::rtmp::{
    Event, MediaKind, PublishRejection, ServerConn,
    amf::{self, Value},
    egress::chunked,
};
use bytes::Bytes;

use super::*;
use crate::{Backoff, Inbox, Link, LinkGuard, LinkState, Notice, PublishRequest, Refusal, Runtime};

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];
const VIDEO: TrackId = TrackId(0);
const GOP: u64 = 10;
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

fn publisher(bounds: LogBounds) -> Publisher {
    Publisher::new(LogWriter::new(bounds, Arc::new(())), Box::new(()))
}

pub(crate) fn track() -> Track {
    Track::new(VIDEO, CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap())
}

/// Picture `n` of a stream, with its number in it.
pub(crate) fn picture(n: u64, bytes: usize) -> Frame {
    let is_key = n.is_multiple_of(GOP);
    let mut unit = vec![if is_key { 0x65 } else { 0x41 }; bytes];
    unit[1..9].copy_from_slice(&n.to_be_bytes());
    let payload = [&(unit.len() as u32).to_be_bytes()[..], &unit].concat().into();
    let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
    Frame { track: VIDEO, flags, pts: n as i64 * 3000, dts: n as i64 * 3000, duration: 3000, payload }
}

/// A runtime, a place for remotes, and an inbox.
struct Stage {
    runtime: Runtime,
    listener: TcpListener,
    inbox: Arc<Inbox>,
}

impl Stage {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let inbox = Inbox::new(Waker::noop().clone());
        Self { runtime: Runtime::start(2).unwrap(), listener, inbox }
    }

    fn url(&self) -> RemoteUrl {
        RemoteUrl::parse(&format!("rtmp://{}/live/cam", self.listener.local_addr().unwrap())).unwrap()
    }

    fn pull(&self, options: PullOptions) -> LinkGuard {
        let options = PullOptions { backoff: QUICK, ..options };
        let key = StreamKey::new("live", "copy").unwrap();
        pull(self.runtime.handle(), self.url(), key, options, self.inbox.clone(), Waker::noop().clone())
    }

    fn push(&self, log: &Arc<Log>, options: PushOptions) -> LinkGuard {
        let options = PushOptions { backoff: QUICK, ..options };
        push(self.runtime.handle(), self.url(), log.clone(), options, self.inbox.clone(), Waker::noop().clone())
    }

    fn accept(&self) -> Remote {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Remote { socket, machine: ServerConn::new(Limits::default(), 7, Duration::ZERO) }
    }

    /// The next request to publish; warnings before it are passed over.
    fn asked(&self) -> PublishRequest {
        eventually("a request", || match self.inbox.pop() {
            Some(Notice::Publish(request)) => Some(request),
            _ => None,
        })
    }
}

/// The other side, as a server has it.
struct Remote {
    socket: TcpStream,
    machine: ServerConn,
}

impl Remote {
    fn flush(&mut self) {
        while let Some(bytes) = self.machine.poll_output() {
            self.socket.write_all(&bytes).unwrap();
        }
    }

    /// What the client does next; `None` when it closed the connection.
    fn event(&mut self) -> Option<Event> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            self.flush();
            if let Some(event) = self.machine.poll_event() {
                return Some(event);
            }
            match self.socket.read(&mut buffer).unwrap() {
                0 => return None,
                read => self.machine.handle_input(Duration::ZERO, &buffer[..read]).unwrap(),
            }
        }
    }

    fn until_publish(&mut self) -> u32 {
        loop {
            if let Event::PublishRequested(request) = self.event().unwrap() {
                assert_eq!((request.app.as_str(), request.stream.as_str()), ("live", "cam"));
                return request.stream_id;
            }
        }
    }

    fn let_publish(&mut self) {
        let stream_id = self.until_publish();
        self.machine.accept_publish(stream_id);
        self.flush();
    }

    fn let_play(&mut self) {
        loop {
            if let Event::PlayRequested(request) = self.event().unwrap() {
                self.machine.accept_play(request.stream_id);
                return self.flush();
            }
        }
    }

    /// Sends pictures with their headers.
    fn show(&mut self, pictures: std::ops::Range<u64>) {
        let mut muxer = FlvMuxer::default();
        muxer.reconfigure(&arcly_bus::TrackSet { revision: 1, tracks: vec![track()] });
        for n in pictures {
            let mut tags = Vec::new();
            muxer.write(&picture(n, 500), &mut tags).unwrap();
            for tag in tags {
                let kind = if tag.kind == TagKind::Video { MediaKind::Video } else { MediaKind::Script };
                self.socket.write_all(&chunked(kind, tag.timestamp_ms, tag.header(), &tag.payload)).unwrap();
            }
        }
    }

    /// The next video message: whether it is a sequence header, or the number of its picture.
    fn video(&mut self) -> Option<u64> {
        loop {
            if let Event::Media(media) = self.event().unwrap() {
                match (media.kind, media.body.get(1)) {
                    (MediaKind::Video, Some(0)) => return None,
                    (MediaKind::Video, _) => return Some(u64::from_be_bytes(media.body[10..18].try_into().unwrap())),
                    _ => {}
                }
            }
        }
    }
}

fn error_of(link: &Arc<Link>, part: &str) {
    let has_part = || link.status().last_error.filter(|error| error.contains(part));
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(part, has_part)));
    assert!(found.is_ok(), "{part}: {:?}", link.status());
}

#[test]
fn a_remote_that_says_nothing_is_left_and_tried_again() {
    let stage = Stage::new();
    let limits = Limits { handshake_time: Duration::from_millis(50), ..Limits::default() };
    let pull = stage.pull(PullOptions { limits, ..PullOptions::default() });
    let _silent = [stage.accept(), stage.accept(), stage.accept()];
    error_of(pull.link(), "did not let us begin");
    eventually("retries", || (pull.link().status().retries >= 2).then_some(()));
}

#[test]
fn a_remote_that_talks_nonsense_is_left_and_told_of() {
    let stage = Stage::new();
    let pull = stage.pull(PullOptions::default());
    let mut remote = stage.accept();
    // S0, S1 and S2 may be anything; what follows may not.
    remote.socket.write_all(&[3; 3073]).unwrap();
    remote.socket.write_all(&[0xff; 4096]).unwrap();
    error_of(pull.link(), "broke the protocol");
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_remote() {
    let stage = Stage::new();
    let source = publisher(LogBounds::default());
    let push = stage.push(source.log(), PushOptions::default());
    let mut remote = stage.accept();
    let stream_id = remote.until_publish();
    remote.machine.reject_publish(stream_id, PublishRejection::Unauthorized, "the key has run out");
    remote.flush();
    error_of(push.link(), "the key has run out");
}

/// A server that lets in only who logs in: what its client says in `connect`; it is refused with this description.
fn refuse_connect(stage: &Stage, description: &str) -> String {
    let (mut socket, _) = stage.listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // S0, S1 and S2 may be anything.
    socket.write_all(&[3; 3073]).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !(said.len() > 3073 && said.ends_with(&[0, 0, 9])) {
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "it says connect");
        said.extend_from_slice(&buffer[..read]);
    }
    let text = |text: &str| Value::from(text);
    let fields = [("level", "error"), ("code", "NetConnection.Connect.Rejected"), ("description", description)];
    let information = Value::Object(fields.map(|(name, value)| (name.to_owned(), text(value))).to_vec());
    let mut body = Vec::new();
    [text("_error"), Value::from(1.0), Value::Null, information].iter().for_each(|value| amf::encode(value, &mut body));
    let length = (body.len() as u32).to_be_bytes();
    socket.write_all(&[&[3, 0, 0, 0][..], &length[1..], &[20, 0, 0, 0, 0]].concat()).unwrap();
    let chunks: Vec<&[u8]> = body.chunks(128).collect();
    socket.write_all(&chunks.join(&[0xC3][..])).unwrap();
    String::from_utf8_lossy(&said[3073..]).into_owned()
}

#[test]
fn a_remote_that_asks_for_a_login_gets_a_response_and_no_password() {
    let stage = Stage::new();
    let source = publisher(LogBounds::default());
    let url = stage.url().to_string().replace("rtmp://", "rtmp://me:w%6Frd@");
    let options = PushOptions { backoff: QUICK, ..PushOptions::default() };
    let (inbox, url) = (stage.inbox.clone(), RemoteUrl::parse(&url).unwrap());
    let push = push(stage.runtime.handle(), url, source.log().clone(), options, inbox, Waker::noop().clone());
    refuse_connect(&stage, "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ");
    let asks =
        "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=me&salt=ab==&challenge=cd==&opaque=ef==";
    let named = refuse_connect(&stage, asks);
    assert!(named.contains("live?authmod=adobe&user=me") && !named.contains("w%6Frd"), "{named}");
    let mut remote = stage.accept();
    remote.let_publish();
    eventually("the push", || (push.link().status().retries == 0).then_some(()));
    assert_eq!(push.link().status().last_error, None, "it is no failure");
    // It is lost, comes again, and its password is wrong by now.
    drop(remote);
    refuse_connect(&stage, "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ");
    refuse_connect(&stage, asks);
    let answered =
        refuse_connect(&stage, "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=ef==");
    assert!(answered.contains("&response=") && answered.contains("&opaque=ef=="), "{answered}");
    error_of(push.link(), "authfailed");
}

#[test]
fn a_play_that_brings_no_media_is_given_up_even_while_the_remote_pings() {
    let stage = Stage::new();
    let pull = stage.pull(PullOptions { idle_time: Duration::from_millis(100), ..PullOptions::default() });
    let mut remote = stage.accept();
    remote.let_play();
    remote.machine.ping();
    remote.flush();
    error_of(pull.link(), "sent no media");
}

#[test]
fn a_pull_goes_on_in_the_same_stream_when_its_remote_comes_back() {
    let stage = Stage::new();
    let pull = stage.pull(PullOptions::default());
    let mut remote = stage.accept();
    remote.let_play();
    remote.show(0..20);
    let source = publisher(LogBounds::default());
    let log = source.log().clone();
    let mut reader = log.subscribe();
    stage.asked().accept(source);
    let first = read(&mut reader, 20);
    assert!(first.iter().all(|frame| !frame.is_discontinuity()));
    drop(remote);
    let mut remote = stage.accept();
    remote.let_play();
    remote.show(1000..1020);
    let second = read(&mut reader, 20);
    assert!(second[0].is_discontinuity() && second[0].is_key());
    assert!(second[1..].iter().all(|frame| !frame.is_discontinuity()));
    let step = second[0].dts - first[19].dts;
    assert!((3000..20 * 90_000).contains(&step), "behind the last frame, by the time that has passed: {step}");
    assert!((second[1].dts - second[0].dts - 3000).abs() <= 90, "a millisecond, the rounding of the wire");
    let status = pull.link().status();
    assert_eq!((status.state, status.retries, status.frames), (LinkState::Running, 1, 40));
    assert!(status.last_error.is_some());
    pull.link().stop();
    eventually("the end", || log.is_closed().then_some(()));
    eventually("stopped", || (pull.link().status().state == LinkState::Stopped).then_some(()));
}

fn read(reader: &mut arcly_bus::Subscription, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    eventually("frames", || {
        while let Read::Frames(batch) = reader.read(count - frames.len()) {
            frames.extend_from_slice(batch.frames);
            if frames.len() == count {
                return Some(());
            }
        }
        None
    });
    frames
}

#[test]
fn a_stream_whose_remote_stays_away_is_ended_and_asked_for_again() {
    let stage = Stage::new();
    let pull = stage.pull(PullOptions { grace: Duration::from_millis(50), ..PullOptions::default() });
    let mut remote = stage.accept();
    remote.let_play();
    remote.show(0..20);
    let source = publisher(LogBounds::default());
    let log = source.log().clone();
    stage.asked().accept(source);
    eventually("frames", || (log.published() == 20).then_some(()));
    drop(remote);
    // It connects again, and there is nothing to play.
    let mut remote = stage.accept();
    eventually("the end of the stream", || log.is_closed().then_some(()));
    remote.let_play();
    remote.show(0..20);
    stage.asked().refuse(Refusal::Failed, "somebody else has it".into());
    error_of(pull.link(), "somebody else has it");
}

#[test]
fn a_remote_that_stops_reading_costs_nothing_and_goes_on_at_a_key_frame() {
    const BYTES: usize = 40_000;
    let bounds = LogBounds { frames: 256, bytes: 8 << 20, ..LogBounds::default() };
    let stage = Stage::new();
    let mut source = publisher(bounds);
    source.set_tracks(vec![track()]).unwrap();
    let push =
        stage.push(source.log(), PushOptions { behind_max: Duration::from_secs(3600), ..PushOptions::default() });
    let mut remote = stage.accept();
    remote.let_publish();
    source.publish(picture(0, BYTES)).unwrap();
    assert_eq!(remote.video(), None, "the headers come first");
    assert_eq!(remote.video(), Some(0));
    // More than every buffer on the way holds: what the remote has not read when it reads on has been dropped.
    let last = 2000;
    (1..=last).for_each(|n| source.publish(picture(n, BYTES)).unwrap());
    let held = push.link().status().frames as usize * BYTES;
    assert!(held < 24 << 20, "what the kernel takes and one round of ours, not the stream: {held}");
    let (mut before, mut seen) = (Some(0), Vec::new());
    while seen.last() != Some(&last) {
        let now = remote.video();
        if let (Some(before), Some(now)) = (before, now) {
            assert_eq!(now, before + 1, "a gap has headers behind it");
        }
        (before, seen) = (now, [seen, now.into_iter().collect()].concat());
    }
    let gaps: Vec<_> = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(!gaps.is_empty(), "it was held up");
    assert!(gaps.iter().all(|pair| pair[1] % GOP == 0), "{gaps:?}");
    let status = push.link().status();
    assert_eq!(status.frames + status.skipped, last + 1);
    assert_eq!((status.state, status.retries), (LinkState::Running, 0));
}

#[test]
fn a_remote_that_is_behind_for_too_long_skips_to_the_newest_key_frame() {
    const BYTES: usize = 40_000;
    let stage = Stage::new();
    let mut source = publisher(LogBounds { frames: 4096, bytes: 256 << 20, ..LogBounds::default() });
    source.set_tracks(vec![track()]).unwrap();
    let push = stage.push(source.log(), PushOptions { behind_max: Duration::ZERO, ..PushOptions::default() });
    let mut remote = stage.accept();
    remote.let_publish();
    (0..=2000).for_each(|n| source.publish(picture(n, BYTES)).unwrap());
    while remote.video() != Some(2000) {}
    assert!(push.link().status().skipped > 0, "the log still has all of it: {:?}", push.link().status());
}

#[test]
fn the_end_of_the_stream_is_said_and_ends_the_push() {
    let stage = Stage::new();
    let mut source = publisher(LogBounds::default());
    source.set_tracks(vec![track()]).unwrap();
    let push = stage.push(source.log(), PushOptions::default());
    let mut remote = stage.accept();
    remote.let_publish();
    (0..5).for_each(|n| source.publish(picture(n, 500)).unwrap());
    assert_eq!(remote.video(), None);
    assert_eq!(remote.video(), Some(0), "it begins at the key frame");
    source.end("over");
    let mut has_ended = false;
    while let Some(event) = remote.event() {
        has_ended |= matches!(event, Event::PublishEnded { .. });
        if has_ended {
            break;
        }
    }
    assert!(has_ended, "deleteStream, not only a closed socket");
    drop(remote);
    eventually("stopped", || (push.link().status().state == LinkState::Stopped).then_some(()));
}

#[test]
fn a_remote_can_ask_to_come_again_elsewhere() {
    let stage = Stage::new();
    let mut source = publisher(LogBounds::default());
    source.set_tracks(vec![track()]).unwrap();
    let push = stage.push(source.log(), PushOptions::default());
    let mut remote = stage.accept();
    remote.let_publish();
    source.publish(picture(0, 500)).unwrap();
    remote.video();
    let elsewhere = Stage::new();
    remote.machine.request_reconnect(&format!("rtmp://{}", elsewhere.listener.local_addr().unwrap()), "maintenance");
    remote.flush();
    while remote.event().is_some() {}
    drop(remote);
    let mut remote = elsewhere.accept();
    remote.let_publish();
    assert_eq!(remote.video(), None);
    let status = push.link().status();
    let place = format!("rtmp://{}/", elsewhere.listener.local_addr().unwrap());
    assert!(status.retries == 1 && status.remote.starts_with(&place), "{status:?}");
    // Nobody is there any more: it comes back to where it was sent first.
    drop((remote, elsewhere));
    stage.accept().let_publish();
}

/// A bug it had: it went back at once, and stayed with a server that nobody published to any more.
#[test]
fn who_is_sent_elsewhere_before_the_stream_is_there_tries_again_there() {
    let stage = Stage::new();
    let _pull = stage.pull(PullOptions::default());
    let mut remote = stage.accept();
    remote.let_play();
    let elsewhere = Stage::new();
    remote.machine.request_reconnect(&format!("rtmp://{}", elsewhere.listener.local_addr().unwrap()), "maintenance");
    remote.flush();
    while remote.event().is_some() {}
    let mut early = elsewhere.accept();
    while !matches!(early.event().unwrap(), Event::PlayRequested(_)) {}
    early.machine.reject_play(1, "no such stream is live");
    early.flush();
    while early.event().is_some() {}
    elsewhere.accept().let_play();
}
