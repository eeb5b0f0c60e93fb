//! From the first byte to media: handshake (RTMP §5.2, the simple one), connect, createStream, and play or publish (§7.2).

use super::amf::{self, Value};
use super::chunk::{self, Header, Message};
use crate::fault::Fault;
use crate::inspect::Media;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Play,
    Publish,
}

/// One end of a connection; `output` is what is to be sent.
pub struct Session {
    purpose: Purpose,
    app: String,
    stream: String,
    stage: Stage,
    reader: chunk::Reader,
    pub output: Vec<u8>,
    /// The message stream that media is on.
    pub stream_id: u32,
    received: u32,
    acknowledged: u32,
    window_bytes: u32,
}

#[derive(PartialEq)]
enum Stage {
    /// What has come of S0, S1 and S2.
    Handshake(Vec<u8>),
    Connecting,
    Creating,
    /// To play or publish.
    Asked,
    /// The server has agreed.
    Going,
}

const SIGNATURE_BYTES: usize = 1536;
const CONTROL: u8 = 2;
const COMMANDS: u8 = 3;
const PING: u16 = 6;
const PONG: u16 = 7;

impl Session {
    /// Begins with C0 and C1 in `output`. `name` is app/stream.
    pub fn new(purpose: Purpose, name: &str) -> Self {
        let (app, stream) = name.rsplit_once('/').unwrap_or(("", name));
        let mut output = vec![3];
        // Zeros where digest handshakes have a version: ours has none (§5.2.3).
        output.extend([0; SIGNATURE_BYTES]);
        Self {
            purpose,
            app: app.to_owned(),
            stream: stream.to_owned(),
            stage: Stage::Handshake(Vec::new()),
            reader: chunk::Reader::default(),
            output,
            stream_id: 0,
            received: 0,
            acknowledged: 0,
            window_bytes: 0,
        }
    }

    /// Whether the request to play or publish has been made.
    pub fn has_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Going)
    }

    /// Whether the server has agreed.
    pub fn is_going(&self) -> bool {
        self.stage == Stage::Going
    }

    /// Takes what the server sent.
    pub fn receive(&mut self, mut bytes: &[u8], media: &mut Media<'_>) -> Result<(), Fault> {
        self.received = self.received.wrapping_add(bytes.len() as u32);
        if let Stage::Handshake(so_far) = &mut self.stage {
            let (piece, rest) = bytes.split_at(bytes.len().min(1 + 2 * SIGNATURE_BYTES - so_far.len()));
            so_far.extend(piece);
            bytes = rest;
            self.finish_handshake()?;
        }
        while !bytes.is_empty() {
            let (message, rest) = self.reader.read(bytes, media)?;
            bytes = rest;
            if let Some(message) = message {
                self.take(&message)?;
            }
        }
        self.acknowledge();
        Ok(())
    }

    fn finish_handshake(&mut self) -> Result<(), Fault> {
        let Stage::Handshake(so_far) = &self.stage else { return Ok(()) };
        if so_far.first().is_some_and(|version| *version != 3) {
            return Err(Fault::Framing("S0 is not 3"));
        }
        if so_far.len() < 1 + 2 * SIGNATURE_BYTES {
            return Ok(());
        }
        self.output.extend(&so_far[1..=SIGNATURE_BYTES]);
        self.stage = Stage::Connecting;
        let properties = vec![
            ("app".to_owned(), Value::text(&self.app)),
            ("flashVer".to_owned(), Value::text("arcly-bench-load")),
            ("tcUrl".to_owned(), Value::String(format!("rtmp://127.0.0.1/{}", self.app))),
        ];
        self.command(0, &[Value::text("connect"), Value::Number(1.0), Value::Object(properties)]);
        Ok(())
    }

    fn take(&mut self, message: &Message) -> Result<(), Fault> {
        match message.type_id {
            chunk::WINDOW_ACKNOWLEDGEMENT_SIZE => self.window_bytes = message.u32_at(0).unwrap_or(0),
            chunk::SET_PEER_BANDWIDTH => {
                let window = message.u32_at(0).unwrap_or(0);
                self.control(chunk::WINDOW_ACKNOWLEDGEMENT_SIZE, &window.to_be_bytes());
            }
            chunk::USER_CONTROL if message.u16_at(0) == Some(PING) => {
                let mut pong = PONG.to_be_bytes().to_vec();
                pong.extend(&message.body[2..]);
                self.control(chunk::USER_CONTROL, &pong);
            }
            chunk::COMMAND => self.take_command(&message.body)?,
            _ => {}
        }
        Ok(())
    }

    fn take_command(&mut self, body: &[u8]) -> Result<(), Fault> {
        let values = amf::decode(body).ok_or(Fault::Framing("a command that is not AMF0"))?;
        let Some(Value::String(name)) = values.first() else { return Err(Fault::Framing("a command without a name")) };
        match (name.as_str(), &self.stage) {
            ("_error", Stage::Connecting | Stage::Creating) => Err(Fault::Refused(said(&values))),
            ("_result", Stage::Connecting) => {
                self.stage = Stage::Creating;
                self.command(0, &[Value::text("createStream"), Value::Number(2.0), Value::Null]);
                Ok(())
            }
            ("_result", Stage::Creating) => self.ask(&values),
            ("onStatus", _) => self.take_status(&values),
            _ => Ok(()),
        }
    }

    fn ask(&mut self, created: &[Value]) -> Result<(), Fault> {
        let Some(Value::Number(stream_id)) = created.get(3) else {
            return Err(Fault::Framing("no stream was created"));
        };
        self.stream_id = *stream_id as u32;
        self.stage = Stage::Asked;
        let stream = Value::text(&self.stream);
        match self.purpose {
            Purpose::Play => self.command(
                self.stream_id,
                &[Value::text("play"), Value::Number(3.0), Value::Null, stream, Value::Number(-2000.0)],
            ),
            Purpose::Publish => {
                self.command(
                    self.stream_id,
                    &[Value::text("publish"), Value::Number(3.0), Value::Null, stream, Value::text("live")],
                );
            }
        }
        Ok(())
    }

    fn take_status(&mut self, values: &[Value]) -> Result<(), Fault> {
        let info = values.get(3).unwrap_or(&Value::Null);
        match (info.property("level"), info.property("code")) {
            (Some("error"), _) => Err(Fault::Refused(said(values))),
            (_, Some("NetStream.Play.Start" | "NetStream.Publish.Start")) => {
                self.stage = Stage::Going;
                Ok(())
            }
            (_, Some("NetStream.Play.Stop" | "NetStream.Play.UnpublishNotify" | "NetStream.Play.StreamNotFound")) => {
                Err(Fault::Refused(said(values)))
            }
            _ => Ok(()),
        }
    }

    /// §5.4.3: the server may wait for it, and slows down.
    fn acknowledge(&mut self) {
        if self.window_bytes > 0 && self.received.wrapping_sub(self.acknowledged) >= self.window_bytes {
            self.acknowledged = self.received;
            self.control(chunk::ACKNOWLEDGEMENT, &self.received.to_be_bytes());
        }
    }

    fn control(&mut self, type_id: u8, body: &[u8]) {
        let header = Header { type_id, bytes: body.len(), ..Header::default() };
        chunk::write(&mut self.output, CONTROL, header, body, 128);
    }

    fn command(&mut self, stream_id: u32, values: &[Value]) {
        let body = amf::encode(values);
        let header = Header { type_id: chunk::COMMAND, bytes: body.len(), stream_id, ..Header::default() };
        chunk::write(&mut self.output, COMMANDS, header, &body, 128);
    }
}

fn said(values: &[Value]) -> String {
    let info = values.get(3).unwrap_or(&Value::Null);
    let code = info.property("code").unwrap_or("no code");
    info.property("description").map_or(code.to_owned(), |description| format!("{code} ({description})"))
}
