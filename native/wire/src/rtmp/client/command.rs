//! The commands of a client and what the server answers: from `connect` to the start of its use, and to the end.

use super::{
    super::{
        Capabilities, RtmpError,
        amf::{self, Decoder, Value},
        conn::connect::capabilities,
        egress,
        message::{type_id, user_control},
        reply,
    },
    ClientConn, ClientEvent, ClientUse, State,
};

/// What players ask a server to have ready; live servers pass over it.
const BUFFER_MS: u32 = 1_000;

/// Numbers of our commands, by which we know their answers.
mod transaction {
    pub const CONNECT: f64 = 1.0;
    pub const RELEASE_STREAM: f64 = 2.0;
    pub const FC_PUBLISH: f64 = 3.0;
    pub const CREATE_STREAM: f64 = 4.0;
    pub const USE: f64 = 5.0;
}

impl ClientConn {
    pub(super) fn connect(&mut self) {
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

    pub(super) fn on_command(&mut self, body: &[u8]) -> Result<(), RtmpError> {
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

    pub(super) fn name(&self) -> Value {
        Value::from(self.config.stream.as_str())
    }

    pub(super) fn command(&mut self, name: &str, transaction: f64, arguments: &[Value]) {
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

fn text_of(information: &Value, name: &str) -> String {
    information.property(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
