//! MP3 in application data units (RFC 5219), read only. A unit holds all the data of its frame, which the bit reservoir had spread
//! over those in front of it; here it is spread again.

use std::collections::VecDeque;

use arcly_codec::{
    CodecConfig, CodecError,
    mpeg_audio::{FrameHeader, MAX_FRAME_BYTES, MpegAudioConfig, Version},
};
use bytes::{Buf, Bytes, BytesMut};

use super::{
    depacketizer::{Depacketize, Output},
    partial::{Added, Partial},
};
use crate::rtp::Packet;

/// Units of one cycle of interleaving (§7): its index has eight bits.
const MAX_CYCLE: usize = 256;
/// Frames that wait for the data of later ones. The reservoir reaches back over 511 bytes; frames that hold next to nothing end here.
const MAX_WAITING: usize = 64;

/// A unit as it came.
#[derive(Debug)]
struct Unit {
    bytes: Bytes,
    /// That of the packet, for the first unit of one.
    timestamp: Option<u32>,
}

/// Units of a cycle of interleaving (§7), by their index.
#[derive(Debug, Default)]
struct Cycle {
    number: u8,
    units: Vec<(u8, Unit)>,
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    partial: Partial,
    cycle: Cycle,
    frames: Frames,
}

impl Depacketizer {
    pub(super) fn new(clock_rate_hz: u32) -> Self {
        Self { partial: Partial::default(), cycle: Cycle::default(), frames: Frames::new(clock_rate_hz) }
    }

    /// The units of a payload, or a fragment of one (§4.4).
    fn read(&mut self, packet: &Packet, out: &mut Output) -> Result<(), CodecError> {
        let mut offset = 0;
        let mut timestamp = Some(packet.header.timestamp);
        while offset < packet.payload.len() {
            let Descriptor { continues, size, bytes } = Descriptor::parse(&packet.payload, offset)?;
            offset += bytes;
            let rest = packet.payload.slice(offset..);
            if continues {
                // The rest of a unit whose beginning is lost.
                out.mark_loss();
                return Ok(());
            }
            if size > rest.len() {
                let timestamp = timestamp.ok_or(CodecError::Malformed { what: "size of an ADU", offset })?;
                self.partial.begin(&rest, size, timestamp);
                return Ok(());
            }
            self.take(Unit { bytes: rest.slice(..size), timestamp: timestamp.take() }, out);
            offset += size;
        }
        Ok(())
    }

    /// Another fragment; `None` when this packet is none of the unit.
    fn continue_partial(&mut self, packet: &Packet, out: &mut Output) -> Option<()> {
        let size = self.partial.unit()?.size;
        let descriptor = Descriptor::parse(&packet.payload, 0).ok()?;
        let fragment = packet.payload.get(descriptor.bytes..)?;
        if !descriptor.continues || descriptor.size != size {
            return None;
        }
        if let Added::Whole(bytes, timestamp) = self.partial.add(fragment)? {
            self.take(Unit { bytes, timestamp: Some(timestamp) }, out);
        }
        Some(())
    }

    /// Takes a unit, which may have an interleaving index and a cycle number where a frame has its sync word (§7).
    fn take(&mut self, unit: Unit, out: &mut Output) {
        let Some(&[index, second]) = unit.bytes.first_chunk() else { return out.lose() };
        let number = second >> 5;
        if (index, number) == (0xff, 7) {
            self.end_cycle(out);
            return self.frames.put(unit, out);
        }
        if number != self.cycle.number || self.cycle.units.len() == MAX_CYCLE {
            self.end_cycle(out);
        }
        self.cycle.number = number;
        let mut bytes = BytesMut::from(unit.bytes.as_ref());
        if let Some(sync) = bytes.first_chunk_mut() {
            *sync = [0xff, second | 0xe0];
        }
        self.cycle.units.push((index, Unit { bytes: bytes.freeze(), ..unit }));
    }

    fn end_cycle(&mut self, out: &mut Output) {
        let mut units = std::mem::take(&mut self.cycle.units);
        units.sort_by_key(|(index, _)| *index);
        units.into_iter().for_each(|(_, unit)| self.frames.put(unit, out));
    }
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if !is_after_gap && self.continue_partial(packet, out).is_some() {
            return Ok(());
        }
        self.partial.give_up(out);
        self.read(packet, out).inspect_err(|_| out.lose())
    }

    fn flush(&mut self, out: &mut Output) {
        self.partial.give_up(out);
        self.end_cycle(out);
        while self.frames.give(true, out) {}
    }

    fn reset(&mut self) {
        *self = Self::new(self.frames.clock_rate_hz);
    }

    fn buffered_bytes(&self) -> usize {
        let cycle: usize = self.cycle.units.iter().map(|(_, unit)| unit.bytes.len()).sum();
        self.partial.len()
            + cycle
            + self.frames.data.len()
            + self.frames.waiting.iter().map(|frame| frame.head.len()).sum::<usize>()
    }
}

/// What stands in front of a unit or fragment (§4.3).
struct Descriptor {
    continues: bool,
    /// Of the whole unit.
    size: usize,
    /// Of this descriptor itself.
    bytes: usize,
}

impl Descriptor {
    fn parse(payload: &[u8], offset: usize) -> Result<Self, CodecError> {
        let malformed = CodecError::Malformed { what: "ADU descriptor", offset };
        let mut rest = payload.iter().skip(offset).copied().map(usize::from);
        let first = rest.next().ok_or(malformed.clone())?;
        let (size, bytes) = match first & 0x40 {
            0 => (first & 0x3f, 1),
            _ => ((first & 0x3f) << 8 | rest.next().ok_or(malformed.clone())?, 2),
        };
        // The reservoir adds 511 bytes to a frame at most (ISO/IEC 11172-3 §2.4.2.7).
        if size == 0 || size > MAX_FRAME_BYTES + 511 {
            return Err(malformed);
        }
        Ok(Self { continues: first & 0x80 != 0, size, bytes })
    }
}

/// A frame whose place for data is not full yet.
#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    /// Header and side information.
    head: Bytes,
    /// Bytes behind the head.
    capacity: usize,
    timestamp: u32,
}

/// Spreads the data of units over frames.
#[derive(Debug)]
struct Frames {
    clock_rate_hz: u32,
    waiting: VecDeque<Frame>,
    /// Data from the beginning of the first waiting frame's place on.
    data: BytesMut,
    /// The last time that a packet told, and the samples since.
    time: (u32, u64),
}

impl Frames {
    fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, waiting: VecDeque::new(), data: BytesMut::new(), time: (0, 0) }
    }

    fn put(&mut self, unit: Unit, out: &mut Output) {
        let header = match FrameHeader::parse(&unit.bytes) {
            Ok(header) if header.layer == 3 => header,
            _ => return out.lose(),
        };
        let timestamp = self.time_of(&header, unit.timestamp);
        let head_bytes = head_bytes(&header);
        let (Some(head), Some(data)) = (unit.bytes.get(..head_bytes), unit.bytes.get(head_bytes..)) else {
            return out.lose();
        };
        let place: usize = self.waiting.iter().map(|frame| frame.capacity).sum();
        let capacity = header.frame_bytes().saturating_sub(head_bytes);
        let back = back_pointer(&header, head);
        // Where its data begins, behind what others have filled, and ends: in its own frame.
        let start =
            place.checked_sub(back).filter(|&start| start >= self.data.len() && start + data.len() <= place + capacity);
        match start {
            Some(start) => {
                self.data.resize(start, 0);
                self.data.extend_from_slice(data);
                self.waiting.push_back(Frame { header, head: unit.bytes.slice(..head_bytes), capacity, timestamp });
            }
            None => {
                out.lose();
                self.waiting.push_back(silent(header, head, timestamp));
            }
        }
        while self.give(self.waiting.len() > MAX_WAITING, out) {}
    }

    /// Gives out the first frame, when its place is full or `is_forced`.
    fn give(&mut self, is_forced: bool, out: &mut Output) -> bool {
        let is_full = self.waiting.front().is_some_and(|frame| self.data.len() >= frame.capacity);
        if !is_full && !is_forced {
            return false;
        }
        let Some(frame) = self.waiting.pop_front() else { return false };
        self.data.resize(self.data.len().max(frame.capacity), 0);
        let mut bytes = BytesMut::from(frame.head.as_ref());
        bytes.extend_from_slice(self.data.get(..frame.capacity).unwrap_or_default());
        self.data.advance(frame.capacity);
        out.set_config(CodecConfig::Mp3(MpegAudioConfig::from_header(&frame.header)));
        out.emit(bytes.freeze(), frame.timestamp, 0, false);
        true
    }

    /// When a frame is to be heard; `told` by its packet or counted from the last that was.
    fn time_of(&mut self, header: &FrameHeader, told: Option<u32>) -> u32 {
        if let Some(timestamp) = told {
            self.time = (timestamp, 0);
        }
        let (since, samples) = &mut self.time;
        let ticks = *samples * u64::from(self.clock_rate_hz) / u64::from(header.sample_rate_hz.max(1));
        *samples += u64::from(header.samples_per_frame());
        since.wrapping_add(ticks as u32)
    }
}

/// A frame in place of one whose data is not all there: no data, so nothing is heard (§5, the dummy unit).
fn silent(mut header: FrameHeader, of: &[u8], timestamp: u32) -> Frame {
    header.has_crc = false;
    let head_bytes = head_bytes(&header);
    let mut head = BytesMut::zeroed(head_bytes);
    head.iter_mut().zip(of.iter().take(4)).for_each(|(to, from)| *to = *from);
    if let [_, second, ..] = head.as_mut() {
        *second |= 1;
    }
    Frame { header, head: head.freeze(), capacity: header.frame_bytes().saturating_sub(head_bytes), timestamp }
}

/// Of the header, its checksum and the side information (ISO/IEC 11172-3 §2.4.1.7, 13818-3 §2.4.1.7).
fn head_bytes(header: &FrameHeader) -> usize {
    let side = match (header.version, header.channels()) {
        (Version::Mpeg1, 1) | (Version::Mpeg2 | Version::Mpeg25, 2) => 17,
        (Version::Mpeg1, _) => 32,
        _ => 9,
    };
    side_offset(header) + side
}

fn side_offset(header: &FrameHeader) -> usize {
    if header.has_crc { 6 } else { 4 }
}

/// `main_data_begin`: bytes from the end of the head of the frame back to its data.
fn back_pointer(header: &FrameHeader, head: &[u8]) -> usize {
    let side = head.get(side_offset(header)..).and_then(|side| side.first_chunk());
    let Some(&[first, second]) = side else { return 0 };
    match header.version {
        Version::Mpeg1 => usize::from(first) << 1 | usize::from(second >> 7),
        _ => usize::from(first),
    }
}
