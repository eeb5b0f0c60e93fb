//! The server's side of a connection.

mod decisions;
mod play;
mod requests;
mod session;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use self::{
    decisions::{Asked, Granted, Question},
    session::{Offer, Phase, Role, Session},
};
pub use self::{
    play::{PlayAnswer, RtpInfo},
    session::Group,
};
use super::{
    Event, Incoming, Limits, MediaPacket, MediaSetup, Response, RtspError,
    auth::{Guard, Users, Verdict},
    keys::ToldKey,
    reader::{MessageReader, frame_header},
    sdp::Media,
};

/// How a server is, as far as its connections know.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What one connection may cost.
    pub limits: Limits,
    /// What passwords are asked for: shown to users.
    pub realm: String,
    /// Who may come at all, and is then asked about. None: everybody is asked about.
    pub users: Option<Users>,
    /// Whether players may speak, too: [`BACK_CHANNEL`](super::BACK_CHANNEL).
    pub back_channel: bool,
    /// Ports of ours for RTP and RTCP in datagrams; none where there are none, or the connection is encrypted and they are not.
    pub udp: Option<(u16, u16)>,
    /// Whether only sealed tracks may go there: the connection is encrypted.
    pub must_seal_udp: bool,
    /// Whether players may choose `RTP/AVP` for encrypted tracks, which then go over the connection as they are.
    pub may_play_bare: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            realm: "arcly".into(),
            users: None,
            back_channel: false,
            udp: None,
            must_seal_udp: false,
            may_play_bare: false,
        }
    }
}

/// The server's side of one connection.
///
/// After every call that changes something, drain [`poll_event`](Self::poll_event) and [`poll_output`](Self::poll_output). After an
/// error the machine is dead: what it had to say can still be polled, further input is ignored. An error, or dropping the machine,
/// ends its session without an event.
#[derive(Debug)]
pub struct ServerConn {
    limits: Limits,
    guard: Guard,
    offer: Offer,
    reader: MessageReader,
    /// What came while somebody decides.
    waiting: BytesMut,
    output: BytesMut,
    events: VecDeque<Event>,
    asked: Option<Asked>,
    /// What was accepted: only of this tracks are set up.
    granted: Option<Granted>,
    session: Option<Session>,
    /// What tells a publisher of encrypted tracks the key of our reports.
    key: Option<String>,
    back_channel: bool,
    now: Duration,
    /// When the connection was last of use.
    used: Duration,
    challenges: u32,
    dead: bool,
    /// What was found wrong while nobody had asked: it comes out with the next input, or the next look at the time.
    fault: Option<RtspError>,
}

/// The address of a track in our descriptions.
fn control_of(media: usize) -> String {
    format!("trackID={media}")
}

impl ServerConn {
    /// A connection that was just accepted. `now` counts from any fixed origin and never goes back.
    pub fn new(config: ServerConfig, now: Duration) -> Self {
        let ServerConfig { limits, realm, users, back_channel, udp, must_seal_udp, may_play_bare } = config;
        Self {
            limits,
            guard: Guard::new(users, &realm, now),
            offer: Offer { udp, must_seal_udp, may_play_bare, multicast: None },
            reader: MessageReader::new(limits),
            waiting: BytesMut::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            asked: None,
            granted: None,
            session: None,
            key: None,
            back_channel,
            now,
            used: now,
            challenges: 0,
            dead: false,
            fault: None,
        }
    }

    /// Takes what the peer sent, cut anywhere. Payloads of packets are slices of it.
    ///
    /// # Errors
    /// [`RtspError`] of every kind but `Timeout`; the connection is over.
    pub fn handle_input(&mut self, now: Duration, input: Bytes) -> Result<(), RtspError> {
        self.fault.take().map_or(Ok(()), Err)?;
        if self.dead || input.is_empty() {
            return Ok(());
        }
        self.now = now;
        if let Some(session) = &mut self.session {
            session.sign = now;
        }
        if self.asked.is_some() {
            self.waiting.extend_from_slice(&input);
            let waiting = self.waiting.len().saturating_add(self.reader.buffered_bytes());
            if waiting > self.limits.waiting_bytes {
                return self.die(RtspError::limit("waiting_bytes", self.limits.waiting_bytes, waiting as u64));
            }
            return Ok(());
        }
        self.reader.push(input);
        self.consume()
    }

    /// The next thing that the peer did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes to write to the peer, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the clock of `now`; it changes with every call. None when nothing is
    /// waited for.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.fault {
            Some(_) => Some(self.now),
            None if self.dead => None,
            None => self.deadline().map(|(at, ..)| at),
        }
    }

    /// Says that the time is `now`.
    ///
    /// # Errors
    /// [`RtspError::Timeout`] when the peer is late, any other for what it sent meanwhile; the connection is over.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), RtspError> {
        self.fault.take().map_or(Ok(()), Err)?;
        self.now = now;
        match self.deadline() {
            Some((at, what, after)) if !self.dead && now >= at => self.die(RtspError::Timeout { what, after }),
            _ => Ok(()),
        }
    }

    /// A datagram of the session has come: RTCP of a viewer, or media of a publisher.
    pub fn note_datagram(&mut self, now: Duration, is_media: bool) {
        if let Some(session) = &mut self.session {
            session.sign = now;
            if is_media {
                session.media = now;
            }
        }
    }

    /// Offers a group to whoever may play what was asked for; none takes that back.
    pub fn offer_group(&mut self, group: Option<Group>) {
        self.offer.multicast = group;
    }

    /// Queues RTCP about a track that comes over the connection.
    pub fn put_report(&mut self, media: usize, report: &[u8]) {
        let setup = self.setups().iter().find(|setup| setup.media == media);
        let channel = setup.and_then(|setup| setup.transport.interleaved).map(|(_, rtcp)| rtcp);
        if let Some(header) = channel.and_then(|channel| frame_header(channel, report.len())) {
            self.output.extend_from_slice(&header);
            self.output.extend_from_slice(report);
        }
    }

    /// How the tracks of the session travel; empty when there is none.
    pub fn setups(&self) -> &[MediaSetup] {
        self.session.as_ref().map(|session| session.setups.as_slice()).unwrap_or_default()
    }

    /// The key of what a player says about an encrypted track, where it has told one (`KeyMgmt` of its SETUP, RFC 4567 §4.2).
    pub fn told_key(&self, media: usize) -> Option<&ToldKey> {
        self.session.as_ref()?.told.iter().find(|(known, _)| *known == media).map(|(_, told)| told)
    }

    /// The viewer wants no more, as it has said otherwise than by a request: its session goes back to where it was in front of PLAY.
    pub fn stop_play(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|session| session.role == Role::Play) {
            session.phase = Phase::Ready;
        }
    }

    /// Ends the session from our side: there is no event for it. RTSP has no word for that which clients know (RFC 2326 §10.10 asks for a new
    /// connection elsewhere), so the connection is closed next.
    pub fn end_session(&mut self) {
        (self.session, self.granted) = (None, None);
        self.used = self.now;
    }

    /// Memory held for the peer: an unfinished message, events and output not polled yet.
    pub fn buffered_bytes(&self) -> usize {
        let payload = |event: &Event| if let Event::Packet(packet) = event { packet.payload.len() } else { 0 };
        let events = self.events.iter().map(payload).sum::<usize>() + self.events.capacity() * size_of::<Event>();
        self.reader.buffered_bytes() + self.waiting.len() + self.output.len() + events
    }

    /// Whether the peer has begun a message and not ended it: a connection that closes now was cut.
    pub fn is_mid_input(&self) -> bool {
        self.reader.is_mid_message()
    }

    /// Whether a request waits for an answer of whoever drives this.
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    fn die(&mut self, error: RtspError) -> Result<(), RtspError> {
        self.dead = true;
        Err(error)
    }

    /// Goes on with what came meanwhile.
    fn go_on(&mut self) {
        if self.asked.is_none() && !self.waiting.is_empty() {
            self.reader.push(self.waiting.split().freeze());
        }
        self.fault = self.consume().err();
    }

    fn consume(&mut self) -> Result<(), RtspError> {
        while self.asked.is_none() && !self.dead {
            let incoming = match self.reader.read() {
                Ok(Some(incoming)) => incoming,
                Ok(None) => break,
                Err(error) => {
                    self.say_goodbye(&error);
                    return self.die(error);
                }
            };
            match incoming {
                Incoming::Request(request) => self.on_request(request),
                // We ask nothing.
                Incoming::Response(_) => {}
                Incoming::Packet { channel, payload } => self.on_packet(channel, payload),
            }
            if let Err(error) = self.check_pending() {
                return self.die(error);
            }
        }
        Ok(())
    }

    fn say_goodbye(&mut self, error: &RtspError) {
        let status = match error {
            RtspError::LimitExceeded { .. } => 413,
            RtspError::Unsupported { .. } => 505,
            _ => 400,
        };
        self.output.extend_from_slice(&Response::new(status).with("Connection", "close").write());
    }

    fn on_packet(&mut self, channel: u8, payload: Bytes) {
        let Some(session) = self.session.as_mut().filter(|session| session.phase == Phase::Running) else { return };
        let Some((media, is_rtcp)) = session.of_channel(channel) else { return };
        let described = self.granted.as_ref().and_then(|granted| granted.medias.get(media));
        let is_described = |media: &Media| payload.get(1).is_some_and(|byte| media.has_type(byte & 0x7f));
        if !is_rtcp && described.is_some_and(is_described) {
            session.media = self.now;
        }
        self.events.push_back(Event::Packet(MediaPacket { media, is_rtcp, payload }));
    }

    fn check_pending(&self) -> Result<(), RtspError> {
        let Limits { pending_events, pending_output_bytes, challenges, .. } = self.limits;
        if self.events.len() > pending_events {
            return Err(RtspError::limit("pending_events", pending_events, self.events.len() as u64));
        }
        if self.output.len() > pending_output_bytes {
            return Err(RtspError::limit("pending_output_bytes", pending_output_bytes, self.output.len() as u64));
        }
        if self.challenges > challenges {
            return Err(RtspError::limit("challenges", challenges as usize, self.challenges.into()));
        }
        Ok(())
    }

    /// What is due next: when, what the peer will not have done, and how long it had.
    fn deadline(&self) -> Option<(Duration, &'static str, Duration)> {
        let Limits { unused_time, session_time, media_time, .. } = self.limits;
        let after = |since: Duration, what, time| Some((since.saturating_add(time), what, time));
        match &self.session {
            // Whoever is asked has a deadline of its own.
            None if self.asked.is_some() => None,
            None => after(self.used, "asked for nothing (publish or play)", unused_time),
            Some(session) => match (session.role, session.phase) {
                (Role::Record, Phase::Running) => after(session.media, "sent no media", media_time),
                // It is seen by what it reads whether such a viewer is there: many say nothing.
                (Role::Play, Phase::Running) if session.is_interleaved() => None,
                _ => after(session.sign, "gave no sign of life", session_time),
            },
        }
    }
}

/// The path of a stream: without the address of a track, and without slashes at its end.
fn stream_path(path: &str) -> &str {
    path.rsplit_once("/trackID=").map_or(path, |(path, _)| path).trim_end_matches('/')
}
