//! FLV over HTTP: the response head, chunked bodies or those that end with the connection, and tags (FLV §E.3, §E.4).

use crate::fault::Fault;
use crate::inspect::{Kind, Media};

/// Bytes in front of the first tag: signature FLV, version 1, audio and video, then the size of no tag.
pub const FILE_HEAD: &[u8; FILE_HEAD_BYTES] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
const FILE_HEAD_BYTES: usize = 13;
const TAG_HEAD_BYTES: usize = 11;
const TAG_SIZE_BYTES: usize = 4;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;

/// A tag with its size behind it.
pub fn write_tag(out: &mut Vec<u8>, kind: Kind, timestamp_ms: u32, body: &[u8]) {
    let [high, time @ ..] = timestamp_ms.to_be_bytes();
    out.push(match kind {
        Kind::Video => VIDEO,
        Kind::Audio => AUDIO,
    });
    out.extend(&(body.len() as u32).to_be_bytes()[1..]);
    out.extend(time);
    out.extend([high, 0, 0, 0]);
    out.extend(body);
    out.extend(((TAG_HEAD_BYTES + body.len()) as u32).to_be_bytes());
}

/// Reads a response.
pub struct Response {
    stage: Stage,
    /// Of a head or a line that is not whole.
    text: Vec<u8>,
    tags: Tags,
}

enum Stage {
    Head,
    /// The body ends with the connection.
    Plain,
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
}

const HEAD_BYTES_MAX: usize = 8 << 10;

impl Response {
    pub fn new() -> Self {
        Self { stage: Stage::Head, text: Vec::new(), tags: Tags::new() }
    }

    pub fn receive(&mut self, mut bytes: &[u8], media: &mut Media<'_>) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = match self.stage {
                Stage::Head => self.read_head(bytes)?,
                Stage::Plain => {
                    self.tags.read(bytes, media)?;
                    &[]
                }
                Stage::Chunk(left) => {
                    let (piece, rest) = bytes.split_at(left.min(bytes.len()));
                    self.tags.read(piece, media)?;
                    self.stage = if piece.len() == left { Stage::ChunkEnd } else { Stage::Chunk(left - piece.len()) };
                    rest
                }
                Stage::ChunkSize | Stage::ChunkEnd => self.read_line(bytes)?,
            };
        }
        Ok(())
    }

    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.text.push(byte);
            if self.text.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.text).to_ascii_lowercase();
                self.text.clear();
                self.stage = begin_body(&head)?;
                return Ok(&bytes[at + 1..]);
            }
        }
        if self.text.len() > HEAD_BYTES_MAX { Err(Fault::Framing("a response head without end")) } else { Ok(&[]) }
    }

    /// RFC 9112 §7.1.
    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.text.extend(line);
        if self.text.len() > 64 {
            return Err(Fault::Framing("a chunk size without end"));
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.text);
            let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
            self.stage = match (&self.stage, line) {
                (Stage::ChunkEnd, Some("")) => Stage::ChunkSize,
                (Stage::ChunkSize, Some(size)) => match usize::from_str_radix(size, 16) {
                    Ok(0) => return Err(Fault::Closed),
                    Ok(size) => Stage::Chunk(size),
                    Err(_) => return Err(Fault::Framing("a chunk size that is no number")),
                },
                _ => return Err(Fault::Framing("a chunk that does not end where it said")),
            };
        }
        Ok(rest)
    }
}

fn begin_body(head: &str) -> Result<Stage, Fault> {
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(Fault::Refused(status.to_owned()));
    }
    let is_chunked = head.lines().any(|line| line.replace(' ', "") == "transfer-encoding:chunked");
    Ok(if is_chunked { Stage::ChunkSize } else { Stage::Plain })
}

/// Takes tags apart.
struct Tags {
    head: [u8; FILE_HEAD_BYTES],
    filled: usize,
    part: Part,
    body_bytes: usize,
}

enum Part {
    FileHead,
    TagHead,
    /// Its kind, none of a script tag, and what is left of it.
    Body(Option<Kind>, usize),
    Size,
}

impl Tags {
    fn new() -> Self {
        Self { head: [0; FILE_HEAD_BYTES], filled: 0, part: Part::FileHead, body_bytes: 0 }
    }

    fn read(&mut self, mut bytes: &[u8], media: &mut Media<'_>) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = match self.part {
                Part::FileHead => self.fill(bytes, FILE_HEAD_BYTES, media)?,
                Part::TagHead => self.fill(bytes, TAG_HEAD_BYTES, media)?,
                Part::Size => self.fill(bytes, TAG_SIZE_BYTES, media)?,
                Part::Body(kind, left) => {
                    let (piece, rest) = bytes.split_at(left.min(bytes.len()));
                    if let Some(kind) = kind {
                        media.piece(kind, piece)?;
                    }
                    self.part = if piece.len() == left { Part::Size } else { Part::Body(kind, left - piece.len()) };
                    rest
                }
            };
        }
        Ok(())
    }

    fn fill<'a>(&mut self, bytes: &'a [u8], needed: usize, media: &mut Media<'_>) -> Result<&'a [u8], Fault> {
        let (piece, rest) = bytes.split_at(bytes.len().min(needed - self.filled));
        self.head[self.filled..][..piece.len()].copy_from_slice(piece);
        self.filled += piece.len();
        if self.filled == needed {
            self.filled = 0;
            self.part = match self.part {
                Part::FileHead => self.after_file_head()?,
                Part::TagHead => self.after_tag_head(media)?,
                _ => self.after_size()?,
            };
        }
        Ok(rest)
    }

    fn after_file_head(&self) -> Result<Part, Fault> {
        let [signature @ .., _, _, _, _] = &self.head;
        let is_flv = signature.starts_with(b"FLV\x01") && signature[5..] == [0, 0, 0, 9];
        if is_flv { Ok(Part::TagHead) } else { Err(Fault::Framing("no FLV header")) }
    }

    fn after_tag_head(&mut self, media: &mut Media<'_>) -> Result<Part, Fault> {
        let [tag, a, b, c, t0, t1, t2, t3, s0, s1, s2, ..] = self.head;
        self.body_bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        let kind = match tag {
            VIDEO => Some(Kind::Video),
            AUDIO => Some(Kind::Audio),
            SCRIPT => None,
            _ => return Err(Fault::Framing("a tag of unknown type")),
        };
        if [s0, s1, s2] != [0; 3] {
            return Err(Fault::Framing("a tag whose stream is not 0"));
        }
        if let Some(kind) = kind {
            media.begin(kind, u32::from_be_bytes([t3, t0, t1, t2]), self.body_bytes)?;
        }
        Ok(if self.body_bytes == 0 { Part::Size } else { Part::Body(kind, self.body_bytes) })
    }

    fn after_size(&self) -> Result<Part, Fault> {
        let [a, b, c, d, ..] = self.head;
        let is_right = u32::from_be_bytes([a, b, c, d]) as usize == TAG_HEAD_BYTES + self.body_bytes;
        if is_right { Ok(Part::TagHead) } else { Err(Fault::Framing("a tag is not as long as it says behind it")) }
    }
}
