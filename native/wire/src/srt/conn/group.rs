//! One connection as a link of a group (SRT §3.2.1.4), on the receiving side.
//!
//! All links carry the same stream under the same sequence numbers; in a group of broadcast each of them everything, in one of main and
//! backup only the one that is well. What comes by one link is [`share`](SrtConn::share)d with the others, so that each holds all that
//! waits for its time. One of them delivers; the others [`follow`](SrtConn::follow) it, and any of them can take its place.
//!
//! Each link acknowledges and asks for no more than its own sender has sent: peers end a link whose receiver knows of later packets.

use std::time::Duration;

use bytes::Bytes;

use super::{SrtConn, micros};
use crate::srt::{
    number::{unroll, wire},
    packet::Position,
    receive::Arrival,
};

/// What makes a connection a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) is_member: bool,
    /// Another one delivers.
    pub(super) follows: bool,
    /// Behind the last packet that came by this link itself.
    pub(super) end: u64,
    /// The packet that the last datagram brought, where it was new and good.
    pub(super) arrived: Option<u64>,
}

impl Link {
    pub(super) fn new(first: u64) -> Self {
        Self { is_member: false, follows: false, end: first, arrived: None }
    }

    /// A packet came by this link.
    pub(super) fn came(&mut self, sequence: u64) {
        self.end = self.end.max(sequence + 1);
    }
}

/// A packet for the other links of a group.
#[derive(Debug, Clone)]
pub struct Shared {
    sequence: u32,
    position: Position,
    due: Duration,
    payload: Bytes,
}

impl SrtConn {
    /// Makes it a link of a group. One that follows delivers nothing.
    pub fn be_link(&mut self, follows: bool) {
        (self.link.is_member, self.link.follows) = (true, follows);
    }

    /// All other links are over: what waits is delivered here.
    pub fn be_last(&mut self) {
        (self.link.is_member, self.link.follows) = (false, false);
    }

    /// The data that the last datagram brought, once, where it is new.
    pub fn take_arrived(&mut self) -> Option<Shared> {
        let sequence = self.link.arrived.take()?;
        let (payload, position, due_us) = self.receive.get(sequence)?;
        let (payload, due) = (Bytes::copy_from_slice(payload), Duration::from_micros(due_us));
        Some(Shared { sequence: wire(sequence), position, due, payload })
    }

    /// Takes a packet that came by another link; whether it is new here.
    pub fn share(&mut self, packet: &Shared) -> bool {
        let sequence = self.receive.unroll(packet.sequence);
        let is_new = matches!(self.receive.judge(sequence), Arrival::New { .. });
        if is_new {
            self.receive.insert(sequence, packet.position, micros(packet.due), |place| {
                place.extend_from_slice(&packet.payload);
                true
            });
        }
        is_new
    }

    /// The sequence number of what is delivered next.
    pub fn next_delivery(&self) -> u32 {
        wire(self.receive.next())
    }

    /// Forgets what another link has delivered: all in front of its [`next_delivery`](Self::next_delivery).
    pub fn follow(&mut self, next: u32) {
        self.receive.forget_until(unroll(self.receive.next(), next));
    }

    /// What an acknowledgement says: the first packet that has not come, of those that the peer is known to have sent by this link.
    pub(super) fn next_awaited(&self) -> u64 {
        self.receive.next_missing().min(self.link.end)
    }

    /// Whether there is something to ask the peer for.
    pub(super) fn is_missing(&self) -> bool {
        self.receive.is_missing_before(self.link.end)
    }
}
