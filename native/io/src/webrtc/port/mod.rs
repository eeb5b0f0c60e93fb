//! The task that owns the port: datagrams in and out, timers, streams.

mod calls;
mod command;
mod discovering;
mod ending;
mod feeds;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    future::pending,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_wire::webrtc::{
    Answer, Fragment, Heard, Limits, Settings, Transport,
    demux::{Arrival, Datagram},
    discover::Discovery,
};
use tokio::{sync::mpsc, time::sleep_until};
use tokio_util::sync::CancellationToken;

use self::{
    calls::{Call, Calls, Ring},
    feeds::Feeding,
};
pub(super) use self::{
    command::{Command, Opening, Role},
    feeds::FeedKey,
};
use super::{
    OpenError, WebRtcOptions,
    from_bus::{Apart, Viewer},
    peer::{End, Outbox, Peer, Playing, Purpose, Turn},
    tcp::TcpEvent,
    to_bus::Rungs,
};
use crate::{
    Inbox,
    egress::{List, Watcher},
    udp::UdpSocket,
};

type PeerNumber = u64;

/// All sessions of one port.
pub(super) struct Port {
    socket: UdpSocket,
    outbox: Outbox,
    limits: Limits,
    key_frame_interval: Duration,
    settings: Arc<Settings>,
    discovery: Discovery,
    viewers: Arc<List>,
    inbox: Arc<Inbox>,
    commands: mpsc::Receiver<Command>,
    tcp: mpsc::Receiver<TcpEvent>,
    calls: Arc<Calls>,
    peers: HashMap<PeerNumber, Peer>,
    last: PeerNumber,
    by_id: HashMap<String, PeerNumber>,
    by_name: HashMap<String, PeerNumber>,
    by_address: HashMap<(Transport, SocketAddr), PeerNumber>,
    feeds: HashMap<FeedKey, Feeding>,
    timers: BTreeSet<(Instant, PeerNumber)>,
}

/// Viewers at a time in the list; sessions are bounded elsewhere.
const VIEWERS_MAX: usize = usize::MAX;

impl Port {
    pub(super) fn new(
        socket: UdpSocket,
        options: &WebRtcOptions,
        settings: Arc<Settings>,
        viewers: Arc<List>,
        inbox: Arc<Inbox>,
        commands: mpsc::Receiver<Command>,
        tcp: mpsc::Receiver<TcpEvent>,
    ) -> Self {
        Self {
            socket,
            outbox: Outbox::new(),
            limits: options.limits,
            key_frame_interval: options.key_frame_interval,
            settings,
            discovery: Discovery::new(&options.stun_servers, Instant::now()),
            viewers,
            inbox,
            commands,
            tcp,
            calls: Arc::default(),
            peers: HashMap::new(),
            last: 0,
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            feeds: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Until it is told to stop, or nobody holds its other end.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut inbound = self.socket.inbound();
        let calls = self.calls.clone();
        loop {
            let _ = self.socket.try_flush(&mut self.outbox.udp);
            let wake_at = self.wake_at();
            tokio::select! {
                received = self.socket.receive(&mut inbound) => {
                    if let Err(error) = received {
                        self.inbox.warn(format!("the port of WebRTC fails: {error}"));
                        break;
                    }
                    // A peer may have its answer and be heard before the session was taken in: not to lose its first check.
                    while let Ok(command) = self.commands.try_recv() {
                        self.command(command);
                    }
                    let now = Instant::now();
                    for datagram in inbound.datagrams() {
                        self.datagram(Transport::Udp, datagram.peer, datagram.local, datagram.bytes, now);
                    }
                }
                // What the kernel has not taken yet.
                sent = self.socket.flush(&mut self.outbox.udp), if !self.outbox.udp.is_empty() => {
                    if let Err(error) = sent {
                        self.inbox.warn(format!("the port of WebRTC fails: {error}"));
                        break;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                event = next_of(&mut self.tcp) => self.tcp_event(event),
                () = calls.bell.notified() => self.answer_calls(),
                () = sleep_until(wake_at.into()) => {}
                () = stop.cancelled() => break,
            }
            self.timers();
        }
        self.end_all().await;
    }

    fn wake_at(&self) -> Instant {
        let timer = self.timers.first().map(|(at, _)| *at);
        let paced = self.feeds.values().filter_map(|feeding| feeding.pace_at).min();
        let never = Instant::now() + Duration::from_secs(3600);
        [timer, paced, self.discovery.due()].into_iter().flatten().min().unwrap_or(never)
    }

    /// Hands a datagram to whom it is for. Strangers are not answered.
    fn datagram(&mut self, transport: Transport, from: SocketAddr, local: Option<IpAddr>, bytes: &[u8], now: Instant) {
        if bytes.len() > self.limits.datagram_bytes {
            return;
        }
        let arrival = Arrival::new(transport, from, bytes);
        let is_check = arrival.is_some_and(|arrival| matches!(arrival.kind, Datagram::Stun(_)));
        let Some((number, arrival)) = arrival.and_then(|arrival| Some((self.whose(&arrival)?, arrival))) else {
            return self.discovered(from, bytes, now);
        };
        let Some(peer) = self.peers.get_mut(&number) else { return };
        match peer.session.handle_datagram(now, &arrival) {
            Ok(Heard::Peer) => {
                peer.hear(local, now);
                if is_check {
                    self.find_at((transport, from), number);
                }
                self.turn(number, now);
            }
            Ok(Heard::Something) => self.turn(number, now),
            Ok(Heard::Nothing) => {}
            Err(error) if peer.session.is_over() => self.end(number, &error.into(), now),
            // A datagram that makes no sense may be of somebody who only writes the peer's address on it: it ends nothing.
            Err(_) => self.turn(number, now),
        }
    }

    /// By the name in a check, and by the address that a check has proven.
    fn whose(&self, arrival: &Arrival<'_>) -> Option<PeerNumber> {
        let named = match &arrival.kind {
            Datagram::Stun(message) => message.ours().map(|name| self.by_name.get(name)),
            Datagram::Dtls | Datagram::Media => None,
        };
        named.unwrap_or_else(|| self.by_address.get(&(arrival.transport, arrival.from))).copied()
    }

    /// What comes from there is from now on for whoever has proven last to be there.
    fn find_at(&mut self, path: (Transport, SocketAddr), number: PeerNumber) {
        self.by_address.insert(path, number);
        let left = self.peers.get_mut(&number).and_then(|peer| peer.arrive(path));
        if let Some(left) = left.filter(|left| self.by_address.get(left) == Some(&number)) {
            self.by_address.remove(&left);
            if left.0 == Transport::Tcp {
                self.outbox.tcp.remove(&left.1);
            }
        }
    }

    fn tcp_event(&mut self, event: TcpEvent) {
        match event {
            TcpEvent::Opened(from, connection) => drop(self.outbox.tcp.insert(from, connection)),
            TcpEvent::Datagram(from, bytes) => self.datagram(Transport::Tcp, from, None, &bytes, Instant::now()),
            TcpEvent::Closed(from) => {
                self.outbox.tcp.remove(&from);
                let number = self.by_address.remove(&(Transport::Tcp, from));
                if let Some(peer) = number.and_then(|number| self.peers.get_mut(&number)) {
                    peer.lose((Transport::Tcp, from));
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Open(opening) => self.open(*opening, now),
            Command::Trickle { id, fragment, ice, reply } => {
                drop(reply.send(self.trickle(&id, &fragment, ice.as_deref(), now)));
            }
            Command::Layer { id, reply } => {
                drop(reply.send(self.by_id.get(&id).and_then(|number| self.peers.get(number)?.layer())));
            }
            Command::Close { id, reply } => {
                let number = self.by_id.get(&id).copied();
                if let Some(number) = number {
                    self.end(number, &End::Closed, now);
                }
                let _ = reply.send(number.is_some());
            }
        }
    }

    fn open(&mut self, opening: Opening, now: Instant) {
        let Opening { id, user_name, session, place, caller, role } = opening;
        self.last += 1;
        let number = self.last;
        let purpose = match role {
            Role::Publish { publisher, others } => {
                let all = std::iter::once(&*publisher).chain(others.iter().map(|(_, publisher)| publisher));
                all.for_each(|publisher| publisher.wake_on_request(self.waker(Call::Publisher(number))));
                Purpose::Publish(Box::new(Rungs::new(*publisher, others, session.has_channels())))
            }
            Role::Play { renditions, mut apart, answered, b_frames } => {
                let Some((_, log)) = renditions.first().cloned() else { return };
                let mut feeds = Vec::with_capacity(renditions.len());
                for (_, rendition) in &renditions {
                    feeds.push(self.feed(&caller.key, rendition, &apart, b_frames, number, now));
                    // The others are for their pictures alone.
                    apart = Apart::default();
                }
                let names = renditions.into_iter().map(|(name, _)| name).collect();
                Purpose::Play(Box::new(Playing { feeds: feeds.into(), names, log, answered, viewer: None }))
            }
        };
        self.by_id.insert(id.clone(), number);
        self.by_name.insert(user_name.clone(), number);
        self.peers.insert(number, Peer::new(id, session, purpose, caller, place, user_name, now));
        self.timers.insert((now, number));
        self.turn(number, now);
        self.look_for_ends(number, now);
    }

    fn waker(&self, call: Call) -> Waker {
        Waker::from(Arc::new(Ring { calls: self.calls.clone(), call }))
    }

    fn trickle(
        &mut self,
        id: &str,
        fragment: &Fragment,
        ice: Option<&str>,
        now: Instant,
    ) -> Result<Option<Answer>, OpenError> {
        let number = *self.by_id.get(id).ok_or(OpenError::NotFound)?;
        let peer = self.peers.get_mut(&number).ok_or(OpenError::NotFound)?;
        if ice.is_some_and(|ice| peer.user_names.last().is_none_or(|current| current != ice)) {
            return Err(OpenError::OtherIce);
        }
        let answer = peer.session.trickle(fragment)?;
        if let Some(answer) = &answer {
            for name in peer.rename(answer.user_name.clone()) {
                self.by_name.remove(&name);
            }
            self.by_name.insert(answer.user_name.clone(), number);
        }
        self.turn(number, now);
        Ok(answer)
    }

    fn answer_calls(&mut self) {
        let now = Instant::now();
        for call in self.calls.take() {
            match call {
                Call::Feed(key) => self.pass(key, now),
                Call::Publisher(number) => self.turn(number, now),
            }
        }
    }

    /// Whatever is due.
    fn timers(&mut self) {
        let now = Instant::now();
        while let Some((at, number)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, number));
            let Some(peer) = self.peers.get_mut(&number) else { continue };
            match peer.session.handle_timeout(now) {
                Ok(()) => self.turn(number, now),
                Err(error) => self.end(number, &error.into(), now),
            }
        }
        let is_paced = |feeding: &Feeding| feeding.pace_at.is_some_and(|at| at <= now);
        let paced: Vec<_> = self.feeds.iter().filter(|(_, feeding)| is_paced(feeding)).map(|(key, _)| *key).collect();
        paced.into_iter().for_each(|key| self.pass(key, now));
        self.discover(now);
    }

    /// Looks at a session.
    fn turn(&mut self, number: PeerNumber, now: Instant) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let turn = peer.turn(&mut self.outbox, &self.limits, now);
        self.turned(number, turn, now);
    }

    /// Does what came of looking at a session.
    fn turned(&mut self, number: PeerNumber, Turn { connected, wants_key, end, .. }: Turn, now: Instant) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let (due, next) = (peer.due, peer.next_turn(now));
        if due != next {
            peer.due = next;
            self.timers.remove(&(due, number));
        }
        self.timers.insert((next, number));
        if let Purpose::Publish(to_bus) = &mut peer.purpose {
            for problem in to_bus.take_problems() {
                self.inbox.warn(format!("{} ({}): {problem}", peer.caller.key, peer.caller.address));
            }
        }
        if let Some(end) = end {
            return self.end(number, &end, now);
        }
        if wants_key {
            self.request_key_frame(number, now);
        }
        if connected {
            self.connected(number, now);
        }
    }

    /// A viewer is sent what there is, at once.
    fn connected(&mut self, number: PeerNumber, now: Instant) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let (place, agent, key) = (peer.place(), peer.caller.agent.clone(), peer.caller.key.clone());
        match &mut peer.purpose {
            Purpose::Play(playing) => {
                let watcher = Watcher { key, protocol: "webrtc", peer: place, agent };
                let Some(entry) = self.viewers.enter(watcher, VIEWERS_MAX) else { return };
                playing.viewer = Some(Viewer::new(
                    entry,
                    playing.log.viewer("webrtc"),
                    playing.answered,
                    std::mem::take(&mut playing.names),
                ));
                self.pump(number, now);
            }
            Purpose::Publish(to_bus) => {
                to_bus.connected(now);
                self.inbox.tell(format!("{place} publishes {key}"));
                self.turn(number, now);
            }
        }
    }
}

/// What comes by TCP; never, when nothing can.
async fn next_of(events: &mut mpsc::Receiver<TcpEvent>) -> TcpEvent {
    match events.recv().await {
        Some(event) => event,
        None => pending().await,
    }
}
