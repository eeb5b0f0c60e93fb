//! The transport packet (ISO/IEC 13818-1 §2.4.3.2) and its adaptation field (§2.4.3.4).

use super::super::{BODY_BYTES, HEADER_BYTES, PACKET_BYTES};

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
    fn header(&mut self, unit_start: bool, adaptation: bool, payload: bool) -> [u8; HEADER_BYTES] {
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
    fn len(self) -> usize {
        match (self.pcr, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }

    fn flags(self) -> u8 {
        let discontinuity = self.pcr.is_some_and(|pcr| pcr.discontinuity);
        u8::from(discontinuity) << 7 | u8::from(self.random_access) << 6 | u8::from(self.pcr.is_some()) << 4
    }

    /// Appends the field in `total` bytes: at least [`Self::len`], the rest stuffing.
    ///
    /// One byte is a length of 0 and nothing else: the only way to stuff a single byte (§2.4.3.5).
    #[inline(always)]
    fn write(self, total: usize, out: &mut Vec<u8>) {
        let end = out.len() + total;
        let (length, flags) = (u8::try_from(total.saturating_sub(1)).unwrap_or(u8::MAX), self.flags());
        match self.pcr.map(Pcr::encode) {
            Some(pcr) => out.extend_from_slice(&(u64::from(length) << 56 | u64::from(flags) << 48 | pcr).to_be_bytes()),
            None if total > 1 => out.extend_from_slice(&[length, flags]),
            None => out.push(length),
        }
        if out.len() < end {
            out.resize(end, 0xFF);
        }
    }
}

/// Cuts the bytes of one PES packet into transport packets, straight into the output: each byte is copied once.
pub(super) struct Packetizer<'a> {
    pid: Pid,
    out: &'a mut Vec<u8>,
    /// Bytes of the PES packet that no transport packet has room reserved for.
    left: usize,
    /// Bytes missing in the current transport packet.
    room: usize,
}

impl<'a> Packetizer<'a> {
    /// Begins a PES packet of exactly `size` bytes, all of which must then be [`put`](Self::put).
    #[inline(always)]
    pub(super) fn begin(pid: Pid, adaptation: Adaptation, size: usize, out: &'a mut Vec<u8>) -> Self {
        out.reserve((size + adaptation.len()).div_ceil(BODY_BYTES) * PACKET_BYTES);
        let room = size.min(BODY_BYTES - adaptation.len());
        let mut packetizer = Self { pid, out, left: size - room, room };
        packetizer.open(true, adaptation);
        packetizer
    }

    /// The identifier with the counter of the last packet.
    #[inline]
    pub(super) fn finish(self) -> Pid {
        self.pid
    }

    /// Appends the next bytes of the PES packet.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        // Headers and start codes hardly ever cross a packet.
        if bytes.len() <= self.room { self.fill(bytes) } else { self.put_across(bytes) }
    }

    #[inline(never)]
    fn put_across(&mut self, bytes: &[u8]) {
        let mut at = self.room.min(bytes.len());
        self.fill(bytes.get(..at).unwrap_or_default());
        if at < HEADER_BYTES {
            at += self.begin_with(bytes.get(at..).unwrap_or_default());
        }
        at += self.whole(bytes.get(at.saturating_sub(HEADER_BYTES)..).unwrap_or_default());
        self.begin_with(bytes.get(at..).unwrap_or_default());
    }

    /// Begins a packet with the first of these bytes, if there are any; how many.
    #[inline(always)]
    fn begin_with(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(BODY_BYTES);
        if count > 0 {
            self.room = self.left.min(BODY_BYTES);
            self.left -= self.room;
            self.open(false, Adaptation::default());
            self.fill(bytes.get(..count).unwrap_or_default());
        }
        count
    }

    /// Packets that are all payload: the common case. Their payload begins behind the first [`HEADER_BYTES`] of `bytes`; how much of it
    /// was put.
    ///
    /// Each is copied with the bytes in front of its payload, which its header is then written over: one copy and one store. A packet
    /// that is put together first is read again in other pieces than it was written in, and waits for that at every copy.
    #[inline]
    fn whole(&mut self, bytes: &[u8]) -> usize {
        // In a register: in the struct, it would be written back for every packet.
        let mut pid = self.pid;
        let mut rest = bytes;
        while let Some(packet) = rest.first_chunk::<PACKET_BYTES>() {
            self.out.extend_from_slice(packet);
            let header = self.out.last_chunk_mut::<PACKET_BYTES>().and_then(|packet| packet.first_chunk_mut());
            if let Some(header) = header {
                *header = pid.header(false, false, true);
            }
            rest = rest.split_at_checked(BODY_BYTES).map_or(&[], |(_, rest)| rest);
        }
        self.pid = pid;
        let put = bytes.len() - rest.len();
        self.left = self.left.saturating_sub(put);
        put
    }

    #[inline]
    fn fill(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.room = self.room.saturating_sub(bytes.len());
    }

    /// Writes everything of a transport packet that is in front of its payload of `room` bytes: the adaptation field is as long as
    /// that leaves it.
    #[inline(always)]
    fn open(&mut self, unit_start: bool, adaptation: Adaptation) {
        let field = BODY_BYTES - self.room;
        let header = self.pid.header(unit_start, field > 0, self.room > 0);
        self.out.extend_from_slice(&header);
        if field > 0 {
            adaptation.write(field, self.out);
        }
    }
}

/// Appends a packet that is all adaptation field: a clock reference between two access units.
pub(super) fn write_pcr_packet(pid: &mut Pid, pcr: Pcr, out: &mut Vec<u8>) {
    let header = pid.header(false, true, false);
    out.extend_from_slice(&header);
    Adaptation { random_access: false, pcr: Some(pcr) }.write(BODY_BYTES, out);
}

/// Appends the packets of a section: it begins behind a zero `pointer_field`, and 0xFF fills the last one up (§2.4.4).
pub(super) fn write_section(pid: &mut Pid, section: &[u8], out: &mut Vec<u8>) {
    let (head, rest) = section.split_at_checked(BODY_BYTES - 1).unwrap_or((section, &[]));
    write_section_packet(pid, &[0], head, out);
    rest.chunks(BODY_BYTES).for_each(|part| write_section_packet(pid, &[], part, out));
}

/// The packets of a section that is written again and again; identifier and counter come with [`write_again`].
pub(super) fn section_packets(section: &[u8]) -> Vec<[u8; PACKET_BYTES]> {
    let mut packets = Vec::new();
    write_section(&mut Pid::new(0, COUNTER_START), section, &mut packets);
    packets.as_chunks().0.to_vec()
}

/// Appends the packets of a section.
pub(super) fn write_again(pid: &mut Pid, packets: &[[u8; PACKET_BYTES]], out: &mut Vec<u8>) {
    for (index, packet) in packets.iter().enumerate() {
        let mut packet = *packet;
        let (header, _) = packet.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&pid.header(index == 0, false, true));
        out.extend_from_slice(&packet);
    }
}

fn write_section_packet(pid: &mut Pid, pointer_field: &[u8], part: &[u8], out: &mut Vec<u8>) {
    let end = out.len() + PACKET_BYTES;
    let header = pid.header(!pointer_field.is_empty(), false, true);
    out.extend_from_slice(&header);
    out.extend_from_slice(pointer_field);
    out.extend_from_slice(part);
    out.resize(end, 0xFF);
}
