//! One connection of the port: its machine, and what it is there for.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use arcly_bus::{Read, StreamKey, Subscription};
use arcly_wire::srt::{Answer, Closed, SrtConn};

use super::to_bus::ToBus;
use crate::egress::Entry;

/// Bytes of a transport stream in a packet: seven of its own, as every peer sends them.
const TS_PACKET_BYTES: usize = 188;
const TS_PAYLOAD_BYTES: usize = 7 * TS_PACKET_BYTES;

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
    pub(super) answer: Answer,
    pub(super) use_: Use,
    /// When it is woken next.
    pub(super) armed: Option<Duration>,
    pub(super) since_unix_ms: u64,
}

/// What it is there for.
pub(super) enum Use {
    Publishing(Box<ToBus>),
    Playing(Player),
}

/// A viewer.
pub(super) struct Player {
    pub(super) feed: usize,
    cursor: Subscription,
    /// In the run in front.
    offset: usize,
    entry: Entry,
    _counted: arcly_bus::Viewer,
}

impl Player {
    pub(super) fn new(feed: usize, cursor: Subscription, entry: Entry, counted: arcly_bus::Viewer) -> Self {
        Self { feed, cursor, offset: 0, entry, _counted: counted }
    }

    /// Gives what there is to the machine, as far as it has room. An error ends the connection, and is why.
    fn push(&mut self, now: Duration, machine: &mut SrtConn) -> Result<(), String> {
        if self.entry.0.is_kicked() {
            return Err("it was disconnected by the host".into());
        }
        let packet_bytes = machine.payload_max().min(TS_PAYLOAD_BYTES) / TS_PACKET_BYTES * TS_PACKET_BYTES;
        let packet_bytes = if packet_bytes == 0 { machine.payload_max() } else { packet_bytes };
        loop {
            let batch = match self.cursor.peek(1) {
                Read::Frames(batch) => batch,
                Read::Empty => break,
                Read::Ended => return Err("the stream has ended".into()),
                Read::Evicted => return Err("it was too slow".into()),
            };
            let Some(run) = batch.frames.first().map(|frame| &frame.payload) else { break };
            while self.offset < run.len() && machine.room() > 0 {
                let end = run.len().min(self.offset + packet_bytes);
                machine.send(now, &run.slice(self.offset..end));
                self.offset = end;
            }
            if self.offset < run.len() {
                break;
            }
            self.entry.0.bytes.fetch_add(run.len() as u64, Relaxed);
            self.entry.0.frames.fetch_add(1, Relaxed);
            self.cursor.advance(1);
            self.offset = 0;
        }
        let lag = self.cursor.log().published().saturating_sub(self.cursor.position());
        self.entry.0.lag_frames.store(lag, Relaxed);
        self.entry.0.dropped.store(self.cursor.missed(), Relaxed);
        Ok(())
    }
}

impl Connection {
    /// Moves what can be moved; whether it goes on. An error is why not.
    pub(super) fn turn(&mut self, now: Duration) -> Result<(), String> {
        match &mut self.use_ {
            Use::Publishing(to_bus) => {
                while let Some(delivery) = self.machine.deliver(now) {
                    to_bus.push(delivery.payload)?;
                }
                if to_bus.is_closed() {
                    return Err(super::to_bus::ENDED_HERE.into());
                }
            }
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
