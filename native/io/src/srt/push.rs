//! A stream from here, published to another server.

use std::{sync::Arc, task::Waker};

use arcly_bus::Log;
use tokio::runtime::Handle;

use super::{
    call::Call,
    from_bus::{Feed, Outlet, Over},
    url::SrtUrl,
};
use crate::{
    Backoff, Inbox, Link, LinkGuard,
    bell::Bell,
    link::{End, Session},
};

/// How a stream is pushed.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
}

/// Publishes `log` to `url`, from its newest key frame on, until it ends or the guard is dropped. Warnings go to `inbox`; `on_change` is called
/// after each change of state.
pub fn push(
    runtime: &Handle,
    url: SrtUrl,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let session = Pushing { url: url.clone(), runtime: runtime.clone(), log };
    Link::spawn(runtime, &url, options.backoff, inbox, on_change, session)
}

struct Pushing {
    url: SrtUrl,
    runtime: Handle,
    log: Arc<Log>,
}

impl Session for Pushing {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        if self.log.is_closed() {
            return Ok(End::Done);
        }
        let mut call = tokio::select! {
            call = Call::connect(&self.runtime, &self.url) => call?,
            () = link.stopped() => return Ok(End::Done),
        };
        let end = self.publish(&mut call, link).await;
        call.close();
        end
    }

    async fn linger(&mut self) {
        std::future::pending().await
    }
}

impl Pushing {
    async fn publish(&self, call: &mut Call, link: &Link) -> Result<End, String> {
        let bell = Arc::<Bell>::default();
        let mut feed = Feed::new(&self.log, &bell);
        let mut outlet = Outlet::new(feed.join());
        let mut missed = 0;
        link.running();
        loop {
            if feed.take_rung() {
                feed.read();
            }
            match outlet.give(call.now(), &mut call.machine) {
                Ok(given) => link.count(given.runs, given.bytes, outlet.missed() - missed),
                Err(Over::Stream) => return Ok(End::Done),
                Err(Over::Slow) => return Err("the remote is too slow".into()),
            }
            missed = outlet.missed();
            tokio::select! {
                turn = call.turn(&bell, outlet.due()) => turn?,
                () = link.stopped() => return Ok(End::Done),
            }
        }
    }
}
