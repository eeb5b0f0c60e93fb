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
    /// No credentials were brought: HTTP and RTSP say 401 and ask for them.
    Unauthenticated,
    /// The credentials do not suffice.
    Unauthorized,
    /// We cannot, through no fault of the peer.
    Failed,
}

/// What the host has decided: what it publishes into, or what the peer is told. Boxed, because queues of answers are long and mostly empty.
pub(crate) type Answer = Result<Box<Publisher>, (Refusal, String)>;

/// Somebody asks to publish. Answer it with [`accept`](Self::accept) or [`refuse`](Self::refuse); dropping it refuses.
pub struct PublishRequest {
    /// What is known of the peer.
    pub ask: PublishAsk,
    /// What the peer must know besides, in protocols that encrypt with it; say it before the answer.
    pub secret: Secret,
    reply: Option<Reply>,
}

/// Takes the one answer; false when nobody waits for it any more.
type Reply = Box<dyn FnOnce(Answer) -> bool + Send>;

impl PublishRequest {
    pub(crate) fn new(ask: PublishAsk, reply: impl FnOnce(Answer) -> bool + Send + 'static) -> Self {
        Self { ask, secret: Secret::default(), reply: Some(Box::new(reply)) }
    }

    /// Lets the peer publish. What it sends goes to `publisher`, which is dropped (and its stream ended) when the peer is gone.
    /// False when the peer has withdrawn, or waited too long: then it is dropped at once.
    pub fn accept(mut self, publisher: Publisher) -> bool {
        self.answer(Ok(Box::new(publisher)))
    }

    /// Turns the peer away; it is told `text`. False when it no longer waited.
    pub fn refuse(mut self, refusal: Refusal, text: String) -> bool {
        self.answer(Err((refusal, text)))
    }

    fn answer(&mut self, answer: Answer) -> bool {
        self.reply.take().is_some_and(|reply| reply(answer))
    }
}

impl Drop for PublishRequest {
    fn drop(&mut self) {
        self.answer(Err((Refusal::Failed, "no decision was made".into())));
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
    match timeout(deadline, answer).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(_)) => Err((Refusal::Failed, "no decision was made".into())),
        Err(_) => {
            inbox.warn(format!("{peer}: the host did not decide in time, the publish is refused"));
            Err((Refusal::Failed, "the server did not decide in time".into()))
        }
    }
}
