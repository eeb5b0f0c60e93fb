//! What a connection plays.

use std::io;

use arcly_wire::rtsp::{Denial, Lower, MediaSetup, PlayAnswer, Transport};

use super::{Connection, heard::Heard};
use crate::{
    egress::{ViewerEnd, Watcher},
    ended::End,
    rtsp::{
        from_bus::{Play, PlayEvent},
        pipe::Pipe,
    },
};

/// What a viewer is counted as.
fn protocol(setups: &[MediaSetup]) -> &'static str {
    let is_any = |has: fn(&Transport) -> bool| setups.iter().any(|setup| has(&setup.transport));
    if !is_any(|transport| transport.lower == Lower::Udp) {
        "rtsp"
    } else if is_any(|transport| transport.multicast) {
        "rtsp-multicast"
    } else {
        "rtsp-udp"
    }
}

impl Connection {
    pub(super) async fn begin_play(&mut self, answer: PlayAnswer, pipe: &mut Pipe) -> Result<(), End> {
        self.flush(pipe).await?;
        if let Some(play) = &mut self.play {
            if play.is_leaving() {
                self.next_play = Some(answer);
                return Ok(());
            }
            play.pause(false);
            self.say(&answer.write(&[]), pipe).await?;
            self.machine.begin_play();
            return Ok(());
        }
        let Some(granted) = &mut self.granted else { return Ok(()) };
        if granted.has_changed() {
            self.machine.refuse(Denial::Failed, "the tracks have changed since they were described");
            return Ok(());
        }
        let setups = self.machine.setups();
        let is_udp = setups.iter().any(|setup| setup.transport.lower == Lower::Udp);
        let is_sealed = setups.iter().any(|setup| setup.transport.secure);
        let protocol = protocol(setups);
        let watcher = Watcher { key: granted.key.clone(), protocol, peer: self.peer, agent: self.agent.clone() };
        let Ok(ticket) = self.egress.admit(&granted.log, watcher) else {
            self.machine.refuse(Denial::Failed, "as many watch as may");
            return Ok(());
        };
        let (play, first) = match &self.outlets {
            _ if is_sealed => {
                let Some(sealer) = granted.take_sealer() else {
                    self.machine.refuse(Denial::Failed, "its key was used for another play: describe it again");
                    return Ok(());
                };
                let datagrams = self.udp.as_ref().filter(|_| is_udp).map(|ports| (ports, self.peer));
                Play::sealed(ticket, granted, setups, answer, sealer.map_err(io::Error::other)?, datagrams)?
            }
            Some(outlets) if is_udp => {
                let ours = pipe.local_ip().filter(|ip| !ip.is_unspecified());
                Play::by_datagrams(ticket, granted, setups, answer, outlets, (self.peer, ours))?
            }
            _ => Play::over_connection(ticket, granted, setups, answer, pipe)?,
        };
        if let Some(patience) = play.patience(&self.egress) {
            pipe.play(patience, self.egress.unsent_max());
        }
        let heard = Heard::new(&self.machine, granted.secret()).map_err(io::Error::other)?;
        (self.play, self.heard, self.is_player) = (Some(play), Some(heard), true);
        self.listen()?;
        self.ask_to_talk();
        self.machine.begin_play();
        pipe.write(&first).await
    }

    pub(super) async fn on_play_event(&mut self, event: PlayEvent, pipe: &mut Pipe) -> Result<(), End> {
        let end = match event {
            PlayEvent::Packet(packet) => return pipe.write(&packet).await,
            PlayEvent::Over(end) => end,
            PlayEvent::Failed(text) => return Err(End::Failed(text)),
        };
        let Some(play) = self.play.take() else { return Ok(()) };
        // Who has left is told nothing of the stream: what it may play now can be another one.
        let end = if play.is_leaving() && end == ViewerEnd::Stream { ViewerEnd::Left } else { end };
        match end {
            ViewerEnd::Gone | ViewerEnd::Kicked => return Err(End::Closed),
            ViewerEnd::Slow => return Err(End::Failed("the viewer was too slow".into())),
            ViewerEnd::Stream | ViewerEnd::Left => {}
        }
        // What the pump was to say and did not, because it had ended.
        if let Some(line) = play.line() {
            pipe.write(&line.take_news().said).await?;
            // The next play may be in need of its place.
            drop(line.take_seat());
        }
        let has_changed = self.granted.as_ref().is_some_and(|granted| granted.has_changed());
        match end {
            // Others are described to who comes again.
            ViewerEnd::Stream if has_changed => Err(End::Failed("the tracks of the stream have changed".into())),
            ViewerEnd::Stream => Err(End::Dismissed),
            _ => match self.next_play.take() {
                Some(answer) => self.begin_play(answer, pipe).await,
                None => Ok(()),
            },
        }
    }
}
