//! What the peer sends.

use std::time::Duration;

use super::{Closed, SrtConn, SrtError, micros};
use crate::srt::{
    crypto::{KeyMaterial, KmState},
    packet::{Ack, Control, ControlHeader, DataHeader, KeyFlag, KeyMaterialKind, LossReport, Packet},
    receive::Arrival,
};

impl SrtConn {
    /// Takes a datagram of the peer. Whoever calls has looked at its destination, and answers handshakes.
    ///
    /// # Errors
    /// [`SrtError::Malformed`]: the datagram is dropped, the connection goes on.
    pub fn handle_input(&mut self, now: Duration, datagram: &[u8]) -> Result<(), SrtError> {
        if self.closed.is_some() {
            return Ok(());
        }
        let now_us = micros(now);
        self.link.arrived = None;
        let packet = Packet::parse(datagram).inspect_err(|_| self.counters.malformed_packets += 1)?;
        self.last_received_us = now_us;
        match packet {
            Packet::Data(header, payload) => self.on_data(now_us, &header, payload),
            Packet::Control(header, control) => self.on_control(now_us, header, control)?,
        }
        Ok(())
    }

    fn on_control(&mut self, now_us: u64, header: ControlHeader, control: Control<'_>) -> Result<(), SrtError> {
        match control {
            Control::Ack(ack) => self.on_ack(now_us, &ack),
            Control::AckAck(number) => self.on_ack_ack(now_us, header.timestamp, number),
            Control::Nak(report) => self.on_nak(now_us, report),
            Control::Shutdown => self.closed = Some(Closed::ByPeer),
            Control::PeerError(code) => self.closed = Some(Closed::PeerError(code)),
            // Another link of the group may still bring them.
            Control::DropRequest { .. } if self.link.is_member => self.counters.received_drop_requests += 1,
            Control::DropRequest { first, last, .. } => {
                self.counters.received_drop_requests += 1;
                self.counters.receive_dropped_packets += self.receive.drop_until(first, last);
            }
            Control::KeyMaterial(kind, body) => {
                return self.on_key_material(now_us, kind, body).inspect_err(|_| self.counters.malformed_packets += 1);
            }
            // Congestion: nobody sends it, and pacing has its own measures (SRT §3.2.6).
            Control::Handshake(_) | Control::KeepAlive | Control::Congestion | Control::Unknown => {}
        }
        Ok(())
    }

    fn on_data(&mut self, now_us: u64, header: &DataHeader, payload: &[u8]) {
        self.counters.received_packets += 1;
        self.counters.received_bytes += payload.len() as u64;
        self.counters.received_retransmitted_packets += u64::from(header.is_retransmitted);
        let sequence = self.receive.unroll(header.sequence);
        self.probe.packet(now_us, sequence, header.is_retransmitted);
        match self.receive.judge(sequence) {
            Arrival::New { gap, was_lost } => {
                self.link.came(sequence);
                self.keep(now_us, sequence, header, payload);
                if let Some((first, last)) = gap {
                    self.counters.receive_lost_packets += last - first + 1;
                    self.report_gap(now_us, first, last);
                }
                self.counters.reordered_packets += u64::from(was_lost && !header.is_retransmitted);
            }
            Arrival::Duplicate => {
                self.link.came(sequence);
                self.counters.duplicate_packets += 1;
            }
            Arrival::Belated => {
                self.link.came(sequence);
                self.counters.belated_packets += 1;
            }
            Arrival::Stray => self.counters.stray_packets += 1,
        }
        if self.acks.is_light_due() {
            self.acknowledge(now_us, false);
        }
    }

    /// A packet that is in the clear where it should not be, or cannot be decrypted, keeps its place and is not delivered: to ask for it
    /// again would bring the same.
    fn keep(&mut self, now_us: u64, sequence: u64, header: &DataHeader, payload: &[u8]) {
        self.arriving.count(now_us, payload.len());
        let due_us = self.tsbpd.due_us(now_us, header.timestamp);
        let (keys, mut is_good) = (&self.keys, false);
        self.receive.insert(sequence, header.position, due_us, |place| {
            place.extend_from_slice(payload);
            is_good = match keys {
                None => header.key == KeyFlag::Clear,
                Some(keys) => keys.decrypt(header, place),
            };
            is_good
        });
        self.counters.received_unique_packets += 1;
        self.counters.received_unique_bytes += payload.len() as u64;
        if is_good {
            self.link.arrived = Some(sequence);
        } else {
            self.counters.undecrypted_packets += 1;
            self.counters.undecrypted_bytes += payload.len() as u64;
        }
    }

    fn on_ack(&mut self, now_us: u64, ack: &Ack) {
        self.counters.received_acks += 1;
        if self.send.acknowledge(ack.next_sequence) {
            self.clocks.progress_us = now_us;
            self.clocks.probes = 0;
        }
        if self.send.len() == 0 {
            self.note_idle(now_us);
        }
        let Some(report) = ack.report else { return };
        // A small ACK has no number, and no answer (SRT §3.2.4).
        if ack.number != 0 {
            self.push_control(now_us, &Control::AckAck(ack.number));
            self.counters.sent_ack_acks += 1;
        }
        if report.rtt_us > 0 && self.acks.is_sender_only() {
            self.rtt.sample(u64::from(report.rtt_us));
        }
        self.peer_flow_packets = u64::from(report.free_packets);
        self.peer_link_packets_per_second = u64::from(report.link_packets_per_second);
    }

    fn on_ack_ack(&mut self, now_us: u64, timestamp: u32, number: u32) {
        self.counters.received_ack_acks += 1;
        let Some(rtt_us) = self.acks.answered(now_us, number) else { return };
        self.rtt.sample(rtt_us);
        self.tsbpd.sample(now_us, timestamp, self.rtt.smoothed_us);
    }

    fn on_nak(&mut self, now_us: u64, report: LossReport<'_>) {
        self.counters.received_naks += 1;
        let (lost, missing) = self.send.report(report);
        self.counters.send_lost_packets += lost;
        if let Some((first, last)) = missing {
            let request = Control::DropRequest {
                message: 0,
                first: crate::srt::number::wire(first),
                last: crate::srt::number::wire(last),
            };
            self.push_control(now_us, &request);
            self.counters.sent_drop_requests += 1;
        }
    }

    /// A key of the peer, or its answer to one of ours (SRT §6.1.6).
    fn on_key_material(&mut self, now_us: u64, kind: KeyMaterialKind, body: &[u8]) -> Result<(), SrtError> {
        let Some(keys) = &mut self.keys else {
            return if kind == KeyMaterialKind::Request { self.answer_key(now_us, KmState::NoSecret) } else { Ok(()) };
        };
        if kind == KeyMaterialKind::Response {
            self.counters.key_refreshes += u64::from(keys.confirm(body));
            return Ok(());
        }
        let material = KeyMaterial::parse(body)?;
        if keys.is_costly(&material) && !self.clocks.may_derive(now_us, micros(self.options.limits.derivation_time)) {
            return Ok(()); // It is said again until it is answered.
        }
        if keys.update(&material).is_err() {
            return self.answer_key(now_us, KmState::BadSecret);
        }
        self.counters.key_refreshes += 1;
        self.push_control(now_us, &Control::KeyMaterial(KeyMaterialKind::Response, body));
        Ok(())
    }

    fn answer_key(&mut self, now_us: u64, state: KmState) -> Result<(), SrtError> {
        self.push_control(now_us, &Control::KeyMaterial(KeyMaterialKind::Response, &state.to_word().to_be_bytes()));
        Ok(())
    }
}
