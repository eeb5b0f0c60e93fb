//! Commands (RTMP §7.2): those of the specification and those that encoders have sent since FMLE.

use super::{
    super::{
        Capabilities, Event, PlayChange, PublishRequest, RtmpError,
        amf::{Decoder, Value},
        egress,
        message::{type_id, user_control},
        name, reply,
        reply::Status,
    },
    LIMIT_DYNAMIC, ServerConn, WINDOW_BYTES,
    connect::{connect_info, object_encoding},
    streams::{Ended, Use},
};

/// What to tell a user whose URL has no stream in it.
pub(super) const NO_NAME: &str = "no stream name: use rtmp://host/app/name";

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
            "play2" => self.on_play2(stream_id, &mut values),
            "pause" => self.on_pause(stream_id, &mut values, true),
            "pauseRaw" => self.on_pause(stream_id, &mut values, false),
            "receiveAudio" => self.on_receive(stream_id, &mut values, PlayChange::Audio),
            "receiveVideo" => self.on_receive(stream_id, &mut values, PlayChange::Video),
            "seek" => self.on_seek(stream_id),
            "closeStream" => self.on_close_stream(stream_id),
            "deleteStream" => self.on_delete_stream(&mut values),
            "FCPublish" => self.on_fc_publish(transaction, &mut values),
            "FCUnpublish" => self.on_fc_unpublish(transaction, &mut values),
            "FCSubscribe" => self.on_fc_subscribe(transaction, &mut values),
            "releaseStream" | "_checkbw" | "checkBandwidth" | "FCUnsubscribe" => {
                self.answer(transaction, Value::Undefined)
            }
            // Live has no length.
            "getStreamLength" => self.answer(transaction, Value::from(0.0)),
            _ => Ok(()),
        }
    }

    fn on_connect(&mut self, transaction: Transaction, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        if self.connection.is_some() {
            return Err(misbehaved("a connection that is connected", "connect"));
        }
        let object = values.next_value()?.unwrap_or(Value::Null);
        let info = connect_info(&object);
        let is_enhanced = info.capabilities != Capabilities::default();
        self.connection = Some(info.clone());
        self.send_control(type_id::WINDOW_ACK_SIZE, &WINDOW_BYTES.to_be_bytes());
        let [a, b, c, d] = WINDOW_BYTES.to_be_bytes();
        self.send_control(type_id::SET_PEER_BANDWIDTH, &[a, b, c, d, LIMIT_DYNAMIC]);
        self.send_control(type_id::SET_CHUNK_SIZE, &egress::CHUNK_BYTES.to_be_bytes());
        self.writer.set_chunk_bytes(egress::CHUNK_BYTES);
        self.send_user_control(user_control::STREAM_BEGIN, 0);
        self.send_command(&reply::connected(transaction, object_encoding(&object), is_enhanced));
        self.events.push_back(Event::Connected(info));
        Ok(())
    }

    fn on_create_stream(&mut self, transaction: Transaction) -> Result<(), RtmpError> {
        let id = self.streams.create()?;
        self.answer(transaction, Value::from(f64::from(id)))
    }

    fn on_publish(&mut self, stream_id: u32, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        let publish_type = values.next_value()?.and_then(|value| value.as_str().map(str::to_owned));
        self.begin_use(stream_id, "publish")?;
        // Without a name it is the caller's to refuse, like every other bad name.
        let nameless = || (self.connection.as_ref().map(|it| it.app.clone()).unwrap_or_default(), "".into(), "".into());
        let (app, stream, query) = self.key_of(&name).unwrap_or_else(nameless);
        self.streams.occupy(stream_id, Use::PublishRequested, &name);
        if !self.is_trusted {
            self.reader.set_limits(self.limits.of_undecided());
        }
        let publish_type = publish_type.unwrap_or_else(|| "live".to_owned());
        self.events.push_back(Event::PublishRequested(PublishRequest { stream_id, app, stream, query, publish_type }));
        Ok(())
    }

    /// A new use of a stream ends the one before it.
    pub(super) fn begin_use(&mut self, stream_id: u32, command: &str) -> Result<(), RtmpError> {
        self.check_stream(stream_id, command)?;
        self.release(stream_id);
        Ok(())
    }

    pub(super) fn check_stream(&self, stream_id: u32, command: &str) -> Result<(), RtmpError> {
        if self.streams.exists(stream_id) {
            return Ok(());
        }
        Err(misbehaved("a message stream that createStream did not make", command))
    }

    fn on_close_stream(&mut self, stream_id: u32) -> Result<(), RtmpError> {
        match self.release(stream_id) {
            Ended::Nothing => {}
            Ended::Publish => self.send_status(stream_id, Status::unpublished("closed")),
            Ended::Play => self.send_status(stream_id, Status::of_play("NetStream.Play.Stop", "closed")),
        }
        Ok(())
    }

    /// Has no answer (RTMP §7.2.2.3).
    fn on_delete_stream(&mut self, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let id = argument(values)?.as_number().unwrap_or_default();
        // A cast of a number that is no id gives one that does not exist, or 0.
        let id = id as u32;
        let ended = self.streams.delete(id);
        self.report_end(id, ended);
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

    /// In no specification; players of Adobe's content networks wait for the answer in front of `play`.
    fn on_fc_subscribe(&mut self, transaction: Transaction, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument_text(values)?;
        self.answer(transaction, Value::Undefined)?;
        self.send_command(&reply::on_fc("onFCSubscribe", "NetStream.Play.Start", &name));
        Ok(())
    }

    fn answer(&mut self, transaction: Transaction, value: Value) -> Result<(), RtmpError> {
        if transaction != 0.0 {
            self.send_command(&reply::result(transaction, value));
        }
        Ok(())
    }

    /// Application, stream and query for a name in a command.
    pub(super) fn key_of(&self, name: &str) -> Option<(String, String, String)> {
        let connection = self.connection.as_ref()?;
        let (path, query) = name::split_query(name);
        let (app, stream) = name::split_key(&connection.app, path)?;
        Some((app, stream, name::join_queries(query, &connection.query)))
    }
}

/// The value behind the command object, which is null in all commands but `connect`.
pub(super) fn argument(values: &mut Decoder<'_>) -> Result<Value, RtmpError> {
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
