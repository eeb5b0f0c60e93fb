//! The task that owns a port: takes datagrams, finds whose they are, lets machines speak, and keeps their time.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arcly_bus::{Log, Publisher, StreamKey};
use arcly_wire::srt::{
    Mode, Packet, Passphrase, RejectReason, Reply, Request, SrtListener as Machine, StreamId, new_socket_id,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionInfo, Role, SrtOptions,
    connection::{Caller, Connection, Player, Use, is_fault},
    from_bus::{Feed, Outlet},
    server::Shared,
    timers::Timers,
    to_bus::ToBus,
};
use crate::{
    Inbox, PlayAsk, PlayDenial, PublishAsk, Refusal, Secret,
    egress::Watcher,
    play, publish,
    udp::{Inbound, Outbound, UdpSocket},
};

/// Bytes that may wait for the kernel. What finds no room is lost as if on its way, and asked for again.
const OUTBOUND_BYTES_MAX: usize = 4 << 20;
/// Waiting bytes at which they are given to the kernel, rather than at the end of a turn.
const FLUSH_BYTES: usize = 256 << 10;
/// Calls that take datagrams before anything else has its turn.
const RECEIVES_MAX: usize = 8;
/// Between two looks at all connections for those who ask how they are.
const SURVEY: Duration = Duration::from_secs(1);

/// What the host has decided.
enum Decision {
    Publish(Result<Box<Publisher>, (Refusal, String)>),
    Play(Result<Option<Arc<Log>>, PlayDenial>),
}

/// A caller who waits for it.
struct Waiting {
    request: Request,
    key: StreamKey,
    /// What it must know, if the host says nothing else.
    passphrase: Option<Passphrase>,
    secret: Secret,
}

impl Waiting {
    /// What it must know.
    ///
    /// # Errors
    /// The host demands what cannot be a passphrase.
    fn passphrase(&self) -> Result<Option<Passphrase>, RejectReason> {
        match self.secret.demanded() {
            None => Ok(self.passphrase.clone()),
            Some(None) => Ok(None),
            Some(Some(text)) => Passphrase::new(text).map(Some).ok_or(RejectReason::Internal),
        }
    }
}

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
    connections: HashMap<u32, Connection>,
    /// Whose connection is whose: for callers who repeat what was answered.
    callers: HashMap<Caller, u32>,
    waiting: HashMap<Caller, Waiting>,
    decisions: mpsc::UnboundedReceiver<(Caller, Decision)>,
    decide: mpsc::UnboundedSender<(Caller, Decision)>,
    feeds: HashMap<usize, Feed>,
    bell: Arc<Notify>,
    timers: Timers,
    /// Connections to which something has come in this turn.
    touched: Vec<u32>,
    surveyed: Duration,
}

impl Port {
    pub(super) fn new(
        socket: UdpSocket,
        machine: Machine,
        options: SrtOptions,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
    ) -> Self {
        // Bounded by `waiting`: who is in there has one answer to come.
        let (decide, decisions) = mpsc::unbounded_channel();
        Self {
            inbound: socket.inbound(),
            outbound: Outbound::new(OUTBOUND_BYTES_MAX),
            scratch: Vec::with_capacity(2048),
            socket,
            machine,
            options,
            inbox,
            shared,
            started: Instant::now(),
            connections: HashMap::new(),
            callers: HashMap::new(),
            waiting: HashMap::new(),
            decisions,
            decide,
            feeds: HashMap::new(),
            bell: Arc::default(),
            timers: Timers::default(),
            touched: Vec::new(),
            surveyed: Duration::ZERO,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let bell = self.bell.clone();
        let mut alarm = std::pin::pin!(sleep_until(self.started));
        loop {
            let next = self.timers.next().unwrap_or(Duration::MAX).min(self.surveyed + SURVEY);
            alarm.as_mut().reset(self.started + next);
            tokio::select! {
                received = self.socket.receive(&mut self.inbound) => {
                    if let Err(error) = received {
                        self.inbox.warn(format!("cannot receive: {error}"));
                        break;
                    }
                    self.take_datagrams();
                }
                Some((caller, decision)) = self.decisions.recv() => self.on_decision(caller, decision),
                () = bell.notified() => self.feed(),
                () = &mut alarm => {}
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
        for _ in 0..RECEIVES_MAX {
            let inbound = std::mem::replace(&mut self.inbound, Inbound::none());
            for datagram in inbound.datagrams() {
                self.on_datagram(datagram.peer, datagram.bytes);
            }
            self.inbound = inbound;
            if self.socket.try_receive(&mut self.inbound).is_err() {
                break;
            }
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
                if connection.peer.ip() != peer.ip() || connection.machine.handle_input(now, bytes).is_err() {
                    return;
                }
                connection.peer = peer;
                self.touched.push(id);
            }
            None => {}
        }
    }

    fn on_stranger(&mut self, now: Duration, peer: SocketAddr, bytes: &[u8]) {
        match self.machine.handle_input(now, peer, bytes) {
            Reply::Nothing => {}
            Reply::Send(answer) => self.send(peer, &answer),
            Reply::Request(request) => self.on_request(now, *request),
        }
    }

    fn send(&mut self, peer: SocketAddr, packet: &[u8]) {
        self.outbound.push(peer, None, &[packet]);
    }

    fn on_request(&mut self, now: Duration, request: Request) {
        let caller = (request.peer(), request.socket_id());
        if let Some(connection) = self.callers.get(&caller).and_then(|id| self.connections.get(id)) {
            // It has not heard the answer.
            let answer = connection.answer.packet(now);
            return self.send(caller.0, &answer);
        }
        if self.waiting.contains_key(&caller) {
            return;
        }
        if self.connections.len() >= self.options.connections_max {
            return self.refuse(&request, RejectReason::Resource, "all connections are in use");
        }
        if self.waiting.len() >= self.options.deciding_max {
            return self.refuse(&request, RejectReason::Backlog, "too many wait for a decision");
        }
        match StreamId::parse(request.stream_id()) {
            Ok(id) => self.ask(caller, request, id),
            Err(fault) => {
                self.refuse(&request, RejectReason::BadRequest, &format!("the stream id is of no use: {fault}"))
            }
        }
    }

    fn ask(&mut self, caller: Caller, request: Request, id: StreamId) {
        let Ok(key) = StreamKey::new(&id.app, &id.stream) else {
            return self.refuse(&request, RejectReason::BadRequest, "no stream can have this name");
        };
        let agent = agent(request.peer_version());
        let secret = Secret::default();
        let passphrase = match id.mode {
            Mode::Bidirectional => {
                return self.refuse(&request, RejectReason::BadMode, "a connection has one direction");
            }
            Mode::Publish => {
                self.ask_to_publish(caller, id, agent, secret.clone());
                self.options.publish_passphrase.clone()
            }
            Mode::Request => {
                self.ask_to_play(caller, key.clone(), id, agent, secret.clone());
                self.options.read_passphrase.clone()
            }
        };
        self.waiting.insert(caller, Waiting { request, key, passphrase, secret });
    }

    fn ask_to_publish(&self, caller: Caller, id: StreamId, agent: String, secret: Secret) {
        let ask = PublishAsk {
            app: id.app,
            stream: id.stream,
            protocol: "srt",
            query: id.query,
            authorization: String::new(),
            agent,
            peer: caller.0,
        };
        let (inbox, decide, deadline) = (self.inbox.clone(), self.decide.clone(), self.options.decision_deadline);
        tokio::spawn(async move {
            let decision = publish::ask_with_secret(&inbox, ask, deadline, secret).await;
            let _ = decide.send((caller, Decision::Publish(decision)));
        });
    }

    fn ask_to_play(&self, caller: Caller, key: StreamKey, id: StreamId, agent: String, secret: Secret) {
        let (query, authorization) = (id.query, String::new());
        let ask = PlayAsk { key, protocol: "srt", needs_log: true, query, authorization, agent, peer: caller.0 };
        let (inbox, decide) = (self.inbox.clone(), self.decide.clone());
        tokio::spawn(async move {
            let decision = play::ask_with_secret(&inbox, ask, secret).await;
            let _ = decide.send((caller, Decision::Play(decision)));
        });
    }

    fn refuse(&mut self, request: &Request, reason: RejectReason, why: &str) {
        self.inbox.warn(format!("{} was refused: {why}", request.peer()));
        let packet = request.reject(reason);
        self.send(request.peer(), &packet);
    }

    fn on_decision(&mut self, caller: Caller, decision: Decision) {
        let Some(waiting) = self.waiting.remove(&caller) else { return };
        match decision {
            Decision::Publish(Ok(publisher)) => self.begin_publish(caller, waiting, *publisher),
            Decision::Play(Ok(Some(log))) => self.begin_play(caller, waiting, &log),
            // The host has told why already.
            Decision::Publish(Err((refusal, _))) => {
                let reason = match refusal {
                    Refusal::BadName => RejectReason::Conflict,
                    Refusal::Unauthenticated => RejectReason::Unauthorized,
                    Refusal::Unauthorized => RejectReason::Forbidden,
                    Refusal::Failed => RejectReason::Internal,
                };
                let packet = waiting.request.reject(reason);
                self.send(caller.0, &packet);
            }
            Decision::Play(denial) => {
                let reason = match denial {
                    Ok(_) | Err(PlayDenial::NotFound) => RejectReason::NotFound,
                    Err(PlayDenial::Unauthenticated) => RejectReason::Unauthorized,
                    Err(PlayDenial::Forbidden) => RejectReason::Forbidden,
                    Err(PlayDenial::Failed) => RejectReason::Internal,
                };
                let packet = waiting.request.reject(reason);
                self.send(caller.0, &packet);
            }
        }
    }

    fn begin_publish(&mut self, caller: Caller, waiting: Waiting, publisher: Publisher) {
        // A stream that is ended by somebody else says so to a publisher that sends nothing.
        publisher.wake_on_request(std::task::Waker::noop().clone());
        let to_bus = ToBus::new(publisher, caller.0, self.inbox.clone());
        self.begin(caller, waiting, Use::Publishing(Box::new(to_bus)));
    }

    fn begin_play(&mut self, caller: Caller, waiting: Waiting, log: &Arc<Log>) {
        let watcher = Watcher {
            key: waiting.key.clone(),
            protocol: "srt",
            peer: caller.0,
            agent: agent(waiting.request.peer_version()),
        };
        let counted = log.viewer("srt");
        let Some(entry) = self.shared.list.enter(watcher, self.options.connections_max) else {
            return self.refuse(&waiting.request, RejectReason::Resource, "as many watch as may");
        };
        let address = Arc::as_ptr(log) as usize;
        let feed = self.feeds.entry(address).or_insert_with(|| Feed::new(log, &self.bell));
        let player = Player::new(address, Outlet::new(feed.join()), entry, counted);
        if let Some(id) = self.begin(caller, waiting, Use::Playing(player))
            && let Some(feed) = self.feeds.get_mut(&address)
        {
            feed.viewers.push(id);
            self.turn(id);
        }
        self.drop_feed_if_unused(address);
    }

    /// Lets a caller in, whose passphrase is looked at only now that it is known which one it must be.
    fn begin(&mut self, caller: Caller, waiting: Waiting, use_: Use) -> Option<u32> {
        let now = self.now();
        let passphrase = waiting.passphrase();
        let Waiting { request, key, .. } = waiting;
        let Some(id) = self.free_id() else {
            self.refuse(&request, RejectReason::Internal, "the system has no random numbers");
            return None;
        };
        let accepted = passphrase.and_then(|secret| request.accept(now, &self.options.settings, secret.as_ref(), id));
        let (machine, answer) = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => {
                self.refuse(&request, reason, &reason.to_string());
                return None;
            }
        };
        let packet = answer.packet(now);
        self.send(caller.0, &packet);
        let since_unix_ms = unix_ms();
        let connection = Connection { machine, caller, peer: caller.0, key, answer, use_, armed: None, since_unix_ms };
        self.connections.insert(id, connection);
        self.callers.insert(caller, id);
        self.turn(id);
        Some(id)
    }

    fn free_id(&self) -> Option<u32> {
        (0..64).find_map(|_| new_socket_id().ok().filter(|id| !self.connections.contains_key(id)))
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
            self.scratch.clear();
            if !connection.machine.poll_output(now, &mut self.scratch) {
                break;
            }
            self.outbound.push(connection.peer, None, &[&self.scratch]);
        }
        match turned {
            Ok(()) => {
                let due = connection.machine.poll_timeout();
                self.timers.arm(id, due, &mut connection.armed);
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
            Use::Publishing(_) => None,
        };
        connection.end(reason);
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
            let viewers = std::mem::take(&mut feed.viewers);
            viewers.iter().for_each(|id| self.turn(*id));
            if let Some(feed) = self.feeds.get_mut(&address) {
                // Some may have left in their turn.
                feed.viewers = viewers;
                feed.viewers.retain(|id| self.connections.contains_key(id));
            }
            self.drop_feed_if_unused(address);
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
            role: if matches!(connection.use_, Use::Publishing(_)) { Role::Publisher } else { Role::Viewer },
            peer: connection.peer,
            since_unix_ms: connection.since_unix_ms,
            peer_version: connection.machine.peer_version(),
            stats: connection.machine.stats(now),
        });
        let infos = infos.collect();
        *self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner) = infos;
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

fn agent(version: u32) -> String {
    format!("SRT {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
