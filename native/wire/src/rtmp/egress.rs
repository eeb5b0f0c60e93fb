//! Media on its way to viewers: a message cut into chunks once, for all of them (RTMP §5.3).
//!
//! Every message begins with a type 0 header and is written to message stream [`STREAM_ID`] in chunks of [`CHUNK_BYTES`], which
//! [`ServerConn`](super::ServerConn) announces to each peer. So the bytes say all by themselves: a viewer may begin with any message,
//! leave any out, and take what the machine has to say between two of them. A viewer that plays on another message stream needs other
//! bytes in first headers only, see [`move_to_stream`].

use bytes::{BufMut, Bytes};

use super::{MediaKind, message::type_id};

/// The chunk size that we announce and write with: most messages are one chunk, and a command waits at most for so much.
pub const CHUNK_BYTES: u32 = 65_536;
/// The message stream that the first `createStream` of a connection makes, and on which nearly every viewer plays.
pub const STREAM_ID: u32 = 1;
/// Bytes of a type 0 header on our chunk streams, without an extended timestamp; the message stream id are the last four.
pub const FIRST_HEADER_BYTES: usize = 12;

/// In the 24-bit timestamp field: the value follows in 32 bits (RTMP §5.3.1.3).
const EXTENDED_TIMESTAMP: u32 = 0xff_ffff;
/// No message is longer.
const MESSAGE_BYTES_MAX: usize = 0xff_ffff;

/// Chunk streams of media; the machine uses 2 to 5 for itself.
fn chunk_stream(kind: MediaKind) -> u8 {
    match kind {
        MediaKind::Audio => 6,
        MediaKind::Video => 7,
        MediaKind::Script => 8,
    }
}

fn type_of(kind: MediaKind) -> u8 {
    match kind {
        MediaKind::Audio => type_id::AUDIO,
        MediaKind::Video => type_id::VIDEO,
        MediaKind::Script => type_id::DATA_AMF0,
    }
}

/// The chunks of one message in one piece, see [`put_chunked`].
pub fn chunked(kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8]) -> Bytes {
    let mut out = Vec::new();
    put_chunked(kind, timestamp_ms, header, payload, &mut out);
    out.into()
}

/// Appends the chunks of one message. Its body is `header` and then `payload`, as `FlvTag` of the packager has them. A body over
/// 2^24 - 1 bytes is cut.
pub fn put_chunked(kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(chunks_bytes_max(header, payload));
    let chunking = Chunking { stream_id: STREAM_ID, chunk_bytes: CHUNK_BYTES };
    put_message(&chunking, kind, timestamp_ms, header, payload, out);
}

/// Appends all of a message that stands in front of its payload, where the message is one chunk; false, and nothing, where it takes several.
/// Put `payload_bytes` behind it, and the two are what [`put_chunked`] writes.
pub fn put_head(kind: MediaKind, timestamp_ms: u32, header: &[u8], payload_bytes: usize, out: &mut Vec<u8>) -> bool {
    let body_bytes = header.len().saturating_add(payload_bytes);
    if body_bytes > CHUNK_BYTES as usize {
        return false;
    }
    put_first_header(STREAM_ID, kind, timestamp_ms, body_bytes, out);
    out.put_slice(header);
    true
}

/// Makes messages that [`chunked`] made be for message stream `stream_id`. What is behind bytes that it did not make stays as it is. Of the last one the
/// payload may be left out.
pub fn move_to_stream(mut messages: &mut [u8], stream_id: u32) {
    while let Some((header, rest)) = messages.split_first_chunk_mut::<FIRST_HEADER_BYTES>() {
        let [_, t0, t1, t2, l0, l1, l2, _, id @ ..] = header;
        // Little-endian, the only field of RTMP that is (§5.3.1.2.1).
        *id = stream_id.to_le_bytes();
        let is_extended = [*t0, *t1, *t2] == [0xff; 3];
        let body_bytes = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let time_bytes = if is_extended { 4 } else { 0 };
        let more_chunks = body_bytes.saturating_sub(1) / CHUNK_BYTES as usize;
        let length = body_bytes + time_bytes + more_chunks * (1 + time_bytes);
        messages = rest.get_mut(length..).unwrap_or_default();
    }
}

/// How messages are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunking {
    pub stream_id: u32,
    pub chunk_bytes: u32,
}

/// The most that the chunks of one message take, at [`CHUNK_BYTES`].
pub(super) fn chunks_bytes_max(header: &[u8], payload: &[u8]) -> usize {
    let body_bytes = header.len().saturating_add(payload.len());
    FIRST_HEADER_BYTES + 4 + body_bytes + body_bytes / CHUNK_BYTES as usize * 5
}

/// The header of a message's first chunk; the extended timestamp, if it has one.
fn put_first_header(
    stream_id: u32,
    kind: MediaKind,
    timestamp_ms: u32,
    body_bytes: usize,
    out: &mut impl BufMut,
) -> Option<[u8; 4]> {
    let extended = (timestamp_ms >= EXTENDED_TIMESTAMP).then(|| timestamp_ms.to_be_bytes());
    out.put_u8(chunk_stream(kind));
    out.put_uint(u64::from(timestamp_ms.min(EXTENDED_TIMESTAMP)), 3);
    out.put_uint(body_bytes as u64, 3);
    out.put_u8(type_of(kind));
    out.put_u32_le(stream_id);
    out.put_slice(extended.as_ref().map_or(&[], |time| time));
    extended
}

/// Appends the chunks of one message. It grows `out` piece by piece: reserve before what is long.
pub(super) fn put_message(
    chunking: &Chunking,
    kind: MediaKind,
    timestamp_ms: u32,
    header: &[u8],
    payload: &[u8],
    out: &mut impl BufMut,
) {
    let payload = payload.get(..MESSAGE_BYTES_MAX.saturating_sub(header.len())).unwrap_or(payload);
    let body_bytes = header.len().saturating_add(payload.len());
    let chunk_bytes = chunking.chunk_bytes.max(1) as usize;
    let extended = put_first_header(chunking.stream_id, kind, timestamp_ms, body_bytes, out);
    let mut room = chunk_bytes;
    for mut part in [header, payload] {
        while !part.is_empty() {
            if room == 0 {
                // Type 3 repeats the extended timestamp (RTMP §5.3.1.3).
                out.put_u8(0xc0 | chunk_stream(kind));
                out.put_slice(extended.as_ref().map_or(&[], |time| time));
                room = chunk_bytes;
            }
            let (now, later) = part.split_at_checked(room).unwrap_or((part, &[]));
            out.put_slice(now);
            room = room.saturating_sub(now.len());
            part = later;
        }
    }
}
