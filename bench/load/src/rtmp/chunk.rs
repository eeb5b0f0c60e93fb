//! Chunks (RTMP §5.3): a writer, and a reader that takes any piece of the stream and keeps no copy of media.

use crate::fault::Fault;
use crate::inspect::{Kind, Media};

pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;
pub const SET_CHUNK_SIZE: u8 = 1;
pub const ABORT: u8 = 2;
pub const ACKNOWLEDGEMENT: u8 = 3;
pub const USER_CONTROL: u8 = 4;
pub const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
pub const SET_PEER_BANDWIDTH: u8 = 6;
pub const DATA: u8 = 18;
pub const COMMAND: u8 = 20;

/// What is said of a message in its first chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    pub timestamp_ms: u32,
    pub bytes: usize,
    pub type_id: u8,
    pub stream_id: u32,
}

/// Puts a message into chunks with full headers.
pub fn write(out: &mut Vec<u8>, chunk_stream: u8, header: Header, body: &[u8], chunk_bytes: usize) {
    let extended = header.timestamp_ms >= EXTENDED;
    let short = header.timestamp_ms.min(EXTENDED);
    for (index, chunk) in body.chunks(chunk_bytes).enumerate() {
        if index == 0 {
            out.push(chunk_stream);
            out.extend(&short.to_be_bytes()[1..]);
            out.extend(&(body.len() as u32).to_be_bytes()[1..]);
            out.push(header.type_id);
            out.extend(header.stream_id.to_le_bytes());
        } else {
            out.push(0xc0 | chunk_stream);
        }
        if extended {
            out.extend(header.timestamp_ms.to_be_bytes());
        }
        out.extend(chunk);
    }
}

/// Takes chunks apart.
pub struct Reader {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// Of the body of the present chunk.
    left: usize,
    present: usize,
    chunk_bytes: usize,
    streams: Vec<ChunkStream>,
}

/// A message that is not media, whole.
pub struct Message {
    pub type_id: u8,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct ChunkStream {
    id: u32,
    header: Header,
    delta_ms: u32,
    extended: bool,
    /// Bytes of the present message that have come; none when it is whole.
    filled: usize,
    in_message: bool,
    /// Of messages that are not media.
    body: Vec<u8>,
}

const EXTENDED: u32 = 0xff_ffff;
const HEAD_BYTES_MAX: usize = 3 + 11 + 4;
const MESSAGE_BYTES_MAX: usize = 8 << 20;
const OTHER_BYTES_MAX: usize = 64 << 10;

impl Default for Reader {
    fn default() -> Self {
        let (head, streams) = ([0; HEAD_BYTES_MAX], Vec::new());
        Self { head, head_bytes: 0, left: 0, present: 0, chunk_bytes: 128, streams }
    }
}

impl Reader {
    /// Takes `bytes` up to the end of the first message that is not media, which it returns with the rest; media goes to `media`.
    pub fn read<'a>(
        &mut self,
        mut bytes: &'a [u8],
        media: &mut Media<'_>,
    ) -> Result<(Option<Message>, &'a [u8]), Fault> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.read_head(bytes, media)?;
                continue;
            }
            let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
            bytes = rest;
            if let Some(message) = self.read_body(piece, media)? {
                return Ok((Some(message), bytes));
            }
        }
        Ok((None, bytes))
    }

    fn read_head<'a>(&mut self, mut bytes: &'a [u8], media: &mut Media<'_>) -> Result<&'a [u8], Fault> {
        while let Some((&byte, rest)) = bytes.split_first() {
            self.head[self.head_bytes] = byte;
            self.head_bytes += 1;
            bytes = rest;
            if self.head_bytes == self.head_needs() {
                self.begin_chunk(media)?;
                self.head_bytes = 0;
                break;
            }
        }
        Ok(bytes)
    }

    /// How long the header is, as far as what has come of it tells.
    fn head_needs(&self) -> usize {
        let basic = basic_bytes(self.head[0]);
        if self.head_bytes < basic {
            return basic;
        }
        let message = message_bytes(self.head[0]);
        if self.head_bytes < basic + message.min(3) {
            return basic + message;
        }
        let extended = match message {
            0 => self.known().is_some_and(|known| self.streams[known].extended),
            _ => self.head[basic..basic + 3] == [0xff; 3],
        };
        basic + message + if extended { 4 } else { 0 }
    }

    fn known(&self) -> Option<usize> {
        let id = self.chunk_stream_id();
        self.streams.iter().position(|stream| stream.id == id)
    }

    /// RTMP §5.3.1.1.
    fn chunk_stream_id(&self) -> u32 {
        match self.head[0] & 0x3f {
            0 => 64 + u32::from(self.head[1]),
            1 => 64 + u32::from(self.head[1]) + 256 * u32::from(self.head[2]),
            id => id.into(),
        }
    }

    fn begin_chunk(&mut self, media: &mut Media<'_>) -> Result<(), Fault> {
        let (id, first) = (self.chunk_stream_id(), self.head[0]);
        self.present = match self.known() {
            Some(known) => known,
            None if first >> 6 == 0 => {
                self.streams.push(ChunkStream { id, ..ChunkStream::default() });
                self.streams.len() - 1
            }
            None => return Err(Fault::Framing("a chunk stream begins without a full header")),
        };
        let stream = &mut self.streams[self.present];
        if stream.in_message && first >> 6 != 3 {
            return Err(Fault::Framing("a message begins before the one in front of it ends"));
        }
        if !stream.in_message {
            stream.begin_message(&self.head)?;
            if let Some(kind) = kind_of(stream.header.type_id) {
                media.begin(kind, stream.header.timestamp_ms, stream.header.bytes)?;
            }
        }
        self.left = self.chunk_bytes.min(stream.header.bytes - stream.filled);
        if self.left == 0 {
            stream.in_message = false;
        }
        Ok(())
    }

    fn read_body(&mut self, piece: &[u8], media: &mut Media<'_>) -> Result<Option<Message>, Fault> {
        let stream = &mut self.streams[self.present];
        let type_id = stream.header.type_id;
        match kind_of(type_id) {
            Some(kind) => media.piece(kind, piece)?,
            None => stream.body.extend(piece),
        }
        stream.filled += piece.len();
        self.left -= piece.len();
        if stream.filled < stream.header.bytes {
            return Ok(None);
        }
        stream.in_message = false;
        if kind_of(type_id).is_some() {
            return Ok(None);
        }
        let message = Message { type_id, body: std::mem::take(&mut stream.body) };
        self.obey(&message)?;
        Ok(Some(message))
    }

    /// What concerns chunks themselves (§5.4.1, §5.4.2).
    fn obey(&mut self, message: &Message) -> Result<(), Fault> {
        match message.type_id {
            SET_CHUNK_SIZE => match message.u32_at(0) {
                Some(bytes @ 1..=0x7fff_ffff) => self.chunk_bytes = bytes as usize,
                _ => return Err(Fault::Framing("a chunk size that cannot be")),
            },
            ABORT => {
                let id = message.u32_at(0);
                self.streams
                    .iter_mut()
                    .filter(|stream| Some(stream.id) == id)
                    .for_each(|stream| stream.in_message = false);
            }
            _ => {}
        }
        Ok(())
    }
}

impl ChunkStream {
    /// RTMP §5.3.1.2: what a short header leaves out is as before.
    fn begin_message(&mut self, head: &[u8; HEAD_BYTES_MAX]) -> Result<(), Fault> {
        let (form, basic) = (head[0] >> 6, basic_bytes(head[0]));
        let (fields, given) = (&head[basic..], message_bytes(head[0]));
        if given >= 3 {
            let short = u32::from_be_bytes([0, fields[0], fields[1], fields[2]]);
            self.extended = short == EXTENDED;
            self.delta_ms = short;
        }
        if self.extended {
            self.delta_ms =
                u32::from_be_bytes([fields[given], fields[given + 1], fields[given + 2], fields[given + 3]]);
        }
        if given >= 7 {
            self.header.bytes = u32::from_be_bytes([0, fields[3], fields[4], fields[5]]) as usize;
            self.header.type_id = fields[6];
        }
        if given == 11 {
            self.header.stream_id = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
        }
        self.header.timestamp_ms =
            if form == 0 { self.delta_ms } else { self.header.timestamp_ms.wrapping_add(self.delta_ms) };
        self.filled = 0;
        self.in_message = true;
        self.body.clear();
        self.check()
    }

    fn check(&self) -> Result<(), Fault> {
        let most = if kind_of(self.header.type_id).is_some() { MESSAGE_BYTES_MAX } else { OTHER_BYTES_MAX };
        match self.header.type_id {
            SET_CHUNK_SIZE..=SET_PEER_BANDWIDTH | AUDIO | VIDEO | DATA | COMMAND if self.header.bytes <= most => Ok(()),
            SET_CHUNK_SIZE..=SET_PEER_BANDWIDTH | AUDIO | VIDEO | DATA | COMMAND => {
                Err(Fault::Framing("a message that is too long"))
            }
            _ => Err(Fault::Framing("a message of unknown type")),
        }
    }
}

impl Message {
    pub fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(*self.body.get(at..)?.first_chunk()?))
    }

    pub fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.body.get(at..)?.first_chunk()?))
    }
}

fn kind_of(type_id: u8) -> Option<Kind> {
    match type_id {
        VIDEO => Some(Kind::Video),
        AUDIO => Some(Kind::Audio),
        _ => None,
    }
}

fn basic_bytes(first: u8) -> usize {
    match first & 0x3f {
        0 => 2,
        1 => 3,
        _ => 1,
    }
}

fn message_bytes(first: u8) -> usize {
    [11, 7, 3, 0][usize::from(first >> 6)]
}
