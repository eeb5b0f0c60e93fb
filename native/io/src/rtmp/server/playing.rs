//! The streams that a connection plays: the question to the host, the pump or the packets, the end.
//!
//! One alone is written by a pump, which has the socket for itself. A second one takes it back: then the connection writes the packets of
//! all, and goes on to do so.

use arcly_bus::StreamKey;
use arcly_wire::rtmp::{PlayChange, PlayRequest};

use super::connection::{Connection, write};
use crate::{
    PlayAsk, PlayDenial,
    egress::{Line, ViewerEnd, Watcher},
    ended::End,
    rtmp::from_bus::{Decision, Play, PlayEvent},
    tls::Connection as Stream,
};

impl Connection {
    pub(super) fn ask_to_play(&mut self, request: PlayRequest) {
        self.is_player = true;
        let stream_id = request.stream_id;
        let Ok(key) = StreamKey::new(&request.app, &request.stream) else {
            return self.refuse_play(stream_id, "no stream can have this name");
        };
        let (query, agent, authorization) = (request.query, self.agent.clone(), self.authorization.clone());
        let asked = PlayAsk { key, protocol: "rtmp", needs_log: true, query, authorization, agent, peer: self.peer };
        // Nearly every player has one.
        self.plays.reserve_exact(1);
        self.plays.push(Play::ask(stream_id, asked, self.reads_multitrack, self.shared.inbox.clone()));
    }

    pub(super) fn on_play_changed(&mut self, stream_id: u32, change: PlayChange) {
        if let Some(play) = self.plays.iter_mut().find(|play| play.is_on(stream_id)) {
            play.change(change);
        }
    }

    pub(super) fn on_play_left(&mut self, stream_id: u32) {
        self.plays.retain_mut(|play| !(play.is_on(stream_id) && play.leave()));
    }

    fn refuse_play(&mut self, stream_id: u32, text: &str) {
        self.machine.reject_play(stream_id, text);
        self.dismissed = true;
        self.refusals += 1;
    }

    /// Something has come of the play in this place.
    pub(super) async fn on_play_event(
        &mut self,
        (place, event): (usize, PlayEvent),
        stream: &mut Stream,
    ) -> Result<(), End> {
        match event {
            PlayEvent::Decided(decision) => self.on_play_decision(place, decision, stream).await?,
            PlayEvent::Packet(packet) => {
                let patience = self.plays.get(place).and_then(|play| play.patience(&self.shared.egress));
                write(stream, patience, &packet).await?;
                let served = self.plays.remove(place);
                self.plays.push(served);
                return Ok(());
            }
            PlayEvent::Over(end) => self.on_play_over(place, end, stream).await?,
        }
        self.begin_plays(stream)
    }

    async fn on_play_over(&mut self, place: usize, end: ViewerEnd, stream: &mut Stream) -> Result<(), End> {
        match end {
            ViewerEnd::Gone | ViewerEnd::Kicked => return Err(End::Closed),
            ViewerEnd::Slow => return Err(End::Failed("the viewer was too slow".into())),
            ViewerEnd::Stream | ViewerEnd::Left => {}
        }
        let Some(play) = self.plays.get_mut(place) else { return Ok(()) };
        let line = play.line().cloned();
        let is_over = !play.resume(&self.shared.egress);
        if is_over {
            let play = self.plays.remove(place);
            if end == ViewerEnd::Stream {
                self.machine.end_play(play.stream_id, "the stream has ended");
                self.dismissed = true;
            }
        }
        // What the pump was to say and did not, because it had ended.
        match line {
            Some(line) => write(stream, self.viewer_patience(), &Line::take_news(&line).said).await,
            None => Ok(()),
        }
    }

    async fn on_play_decision(&mut self, place: usize, decision: Decision, stream: &mut Stream) -> Result<(), End> {
        let Some(play) = self.plays.get_mut(place) else { return Ok(()) };
        if play.is_left() {
            self.plays.remove(place);
            return Ok(());
        }
        let refusal = match decision {
            Ok(Some(log)) => {
                let watcher =
                    Watcher { key: play.key.clone(), protocol: "rtmp", peer: self.peer, agent: self.agent.clone() };
                match self.shared.egress.admit(&log, watcher) {
                    Ok(ticket) => {
                        play.admit(ticket);
                        self.machine.accept_play(play.stream_id);
                        return self.flush(stream).await;
                    }
                    Err(_) => "as many watch as may",
                }
            }
            Ok(None) | Err(PlayDenial::NotFound) => "no such stream is live",
            Err(PlayDenial::Unauthenticated | PlayDenial::Forbidden) => "you may not play this stream",
            Err(PlayDenial::Failed) => "nobody decided whether you may play this stream",
        };
        let stream_id = self.plays.remove(place).stream_id;
        self.refuse_play(stream_id, refusal);
        Ok(())
    }

    /// Begins what waits for the socket, once no pump has it.
    fn begin_plays(&mut self, stream: &Stream) -> Result<(), End> {
        if !self.plays.iter().any(Play::is_waiting) {
            return Ok(());
        }
        if self.is_pumped() {
            self.plays.iter_mut().for_each(Play::share);
            return Ok(());
        }
        let is_alone = self.plays.iter().filter(|play| !play.is_left()).count() == 1;
        let plays = std::mem::take(&mut self.plays).into_iter();
        self.plays = plays.map(|play| play.begin(stream, is_alone)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Questions about plays that the host has not answered, of plays that were left too.
    pub(super) fn open_play_questions(&self) -> usize {
        self.plays.iter().filter(|play| play.is_asking()).count()
    }

    /// Whether a pump writes to our socket.
    pub(super) fn is_pumped(&self) -> bool {
        self.plays.iter().any(|play| play.line().is_some())
    }
}
