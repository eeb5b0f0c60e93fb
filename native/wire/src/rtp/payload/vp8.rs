//! VP8 (RFC 7741).

use arcly_codec::{
    CodecConfig, CodecError,
    cursor::Cursor,
    vp8::{Vp8Config, is_key},
};

use super::{
    depacketizer::{Depacketize, Output},
    fragments::{Fragments, Whole},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

/// Bits of the payload descriptor (§4.2).
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
/// Bits of its extension.
const PICTURE_ID: u8 = 0x80;
const TL0_PICTURE: u8 = 0x40;
const TEMPORAL: u8 = 0x20;
const KEY_INDEX: u8 = 0x10;

/// Bytes of the descriptor that is written: with a picture number of 15 bits, by which receivers see what they have lost.
const DESCRIPTOR_BYTES: usize = 4;

#[derive(Debug)]
pub(super) struct Packetizer {
    max_bytes: usize,
    picture_id: u16,
}

impl Packetizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, picture_id: 0 }
    }
}

impl Packetize for Packetizer {
    /// The whole frame as its first partition: nobody looks for the others (§4.2, `PID`).
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let [p0, p1] = (0x8000 | self.picture_id).to_be_bytes();
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
        let mut start = START;
        let mut fragments = access_unit.chunks(self.max_bytes - DESCRIPTOR_BYTES).peekable();
        while let Some(body) = fragments.next() {
            let head = [EXTENDED | std::mem::take(&mut start), PICTURE_ID, p0, p1];
            sink(Payload { head: &head, body, marker: fragments.peek().is_none(), timestamp_offset: 0 });
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    fragments: Fragments,
}

impl Depacketizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { fragments: Fragments::new(max_bytes) }
    }
}

/// Steps over the descriptor (§4.2). Returns whether a frame begins behind it.
fn read_descriptor(fields: &mut Cursor<'_>) -> Option<bool> {
    let first = fields.u8()?;
    if first & EXTENDED != 0 {
        let present = fields.u8()?;
        if present & PICTURE_ID != 0 && fields.u8()? & 0x80 != 0 {
            fields.u8()?;
        }
        if present & TL0_PICTURE != 0 {
            fields.u8()?;
        }
        if present & (TEMPORAL | KEY_INDEX) != 0 {
            fields.u8()?;
        }
    }
    Some(first & START != 0 && first & PARTITION == 0)
}

fn emit((frame, timestamp): Whole, out: &mut Output) {
    let is_key = is_key(&frame);
    if is_key && let Ok(config) = Vp8Config::from_frame(&frame) {
        out.set_config(CodecConfig::Vp8(config));
    }
    out.emit(frame, timestamp, 0, is_key);
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if let Some(whole) = self.fragments.turn(packet, is_after_gap, out) {
            emit(whole, out);
        }
        let mut fields = Cursor::new(&packet.payload);
        let Some(begins) = read_descriptor(&mut fields) else {
            self.fragments.damage(out);
            return Err(CodecError::Malformed { what: "VP8 payload descriptor", offset: fields.offset() });
        };
        if let Some(whole) = self.fragments.push(fields.rest(), begins, packet.header.marker, out)? {
            emit(whole, out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output) {
        if let Some(whole) = self.fragments.flush(out) {
            emit(whole, out);
        }
    }

    fn reset(&mut self) {
        self.fragments.reset();
    }

    fn buffered_bytes(&self) -> usize {
        self.fragments.len()
    }
}
