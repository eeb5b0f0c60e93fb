//! A stream on its way to one player: asked for, handed to the pump, heard of again.

use std::{io, net::TcpStream as StdStream, pin::Pin, sync::Arc};

use arcly_bus::{Log, StreamKey};
use arcly_wire::rtmp::{PlayChange, egress::STREAM_ID};
use bytes::Bytes;
use http_body_util::BodyExt;
use socket2::SockRef;

use crate::{
    Inbox, PlayAsk, PlayDenial,
    egress::{Container, Framing, Head, Line, PacketBody, Ticket, ViewerEnd, Wants},
    play::ask,
    tls::Connection as Stream,
};

/// A play of a connection, from its request to its end.
pub(crate) struct Play {
    pub(crate) stream_id: u32,
    pub(crate) key: StreamKey,
    state: State,
    wants: Wants,
    is_leaving: bool,
}

enum State {
    /// The host decides.
    Asking(Pin<Box<dyn Future<Output = Decision> + Send>>),
    /// The pump writes to the socket, and what we have to say, too.
    Pumped(Arc<Line>),
    /// Encrypted: we write the packets.
    Copied(Box<PacketBody>),
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
    pub(crate) fn ask(stream_id: u32, asked: PlayAsk, inbox: Arc<Inbox>) -> Self {
        let key = asked.key.clone();
        let asking = Box::pin(async move { ask(&inbox, asked).await });
        Self { stream_id, key, state: State::Asking(asking), wants: Wants::default(), is_leaving: false }
    }

    /// Begins to write, behind all that was written to `stream` until now.
    pub(crate) fn begin(&mut self, ticket: Ticket, stream: &Stream) -> io::Result<()> {
        let refused = |_| io::Error::other("no more descriptors");
        // Nearly every player plays on the first message stream: those of others have their own packets.
        let framing = match self.stream_id {
            STREAM_ID => Framing::Bare,
            other => Framing::MessageStream(other),
        };
        self.state = match stream {
            Stream::Plain(socket) => {
                let line = Arc::new(Line::default());
                // The same socket twice: we read and wait for input, the pump writes and waits for room.
                let socket: StdStream = SockRef::from(socket).try_clone()?.into();
                ticket
                    .play(Container::Rtmp, framing, socket, Head::Bytes(Bytes::new()), Some(line.clone()))
                    .map_err(refused)?;
                State::Pumped(line)
            }
            Stream::Tls(_) => State::Copied(Box::new(ticket.body(Container::Rtmp, framing).map_err(refused)?)),
        };
        Ok(())
    }

    /// Who writes to the socket in our place.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        match &self.state {
            State::Pumped(line) => Some(line),
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
            State::Asking(_) => {}
            State::Pumped(line) => line.want(self.wants),
            State::Copied(body) => body.want(self.wants),
        }
    }

    /// The viewer wants no more; whether the play is over at once. Else it is when the pump says so.
    pub(crate) fn leave(&mut self) -> bool {
        self.is_leaving = true;
        self.line().inspect(|line| line.leave()).is_none()
    }

    /// Whether it goes on only until the pump has noticed.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// What comes next. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> PlayEvent {
        match &mut self.state {
            State::Asking(asking) => PlayEvent::Decided(asking.await),
            State::Pumped(line) => PlayEvent::Over(line.over().await),
            State::Copied(body) => match body.frame().await {
                Some(Ok(frame)) => PlayEvent::Packet(frame.into_data().unwrap_or_default()),
                _ => PlayEvent::Over(ViewerEnd::Stream),
            },
        }
    }
}

/// What comes of `play` next; never anything without one.
pub(crate) async fn next(play: &mut Option<Play>) -> PlayEvent {
    match play {
        Some(play) => play.next().await,
        None => std::future::pending().await,
    }
}
