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

/// Whether it may publish at all.
type LeaveAnswer = Result<(), (Refusal, String)>;

/// Somebody asks to publish. Answer it with [`accept`](Self::accept), [`grant`](Self::grant) or [`refuse`](Self::refuse); dropping it refuses.
pub struct PublishRequest {
    /// What is known of the peer.
    pub ask: PublishAsk,
    /// What the peer must know besides, in protocols that encrypt with it; say it before the answer.
    pub secret: Secret,
    has_leave: bool,
    reply: Option<Reply>,
}

const NO_DECISION: &str = "no decision was made";

/// Takes the one answer; false when nobody waits for it any more.
enum Reply {
    Publish(Box<dyn FnOnce(Answer) -> bool + Send>),
    Leave(Box<dyn FnOnce(LeaveAnswer) -> bool + Send>),
}

impl PublishRequest {
    pub(crate) fn new(ask: PublishAsk, reply: impl FnOnce(Answer) -> bool + Send + 'static) -> Self {
        Self { ask, secret: Secret::default(), has_leave: false, reply: Some(Reply::Publish(Box::new(reply))) }
    }

    /// Whether it only asks if it may: who must know a secret is given no stream before it has shown that it does, and one more
    /// connection of a publisher that is here needs none.
    pub fn wants_leave(&self) -> bool {
        matches!(self.reply, Some(Reply::Leave(_)))
    }

    /// Whether it was told before that it may, and only its stream is left to be taken.
    pub fn has_leave(&self) -> bool {
        self.has_leave
    }

    /// Lets the peer publish. What it sends goes to `publisher`, which is dropped (and its stream ended) when the peer is gone.
    /// False when the peer has withdrawn, waited too long, or [`wants_leave`](Self::wants_leave): then it is dropped at once.
    pub fn accept(mut self, publisher: Publisher) -> bool {
        match self.reply.take() {
            Some(Reply::Publish(reply)) => reply(Ok(Box::new(publisher))),
            Some(Reply::Leave(_)) | None => false,
        }
    }

    /// Tells a peer that [`wants_leave`](Self::wants_leave) that it may. False when it no longer waited, or wants a stream.
    pub fn grant(mut self) -> bool {
        match self.reply.take() {
            Some(Reply::Leave(reply)) => reply(Ok(())),
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
            Some(Reply::Leave(reply)) => reply(Err((refusal, text))),
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
    ask_for_stream(inbox, ask, deadline, false).await
}

/// The same for a peer that has [leave](ask_leave).
pub(crate) async fn ask_with_leave(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
) -> Result<Box<Publisher>, (Refusal, String)> {
    ask_for_stream(inbox, ask, deadline, true).await
}

async fn ask_for_stream(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
    has_leave: bool,
) -> Result<Box<Publisher>, (Refusal, String)> {
    let (reply, answer) = oneshot::channel();
    let peer = ask.peer;
    let mut request = PublishRequest::new(ask, |answer| reply.send(answer).is_ok());
    request.has_leave = has_leave;
    // When the inbox is full the request is dropped there, and that is a refusal.
    inbox.push(Notice::Publish(request));
    decision(inbox, peer, deadline, answer).await
}

/// Asks whether the peer may publish, and takes no stream. Where a protocol encrypts with a passphrase, the host may demand one by `secret`.
///
/// # Errors
/// What the peer is to be told.
pub(crate) async fn ask_leave(
    inbox: &Inbox,
    ask: PublishAsk,
    deadline: Duration,
    secret: Secret,
) -> Result<(), (Refusal, String)> {
    let (reply, answer) = oneshot::channel();
    let (peer, reply) = (ask.peer, Reply::Leave(Box::new(|answer| reply.send(answer).is_ok())));
    inbox.push(Notice::Publish(PublishRequest { ask, secret, has_leave: false, reply: Some(reply) }));
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
