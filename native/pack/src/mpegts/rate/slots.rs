//! Slots of a constant rate: which packet, and at which time.

use std::collections::{BTreeMap, VecDeque};

use super::{
    super::{PACKET_BYTES, TIME_BITS, mux::PMT_PID},
    SMOOTHING_BUFFER,
};

type Packet = [u8; PACKET_BYTES];

/// Ticks of the system clock a second, and of it in a tick of 90 kHz (§2.4.2.2).
const CLOCK_HZ: i128 = 27_000_000;
const TICKS_PER_90K: i128 = 300;
const PACKET_BITS: i128 = 8 * PACKET_BYTES as i128;
/// The most between two references: what DVB recommends (ETSI TS 101 154), and analysers alarm at (ETSI TR 101 290 §5.2.2).
const PCR_INTERVAL: i128 = CLOCK_HZ / 25;
/// Between the beginnings of two repetitions of PAT and PMT: the slots that they take at the lowest rate still leave them within
/// 100 ms (ETSI TS 101 154).
const TABLES_INTERVAL: i128 = CLOCK_HZ * 80 / 1000;
/// The most that null packets fill.
const GAP: i128 = 2 * CLOCK_HZ;
const PAT_PID: u16 = 0;
const NULL_PACKET: Packet = null_packet();

/// Gives packets their slots. Holds what waits for one; who calls asks [`Self::has_room_for`] before.
#[derive(Debug)]
pub(super) struct Slots {
    rate_bps: u32,
    /// The time of the first slot of the present time base; `None` before there is one.
    origin: Option<i128>,
    /// Slots since then.
    slots: u64,
    queue: VecDeque<Queued>,
    tables: Tables,
    /// Continuity counters: those of the packets that are written, not of those that came.
    counters: BTreeMap<u16, u8>,
    newest_pcr: Option<i128>,
    /// A reference comes next, whatever the newest one says.
    reference_due: bool,
    /// The next reference is the first one of another time base than before.
    is_other_base: bool,
    packets: u64,
    null_packets: u64,
}

#[derive(Debug)]
enum Queued {
    Packet(Box<Packet>),
    /// From here on, these tables; the clock is with this PID.
    Tables(Vec<Packet>, u16),
}

/// PAT and PMT.
#[derive(Debug, Default)]
struct Tables {
    /// The newest that came, perhaps still in the queue.
    newest: Vec<Packet>,
    in_force: Vec<Packet>,
    /// What is to be sent of those in force.
    pending: VecDeque<Packet>,
    /// When the newest repetition began.
    since: Option<i128>,
    /// Where references go, now and once `pending` is sent.
    clock_pid: Option<u16>,
    next_clock_pid: Option<u16>,
}

impl Slots {
    pub(super) fn new(rate_bps: u32) -> Self {
        Self {
            rate_bps,
            origin: None,
            slots: 0,
            queue: VecDeque::new(),
            tables: Tables::default(),
            counters: BTreeMap::new(),
            newest_pcr: None,
            reference_due: false,
            is_other_base: false,
            packets: 0,
            null_packets: 0,
        }
    }

    /// Appends the slots in front of `now_90k`. `is_other_base`: that is of a new time base, before which the queue is emptied.
    pub(super) fn advance(&mut self, now_90k: i64, is_other_base: bool, out: &mut Vec<u8>) {
        let now = i128::from(now_90k) * TICKS_PER_90K;
        if self.origin.is_none() {
            return self.begin(now);
        }
        if is_other_base || now - self.now() > GAP {
            self.drain(out);
            return self.begin(now);
        }
        while self.now() < now {
            self.write_slot(out);
        }
    }

    /// Appends slots until nothing waits.
    pub(super) fn drain(&mut self, out: &mut Vec<u8>) {
        while !self.queue.is_empty() || !self.tables.pending.is_empty() {
            self.write_slot(out);
        }
    }

    /// Takes over the tables among `packets`, if they are others than before.
    pub(super) fn take_tables(&mut self, packets: &[Packet], clock_pid: u16) {
        // Behind a gap they have come several times.
        let newest = packets.iter().rposition(|packet| pid(packet) == PAT_PID).and_then(|at| packets.get(at..));
        let mut tables: Vec<Packet> = newest.into_iter().flatten().filter(|packet| is_table(packet)).copied().collect();
        tables.iter_mut().for_each(|packet| set_counter(packet, 0));
        if tables.is_empty() || tables == self.tables.newest {
            return;
        }
        self.tables.newest.clone_from(&tables);
        self.queue.push_back(Queued::Tables(tables, clock_pid));
    }

    /// Lets those packets wait that carry something: tables and references come by the time of their slots.
    pub(super) fn enqueue(&mut self, packets: &[Packet]) {
        let carrying = packets.iter().filter(|packet| is_carrying(packet));
        self.queue.extend(carrying.map(|packet| Queued::Packet(Box::new(*packet))));
    }

    /// Whether those of `packets` that carry something leave within [`SMOOTHING_BUFFER`].
    pub(super) fn has_room_for(&self, packets: &[Packet]) -> bool {
        let count = packets.iter().filter(|packet| is_carrying(packet)).count();
        let window = SMOOTHING_BUFFER.as_millis().cast_signed() * CLOCK_HZ / 1000;
        self.ticks_of(self.queue.len() + count) <= window
    }

    /// Whether what waits leaves behind this time.
    pub(super) fn ends_behind(&self, time_90k: i64) -> bool {
        self.now() + self.ticks_of(self.queue.len()) > i128::from(time_90k) * TICKS_PER_90K
    }

    /// Packets that wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Packets that have been written, and null packets among them.
    pub(super) fn written(&self) -> (u64, u64) {
        (self.packets, self.null_packets)
    }

    /// How long it takes until so many packets have left, tables and references among them.
    fn ticks_of(&self, packets: usize) -> i128 {
        let tables = (self.tables.newest.len() as i128 * CLOCK_HZ).div_euclid(TABLES_INTERVAL) + 1;
        let references = CLOCK_HZ / PCR_INTERVAL + 1;
        let left_bps = i128::from(self.rate_bps) - (tables + references) * PACKET_BITS;
        packets as i128 * PACKET_BITS * CLOCK_HZ / left_bps.max(1)
    }

    fn begin(&mut self, now: i128) {
        self.is_other_base = self.origin.is_some();
        (self.origin, self.slots, self.newest_pcr) = (Some(now), 0, None);
        self.tables.pending.clear();
        self.tables.since = None;
    }

    /// The time of the next slot.
    fn now(&self) -> i128 {
        self.origin.unwrap_or_default() + self.time_of(self.slots)
    }

    fn time_of(&self, slots: u64) -> i128 {
        i128::from(slots) * PACKET_BITS * CLOCK_HZ / i128::from(self.rate_bps)
    }

    fn write_slot(&mut self, out: &mut Vec<u8>) {
        let now = self.now();
        self.refresh_tables(now);
        let packet = self.choose(now);
        self.slots += 1;
        self.packets += 1;
        out.extend_from_slice(&packet);
    }

    /// In this order: tables at the beginning of a time base, references, tables, the queue, nothing.
    fn choose(&mut self, now: i128) -> Packet {
        if self.newest_pcr.is_none()
            && let Some(packet) = self.next_table()
        {
            return packet;
        }
        if self.is_reference_due(now)
            && let Some(packet) = self.reference(now)
        {
            return packet;
        }
        if let Some(packet) = self.next_table() {
            return packet;
        }
        match self.queue.pop_front() {
            Some(Queued::Packet(packet)) => self.stamp(*packet, now),
            _ => {
                self.null_packets += 1;
                NULL_PACKET
            }
        }
    }

    /// Puts tables in force that are next in the queue, or makes those in force come again.
    fn refresh_tables(&mut self, now: i128) {
        if !self.tables.pending.is_empty() {
            return;
        }
        if let Some(Queued::Tables(..)) = self.queue.front()
            && let Some(Queued::Tables(packets, clock_pid)) = self.queue.pop_front()
        {
            (self.tables.in_force, self.tables.next_clock_pid) = (packets, Some(clock_pid));
        } else if self.tables.since.is_some_and(|since| now - since < TABLES_INTERVAL) {
            return;
        }
        self.tables.pending.extend(&self.tables.in_force);
        self.tables.since = Some(now);
    }

    fn next_table(&mut self) -> Option<Packet> {
        let packet = self.tables.pending.pop_front()?;
        if self.tables.pending.is_empty()
            && let Some(clock_pid) = self.tables.next_clock_pid.take()
        {
            self.reference_due |= self.tables.clock_pid.replace(clock_pid) != Some(clock_pid);
        }
        Some(self.count(packet))
    }

    /// Whether the slot behind this one would be too late.
    fn is_reference_due(&self, now: i128) -> bool {
        let step = self.time_of(1) + 1;
        self.reference_due || self.newest_pcr.is_none_or(|newest| now + step - newest > PCR_INTERVAL)
    }

    /// A packet with a reference: the next one, if it has one anyway, or one of its own.
    fn reference(&mut self, now: i128) -> Option<Packet> {
        let has_own = |queued: &Queued| matches!(queued, Queued::Packet(packet) if has_pcr(packet));
        if self.queue.front().is_some_and(has_own)
            && let Some(Queued::Packet(packet)) = self.queue.pop_front()
        {
            return Some(self.stamp(*packet, now));
        }
        let [high, low] = self.tables.clock_pid?.to_be_bytes();
        let mut packet = [0xFF; PACKET_BYTES];
        // A length that fills the packet, and PCR_flag (§2.4.3.4).
        if let Some(head) = packet.first_chunk_mut::<6>() {
            *head = [0x47, high, low, 0x20, 183, 0x10];
        }
        Some(self.stamp(packet, now))
    }

    /// The packet with the counter of its PID and the time of its slot.
    fn stamp(&mut self, packet: Packet, now: i128) -> Packet {
        let mut packet = self.count(packet);
        if has_pcr(&packet) {
            write_pcr(&mut packet, now, std::mem::take(&mut self.is_other_base));
            self.newest_pcr = Some(now);
            self.reference_due = false;
        }
        packet
    }

    /// The counter moves only when the packet has a payload (§2.4.3.3).
    fn count(&mut self, mut packet: Packet) -> Packet {
        let counter = self.counters.entry(pid(&packet)).or_insert(0x0F);
        if has_payload(&packet) {
            *counter = (*counter + 1) & 0x0F;
        }
        set_counter(&mut packet, *counter);
        packet
    }
}

fn pid(&[_, high, low, ..]: &Packet) -> u16 {
    u16::from_be_bytes([high & 0x1F, low])
}

fn is_table(packet: &Packet) -> bool {
    matches!(pid(packet), PAT_PID | PMT_PID)
}

fn has_payload(&[_, _, _, control, ..]: &Packet) -> bool {
    control & 0x10 != 0
}

/// Neither a table nor a mere clock reference.
fn is_carrying(packet: &Packet) -> bool {
    has_payload(packet) && !is_table(packet)
}

/// `PCR_flag` and `discontinuity_indicator`, of a packet with an adaptation field that has flags (§2.4.3.4).
fn flags(&[_, _, _, control, length, flags, ..]: &Packet) -> u8 {
    if control & 0x20 != 0 && length > 0 { flags & 0x90 } else { 0 }
}

fn has_pcr(packet: &Packet) -> bool {
    flags(packet) & 0x10 != 0
}

/// Whether the clock reference of a packet is the first one of a new time base.
pub(super) fn begins_time_base(packet: &Packet) -> bool {
    flags(packet) == 0x90
}

fn set_counter(packet: &mut Packet, counter: u8) {
    let [_, _, _, control, ..] = packet;
    *control = *control & 0xF0 | counter & 0x0F;
}

/// Base, 6 reserved bits, extension (§2.4.3.5), and whether the time base is another one than before.
fn write_pcr(packet: &mut Packet, ticks: i128, is_other_base: bool) {
    let [_, _, _, _, _, flags, a, b, c, d, e, f, ..] = packet;
    *flags = *flags & 0x7F | u8::from(is_other_base) << 7;
    let base = ticks.div_euclid(TICKS_PER_90K).rem_euclid(1 << TIME_BITS);
    let extension = ticks.rem_euclid(TICKS_PER_90K);
    let field = base << 15 | 0x7E00 | extension;
    let [.., b0, b1, b2, b3, b4, b5] = field.to_be_bytes();
    (*a, *b, *c, *d, *e, *f) = (b0, b1, b2, b3, b4, b5);
}

/// PID 0x1FFF, no adaptation field, a counter that says nothing (§2.4.1).
const fn null_packet() -> Packet {
    let mut packet = [0xFF; PACKET_BYTES];
    let [sync, high, low, control, ..] = &mut packet;
    (*sync, *high, *low, *control) = (0x47, 0x1F, 0xFF, 0x10);
    packet
}
