//! A stream of another server, published here.

use std::{future::pending, sync::Arc, task::Waker, time::Duration};

use arcly_bus::StreamKey;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{call::Call, to_bus::ToBus, url::SrtUrl};
use crate::{
    Backoff, Inbox, Link, LinkGuard,
    bell::Bell,
    keep::Keeper,
    link::{End, Session},
};

/// How a stream is pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
    /// How long the stream waits for its remote to come back before it is ended here; viewers stay meanwhile. Default 30 s.
    pub grace: Duration,
    /// Without media for so long the connection counts as lost. Default 10 s.
    pub idle_time: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self { backoff: Backoff::default(), grace: Duration::from_secs(30), idle_time: Duration::from_secs(10) }
    }
}

/// Plays `url` and publishes it as `key`, until the guard is dropped. The publish itself is asked of the host through `inbox`, with the first
/// media and again when the stream had to be ended; `on_change` is called after each change of state.
pub fn pull(
    runtime: &Handle,
    url: SrtUrl,
    key: StreamKey,
    options: PullOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let backoff = options.backoff;
    let keeper = Keeper::new(key, "srt", options.grace, inbox.clone());
    let session = Pulling { url: url.clone(), runtime: runtime.clone(), options, inbox: inbox.clone(), keeper };
    Link::spawn(runtime, &url, backoff, inbox, on_change, session)
}

struct Pulling {
    url: SrtUrl,
    runtime: Handle,
    options: PullOptions,
    inbox: Arc<Inbox>,
    keeper: Keeper,
}

/// One connection.
struct Playing {
    call: Call,
    to_bus: Option<ToBus>,
    last_media: Instant,
}

impl Session for Pulling {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        let call = tokio::select! {
            call = Call::connect(&self.runtime, &self.url) => call?,
            () = self.keeper.grace() => pending().await,
            () = link.stopped() => return Ok(End::Done),
        };
        let mut playing = Playing { call, to_bus: None, last_media: Instant::now() };
        let end = self.play(&mut playing, link).await;
        playing.call.close();
        match (playing.to_bus, &end) {
            (Some(to_bus), Ok(_)) => to_bus.end("the pull was stopped".into()),
            (Some(to_bus), Err(_)) => self.keeper.keep(to_bus.into_publisher(), playing.last_media),
            (None, _) => {}
        }
        end
    }

    async fn linger(&mut self) {
        self.keeper.grace().await;
    }
}

impl Pulling {
    async fn play(&mut self, playing: &mut Playing, link: &Link) -> Result<End, String> {
        let silent = Bell::default();
        loop {
            let idle = playing.last_media + self.options.idle_time;
            let turn = tokio::select! {
                turn = playing.call.turn(&silent, None) => turn,
                () = sleep_until(idle) => {
                    return Err(format!("the remote sent no media for {} s", self.options.idle_time.as_secs_f64()));
                }
                () = self.keeper.grace() => Ok(()),
                () = link.stopped() => return Ok(End::Done),
            };
            if self.take(playing, link).await?.is_some() {
                return Ok(End::Done);
            }
            turn?;
        }
    }

    /// Publishes what is due. With the first packet the link runs, and the stream begins or goes on. Something when it was stopped meanwhile.
    async fn take(&mut self, playing: &mut Playing, link: &Link) -> Result<Option<End>, String> {
        let (now, peer) = (playing.call.now(), playing.call.peer);
        while let Some(delivery) = playing.call.machine.deliver(now) {
            let to_bus = match &mut playing.to_bus {
                Some(to_bus) => to_bus,
                none => {
                    let publisher = tokio::select! {
                        publisher = self.keeper.publisher(peer) => publisher?,
                        () = link.stopped() => return Ok(Some(End::Done)),
                    };
                    link.running();
                    none.insert(ToBus::new(publisher, peer, self.inbox.clone()))
                }
            };
            playing.last_media = Instant::now();
            let before = to_bus.frames();
            let outcome = to_bus.push(&delivery);
            link.count(to_bus.frames() - before, delivery.payload.len() as u64, 0);
            outcome?;
        }
        Ok(None)
    }
}
