//! What happens because time passes.

use std::time::Duration;

use super::{Closed, SrtConn, micros, output::ACK_US};
use crate::srt::packet::{Control, KeyMaterialKind};

/// Without anything sent for so long a keep-alive is (SRT §3.2.3).
const KEEP_ALIVE_US: u64 = 1_000_000;
/// What is sent is kept at least for so long (SRT §4.6).
const KEEP_MIN_US: u64 = 1_000_000;

/// When things were done last.
#[derive(Debug)]
pub(super) struct Clocks {
    pub(super) sent_us: u64,
    /// Data of ours left.
    pub(super) data_us: u64,
    pub(super) ack_us: u64,
    pub(super) nak_us: u64,
    /// The peer's acknowledgement moved on.
    pub(super) progress_us: u64,
    /// Probes since then.
    pub(super) probes: u32,
    pub(super) key_us: u64,
    derived_us: Option<u64>,
    /// There is something to send since then.
    pub(super) busy_since_us: Option<u64>,
}

impl Clocks {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            sent_us: now_us,
            data_us: now_us,
            ack_us: now_us,
            nak_us: now_us,
            progress_us: now_us,
            probes: 0,
            key_us: now_us,
            derived_us: None,
            busy_since_us: None,
        }
    }

    /// Whether key material may cost a derivation now.
    pub(super) fn may_derive(&mut self, now_us: u64, interval_us: u64) -> bool {
        let may = self.derived_us.is_none_or(|at_us| now_us >= at_us + interval_us);
        if may {
            self.derived_us = Some(now_us);
        }
        may
    }
}

impl SrtConn {
    /// When to call [`handle_timeout`](Self::handle_timeout), and to drain what there is then; it changes with every call.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.closed.is_some() {
            return None;
        }
        let idle_us = self.last_received_us + micros(self.options.limits.idle_time);
        let dues = [
            Some(idle_us),
            Some(self.clocks.sent_us + KEEP_ALIVE_US),
            self.ack_due_us(),
            (self.is_missing()).then(|| self.clocks.nak_us + self.rtt.nak_interval_us()),
            self.receive.next_due_us(self.options.too_late_drop).filter(|_| !self.link.follows),
            self.pace_due_us(),
            self.probe_due_us(),
            self.send.oldest_us().map(|oldest_us| oldest_us + self.keep_us()),
            self.key_due_us(),
        ];
        dues.into_iter().flatten().min().map(Duration::from_micros)
    }

    /// Says that the time is `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        let now_us = micros(now);
        if self.closed.is_some() {
            return;
        }
        if now_us >= self.last_received_us + micros(self.options.limits.idle_time) {
            self.closed = Some(Closed::Idle);
            return self.push_control(now_us, &Control::Shutdown);
        }
        self.arriving.look(now_us);
        self.input.look(now_us);
        if self.ack_due_us().is_some_and(|due_us| now_us >= due_us) {
            self.clocks.ack_us = now_us;
            self.acknowledge(now_us, true);
        }
        if self.is_missing() && now_us >= self.clocks.nak_us + self.rtt.nak_interval_us() {
            self.report_missing(now_us);
        }
        self.drop_late(now_us);
        self.probe_tail(now_us);
        self.repeat_key(now_us);
        if now_us >= self.clocks.sent_us + KEEP_ALIVE_US && self.control.is_empty() {
            self.push_control(now_us, &Control::KeepAlive);
        }
    }

    /// Nothing is said where there is nothing new: a connection that only sends has no such timer.
    fn ack_due_us(&self) -> Option<u64> {
        self.acks.due_us(self.next_awaited(), self.clocks.ack_us, self.rtt.patience_us())
    }

    fn pace_due_us(&self) -> Option<u64> {
        let can_send =
            self.send.has_lost() || (self.send.has_unsent() && self.send.in_flight() < self.peer_flow_packets);
        can_send.then_some(self.pacer.next_us)
    }

    /// How long what was sent is kept: until it would be too late, with a reserve (SRT §4.6).
    fn keep_us(&self) -> u64 {
        if self.options.too_late_drop {
            (micros(self.agreed.send_delay) * 5 / 4).max(KEEP_MIN_US)
        } else {
            u64::MAX / 2
        }
    }

    pub(super) fn drop_late(&mut self, now_us: u64) {
        let Some(until_us) = now_us.checked_sub(self.keep_us()) else { return };
        let (packets, bytes) = self.send.drop_until(until_us);
        self.counters.send_dropped_packets += packets;
        self.counters.send_dropped_bytes += bytes as u64;
        if self.send.len() == 0 {
            self.note_idle(now_us);
        }
    }

    pub(super) fn note_idle(&mut self, now_us: u64) {
        if let Some(since_us) = self.clocks.busy_since_us.take() {
            self.counters.send_busy_us += now_us.saturating_sub(since_us);
        }
    }

    /// Nothing was acknowledged for an RTO (SRT §5.1.2): the newest packet is sent again. Where only that was lost it is repaired so;
    /// where more was, the peer sees the hole and asks. To send all again, as that section has it, would burden a link that is full.
    fn probe_due_us(&self) -> Option<u64> {
        if self.send.in_flight() == 0 || self.send.has_lost() {
            return None;
        }
        let rto_us = (self.rtt.patience_us() + 2 * ACK_US) * u64::from(self.clocks.probes.min(8) + 1);
        Some(self.clocks.progress_us.max(self.clocks.data_us) + rto_us)
    }

    fn probe_tail(&mut self, now_us: u64) {
        if self.probe_due_us().is_some_and(|due_us| now_us >= due_us) {
            self.send.probe();
            self.clocks.probes += 1;
            self.clocks.progress_us = now_us;
        }
    }

    fn key_due_us(&self) -> Option<u64> {
        self.keys.as_ref()?.unconfirmed().map(|_| self.clocks.key_us + self.key_repeat_us())
    }

    fn key_repeat_us(&self) -> u64 {
        self.rtt.patience_us().max(100_000)
    }

    fn repeat_key(&mut self, now_us: u64) {
        if self.key_due_us().is_none_or(|due_us| now_us < due_us) {
            return;
        }
        if let Some(material) = self.keys.as_ref().and_then(|keys| keys.unconfirmed()).map(<[u8]>::to_vec) {
            self.clocks.key_us = now_us;
            self.push_control(now_us, &Control::KeyMaterial(KeyMaterialKind::Request, &material));
        }
    }
}
