//! Names (RFC 3550 §6.5) and goodbyes (§6.6).

use arcly_codec::cursor::Cursor;
use bytes::{BufMut, BytesMut};

use super::packet::RtcpPacket;

/// The item type of the canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;
/// Most bytes of a text.
const MAX_TEXT_BYTES: usize = 255;

/// What is said of one source: only its canonical name is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The source.
    pub ssrc: u32,
    /// The name that its streams have in common; empty when it is not said.
    pub cname: String,
}

impl Chunk {
    pub(super) fn write(&self, body: &mut BytesMut) {
        let begin = body.len();
        body.put_u32(self.ssrc);
        let cname = cut(&self.cname);
        body.put_slice(&[CNAME, cname.len() as u8]);
        body.put_slice(cname);
        // The list ends with one to four bytes of zero, at a multiple of four.
        body.put_bytes(0, 4 - (body.len() - begin) % 4);
    }

    fn read(fields: &mut Cursor<'_>) -> Option<Self> {
        let begin = fields.offset();
        let mut chunk = Self { ssrc: fields.u32()?, cname: String::new() };
        loop {
            let item_type = fields.u8()?;
            if item_type == 0 {
                break;
            }
            let length = fields.u8()?;
            let text = fields.take(usize::from(length))?;
            if item_type == CNAME {
                chunk.cname = String::from_utf8_lossy(text).into_owned();
            }
        }
        // The last one may come without its filling.
        let filling = (fields.offset() - begin).next_multiple_of(4) - (fields.offset() - begin);
        fields.take(filling.min(fields.rest().len()))?;
        Some(chunk)
    }
}

pub(super) fn read_chunks(fields: &mut Cursor<'_>, count: u8) -> Option<Vec<Chunk>> {
    (0..count).map(|_| Chunk::read(fields)).collect()
}

pub(super) fn read_goodbye(fields: &mut Cursor<'_>, count: u8) -> Option<RtcpPacket> {
    let ssrcs = (0..count).map(|_| fields.u32()).collect::<Option<_>>()?;
    let length = fields.u8().unwrap_or_default();
    let reason = fields.take(usize::from(length)).unwrap_or_default();
    Some(RtcpPacket::Goodbye { ssrcs, reason: String::from_utf8_lossy(reason).into_owned() })
}

pub(super) fn write_reason(reason: &str, body: &mut BytesMut) {
    let reason = cut(reason);
    if !reason.is_empty() {
        body.put_u8(reason.len() as u8);
        body.put_slice(reason);
    }
}

/// As much of a text as its length can say, in whole letters.
fn cut(text: &str) -> &[u8] {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or_default()).unwrap_or_default().as_bytes()
}
