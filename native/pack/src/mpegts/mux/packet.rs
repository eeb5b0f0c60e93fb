//! The transport packet (ISO/IEC 13818-1 §2.4.3.2) and its adaptation field (§2.4.3.4).

use super::super::{HEADER_BYTES, PACKET_BYTES};
use super::buffer::PacketBuffer;

/// A packet identifier and its continuity counter (§2.4.3.3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Pid {
    number: u16,
    /// Counter of the newest packet.
    counter: u8,
}

impl Pid {
    /// `counter` is that of the newest packet that was written with this identifier.
    pub(super) fn new(number: u16, counter: u8) -> Self {
        Self { number, counter }
    }

    pub(super) fn number(self) -> u16 {
        self.number
    }

    pub(super) fn counter(self) -> u8 {
        self.counter
    }

    /// The header of the next packet. The counter moves only when the packet has a payload (§2.4.3.3).
    ///
    /// Made as one number, here and below, and not of bytes: it is one store, and is read again at once when it is copied.
    #[inline]
    pub(super) fn header(&mut self, unit_start: bool, adaptation: bool, payload: bool) -> [u8; HEADER_BYTES] {
        self.counter = self.counter.wrapping_add(u8::from(payload)) & 0x0F;
        let control = u32::from(adaptation) << 5 | u32::from(payload) << 4 | u32::from(self.counter);
        (0x47 << 24 | u32::from(unit_start) << 22 | u32::from(self.number) << 8 | control).to_be_bytes()
    }
}

/// The counter before the first packet, which then has 0.
pub(super) const COUNTER_START: u8 = 0x0F;

/// What the adaptation field of a packet has to say, besides stuffing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptation {
    /// `random_access_indicator`.
    pub(super) random_access: bool,
    /// `discontinuity_indicator` and PCR.
    pub(super) pcr: Option<Pcr>,
}

/// A program clock reference in its 90 kHz part; the 27 MHz extension is always 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pcr {
    pub(super) base_90k: i64,
    /// The first PCR of a new time base (§2.4.3.5).
    pub(super) discontinuity: bool,
}

impl Pcr {
    /// `program_clock_reference_base` in 33 bits, 6 reserved bits, `program_clock_reference_extension` (§2.4.3.5).
    fn encode(self) -> u64 {
        self.base_90k.cast_unsigned() << 15 & 0xFFFF_FFFF_FFFF | 0x7E00
    }
}

impl Adaptation {
    /// Bytes of the field, its length included, without stuffing.
    #[inline]
    pub(super) fn len(self) -> usize {
        match (self.pcr, self.random_access) {
            (Some(_), _) => PCR_FIELD_BYTES,
            (None, true) => 2,
            (None, false) => 0,
        }
    }

    fn flags(self) -> u8 {
        let discontinuity = self.pcr.is_some_and(|pcr| pcr.discontinuity);
        u8::from(discontinuity) << 7 | u8::from(self.random_access) << 6 | u8::from(self.pcr.is_some()) << 4
    }

    /// The field with a PCR, without stuffing. `length` is that behind the first byte, with stuffing.
    #[inline(always)]
    pub(super) fn with_pcr(self, length: u8, pcr: Pcr) -> [u8; PCR_FIELD_BYTES] {
        (u64::from(length) << 56 | u64::from(self.flags()) << 48 | pcr.encode()).to_be_bytes()
    }

    /// Fills the field: at least [`Self::len`], the rest stuffing.
    ///
    /// One byte is a length of 0 and nothing else: the only way to stuff a single byte (§2.4.3.5).
    #[inline(always)]
    pub(super) fn write(self, field: &mut [u8]) {
        let length = u8::try_from(field.len().saturating_sub(1)).unwrap_or(u8::MAX);
        let stuffing = match (self.pcr, field) {
            (Some(pcr), field) => put(field, self.with_pcr(length, pcr)),
            (None, [only]) => put(std::slice::from_mut(only), [length]),
            (None, field) => put(field, [length, self.flags()]),
        };
        if !stuffing.is_empty() {
            stuffing.fill(STUFFING);
        }
    }
}

/// Writes `start`; the room behind it.
#[inline(always)]
pub(super) fn put<const N: usize>(room: &mut [u8], start: [u8; N]) -> &mut [u8] {
    let Some((to, rest)) = room.split_first_chunk_mut() else { return &mut [] };
    *to = start;
    rest
}

/// Appends a packet that is all adaptation field: a clock reference between two access units.
pub(super) fn write_pcr_packet(pid: &mut Pid, pcr: Pcr, out: &mut PacketBuffer) {
    let field = put(out.push(&[0; PACKET_BYTES]), pid.header(false, true, false));
    Adaptation { random_access: false, pcr: Some(pcr) }.write(field);
}

/// Appends the packets of a section: it begins behind a zero `pointer_field`, and 0xFF fills the last one up (§2.4.4).
pub(super) fn write_section(pid: &mut Pid, section: &[u8], out: &mut PacketBuffer) {
    section_packets(section).iter().enumerate().for_each(|(index, packet)| write_again(pid, index == 0, packet, out));
}

/// The packets of a section; identifier and counter come with [`write_again`].
pub(super) fn section_packets(section: &[u8]) -> Vec<[u8; PACKET_BYTES]> {
    let pointer_field = [0];
    let mut bytes = pointer_field.iter().chain(section).copied().peekable();
    let mut packets = Vec::new();
    while bytes.peek().is_some() {
        packets.push(std::array::from_fn(|at| if at < HEADER_BYTES { 0 } else { bytes.next().unwrap_or(STUFFING) }));
    }
    packets
}

/// Appends a packet of a section, perhaps the first one.
pub(super) fn write_again(pid: &mut Pid, unit_start: bool, packet: &[u8; PACKET_BYTES], out: &mut PacketBuffer) {
    put(out.push(packet), pid.header(unit_start, false, true));
}

/// What packets are filled up with (§2.4.3.5, §2.4.4).
pub(super) const STUFFING: u8 = 0xFF;
/// An adaptation field with a PCR and no stuffing: length, flags, PCR.
pub(super) const PCR_FIELD_BYTES: usize = 8;
