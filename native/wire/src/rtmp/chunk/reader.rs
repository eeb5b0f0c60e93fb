//! From chunks to messages.

use arcly_codec::cursor::Cursor;
use bytes::Bytes;

use super::{
    super::{Limits, Message, RtmpError},
    DEFAULT_CHUNK_BYTES,
    header::{ChunkHeader, Format, MAX_BYTES},
};

/// The first allocation for a message whose bytes are not here yet. A peer can have it on every
/// chunk stream for the price of a header, so it is small: 64 x 16 KiB is 1 MiB.
const FIRST_ALLOCATION_BYTES: usize = 16 << 10;

/// Puts messages together from chunks, however the input is cut.
///
/// A message is assembled in one buffer that becomes its body without a copy. A message that is
/// whole in the input costs one allocation and one copy; a longer one grows with the bytes that come.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
    /// A header that the input cut.
    held: Held,
    /// Bytes that were held to look at them and belong to what follows the header; read before any input.
    returned: Held,
    /// The chunk that is being read.
    current: Option<Chunk>,
    /// Capacity of all bodies in `streams`.
    unfinished_bytes: usize,
    /// Input bytes taken.
    offset: u64,
}

#[derive(Debug, Default)]
struct Held {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl Held {
    /// `front`, then `back`. Together they are never more than a header was.
    fn joined(front: &[u8], back: &[u8]) -> Self {
        let mut held = Self::default();
        for (slot, byte) in held.bytes.iter_mut().zip(front.iter().chain(back)) {
            *slot = *byte;
            held.length = held.length.saturating_add(1);
        }
        held
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Position in `streams`.
    stream: usize,
    missing: usize,
}

/// What later headers of a chunk stream refer to, and its message in progress.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    timestamp_ms: u32,
    delta_ms: u32,
    /// Whether `delta_ms`, the time field of the last header of type 0 to 2, was an extended one.
    extended: bool,
    length: usize,
    type_id: u8,
    stream_id: u32,
    /// Whether a message began and is not whole.
    in_message: bool,
    body: Vec<u8>,
}

impl ChunkReader {
    /// A reader in front of the first chunk.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            streams: Vec::new(),
            held: Held::default(),
            returned: Held::default(),
            current: None,
            unfinished_bytes: 0,
            offset: 0,
        }
    }

    /// Counts error offsets on from `offset`: what came in front of the first chunk.
    #[must_use]
    pub fn at_offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Takes bytes off the front of `input` until a message is whole, or the input is used up (`None`).
    ///
    /// # Errors
    /// [`RtmpError`] of every kind but `Timeout`; the reader is of no use afterwards.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, RtmpError> {
        loop {
            let message = match self.returned.length {
                0 => self.read_chunk(input)?,
                _ => self.read_returned()?,
            };
            if message.is_some() || (input.is_empty() && self.returned.length == 0) {
                return Ok(message);
            }
        }
    }

    /// One step on the bytes that were given back.
    fn read_returned(&mut self) -> Result<Option<Message>, RtmpError> {
        let returned = std::mem::take(&mut self.returned);
        let mut rest = returned.as_slice();
        let message = self.read_chunk(&mut rest)?;
        // What was given back in this very step comes before what is left.
        self.returned = Held::joined(self.returned.as_slice(), rest);
        Ok(message)
    }

    /// Reads a header or what is left of it, and as much of the body as is there.
    fn read_chunk(&mut self, input: &mut &[u8]) -> Result<Option<Message>, RtmpError> {
        let chunk = match self.current {
            Some(chunk) => chunk,
            None => match self.read_header(input) {
                Some(header) => self.begin_chunk(header)?,
                None => return Ok(None),
            },
        };
        if self.returned.length > 0 {
            self.current = Some(chunk);
            return Ok(None);
        }
        self.read_body(chunk, input)
    }

    /// From now on other limits hold.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(crate) fn unfinished_bytes_max(&self) -> usize {
        self.limits.unfinished_bytes
    }

    /// Whether a header or a message is begun and not whole.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.held.length > 0 || self.current.is_some() || self.streams.iter().any(|stream| stream.in_message)
    }

    /// Bytes that have to come at least before something is whole that has begun, a header or a message; `None` when nothing has.
    pub(crate) fn missing_bytes(&self) -> Option<usize> {
        let in_header = (self.held.length > 0).then_some(1);
        let begun = self.streams.iter().filter(|stream| stream.in_message);
        begun.map(|stream| stream.length.saturating_sub(stream.body.len())).chain(in_header).min()
    }

    /// The peer set its chunk size (RTMP §5.4.1); valid from the next chunk.
    ///
    /// # Errors
    /// [`RtmpError::Malformed`] for 0 and for a set top bit, [`RtmpError::LimitExceeded`] for `chunk_bytes`.
    pub fn set_chunk_bytes(&mut self, size: u32) -> Result<(), RtmpError> {
        if size == 0 || size > 0x7fff_ffff {
            return Err(RtmpError::malformed("Set Chunk Size", 0));
        }
        // No message is longer, so that all greater sizes mean the same.
        let size = size.min(0xff_ffff) as usize;
        if size > self.limits.chunk_bytes {
            return Err(RtmpError::limit("chunk_bytes", self.limits.chunk_bytes, size));
        }
        self.chunk_bytes = size;
        Ok(())
    }

    /// The peer gave up a message (RTMP §5.4.2).
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == chunk_stream) {
            stream.in_message = false;
            self.unfinished_bytes = self.unfinished_bytes.saturating_sub(stream.body.capacity());
            stream.body = Vec::new();
        }
    }

    /// Memory that unfinished messages and chunk stream states hold.
    pub fn buffered_bytes(&self) -> usize {
        self.unfinished_bytes.saturating_add(self.streams.capacity().saturating_mul(size_of::<ChunkStream>()))
    }

    /// A header straight from the input, or byte by byte when the input cuts it.
    fn read_header(&mut self, input: &mut &[u8]) -> Option<ChunkHeader> {
        let Self { streams, held, returned, offset, .. } = self;
        let extended_of = |id| {
            let stream = streams.iter().find(|stream| stream.id == id && stream.extended)?;
            Some(stream.delta_ms)
        };
        if held.length == 0 {
            let mut cursor = Cursor::new(input);
            if let Some(header) = ChunkHeader::read(&mut cursor, extended_of) {
                consume(input, cursor.offset(), offset);
                return Some(header);
            }
        }
        while let Some(byte) = input.first() {
            *held.bytes.get_mut(held.length)? = *byte;
            held.length = held.length.saturating_add(1);
            consume(input, 1, offset);
            let mut cursor = Cursor::new(held.bytes.get(..held.length)?);
            if let Some(header) = ChunkHeader::read(&mut cursor, extended_of) {
                *returned = Held::joined(held.bytes.get(cursor.offset()..held.length)?, &[]);
                *offset = offset.wrapping_sub(returned.length as u64);
                held.length = 0;
                return Some(header);
            }
        }
        None
    }

    fn begin_chunk(&mut self, header: ChunkHeader) -> Result<Chunk, RtmpError> {
        let Self { chunk_bytes, limits: Limits { message_bytes, .. }, .. } = *self;
        let (position, stream) = self.stream_of(header)?;
        if stream.in_message {
            stream.check_continuation(header)?;
        } else {
            stream.begin_message(header);
        }
        if stream.length > message_bytes {
            return Err(RtmpError::limit("message_bytes", message_bytes, stream.length));
        }
        let missing = stream.length.saturating_sub(stream.body.len()).min(chunk_bytes);
        Ok(Chunk { stream: position, missing })
    }

    fn stream_of(&mut self, header: ChunkHeader) -> Result<(usize, &mut ChunkStream), RtmpError> {
        let known = self.streams.iter().position(|stream| stream.id == header.chunk_stream);
        let position = known.unwrap_or(self.streams.len());
        if known.is_none() {
            if position >= self.limits.chunk_streams {
                return Err(RtmpError::limit("chunk_streams", self.limits.chunk_streams, position.saturating_add(1)));
            }
            self.streams.push(ChunkStream::fresh(header, self.offset)?);
        }
        // It is there: found, or pushed at this position.
        self.streams.get_mut(position).map(|stream| (position, stream)).ok_or(no_such_stream(self.offset))
    }

    fn read_body(&mut self, chunk: Chunk, input: &mut &[u8]) -> Result<Option<Message>, RtmpError> {
        let Some(stream) = self.streams.get_mut(chunk.stream) else { return Err(no_such_stream(self.offset)) };
        let available = chunk.missing.min(input.len());
        let others = self.unfinished_bytes.saturating_sub(stream.body.capacity());
        let capacity = stream.capacity_for(available, input.len());
        let unfinished_bytes = others.saturating_add(capacity);
        if unfinished_bytes > self.limits.unfinished_bytes {
            return Err(RtmpError::limit("unfinished_bytes", self.limits.unfinished_bytes, unfinished_bytes));
        }
        stream.body.reserve_exact(capacity.saturating_sub(stream.body.len()));
        stream.body.extend_from_slice(consume(input, available, &mut self.offset));
        self.unfinished_bytes = others.saturating_add(stream.body.capacity());
        let missing = chunk.missing.saturating_sub(available);
        self.current = (missing > 0).then_some(Chunk { missing, ..chunk });
        if missing > 0 || stream.body.len() < stream.length {
            return Ok(None);
        }
        self.unfinished_bytes = others;
        Ok(Some(stream.finish()))
    }
}

impl ChunkStream {
    /// The state for the first header on a chunk stream: it must say at least the length.
    fn fresh(header: ChunkHeader, offset: u64) -> Result<Self, RtmpError> {
        match header.format {
            Format::Full { .. } | Format::SameStream { .. } => Ok(Self { id: header.chunk_stream, ..Self::default() }),
            Format::SameLength | Format::Same => Err(no_such_stream(offset)),
        }
    }

    fn begin_message(&mut self, header: ChunkHeader) {
        match header.format {
            Format::Full { length, type_id, stream_id } => {
                (self.length, self.type_id, self.stream_id) = (length as usize, type_id, stream_id);
                // The timestamp counts from 0, and is the delta of a type 3 chunk that begins the
                // next message (RTMP §5.3.1.2.4).
                self.timestamp_ms = 0;
            }
            Format::SameStream { length, type_id } => (self.length, self.type_id) = (length as usize, type_id),
            Format::SameLength | Format::Same => {}
        }
        if header.format != Format::Same {
            (self.delta_ms, self.extended) = (header.time, header.extended);
        }
        self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms);
        self.in_message = true;
    }

    /// Within a message only type 3 makes sense (RTMP §5.3.1.2.4).
    fn check_continuation(&self, header: ChunkHeader) -> Result<(), RtmpError> {
        if header.format == Format::Same {
            return Ok(());
        }
        let (id, have, length) = (self.id, self.body.len(), self.length);
        let got = format!("a new message on chunk stream {id} after {have} of {length} bytes");
        Err(RtmpError::Misbehaved { state: "the middle of a message", got })
    }

    /// The capacity with which to take `count` bytes, when `ahead` bytes of input are here: at once
    /// what can be filled soon, never more than the message.
    fn capacity_for(&self, count: usize, ahead: usize) -> usize {
        let (have, capacity) = (self.body.len(), self.body.capacity());
        if have.saturating_add(count) <= capacity {
            return capacity;
        }
        let soon = have.saturating_add(ahead).max(have.saturating_mul(2)).max(FIRST_ALLOCATION_BYTES);
        soon.min(self.length)
    }

    fn finish(&mut self) -> Message {
        self.in_message = false;
        Message {
            type_id: self.type_id,
            stream_id: self.stream_id,
            timestamp_ms: self.timestamp_ms,
            body: Bytes::from(std::mem::take(&mut self.body)),
        }
    }
}

fn consume<'a>(input: &mut &'a [u8], count: usize, offset: &mut u64) -> &'a [u8] {
    let (head, tail) = input.split_at_checked(count).unwrap_or((*input, &[]));
    *input = tail;
    *offset = offset.wrapping_add(head.len() as u64);
    head
}

fn no_such_stream(offset: u64) -> RtmpError {
    RtmpError::Malformed { what: "chunk header (type 2 or 3 on a fresh chunk stream)", offset }
}
