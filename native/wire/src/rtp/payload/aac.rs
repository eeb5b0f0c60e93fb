//! AAC in access units (RFC 3640): `AAC-hbr`, `AAC-lbr`, and whatever else the description says of the headers.

use arcly_codec::{CodecConfig, CodecError, aac::parse_adts, bits::BitReader};
use bytes::Bytes;

use super::{
    depacketizer::{Depacketize, Output},
    packetizer::{Packetize, Payload, Sink},
    partial::{Added, Partial},
};
use crate::rtp::{Packet, format::Format};

/// `AU-headers-length` of one header, which has `sizelength` 13 and `indexlength` 3.
const HEADERS_LENGTH: u16 = 16;
/// Bytes in front of the access unit.
const HEAD_BYTES: usize = 4;
/// The most that 13 bits can say.
const MAX_HBR_BYTES: usize = 0x1fff;

/// Access units of one packet: five seconds. Stops packets of headers that each cost us a hundred bytes.
const MAX_ACCESS_UNITS: usize = 256;

/// `AAC-hbr` (RFC 3640 §3.3.6): one access unit a packet, or a fragment of one.
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
    /// Each fragment says the size of the whole access unit; the marker is on the last (§3.1, §3.2.1).
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let (seen, max) = (access_unit.len(), MAX_HBR_BYTES);
        if seen > max {
            return Err(CodecError::LimitExceeded { limit: "bytes of an AAC access unit over RTP", max, seen });
        }
        let [l0, l1] = HEADERS_LENGTH.to_be_bytes();
        let [s0, s1] = ((seen as u16) << 3).to_be_bytes();
        let mut fragments = access_unit.chunks(self.max_bytes - HEAD_BYTES).peekable();
        while let Some(body) = fragments.next() {
            let marker = fragments.peek().is_none();
            sink(Payload { head: &[l0, l1, s0, s1], body, marker, timestamp_offset: 0 });
        }
        Ok(())
    }
}

/// How AU-headers are to be read (RFC 3640 §4.1).
#[derive(Debug)]
struct HeaderForm {
    size_bits: u8,
    index_bits: u8,
    index_delta_bits: u8,
    cts_delta_bits: u8,
    dts_delta_bits: u8,
    random_access_bits: u8,
    stream_state_bits: u8,
    auxiliary_size_bits: u8,
    /// Bytes of each access unit, when the headers do not say it.
    constant_bytes: Option<usize>,
}

impl HeaderForm {
    fn new(format: &Format) -> Result<Self, CodecError> {
        let parameters = &format.parameters;
        let mode = parameters.get("mode").unwrap_or("AAC-hbr").to_ascii_lowercase();
        // Senders leave out what the mode fixes (§3.3.5, §3.3.6).
        let (size, index) = if mode == "aac-lbr" { (6, 2) } else { (13, 3) };
        let constant_bytes = parameters.number("constantsize").filter(|&bytes| bytes > 0).map(|bytes| bytes as usize);
        let (size, index) = if constant_bytes.is_some() { (0, 0) } else { (size, index) };
        let bits = |name, default: u32| {
            let bits = u8::try_from(parameters.number(name).unwrap_or(default)).ok().filter(|&bits| bits <= 32);
            bits.ok_or(CodecError::Malformed { what: "length of a field of AU-headers", offset: 0 })
        };
        Ok(Self {
            size_bits: bits("sizelength", size)?,
            index_bits: bits("indexlength", index)?,
            index_delta_bits: bits("indexdeltalength", index)?,
            cts_delta_bits: bits("ctsdeltalength", 0)?,
            dts_delta_bits: bits("dtsdeltalength", 0)?,
            random_access_bits: bits("randomaccessindication", 0)?.min(1),
            stream_state_bits: bits("streamstateindication", 0)?,
            auxiliary_size_bits: bits("auxiliarydatasizelength", 0)?,
            constant_bytes,
        })
    }

    /// Whether there is an AU header section at all (§3.2.1).
    fn has_headers(&self) -> bool {
        self.size_bits + self.index_bits > 0 || self.cts_delta_bits > 0 || self.dts_delta_bits > 0
    }

    /// Reads the header section and the auxiliary section: what is said of the access units, and where the first begins.
    fn read(&self, payload: &[u8]) -> Result<(Vec<Announced>, usize), CodecError> {
        let mut bits = BitReader::new(payload);
        let mut units: Vec<Announced> = Vec::new();
        if self.has_headers() {
            let length = bits.u(16, "AU-headers-length")? as usize;
            let end = bits.position_bits() + length;
            if length > bits.remaining_bits() {
                return Err(bits.malformed("AU-headers-length"));
            }
            while bits.position_bits() < end {
                if units.len() == MAX_ACCESS_UNITS {
                    return Err(bits.malformed("AU-headers-length"));
                }
                let unit = self.read_header(&mut bits, units.last(), end)?;
                units.push(unit);
            }
            bits.align();
        }
        if self.auxiliary_size_bits > 0 {
            let size = bits.u(self.auxiliary_size_bits, "auxiliary-data-size")? as usize;
            bits.skip(size, "auxiliary data")?;
            bits.align();
        }
        Ok((units, bits.offset()))
    }

    /// One AU-header (§3.2.1.1), which must not reach beyond `end`.
    fn read_header(
        &self,
        bits: &mut BitReader<'_>,
        previous: Option<&Announced>,
        end: usize,
    ) -> Result<Announced, CodecError> {
        let start = bits.clone();
        let bytes = match self.size_bits {
            0 => self.constant_bytes.unwrap_or(usize::MAX),
            size_bits => bits.u(size_bits, "AU-size")? as usize,
        };
        // The index of the first counts nothing that matters: its time is the packet's (§3.2.1.1).
        let index = match previous {
            None => bits.u(self.index_bits, "AU-Index").map(|_| 0)?,
            Some(previous) => {
                let skipped = bits.u(self.index_delta_bits, "AU-Index-delta")?;
                previous.index.saturating_add(1).saturating_add(skipped)
            }
        };
        if self.cts_delta_bits > 0 && bits.flag("CTS-flag")? {
            bits.u(self.cts_delta_bits, "CTS-delta")?;
        }
        if self.dts_delta_bits > 0 && bits.flag("DTS-flag")? {
            bits.u(self.dts_delta_bits, "DTS-delta")?;
        }
        bits.u(self.random_access_bits, "RAP-flag")?;
        bits.u(self.stream_state_bits, "Stream-state")?;
        // A header of no bits would be read for ever.
        if bits.position_bits() > end || bits.position_bits() == start.position_bits() {
            return Err(start.malformed("AU-header"));
        }
        Ok(Announced { bytes, index })
    }
}

/// What an AU-header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    /// `usize::MAX`: as many as there are.
    bytes: usize,
    /// Access units of the stream from the first of the packet to this one.
    index: u32,
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    headers: HeaderForm,
    /// Ticks of the format's clock from one access unit of a packet to the next.
    ticks: u32,
    partial: Partial,
    interleaved: Interleaved,
    max_bytes: usize,
}

/// Access units that came in front of their turn (§3.2.3.2), by their time.
#[derive(Debug, Default)]
struct Interleaved {
    units: Vec<(u32, Bytes)>,
    /// Of all of them.
    bytes: usize,
}

impl Interleaved {
    /// Keeps an access unit; the earliest of too many, or of more than `max_bytes`, goes out.
    fn put(&mut self, timestamp: u32, unit: Bytes, max_bytes: usize, out: &mut Output) {
        let at = self.units.partition_point(|(other, _)| is_before(*other, timestamp));
        self.bytes += unit.len();
        self.units.insert(at, (timestamp, unit));
        while self.units.len() > MAX_ACCESS_UNITS || self.bytes > max_bytes {
            self.give(1, out);
        }
    }

    fn give(&mut self, count: usize, out: &mut Output) {
        for (timestamp, unit) in self.units.drain(..count.min(self.units.len())) {
            self.bytes -= unit.len();
            emit(&unit, timestamp, 0, out);
        }
    }

    /// Gives out what is not later than `timestamp`: the first of a packet is the earliest of all that are still to come.
    fn give_until(&mut self, timestamp: u32, out: &mut Output) {
        let count = self.units.partition_point(|(other, _)| !is_before(timestamp, *other));
        self.give(count, out);
    }
}

/// In the circle of 32 bits (RFC 3550 §5.1).
fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

impl Depacketizer {
    pub(super) fn new(format: &Format, config: Option<&CodecConfig>, max_bytes: usize) -> Result<Self, CodecError> {
        let headers = HeaderForm::new(format)?;
        let ticks = config.map_or(1_024, |config| {
            let samples = config.audio().map_or(1_024, |info| info.samples_per_frame);
            format.ticks_of_bus(i64::from(samples), config)
        });
        Ok(Self {
            headers,
            ticks: u32::try_from(ticks).unwrap_or(1_024),
            partial: Partial::default(),
            interleaved: Interleaved::default(),
            max_bytes,
        })
    }

    /// The access units of a payload, the last of which may be the first fragment of one.
    fn read(&mut self, packet: &Packet, out: &mut Output) -> Result<(), CodecError> {
        let (units, mut offset) = self.headers.read(&packet.payload)?;
        let timestamp = packet.header.timestamp;
        if units.is_empty() {
            self.read_without_headers(packet.payload.slice(offset.min(packet.payload.len())..), timestamp, out);
            return Ok(());
        }
        let is_interleaved = units.last().is_some_and(|last| last.index as usize >= units.len());
        let is_in_order = !is_interleaved && self.interleaved.units.is_empty();
        for (number, unit) in units.iter().enumerate() {
            let rest = packet.payload.len().saturating_sub(offset);
            if unit.bytes > rest && units.len() == 1 && unit.bytes != usize::MAX {
                return self.begin(&packet.payload.slice(offset..), unit.bytes, timestamp);
            }
            let is_last = number + 1 == units.len();
            let size = if unit.bytes == usize::MAX && is_last { rest } else { unit.bytes };
            if size > rest {
                return Err(CodecError::Malformed { what: "AU-size", offset });
            }
            let (bytes, ticks) = (packet.payload.slice(offset..offset + size), self.ticks.wrapping_mul(unit.index));
            match size {
                0 => {}
                _ if is_in_order => emit(&bytes, timestamp, ticks, out),
                _ => self.interleaved.put(timestamp.wrapping_add(ticks), bytes, self.max_bytes, out),
            }
            offset += size;
        }
        self.interleaved.give_until(timestamp, out);
        Ok(())
    }

    /// Access units of a constant size, or a single one.
    fn read_without_headers(&self, data: Bytes, timestamp: u32, out: &mut Output) {
        let size = self.headers.constant_bytes.unwrap_or(data.len()).max(1);
        let mut ticks = 0_u32;
        for start in (0..data.len()).step_by(size) {
            emit(&data.slice(start..(start + size).min(data.len())), timestamp, ticks, out);
            ticks = ticks.wrapping_add(self.ticks);
        }
    }

    /// The first fragment.
    fn begin(&mut self, fragment: &[u8], size: usize, timestamp: u32) -> Result<(), CodecError> {
        if size > self.max_bytes {
            let (max, seen) = (self.max_bytes, size);
            return Err(CodecError::LimitExceeded { limit: "bytes of an access unit", max, seen });
        }
        self.partial.begin(fragment, size, timestamp);
        Ok(())
    }

    /// Another fragment; `None` when this packet is none of the access unit.
    fn continue_partial(&mut self, packet: &Packet, out: &mut Output) -> Option<()> {
        let begun = self.partial.unit()?;
        let (units, offset) = self.headers.read(&packet.payload).ok()?;
        let fragment = packet.payload.get(offset..)?;
        let is_said = matches!(units[..], [only] if only.bytes == begun.size);
        if !is_said || packet.header.timestamp != begun.timestamp {
            return None;
        }
        if let Added::Whole(unit, timestamp) = self.partial.add(fragment)? {
            emit(&unit, timestamp, 0, out);
        }
        Some(())
    }
}

/// Gives out an access unit; an ADTS header, which has no place here but is met, is taken away. No raw access unit looks like
/// one: it would begin with its end (ISO/IEC 14496-3 Table 4.85).
fn emit(access_unit: &Bytes, timestamp: u32, ticks: u32, out: &mut Output) {
    let adts = parse_adts(access_unit).ok().filter(|header| header.frame_bytes == access_unit.len());
    let header_bytes = adts.map_or(0, |header| header.header_bytes.min(access_unit.len()));
    if header_bytes < access_unit.len() {
        out.emit(access_unit.slice(header_bytes..), timestamp, ticks, false);
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
        self.interleaved.give(usize::MAX, out);
    }

    fn reset(&mut self) {
        self.partial = Partial::default();
        self.interleaved = Interleaved::default();
    }

    fn buffered_bytes(&self) -> usize {
        self.interleaved.bytes + self.partial.len()
    }
}
