//! Streams on their way to one player: asked for, handed to the pump, heard of again.

use std::{future::poll_fn, io, net::TcpStream as StdStream, pin::Pin, sync::Arc, task::Poll};

use arcly_bus::{Log, StreamKey};
use arcly_wire::rtmp::{PlayChange, egress::STREAM_ID};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;

use crate::{
    Inbox, PlayAsk, PlayDenial,
    egress::{Container, Egress, Framing, Head, Line, PacketBody, Patience, Ticket, ViewerEnd, Wants},
    play::ask,
    tls::Connection as Stream,
};

/// A play of a connection, from its request to its end.
pub(crate) struct Play {
    pub(crate) stream_id: u32,
    pub(crate) key: StreamKey,
    container: Container,
    state: State,
    wants: Wants,
    leaving: Option<Leaving>,
}

enum State {
    /// The host decides.
    Asking(Pin<Box<dyn Future<Output = Decision> + Send>>),
    /// Somebody else's pump has the socket.
    Waiting(Box<Ticket>),
    /// The pump writes to the socket, and what we have to say, too.
    Pumped(Arc<Line>, Arc<Log>),
    /// Encrypted, or one of several: we write the packets.
    Copied(Box<PacketBody>),
}

/// Why a pump was asked to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// The player wants no more.
    ForGood,
    /// Another play needs the socket too: two pumps on one would write into each other's messages.
    ToShare,
}

pub(crate) type Decision = Result<Option<Arc<Log>>, PlayDenial>;

/// What comes of a play without the peer.
pub(crate) enum PlayEvent {
    Decided(Decision),
    /// To be written.
    Packet(Bytes),
    Over(ViewerEnd),
}

impl Play {
    /// Of a player that has said whether it reads multitrack; hardly any says so, and others give up at it.
    pub(crate) fn ask(stream_id: u32, asked: PlayAsk, reads_multitrack: bool, inbox: Arc<Inbox>) -> Self {
        let key = asked.key.clone();
        let asking = Box::pin(async move { ask(&inbox, asked).await });
        let container = if reads_multitrack { Container::MultitrackRtmp } else { Container::Rtmp };
        Self { stream_id, key, container, state: State::Asking(asking), wants: Wants::default(), leaving: None }
    }

    /// May play, as soon as no pump has the socket.
    pub(crate) fn admit(&mut self, ticket: Ticket) {
        self.state = State::Waiting(Box::new(ticket));
    }

    /// Whether it was admitted and has not begun.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Begins to write, behind all that was written to `stream` until now; by a pump when it has the connection for itself.
    pub(crate) fn begin(self, stream: &Stream, is_alone: bool) -> io::Result<Self> {
        let Self { state: State::Waiting(ticket), container, .. } = self else { return Ok(self) };
        let refused = |_| io::Error::other("no more descriptors");
        let framing = framing_of(self.stream_id);
        let state = match stream {
            Stream::Plain(socket) if is_alone => {
                let (line, log) = (Arc::new(Line::default()), ticket.log().clone());
                line.want(self.wants);
                // The same socket twice: we read and wait for input, the pump writes and waits for room.
                let socket: StdStream = SockRef::from(socket).try_clone()?.into();
                ticket
                    .play(container, framing, socket, Head::Bytes(Bytes::new()), Some(line.clone()))
                    .map_err(refused)?;
                State::Pumped(line, log)
            }
            _ => {
                stream.bound_unsent(ticket.unsent_max());
                let mut body = ticket.body(container, framing).map_err(refused)?;
                body.want(self.wants);
                State::Copied(Box::new(body))
            }
        };
        Ok(Self { state, ..self })
    }

    /// Has the pump let go of the socket, for us to write to it.
    pub(crate) fn share(&mut self) {
        if let (State::Pumped(line, _), None) = (&self.state, self.leaving) {
            line.leave();
            self.leaving = Some(Leaving::ToShare);
        }
    }

    /// The pump has let go; goes on behind its last packet, written by us. False when the play is over.
    pub(crate) fn resume(&mut self, egress: &Arc<Egress>) -> bool {
        let State::Pumped(line, log) = &self.state else { return false };
        let seat = line.take_seat().filter(|_| self.leaving == Some(Leaving::ToShare));
        let framing = framing_of(self.stream_id);
        let Some(Ok(mut body)) = seat.map(|seat| egress.resume(log, seat, self.container, framing)) else {
            return false;
        };
        // What it asked for when the pump did not hear it any more.
        body.want(self.wants);
        (self.state, self.leaving) = (State::Copied(Box::new(body)), None);
        true
    }

    /// Who writes to the socket in our place.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        match &self.state {
            State::Pumped(line, _) => Some(line),
            _ => None,
        }
    }

    /// How long the viewer is waited for, where we write.
    pub(crate) fn patience(&self, egress: &Egress) -> Option<Patience> {
        match &self.state {
            State::Copied(body) => Some(body.patience(egress.stall_max())),
            _ => None,
        }
    }

    /// The viewer wants something else.
    pub(crate) fn change(&mut self, change: PlayChange) {
        match change {
            PlayChange::Paused(paused) => self.wants.paused = paused,
            PlayChange::Audio(audio) => self.wants.audio = audio,
            PlayChange::Video(video) => self.wants.video = video,
        }
        match &mut self.state {
            State::Asking(_) | State::Waiting(_) => {}
            State::Pumped(line, _) => line.want(self.wants),
            State::Copied(body) => body.want(self.wants),
        }
    }

    /// The viewer wants no more; whether the play is over at once. Else it is when the pump says so, or the host, to whom a question is put
    /// until it has answered: who asks and leaves in a loop has many questions open.
    pub(crate) fn leave(&mut self) -> bool {
        self.leaving = Some(Leaving::ForGood);
        self.line().inspect(|line| line.leave()).is_none() && !self.is_asking()
    }

    /// Whether the host decides.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Whether the viewer wants no more.
    pub(crate) fn is_left(&self) -> bool {
        self.leaving == Some(Leaving::ForGood)
    }

    /// Whether the player has it on this message stream, and has not left it.
    pub(crate) fn is_on(&self, stream_id: u32) -> bool {
        self.stream_id == stream_id && !self.is_left()
    }

    /// What comes next. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> PlayEvent {
        match &mut self.state {
            State::Asking(asking) => PlayEvent::Decided(asking.await),
            State::Waiting(_) => std::future::pending().await,
            State::Pumped(line, _) => PlayEvent::Over(line.over().await),
            State::Copied(body) => match body.frame().await {
                Some(Ok(frame)) => PlayEvent::Packet(frame.into_data().unwrap_or_default()),
                _ => PlayEvent::Over(ViewerEnd::Stream),
            },
        }
    }
}

/// Nearly every player plays on the first message stream: those of others have their own packets.
fn framing_of(stream_id: u32) -> Framing {
    match stream_id {
        STREAM_ID => Framing::Bare,
        other => Framing::MessageStream(other),
    }
}

/// What comes next of one of `plays`, and its place; never anything without any.
pub(crate) async fn next(plays: &mut [Play]) -> (usize, PlayEvent) {
    match plays {
        [] => std::future::pending().await,
        [play] => (0, play.next().await),
        plays => first(plays).await,
    }
}

/// The same of several. Whoever is in front is asked first: move the one that was served to the end.
async fn first(plays: &mut [Play]) -> (usize, PlayEvent) {
    let mut nexts: Vec<_> = plays.iter_mut().map(|play| Box::pin(play.next())).collect();
    poll_fn(|context| {
        let ready = nexts.iter_mut().enumerate().find_map(|(place, next)| match next.as_mut().poll(context) {
            Poll::Ready(event) => Some((place, event)),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
