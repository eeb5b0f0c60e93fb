//! A stream on its way to one viewer: described, handed to the pump, heard of again.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream as StdStream},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use arcly_bus::{Entry, Log, StreamKey, TrackFilter, TrackSet, WakeSlot};
use arcly_wire::{
    rtp::{HEADER_BYTES, rtcp::ntp_of_unix},
    rtsp::{Group, MediaSetup, PlayAnswer, RtpInfo, keys, sdp},
    srtp::{Key, Sealer, SrtpError},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::time::timeout;

use super::{
    channels::{Channels, MEDIAS_MAX, split},
    datagrams::Ports,
    outlet::{Outlets, Targets, Viewer},
    pipe::Pipe,
    sealed::{FIRST_SEQUENCE, Sealed, Way},
    tracks::{Outgoing, can_follow, outgoing},
};
use crate::{
    bell::Bell,
    clock::unix_time,
    egress::{Container, Egress, Framing, Head, Line, Packet, PacketBody, Patience, Ticket, ViewerEnd, Wants},
    peer::at_port,
};

/// How long a viewer waits for a stream that has begun and not said what its tracks are.
const TRACKS_DEADLINE: Duration = Duration::from_secs(5);

/// A stream that may be played.
pub(crate) struct Granted {
    pub(crate) key: StreamKey,
    pub(crate) log: Arc<Log>,
    tracks: Vec<Outgoing>,
    /// Where it can be heard by many.
    group: Option<Arc<Group>>,
    /// What its packets are sealed under, in one play and no other: a second one would begin with the same numbers.
    secret: Option<Key>,
    is_secret_used: bool,
}

impl Granted {
    /// Waits for the tracks of the stream.
    pub(crate) async fn of(key: StreamKey, log: Arc<Log>) -> Self {
        let _ = timeout(TRACKS_DEADLINE, known_tracks(&log)).await;
        let tracks = outgoing(&log.tracks());
        Self { key, log, tracks, group: None, secret: None, is_secret_used: false }
    }

    /// Gives it a group.
    pub(crate) fn in_group(self, group: Option<Arc<Group>>) -> Self {
        Self { group, ..self }
    }

    /// Seals it under a key that whoever it is described to is told.
    pub(crate) fn sealed(self, secret: Option<Key>) -> Self {
        Self { secret, ..self }
    }

    /// What its packets are sealed under, where they are.
    pub(crate) fn secret(&self) -> Option<&Key> {
        self.secret.as_ref()
    }

    /// What seals its packets, once.
    pub(crate) fn take_sealer(&mut self) -> Option<Result<Sealer, SrtpError>> {
        let secret = self.secret.as_ref().filter(|_| !self.is_secret_used)?;
        self.is_secret_used = true;
        Some(Sealer::new(secret))
    }

    /// Where it can be heard by many.
    pub(crate) fn group(&self) -> Option<Group> {
        self.group.as_deref().cloned()
    }

    /// Whether any track can be sent.
    pub(crate) fn is_possible(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// What a viewer is told of it. Where it may have it unsealed, too, that is what it asks for (`RTP/AVP` or `RTP/SAVP`), and FFmpeg asks
    /// for the same in any case: there the key is told by MIKEY alone, which FFmpeg does not read.
    pub(crate) fn describe(&self, may_play_bare: bool) -> Vec<sdp::Media> {
        let mut medias: Vec<_> = self.tracks.iter().map(Outgoing::media).collect();
        if let Some(secret) = &self.secret {
            medias.iter_mut().for_each(|media| keys::describe(media, secret, ntp_now()));
        }
        if may_play_bare {
            medias.iter_mut().for_each(|media| media.crypto.clear());
        }
        medias
    }

    /// Whether its description holds no more.
    pub(crate) fn has_changed(&self) -> bool {
        !can_follow(self.tracks.iter(), &outgoing(&self.log.tracks()))
    }

    fn lanes(&self, setups: &[MediaSetup], channel: impl Fn(&MediaSetup) -> Option<u8>) -> Vec<Lane> {
        let lane = |setup: &MediaSetup| {
            let outgoing = self.tracks.get(setup.media)?.clone();
            Some(Lane { channel: channel(setup)?, media: setup.media, outgoing })
        };
        setups.iter().filter_map(lane).collect()
    }

    /// The tracks that a viewer has set up.
    pub(crate) fn wants(&self, setups: &[MediaSetup]) -> Wants {
        let chosen = setups.iter().filter_map(|setup| self.tracks.get(setup.media)).map(|outgoing| outgoing.track);
        let is_all = setups.iter().filter(|setup| setup.media < self.tracks.len()).count() == self.tracks.len();
        let only = if is_all { TrackFilter::ALL } else { TrackFilter::only(chosen) };
        Wants { only, ..Wants::default() }
    }
}

/// Waits until a stream says what its tracks are, or ends.
pub(super) async fn known_tracks(log: &Arc<Log>) -> Arc<TrackSet> {
    let bell = Arc::<Bell>::default();
    let slot = WakeSlot::new(log, Waker::from(bell.clone()));
    loop {
        // Armed before the look: what comes behind it rings.
        slot.arm();
        let tracks = log.tracks();
        if log.is_closed() || !tracks.tracks.is_empty() {
            return tracks;
        }
        bell.heard().await;
    }
}

/// A play of a connection, from its beginning to its end.
pub(crate) struct Play {
    state: State,
    wants: Wants,
    /// The viewer wants no more, and the pump has not let it go yet.
    is_leaving: bool,
}

enum State {
    /// The pump writes to the socket, and what we have to say, too; or datagrams are sent, and we say it.
    Pumped(Arc<Line>),
    Datagrams(Arc<Line>),
    /// What goes over the socket is not the packets as they are: we write them.
    Copied(Box<PacketBody>),
    /// Only this viewer can read them: we seal them, and write or send them.
    Sealed(Box<Sealed>),
}

/// What comes of a play without the peer.
pub(crate) enum PlayEvent {
    /// To be written.
    Packet(Bytes),
    Over(ViewerEnd),
    /// It cannot go on; why.
    Failed(String),
}

impl Play {
    /// Begins to write to the connection, the answer to PLAY in front. Returns what has to be written first by us.
    pub(crate) fn over_connection(
        ticket: Ticket,
        granted: &Granted,
        setups: &[MediaSetup],
        answer: PlayAnswer,
        pipe: &Pipe,
    ) -> io::Result<(Self, Bytes)> {
        let refused = |_| io::Error::other("no more descriptors");
        let wants = granted.wants(setups);
        let framing = framing(setups);
        let lanes = granted.lanes(setups, |setup| setup.transport.interleaved.map(|(rtp, _)| rtp));
        let head = Head::OfPackets(Box::new(move |packets| answer.write(&infos(packets, &lanes))));
        let (state, first) = match pipe.socket() {
            Some(socket) => {
                let line = Arc::new(Line::default());
                line.want(wants);
                // The same socket twice: we read and wait for input, the pump writes and waits for room.
                let socket: StdStream = SockRef::from(socket).try_clone()?.into();
                ticket.play(Container::Rtp, framing, socket, head, Some(line.clone())).map_err(refused)?;
                (State::Pumped(line), Bytes::new())
            }
            None => {
                let mut body = ticket.body(Container::Rtp, framing).map_err(refused)?;
                body.want(wants);
                let first = body.begin(head);
                (State::Copied(Box::new(body)), first)
            }
        };
        Ok((Self { state, wants, is_leaving: false }, first))
    }

    /// Begins to send what only this viewer can read, by datagrams where there are ports for them. Returns the answer to PLAY.
    pub(crate) fn sealed(
        ticket: Ticket,
        granted: &Granted,
        setups: &[MediaSetup],
        answer: PlayAnswer,
        sealer: Sealer,
        datagrams: Option<(&Arc<Ports>, SocketAddr)>,
    ) -> io::Result<(Self, Bytes)> {
        let wants = granted.wants(setups);
        let mut body =
            ticket.body(Container::Rtp, Framing::Bare).map_err(|_| io::Error::other("no more descriptors"))?;
        body.want(wants);
        let lanes = granted.lanes(setups, |setup| u8::try_from(2 * setup.media).ok());
        let infos = move |packets: &[Packet]| {
            let mut infos = infos(packets, &lanes);
            infos.iter_mut().for_each(|info| info.sequence &= FIRST_SEQUENCE);
            infos
        };
        let first = body.begin(Head::OfPackets(Box::new(move |packets| answer.write(&infos(packets)))));
        let way = match datagrams {
            Some((ports, peer)) => Way::by_datagrams(ports.clone(), own_targets(setups, peer)),
            None => Way::Connection(own_channels(setups)),
        };
        Ok((Self { state: State::Sealed(Sealed::new(body, sealer, way).into()), wants, is_leaving: false }, first))
    }

    /// Begins to send datagrams, to the address of the connection and nowhere else. Returns the answer to PLAY.
    pub(crate) fn by_datagrams(
        ticket: Ticket,
        granted: &Granted,
        setups: &[MediaSetup],
        answer: PlayAnswer,
        outlets: &Arc<Outlets>,
        (peer, ours): (SocketAddr, Option<IpAddr>),
    ) -> io::Result<(Self, Bytes)> {
        let reader =
            ticket.reader(Container::Rtp, Framing::Bare).map_err(|_| io::Error::other("no more descriptors"))?;
        let wants = granted.wants(setups);
        let is_cast = setups.iter().any(|setup| setup.transport.multicast);
        let targets = match granted.group.as_deref().filter(|_| is_cast) {
            Some(group) => group_targets(group, granted.tracks.len()),
            None => own_targets(setups, peer),
        };
        let mut cursor = reader.packets.join_for(wants);
        let lanes = granted.lanes(setups, |setup| u8::try_from(2 * setup.media).ok());
        // Nobody knows what of a group reaches a viewer first.
        let infos = move |packets: &[Packet]| if is_cast { Vec::new() } else { infos(packets, &lanes) };
        let head = Head::OfPackets(Box::new(move |packets| answer.write(&infos(packets))));
        let first = head.make(&mut cursor);
        let line = Arc::new(Line::default());
        let viewer = Viewer::new(reader, cursor, targets, ours, (line.clone(), wants));
        outlets.join(if is_cast { viewer.of_group() } else { viewer });
        Ok((Self { state: State::Datagrams(line), wants, is_leaving: false }, first))
    }

    /// Who writes to the connection in our place.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        match &self.state {
            State::Pumped(line) => Some(line),
            State::Copied(_) | State::Sealed(_) | State::Datagrams(_) => None,
        }
    }

    /// How long the viewer is waited for, where we write.
    pub(crate) fn patience(&self, egress: &Egress) -> Option<Patience> {
        match &self.state {
            State::Copied(body) => Some(body.patience(egress.stall_max())),
            State::Sealed(sealed) => Some(sealed.patience(egress.stall_max())),
            State::Pumped(_) | State::Datagrams(_) => None,
        }
    }

    /// Stops for a while, or goes on.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.wants.paused = paused;
        match &mut self.state {
            State::Pumped(line) | State::Datagrams(line) => line.want(self.wants),
            State::Copied(body) => body.want(self.wants),
            State::Sealed(sealed) => sealed.want(self.wants),
        }
    }

    /// The viewer wants no more; whether the play is over at once. Else it is when the pump says so.
    pub(crate) fn leave(&mut self) -> bool {
        match &self.state {
            State::Pumped(line) | State::Datagrams(line) => line.leave(),
            State::Copied(_) | State::Sealed(_) => return true,
        }
        self.is_leaving = true;
        false
    }

    /// Whether the viewer wants no more of it.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    async fn next(&mut self) -> PlayEvent {
        match &mut self.state {
            State::Pumped(line) | State::Datagrams(line) => PlayEvent::Over(line.over().await),
            State::Copied(body) => match body.frame().await {
                Some(Ok(frame)) => PlayEvent::Packet(frame.into_data().unwrap_or_default()),
                _ => PlayEvent::Over(ViewerEnd::Stream),
            },
            State::Sealed(sealed) => match sealed.next().await {
                Ok(Some(packets)) => PlayEvent::Packet(packets),
                Ok(None) => PlayEvent::Over(ViewerEnd::Stream),
                Err(error) => PlayEvent::Failed(error.to_string()),
            },
        }
    }
}

/// What comes of `play` next; never anything without one. Nothing is lost when the future is dropped.
pub(crate) async fn next(play: &mut Option<Play>) -> PlayEvent {
    match play {
        Some(play) => play.next().await,
        None => std::future::pending().await,
    }
}

/// The ports that a viewer has named for its tracks, at the address of its connection.
fn own_targets(setups: &[MediaSetup], peer: SocketAddr) -> Targets {
    let mut targets = Targets::default();
    for setup in setups {
        if let (Some((rtp, rtcp)), Some(target)) = (setup.transport.client_port, targets.get_mut(setup.media)) {
            *target = Some((at_port(peer, rtp), at_port(peer, rtcp)));
        }
    }
    targets
}

/// The channels that a viewer has named for its tracks.
fn own_channels(setups: &[MediaSetup]) -> [Option<(u8, u8)>; MEDIAS_MAX] {
    let mut channels = [None; MEDIAS_MAX];
    for setup in setups {
        if let Some(own) = channels.get_mut(setup.media) {
            *own = setup.transport.interleaved;
        }
    }
    channels
}

/// The time now, as RTCP and MIKEY have it.
pub(super) fn ntp_now() -> u64 {
    ntp_of_unix(unix_time())
}

/// A group gets all tracks, whoever hears which of them.
fn group_targets(group: &Group, tracks: usize) -> Targets {
    let mut targets = Targets::default();
    for (target, port) in targets.iter_mut().take(tracks).zip((group.port..u16::MAX).step_by(2)) {
        *target = Some((SocketAddr::new(group.address, port), SocketAddr::new(group.address, port + 1)));
    }
    targets
}

/// The usual channels for nearly everybody, whose packets are made once.
fn framing(setups: &[MediaSetup]) -> Framing {
    let mut channels = Channels::default();
    for (media, own) in own_channels(setups).into_iter().enumerate() {
        own.into_iter().for_each(|pair| channels.set(media, pair));
    }
    if channels == Channels::default() { Framing::Bare } else { Framing::Channels(channels) }
}

/// A track as a viewer gets it.
struct Lane {
    /// Its channel of RTP in the packets.
    channel: u8,
    media: usize,
    outgoing: Outgoing,
}

/// Where the tracks are at the moment at which the first of these packets is shown: one moment for all, or a player would take the first
/// packets of all tracks for simultaneous (RFC 2326 §12.33).
fn infos(packets: &[Packet], lanes: &[Lane]) -> Vec<RtpInfo> {
    let mut infos: Vec<RtpInfo> = Vec::new();
    let mut moment = None;
    for packet in packets {
        let frame = packet.frame();
        let lane = lanes.iter().find(|lane| lane.outgoing.track == frame.track);
        let Some(lane) = lane.filter(|lane| infos.iter().all(|info| info.media != lane.media)) else { continue };
        let rtp = split(packet.pieces.own()).find(|(channel, _)| *channel == lane.channel);
        let header = rtp.and_then(|(_, packet)| packet.first_chunk::<HEADER_BYTES>());
        let Some([_, _, s0, s1, t0, t1, t2, t3, ..]) = header else { continue };
        let (config, format) = (&lane.outgoing.config, &lane.outgoing.format);
        let rate_hz = i128::from(config.clock_rate_hz().max(1));
        let shown_ns = i128::from(frame.pts) * 1_000_000_000 / rate_hz;
        let moment_ns = *moment.get_or_insert(shown_ns);
        let later = i64::try_from((shown_ns - moment_ns) * rate_hz / 1_000_000_000).unwrap_or_default();
        // Modulo 2^32, as the field has it.
        let later = format.ticks_of_bus(later, config) as u32;
        let timestamp = u32::from_be_bytes([*t0, *t1, *t2, *t3]).wrapping_sub(later);
        infos.push(RtpInfo { media: lane.media, sequence: u16::from_be_bytes([*s0, *s1]), timestamp });
        if infos.len() == lanes.len() {
            break;
        }
    }
    infos
}
