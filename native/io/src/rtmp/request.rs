//! A publish that waits for the host's decision.

use std::net::SocketAddr;

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
    Accept(Publisher),
    Refuse(Refusal, String),
}

/// Where the answer goes. Sends exactly one.
struct Reply {
    stream_id: u32,
    answers: Option<mpsc::Sender<(u32, Answer)>>,
}

impl PublishRequest {
    pub(crate) fn new(
        request: arcly_wire::rtmp::PublishRequest,
        peer: SocketAddr,
        agent: String,
        answers: mpsc::Sender<(u32, Answer)>,
    ) -> Self {
        let reply = Reply { stream_id: request.stream_id, answers: Some(answers) };
        Self { app: request.app, stream: request.stream, query: request.query, peer, agent, reply }
    }

    /// Lets the peer publish. What it sends goes to `publisher`, which is dropped (and its stream ended) when the peer is gone.
    pub fn accept(mut self, publisher: Publisher) {
        self.reply.send(Answer::Accept(publisher));
    }

    /// Turns the peer away; it is told `text`.
    pub fn refuse(mut self, refusal: Refusal, text: String) {
        self.reply.send(Answer::Refuse(refusal, text));
    }
}

impl Reply {
    fn send(&mut self, answer: Answer) {
        if let Some(answers) = self.answers.take() {
            // Full or closed only when the connection is gone: then a publisher inside is dropped, and that ends its stream.
            let _ = answers.try_send((self.stream_id, answer));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(Answer::Refuse(Refusal::Failed, "no decision was made".into()));
    }
}
