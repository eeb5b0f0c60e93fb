use std::{
    io::{Read as _, Write},
    net::TcpListener,
    task::Waker,
    time::Duration,
};

use arcly_bus::{Frame, FrameFlags, LogBounds, LogWriter, StreamKey, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};

use super::{
    super::{
        Container, Head, List, Watcher,
        packets::PacketWriter,
        socket::bound_unsent,
        tests::{log_of_pictures, publish_pictures},
    },
    *,
};
use crate::Inbox;

/// What the longest ping carries.
const PING_MAX: usize = 125;

/// A viewer whose head has not been sent, and the socket of its peer.
fn viewer(source: &LogWriter, writer: &PacketWriter, head: Bytes) -> (Viewer, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, addr) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let watcher =
        Watcher { key: StreamKey::new("live", "cam").unwrap(), protocol: "test", peer: addr, agent: String::new() };
    let entry = List::new(Inbox::new(Waker::noop().clone())).enter(watcher, 1).unwrap();
    let joiner = Joiner { socket, head: Head::Bytes(head), entry, counted: source.log().viewer("test"), line: None };
    (Viewer::new(joiner, writer.packets(), Instant::now()), peer)
}

/// Found by reading: while a viewer reads nothing, each of its pings was answered behind the answers that waited already, and all of these
/// were copied for it.
#[test]
fn who_pings_and_does_not_read_is_owed_one_answer() {
    let source = LogWriter::new(LogBounds::default(), Arc::new(()));
    let writer = PacketWriter::new(source.log(), Container::Flv, Framing::WebSocket);
    // More than the kernel takes for a peer that does not read.
    let head = vec![0; 16 << 20];
    let owed = head.len() + 2 + PING_MAX;
    let (mut viewer, mut peer) = viewer(&source, &writer, head.into());
    viewer.serve(writer.packets(), None, Instant::now());
    assert!(viewer.is_blocked());
    // Masked by zeros (RFC 6455 §5.5.2).
    let ping = [&[0x89, 0x80 | PING_MAX as u8, 0, 0, 0, 0][..], &[0; PING_MAX]].concat();
    for _ in 0..100 {
        peer.write_all(&ping).unwrap();
        while !viewer.hear() {}
        viewer.unblock();
        viewer.serve(writer.packets(), None, Instant::now());
    }
    viewer.tell();
    let sent = viewer.entry.0.bytes.load(Relaxed) as usize;
    assert!(sent + viewer.front.len() <= owed, "{} bytes are owed, not {owed}", sent + viewer.front.len());
}

/// AAC of 48 and of 44.1 kHz, stereo.
const AAC: [[u8; 2]; 2] = [[0x11, 0x90], [0x12, 0x10]];

fn sound_of(record: [u8; 2]) -> Track {
    Track::new(TrackId(1), CodecConfig::parse(Codec::Aac, Bytes::copy_from_slice(&record)).unwrap())
}

/// What is behind the first byte of the tags of sound in an FLV file: 0 and a record, or 1 and a frame.
fn sounds(flv: &[u8]) -> Vec<&[u8]> {
    let (mut sounds, mut tags) = (Vec::new(), &flv[13..]);
    while let [kind, s0, s1, s2, ..] = *tags {
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        sounds.extend((kind == 8).then(|| &tags[12..11 + size]));
        tags.advance(11 + size + 4);
    }
    sounds
}

/// Found by reading: the record of new sound stood in the packet of a picture, and who wanted no pictures (`receiveVideo`) went on with the
/// old one.
#[test]
fn who_wants_sound_alone_is_told_when_it_is_another() {
    let mut source = log_of_pictures(LogBounds::default());
    let pictures = source.tracks().tracks[0].clone();
    let mut writer = PacketWriter::new(source.log(), Container::Flv, Framing::Bare);
    let mut publish = |second: u8, writer: &mut PacketWriter| {
        source.set_tracks(vec![pictures.clone(), sound_of(AAC[usize::from(second)])]).unwrap();
        publish_pictures(&mut source, i64::from(second)..i64::from(second) + 1);
        let (flags, payload) = (FrameFlags::NONE, vec![second].into());
        let dts = i64::from(second) * 1_600;
        source.publish(Frame { track: TrackId(1), flags, pts: dts, dts, duration: 1_024, payload }).unwrap();
        writer.feed();
    };
    publish(0, &mut writer);
    let joined = LogWriter::new(LogBounds::default(), Arc::new(()));
    let (mut viewer, mut peer) = viewer(&joined, &writer, Bytes::new());
    viewer.wants = Wants { video: false, ..Wants::default() };
    viewer.cursor = writer.packets().join_for(viewer.wants);
    viewer.serve(writer.packets(), None, Instant::now());
    publish(1, &mut writer);
    viewer.serve(writer.packets(), None, Instant::now());
    drop(viewer);
    let mut seen = Vec::new();
    peer.read_to_end(&mut seen).unwrap();
    let [first, second] = AAC.map(|record| [&[0], &record[..]].concat());
    assert_eq!(sounds(&seen), [&first[..], &[1, 0], &second, &[1, 1]]);
}

/// Far more than one write takes.
const PICTURE_BYTES: usize = 300_000;

/// Each is a key picture with its number in it.
fn publish_large(source: &mut LogWriter, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let mut payload = vec![number; PICTURE_BYTES];
        payload[..4].copy_from_slice(&(PICTURE_BYTES as u32 - 4).to_be_bytes());
        let dts = i64::from(number) * 3000;
        let frame =
            Frame { track: TrackId(0), flags: FrameFlags::KEY, pts: dts, dts, duration: 3000, payload: payload.into() };
        source.publish(frame).unwrap();
    }
}

/// The numbers of the pictures in an FLV file, which is whole.
fn pictures(flv: &[u8]) -> Vec<u8> {
    let (mut numbers, mut tags) = (Vec::new(), &flv[13..]);
    while let [kind, s0, s1, s2, ..] = *tags {
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        let body = &tags[11..11 + size];
        assert_eq!(
            tags[11 + size..][..4],
            ((size + 11) as u32).to_be_bytes(),
            "the framing is broken behind {numbers:?}"
        );
        if kind == 9 && body[1] == 1 {
            assert!(body[9..].iter().all(|byte| *byte == body[9]), "picture {} is broken", body[9]);
            numbers.push(body[9]);
        }
        tags.advance(11 + size + 4);
    }
    numbers
}

/// A viewer that is within a picture when it is moved to the newest one, number 59; its peer waits for 20 s at most.
fn skipped_within_a_picture() -> (LogWriter, PacketWriter, Viewer, TcpStream) {
    let bounds = LogBounds { bytes: 256 << 20, ..LogBounds::default() };
    let mut source = log_of_pictures(bounds);
    let mut writer = PacketWriter::new(source.log(), Container::Flv, Framing::Bare);
    publish_large(&mut source, 0..1);
    writer.feed();
    let (mut viewer, peer) = viewer(&source, &writer, Bytes::new());
    bound_unsent(&viewer.socket, 64 << 10).unwrap();
    publish_large(&mut source, 1..60);
    writer.feed();
    viewer.serve(writer.packets(), None, Instant::now());
    assert!(viewer.is_blocked() && viewer.offset > 0, "it is within a picture");
    viewer.skip();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (source, writer, viewer, peer)
}

/// Found by reading: with each write that ended within the first packet behind a gap, the headers were sent once more, into that packet.
#[test]
fn behind_a_gap_the_headers_are_sent_once_and_in_front_of_the_packet() {
    let (mut source, mut writer, mut viewer, mut peer) = skipped_within_a_picture();
    publish_large(&mut source, 60..63);
    writer.feed();
    let (mut seen, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    while viewer.is_blocked() {
        let read = peer.read(&mut chunk).expect("more comes");
        seen.extend_from_slice(&chunk[..read]);
        viewer.unblock();
        viewer.serve(writer.packets(), None, Instant::now());
    }
    drop(viewer);
    peer.read_to_end(&mut seen).unwrap();
    let numbers = pictures(&seen);
    assert_eq!(numbers[numbers.len() - 4..], [59, 60, 61, 62]);
    assert!(numbers.len() < 63, "it has skipped: {numbers:?}");
}

/// The types and times of the messages of RTMP that hold frames, each of which is one chunk with a whole header.
fn frames(mut rtmp: &[u8]) -> Vec<(u8, u32)> {
    let mut frames = Vec::new();
    while let [_, t1, t2, t3, s0, s1, s2, kind, ..] = *rtmp {
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        frames.extend((rtmp[13] == 1).then_some((kind, u32::from_be_bytes([0, t1, t2, t3]))));
        rtmp.advance(12 + size);
    }
    frames
}

/// What `frames` shows of these pictures.
fn shown(pictures: impl IntoIterator<Item = u32>) -> Vec<(u8, u32)> {
    pictures.into_iter().map(|n| (9, (n * 100 + 1) / 3)).collect()
}

fn read_all(viewer: Viewer, mut peer: TcpStream) -> Vec<u8> {
    drop(viewer);
    let mut seen = Vec::new();
    peer.read_to_end(&mut seen).unwrap();
    seen
}

/// Found by reading: each change of what is wanted went back to the newest key picture, up to a GOP, and counted what was missed anew.
#[test]
fn who_pauses_or_leaves_something_out_is_not_sent_again_what_it_has() {
    let mut source = log_of_pictures(LogBounds::default());
    let pictures = source.tracks().tracks[0].clone();
    source.set_tracks(vec![pictures, sound_of(AAC[0])]).unwrap();
    let mut writer = PacketWriter::new(source.log(), Container::Rtmp, Framing::Bare);
    publish_pictures(&mut source, 0..20);
    writer.feed();
    let (mut viewer, peer) = viewer(&source, &writer, Bytes::new());
    viewer.line = Some(Arc::default());
    let all = Wants::default();
    let wishes =
        [Wants { paused: true, ..all }, all, Wants { audio: false, ..all }, all, Wants { paused: true, ..all }];
    for (second, wants) in (0_i64..).zip(wishes) {
        viewer.line.as_ref().unwrap().want(wants);
        viewer.serve(writer.packets(), None, Instant::now());
        publish_pictures(&mut source, 20 + second..21 + second);
        writer.feed();
        viewer.serve(writer.packets(), None, Instant::now());
    }
    // Longer than the log reaches, and over a key picture: it goes on there.
    publish_pictures(&mut source, 25..95);
    writer.feed();
    viewer.serve(writer.packets(), None, Instant::now());
    viewer.line.as_ref().unwrap().want(all);
    viewer.serve(writer.packets(), None, Instant::now());
    assert_eq!(viewer.cursor.missed(), 0, "who did not want them has missed none");
    assert_eq!(frames(&read_all(viewer, peer)), shown((0..24).chain(90..95)));
}

/// Found by reading: what a viewer left out was a set of the tracks that there were then; before there were any it got nothing, for ever.
#[test]
fn who_leaves_the_sound_out_before_there_are_tracks_sees_the_pictures() {
    let mut source = LogWriter::new(LogBounds::default(), Arc::new(()));
    let mut writer = PacketWriter::new(source.log(), Container::Rtmp, Framing::Bare);
    let (mut viewer, peer) = viewer(&source, &writer, Bytes::new());
    viewer.line = Some(Arc::default());
    viewer.line.as_ref().unwrap().want(Wants { audio: false, ..Wants::default() });
    viewer.serve(writer.packets(), None, Instant::now());
    let tracks = log_of_pictures(LogBounds::default()).tracks().tracks.clone();
    source.set_tracks([&tracks[..], &[sound_of(AAC[0])]].concat()).unwrap();
    for n in 0..3 {
        publish_pictures(&mut source, n..n + 1);
        let (flags, payload) = (FrameFlags::NONE, vec![1].into());
        let dts = n * 1_600;
        source.publish(Frame { track: TrackId(1), flags, pts: dts, dts, duration: 1_024, payload }).unwrap();
    }
    writer.feed();
    viewer.serve(writer.packets(), None, Instant::now());
    assert_eq!(frames(&read_all(viewer, peer)), shown(0..3));
}

/// Found by reading: the play ended within a packet, and what the connection said then stood in its middle.
#[test]
fn who_has_paused_within_a_packet_gets_its_rest_before_the_end() {
    let (_source, writer, mut viewer, mut peer) = skipped_within_a_picture();
    viewer.line = Some(Arc::default());
    viewer.line.as_ref().unwrap().want(Wants { paused: true, ..Wants::default() });
    let packets = writer.packets().clone();
    drop(writer);
    let (mut seen, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        viewer.unblock();
        match viewer.serve(&packets, None, Instant::now()) {
            Served::Waits => {
                let read = peer.read(&mut chunk).expect("more comes");
                seen.extend_from_slice(&chunk[..read]);
            }
            served => break assert_eq!(served, Served::Over(End::Stream)),
        }
    }
    drop(viewer);
    peer.read_to_end(&mut seen).unwrap();
    assert!(!pictures(&seen).is_empty(), "all of them are whole");
}
