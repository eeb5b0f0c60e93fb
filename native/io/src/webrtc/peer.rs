//! One session and what it is for.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arcly_bus::{Log, StreamKey};
use arcly_wire::webrtc::{Event, Limits, Output, Session, Sink, Transmit, Transport, WebRtcError};
use tokio::sync::mpsc;

use super::{
    door::Place,
    from_bus::{Answered, Feed, Pumped, Viewer, burst_chunks},
    port::FeedKey,
    to_bus::Rungs,
    transport::Caller,
};
use crate::udp::Outbound;

/// Bytes that wait for the kernel, of all sessions together: what 50 ms of a gigabit are.
const OUTBOUND_BYTES_MAX: usize = 8 << 20;

/// Room for any packet of ours: a payload of 1180 bytes, and what is around it.
const DATAGRAM_BYTES: usize = 1280;

/// Addresses that one peer may send from: it has a few interfaces, of two families. Stops one that claims all ports of its address.
pub(super) const ADDRESSES_MAX: usize = 16;

/// How soon a session is looked at again: at least once a second, for what has a deadline, and never at once, for one that asks for that
/// would turn for ever.
const TURN_MIN: Duration = Duration::from_millis(1);
const TURN_MAX: Duration = Duration::from_secs(1);

/// What is to be sent.
pub(super) struct Outbox {
    pub(super) udp: Outbound,
    pub(super) tcp: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { udp: Outbound::new(OUTBOUND_BYTES_MAX), tcp: HashMap::new() }
    }

    fn via(&mut self, from: Option<IpAddr>) -> Via<'_> {
        Via { outbox: self, from }
    }

    fn push(&mut self, Transmit { transport, to, bytes }: Transmit, from: Option<IpAddr>) {
        match transport {
            Transport::Udp => drop(self.udp.push(to, from, &[&bytes])),
            // What does not fit is lost, as on any network.
            Transport::Tcp => drop(self.tcp.get(&to).map(|connection| connection.try_send(bytes))),
        }
    }
}

/// The way of one session's packets: straight into what the system call takes.
struct Via<'a> {
    outbox: &'a mut Outbox,
    from: Option<IpAddr>,
}

impl Sink for Via<'_> {
    fn datagram(&mut self, transport: Transport, to: SocketAddr, write: &mut dyn FnMut(&mut Vec<u8>) -> bool) {
        match transport {
            Transport::Udp if self.outbox.udp.has_room(DATAGRAM_BYTES) => {
                self.outbox.udp.append(to, self.from, write);
            }
            Transport::Udp => {}
            Transport::Tcp => {
                let mut bytes = Vec::new();
                if let Some(connection) = self.outbox.tcp.get(&to).filter(|_| write(&mut bytes)) {
                    drop(connection.try_send(bytes));
                }
            }
        }
    }
}

/// What a session is for.
pub(super) enum Purpose {
    Publish(Box<Rungs>),
    Play(Box<Playing>),
}

/// A viewer of one stream.
pub(super) struct Playing {
    /// The renditions of the stream, the first one that which was asked for. Shared with whoever looks them up, many times a second.
    pub(super) feeds: Arc<[FeedKey]>,
    /// Their names, as the list of viewers shows them.
    pub(super) names: Vec<String>,
    pub(super) log: Arc<Log>,
    pub(super) answered: Answered,
    /// Once it is connected.
    pub(super) viewer: Option<Viewer>,
}

/// One session in the port.
pub(super) struct Peer {
    pub(super) id: String,
    pub(super) session: Box<Session>,
    pub(super) purpose: Purpose,
    pub(super) caller: Caller,
    place: Place,
    /// Ours, before and behind ICE restarts.
    pub(super) user_names: Vec<String>,
    pub(super) addresses: Vec<(Transport, SocketAddr)>,
    /// The address of ours that it sends to: answers come from there, or a firewall on the way does not know them.
    local: Option<IpAddr>,
    begun: Instant,
    heard: Instant,
    is_connected: bool,
    /// When it is looked at again, as the port's timers have it.
    pub(super) due: Instant,
    wants_turn_at: Instant,
    /// What was wanted of the path, in bits per second.
    wanted: u64,
}

/// What came of looking at a session.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// It has connected just now.
    pub(super) connected: bool,
    /// A viewer wants a key frame.
    pub(super) wants_key: bool,
    /// It was polled: it may want to be looked at another time than before.
    pub(super) was_polled: bool,
    /// It is over, and why.
    pub(super) end: Option<End>,
}

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// One side said so.
    Closed,
    /// Nobody ever came.
    NeverConnected,
    /// It was heard, and then not any more.
    Silent,
    /// Somebody wanted it.
    Kicked,
    /// The stream has ended, or has become another one.
    Stream(&'static str),
    /// Worth a line in the log.
    Failed(String),
    /// Worth a report.
    Bug(String),
}

impl From<WebRtcError> for End {
    fn from(error: WebRtcError) -> Self {
        match error {
            WebRtcError::Bug(_) => Self::Bug(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl End {
    /// What the events of the stream say of a publisher.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Closed => "the publisher disconnected".into(),
            Self::NeverConnected => "the publisher never connected".into(),
            Self::Silent => "the publisher is not heard any more".into(),
            Self::Kicked => "the server ended it".into(),
            Self::Stream(reason) => (*reason).into(),
            Self::Failed(text) | Self::Bug(text) => text.clone(),
        }
    }
}

impl Peer {
    pub(super) fn new(
        id: String,
        session: Box<Session>,
        purpose: Purpose,
        caller: Caller,
        place: Place,
        user_name: String,
        now: Instant,
    ) -> Self {
        Self {
            id,
            session,
            purpose,
            caller,
            place,
            user_names: vec![user_name],
            addresses: Vec::new(),
            local: None,
            begun: now,
            heard: now,
            is_connected: false,
            due: now,
            wants_turn_at: now,
            wanted: 0,
        }
    }

    pub(super) fn key(&self) -> &StreamKey {
        &self.caller.key
    }

    /// Whether media may flow.
    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The rendition that a viewer is sent, and what its path carries, in bits per second; none before it is connected.
    pub(super) fn layer(&self) -> Option<(String, u64)> {
        match &self.purpose {
            Purpose::Play(playing) => playing.viewer.as_ref().map(Viewer::shown),
            Purpose::Publish(_) => None,
        }
    }

    /// Where it is, as far as it is known.
    pub(super) fn place(&self) -> SocketAddr {
        self.addresses.last().map_or(SocketAddr::new(self.caller.address, 0), |(_, address)| *address)
    }

    /// It was heard, and has proven to be where that came from.
    pub(super) fn hear(&mut self, local: Option<IpAddr>, now: Instant) {
        self.heard = now;
        self.local = local.or(self.local);
    }

    /// It has checked from there. Returns the address that is given up for it: the one from which no check has come for longest.
    pub(super) fn arrive(&mut self, path: (Transport, SocketAddr)) -> Option<(Transport, SocketAddr)> {
        self.addresses.retain(|known| *known != path);
        self.addresses.push(path);
        (self.addresses.len() > ADDRESSES_MAX).then(|| self.addresses.remove(0))
    }

    /// A connection of it has closed.
    pub(super) fn lose(&mut self, (transport, address): (Transport, SocketAddr)) {
        self.addresses.retain(|known| *known != (transport, address));
        self.session.lose(transport, address);
    }

    /// It has restarted ICE. Returns its names that are good no more.
    pub(super) fn rename(&mut self, name: String) -> Vec<String> {
        self.user_names.push(name);
        let names = std::mem::take(&mut self.user_names);
        let (good, gone) = names.into_iter().partition(|name| self.session.knows(name));
        self.user_names = good;
        gone
    }

    /// Sends and takes what the session has.
    pub(super) fn turn(&mut self, outbox: &mut Outbox, limits: &Limits, now: Instant) -> Turn {
        let mut turn = Turn::default();
        if let Err(error) = self.drain(outbox, now, &mut turn) {
            turn.end = Some(error.into());
        }
        if turn.end.is_none() {
            turn.end = self.overdue(limits, now);
        }
        turn
    }

    fn drain(&mut self, outbox: &mut Outbox, now: Instant, turn: &mut Turn) -> Result<(), WebRtcError> {
        loop {
            match self.session.poll()? {
                Output::Timeout(at) => {
                    self.wants_turn_at = at;
                    break;
                }
                Output::Transmit(transmit) => outbox.push(transmit, self.local),
                Output::Event(event) => self.take(event, now, turn),
            }
        }
        if let Purpose::Publish(to_bus) = &mut self.purpose {
            to_bus.handle_timeout(now);
            if let Some(reason) = to_bus.ended() {
                turn.end = Some(End::Stream(reason));
            }
            let wishes = to_bus.take_key_frame_wishes(now);
            if !wishes.is_empty() {
                wishes.into_iter().try_for_each(|track| self.session.request_key_frame(track))?;
                self.session.handle_timeout(now)?;
                return self.drain(outbox, now, turn);
            }
        }
        if self.session.is_over() {
            turn.end.get_or_insert(End::Closed);
        }
        Ok(())
    }

    fn take(&mut self, event: Event, now: Instant, turn: &mut Turn) {
        match (event, &mut self.purpose) {
            (Event::Connected, _) => {
                self.is_connected = true;
                self.place.connect();
                turn.connected = true;
            }
            (Event::Packet(packet), Purpose::Publish(to_bus)) => to_bus.packet(packet, now),
            (Event::Message(message), Purpose::Publish(to_bus)) => to_bus.message(message, now),
            (Event::KeyFrameWanted, Purpose::Play(_)) => turn.wants_key = true,
            (Event::Estimate(bits_per_s), Purpose::Play(playing)) => {
                if let Some(viewer) = &mut playing.viewer {
                    viewer.estimate(bits_per_s);
                }
            }
            (Event::Closed, _) => turn.end = Some(End::Closed),
            _ => {}
        }
    }

    fn overdue(&self, limits: &Limits, now: Instant) -> Option<End> {
        if let Purpose::Play(playing) = &self.purpose
            && playing.viewer.as_ref().is_some_and(Viewer::is_kicked)
        {
            return Some(End::Kicked);
        }
        if !self.is_connected {
            return (now.saturating_duration_since(self.begun) >= limits.connect_time).then_some(End::NeverConnected);
        }
        (now.saturating_duration_since(self.heard) >= limits.silence).then_some(End::Silent)
    }

    /// When it should be looked at next.
    pub(super) fn next_turn(&self, now: Instant) -> Instant {
        let mut at = self.wants_turn_at;
        if let Purpose::Publish(to_bus) = &self.purpose
            && let Some(due) = to_bus.due()
        {
            at = at.min(due);
        }
        at.clamp(now + TURN_MIN, now + TURN_MAX)
    }

    /// Sends a viewer what it has not been sent, a chunk at a time. What the session says meanwhile is added to `turn`.
    pub(super) fn pump(
        &mut self,
        feeds: &[&Feed],
        outbox: &mut Outbox,
        now: Instant,
        turn: &mut Turn,
    ) -> Result<Option<Pumped>, WebRtcError> {
        let mut pumped = None;
        let chunks = feeds.first().map_or(1, |feed| burst_chunks(feed));
        for _ in 0..chunks {
            let Purpose::Play(playing) = &mut self.purpose else { break };
            let Some(viewer) = playing.viewer.as_mut().filter(|viewer| !viewer.is_level(feeds)) else { break };
            let (session, mut via) = (&mut self.session, outbox.via(self.local));
            pumped = Some(viewer.pump(feeds, now, &mut |lane, packet| session.send(lane, packet, now, &mut via))?);
            if self.session.is_stirred() {
                self.session.handle_timeout(now)?;
                self.drain(outbox, now, turn)?;
                turn.was_polled = true;
            }
            if pumped != Some(Pumped::More) {
                break;
            }
        }
        if feeds.len() > 1 {
            self.want(feeds, now)?;
        }
        Ok(pumped)
    }

    /// Looks for what the best rendition takes, when that has changed by an eighth, or nothing has come of it for long.
    fn want(&mut self, feeds: &[&Feed], now: Instant) -> Result<(), WebRtcError> {
        let Purpose::Play(playing) = &mut self.purpose else { return Ok(()) };
        let Some(viewer) = &mut playing.viewer else { return Ok(()) };
        let (wants, doubted) = viewer.wants(feeds, now);
        if wants.abs_diff(self.wanted) > self.wanted / 8 {
            self.wanted = wants;
            self.session.want_bitrate(wants)?;
        }
        doubted.map_or(Ok(()), |estimate| self.session.estimate_anew(estimate))
    }
}
