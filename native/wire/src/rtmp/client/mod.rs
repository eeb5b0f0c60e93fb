//! One connection, the client's side: publishing to a server, or playing from one.
//!
//! ```text
//! handshake ──▶ connect ──▶ createStream ──▶ publish or play ──▶ Started ──▶ Ended
//!      └───────────┴─── error, refusal, time-out ──┴──▶ dead
//! ```

mod command;
mod event;
mod login;
mod media;

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

pub use self::{
    event::{ClientConfig, ClientEvent, ClientUse},
    login::Login,
};
use super::{
    Limits, MediaKind, Message, RtmpError,
    acknowledgement::Acknowledgement,
    amf::Value,
    chunk::{ChunkReader, ChunkWriter},
    conn::media::{SET_DATA_FRAME, behind_format_byte},
    egress::{self, Chunking, put_message},
    handshake::ClientHandshake,
    message::{Control, type_id, user_control},
};

/// Until the server says otherwise (RTMP §5.4.4 names no default).
const WINDOW_BYTES: u32 = 2_500_000;
/// S0, S1 and S2.
const HANDSHAKE_BYTES: u64 = 3_073;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Handshake,
    Connecting,
    Creating,
    Starting,
    Started,
    /// Ended or broken: input is ignored.
    Dead,
}

/// The client's side of one RTMP connection. Driven as [`ServerConn`](super::ServerConn) is; the first output is there at once.
#[derive(Debug)]
pub struct ClientConn {
    config: ClientConfig,
    limits: Limits,
    state: State,
    handshake: Option<ClientHandshake>,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: BytesMut,
    events: VecDeque<ClientEvent>,
    acknowledgement: Acknowledgement,
    stream_id: u32,
    now: Duration,
    opened: Duration,
    last_input: Duration,
}

impl ClientConn {
    /// A connection that was just made. `now` counts from any fixed origin and never goes back; `seed` makes the handshake's random
    /// bytes.
    pub fn new(config: ClientConfig, limits: Limits, seed: u64, now: Duration) -> Self {
        let mut output = BytesMut::new();
        let handshake = ClientHandshake::begin(now, seed, &mut output);
        Self {
            config,
            limits,
            state: State::Handshake,
            handshake: Some(handshake),
            reader: ChunkReader::new(limits).at_offset(HANDSHAKE_BYTES),
            writer: ChunkWriter::default(),
            output,
            events: VecDeque::new(),
            acknowledgement: Acknowledgement::new(WINDOW_BYTES),
            stream_id: 0,
            now,
            opened: now,
            last_input: now,
        }
    }

    /// Takes what the server sent, cut anywhere.
    ///
    /// # Errors
    /// [`RtmpError`] of every kind but `Timeout`; the connection is over.
    pub fn handle_input(&mut self, now: Duration, input: &[u8]) -> Result<(), RtmpError> {
        (self.now, self.last_input) = (now, now);
        if self.state == State::Dead || input.is_empty() {
            return Ok(());
        }
        let result = self.consume(input);
        if result.is_err() {
            self.state = State::Dead;
        }
        result
    }

    /// The next thing that the server did.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// The next bytes to write to the server, in order.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the clock of `now`; it changes with every call.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline().map(|(at, _, _)| at)
    }

    /// Says that the time is `now`.
    ///
    /// # Errors
    /// [`RtmpError::Timeout`] when the server is late; the connection is over.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), RtmpError> {
        self.now = now;
        match self.deadline() {
            Some((at, what, after)) if now >= at => {
                self.state = State::Dead;
                Err(RtmpError::Timeout { what, after })
            }
            _ => Ok(()),
        }
    }

    /// Sends one message of a publish that has started; nothing otherwise. Its body is `header` and then `payload`, as of an `FlvTag`; in front of
    /// a script stands what has servers keep it for players that come later.
    /// The caller polls the output and does not send on when it stays.
    pub fn send(&mut self, kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8]) {
        if self.state == State::Started && self.config.purpose == ClientUse::Publish {
            let chunking = Chunking { stream_id: self.stream_id, chunk_bytes: egress::CHUNK_BYTES };
            let addressed = if kind == MediaKind::Script { [SET_DATA_FRAME, header].concat() } else { Vec::new() };
            let header = if addressed.is_empty() { header } else { &addressed };
            self.output.reserve(egress::chunks_bytes_max(header, payload));
            put_message(&chunking, kind, timestamp_ms, header, payload, &mut self.output);
        }
    }

    /// Bytes of output that were not polled yet.
    pub fn pending_output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Memory held for the server: unfinished messages, events and output not polled yet.
    pub fn buffered_bytes(&self) -> usize {
        let media = |event: &ClientEvent| if let ClientEvent::Media(media) = event { media.body.len() } else { 0 };
        self.reader.buffered_bytes()
            + self.events.iter().map(media).sum::<usize>()
            + self.events.capacity() * size_of::<ClientEvent>()
            + self.output.len()
    }

    /// Takes leave in order: what is polled then is the last. There is no [`ClientEvent::Ended`] for it.
    pub fn close(&mut self) {
        if matches!(self.state, State::Starting | State::Started) {
            if self.config.purpose == ClientUse::Publish {
                self.command("FCUnpublish", 0.0, &[Value::Null, self.name()]);
            }
            self.command("deleteStream", 0.0, &[Value::Null, Value::from(f64::from(self.stream_id))]);
        }
        self.state = State::Dead;
    }

    fn deadline(&self) -> Option<(Duration, &'static str, Duration)> {
        let Limits { handshake_time, idle_time, .. } = self.limits;
        match (self.state, self.config.purpose) {
            (State::Dead, _) => None,
            // A server need not say anything to a publisher; that it is gone, the socket says.
            (State::Started, ClientUse::Publish) => None,
            (State::Started, ClientUse::Play) => {
                Some((self.last_input.saturating_add(idle_time), "sent nothing", idle_time))
            }
            _ => Some((self.opened.saturating_add(handshake_time), "did not let us begin", handshake_time)),
        }
    }

    fn consume(&mut self, mut input: &[u8]) -> Result<(), RtmpError> {
        self.acknowledgement.on_input(input.len());
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(self.now, &mut input, &mut self.output)? {
                return Ok(());
            }
            self.handshake = None;
            self.connect();
        }
        while let Some(message) = self.reader.read(&mut input)? {
            self.on_message(message)?;
            if self.state == State::Dead {
                return Ok(());
            }
            self.check_pending()?;
        }
        if let Some(received) = self.acknowledgement.due() {
            self.control(type_id::ACKNOWLEDGEMENT, &received.to_be_bytes());
        }
        Ok(())
    }

    fn check_pending(&self) -> Result<(), RtmpError> {
        let max = self.limits.pending_events;
        if self.events.len() > max {
            return Err(RtmpError::limit("pending_events", max, self.events.len()));
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), RtmpError> {
        match message.type_id {
            type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 => self.on_media(message),
            type_id::AGGREGATE => self.on_aggregate(&message)?,
            type_id::COMMAND_AMF0 => self.on_command(&message.body)?,
            type_id::COMMAND_AMF3 => self.on_command(behind_format_byte(&message.body))?,
            _ => self.on_control(&message)?,
        }
        Ok(())
    }

    fn on_control(&mut self, message: &Message) -> Result<(), RtmpError> {
        match Control::parse(message)? {
            Some(Control::SetChunkSize(size)) => self.reader.set_chunk_bytes(size)?,
            Some(Control::Abort { chunk_stream }) => self.reader.abort(chunk_stream),
            Some(Control::WindowAckSize(window)) => self.acknowledgement.set_window(window),
            Some(Control::SetPeerBandwidth(window)) => {
                self.control(type_id::WINDOW_ACK_SIZE, &window.to_be_bytes());
            }
            Some(Control::PingRequest { timestamp }) => self.user_control(user_control::PING_RESPONSE, &[timestamp]),
            Some(Control::PingResponse { .. } | Control::Acknowledgement(_)) | None => {}
        }
        Ok(())
    }

    fn control(&mut self, type_id: u8, body: &[u8]) {
        self.writer.write(2, type_id, 0, body, &mut self.output);
    }

    fn user_control(&mut self, event: u16, values: &[u32]) {
        let values = values.iter().flat_map(|value| value.to_be_bytes());
        let body: Vec<u8> = event.to_be_bytes().into_iter().chain(values).collect();
        self.control(type_id::USER_CONTROL, &body);
    }
}
