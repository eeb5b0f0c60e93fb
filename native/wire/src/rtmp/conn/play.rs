//! Playing: what viewers ask, and what they hear from us (RTMP §7.2.2). The media itself is written by whoever drives the machine, see
//! [`egress`](super::super::egress).

use std::time::Duration;

use super::{
    super::{
        Capabilities, Event, PlayChange, PlayRequest, PlayStart, RtmpError,
        amf::{Decoder, Value},
        message::{type_id, user_control},
        reply,
        reply::Status,
    },
    ServerConn,
    command::{NO_NAME, argument},
    streams::{Ended, Use},
};

impl ServerConn {
    /// Lets a requested play begin, and says all that players wait for in front of the media. What comes next on the connection may be
    /// media. Nothing happens when the request is no longer there.
    pub fn accept_play(&mut self, stream_id: u32) {
        if !self.streams.change(stream_id, Use::PlayRequested, Use::Playing) {
            return;
        }
        self.send_user_control(user_control::STREAM_BEGIN, stream_id);
        if self.streams.resets(stream_id) {
            self.send_status(stream_id, Status::of_play("NetStream.Play.Reset", "resetting"));
        }
        self.send_status(stream_id, Status::of_play("NetStream.Play.Start", "playing"));
        self.send_data(stream_id, &reply::sample_access());
        self.send_data(stream_id, &reply::data_status("onStatus", "NetStream.Data.Start"));
        if let Some(paused) = self.streams.take_early_pause(stream_id) {
            self.send_paused(stream_id, paused);
        }
        self.note_use();
    }

    /// Refuses a requested play; `description` is shown to the player's user.
    pub fn reject_play(&mut self, stream_id: u32, description: &str) {
        if self.streams.change(stream_id, Use::PlayRequested, Use::Idle) {
            self.send_status(stream_id, Status::of_play_rejected(description));
            self.play_next(stream_id);
            self.note_use();
        }
    }

    /// Tells a viewer that the publisher came (back) or went. Many players, ffmpeg among them, take the latter for the end: say it only
    /// when the publisher does not come back.
    pub fn notify_publisher(&mut self, stream_id: u32, is_there: bool) {
        if self.streams.is(stream_id, Use::Playing) {
            let code = if is_there { "NetStream.Play.PublishNotify" } else { "NetStream.Play.UnpublishNotify" };
            self.send_status(stream_id, Status::of_play(code, ""));
        }
    }

    /// Ends an accepted play from our side: the stream is over. There is no [`Event::PlayEnded`] for it. What stands behind it in the
    /// playlist of the peer is asked for then.
    pub fn end_play(&mut self, stream_id: u32, description: &str) {
        if self.streams.change(stream_id, Use::Playing, Use::Idle) && !self.play_next(stream_id) {
            self.send_data(stream_id, &reply::data_status("onPlayStatus", "NetStream.Play.Complete"));
            self.send_user_control(user_control::STREAM_EOF, stream_id);
            self.send_status(stream_id, Status::of_play("NetStream.Play.Stop", description));
        }
        self.note_use();
    }

    fn play_next(&mut self, stream_id: u32) -> bool {
        let Some(next) = self.streams.dequeue(stream_id) else { return false };
        self.send_data(stream_id, &reply::data_status("onPlayStatus", "NetStream.Play.Switch"));
        self.begin_play(next);
        true
    }

    /// Asks the peer to come again (Enhanced RTMP v2): at `server`, `rtmp://HOST[:PORT]`, for the application that it is in now, or, when that
    /// is empty, where it is. It may go on meanwhile. Nothing happens when the peer did not say that it can.
    pub fn request_reconnect(&mut self, server: &str, description: &str) {
        let Some(connection) = &self.connection else { return };
        if !connection.capabilities.can(Capabilities::RECONNECT) {
            return;
        }
        let (app, query) = (&connection.app, &connection.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let tc_url = if server.is_empty() { String::new() } else { format!("{server}/{app}{mark}{query}") };
        self.send_command(&reply::reconnect_request(&tc_url, description));
    }

    /// `play` (RTMP §7.2.2.1): name, start, duration, reset.
    pub(super) fn on_play(&mut self, stream_id: u32, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let name = argument(values)?.as_str().unwrap_or_default().to_owned();
        let start = values.next_value()?.and_then(|value| value.as_number());
        let duration = values.next_value()?.and_then(|value| value.as_number());
        let reset = !matches!(values.next_value()?, Some(Value::Boolean(false) | Value::Number(0.0)));
        self.ask_for_play(stream_id, &name, start, duration, reset)
    }

    /// `play2` (RTMP §7.2.2.2): the same in an object.
    pub(super) fn on_play2(&mut self, stream_id: u32, values: &mut Decoder<'_>) -> Result<(), RtmpError> {
        let parameters = argument(values)?;
        let number = |name| parameters.property(name).and_then(Value::as_number);
        let name = parameters.property("streamName").and_then(Value::as_str).unwrap_or_default();
        let transition = parameters.property("transition").and_then(Value::as_str);
        self.ask_for_play(stream_id, name, number("start"), number("len"), transition != Some("append"))
    }

    fn ask_for_play(
        &mut self,
        stream_id: u32,
        name: &str,
        start_s: Option<f64>,
        duration_s: Option<f64>,
        reset: bool,
    ) -> Result<(), RtmpError> {
        self.check_stream(stream_id, "play")?;
        if reset {
            self.release(stream_id);
        }
        let Some((app, stream, query)) = self.key_of(name) else {
            self.send_status(stream_id, Status::of_play_rejected(NO_NAME));
            return Ok(());
        };
        let start = match start_s {
            Some(start_s) if start_s >= 0.0 => PlayStart::At(seconds(start_s)),
            Some(-1.0) => PlayStart::Live,
            _ => PlayStart::LiveOrRecorded,
        };
        let duration = duration_s.filter(|seconds| *seconds > 0.0).map(seconds);
        let request = PlayRequest { stream_id, app, stream, query, start, duration, reset };
        if let Some(request) = self.streams.enqueue(request) {
            self.release(stream_id);
            self.begin_play(request);
        }
        Ok(())
    }

    fn begin_play(&mut self, request: PlayRequest) {
        self.streams.occupy_play(&request);
        self.events.push_back(Event::PlayRequested(request));
    }

    /// `pause`, and `pauseRaw`, its form without an answer.
    pub(super) fn on_pause(
        &mut self,
        stream_id: u32,
        values: &mut Decoder<'_>,
        is_answered: bool,
    ) -> Result<(), RtmpError> {
        let paused = argument(values)? == Value::Boolean(true);
        if self.change_play(stream_id, PlayChange::Paused(paused)) && is_answered {
            if self.streams.is(stream_id, Use::Playing) {
                self.send_paused(stream_id, paused);
            } else {
                self.streams.hold_pause(stream_id, paused);
            }
        }
        Ok(())
    }

    fn send_paused(&mut self, stream_id: u32, paused: bool) {
        let code = if paused { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
        self.send_status(stream_id, Status::of_play(code, ""));
    }

    /// `receiveAudio` and `receiveVideo` (RTMP §7.2.2.4, §7.2.2.5).
    pub(super) fn on_receive(
        &mut self,
        stream_id: u32,
        values: &mut Decoder<'_>,
        change: fn(bool) -> PlayChange,
    ) -> Result<(), RtmpError> {
        let wanted = argument(values)? != Value::Boolean(false);
        self.change_play(stream_id, change(wanted));
        Ok(())
    }

    pub(super) fn on_seek(&mut self, stream_id: u32) -> Result<(), RtmpError> {
        if self.streams.is(stream_id, Use::Playing) {
            self.send_status(stream_id, Status::seek_failed());
        }
        Ok(())
    }

    fn change_play(&mut self, stream_id: u32, change: PlayChange) -> bool {
        let has_play = [Use::PlayRequested, Use::Playing].into_iter().any(|it| self.streams.is(stream_id, it));
        if has_play {
            self.events.push_back(Event::PlayChanged { stream_id, change });
        }
        has_play
    }

    /// Ends what a stream is used for.
    pub(super) fn release(&mut self, stream_id: u32) -> Ended {
        let ended = self.streams.release(stream_id);
        self.report_end(stream_id, ended);
        ended
    }

    pub(super) fn report_end(&mut self, stream_id: u32, ended: Ended) {
        match ended {
            Ended::Nothing => {}
            Ended::Publish => self.events.push_back(Event::PublishEnded { stream_id }),
            Ended::Play => self.events.push_back(Event::PlayEnded { stream_id }),
        }
    }

    fn send_data(&mut self, stream_id: u32, body: &[u8]) {
        self.writer.write(super::chunk_stream::STATUS, type_id::DATA_AMF0, stream_id, body, &mut self.output);
    }
}

/// Seconds of a peer, held within what a `Duration` can be.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
