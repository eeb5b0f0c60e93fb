//! A viewer who waits for the host's decision. Shared by every way out: HLS asks once per session, others once per connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arcly_bus::{Log, StreamKey};
use tokio::sync::oneshot;

use crate::{Inbox, Notice, Secret};

/// How long the host may take to decide; then the viewer is turned away.
const DECISION_DEADLINE: Duration = Duration::from_secs(10);

/// What is known of somebody who asks to play.
#[derive(Debug, Clone)]
pub struct PlayAsk {
    /// What.
    pub key: StreamKey,
    /// How: `hls`.
    pub protocol: &'static str,
    /// Whether whoever asks is to be given the log with the answer. HTTP knows the stream by its path.
    pub needs_log: bool,
    /// What stood behind `?`, undecoded. May be empty.
    pub query: String,
    /// The `Authorization` header of HTTP (RFC 9110 §11.6.2), undecoded. May be empty.
    pub authorization: String,
    /// What the peer calls itself. May be empty.
    pub agent: String,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// Why somebody may not play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayDenial {
    /// Better credentials may be brought: HTTP says 401.
    Unauthenticated,
    /// They do not suffice: HTTP says 403.
    Forbidden,
    /// There is no such stream: HTTP says 404.
    NotFound,
    /// No decision was made, through no fault of the peer: HTTP says 503.
    Failed,
}

/// Somebody asks to play. Answer it with [`accept`](Self::accept) or [`refuse`](Self::refuse); dropping it refuses.
pub struct PlayRequest {
    /// What is known of the peer.
    pub ask: PlayAsk,
    /// What the peer must know besides, in protocols that encrypt with it; say it before the answer.
    pub secret: Secret,
    reply: oneshot::Sender<Result<Option<Arc<Log>>, PlayDenial>>,
}

impl PlayRequest {
    /// Lets the peer play; `log` is what it gets, where whoever asks does not know it. False when the peer no longer waited.
    pub fn accept(self, log: Option<Arc<Log>>) -> bool {
        self.reply.send(Ok(log)).is_ok()
    }

    /// Turns the peer away; false when it no longer waited.
    pub fn refuse(self, denial: PlayDenial) -> bool {
        self.reply.send(Err(denial)).is_ok()
    }
}

/// Asks the host and waits for its decision.
///
/// # Errors
/// [`PlayDenial`]: the peer may not play, or nobody decided in time.
pub(crate) async fn ask(inbox: &Inbox, ask: PlayAsk) -> Result<Option<Arc<Log>>, PlayDenial> {
    ask_with_secret(inbox, ask, Secret::default()).await
}

/// The same for a protocol that encrypts with a passphrase: the host may demand one by `secret`.
pub(crate) async fn ask_with_secret(
    inbox: &Inbox,
    ask: PlayAsk,
    secret: Secret,
) -> Result<Option<Arc<Log>>, PlayDenial> {
    let (reply, answer) = oneshot::channel();
    if !inbox.push(Notice::Play(PlayRequest { ask, secret, reply })) {
        return Err(PlayDenial::Failed);
    }
    match tokio::time::timeout(DECISION_DEADLINE, answer).await {
        Ok(Ok(decision)) => decision,
        _ => Err(PlayDenial::Failed),
    }
}
