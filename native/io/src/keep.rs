//! The stream of a remote that is pulled: kept while the remote is away, so that its viewers stay.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use arcly_bus::{Publisher, StreamKey};
use tokio::time::{Instant, sleep_until};

use crate::{
    Backoff, Inbox, TlsTrust,
    publish::{PublishAsk, ask},
};

/// How long the host may take to decide on the publish.
const DECISION_DEADLINE: Duration = Duration::from_secs(10);

/// How a stream is pulled; `L` is what the remote can make us hold, as its protocol has it.
#[derive(Debug, Clone)]
pub struct PullOptions<L> {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
    /// How long the stream waits for its remote to come back before it is ended here; viewers stay meanwhile. Default 30 s.
    pub grace: Duration,
    /// Without media for so long the connection counts as lost. Default 10 s.
    pub idle_time: Duration,
    /// Whose certificates are believed, behind TLS.
    pub trust: TlsTrust,
    /// What the remote can make us hold.
    pub limits: L,
}

impl<L: Default> Default for PullOptions<L> {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            grace: Duration::from_secs(30),
            idle_time: Duration::from_secs(10),
            trust: TlsTrust::default(),
            limits: L::default(),
        }
    }
}

/// Where a pull publishes: asks the host for a stream with the first media, and again when the stream had to be ended.
pub(crate) struct Keeper {
    key: StreamKey,
    protocol: &'static str,
    /// How long the stream waits for its remote to come back.
    grace: Duration,
    inbox: Arc<Inbox>,
    kept: Option<Kept>,
}

/// The stream between two connections.
struct Kept {
    publisher: Publisher,
    /// When its last frame came.
    last: Instant,
}

impl Keeper {
    pub(crate) fn new(key: StreamKey, protocol: &'static str, grace: Duration, inbox: Arc<Inbox>) -> Self {
        Self { key, protocol, grace, inbox, kept: None }
    }

    /// The stream that was kept, or the one that the host lets us publish.
    ///
    /// # Errors
    /// Why not: a sentence.
    pub(crate) async fn publisher(&mut self, peer: SocketAddr) -> Result<Publisher, String> {
        if let Some(mut kept) = self.kept.take().filter(|kept| !kept.publisher.log().is_closed()) {
            kept.publisher.resume(kept.last.elapsed());
            return Ok(kept.publisher);
        }
        let wish = PublishAsk {
            app: self.key.app().to_owned(),
            stream: self.key.stream().to_owned(),
            protocol: self.protocol,
            query: String::new(),
            authorization: String::new(),
            agent: String::new(),
            peer,
        };
        let answer = ask(&self.inbox, wish, DECISION_DEADLINE).await;
        answer.map(|publisher| *publisher).map_err(|(_, text)| text)
    }

    /// Keeps a stream whose remote was lost; its last frame came at `last`.
    pub(crate) fn keep(&mut self, publisher: Publisher, last: Instant) {
        self.kept = Some(Kept { publisher, last });
    }

    /// Whether a stream is kept.
    pub(crate) fn is_keeping(&self) -> bool {
        self.kept.is_some()
    }

    /// Ends the stream that is kept when its time is over.
    pub(crate) fn expire(&mut self) {
        if self.kept.as_ref().is_some_and(|kept| kept.last.elapsed() >= self.grace) {
            self.end("the remote did not come back");
        }
    }

    /// Ends the stream that is kept.
    pub(crate) fn end(&mut self, reason: &'static str) {
        if let Some(kept) = self.kept.take() {
            kept.publisher.end(reason);
        }
    }

    /// Ends the stream that is kept when its time is over; never returns. Nothing is lost when the future is dropped.
    pub(crate) async fn grace(&mut self) {
        if let Some(kept) = &self.kept {
            sleep_until(kept.last + self.grace).await;
        }
        self.end("the remote did not come back");
        pending().await
    }
}
