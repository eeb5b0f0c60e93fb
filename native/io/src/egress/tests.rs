//! Viewers with real sockets: who reads, who does not, who goes without a word.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{self, Relaxed},
        },
    },
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Frame, FrameFlags, Log, LogBounds, LogObserver, LogWriter, Publisher, StreamKey, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use bytes::Bytes;

use super::*;
use crate::{Inbox, Notice, Runtime};

/// An avcC record written by libx264: 320x240, baseline.
pub(crate) const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

/// A log of pictures alone.
pub(crate) fn log_of_pictures(bounds: LogBounds) -> LogWriter {
    let mut source = LogWriter::new(bounds, Arc::new(()));
    let config = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
    source.set_tracks(vec![Track::new(VIDEO, config)]).unwrap();
    source
}

/// Publishes pictures of one slice, 30 a second, a key picture each second.
pub(crate) fn publish_pictures(source: &mut LogWriter, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let (flags, dts) = (if n % 30 == 0 { FrameFlags::KEY } else { FrameFlags::NONE }, 3000 * n);
        let payload = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
        source.publish(Frame { track: VIDEO, flags, pts: dts, dts, duration: 3000, payload }).unwrap();
    }
}

/// A log of VP9, for which MPEG-TS has no place, with Opus.
pub(crate) fn log_of_unknown_pictures() -> LogWriter {
    let mut source = LogWriter::new(LogBounds::default(), Arc::new(()));
    let pictures = CodecConfig::parse(Codec::Vp9, vec![0, 10, 0x82, 2, 2, 2, 0, 0].into()).unwrap();
    let head = Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
    let sound = CodecConfig::parse(Codec::Opus, head).unwrap();
    source.set_tracks(vec![Track::new(VIDEO, pictures), Track::new(AUDIO, sound)]).unwrap();
    source
}

/// Publishes key pictures to it, each with its sound.
pub(crate) fn publish_unknown_pictures(source: &mut LogWriter, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let frame = |track, flags, dts, payload: &'static [u8]| Frame {
            track,
            flags,
            pts: dts,
            dts,
            duration: 0,
            payload: Bytes::from_static(payload),
        };
        source.publish(frame(VIDEO, FrameFlags::KEY, 1800 * n, &[0x82; 100])).unwrap();
        source.publish(frame(AUDIO, FrameFlags::NONE, 960 * n, &[0xfc, 0xff, 0xfe])).unwrap();
    }
}

pub(crate) const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const GOP: u64 = 30;
/// Long enough on a busy machine; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stage {
    _runtime: Runtime,
    inbox: Arc<Inbox>,
    egress: Arc<Egress>,
    publisher: Publisher,
    listener: TcpListener,
    next: u64,
    frame_bytes: usize,
}

impl Stage {
    fn new(options: EgressOptions) -> Self {
        Self::with(options, LogBounds::default(), 5000)
    }

    fn with(options: EgressOptions, bounds: LogBounds, frame_bytes: usize) -> Self {
        Self::observed(options, bounds, frame_bytes, Arc::new(()))
    }

    fn observed(options: EgressOptions, bounds: LogBounds, frame_bytes: usize, observer: Arc<dyn LogObserver>) -> Self {
        let runtime = Runtime::start(2).unwrap();
        let inbox = Inbox::new(Waker::noop().clone());
        let egress = Egress::new(runtime.handle().clone(), options, inbox.clone());
        let mut publisher = Publisher::new(LogWriter::new(bounds, observer), Box::new(()));
        let video = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
        let audio = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        publisher.set_tracks(vec![Track::new(VIDEO, video), Track::new(AUDIO, audio)]).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { _runtime: runtime, inbox, egress, publisher, listener, next: 0, frame_bytes }
    }

    fn log(&self) -> &Arc<Log> {
        self.publisher.log()
    }

    /// A picture with its number in it, and the sound that goes with it.
    fn publish(&mut self, pictures: u64) {
        for n in self.next..self.next + pictures {
            let mut picture = vec![if n % GOP == 0 { 0x65 } else { 0x41 }; self.frame_bytes];
            picture[1..9].copy_from_slice(&n.to_be_bytes());
            let payload = [&(picture.len() as u32).to_be_bytes()[..], &picture].concat().into();
            let flags = if n % GOP == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
            let dts = n as i64 * 3000;
            self.publisher.publish(Frame { track: VIDEO, flags, pts: dts, dts, duration: 3000, payload }).unwrap();
            let dts = n as i64 * 1600;
            let payload = vec![0x21; 100].into();
            self.publisher
                .publish(Frame { track: AUDIO, flags: FrameFlags::NONE, pts: dts, dts, duration: 1024, payload })
                .unwrap();
        }
        self.next += pictures;
    }

    /// A new viewer, who has been sent something; the socket in our hand is the peer's.
    fn join(&self) -> TcpStream {
        let (peer, result) = self.join_as(Container::Flv);
        result.unwrap();
        let addr = peer.local_addr().unwrap();
        self.wait_for("it joins", |viewers| {
            viewers.iter().any(|viewer| viewer.watcher.peer == addr && viewer.bytes > 0)
        });
        peer
    }

    fn join_as(&self, container: Container) -> (TcpStream, Result<(), PlayError>) {
        let peer = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (ours, _) = self.listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let key = StreamKey::new("live", "cam").unwrap();
        let addr: SocketAddr = peer.local_addr().unwrap();
        let watcher = Watcher { key, protocol: "http-flv", peer: addr, agent: "test".into() };
        let head = Bytes::from_static(b"HEAD");
        let ticket = self.egress.admit(self.log(), watcher);
        let result = ticket.and_then(|ticket| ticket.play(container, Framing::Bare, ours, Head::Bytes(head), None));
        (peer, result)
    }

    fn wait_for(&self, what: &str, mut condition: impl FnMut(&[ViewerInfo]) -> bool) {
        let start = Instant::now();
        while !condition(&self.egress.viewers()) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:#?}", self.egress.viewers());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads an FLV stream as a player does.
struct Player {
    socket: TcpStream,
    has_header: bool,
    /// Pictures that it has seen.
    seen: Arc<AtomicU64>,
}

impl Player {
    fn new(socket: TcpStream) -> Self {
        Self { socket, has_header: false, seen: Arc::default() }
    }

    /// The next picture's number; none at the end.
    fn picture(&mut self) -> Option<u64> {
        if !self.has_header {
            let mut header = [0; 4 + 13];
            self.socket.read_exact(&mut header).unwrap();
            assert_eq!(&header[..8], b"HEADFLV\x01");
            self.has_header = true;
        }
        loop {
            let mut tag = [0; 11];
            match self.socket.read_exact(&mut tag) {
                Ok(()) => {}
                Err(_) => return None,
            }
            let size = u32::from_be_bytes([0, tag[1], tag[2], tag[3]]) as usize;
            let mut body = vec![0; size + 4];
            self.socket.read_exact(&mut body).unwrap();
            let previous = u32::from_be_bytes(body[size..].try_into().unwrap()) as usize;
            assert_eq!(previous, size + 11, "the framing is intact");
            // AVCVIDEOPACKET with NAL units behind 5 bytes, then a length of 4 and a NAL header.
            if tag[0] == 9 && body[1] == 1 {
                return Some(u64::from_be_bytes(body[10..18].try_into().unwrap()));
            }
        }
    }

    /// Pictures up to and with that one.
    fn until(&mut self, last: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.last() != Some(&last) {
            seen.push(self.picture().expect("the stream goes on"));
            self.seen.store(seen.len() as u64, Relaxed);
        }
        seen
    }
}

#[test]
fn a_viewer_begins_at_the_newest_key_picture_and_misses_nothing() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(45);
    let mut player = Player::new(stage.join());
    assert_eq!(player.until(44), (30..45).collect::<Vec<_>>());
    stage.publish(100);
    assert_eq!(player.until(144), (45..145).collect::<Vec<_>>());
    let mut late = Player::new(stage.join());
    stage.publish(1);
    assert_eq!(late.until(145), (120..146).collect::<Vec<_>>());
    stage.wait_for("both are listed", |viewers| viewers.len() == 2 && viewers[0].frames >= 230);
    assert_eq!(stage.log().counters().viewers, 2);
}

#[test]
fn the_end_of_the_stream_is_sent_to_the_last_byte() {
    let mut stage = Stage::with(EgressOptions::default(), LogBounds::default(), 50_000);
    stage.publish(30);
    let mut player = Player::new(stage.join());
    stage.wait_for("it has joined", |viewers| viewers.first().is_some_and(|viewer| viewer.bytes > 0));
    let Stage { publisher, egress, .. } = &mut stage;
    publisher.log().close();
    assert_eq!(player.until(29), (0..30).collect::<Vec<_>>());
    assert_eq!(player.picture(), None);
    assert!(egress.channels_are_gone(PATIENCE), "the channel ends with its stream");
}

#[test]
fn a_viewer_that_reads_nothing_harms_nobody_and_is_let_go() {
    let options = EgressOptions { stall_max: Duration::from_secs(2), ..EgressOptions::default() };
    let bounds = LogBounds { frames: 400, bytes: 4 << 20, ..LogBounds::default() };
    let mut stage = Stage::with(options, bounds, 20_000);
    stage.publish(1);
    let asleep = stage.join();
    let readers: Vec<_> = (0..50).map(|_| Player::new(stage.join())).collect();
    let seen: Vec<_> = readers.iter().map(|player| player.seen.clone()).collect();
    let readers: Vec<_> = readers.into_iter().map(|mut player| std::thread::spawn(move || player.until(899))).collect();
    for n in 0..899 {
        stage.publish(1);
        if n % 10 == 9 {
            // As fast as the readers read: what they lose would be the pump's fault.
            stage.wait_for("readers keep up", |_| seen.iter().all(|seen| seen.load(Relaxed) > n));
        }
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (0..900).collect::<Vec<_>>(), "no picture is lost");
    }
    stage.wait_for("the sleeper is gone", |viewers| viewers.len() <= 50 && viewers.iter().all(|viewer| viewer.id != 1));
    drop(asleep);
}

#[test]
fn a_slow_viewer_goes_on_at_a_key_picture_with_its_framing_intact() {
    let options = EgressOptions { behind_max: Duration::from_secs(3), ..EgressOptions::default() };
    let mut stage = Stage::with(options, LogBounds { frames: 4000, ..LogBounds::default() }, 20_000);
    stage.publish(1);
    let mut slow = Player::new(stage.join());
    assert_eq!(slow.picture(), Some(0));
    // More than the kernel keeps; far more than three seconds.
    stage.publish(599);
    stage.wait_for("it is moved", |viewers| viewers[0].dropped > 0);
    let seen = slow.until(599);
    let jumps: Vec<_> = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(!jumps.is_empty() && jumps.iter().all(|pair| pair[1] % GOP == 0 && pair[1] > pair[0]), "{jumps:?}");
}

#[test]
fn a_reset_in_mid_message_ends_one_viewer() {
    let mut stage = Stage::with(EgressOptions::default(), LogBounds::default(), 100_000);
    stage.publish(1);
    let (rude, mut polite) = (stage.join(), Player::new(stage.join()));
    stage.wait_for("both are there", |viewers| viewers.iter().filter(|viewer| viewer.bytes > 0).count() == 2);
    stage.publish(20);
    // Closed with unread bytes: the kernel answers with a reset.
    drop(rude);
    stage.publish(20);
    assert_eq!(polite.until(40).len(), 41);
    stage.wait_for("one is gone", |viewers| viewers.len() == 1);
    assert_eq!(stage.log().counters().viewers, 1);
}

#[test]
fn a_viewer_that_closes_its_half_still_reads() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(1);
    let socket = stage.join();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut player = Player::new(socket);
    stage.publish(50);
    assert_eq!(player.until(50).len(), 51);
}

/// Found by review: who goes is seen by what is written to it next, and to viewers of a format without a place for the stream nothing is. They
/// stayed on the list, and once it was full everybody was turned away.
#[test]
fn who_goes_while_there_is_nothing_to_send_is_let_go_and_who_closes_its_half_reads_on() {
    let mut stage = Stage::new(EgressOptions { stall_max: Duration::from_secs(1), ..EgressOptions::default() });
    let pictures = log_of_unknown_pictures().tracks().tracks[0].clone();
    stage.publisher.set_tracks(vec![pictures]).unwrap();
    let start = Instant::now();
    let (mut half, _) = stage.join_as(Container::Flv);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut goes, _) = stage.join_as(Container::Ts);
    // What it leaves unread is answered with a reset. What it has said and nobody has read hides no end.
    goes.read_exact(&mut [0; 4]).unwrap(); // HEAD
    goes.write_all(b"GET").unwrap();
    drop(goes);
    let mut n = 0;
    while stage.egress.viewers().iter().any(|viewer| viewer.id == 2) {
        assert!(start.elapsed() < PATIENCE, "{:#?}", stage.egress.viewers());
        let payload = Bytes::from_static(&[0x82; 100]);
        let frame = Frame { track: VIDEO, flags: FrameFlags::KEY, pts: n, dts: n, duration: 0, payload };
        stage.publisher.publish(frame).unwrap();
        n += 1800;
        half.read_exact(&mut [0; 100]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(stage.egress.viewers().len(), 1);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_a_viewer_says_is_not_read_and_costs_nothing() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(1);
    let mut socket = stage.join();
    socket.set_nonblocking(true).unwrap();
    while socket.write(&[0; 4096]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    stage.publish(50);
    assert_eq!(Player::new(socket).until(50).len(), 51);
}

#[test]
fn a_kicked_viewer_goes_and_the_others_stay() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(1);
    let (mut kicked, mut stays) = (Player::new(stage.join()), Player::new(stage.join()));
    stage.wait_for("both are there", |viewers| viewers.len() == 2);
    assert!(stage.egress.kick(1) && !stage.egress.kick(99));
    stage.wait_for("it is gone", |viewers| viewers.len() == 1);
    stage.publish(10);
    while kicked.picture().is_some() {}
    assert_eq!(stays.until(10).len(), 11);
}

/// Panics when its first viewer leaves.
#[derive(Default)]
struct Fragile(AtomicBool);

impl LogObserver for Fragile {
    fn lagged(&self, _: u64) {}

    fn evicted(&self, _: u64) {}

    fn left(&self, _: &str) {
        assert!(self.0.swap(true, Ordering::Relaxed), "on purpose");
    }
}

/// Found by reading: the channel stayed in the map, and whoever came for that format of the stream was given to nobody, in silence.
#[test]
fn a_bug_in_a_channel_is_told_and_the_next_viewer_is_served() {
    let observer = Arc::new(Fragile::default());
    let mut stage = Stage::observed(EgressOptions::default(), LogBounds::default(), 1000, observer);
    stage.publish(1);
    let mut first = Player::new(stage.join());
    assert!(stage.egress.kick(1));
    while first.picture().is_some() {}
    stage.wait_for("it is gone", |viewers| viewers.is_empty());
    assert!(stage.egress.channels_are_gone(PATIENCE));
    let mut second = Player::new(stage.join());
    assert_eq!(second.picture(), Some(0));
    let bugs = std::iter::from_fn(|| stage.inbox.pop()).filter(|notice| matches!(notice, Notice::Bug(_)));
    assert_eq!(bugs.count(), 1);
}

#[test]
fn a_burst_of_joiners_gets_whole_streams_while_others_watch() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(20);
    let first = Player::new(stage.join());
    let mut burst = Vec::new();
    for _ in 0..200 {
        burst.push(Player::new(stage.join_as(Container::Flv).0));
        stage.publish(1);
    }
    for mut player in burst.into_iter().chain([first]) {
        let seen = player.until(219);
        assert_eq!(seen[0] % GOP, 0, "from a key picture on");
        assert_eq!(seen, (seen[0]..220).collect::<Vec<_>>(), "without a hole");
    }
}

#[test]
fn viewers_are_bounded() {
    let stage = Stage::new(EgressOptions { viewers_max: 2, ..EgressOptions::default() });
    let _two = (stage.join(), stage.join());
    assert!(matches!(stage.join_as(Container::Flv).1, Err(PlayError::Full)));
    assert_eq!(stage.log().counters().viewers, 2);
}

#[test]
fn a_format_is_dropped_a_while_after_its_last_viewer() {
    let mut stage = Stage::new(EgressOptions { linger: Duration::from_millis(300), ..EgressOptions::default() });
    stage.publish(1);
    let flv = stage.join();
    let ts = stage.join_as(Container::Ts).0;
    stage.wait_for("both are there", |viewers| viewers.len() == 2);
    drop((flv, ts));
    // A peer that is gone is noticed by a write.
    let start = Instant::now();
    while !stage.egress.channels_are_gone(Duration::ZERO) {
        assert!(start.elapsed() < PATIENCE, "{:#?}", stage.egress.viewers());
        stage.publish(1);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut again = Player::new(stage.join());
    assert_eq!(again.picture().map(|n| n % GOP), Some(0), "and made anew for the next");
}

/// Top-level boxes of an MP4, read from `socket`, until `count` fragments have come.
fn fragments(socket: &mut TcpStream, count: usize) -> Vec<[u8; 4]> {
    socket.read_exact(&mut [0; 4]).unwrap(); // HEAD
    let mut kinds = Vec::new();
    while kinds.iter().filter(|kind| *kind == b"mdat").count() < count {
        let mut header = [0; 8];
        socket.read_exact(&mut header).unwrap();
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        socket.read_exact(&mut vec![0; size - 8]).unwrap();
        kinds.push([header[4], header[5], header[6], header[7]]);
    }
    kinds
}

/// Found by reading: a second `moov` stood in its place, which FFmpeg passes over, so that sound which came late was never heard.
#[test]
fn fragmented_mp4_begins_with_its_init_segment_and_ends_where_that_changes() {
    let mut stage = Stage::new(EgressOptions::default());
    stage.publish(2);
    let (mut peer, _) = stage.join_as(Container::Mp4);
    stage.wait_for("it has what there is", |viewers| viewers.first().is_some_and(|viewer| viewer.frames == 4));
    let tracks = stage.publisher.tracks().tracks.iter().take(1).cloned().collect();
    stage.publisher.set_tracks(tracks).unwrap();
    stage.next = GOP;
    let mut picture = vec![0x65; 100];
    picture.splice(..0, 100_u32.to_be_bytes());
    let dts = 2 * 3000;
    let frame = Frame { track: VIDEO, flags: FrameFlags::KEY, pts: dts, dts, duration: 3000, payload: picture.into() };
    stage.publisher.publish(frame).unwrap();
    let kinds = fragments(&mut peer, 4);
    let mut expected: Vec<&[u8; 4]> = vec![b"ftyp", b"moov"];
    expected.extend([b"moof", b"mdat"].repeat(4));
    assert_eq!(kinds.iter().collect::<Vec<_>>(), expected);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the end");
}
