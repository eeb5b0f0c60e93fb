//! The task that owns a port: takes datagrams, finds whose they are, lets machines speak, and keeps their time. Who may come
//! in is decided at the `door`; `admission` lets them in.

mod admission;
mod allowance;
mod bond;
mod door;

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use arcly_wire::srt::{Packet, SrtListener as Machine};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub(super) use self::bond::BondName;
use self::{
    allowance::Allowance,
    bond::Bond,
    door::{Decision, Waiting},
};
use super::{
    ConnectionInfo, Role, SrtOptions,
    alarm::{Alarm, GRAIN},
    connection::{Caller, Connection, Use, is_fault},
    from_bus::Feed,
    server::Shared,
    timers::Timers,
};
use crate::{
    Inbox,
    bell::Bell,
    lock,
    udp::{Inbound, Outbound, UdpSocket},
};

/// Bytes that may wait for the kernel. What finds no room is lost as if on its way, and asked for again.
const OUTBOUND_BYTES_MAX: usize = 4 << 20;
/// Waiting bytes at which they are given to the kernel, rather than at the end of a turn.
const FLUSH_BYTES: usize = 256 << 10;
/// Calls that take datagrams before anything else has its turn.
const RECEIVES_MAX: usize = 8;
/// A datagram of ours has no more bytes.
const DATAGRAM_BYTES: usize = 1500;
/// With so many connections or more, and less than that many datagrams at a time, nobody looks for the next ones before `QUIET` is over:
/// the acknowledgements of many viewers come one by one, and each would wake the task.
const MANY: usize = 16;
/// How exactly packets are delivered where so many or more publish: a wake for each would cost more than what it does.
const GRAIN_OF_MANY: Duration = Duration::from_millis(1);
const QUIET: Duration = Duration::from_millis(2);
/// Key material of all connections together that is looked at in a second: each may cost the derivation of a key, in the task that carries
/// everybody's media. What is left out is said again, and keys change every few hours.
const KEYS_PER_S: u32 = 32;
/// And between two of one connection, so that it does not use up what the others need.
const KEY_INTERVAL: Duration = Duration::from_millis(250);
/// Between two looks at all connections for those who ask how they are.
const SURVEY: Duration = Duration::from_secs(1);

pub(super) struct Port {
    socket: UdpSocket,
    inbound: Inbound,
    outbound: Outbound,
    scratch: Vec<u8>,
    machine: Machine,
    options: SrtOptions,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    started: Instant,
    alarm: Alarm,
    /// How exactly it is set.
    grain: Duration,
    connections: HashMap<u32, Connection>,
    /// Whose connection is whose: for callers who repeat what was answered.
    callers: HashMap<Caller, u32>,
    waiting: HashMap<Caller, Waiting>,
    bonds: HashMap<BondName, Bond>,
    decisions: mpsc::UnboundedReceiver<(Caller, Decision)>,
    decide: mpsc::UnboundedSender<(Caller, Decision)>,
    /// Turns of those whose keys are derived.
    derivations: Arc<Semaphore>,
    /// Of key material on connections.
    keys: Allowance,
    feeds: HashMap<usize, Feed>,
    bell: Arc<Bell>,
    timers: Timers,
    /// Connections to which something has come in this turn.
    touched: Vec<u32>,
    surveyed: Duration,
    /// Until then datagrams may wait.
    quiet_until: Duration,
}

impl Port {
    /// In the context of the runtime that will run it.
    pub(super) fn new(
        socket: UdpSocket,
        machine: Machine,
        options: SrtOptions,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        // Bounded by `waiting`: who is in there has one answer to come.
        let (decide, decisions) = mpsc::unbounded_channel();
        let started = Instant::now();
        Ok(Self {
            inbound: socket.inbound(),
            outbound: Outbound::new(OUTBOUND_BYTES_MAX),
            scratch: Vec::with_capacity(2048),
            socket,
            machine,
            options,
            inbox,
            shared,
            started,
            alarm: Alarm::new(started)?,
            grain: GRAIN,
            connections: HashMap::new(),
            callers: HashMap::new(),
            waiting: HashMap::new(),
            bonds: HashMap::new(),
            decisions,
            decide,
            derivations: Arc::new(Semaphore::new(admission::DERIVATIONS_MAX)),
            keys: Allowance::new(KEYS_PER_S),
            feeds: HashMap::new(),
            bell: Arc::default(),
            timers: Timers::default(),
            touched: Vec::new(),
            surveyed: Duration::ZERO,
            quiet_until: Duration::ZERO,
        })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let bell = self.bell.clone();
        loop {
            let is_quiet = self.now() < self.quiet_until;
            let quiet_until = if is_quiet { self.quiet_until } else { Duration::MAX };
            let next = self.timers.next().unwrap_or(Duration::MAX).min(self.surveyed + SURVEY).min(quiet_until);
            self.alarm.set(next, self.grain);
            tokio::select! {
                received = self.socket.receive(&mut self.inbound), if !is_quiet => {
                    if let Err(error) = received {
                        self.inbox.warn(format!("cannot receive: {error}"));
                        break;
                    }
                    self.take_datagrams();
                }
                Some((caller, decision)) = self.decisions.recv() => self.on_decision(caller, decision),
                () = bell.heard() => self.feed(),
                () = self.alarm.ring() => {}
                flushed = self.socket.flush(&mut self.outbound), if !self.outbound.is_empty() => {
                    if let Err(error) = flushed {
                        self.inbox.warn(format!("cannot send: {error}"));
                        break;
                    }
                }
                () = stop.cancelled() => break,
            }
            self.keep_time();
            self.flush();
        }
        self.end_all();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Looks at what was received, and at what more there is.
    fn take_datagrams(&mut self) {
        let mut taken = 0;
        for _ in 0..RECEIVES_MAX {
            let inbound = std::mem::replace(&mut self.inbound, Inbound::none());
            for datagram in inbound.datagrams() {
                self.on_datagram(datagram.peer, datagram.bytes);
                taken += 1;
            }
            self.inbound = inbound;
            if self.socket.try_receive(&mut self.inbound).is_err() {
                break;
            }
        }
        if taken < MANY && self.connections.len() >= MANY {
            self.quiet_until = self.now() + QUIET;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched.drain(..).for_each(|id| self.turn(id));
        self.touched = touched;
    }

    fn on_datagram(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let now = self.now();
        match Packet::destination(bytes) {
            Some(0) => self.on_stranger(now, peer, bytes),
            Some(id) => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                // A router on the way may give its peer another port; who guesses the number of a socket has luck of 1 in 10^9.
                if connection.peer.ip() != peer.ip() {
                    return;
                }
                if Packet::is_key_material(bytes) {
                    if now < connection.next_key || !self.keys.take(now) {
                        return;
                    }
                    connection.next_key = now + KEY_INTERVAL;
                }
                if connection.machine.handle_input(now, bytes).is_err() {
                    return;
                }
                connection.peer = peer;
                self.touched.push(id);
                if connection.bond.is_some() {
                    self.share(id);
                }
            }
            None => {}
        }
    }

    /// Lets one connection do what it can, and arms its alarm.
    fn turn(&mut self, id: u32) {
        let now = self.now();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let turned = connection.turn(now);
        if turned.is_err() {
            connection.machine.close(now);
        }
        loop {
            let is_said = if self.outbound.has_room(DATAGRAM_BYTES) {
                self.outbound.append(connection.peer, None, |out| connection.machine.poll_output(now, out))
            } else {
                self.scratch.clear();
                connection
                    .machine
                    .poll_output(now, &mut self.scratch)
                    // Dropped there, and counted.
                    .then(|| self.outbound.push(connection.peer, None, &[&self.scratch]))
                    .is_some()
            };
            if !is_said {
                break;
            }
        }
        match turned {
            Ok(()) => {
                let due = connection.due();
                self.timers.arm(id, due, &mut connection.armed);
                if connection.bond.is_some() {
                    self.lead_on(id);
                }
            }
            Err(reason) => self.end(id, reason),
        }
        if self.outbound.waiting_bytes() >= FLUSH_BYTES {
            self.flush();
        }
    }

    fn end(&mut self, id: u32, reason: String) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.callers.remove(&connection.caller);
        if is_fault(connection.machine.closed()) {
            self.inbox.warn(format!("{} was disconnected: {reason}", connection.peer));
        }
        let feed = match &connection.use_ {
            Use::Playing(player) => Some(player.feed),
            Use::Publishing(_) | Use::Following => None,
        };
        if let Some(connection) = self.unbond(self.now(), id, connection) {
            connection.end(reason);
        }
        if let Some(feed) = feed {
            if let Some(feed) = self.feeds.get_mut(&feed) {
                feed.viewers.retain(|viewer| *viewer != id);
            }
            self.drop_feed_if_unused(feed);
        }
    }

    fn drop_feed_if_unused(&mut self, address: usize) {
        if self.feeds.get(&address).is_some_and(|feed| feed.viewers.is_empty()) {
            self.feeds.remove(&address);
        }
    }

    /// Muxes what is new, and gives it to its viewers.
    fn feed(&mut self) {
        let rung = self.feeds.iter().filter(|(_, feed)| feed.take_rung()).map(|(address, _)| *address);
        for address in rung.collect::<Vec<_>>() {
            let Some(feed) = self.feeds.get_mut(&address) else { continue };
            feed.read();
            let mut at = 0;
            while let Some(&id) = self.feeds.get(&address).and_then(|feed| feed.viewers.get(at)) {
                self.turn(id);
                // In the place of one who has left in its turn is the next.
                at += usize::from(self.connections.contains_key(&id));
            }
        }
    }

    /// Wakes whose time has come.
    fn keep_time(&mut self) {
        let now = self.now();
        while let Some((due, id)) = self.timers.pop(now) {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.armed != Some(due) {
                continue;
            }
            connection.armed = None;
            connection.machine.handle_timeout(now);
            self.turn(id);
        }
        if now >= self.surveyed + SURVEY {
            self.surveyed = now;
            self.survey(now);
        }
    }

    /// Says how all are, and ends those whose stream or host has no more use for them.
    fn survey(&mut self, now: Duration) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        ids.iter().for_each(|id| self.turn(*id));
        let infos = self.connections.iter().map(|(id, connection)| ConnectionInfo {
            id: *id,
            key: connection.key.clone(),
            role: if matches!(connection.use_, Use::Playing(_)) { Role::Viewer } else { Role::Publisher },
            peer: connection.peer,
            since_unix_ms: connection.since_unix_ms,
            peer_version: connection.machine.peer_version(),
            stats: connection.machine.stats(now),
        });
        let infos: Vec<_> = infos.collect();
        let publishers = infos.iter().filter(|info| info.role == Role::Publisher).count();
        self.grain = if publishers >= MANY { GRAIN_OF_MANY } else { GRAIN };
        *lock(&self.shared.connections) = infos;
    }

    fn flush(&mut self) {
        // An error shows again where it is waited for.
        let _ = self.socket.try_flush(&mut self.outbound);
    }

    fn end_all(&mut self) {
        let now = self.now();
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.machine.close(now);
                self.scratch.clear();
                connection.machine.poll_output(now, &mut self.scratch);
                self.outbound.push(connection.peer, None, &[&self.scratch]);
            }
            self.end(id, "the server is shutting down".into());
        }
        self.flush();
    }
}
