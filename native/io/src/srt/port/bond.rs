//! Groups of connections that carry one stream (SRT §3.2.1.4): links over several ways of the network, of which any may fail.
//!
//! ```text
//! link ──▶ machine ─┬─ shares what comes ─▶ machine of each other link
//!                   └─ the one that leads delivers ─▶ ToBus
//! ```
//!
//! Those behind the first link belong to it by the number of its group and its whole stream id, with the credentials in it. The host is asked
//! about each: it comes from another address.

use std::time::Duration;

use arcly_wire::srt::{
    Answer, Closed, GroupKind, Membership, Mode, RejectReason, Request, SrtConn, StreamId, new_socket_id,
};

use super::{
    super::connection::{Caller, Connection, Use},
    Port,
};

/// Links of a group at most: each holds all that waits.
const LINKS_MAX: usize = 8;

/// Whose group it is: its number there, and the stream id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::srt) struct BondName(u32, Vec<u8>);

impl BondName {
    pub(super) fn of(request: &Request) -> Option<Self> {
        request.group().map(|group| Self(group.id, request.stream_id().to_vec()))
    }

    fn is_of(&self, request: &Request) -> bool {
        request.group().is_some_and(|group| group.id == self.0) && request.stream_id() == self.1
    }
}

/// The links of a group.
pub(super) struct Bond {
    /// The number that it has here.
    id: u32,
    /// Who delivers.
    lead: u32,
    links: Vec<u32>,
}

impl Bond {
    pub(super) fn new(id: u32, lead: u32) -> Self {
        Self { id, lead, links: vec![lead] }
    }
}

/// Whether such links can be had: all with the same sequence numbers, and from a publisher.
fn is_spoken(group: Membership, mode: &Mode) -> bool {
    !matches!(group.kind, GroupKind::Other(_)) && !group.by_message() && *mode == Mode::Publish
}

impl Port {
    /// A link of a group asks.
    pub(super) fn ask_as_link(&mut self, caller: Caller, mut request: Request, group: Membership, id: StreamId) {
        if !is_spoken(group, &id.mode) {
            let why = "only publishers may have groups, of links with the same sequence numbers";
            return self.refuse(&request, RejectReason::Group, why);
        }
        let Some(name) = BondName::of(&request) else { return };
        if let Some(bond) = self.bonds.get(&name) {
            if bond.links.len() >= LINKS_MAX {
                return self.refuse(&request, RejectReason::Resource, "a group has no more links");
            }
            request.join(bond.id);
            return self.ask(caller, request, id, Some(name));
        }
        // While the first one waits the others are not answered: they ask again, four times a second.
        if self.waiting.values().any(|waiting| name.is_of(&waiting.request)) {
            return;
        }
        match new_socket_id() {
            Ok(id) => request.join(id),
            Err(_) => return self.refuse(&request, RejectReason::Internal, "there are no random numbers"),
        }
        self.ask(caller, request, id, None);
    }

    /// One more link is there.
    pub(super) fn begin_link(&mut self, caller: Caller, mut accepted: (SrtConn, Answer), name: &BondName) {
        let Some(waiting) = self.waiting.remove(&caller) else { return };
        if !self.bonds.contains_key(name) {
            return self.refuse(&waiting.request, RejectReason::Close, "its group has ended meanwhile");
        }
        accepted.0.be_link(true);
        if let Some(id) = self.begin(caller, waiting, accepted, Use::Following)
            && let Some(bond) = self.bonds.get_mut(name)
        {
            bond.links.push(id);
        }
    }

    /// Gives the other links what has come by this one.
    pub(super) fn share(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(bond) = connection.bond.as_ref().and_then(|name| self.bonds.get(name)) else { return };
        // What came is copied for the others: not where there are none.
        if bond.links.len() < 2 {
            return;
        }
        let Some(packet) = connection.machine.take_arrived() else { return };
        for other in bond.links.iter().filter(|link| **link != id) {
            if let Some(connection) = self.connections.get_mut(other)
                && connection.machine.share(&packet)
            {
                self.touched.push(*other);
            }
        }
    }

    /// Those who follow this one forget what it has delivered.
    pub(super) fn lead_on(&mut self, id: u32) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(bond) = connection.bond.as_ref().and_then(|name| self.bonds.get(name)) else { return };
        if bond.lead != id {
            return;
        }
        let next = connection.machine.next_delivery();
        for other in bond.links.iter().filter(|link| **link != id) {
            if let Some(connection) = self.connections.get_mut(other) {
                connection.machine.follow(next);
            }
        }
    }

    /// A link is over. Where it was the one that delivers, another takes its place; what is returned is left to be ended.
    pub(super) fn unbond(&mut self, now: Duration, id: u32, mut connection: Connection) -> Option<Connection> {
        let Some(name) = connection.bond.clone() else { return Some(connection) };
        let Some(bond) = self.bonds.get_mut(&name) else { return Some(connection) };
        bond.links.retain(|link| *link != id);
        if bond.lead != id {
            return Some(connection);
        }
        let is_stream_over = connection.machine.closed() == Some(Closed::ByUs);
        let next = bond.links.first().copied().filter(|_| !is_stream_over);
        if let Some(next) = next
            && let Some(successor) = self.connections.get_mut(&next)
        {
            bond.lead = next;
            successor.machine.follow(connection.machine.next_delivery());
            successor.machine.be_link(false);
            successor.use_ = connection.use_;
            self.timers.arm(next, Some(now), &mut successor.armed);
            return None;
        }
        self.end_bond(now, &name);
        connection.machine.be_last();
        let _ = connection.turn(now); // It is over, whatever comes of what still waits.
        Some(connection)
    }

    /// Tells the links that are left.
    fn end_bond(&mut self, now: Duration, name: &BondName) {
        for id in self.bonds.remove(name).map(|bond| bond.links).unwrap_or_default() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.machine.close(now);
                self.timers.arm(id, Some(now), &mut connection.armed);
            }
        }
    }
}
