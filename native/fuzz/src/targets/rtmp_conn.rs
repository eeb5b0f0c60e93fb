//! A whole connection, from the handshake or from behind it, with a server that accepts what it is asked.

use std::time::Duration;

use arcly_wire::rtmp::{
    Event, Limits, PlayChange, PublishRejection, ServerConn,
    amf::{Value, encode},
    chunk::ChunkWriter,
};
use bytes::BytesMut;

use super::Target;
use crate::mutate::Input;

/// What ffmpeg sent, from C0 to the end.
const FFMPEG: &[u8] = include_bytes!("../../../wire/tests/vectors/ffmpeg_publish.bin");
/// C0, C1 and C2.
const HANDSHAKE_BYTES: usize = 3073;
/// First byte of an input: the handshake is done, the rest are chunks. Otherwise the rest begins with C0.
const SHAKEN: u8 = 0;
/// Small, so that they are reached.
const LIMITS_UNFINISHED_BYTES: usize = 64 << 10;
const LIMITS_PENDING_EVENTS: usize = 1000;

pub const TARGET: Target = Target {
    name: "rtmp_conn",
    vectors,
    edit: None,
    // Unfinished messages, as much media that waits and one message more, events of about 100 bytes in a ring that doubles, their bodies
    // (which are no longer than the input), output, chunk stream states.
    buffered_bytes_max: 3 * LIMITS_UNFINISHED_BYTES + LIMITS_PENDING_EVENTS * 256 + (64 << 10) + (80 << 10),
    run,
};

fn vectors() -> Vec<Vec<u8>> {
    let behind_handshake = FFMPEG.get(HANDSHAKE_BYTES..).unwrap_or_default();
    vec![
        [&[SHAKEN], behind_handshake].concat(),
        [&[SHAKEN][..], &small_session()].concat(),
        [&[SHAKEN][..], &odd_session()].concat(),
        [&[SHAKEN][..], &viewer_session()].concat(),
        [&[1], FFMPEG].concat(),
    ]
}

fn command(writer: &ChunkWriter, out: &mut BytesMut, stream_id: u32, values: &[Value]) {
    let mut body = Vec::new();
    values.iter().for_each(|value| encode(value, &mut body));
    writer.write(3, 20, stream_id, &body, out);
}

fn publish(writer: &mut ChunkWriter, out: &mut BytesMut) {
    let app = Value::Object(vec![("app".to_owned(), Value::from("live/inst"))]);
    command(writer, out, 0, &["connect".into(), 1.0.into(), app]);
    writer.write(2, 1, 0, &300_u32.to_be_bytes(), out);
    writer.set_chunk_bytes(300);
    command(writer, out, 0, &["releaseStream".into(), 2.0.into(), Value::Null, "cam".into()]);
    command(writer, out, 0, &["FCPublish".into(), 3.0.into(), Value::Null, "cam".into()]);
    command(writer, out, 0, &["createStream".into(), 4.0.into(), Value::Null]);
    command(writer, out, 1, &["publish".into(), 5.0.into(), Value::Null, "cam?token=x".into(), "live".into()]);
}

/// A publish from the beginning to the end.
fn small_session() -> BytesMut {
    let (mut writer, mut out) = (ChunkWriter::default(), BytesMut::new());
    publish(&mut writer, &mut out);
    writer.write(4, 18, 1, b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09", &mut out);
    writer.write(6, 9, 1, &[7; 700], &mut out);
    writer.write(4, 8, 1, &[8; 30], &mut out);
    command(&writer, &mut out, 0, &["FCUnpublish".into(), 6.0.into(), Value::Null, "cam?token=x".into()]);
    command(&writer, &mut out, 0, &["deleteStream".into(), 7.0.into(), Value::Null, 1.0.into()]);
    out
}

/// What is rarer: aggregates, pings, aborts, windows, plays, AMF3, two publishes at a time.
fn odd_session() -> BytesMut {
    let (mut writer, mut out) = (ChunkWriter::default(), BytesMut::new());
    publish(&mut writer, &mut out);
    writer.write(2, 5, 0, &1000_u32.to_be_bytes(), &mut out);
    writer.write(2, 4, 0, &[0, 6, 1, 2, 3, 4], &mut out);
    writer.write(
        6,
        22,
        1,
        b"\x08\0\0\x02\0\0\x05\0\0\0\0aa\0\0\0\x0d\x09\0\0\x01\0\0\x09\0\0\0\0v\0\0\0\x0c",
        &mut out,
    );
    writer.write(2, 2, 0, &6_u32.to_be_bytes(), &mut out);
    command(&writer, &mut out, 0, &["createStream".into(), 6.0.into(), Value::Null]);
    command(&writer, &mut out, 2, &["publish".into(), 7.0.into(), Value::Null, "other".into()]);
    writer.write(6, 9, 2, b"video of the other", &mut out);
    writer.write(3, 17, 1, b"\0\x02\0\x0bcloseStream\0\0\0\0\0\0\0\0\0\x05", &mut out);
    command(&writer, &mut out, 1, &["play".into(), 8.0.into(), Value::Null, "cam".into()]);
    writer.write(3, 15, 2, b"\0\x02\x00\x0aonMetaData", &mut out);
    out
}

/// A viewer, with all that it may ask, AMF3 and Enhanced RTMP.
fn viewer_session() -> BytesMut {
    let (mut writer, mut out) = (ChunkWriter::default(), BytesMut::new());
    let object = |properties: Vec<(&str, Value)>| {
        Value::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let info_map = object(vec![("*", 7.0.into()), ("hvc1", 1.0.into())]);
    let app = object(vec![
        ("app", "live?token=x".into()),
        ("tcUrl", "rtmp://me:secret@host/live".into()),
        ("objectEncoding", 3.0.into()),
        ("fourCcList", Value::StrictArray(vec!["av01".into(), "Opus".into()])),
        ("videoFourCcInfoMap", info_map),
        ("capsEx", 15.0.into()),
    ]);
    command(&writer, &mut out, 0, &["connect".into(), 1.0.into(), app]);
    writer.write(2, 1, 0, &1000_u32.to_be_bytes(), &mut out);
    writer.set_chunk_bytes(1000);
    writer.write(2, 6, 0, &[0, 0, 16, 0, 2], &mut out);
    command(&writer, &mut out, 0, &["createStream".into(), 2.0.into(), Value::Null]);
    command(&writer, &mut out, 0, &["FCSubscribe".into(), 3.0.into(), Value::Null, "cam".into()]);
    command(&writer, &mut out, 1, &["play".into(), 4.0.into(), Value::Null, "cam".into(), Value::Number(-2.0)]);
    let off = Value::Boolean(false);
    for name in ["pause", "receiveAudio", "receiveVideo", "seek", "getStreamLength", "_checkbw"] {
        command(&writer, &mut out, 1, &[name.into(), 5.0.into(), Value::Null, off.clone(), 0.0.into()]);
    }
    let parameters = object(vec![("streamName", "cam".into()), ("start", 1e300.into()), ("len", 2.0.into())]);
    command(&writer, &mut out, 1, &["play2".into(), 6.0.into(), Value::Null, parameters]);
    writer.write(3, 17, 1, b"\0\x02\0\x05pause\0\0\0\0\0\0\0\0\0\x05\x11\x03", &mut out);
    writer.write(2, 4, 0, &[0, 7, 0, 0, 0, 0], &mut out);
    writer.write(2, 3, 0, &[0, 0, 0, 9], &mut out);
    command(&writer, &mut out, 1, &["closeStream".into(), 0.0.into(), Value::Null]);
    out
}

fn run(input: &Input) -> usize {
    let limits = Limits {
        unfinished_bytes: LIMITS_UNFINISHED_BYTES,
        pending_events: LIMITS_PENDING_EVENTS,
        ..Limits::default()
    };
    let mut now = Duration::ZERO;
    let mut conn = ServerConn::new(limits, 1, now);
    let shaken = input.bytes.first() == Some(&SHAKEN);
    if shaken {
        let handshake = FFMPEG.get(..HANDSHAKE_BYTES).unwrap_or_default();
        assert_eq!(conn.handle_input(now, handshake), Ok(()));
    }
    let mut held = 0;
    for (index, piece) in input.pieces().enumerate() {
        // The mark is in the first piece.
        let piece = piece.get(usize::from(index == 0)..).unwrap_or_default();
        let alive = conn.handle_input(now, piece).is_ok();
        held = conn.buffered_bytes().max(held);
        answer(&mut conn);
        now = now.saturating_add(Duration::from_millis(100));
        let alive = conn.handle_timeout(now).is_ok() && alive;
        assert!(alive || conn.poll_timeout().is_none(), "a dead machine waits for nothing");
    }
    held
}

/// Accepts most publishes, rejects or ends some, and takes all that is there to poll.
fn answer(conn: &mut ServerConn) {
    while let Some(event) = conn.poll_event() {
        match event {
            Event::PublishRequested(request) if request.stream == "other" => {
                conn.reject_publish(request.stream_id, PublishRejection::BadName, &request.app);
            }
            Event::PublishRequested(request) => conn.accept_publish(request.stream_id),
            Event::PlayRequested(request) if request.stream == "other" => {
                conn.reject_play(request.stream_id, &request.stream);
            }
            Event::PlayRequested(request) => {
                conn.accept_play(request.stream_id);
                conn.notify_publisher(request.stream_id, false);
                conn.request_reconnect(&request.query, "come again");
            }
            Event::PlayChanged { stream_id, change: PlayChange::Video(false) } => conn.end_play(stream_id, "enough"),
            Event::Media(media) => {
                assert!(!media.body.is_empty(), "media is never empty");
                if media.timestamp_ms == 77 {
                    conn.end_publish(media.stream_id, "enough");
                }
            }
            Event::Connected(_) | Event::PublishEnded { .. } | Event::PlayChanged { .. } | Event::PlayEnded { .. } => {}
        }
    }
    while conn.poll_output().is_some() {}
}
