//! One chunk header: basic header, message header, extended timestamp (RTMP §5.3.1).

use arcly_codec::cursor::Cursor;

use super::EXTENDED_TIMESTAMP;

/// 3 (basic) + 11 (type 0) + 4 (extended timestamp).
pub(super) const MAX_BYTES: usize = 18;

/// A chunk header as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub chunk_stream: u32,
    pub format: Format,
    /// The timestamp (type 0) or the delta (types 1 and 2); 0 for type 3.
    pub time: u32,
    /// Whether `time` is an extended timestamp.
    pub extended: bool,
}

/// The four message headers (RTMP §5.3.1.2), each saying less than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Type 0.
    Full { length: u32, type_id: u8, stream_id: u32 },
    /// Type 1.
    SameStream { length: u32, type_id: u8 },
    /// Type 2.
    SameLength,
    /// Type 3.
    Same,
}

impl ChunkHeader {
    /// Reads a header off the front, or nothing when it is cut. `extended_of` tells for a chunk stream the extended
    /// timestamp of its last header of type 0 to 2: type 3 repeats it (RTMP §5.3.1.3). librtmp, and so OBS, does not
    /// repeat it; four bytes that are not that timestamp are therefore left to the body.
    pub(super) fn read(cursor: &mut Cursor<'_>, extended_of: impl FnOnce(u32) -> Option<u32>) -> Option<Self> {
        let first = cursor.u8()?;
        let chunk_stream = read_chunk_stream(first, cursor)?;
        let kind = first >> 6;
        let time = if kind < 3 { cursor.u24()? } else { 0 };
        let format = match kind {
            0 => Format::Full { length: cursor.u24()?, type_id: cursor.u8()?, stream_id: cursor.u32_le()? },
            1 => Format::SameStream { length: cursor.u24()?, type_id: cursor.u8()? },
            2 => Format::SameLength,
            _ => Format::Same,
        };
        let extended = time == EXTENDED_TIMESTAMP;
        let time = if extended { cursor.u32()? } else { time };
        if let Some(repeated) = (kind == 3).then(|| extended_of(chunk_stream)).flatten() {
            skip_repeated(cursor, repeated.to_be_bytes())?;
        }
        Some(Self { chunk_stream, format, time, extended })
    }
}

/// Passes over the repeated timestamp, if that is what follows; nothing when that cannot be told yet.
fn skip_repeated(cursor: &mut Cursor<'_>, repeated: [u8; 4]) -> Option<()> {
    let is_other = cursor.rest().iter().zip(&repeated).any(|(seen, expected)| seen != expected);
    if is_other { Some(()) } else { cursor.take(repeated.len()).map(|_| ()) }
}

/// The chunk stream id in 6, 8 or 16 bits (RTMP §5.3.1.1).
fn read_chunk_stream(first: u8, cursor: &mut Cursor<'_>) -> Option<u32> {
    match first & 0x3f {
        0 => cursor.u8().map(|id| 64 + u32::from(id)),
        1 => {
            let (low, high) = (cursor.u8()?, cursor.u8()?);
            Some(64 + u32::from(low) + 256 * u32::from(high))
        }
        id => Some(u32::from(id)),
    }
}
