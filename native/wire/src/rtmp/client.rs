//! One connection, the client's side: publishing to a server, or playing from one.
//!
//! ```text
//! handshake ──▶ connect ──▶ createStream ──▶ publish or play ──▶ Started ──▶ Ended
//!      └───────────┴─── error, refusal, time-out ──┴──▶ dead
//! ```

use std::{collections::VecDeque, time::Duration};

use arcly_codec::cursor::Cursor;
use bytes::{Bytes, BytesMut};

use super::{
    Capabilities, Limits, Media, MediaKind, Message, RtmpError,
    acknowledgement::Acknowledgement,
    amf::{self, Decoder, Value},
    chunk::{ChunkReader, ChunkWriter},
    conn::{
        connect::capabilities,
        media::{behind_format_byte, media_of, read_part},
    },
    egress::{self, Chunking, put_message},
    handshake::ClientHandshake,
    message::{Control, type_id, user_control},
    reply,
};

/// Until the server says otherwise (RTMP §5.4.4 names no default).
const WINDOW_BYTES: u32 = 2_500_000;
/// What players ask a server to have ready; live servers pass over it.
const BUFFER_MS: u32 = 1_000;
/// S0, S1 and S2.
const HANDSHAKE_BYTES: u64 = 3_073;

/// Numbers of our commands, by which we know their answers.
mod transaction {
    pub const CONNECT: f64 = 1.0;
    pub const RELEASE_STREAM: f64 = 2.0;
    pub const FC_PUBLISH: f64 = 3.0;
    pub const CREATE_STREAM: f64 = 4.0;
    pub const USE: f64 = 5.0;
}

/// What a client wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUse {
    /// To send a stream.
    Publish,
    /// To be sent a stream.
    Play,
}

/// Where a client goes, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The application, with its query: `live`, `live/inst?token=x`.
    pub app: String,
    /// The URL up to the application, as dialled: `rtmp://host/live`.
    pub tc_url: String,
    /// The stream's name, with its query.
    pub stream: String,
    /// What for.
    pub purpose: ClientUse,
}

/// Something that the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// `connect` was accepted by a server that can do this of Enhanced RTMP.
    Connected(Capabilities),
    /// The publish or play was accepted: media may be sent, or will come.
    Started,
    /// Media of our play.
    Media(Media),
    /// The server refused, or the stream is over: nothing more will come. Close the connection.
    Ended {
        /// `NetStream.Publish.BadName`, `NetConnection.Connect.Rejected`; may be empty.
        code: String,
        /// For a person; may be empty.
        description: String,
        /// Whether that was a refusal or a failure, and not an end in order.
        is_error: bool,
    },
    /// The server asks us to come again, while it goes on for some time (Enhanced RTMP v2).
    ReconnectRequest {
        /// Where; empty is where we are.
        tc_url: String,
        /// For a person; may be empty.
        description: String,
    },
}

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

    /// Sends one message of a publish that has started; nothing otherwise. Its body is `header` and then `payload`, as of an `FlvTag`.
    /// The caller polls the output and does not send on when it stays.
    pub fn send(&mut self, kind: MediaKind, timestamp_ms: u32, header: &[u8], payload: &[u8]) {
        if self.state == State::Started && self.config.purpose == ClientUse::Publish {
            let chunking = Chunking { stream_id: self.stream_id, chunk_bytes: egress::CHUNK_BYTES };
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

    fn connect(&mut self) {
        self.state = State::Connecting;
        let text = |name: &str, text: &str| (name.to_owned(), Value::from(text));
        let mut properties = vec![
            text("app", &self.config.app),
            text("type", "nonprivate"),
            text("flashVer", concat!("FMLE/3.0 (compatible; arcly/", env!("CARGO_PKG_VERSION"), ")")),
            text("tcUrl", &self.config.tc_url),
            ("objectEncoding".to_owned(), Value::from(0.0)),
        ];
        properties.extend(reply::capabilities());
        self.control(type_id::SET_CHUNK_SIZE, &egress::CHUNK_BYTES.to_be_bytes());
        self.writer.set_chunk_bytes(egress::CHUNK_BYTES);
        self.command("connect", transaction::CONNECT, &[Value::Object(properties)]);
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

    fn on_media(&mut self, message: Message) {
        if self.config.purpose != ClientUse::Play || !matches!(self.state, State::Starting | State::Started) {
            return;
        }
        let Message { type_id, stream_id, timestamp_ms, body } = message;
        let Some((kind, body)) = media_of(type_id, body) else { return };
        // What servers say to players in data messages is no script of the stream.
        let is_notice = kind == MediaKind::Script && is_notice(&body);
        if stream_id == self.stream_id && !body.is_empty() && !is_notice {
            self.events.push_back(ClientEvent::Media(Media { stream_id, kind, timestamp_ms, body }));
        }
    }

    fn on_aggregate(&mut self, message: &Message) -> Result<(), RtmpError> {
        let mut rest = Cursor::new(&message.body);
        let mut shift_ms = None;
        while !rest.is_empty() {
            let offset = rest.offset();
            let part = read_part(&mut rest, &message.body).ok_or(RtmpError::malformed("aggregate message", offset))?;
            let shift_ms = *shift_ms.get_or_insert(message.timestamp_ms.wrapping_sub(part.timestamp_ms));
            let timestamp_ms = part.timestamp_ms.wrapping_add(shift_ms);
            self.on_media(Message { stream_id: message.stream_id, timestamp_ms, ..part });
            self.check_pending()?;
        }
        Ok(())
    }

    fn on_command(&mut self, body: &[u8]) -> Result<(), RtmpError> {
        let mut values = Decoder::new(body, self.limits.amf());
        let Some(Value::String(name)) = values.next_value()? else {
            return Err(RtmpError::malformed("command name", 0));
        };
        let transaction = values.next_value()?.and_then(|value| value.as_number()).unwrap_or_default();
        match name.as_str() {
            "_result" => self.on_result(transaction, &mut values),
            "_error" => self.on_error(transaction, &mut values),
            "onStatus" => self.on_status(&mut values),
            // Wowza closes so.
            "close" => {
                self.end("", "the server closed the connection", true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_result(&mut self, transaction: f64, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let first = values.next_value()?.unwrap_or(Value::Null);
        let second = values.next_value()?.unwrap_or(Value::Null);
        if transaction == transaction::CONNECT && self.state == State::Connecting {
            let of_server = [capabilities(&first), capabilities(&second)];
            let known = of_server.into_iter().find(|known| *known != Capabilities::default()).unwrap_or_default();
            self.events.push_back(ClientEvent::Connected(known));
            self.create_stream();
        } else if transaction == transaction::CREATE_STREAM && self.state == State::Creating {
            // A cast of a number that is no id gives one that the server does not know; it says so.
            self.stream_id = second.as_number().unwrap_or_default() as u32;
            self.begin_use();
        }
        Ok(())
    }

    fn create_stream(&mut self) {
        self.state = State::Creating;
        if self.config.purpose == ClientUse::Publish {
            // In no specification, but some servers wait for them (since FMLE).
            self.command("releaseStream", transaction::RELEASE_STREAM, &[Value::Null, self.name()]);
            self.command("FCPublish", transaction::FC_PUBLISH, &[Value::Null, self.name()]);
        }
        self.command("createStream", transaction::CREATE_STREAM, &[Value::Null]);
    }

    fn begin_use(&mut self) {
        self.state = State::Starting;
        let (name, stream_id) = (self.name(), self.stream_id);
        match self.config.purpose {
            ClientUse::Publish => {
                let arguments = [Value::Null, name, Value::from("live")];
                self.command_on(stream_id, "publish", transaction::USE, &arguments);
            }
            ClientUse::Play => {
                // -2: live, or a recording (RTMP §7.2.2.1).
                self.command_on(stream_id, "play", transaction::USE, &[Value::Null, name, Value::from(-2.0)]);
                self.user_control(user_control::SET_BUFFER_LENGTH, &[stream_id, BUFFER_MS]);
            }
        }
    }

    /// Of `releaseStream` and `FCPublish` an error says nothing: servers do not know them.
    fn on_error(&mut self, transaction: f64, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        values.next_value()?;
        let information = values.next_value()?.unwrap_or(Value::Null);
        if transaction != transaction::RELEASE_STREAM && transaction != transaction::FC_PUBLISH {
            let (code, description) = (text_of(&information, "code"), text_of(&information, "description"));
            self.end(&code, &description, true);
        }
        Ok(())
    }

    fn on_status(&mut self, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        values.next_value()?;
        let information = values.next_value()?.unwrap_or(Value::Null);
        let (code, description) = (text_of(&information, "code"), text_of(&information, "description"));
        let is_error = text_of(&information, "level") == "error";
        match code.as_str() {
            "NetConnection.Connect.ReconnectRequest" => {
                let tc_url = text_of(&information, "tcUrl");
                self.events.push_back(ClientEvent::ReconnectRequest { tc_url, description });
            }
            "NetStream.Publish.Start" if self.config.purpose == ClientUse::Publish => self.start(),
            "NetStream.Play.Start" if self.config.purpose == ClientUse::Play => self.start(),
            "NetStream.Play.Stop"
            | "NetStream.Play.Complete"
            | "NetStream.Play.UnpublishNotify"
            | "NetStream.Unpublish.Success" => self.end(&code, &description, false),
            _ if is_error || is_refusal(&code) => self.end(&code, &description, true),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self) {
        if self.state == State::Starting {
            self.state = State::Started;
            self.events.push_back(ClientEvent::Started);
        }
    }

    fn end(&mut self, code: &str, description: &str, is_error: bool) {
        self.state = State::Dead;
        let (code, description) = (code.to_owned(), description.to_owned());
        self.events.push_back(ClientEvent::Ended { code, description, is_error });
    }

    fn name(&self) -> Value {
        Value::from(self.config.stream.as_str())
    }

    fn control(&mut self, type_id: u8, body: &[u8]) {
        self.writer.write(2, type_id, 0, body, &mut self.output);
    }

    fn user_control(&mut self, event: u16, values: &[u32]) {
        let values = values.iter().flat_map(|value| value.to_be_bytes());
        let body: Vec<u8> = event.to_be_bytes().into_iter().chain(values).collect();
        self.control(type_id::USER_CONTROL, &body);
    }

    fn command(&mut self, name: &str, transaction: f64, arguments: &[Value]) {
        self.command_on(0, name, transaction, arguments);
    }

    fn command_on(&mut self, stream_id: u32, name: &str, transaction: f64, arguments: &[Value]) {
        let mut body = Vec::new();
        amf::encode(&Value::from(name), &mut body);
        amf::encode(&Value::from(transaction), &mut body);
        arguments.iter().for_each(|argument| amf::encode(argument, &mut body));
        self.writer.write(3, type_id::COMMAND_AMF0, stream_id, &body, &mut self.output);
    }
}

/// Codes of refusals whose level some servers leave out.
fn is_refusal(code: &str) -> bool {
    ["NetStream.Publish.BadName", "NetStream.Publish.Denied", "NetStream.Play.StreamNotFound", "NetStream.Failed"]
        .contains(&code)
}

fn is_notice(body: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"\x02\x00\x11|RtmpSampleAccess", b"\x02\x00\x08onStatus", b"\x02\x00\x0conPlayStatus"];
    names.iter().any(|name| body.starts_with(name))
}

fn text_of(information: &Value, name: &str) -> String {
    information.property(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
