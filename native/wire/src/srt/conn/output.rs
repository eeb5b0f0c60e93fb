//! What the peer is sent.

use std::{collections::VecDeque, time::Duration};

use super::{Closed, SrtConn, micros};
use crate::srt::{
    number::wire,
    packet::{Ack, AckReport, Control, HEADER_BYTES, KeyFlag, KeyMaterialKind, LossReport, loss},
    send::Leaving,
};

/// Packets behind which a light ACK is sent (SRT §4.8.1).
const LIGHT_ACK_PACKETS: u32 = 64;
/// Between two full acknowledgements: SYN (SRT §4.8.1).
pub(super) const ACK_US: u64 = 10_000;
/// Full acknowledgements whose answer may still come.
const OPEN_ACKS_MAX: usize = 64;
/// Bytes of a loss list: it fits into every datagram.
const LOSS_BYTES_MAX: usize = 1400;

/// Acknowledgements that we send.
#[derive(Debug)]
pub(super) struct Acks {
    /// The number of the last full one.
    number: u32,
    /// Those that were not answered: number, time, what they said.
    open: VecDeque<(u32, u64, u64)>,
    /// What the last one said, light or full.
    said: u64,
    /// What the last full one said, and when.
    full: (u64, u64),
    /// The highest that is known to have been heard.
    heard: u64,
    /// Data packets since the last light one was looked at.
    packets: u32,
    first: u64,
}

impl Acks {
    pub(super) fn new(first: u64) -> Self {
        Self { number: 0, open: VecDeque::new(), said: first, full: (first, 0), heard: first, packets: 0, first }
    }

    /// An answer has come: the round trip.
    pub(super) fn answered(&mut self, now_us: u64, number: u32) -> Option<u64> {
        let at = self.open.iter().position(|(open, ..)| *open == number)?;
        let (_, sent_us, said) = self.open.get(at).copied()?;
        self.open.drain(..=at);
        self.heard = self.heard.max(said);
        Some(now_us.saturating_sub(sent_us))
    }

    /// Whether nothing was received yet that would be acknowledged: then the round trip is what the peer measures.
    pub(super) fn is_sender_only(&self) -> bool {
        self.said == self.first
    }

    /// When a full one is due behind the last at `last_us`: when there is something new, or the last was not answered.
    pub(super) fn due_us(&self, next: u64, last_us: u64, patience_us: u64) -> Option<u64> {
        let (said, said_us) = self.full;
        if next > said {
            return Some(last_us + ACK_US);
        }
        (self.heard < said).then(|| said_us + patience_us.max(ACK_US))
    }

    /// One more data packet has come: whether there were enough of them for a light one.
    pub(super) fn is_light_due(&mut self) -> bool {
        self.packets += 1;
        self.packets.is_multiple_of(LIGHT_ACK_PACKETS)
    }
}

impl SrtConn {
    /// Appends the next datagram to `out`; false when there is none now.
    pub fn poll_output(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let now_us = micros(now);
        if let Some(packet) = self.control.pop_front() {
            out.extend_from_slice(&packet);
            self.clocks.sent_us = now_us;
            return true;
        }
        if self.closed.is_some() || self.pacer.next_us > now_us {
            return false;
        }
        while let Some(leaving) = self.next_data(now_us) {
            if self.write_data(now_us, &leaving, out) {
                return true;
            }
        }
        false
    }

    /// Lost packets go first (SRT §4.8.2).
    fn next_data(&mut self, now_us: u64) -> Option<Leaving> {
        let (start_us, peer_id) = (micros(self.agreed.start), self.agreed.peer_id);
        if self.send.has_lost()
            && let Some(leaving) = self.send.retransmit(now_us, self.rtt.repeat_us(), start_us, peer_id)
        {
            return Some(leaving);
        }
        let has_room = self.send.in_flight() < self.peer_flow_packets;
        if has_room { self.send.transmit(now_us, start_us, peer_id) } else { None }
    }

    fn write_data(&mut self, now_us: u64, leaving: &Leaving, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        out.extend_from_slice(&leaving.header.to_bytes());
        out.extend_from_slice(&leaving.payload);
        if let Some(keys) = &self.keys
            && !keys.encrypt(&leaving.header, out, begin + HEADER_BYTES)
        {
            // The key was forgotten 4000 packets ago: nobody could read it.
            out.truncate(begin);
            return false;
        }
        self.count_sent(now_us, leaving);
        true
    }

    fn count_sent(&mut self, now_us: u64, leaving: &Leaving) {
        let (bytes, counters) = (leaving.payload.len(), &mut self.counters);
        counters.sent_packets += 1;
        counters.sent_bytes += bytes as u64;
        if leaving.header.is_retransmitted {
            counters.retransmitted_packets += 1;
            counters.retransmitted_bytes += bytes as u64;
        } else {
            counters.sent_unique_packets += 1;
            counters.sent_unique_bytes += bytes as u64;
        }
        self.clocks.sent_us = now_us;
        self.clocks.data_us = now_us;
        let max = self.pacer.max(&self.input);
        self.pacer.sent(now_us, bytes + HEADER_BYTES, max);
    }

    pub(super) fn push_control(&mut self, now_us: u64, control: &Control<'_>) {
        // What is lost here is said again, as if it were lost on its way.
        if self.control.len() < self.options.limits.pending_control {
            let mut packet = Vec::with_capacity(48);
            control.write(self.timestamp(now_us), self.agreed.peer_id, &mut packet);
            self.control.push_back(packet);
        }
    }

    /// The key for one more packet; none when there can be none, and the connection is over.
    pub(super) fn next_key(&mut self, now_us: u64) -> Option<KeyFlag> {
        let Some(keys) = &mut self.keys else { return Some(KeyFlag::Clear) };
        match keys.next() {
            Ok((flag, told)) => {
                if let Some(told) = told {
                    self.clocks.key_us = now_us;
                    self.push_control(now_us, &Control::KeyMaterial(KeyMaterialKind::Request, &told));
                }
                Some(flag)
            }
            Err(_) => {
                self.closed = Some(Closed::NoKey);
                self.push_control(now_us, &Control::Shutdown);
                None
            }
        }
    }

    /// A hole was just seen: it is reported at once (SRT §4.8.2).
    pub(super) fn report_gap(&mut self, now_us: u64, first: u64, last: u64) {
        let mut list = Vec::with_capacity(8);
        loss::write_run(wire(first), wire(last), &mut list);
        self.push_control(now_us, &Control::Nak(LossReport { bytes: &list }));
        self.counters.sent_naks += 1;
        // With each hole anew, the report of all that is missing would never be made where packets are lost all the time.
        if self.receive.missing() == last - first + 1 {
            self.clocks.nak_us = now_us;
        }
    }

    /// All that is missing.
    pub(super) fn report_missing(&mut self, now_us: u64) {
        let mut list = Vec::with_capacity(64);
        self.receive.write_missing(self.link.end, LOSS_BYTES_MAX, &mut list);
        self.push_control(now_us, &Control::Nak(LossReport { bytes: &list }));
        self.counters.sent_naks += 1;
        self.clocks.nak_us = now_us;
    }

    /// Acknowledges; `is_full` with all fields, to be answered (SRT §3.2.4), else when there is something new.
    pub(super) fn acknowledge(&mut self, now_us: u64, is_full: bool) {
        let next = self.next_awaited();
        if !is_full {
            if next > self.acks.said {
                self.push_ack(now_us, next, 0, None);
            }
            return;
        }
        self.acks.number = self.acks.number.checked_add(1).unwrap_or(1);
        if self.acks.open.len() >= OPEN_ACKS_MAX {
            self.acks.open.pop_front();
        }
        self.acks.open.push_back((self.acks.number, now_us, next));
        self.acks.full = (next, now_us);
        let report = self.report();
        self.push_ack(now_us, next, self.acks.number, Some(report));
    }

    fn push_ack(&mut self, now_us: u64, next: u64, number: u32, report: Option<AckReport>) {
        self.acks.said = self.acks.said.max(next);
        self.push_control(now_us, &Control::Ack(Ack { number, next_sequence: wire(next), report }));
        self.counters.sent_acks += 1;
    }

    fn report(&self) -> AckReport {
        let field = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        AckReport {
            rtt_us: field(self.rtt.smoothed_us),
            rtt_variance_us: field(self.rtt.variance_us),
            // A peer that reads 0 may stop for good: there is always room for the packet that is missing.
            free_packets: field(self.receive.free_packets().max(2) as u64),
            packets_per_second: field(self.arriving.packets_per_second),
            link_packets_per_second: field(self.probe.packets_per_second()),
            bytes_per_second: field(self.arriving.bytes_per_second),
        }
    }
}
