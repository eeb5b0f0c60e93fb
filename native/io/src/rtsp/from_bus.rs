//! A stream on its way to one viewer: described, handed to the pump, heard of again.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream as StdStream},
    sync::Arc,
    time::Duration,
};

use arcly_bus::{Frame, Log, StreamKey, TrackFilter, WakeSlot};
use arcly_wire::{
    rtp::HEADER_BYTES,
    rtsp::{MediaSetup, PlayAnswer, RtpInfo, sdp},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;
use tokio::time::timeout;

use super::{
    channels::{Channels, split},
    outlet::{Outlets, Targets, Viewer},
    tracks::{Outgoing, outgoing},
};
use crate::{
    bell::Bell,
    egress::{Container, Framing, Head, Line, PacketBody, Ticket, ViewerEnd, Wants},
    tls::Connection as Stream,
};

/// How long a viewer waits for a stream that has begun and not said what its tracks are.
const TRACKS_DEADLINE: Duration = Duration::from_secs(5);

/// A stream that may be played.
pub(crate) struct Granted {
    pub(crate) key: StreamKey,
    pub(crate) log: Arc<Log>,
    tracks: Vec<Outgoing>,
}

impl Granted {
    /// Waits for the tracks of the stream.
    pub(crate) async fn of(key: StreamKey, log: Arc<Log>) -> Self {
        let bell = Arc::<Bell>::default();
        let slot = WakeSlot::new(&log, std::task::Waker::from(bell.clone()));
        let known = async {
            loop {
                slot.arm();
                if log.is_closed() || !log.tracks().tracks.is_empty() {
                    return;
                }
                bell.heard().await;
            }
        };
        let _ = timeout(TRACKS_DEADLINE, known).await;
        let tracks = outgoing(&log.tracks());
        Self { key, log, tracks }
    }

    /// Whether any track can be sent.
    pub(crate) fn is_possible(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// What a viewer is told of it.
    pub(crate) fn describe(&self) -> Vec<sdp::Media> {
        self.tracks.iter().map(Outgoing::media).collect()
    }

    /// The tracks that a viewer has set up.
    pub(crate) fn wants(&self, setups: &[MediaSetup]) -> Wants {
        let chosen = setups.iter().filter_map(|setup| self.tracks.get(setup.media)).map(|outgoing| outgoing.track);
        let is_all = setups.len() == self.tracks.len();
        let only = if is_all { TrackFilter::ALL } else { TrackFilter::only(chosen) };
        Wants { only, ..Wants::default() }
    }
}

/// A play of a connection, from its beginning to its end.
pub(crate) struct Play {
    state: State,
    wants: Wants,
}

enum State {
    /// The pump writes to the socket, and what we have to say, too; or datagrams are sent, and we say it.
    Pumped(Arc<Line>),
    Datagrams(Arc<Line>),
    /// Encrypted: we write the packets.
    Copied(Box<PacketBody>),
}

/// What comes of a play without the peer.
pub(crate) enum PlayEvent {
    /// To be written.
    Packet(Bytes),
    Over(ViewerEnd),
}

impl Play {
    /// Begins to write to the connection, the answer to PLAY in front. Returns what has to be written first by us.
    pub(crate) fn over_connection(
        ticket: Ticket,
        granted: &Granted,
        setups: &[MediaSetup],
        answer: PlayAnswer,
        stream: &Stream,
    ) -> io::Result<(Self, Bytes)> {
        let refused = |_| io::Error::other("no more descriptors");
        let wants = granted.wants(setups);
        let framing = framing(setups);
        let of_media: Vec<_> =
            setups.iter().filter_map(|setup| Some((setup.transport.interleaved?.0, setup.media))).collect();
        let head = Head::OfPackets(Box::new(move |frames| answer.write(&infos(frames, &of_media))));
        let (state, first) = match stream {
            Stream::Plain(socket) => {
                let line = Arc::new(Line::default());
                line.want(wants);
                // The same socket twice: we read and wait for input, the pump writes and waits for room.
                let socket: StdStream = SockRef::from(socket).try_clone()?.into();
                ticket.play(Container::Rtp, framing, socket, head, Some(line.clone())).map_err(refused)?;
                (State::Pumped(line), Bytes::new())
            }
            Stream::Tls(_) => {
                let mut body = ticket.body(Container::Rtp, framing).map_err(refused)?;
                body.want(wants);
                let first = body.begin(head);
                (State::Copied(Box::new(body)), first)
            }
        };
        Ok((Self { state, wants }, first))
    }

    /// Begins to send datagrams, to the address of the connection and nowhere else. Returns the answer to PLAY.
    pub(crate) fn by_datagrams(
        ticket: Ticket,
        granted: &Granted,
        setups: &[MediaSetup],
        answer: PlayAnswer,
        outlets: &Arc<Outlets>,
        (peer, ours): (IpAddr, Option<IpAddr>),
    ) -> io::Result<(Self, Bytes)> {
        let reader =
            ticket.reader(Container::Rtp, Framing::Bare).map_err(|_| io::Error::other("no more descriptors"))?;
        let wants = granted.wants(setups);
        let mut targets = Targets::default();
        for setup in setups {
            if let (Some((rtp, rtcp)), Some(target)) = (setup.transport.client_port, targets.get_mut(setup.media)) {
                *target = Some((SocketAddr::new(peer, rtp), SocketAddr::new(peer, rtcp)));
            }
        }
        let mut cursor = reader.packets.join_for(wants);
        let of_media: Vec<_> = setups.iter().map(|setup| ((2 * setup.media) as u8, setup.media)).collect();
        let head = Head::OfPackets(Box::new(move |frames| answer.write(&infos(frames, &of_media))));
        let first = head.make(&mut cursor);
        let line = Arc::new(Line::default());
        outlets.join(Viewer::new(reader, cursor, targets, ours, (line.clone(), wants)));
        Ok((Self { state: State::Datagrams(line), wants }, first))
    }

    /// Who writes to the connection in our place.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        match &self.state {
            State::Pumped(line) => Some(line),
            State::Copied(_) | State::Datagrams(_) => None,
        }
    }

    /// Stops for a while, or goes on.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.wants.paused = paused;
        match &mut self.state {
            State::Pumped(line) | State::Datagrams(line) => line.want(self.wants),
            State::Copied(body) => body.want(self.wants),
        }
    }

    /// The viewer wants no more; whether the play is over at once. Else it is when the pump says so.
    pub(crate) fn leave(&self) -> bool {
        match &self.state {
            State::Pumped(line) | State::Datagrams(line) => line.leave(),
            State::Copied(_) => return true,
        }
        false
    }

    async fn next(&mut self) -> PlayEvent {
        match &mut self.state {
            State::Pumped(line) | State::Datagrams(line) => PlayEvent::Over(line.over().await),
            State::Copied(body) => match body.frame().await {
                Some(Ok(frame)) => PlayEvent::Packet(frame.into_data().unwrap_or_default()),
                _ => PlayEvent::Over(ViewerEnd::Stream),
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

/// The usual channels for nearly everybody, whose packets are made once.
fn framing(setups: &[MediaSetup]) -> Framing {
    let mut channels = Channels::default();
    for setup in setups {
        setup.transport.interleaved.into_iter().for_each(|pair| channels.set(setup.media, pair));
    }
    if channels == Channels::default() { Framing::Bare } else { Framing::Channels(channels) }
}

/// Where the tracks begin in these packets, by the channels of RTP.
fn infos(frames: &[Frame], of_media: &[(u8, usize)]) -> Vec<RtpInfo> {
    let mut infos: Vec<RtpInfo> = Vec::new();
    for (channel, packet) in frames.iter().flat_map(|frame| split(&frame.payload)) {
        let Some((_, media)) = of_media.iter().find(|(rtp, _)| *rtp == channel) else { continue };
        let header = packet.first_chunk::<HEADER_BYTES>();
        let is_known = infos.iter().any(|info| info.media == *media);
        if let Some([_, _, s0, s1, t0, t1, t2, t3, ..]) = header.filter(|_| !is_known) {
            let (sequence, timestamp) = (u16::from_be_bytes([*s0, *s1]), u32::from_be_bytes([*t0, *t1, *t2, *t3]));
            infos.push(RtpInfo { media: *media, sequence, timestamp });
        }
        if infos.len() == of_media.len() {
            break;
        }
    }
    infos
}
