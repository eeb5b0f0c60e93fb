//! One connection of the port: its machine, and what it is there for.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use arcly_bus::StreamKey;
use arcly_wire::srt::{Answer, Closed, SrtConn};

use super::{
    alarm::round_up,
    from_bus::{Outlet, Over},
    port::BondName,
    to_bus::ToBus,
};
use crate::egress::Entry;

/// A caller: an address, and the socket there.
pub(super) type Caller = (SocketAddr, u32);

/// An established connection.
pub(super) struct Connection {
    pub(super) machine: SrtConn,
    /// Who it was at the beginning.
    pub(super) caller: Caller,
    /// Where it is now.
    pub(super) peer: SocketAddr,
    pub(super) key: StreamKey,
    /// The group that it is a link of.
    pub(super) bond: Option<BondName>,
    pub(super) answer: Answer,
    pub(super) use_: Use,
    /// When it is woken next.
    pub(super) armed: Option<Duration>,
    /// Until then no key material is looked at.
    pub(super) next_key: Duration,
    pub(super) since_unix_ms: u64,
}

/// What it is there for.
pub(super) enum Use {
    Publishing(Box<ToBus>),
    /// A link of a group that another one of it delivers for.
    Following,
    Playing(Player),
}

/// A viewer.
pub(super) struct Player {
    pub(super) feed: usize,
    outlet: Outlet,
    entry: Entry,
    _counted: arcly_bus::Viewer,
}

impl Player {
    pub(super) fn new(feed: usize, outlet: Outlet, entry: Entry, counted: arcly_bus::Viewer) -> Self {
        Self { feed, outlet, entry, _counted: counted }
    }

    /// Gives what there is to the machine. An error ends the connection, and is why.
    fn push(&mut self, now: Duration, machine: &mut SrtConn) -> Result<(), String> {
        let record = &self.entry.0;
        if record.is_kicked() {
            return Err("it was disconnected by the host".into());
        }
        let given = self.outlet.give(now, machine).map_err(|over| match over {
            Over::Stream => "the stream has ended",
            Over::Slow => "it was too slow",
        })?;
        record.bytes.fetch_add(given.bytes, Relaxed);
        record.frames.fetch_add(given.runs, Relaxed);
        record.lag_frames.store(self.outlet.lag(), Relaxed);
        record.dropped.store(self.outlet.missed(), Relaxed);
        Ok(())
    }
}

/// What a viewer's machine does because time passes is done together with what others' do.
const TOGETHER: Duration = Duration::from_millis(1);

impl Connection {
    /// When it is to be looked at: what is delivered here to the microsecond, viewers in a beat of [`TOGETHER`].
    pub(super) fn due(&self) -> Option<Duration> {
        let due = self.machine.poll_timeout()?;
        Some(match self.use_ {
            Use::Playing(_) => round_up(due, TOGETHER),
            Use::Publishing(_) | Use::Following => due,
        })
    }

    /// Moves what can be moved; whether it goes on. An error is why not.
    pub(super) fn turn(&mut self, now: Duration) -> Result<(), String> {
        match &mut self.use_ {
            Use::Publishing(to_bus) => {
                while let Some(delivery) = self.machine.deliver(now) {
                    to_bus.push(delivery.payload)?;
                }
                if to_bus.is_closed() {
                    return Err(crate::faults::ENDED_HERE.into());
                }
            }
            Use::Following => {}
            Use::Playing(player) => {
                // What a viewer sends is of no use.
                while self.machine.deliver(now).is_some() {}
                player.push(now, &mut self.machine)?;
            }
        }
        match self.machine.closed() {
            None => Ok(()),
            Some(closed) => Err(reason(closed)),
        }
    }

    /// Ends it, and what it is there for.
    pub(super) fn end(self, reason: String) {
        if let Use::Publishing(to_bus) = self.use_ {
            to_bus.end(reason);
        }
    }
}

/// A sentence about an end.
pub(super) fn reason(closed: Closed) -> String {
    match closed {
        Closed::ByPeer => "the peer closed the connection".into(),
        Closed::ByUs => "the server ended it".into(),
        Closed::Idle => "the peer was silent for too long".into(),
        Closed::PeerError(code) => format!("the peer could not go on (error {code})"),
        Closed::NoKey => "the system has no random numbers for a new key".into(),
    }
}

/// Whether an end is worth a warning.
pub(super) fn is_fault(closed: Option<Closed>) -> bool {
    matches!(closed, Some(Closed::Idle | Closed::PeerError(_) | Closed::NoKey))
}
