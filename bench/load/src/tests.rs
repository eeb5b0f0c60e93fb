//! The witnesses must see a fault when there is one: a zero of theirs means nothing otherwise.

use std::time::Duration;

use crate::fault::Fault;
use crate::flv::{self, Response};
use crate::inspect::{Inspector, Kind, Media, Tally};
use crate::rtmp::chunk::{self, Header};
use crate::stream::{self, Shape};

/// A message of the stream.
#[derive(Clone)]
pub struct Frame {
    kind: Kind,
    timestamp_ms: u64,
    body: Vec<u8>,
}

pub const SENT_NS: u64 = 5_000_000_000;

/// Two seconds with their configurations in front.
pub fn frames() -> Vec<Frame> {
    let shape = Shape::of(200_000);
    let mut frames = vec![
        Frame { kind: Kind::Video, timestamp_ms: 0, body: stream::VIDEO_CONFIG.to_vec() },
        Frame { kind: Kind::Audio, timestamp_ms: 0, body: stream::AUDIO_CONFIG.to_vec() },
    ];
    frames.extend((0..60).map(|number| Frame {
        kind: Kind::Video,
        timestamp_ms: stream::video_ms(number),
        body: shape.video_body(number, SENT_NS),
    }));
    frames.extend((0..86).map(|number| Frame {
        kind: Kind::Audio,
        timestamp_ms: stream::audio_ms(number),
        body: shape.audio_body(number),
    }));
    frames.sort_by_key(|frame| frame.timestamp_ms);
    frames
}

pub fn rtmp(frames: &[Frame]) -> Vec<u8> {
    let mut wire = Vec::new();
    for frame in frames {
        let (chunk_stream, type_id) = if frame.kind == Kind::Video { (6, chunk::VIDEO) } else { (5, chunk::AUDIO) };
        let header = Header { timestamp_ms: frame.timestamp_ms as u32, bytes: frame.body.len(), type_id, stream_id: 1 };
        chunk::write(&mut wire, chunk_stream, header, &frame.body, 128);
    }
    wire
}

pub fn http(frames: &[Frame]) -> Vec<u8> {
    let mut wire = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n".to_vec();
    wire.extend(flv::FILE_HEAD);
    frames.iter().for_each(|frame| flv::write_tag(&mut wire, frame.kind, frame.timestamp_ms as u32, &frame.body));
    wire
}

/// The same response in chunks that end anywhere.
fn http_chunked(frames: &[Frame]) -> Vec<u8> {
    let plain = http(frames);
    let body = plain.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in plain[body..].chunks(1000) {
        wire.extend(format!("{:x}\r\n", piece.len()).bytes());
        wire.extend(piece);
        wire.extend(b"\r\n");
    }
    wire
}

/// What a viewer says of `pieces`.
fn watched<'a>(is_rtmp: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Tally, Fault> {
    let mut inspector = Inspector::default();
    inspector.asked_ns = SENT_NS - 1_000_000;
    let (mut tally, mut reader, mut response) = (Tally::default(), chunk::Reader::default(), Response::new());
    for piece in pieces {
        let mut media = Media { inspector: &mut inspector, tally: &mut tally, now_ns: SENT_NS + 2_000_000 };
        match is_rtmp {
            true if reader.read(piece, &mut media)?.0.is_some() => {
                return Err(Fault::Framing("something else than media"));
            }
            true => {}
            false => response.receive(piece, &mut media)?,
        }
    }
    Ok(tally)
}

/// Whether it is RTMP, and what frames look like in it.
type Wire = (bool, fn(&[Frame]) -> Vec<u8>);

const WIRES: [Wire; 3] = [(true, rtmp), (false, http), (false, http_chunked)];

#[test]
fn a_whole_stream_has_no_fault() {
    for (is_rtmp, wire) in WIRES {
        let tally = watched(is_rtmp, [wire(&frames()).as_slice()]).unwrap();
        assert_eq!((tally.video_frames, tally.audio_frames, tally.faults(), tally.begun_without_key), (60, 86, 0, 0));
        assert_eq!(tally.media_bytes as usize, frames().iter().map(|frame| frame.body.len()).sum::<usize>());
        assert_eq!((tally.latency_us.len(), tally.latency_us[0], tally.first_frame_us), (60, 2000, vec![3000]));
    }
}

#[test]
fn it_does_not_matter_where_reads_end() {
    for (is_rtmp, wire) in WIRES {
        let wire = wire(&frames()[..8]);
        let whole = watched(is_rtmp, [wire.as_slice()]).unwrap();
        assert_eq!(watched(is_rtmp, wire.chunks(1)).unwrap(), whole);
        for at in 1..wire.len() {
            assert_eq!(watched(is_rtmp, [&wire[..at], &wire[at..]]).unwrap(), whole, "split at {at}");
        }
    }
}

#[test]
fn a_lost_frame_is_seen() {
    for (is_rtmp, wire) in WIRES {
        for lost in [10, 11, 12, 80] {
            let mut frames = frames();
            frames.remove(lost);
            let tally = watched(is_rtmp, [wire(&frames).as_slice()]).unwrap();
            assert_eq!((tally.lost, tally.faults()), (1, 1), "frame {lost}");
        }
    }
}

#[test]
fn a_frame_that_comes_twice_is_seen() {
    for (is_rtmp, wire) in WIRES {
        let mut frames = frames();
        frames.insert(20, frames[20].clone());
        assert_eq!(watched(is_rtmp, [wire(&frames).as_slice()]).unwrap().repeated, 1);
    }
}

#[test]
fn every_changed_byte_is_seen() {
    for (is_rtmp, wire) in WIRES {
        let whole = wire(&frames()[..8]);
        let sound = watched(is_rtmp, [whole.as_slice()]).unwrap();
        let mut unseen = Vec::new();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            match watched(is_rtmp, [bad.as_slice()]) {
                Ok(tally) if tally == sound => unseen.push(at),
                _ => {}
            }
        }
        // The text of a response, the bytes of the two configurations (nobody compares them) and message stream ids may be anything.
        let bodies: usize = frames()[2..8].iter().map(|frame| frame.body.len()).sum();
        assert!(unseen.len() < (whole.len() - bodies).min(260), "{} of {}: {unseen:?}", unseen.len(), whole.len());
    }
}

#[test]
fn a_lost_byte_is_seen() {
    for (is_rtmp, wire) in WIRES {
        let whole = wire(&frames());
        let sound = watched(is_rtmp, [whole.as_slice()]).unwrap();
        for at in (400..whole.len() - 2000).step_by(97) {
            let short = watched(is_rtmp, [&whole[..at], &whole[at + 1..]]);
            assert!(
                short.is_err()
                    || short.is_ok_and(|tally| tally.faults() > 0 || tally.video_frames < sound.video_frames),
                "byte {at}"
            );
        }
    }
}

#[test]
fn a_moved_timestamp_is_seen_once() {
    for (is_rtmp, wire) in WIRES {
        let mut frames = frames();
        frames.iter_mut().skip(40).for_each(|frame| frame.timestamp_ms += 500);
        assert_eq!(watched(is_rtmp, [wire(&frames).as_slice()]).unwrap().mistimed, 2, "one of video, one of audio");
    }
}

#[test]
fn a_stall_is_seen() {
    let wire = rtmp(&frames());
    let (mut inspector, mut tally, mut reader) = (Inspector::default(), Tally::default(), chunk::Reader::default());
    let half = wire.len() / 2;
    for (piece, now_ns) in [(&wire[..half], SENT_NS), (&wire[half..], SENT_NS + 600_000_000)] {
        let mut media = Media { inspector: &mut inspector, tally: &mut tally, now_ns };
        reader.read(piece, &mut media).unwrap();
    }
    assert_eq!(tally.stalls, 1);
    let is_stalled = |ms: u64, late_ms| inspector.is_stalled(SENT_NS + ms * 1_000_000, Duration::from_millis(late_ms));
    assert!(is_stalled(1200, 0) && !is_stalled(700, 0) && !is_stalled(1200, 200), "a late publisher is no stall");
}

#[test]
fn a_viewer_in_mid_gop_is_told_from_one_at_a_key_frame() {
    let tally = watched(true, [rtmp(&frames()[10..]).as_slice()]).unwrap();
    assert_eq!((tally.begun_without_key, tally.first_frame_us.len(), tally.lost), (1, 0, 0));
}

#[test]
fn broken_framing_is_named() {
    let frames = frames();
    let mut wire = http(&frames[..3]);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    assert_eq!(watched(false, [wire.as_slice()]), Err(Fault::Framing("a tag is not as long as it says behind it")));
    let mut wire = http_chunked(&frames);
    let size = wire.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    wire[size + 2] ^= 1;
    assert_eq!(watched(false, [wire.as_slice()]), Err(Fault::Framing("a chunk that does not end where it said")));
    assert_eq!(
        watched(false, [b"HTTP/1.1 404 Not Found\r\n\r\n".as_slice()]),
        Err(Fault::Refused("http/1.1 404 not found".into()))
    );
    assert_eq!(watched(true, [&[0x46][..]]).map(|tally| tally.faults()), Ok(0));
    assert!(matches!(watched(true, [&[0x46, 0, 0, 0, 0, 0, 0, 0][..]]), Err(Fault::Framing(_))));
    let mut early = rtmp(&frames[..3]);
    early.truncate(150 + VIDEO_CONFIG_WIRE);
    early.extend(rtmp(&frames[3..4]));
    early.extend(rtmp(&frames[2..3]));
    assert!(watched(true, [early.as_slice()]).is_err());
}

const VIDEO_CONFIG_WIRE: usize = 12 + stream::VIDEO_CONFIG.len();
