//! A publish that waits for the host's decision. Shared by every way in.

use std::{net::SocketAddr, time::Duration};

use arcly_bus::Publisher;
use tokio::{sync::oneshot, time::timeout};

use crate::{Inbox, Notice, Secret};

/// What is known of somebody who asks to publish.
#[derive(Debug, Clone)]
pub struct PublishAsk {
    /// Application name as the peer wrote it: not checked yet.
    pub app: String,
    /// Stream name as the peer wrote it, without its query: not checked yet.
    pub stream: String,
    /// How it comes: `rtmp`, `srt`.
    pub protocol: &'static str,
    /// What stood behind `?` in the stream's name or URL, undecoded: `token=abc`. May be empty.
    pub query: String,
    /// The `Authorization` header of HTTP (RFC 9110 §11.6.2), undecoded, or credentials of another protocol in that form. May be empty.
    pub authorization: String,
    /// What the peer calls itself: `FMLE/3.0 (compatible; obs-studio/…)`. May be empty.
    pub agent: String,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// What a refused publisher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The name is not allowed, or taken.
    BadName,
    /// Better credentials may be brought: HTTP and RTSP say 401 and ask for them.
    Unauthenticated,
    /// The credentials do not suffice.
    Unauthorized,
    /// We cannot, through no fault of the peer.
    Failed,
}

/// What the host has decided: what it publishes into, or what the peer is told. Boxed, because queues of answers are long and mostly empty.
pub(crate) type Answer = Result<Box<Publisher>, (Refusal, String)>;

/// The same for one more connection of a publisher that is here: it publishes into what is there.
type JoinAnswer = Result<(), (Refusal, String)>;

/// Somebody asks to publish. Answer it with [`accept`](Self::accept), [`join`](Self::join) or [`refuse`](Self::refuse); dropping it refuses.
pub struct PublishRequest {
    /// What is known of the peer.
    pub ask: PublishAsk,
    /// What the peer must know besides, in protocols that encrypt with it; say it before the answer.
    pub secret: Secret,
    reply: Option<Reply>,
}

const NO_DECISION: &str = "no decision was made";

/// Takes the one answer; false when nobody waits for it any more.
enum Reply {
    Publish(Box<dyn FnOnce(Answer) -> bool + Send>),
    Join(Box<dyn FnOnce(JoinAnswer) -> bool + Send>),
}

impl PublishRequest {
    pub(crate) fn new(ask: PublishAsk, reply: impl FnOnce(Answer) -> bool + Send + 'static) -> Self {
        Self { ask, secret: Secret::default(), reply: Some(Reply::Publish(Box::new(reply))) }
    }

    /// Whether it is one more connection of a publisher that is here: whether it may is asked, its stream is taken already.
    pub fn joins(&self) -> bool {
        matches!(self.reply, Some(Reply::Join(_)))
    }

    /// Lets the peer publish. What it sends goes to `publisher`, which is dropped (and its stream ended) when the peer is gone.
    /// False when the peer has withdrawn, waited too long, or [`joins`](Self::joins): then it is dropped at once.
    pub fn accept(mut self, publisher: Publisher) -> bool {
        match self.reply.take() {
            Some(Reply::Publish(reply)) => reply(Ok(Box::new(publisher))),
            Some(Reply::Join(_)) | None => false,
        }
    }

    /// Lets a peer that [`joins`](Self::joins) publish into what is there. False when it no longer waited, or does not join.
    pub fn join(mut self) -> bool {
        match self.reply.take() {
            Some(Reply::Join(reply)) => reply(Ok(())),
            Some(Reply::Publish(_)) | None => false,
        }
    }

    /// Turns the peer away; it is told `text`. False when it no longer waited.
    pub fn refuse(mut self, refusal: Refusal, text: String) -> bool {
        self.refuse_once(refusal, text)
    }

    fn refuse_once(&mut self, refusal: Refusal, text: String) -> bool {
        match self.reply.take() {
            Some(Reply::Publish(reply)) => reply(Err((refusal, text))),
            Some(Reply::Join(reply)) => reply(Err((refusal, text))),
            None => false,
        }
    }
}

impl Drop for PublishRequest {
    fn drop(&mut self) {
        self.refuse_once(Refusal::Failed, NO_DECISION.into());
    }
}

/// Asks the host and waits for its decision, no longer than `deadline`. To drop the future is to withdraw.
///
/// # Errors
/// What the peer is to be told.
pub(crate) async fn ask(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
) -> Result<Box<Publisher>, (Refusal, String)> {
    ask_with_secret(inbox, ask, deadline, Secret::default()).await
}

/// The same for a protocol that encrypts with a passphrase: the host may demand one by `secret`.
pub(crate) async fn ask_with_secret(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
    secret: Secret,
) -> Result<Box<Publisher>, (Refusal, String)> {
    let (reply, answer) = oneshot::channel();
    let peer = ask.peer;
    let mut request = PublishRequest::new(ask, |answer| reply.send(answer).is_ok());
    request.secret = secret;
    // When the inbox is full the request is dropped there, and that is a refusal.
    inbox.push(Notice::Publish(request));
    decision(inbox, peer, deadline, answer).await
}

/// Asks whether one more connection may join a publisher that is here.
///
/// # Errors
/// What the peer is to be told.
pub(crate) async fn ask_to_join(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
    secret: Secret,
) -> Result<(), (Refusal, String)> {
    let (reply, answer) = oneshot::channel();
    let (peer, reply) = (ask.peer, Reply::Join(Box::new(|answer| reply.send(answer).is_ok())));
    inbox.push(Notice::Publish(PublishRequest { ask, secret, reply: Some(reply) }));
    decision(inbox, peer, deadline, answer).await
}

async fn decision<T>(
    inbox: &Inbox,
    peer: SocketAddr,
    deadline: Duration,
    answer: oneshot::Receiver<Result<T, (Refusal, String)>>,
) -> Result<T, (Refusal, String)> {
    match timeout(deadline, answer).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(_)) => Err((Refusal::Failed, NO_DECISION.into())),
        Err(_) => {
            inbox.warn(format!("{peer}: the host did not decide in time, the publish is refused"));
            Err((Refusal::Failed, "the server did not decide in time".into()))
        }
    }
}
