//! The stream that a connection plays: the question to the host, the pump or the packets, the end.

use arcly_bus::StreamKey;
use arcly_wire::rtmp::PlayRequest;

use super::connection::{Connection, write};
use crate::{
    PlayAsk, PlayDenial,
    egress::{ViewerEnd, Watcher},
    ended::End,
    rtmp::from_bus::{Decision, Play, PlayEvent},
    tls::Connection as Stream,
};

impl Connection {
    pub(super) fn on_play_left(&mut self, stream_id: u32) {
        if self.next_play.take_if(|request| request.stream_id == stream_id).is_none() {
            self.play.take_if(|play| play.stream_id == stream_id && play.leave());
        }
    }

    pub(super) fn ask_to_play(&mut self, request: PlayRequest) {
        let stream_id = request.stream_id;
        if self.next_play.is_none() && self.play.as_ref().is_some_and(Play::is_leaving) {
            self.next_play = Some(request);
            return;
        }
        let refusal = match StreamKey::new(&request.app, &request.stream) {
            _ if self.play.is_some() => "a connection plays one stream at a time",
            Err(_) => "no stream can have this name",
            Ok(key) => {
                let (query, agent) = (request.query, self.agent.clone());
                let authorization = String::new();
                let asked =
                    PlayAsk { key, protocol: "rtmp", needs_log: true, query, authorization, agent, peer: self.peer };
                self.play = Some(Play::ask(stream_id, asked, self.inbox.clone()));
                return;
            }
        };
        self.refuse_play(stream_id, refusal);
    }

    fn refuse_play(&mut self, stream_id: u32, text: &str) {
        self.machine.reject_play(stream_id, text);
        self.dismissed = true;
        self.refusals += 1;
    }

    pub(super) async fn on_play_event(&mut self, event: PlayEvent, stream: &mut Stream) -> Result<(), End> {
        match event {
            PlayEvent::Decided(decision) => self.on_play_decision(decision, stream).await,
            PlayEvent::Packet(packet) => write(stream, &packet).await,
            PlayEvent::Over(end) => {
                if let Some(play) = self.play.take() {
                    self.on_play_over(play, end, stream).await?;
                }
                if let Some(next) = self.next_play.take() {
                    self.ask_to_play(next);
                }
                Ok(())
            }
        }
    }

    async fn on_play_over(&mut self, play: Play, end: ViewerEnd, stream: &mut Stream) -> Result<(), End> {
        match end {
            ViewerEnd::Gone | ViewerEnd::Kicked => return Err(End::Closed),
            ViewerEnd::Slow => return Err(End::Failed("the viewer was too slow".into())),
            ViewerEnd::Stream | ViewerEnd::Left => {}
        }
        // What the pump was to say and did not, because it had ended.
        if let Some(line) = play.line() {
            write(stream, &line.take_news().said).await?;
        }
        if end == ViewerEnd::Stream {
            self.machine.end_play(play.stream_id, "the stream has ended");
            self.dismissed = true;
        }
        Ok(())
    }

    async fn on_play_decision(&mut self, decision: Decision, stream: &mut Stream) -> Result<(), End> {
        let Some(mut play) = self.play.take() else { return Ok(()) };
        let refusal = match decision {
            Ok(Some(log)) => {
                let (key, peer, agent) = (play.key.clone(), self.peer, self.agent.clone());
                match self.egress.admit(&log, Watcher { key, protocol: "rtmp", peer, agent }) {
                    Ok(ticket) => {
                        self.machine.accept_play(play.stream_id);
                        self.flush(stream).await?;
                        play.begin(ticket, stream)?;
                        self.play = Some(play);
                        return Ok(());
                    }
                    Err(_) => "as many watch as may",
                }
            }
            Ok(None) | Err(PlayDenial::NotFound) => "no such stream is live",
            Err(PlayDenial::Unauthenticated | PlayDenial::Forbidden) => "you may not play this stream",
            Err(PlayDenial::Failed) => "nobody decided whether you may play this stream",
        };
        self.refuse_play(play.stream_id, refusal);
        Ok(())
    }

    /// Whether the pump writes to our socket.
    pub(super) fn is_pumped(&self) -> bool {
        self.play.as_ref().is_some_and(|play| play.line().is_some())
    }
}
