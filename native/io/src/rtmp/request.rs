//! A publish that waits for the host's decision.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arcly_bus::Publisher;
use tokio::sync::mpsc;

/// Somebody asks to publish. Answer it with [`accept`](Self::accept) or [`refuse`](Self::refuse); dropping it refuses.
pub struct PublishRequest {
    /// Application name as the peer wrote it: not checked yet.
    pub app: String,
    /// Stream name as the peer wrote it, without its query: not checked yet.
    pub stream: String,
    /// What stood behind `?` in the stream name or URL: `token=abc`. May be empty.
    pub query: String,
    /// The peer's address.
    pub peer: SocketAddr,
    /// What the peer calls itself: `FMLE/3.0 (compatible; obs-studio/…)`. May be empty.
    pub agent: String,
    reply: Reply,
}

/// What a refused publisher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The name is not allowed, or taken.
    BadName,
    /// The credentials do not suffice.
    Unauthorized,
    /// We cannot, through no fault of the peer.
    Failed,
}

pub(crate) enum Answer {
    /// Boxed: a queue has room for 32 answers from the first on, in every connection, players' too.
    Accept(Box<Publisher>),
    Refuse(Refusal, String),
}

/// Which request of a connection is meant: message streams are used again, so their ids alone do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId {
    pub(crate) stream_id: u32,
    pub(crate) number: u64,
}

/// Where the answer goes. Sends exactly one.
struct Reply {
    id: RequestId,
    answers: Option<mpsc::Sender<(RequestId, Answer)>>,
    /// Cleared by whoever is first: the answer, or the connection when it stops waiting.
    waiting: Arc<AtomicBool>,
}

impl PublishRequest {
    pub(crate) fn new(
        request: arcly_wire::rtmp::PublishRequest,
        id: RequestId,
        peer: SocketAddr,
        agent: String,
        answers: mpsc::Sender<(RequestId, Answer)>,
        waiting: Arc<AtomicBool>,
    ) -> Self {
        let reply = Reply { id, answers: Some(answers), waiting };
        Self { app: request.app, stream: request.stream, query: request.query, peer, agent, reply }
    }

    /// Lets the peer publish. What it sends goes to `publisher`, which is dropped (and its stream ended) when the peer is gone.
    /// False when the peer has withdrawn, or waited too long: then it is dropped at once.
    pub fn accept(mut self, publisher: Publisher) -> bool {
        self.reply.send(Answer::Accept(Box::new(publisher)))
    }

    /// Turns the peer away; it is told `text`. False when it no longer waited.
    pub fn refuse(mut self, refusal: Refusal, text: String) -> bool {
        self.reply.send(Answer::Refuse(refusal, text))
    }
}

impl Reply {
    fn send(&mut self, answer: Answer) -> bool {
        let Some(answers) = self.answers.take() else { return false };
        let in_time = self.waiting.swap(false, Ordering::AcqRel);
        // Sent even when it is late: the connection counts its open questions. It cannot be full, for they are bounded; it is
        // closed when the connection is gone, and then a publisher inside is dropped, which ends its stream.
        answers.try_send((self.id, answer)).is_ok() && in_time
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Answer::Refuse(Refusal::Failed, "no decision was made".into()));
    }
}
