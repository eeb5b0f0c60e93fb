//! Commands (RTMP §7.2): those of the specification and those that encoders have sent since FMLE.

use super::{
    super::{
        ConnectInfo, Event, PlayRequest, PublishRequest, RtmpError,
        amf::{Decoder, Value},
        message::{type_id, user_control},
        name, reply,
        reply::Status,
    },
    LIMIT_DYNAMIC, OUR_CHUNK_BYTES, ServerConn, WINDOW_BYTES,
    streams::Use,
};

/// What to tell a user whose URL has no stream in it.
const NO_NAME: &str = "no stream name: use rtmp://host/app/name";

/// The command's number, to be repeated in its answer. 0 wants no answer (RTMP §7.2.1.2).
type Transaction = f64;

impl ServerConn {
    pub(super) fn on_command(&mut self, stream_id: u32, body: &[u8]) -> Result<(), RtmpError> {
        let mut values = Decoder::new(body, self.limits.amf());
        let Some(Value::String(name)) = values.next_value()? else {
            return Err(RtmpError::malformed("command name", 0));
        };
        let transaction = values.next_value()?.and_then(|value| value.as_number()).unwrap_or_default();
        if self.connection.is_none() && name != "connect" {
            return Err(misbehaved("the wait for connect", &name));
        }
        match name.as_str() {
            "connect" => self.on_connect(transaction, &mut values),
            "createStream" => self.on_create_stream(transaction),
            "publish" => self.on_publish(stream_id, &mut values),
            "play" => self.on_play(stream_id, &mut values),
            "closeStream" => self.on_close_stream(stream_id),
            "deleteStream" => self.on_delete_stream(&mut values),
            "FCPublish" => self.on_fc_publish(transaction, &mut values),
            "FCUnpublish" => self.on_fc_unpublish(transaction, &mut values),
            "releaseStream" | "_checkbw" => self.answer(transaction, Value::Undefined),
            // Live has no length.
            "getStreamLength" => self.answer(transaction, Value::from(0.0)),
            _ => Ok(()),
        }
    }

    fn on_connect(&mut self, transaction: Transaction, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        if self.connection.is_some() {
            return Err(misbehaved("a connection that is connected", "connect"));
        }
        let info = connect_info(&values.next_value()?.unwrap_or(Value::Null));
        self.connection = Some(info.clone());
        self.send_control(type_id::WINDOW_ACK_SIZE, &WINDOW_BYTES.to_be_bytes());
        let [a, b, c, d] = WINDOW_BYTES.to_be_bytes();
        self.send_control(type_id::SET_PEER_BANDWIDTH, &[a, b, c, d, LIMIT_DYNAMIC]);
        self.send_control(type_id::SET_CHUNK_SIZE, &OUR_CHUNK_BYTES.to_be_bytes());
        self.writer.set_chunk_bytes(OUR_CHUNK_BYTES);
        self.send_user_control(user_control::STREAM_BEGIN, 0);
        self.send_command(&reply::connected(transaction));
        self.events.push_back(Event::Connected(info));
        Ok(())
    }

    fn on_create_stream(&mut self, transaction: Transaction) -> Result<(), RtmpError> {
        let id = self.streams.create()?;
        self.answer(transaction, Value::from(f64::from(id)))
    }

    fn on_publish(&mut self, stream_id: u32, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        self.begin_use(stream_id, "publish")?;
        // Without a name it is the caller's to refuse, like every other bad name.
        let nameless = || (self.connection.as_ref().map(|it| it.app.clone()).unwrap_or_default(), "".into(), "".into());
        let (app, stream, query) = self.key_of(&name).unwrap_or_else(nameless);
        self.streams.occupy(stream_id, Use::PublishRequested, &name);
        self.events.push_back(Event::PublishRequested(PublishRequest { stream_id, app, stream, query }));
        Ok(())
    }

    fn on_play(&mut self, stream_id: u32, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        self.begin_use(stream_id, "play")?;
        let Some((app, stream, query)) = self.key_of(&name) else {
            self.send_status(stream_id, Status::play_rejected(NO_NAME));
            return Ok(());
        };
        self.streams.occupy(stream_id, Use::PlayRequested, &name);
        self.events.push_back(Event::PlayRequested(PlayRequest { stream_id, app, stream, query }));
        Ok(())
    }

    /// A new use of a stream ends the one before it.
    fn begin_use(&mut self, stream_id: u32, command: &str) -> Result<(), RtmpError> {
        if !self.streams.exists(stream_id) {
            return Err(misbehaved("a message stream that createStream did not make", command));
        }
        self.release(stream_id);
        Ok(())
    }

    fn on_close_stream(&mut self, stream_id: u32) -> Result<(), RtmpError> {
        if self.release(stream_id) {
            self.send_status(stream_id, Status::unpublished("closed"));
        }
        Ok(())
    }

    /// Has no answer (RTMP §7.2.2.3).
    fn on_delete_stream(&mut self, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let id = argument(values)?.as_number().unwrap_or_default();
        // A cast of a number that is no id gives one that does not exist, or 0.
        let id = id as u32;
        if self.streams.delete(id) {
            self.events.push_back(Event::PublishEnded { stream_id: id });
        }
        Ok(())
    }

    fn on_fc_publish(&mut self, transaction: Transaction, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        self.answer(transaction, Value::Undefined)?;
        self.send_command(&reply::on_fc("onFCPublish", "NetStream.Publish.Start", &name));
        Ok(())
    }

    fn on_fc_unpublish(&mut self, transaction: Transaction, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        self.send_command(&reply::on_fc("onFCUnpublish", "NetStream.Unpublish.Success", &name));
        self.answer(transaction, Value::Undefined)?;
        match self.streams.publish_named(&name) {
            Some(stream_id) => self.on_close_stream(stream_id),
            None => Ok(()),
        }
    }

    /// Ends what a stream is used for; true when that was a publish.
    fn release(&mut self, stream_id: u32) -> bool {
        let was_publish = self.streams.release(stream_id);
        if was_publish {
            self.events.push_back(Event::PublishEnded { stream_id });
        }
        was_publish
    }

    fn answer(&mut self, transaction: Transaction, value: Value) -> Result<(), RtmpError> {
        if transaction != 0.0 {
            self.send_command(&reply::result(transaction, value));
        }
        Ok(())
    }

    /// Application, stream and query for a name in a command.
    fn key_of(&self, name: &str) -> Option<(String, String, String)> {
        let connection = self.connection.as_ref()?;
        let (path, query) = name::split_query(name);
        let (app, stream) = name::split_key(&connection.app, path)?;
        Some((app, stream, name::join_queries(query, &connection.query)))
    }
}

/// What the command object of `connect` says (RTMP §7.2.1.1). Nothing in it is needed: a missing
/// application shows when a stream is named.
fn connect_info(object: &Value) -> ConnectInfo {
    let text = |property| object.property(property).and_then(Value::as_str).unwrap_or_default();
    let (app, query) = name::split_query(text("app"));
    let query = if query.is_empty() { name::split_query(text("tcUrl")).1 } else { query };
    ConnectInfo {
        app: name::tidy_path(app),
        query: query.to_owned(),
        tc_url: text("tcUrl").to_owned(),
        flash_ver: text("flashVer").to_owned(),
    }
}

/// The value behind the command object, which is null in all commands but `connect`.
fn argument(values: &mut Decoder<'_>) -> Result<Value, RtmpError> {
    values.next_value()?;
    Ok(values.next_value()?.unwrap_or(Value::Null))
}

/// The same as text; empty when it is none.
fn argument_text(values: &mut Decoder<'_>) -> Result<String, RtmpError> {
    Ok(argument(values)?.as_str().unwrap_or_default().to_owned())
}

fn misbehaved(state: &'static str, command: &str) -> RtmpError {
    let command = command.chars().take(64).flat_map(char::escape_debug).collect::<String>();
    RtmpError::Misbehaved { state, got: format!("the command {command}") }
}
