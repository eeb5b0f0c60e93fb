//! What a player says over the back channel (ONVIF Streaming Specification §5.3): a stream of its own, `live/cam-talk` beside `live/cam`.
//!
//! Whoever can speak to the camera subscribes to it. A player needs the right to publish it, as for any other.

use arcly_bus::StreamKey;
use arcly_wire::rtsp::sdp::{Direction, Format, Media};
use bytes::Bytes;

use super::{Connection, decide::Decision};
use crate::{PublishAsk, publish, rtsp::to_bus::ToBus};

/// What stands behind the name of a stream for what is said to it.
const SUFFIX: &str = "-talk";

/// What may be said: the two codecs that every camera has.
pub(super) fn described() -> Media {
    let format = |payload_type, encoding: &str| Format {
        payload_type,
        encoding: encoding.to_owned(),
        clock_rate_hz: 8_000,
        channels: 1,
        ..Format::default()
    };
    Media {
        kind: "audio".to_owned(),
        protocol: "RTP/AVP".to_owned(),
        formats: vec![format(0, "PCMU"), format(8, "PCMA")],
        // As the client sees it.
        direction: Direction::SendOnly,
        ..Media::default()
    }
}

/// The stream of what is said to this one.
pub(super) fn key_beside(key: &StreamKey) -> (String, String) {
    (key.app().to_owned(), format!("{}{SUFFIX}", key.stream()))
}

impl Connection {
    /// Asks the host for the stream of what is said, where a player has set the back channel up.
    pub(super) fn ask_to_talk(&mut self) {
        let Some(place) = self.talk_place else { return };
        let is_set_up = self.machine.setups().iter().any(|setup| setup.media == place);
        let Some(granted) = self.granted.as_ref().filter(|_| is_set_up && self.talk.is_none()) else { return };
        let (app, stream) = key_beside(&granted.key);
        let ((query, authorization), agent) = (self.credentials.clone(), self.agent.clone());
        let asked = PublishAsk { app, stream, protocol: "rtsp", query, authorization, agent, peer: self.peer };
        let (inbox, deadline) = (self.inbox.clone(), self.decision_deadline);
        self.deciding = Some(Box::pin(async move { Decision::Talk(publish::ask(&inbox, asked, deadline).await) }));
    }

    pub(super) fn begin_to_talk(&mut self, publisher: arcly_bus::Publisher) {
        let Some(place) = self.talk_place else { return };
        let mut medias = vec![Media::default(); place];
        medias.push(described());
        let setup = self.machine.setups().iter().find(|setup| setup.media == place);
        let Some(lower) = setup.map(|setup| setup.transport.lower) else { return };
        // What was not described has no format, and is no problem.
        self.talk = Some(ToBus::new(&medias, |media| (media == place).then_some(lower), publisher));
    }

    /// Takes what is said; whether the packet was that.
    pub(super) fn hear_talk(&mut self, media: usize, is_rtcp: bool, payload: &Bytes) -> bool {
        if self.talk_place != Some(media) {
            return false;
        }
        self.talk_with(|talk| talk.packet(media, is_rtcp, payload.clone()));
        true
    }

    /// Lets the talk do something that may end it.
    pub(super) fn talk_with(&mut self, work: impl FnOnce(&mut ToBus) -> Result<(), String>) {
        let Some(talk) = &mut self.talk else { return };
        let outcome = work(talk);
        for problem in talk.problems() {
            self.inbox.warn(format!("{}: {problem}", self.peer));
        }
        if let Err(reason) = outcome {
            self.end_talk(&reason);
        }
    }

    pub(super) fn end_talk(&mut self, reason: &str) {
        if let Some(talk) = self.talk.take() {
            talk.end(reason.to_owned());
        }
    }
}
