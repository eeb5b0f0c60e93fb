//! AV1 (AOM, *RTP Payload Format For AV1*, v1.0).
//!
//! A payload is an aggregation header and OBU elements: OBUs without sizes of their own, or fragments of them, each behind its
//! length but perhaps the last.

use arcly_codec::{
    CodecConfig, CodecError,
    av1::{self, Av1Config, OBU_SEQUENCE_HEADER, Obu, leb128, leb128_bytes, put_leb128},
};
use bytes::{BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Depacketize, Output},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

/// Bits of the aggregation header (§4.4).
const CONTINUES: u8 = 0x80;
const IS_CONTINUED: u8 = 0x40;
const COUNT_SHIFT: u8 = 4;
const NEW_SEQUENCE: u8 = 0x08;
/// `obu_has_size_field`.
const HAS_SIZE: u8 = 0b10;
/// The most elements that the header can count; with others each has a length.
const MAX_COUNT: usize = 3;
/// Room that is not worth a fragment.
const MIN_FRAGMENT_BYTES: usize = 8;

/// An OBU without its size, or the rest of one: its header bytes, and what is behind them.
#[derive(Clone, Copy)]
struct Element<'a> {
    header: ([u8; 2], usize),
    payload: &'a [u8],
}

impl<'a> Element<'a> {
    fn new(obu: &Obu<'a>) -> Self {
        let byte = |at: usize| obu.bytes.get(at).copied().unwrap_or_default();
        let header_bytes = 1 + usize::from(obu.has_extension);
        Self { header: ([byte(0) & !HAS_SIZE, byte(1)], header_bytes), payload: obu.payload }
    }

    fn len(&self) -> usize {
        self.header.1 + self.payload.len()
    }

    /// The first `bytes`, and the rest.
    fn split(self, bytes: usize) -> (Self, Self) {
        let payload_bytes = bytes.saturating_sub(self.header.1);
        let (first, rest) = self.payload.split_at_checked(payload_bytes).unwrap_or((self.payload, &[]));
        (Self { header: self.header, payload: first }, Self { header: ([0; 2], 0), payload: rest })
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.put_slice(self.header.0.get(..self.header.1).unwrap_or_default());
        into.put_slice(self.payload);
    }
}

#[derive(Debug)]
pub(super) struct Packetizer {
    max_bytes: usize,
    scratch: Vec<u8>,
}

impl Packetizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, scratch: Vec::new() }
    }
}

/// The payload that is being filled.
struct Cutter<'a, 'b> {
    max_bytes: usize,
    scratch: &'a mut Vec<u8>,
    sink: Sink<'a>,
    elements: Vec<Element<'b>>,
    /// Bytes of the payload so far, when each element has a length.
    bytes: usize,
    /// The first element continues one.
    continues: bool,
    /// `N`: the first payload of a coded video sequence.
    new_sequence: u8,
}

impl<'b> Cutter<'_, 'b> {
    fn push(&mut self, mut element: Element<'b>) {
        loop {
            let room = self.max_bytes.saturating_sub(self.bytes);
            let whole = leb128_bytes(element.len()) + element.len();
            if whole <= room {
                self.add(element);
                return;
            }
            let fragment_bytes = room.saturating_sub(leb128_bytes(room));
            if fragment_bytes < MIN_FRAGMENT_BYTES && !self.elements.is_empty() {
                self.send(false, false);
                continue;
            }
            let (first, rest) = element.split(fragment_bytes);
            self.add(first);
            self.send(true, false);
            element = rest;
        }
    }

    fn add(&mut self, element: Element<'b>) {
        self.bytes += leb128_bytes(element.len()) + element.len();
        self.elements.push(element);
    }

    /// Sends what is there. `is_continued`: its last element is the first part of one.
    fn send(&mut self, is_continued: bool, marker: bool) {
        if self.elements.is_empty() {
            return;
        }
        let counted = self.elements.len() <= MAX_COUNT;
        self.scratch.clear();
        for (index, element) in self.elements.iter().enumerate() {
            if !counted || index + 1 < self.elements.len() {
                put_leb128(self.scratch, element.len());
            }
            element.write(self.scratch);
        }
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let count = if counted { (self.elements.len() as u8) << COUNT_SHIFT } else { 0 };
        let head = [flag(self.continues, CONTINUES) | flag(is_continued, IS_CONTINUED) | count | self.new_sequence];
        (self.sink)(Payload { head: &head, body: self.scratch, marker, timestamp_offset: 0 });
        self.elements.clear();
        (self.bytes, self.continues, self.new_sequence) = (1, is_continued, 0);
    }
}

impl Packetize for Packetizer {
    fn packetize(&mut self, access_unit: &[u8], is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let begins = is_key && av1::obus(access_unit).flatten().any(|obu| obu.kind == OBU_SEQUENCE_HEADER);
        let mut cutter = Cutter {
            max_bytes: self.max_bytes,
            scratch: &mut self.scratch,
            sink,
            elements: Vec::new(),
            bytes: 1,
            continues: false,
            new_sequence: if begins { NEW_SEQUENCE } else { 0 },
        };
        for obu in av1::obus(access_unit) {
            cutter.push(Element::new(&obu?));
        }
        cutter.send(false, true);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    /// OBUs with sizes: those of the temporal unit that is being put together.
    unit: BytesMut,
    /// The OBU of which a part has come.
    partial: Option<BytesMut>,
    timestamp: Option<u32>,
    is_damaged: bool,
    /// The marker of this time has come.
    is_ended: bool,
    /// The stream has markers: without one a temporal unit has no end.
    has_markers: bool,
    max_bytes: usize,
}

impl Depacketizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            unit: BytesMut::new(),
            partial: None,
            timestamp: None,
            is_damaged: false,
            is_ended: false,
            has_markers: false,
            max_bytes,
        }
    }

    /// What this packet says about the temporal unit in front of it, and the one that it belongs to. Nothing in a payload says
    /// that it is the first of a temporal unit but `N`: whatever else comes behind a gap may have lost its beginning.
    fn begin_packet(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) {
        let timestamp = packet.header.timestamp;
        let begins_sequence = packet.payload.first().is_some_and(|header| header & NEW_SEQUENCE != 0);
        let is_join = self.timestamp.is_none();
        if self.timestamp != Some(timestamp) {
            self.is_damaged |= is_after_gap && !self.is_ended && !is_join;
            self.finish(out);
            self.timestamp = Some(timestamp);
        }
        self.is_damaged |= is_after_gap && !(begins_sequence && self.buffered() == 0);
        // Whoever joins a stream may come in the middle of an OBU.
        let continues = packet.payload.first().is_some_and(|header| header & CONTINUES != 0);
        self.is_damaged |= is_join && continues;
        self.is_ended = false;
    }

    /// The elements of a payload (§4.3, §4.4).
    fn read(&mut self, payload: &[u8]) -> Result<(), CodecError> {
        let malformed = |what| CodecError::Malformed { what, offset: payload.len() };
        let (&header, mut rest) = payload.split_first().ok_or(malformed("aggregation header"))?;
        let continues = header & CONTINUES != 0;
        if continues != self.partial.is_some() {
            return Err(malformed("Z of the aggregation header"));
        }
        let count = usize::from(header >> COUNT_SHIFT & 0b11);
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            let is_last_counted = index == count;
            let size =
                if is_last_counted { rest.len() } else { take_size(&mut rest).ok_or(malformed("OBU element"))? };
            let (element, behind) = rest.split_at_checked(size).ok_or(malformed("OBU element"))?;
            rest = behind;
            let is_continued = rest.is_empty() && header & IS_CONTINUED != 0;
            self.element(element, continues && index == 1, is_continued)?;
            if is_last_counted {
                break;
            }
        }
        Ok(())
    }

    fn element(&mut self, element: &[u8], continues: bool, is_continued: bool) -> Result<(), CodecError> {
        let (seen, max) = (self.buffered() + element.len(), self.max_bytes);
        if seen > max {
            return Err(CodecError::LimitExceeded { limit: "bytes of an access unit", max, seen });
        }
        match self.partial.take() {
            Some(mut partial) if continues => {
                partial.put_slice(element);
                if is_continued {
                    self.partial = Some(partial);
                    return Ok(());
                }
                self.put_obu(&partial)
            }
            _ if is_continued => {
                self.partial = Some(BytesMut::from(element));
                Ok(())
            }
            _ => self.put_obu(element),
        }
    }

    /// Adds an OBU with its size. One that has a size already may come, though it should not (§4.4).
    fn put_obu(&mut self, element: &[u8]) -> Result<(), CodecError> {
        let Some(obu) = av1::obus(element).next().transpose()? else { return Ok(()) };
        let Element { header: ([first, extension], header_bytes), payload } = Element::new(&obu);
        let header = [first | HAS_SIZE, extension];
        self.unit.put_slice(header.get(..header_bytes).unwrap_or_default());
        put_leb128(&mut self.unit, payload.len());
        self.unit.put_slice(payload);
        Ok(())
    }

    /// Ends the temporal unit.
    fn finish(&mut self, out: &mut Output) {
        let is_torn = self.is_damaged || self.partial.is_some();
        let unit = self.unit.split().freeze();
        (self.partial, self.is_damaged) = (None, false);
        if is_torn {
            return out.lose();
        }
        if !unit.is_empty() {
            self.emit(unit, out);
        }
    }

    fn emit(&mut self, unit: Bytes, out: &mut Output) {
        let (Ok(mut unit), Some(timestamp)) = (av1::to_canonical(unit), self.timestamp) else { return out.lose() };
        if let Some(header) = &unit.sequence_header {
            let config = match out.config() {
                Some(CodecConfig::Av1(config)) => config.with_sequence_header(header),
                _ => Av1Config::from_sequence_header(header).map(Some),
            };
            if let Ok(Some(config)) = config {
                out.set_config(CodecConfig::Av1(config));
            }
        }
        if let Some(CodecConfig::Av1(config)) = out.config() {
            unit = unit.with_sequence_header_of(config);
        }
        if !unit.payload.is_empty() {
            out.emit(unit.payload, timestamp, 0, unit.is_key);
        }
    }

    fn buffered(&self) -> usize {
        self.unit.len() + self.partial.as_ref().map_or(0, BytesMut::len)
    }
}

fn take_size(bytes: &mut &[u8]) -> Option<usize> {
    let (size, rest) = leb128(bytes)?;
    *bytes = rest;
    Some(size)
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        self.begin_packet(packet, is_after_gap, out);
        let read = if self.is_damaged { Ok(()) } else { self.read(&packet.payload) };
        if read.is_err() {
            self.is_damaged = true;
            self.unit.clear();
            self.partial = None;
        }
        if packet.header.marker {
            self.finish(out);
            (self.is_ended, self.has_markers) = (true, true);
        }
        read
    }

    fn flush(&mut self, out: &mut Output) {
        self.is_damaged |= self.has_markers && self.buffered() > 0;
        self.finish(out);
        self.is_ended = true;
    }

    fn reset(&mut self) {
        self.unit.clear();
        (self.partial, self.timestamp, self.is_damaged, self.is_ended) = (None, None, false, false);
    }

    fn buffered_bytes(&self) -> usize {
        self.buffered()
    }
}
