//! The client's side of a connection: it plays from a server, or publishes to one.
//!
//! ```text
//! OPTIONS ──▶ DESCRIBE ──▶ Described ──setup()──▶ SETUP … ──▶ PLAY ──▶ Started, Packet …
//! OPTIONS ──▶ ANNOUNCE ──▶ Described ──setup()──▶ SETUP … ──▶ RECORD ──▶ Started
//! ```
//!
//! One request is open at a time. A 401 is met once for each challenge; a redirection is told, and the connection is of no more use then.

mod answers;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    BACK_CHANNEL, Credentials, Incoming, Limits, Lower, MediaPacket, MediaSetup, Method, Request, Response, RtpInfo,
    RtspError, RtspUrl, Transport, control_uri, keys,
    reader::{MessageReader, frame_header},
    sdp::{Description, Media},
    url::decoded,
};

/// How long an answer may take. Cameras that wake up take seconds.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// What is shown to servers.
const AGENT: &str = concat!("arcly/", env!("CARGO_PKG_VERSION"));
/// How long a session lives when the server does not say it (RFC 2326 §12.37).
const SESSION_TIME: Duration = Duration::from_secs(60);
/// Signs of life are not sent more often, whatever a server says.
const SIGN_TIME_MIN: Duration = Duration::from_secs(2);
/// Challenges that one request meets: one, and one more because the nonce was stale.
const CHALLENGES_MAX: u32 = 2;

/// What a client is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientUse {
    /// To get a stream.
    Play,
    /// To send one, of these tracks. Their `control` is set here.
    Publish(Vec<Media>),
}

/// Where a client goes, and what for.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The stream, with user and password.
    pub url: RtspUrl,
    /// What for.
    pub purpose: ClientUse,
    /// What the server may cost.
    pub limits: Limits,
    /// Whether we want to speak to a camera, too; one that cannot hear is asked without.
    pub back_channel: bool,
}

/// Something that the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// These are the tracks: choose with [`ClientConn::setup`].
    Described(Box<Description>),
    /// Media flows from now on; to a viewer, where its tracks begin, as far as the server says it.
    Started(Vec<RtpInfo>),
    /// A packet between the messages.
    Packet(MediaPacket),
    /// The stream is elsewhere.
    Moved(String),
    /// The server has ended the session.
    Ended,
}

/// The client's side of one connection. Drain [`poll_event`](Self::poll_event) and [`poll_output`](Self::poll_output) after every call; after
/// an error the machine is dead.
#[derive(Debug)]
pub struct ClientConn {
    limits: Limits,
    purpose: ClientUse,
    uri: String,
    /// What addresses of tracks are relative to.
    base: String,
    /// The address of all tracks together.
    aggregate: String,
    credentials: Credentials,
    reader: MessageReader,
    output: BytesMut,
    events: VecDeque<ClientEvent>,
    open: Option<Open>,
    sequence: u32,
    controls: Vec<String>,
    /// Tracks that are still to be set up.
    wishes: VecDeque<MediaSetup>,
    setups: Vec<MediaSetup>,
    /// What tells the server the key of what we send of encrypted tracks.
    key: Option<String>,
    /// It was asked for, and not refused.
    back_channel: bool,
    session: Option<String>,
    session_time: Duration,
    knows_parameters: bool,
    is_running: bool,
    is_leaving: bool,
    now: Duration,
    /// When something was last said.
    said: Duration,
    /// When something last came: an answer, a packet, a part of one.
    heard: Duration,
    /// When a packet last came.
    played: Option<Duration>,
    dead: bool,
}

/// A request without an answer.
#[derive(Debug)]
struct Open {
    request: Request,
    sequence: u32,
    sent: Duration,
    challenges: u32,
    is_sign: bool,
}

impl ClientConn {
    /// A connection that was just made; begins to speak. `now` counts from any fixed origin and never goes back.
    pub fn new(config: ClientConfig, now: Duration) -> Self {
        let ClientConfig { url, mut purpose, limits, back_channel } = config;
        if let ClientUse::Publish(medias) = &mut purpose {
            medias.iter_mut().enumerate().for_each(|(at, media)| media.control = format!("trackID={at}"));
        }
        let uri = url.request_uri();
        let mut client = Self {
            limits,
            purpose,
            base: uri.clone(),
            aggregate: uri.clone(),
            uri: uri.clone(),
            credentials: Credentials::new(&decoded(&url.user), &decoded(&url.password)),
            reader: MessageReader::new(limits),
            output: BytesMut::new(),
            events: VecDeque::new(),
            open: None,
            sequence: 0,
            controls: Vec::new(),
            wishes: VecDeque::new(),
            setups: Vec::new(),
            key: None,
            back_channel,
            session: None,
            session_time: SESSION_TIME,
            knows_parameters: false,
            is_running: false,
            is_leaving: false,
            now,
            said: now,
            heard: now,
            played: None,
            dead: false,
        };
        client.send(Request::new(Method::Options, uri), false);
        client
    }

    /// Takes what the server sent, cut anywhere. Payloads of packets are slices of it.
    ///
    /// # Errors
    /// [`RtspError`]; the connection is over.
    pub fn handle_input(&mut self, now: Duration, input: Bytes) -> Result<(), RtspError> {
        if self.dead || input.is_empty() {
            return Ok(());
        }
        (self.now, self.heard) = (now, now);
        self.reader.push(input);
        let result = self.consume();
        self.dead = result.is_err();
        result
    }

    /// What the server did next.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// The next bytes to write, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// Bytes that wait to be written.
    pub fn pending_output_bytes(&self) -> usize {
        self.output.len()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.dead {
            return None;
        }
        match &self.open {
            Some(open) => Some(open.sent.saturating_add(ANSWER_TIME)),
            None => self.session.as_ref().map(|_| self.said.saturating_add(self.sign_time())),
        }
    }

    /// Says that the time is `now`. A sign of life is sent when one is due.
    ///
    /// # Errors
    /// [`RtspError::Timeout`] when the server does not answer.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), RtspError> {
        self.now = now;
        if self.dead || self.poll_timeout().is_none_or(|at| now < at) {
            return Ok(());
        }
        if let Some(open) = self.open.take() {
            if !self.is_dispensable(&open) {
                self.dead = true;
                return Err(RtspError::Timeout { what: "the server did not answer", after: ANSWER_TIME });
            }
            self.knows_parameters = false;
        }
        let method = if self.knows_parameters { Method::GetParameter } else { Method::Options };
        self.send(Request::new(method, self.aggregate.clone()), true);
        Ok(())
    }

    /// Whether the answer to a request that is late can be done without: to a sign of life, of a server that shows in another way that it is
    /// there. Cameras list GET_PARAMETER and never answer it.
    fn is_dispensable(&self, open: &Open) -> bool {
        open.is_sign && (self.heard > open.sent || self.plays_beside())
    }

    /// Whether media has come since the sign of life in front of this one: it is played, whatever the server says of the session.
    fn plays_on(&self, open: &Open) -> bool {
        let has_come = |played: Duration| played.saturating_add(self.sign_time()) >= open.sent;
        self.purpose == ClientUse::Play && (self.plays_beside() || self.played.is_some_and(has_come))
    }

    /// Whether what comes is not seen here, since it comes beside the connection: whoever plays it looks when it ends.
    fn plays_beside(&self) -> bool {
        let is_beside = || self.setups.iter().all(|setup| setup.transport.interleaved.is_none());
        self.is_running && self.purpose == ClientUse::Play && is_beside()
    }

    /// Sets up the tracks of a description, by their places in it, each as it shall travel. Without any the connection is over.
    pub fn setup(&mut self, wishes: Vec<MediaSetup>) {
        self.wishes = wishes.into();
        self.go_on();
    }

    /// Tells the server under which key we send what belongs to encrypted tracks: a message of [`keys::write`](super::keys::write). Before
    /// [`setup`](Self::setup).
    pub fn tell_key(&mut self, message: String) {
        self.key = Some(message);
    }

    /// How the tracks travel, as the server has agreed.
    pub fn setups(&self) -> &[MediaSetup] {
        &self.setups
    }

    /// Queues a packet of a track that goes over the connection. Only for a caller who looks at
    /// [`pending_output_bytes`](Self::pending_output_bytes).
    pub fn put_packet(&mut self, media: usize, is_rtcp: bool, packet: &[u8]) {
        let setup = self.setups.iter().find(|setup| setup.media == media);
        let Some((rtp, rtcp)) = setup.and_then(|setup| setup.transport.interleaved) else { return };
        let Some(header) = frame_header(if is_rtcp { rtcp } else { rtp }, packet.len()) else { return };
        self.output.reserve(header.len() + packet.len());
        self.output.extend_from_slice(&header);
        self.output.extend_from_slice(packet);
    }

    /// Takes leave.
    pub fn close(&mut self) {
        if self.session.is_some() && !self.is_leaving {
            self.is_leaving = true;
            self.open = None;
            self.send(Request::new(Method::Teardown, self.aggregate.clone()), false);
        }
    }

    /// Memory held for the server.
    pub fn buffered_bytes(&self) -> usize {
        let payload =
            |event: &ClientEvent| if let ClientEvent::Packet(packet) = event { packet.payload.len() } else { 0 };
        let events = self.events.iter().map(payload).sum::<usize>() + self.events.capacity() * size_of::<ClientEvent>();
        self.reader.buffered_bytes() + self.output.len() + events
    }

    /// Half of what the session lives, so that one may be lost.
    fn sign_time(&self) -> Duration {
        (self.session_time / 2).max(SIGN_TIME_MIN)
    }

    fn consume(&mut self) -> Result<(), RtspError> {
        while let Some(incoming) = self.reader.read()? {
            match incoming {
                Incoming::Response(response) => self.on_response(response)?,
                Incoming::Request(request) => self.on_request(&request),
                Incoming::Packet { channel, payload } => self.on_packet(channel, payload),
            }
            let Limits { pending_events, .. } = self.limits;
            if self.events.len() > pending_events {
                return Err(RtspError::limit("pending_events", pending_events, self.events.len() as u64));
            }
        }
        Ok(())
    }

    fn on_packet(&mut self, channel: u8, payload: Bytes) {
        let found = self.setups.iter().find_map(|setup| match setup.transport.interleaved {
            Some((rtp, _)) if rtp == channel => Some((setup.media, false)),
            Some((_, rtcp)) if rtcp == channel => Some((setup.media, true)),
            _ => None,
        });
        // Some servers send in front of the answer to PLAY.
        if let Some((media, is_rtcp)) = found {
            self.played = Some(self.now);
            self.events.push_back(ClientEvent::Packet(MediaPacket { media, is_rtcp, payload }));
        }
    }

    /// What servers ask of clients.
    fn on_request(&mut self, request: &Request) {
        let status = match request.method {
            Method::Options | Method::GetParameter | Method::SetParameter | Method::Announce => 200,
            Method::Redirect => {
                let location = request.headers.get("Location").unwrap_or(&self.uri).to_owned();
                self.events.push_back(ClientEvent::Moved(location));
                200
            }
            Method::Teardown => {
                self.events.push_back(ClientEvent::Ended);
                200
            }
            _ => 501,
        };
        let number = request.headers.get("CSeq").unwrap_or_default();
        // A server that asks and does not read our answers is cut off by whoever looks at what waits.
        self.output.extend_from_slice(&Response::new(status).with("CSeq", number).write());
    }

    /// The request, with the wish to speak, too.
    fn requiring(&self, request: Request) -> Request {
        if self.back_channel { request.with("Require", BACK_CHANNEL) } else { request }
    }

    fn send(&mut self, request: Request, is_sign: bool) {
        self.send_again(request, 0, is_sign);
    }

    fn send_again(&mut self, request: Request, challenges: u32, is_sign: bool) {
        self.sequence += 1;
        let mut whole = Request::new(request.method, request.uri.clone())
            .with("CSeq", self.sequence.to_string())
            .with("User-Agent", AGENT);
        if let Some(authorization) = self.credentials.authorization(request.method.as_str(), &request.uri) {
            whole = whole.with("Authorization", authorization);
        }
        if let Some(session) = &self.session {
            whole = whole.with("Session", session.clone());
        }
        whole.headers.extend(request.headers.clone());
        whole.body = request.body.clone();
        self.output.extend_from_slice(&whole.write());
        self.said = self.now;
        self.open = Some(Open { request, sequence: self.sequence, sent: self.now, challenges, is_sign });
    }

    /// The next step.
    fn go_on(&mut self) {
        if let Some(MediaSetup { media, transport }) = self.wishes.front() {
            let control = self.controls.get(*media).map(String::as_str).unwrap_or_default();
            let request = Request::new(Method::Setup, control_uri(&self.base, control));
            let mut request = self.requiring(request).with("Transport", transport.to_string());
            if let Some(message) = self.key.as_ref().filter(|_| transport.secure) {
                let header = keys::header(&request.uri, message);
                request = request.with("KeyMgmt", header);
            }
            return self.send(request, false);
        }
        let method = if self.purpose == ClientUse::Play { Method::Play } else { Method::Record };
        let request = self.requiring(Request::new(method, self.aggregate.clone()));
        self.send(request.with("Range", "npt=0.000-"), false);
    }
}
