//! KLV metadata (RFC 6597): a unit of one or more KLV items is cut anywhere; its last packet has the marker.

use arcly_codec::CodecError;

use super::{
    depacketizer::{Depacketize, Output},
    fragments::{Fragments, Whole},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

/// What each universal label begins with (SMPTE ST 298 §4).
const LABEL: [u8; 4] = [0x06, 0x0e, 0x2b, 0x34];

#[derive(Debug)]
pub(super) struct Packetizer {
    max_bytes: usize,
}

impl Packetizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes }
    }
}

impl Packetize for Packetizer {
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let mut fragments = access_unit.chunks(self.max_bytes).peekable();
        while let Some(body) = fragments.next() {
            sink(Payload { head: &[], body, marker: fragments.peek().is_none(), timestamp_offset: 0 });
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    fragments: Fragments,
    has_begun: bool,
}

impl Depacketizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { fragments: Fragments::new(max_bytes), has_begun: false }
    }
}

fn emit((unit, timestamp): Whole, out: &mut Output) {
    out.emit(unit, timestamp, 0, false);
}

impl Depacketize for Depacketizer {
    /// Nothing says where a unit begins but the end of the one in front, and behind a gap its label (RFC 6597 §4.3).
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if let Some(whole) = self.fragments.turn(packet, is_after_gap, out) {
            emit(whole, out);
        }
        let is_known = self.has_begun && !is_after_gap;
        let begins = self.fragments.is_empty() && (is_known || packet.payload.starts_with(&LABEL));
        self.has_begun = true;
        if let Some(whole) = self.fragments.push(&packet.payload, begins, packet.header.marker, out)? {
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
        self.has_begun = false;
    }

    fn buffered_bytes(&self) -> usize {
        self.fragments.len()
    }
}
