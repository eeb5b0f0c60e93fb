//! One connection, the server's side: the handshake, then messages in, events and answers out.

mod command;
pub(super) mod connect;
mod early;
pub(super) mod media;
mod play;
mod streams;
mod timers;

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use self::{
    streams::{NetStreams, Use},
    timers::{Activity, Timers},
};
use super::{
    ConnectInfo, Event, Limits, Message, PublishRejection, RtmpError,
    acknowledgement::Acknowledgement,
    chunk::{ChunkReader, ChunkWriter},
    handshake::Handshake,
    message::{Control, type_id, user_control},
    reply::Status,
};

/// Of either side, until told otherwise: 2 500 000 bytes, as servers have always said (RTMP §5.4.4 names no default).
const WINDOW_BYTES: u32 = 2_500_000;
/// Set Peer Bandwidth's limit type "dynamic" (RTMP §5.4.5).
const LIMIT_DYNAMIC: u8 = 2;

/// Chunk streams that we write on. 2 is fixed for protocol control (RTMP §5.4); the others are the usual ones.
mod chunk_stream {
    pub const CONTROL: u8 = 2;
    pub const COMMAND: u8 = 3;
    pub const STATUS: u8 = 5;
}

/// The server's side of one RTMP connection.
///
/// After every call that changes something, drain [`poll_event`](Self::poll_event) and
/// [`poll_output`](Self::poll_output). After an error the machine is dead: what it had to say can
/// still be polled, further input is ignored. An error, or dropping the machine, ends every
/// publish without an event.
#[derive(Debug)]
pub struct ServerConn {
    limits: Limits,
    timers: Timers,
    /// `None` once it is done.
    handshake: Option<Handshake>,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: BytesMut,
    events: VecDeque<Event>,
    acknowledgement: Acknowledgement,
    /// `None` until `connect`.
    connection: Option<ConnectInfo>,
    streams: NetStreams,
    rtt: Option<Duration>,
    peer_received: Option<u32>,
    /// What we last said our window is (RTMP §5.4.4).
    window_told: u32,
    /// A publish has been accepted, now or before.
    is_trusted: bool,
    dead: bool,
}

impl ServerConn {
    /// A connection that was just accepted. `now` counts from any fixed origin and never goes back;
    /// `seed` makes the handshake's random bytes.
    pub fn new(limits: Limits, seed: u64, now: Duration) -> Self {
        Self {
            timers: Timers::new(&limits, now),
            handshake: Some(Handshake::new(seed)),
            reader: ChunkReader::new(limits.of_strangers()).at_offset(Handshake::INPUT_BYTES),
            writer: ChunkWriter::default(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            acknowledgement: Acknowledgement::new(WINDOW_BYTES),
            connection: None,
            streams: NetStreams::new(limits.streams),
            rtt: None,
            peer_received: None,
            window_told: WINDOW_BYTES,
            is_trusted: false,
            limits,
            dead: false,
        }
    }

    /// Takes what the peer sent, cut anywhere.
    ///
    /// # Errors
    /// [`RtmpError`] of every kind but `Timeout`; the connection is over.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> Result<(), RtmpError> {
        if self.dead || input.is_empty() {
            return Ok(());
        }
        self.timers.on_input(now);
        let result = self.consume(input);
        self.note_use();
        self.dead = result.is_err();
        result
    }

    /// The next thing that the peer did.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.streams.activity() == Activity::Watches {
            // Who plays says little: thousands need not keep the room for what they said in the beginning.
            self.events = VecDeque::new();
        }
        event
    }

    /// The next bytes to write to the peer, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        // Taken whole: a rest of the buffer would hold all of it, which is three kilobytes since the handshake.
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output).freeze())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the clock of `now`; it changes with every call.
    pub fn poll_timeout(&self) -> Option<Duration> {
        (!self.dead).then(|| self.timers.next().at)
    }

    /// Says that the time is `now`.
    ///
    /// # Errors
    /// [`RtmpError::Timeout`] when the peer is late; the connection is over.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), RtmpError> {
        if self.dead {
            return Ok(());
        }
        let result = self.timers.check(now);
        self.dead = result.is_err();
        if result? {
            self.ping();
        }
        Ok(())
    }

    /// Asks the peer to answer at once; [`rtt`](Self::rtt) then says how long that took. Viewers that are silent are pinged by
    /// [`handle_timeout`](Self::handle_timeout).
    pub fn ping(&mut self) {
        // Milliseconds modulo 2^32, as the field says; the peer gives them back.
        let now_ms = self.timers.now().as_millis() as u32;
        self.send_user_control(user_control::PING_REQUEST, now_ms);
    }

    /// The time from the last ping that was answered to its answer.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The bytes that the peer says it has received of us, modulo 2^32 (RTMP §5.4.3); `None` when it has not said yet.
    pub fn peer_received(&self) -> Option<u32> {
        self.peer_received
    }

    /// Lets a requested publish begin: most encoders send media when they hear this, and what others have sent before comes now. Nothing
    /// happens when the request is no longer there (the peer may have left).
    pub fn accept_publish(&mut self, stream_id: u32) {
        if self.streams.change(stream_id, Use::PublishRequested, Use::Publishing) {
            self.is_trusted = true;
            self.reader.set_limits(self.limits);
            self.events.extend(self.streams.take_early(stream_id).into_iter().map(Event::Media));
            self.send_user_control(user_control::STREAM_BEGIN, stream_id);
            self.send_status(stream_id, Status::publish_start());
        }
    }

    /// Refuses a requested publish; `description` is shown to the encoder's user. ffmpeg, OBS and
    /// GStreamer's rtmp2sink leave then; plain librtmp does not know the code of
    /// [`PublishRejection::Unauthorized`] and waits until the connection is closed.
    pub fn reject_publish(&mut self, stream_id: u32, reason: PublishRejection, description: &str) {
        if self.streams.change(stream_id, Use::PublishRequested, Use::Idle) {
            self.streams.take_early(stream_id);
            self.send_status(stream_id, Status::publish_rejected(reason, description));
            self.note_use();
        }
    }

    /// Ends an accepted publish from our side; there is no [`Event::PublishEnded`] for it. Media that
    /// the peer still sends is dropped.
    pub fn end_publish(&mut self, stream_id: u32, description: &str) {
        if self.streams.change(stream_id, Use::Publishing, Use::Idle) {
            self.send_status(stream_id, Status::unpublished(description));
            self.note_use();
        }
    }

    /// Whether to read on. Not while a publish waits for the decision and the peer has sent as much of it as may wait: what comes then is
    /// still taken for as long again, and after that it is an error.
    pub fn wants_input(&self) -> bool {
        if !self.streams.is_asking() {
            return true;
        }
        // Whoever has been let publish may be in the middle of a picture of that.
        let unfinished = if self.is_trusted { 0 } else { self.reader.buffered_bytes() };
        self.streams.early_bytes().saturating_add(unfinished) < self.limits.waiting_bytes
    }

    /// Memory held for the peer: unfinished messages, media that waits, events and output not polled yet, chunk stream states.
    pub fn buffered_bytes(&self) -> usize {
        let media = |event: &Event| if let Event::Media(media) = event { media.body.len() } else { 0 };
        self.reader.buffered_bytes()
            + self.handshake.as_ref().map_or(0, Handshake::buffered_bytes)
            + self.streams.early_bytes()
            + self.events.iter().map(media).sum::<usize>()
            + self.events.capacity() * size_of::<Event>()
            + self.output.len()
    }

    /// Whether the peer has begun something, the handshake or a message, and not ended it: a connection that closes now was cut.
    pub fn is_mid_input(&self) -> bool {
        self.handshake.as_ref().map_or_else(|| self.reader.is_mid_message(), |it| it.buffered_bytes() > 0)
    }

    /// Bytes that have to come at least before a message is whole that has begun; `None` between two messages. To wait for them all at
    /// once delays no message.
    pub fn missing_bytes(&self) -> Option<usize> {
        if self.handshake.is_some() { Some(1) } else { self.reader.missing_bytes() }
    }

    fn consume(&mut self, mut input: &[u8]) -> Result<(), RtmpError> {
        self.acknowledgement.on_input(input.len());
        if !self.shake_hands(&mut input)? {
            return Ok(());
        }
        while let Some(message) = self.reader.read(&mut input)? {
            self.on_message(message)?;
            self.check_pending()?;
        }
        if let Some(received) = self.acknowledgement.due() {
            self.send_control(type_id::ACKNOWLEDGEMENT, &received.to_be_bytes());
        }
        Ok(())
    }

    fn shake_hands(&mut self, input: &mut &[u8]) -> Result<bool, RtmpError> {
        let Some(handshake) = &mut self.handshake else { return Ok(true) };
        let done = handshake.read(self.timers.now(), input, &mut self.output)?;
        if done {
            self.handshake = None;
        }
        Ok(done)
    }

    fn on_message(&mut self, message: Message) -> Result<(), RtmpError> {
        match message.type_id {
            type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 => self.on_media(message),
            type_id::AGGREGATE => self.on_aggregate(&message)?,
            type_id::COMMAND_AMF0 => self.on_command(message.stream_id, &message.body)?,
            // An AMF3 command message holds AMF0 values behind a format byte of 0 (RTMP §7.1.1).
            type_id::COMMAND_AMF3 => self.on_command(message.stream_id, media::behind_format_byte(&message.body))?,
            _ => self.on_control(&message)?,
        }
        Ok(())
    }

    fn on_control(&mut self, message: &Message) -> Result<(), RtmpError> {
        match Control::parse(message)? {
            Some(Control::SetChunkSize(size)) => self.reader.set_chunk_bytes(size)?,
            Some(Control::Abort { chunk_stream }) => self.reader.abort(chunk_stream),
            Some(Control::WindowAckSize(window)) => self.acknowledgement.set_window(window),
            Some(Control::PingRequest { timestamp }) => self.send_user_control(user_control::PING_RESPONSE, timestamp),
            Some(Control::PingResponse { timestamp }) => {
                let now_ms = self.timers.now().as_millis() as u32;
                self.rtt = Some(Duration::from_millis(u64::from(now_ms.wrapping_sub(timestamp))));
            }
            Some(Control::Acknowledgement(received)) => self.peer_received = Some(received),
            // The answer says the window that is asked for, unless it is the one that we said last (RTMP §5.4.5).
            Some(Control::SetPeerBandwidth(window)) if window != self.window_told && window > 0 => {
                self.window_told = window;
                self.send_control(type_id::WINDOW_ACK_SIZE, &window.to_be_bytes());
            }
            Some(Control::SetPeerBandwidth(_)) | None => {}
        }
        Ok(())
    }

    /// Run after each message: what one message adds is small.
    fn check_pending(&self) -> Result<(), RtmpError> {
        let Limits { pending_events, pending_output_bytes, .. } = self.limits;
        let (early, early_max) = (self.streams.early_bytes(), self.reader.unfinished_bytes_max());
        if early > early_max {
            return Err(RtmpError::limit("waiting_bytes", early_max, early));
        }
        if self.events.len() > pending_events {
            return Err(RtmpError::limit("pending_events", pending_events, self.events.len()));
        }
        if self.output.len() > pending_output_bytes {
            return Err(RtmpError::limit("pending_output_bytes", pending_output_bytes, self.output.len()));
        }
        Ok(())
    }

    /// Run after everything that may begin or end a use of the connection.
    fn note_use(&mut self) {
        if self.handshake.is_none() {
            self.timers.on_use(self.streams.activity());
        }
    }

    fn send_control(&mut self, type_id: u8, body: &[u8]) {
        self.writer.write(chunk_stream::CONTROL, type_id, 0, body, &mut self.output);
    }

    fn send_user_control(&mut self, event: u16, value: u32) {
        self.send_control(type_id::USER_CONTROL, &[&event.to_be_bytes()[..], &value.to_be_bytes()].concat());
    }

    fn send_command(&mut self, body: &[u8]) {
        self.writer.write(chunk_stream::COMMAND, type_id::COMMAND_AMF0, 0, body, &mut self.output);
    }

    fn send_status(&mut self, stream_id: u32, status: Status<'_>) {
        let body = status.on_status();
        self.writer.write(chunk_stream::STATUS, type_id::COMMAND_AMF0, stream_id, &body, &mut self.output);
    }
}
