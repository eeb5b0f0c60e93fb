//! A stream of another server, published here.

use std::{future::pending, sync::Arc, task::Waker};

use arcly_bus::StreamKey;
use arcly_wire::rtmp::{ClientEvent, ClientUse, Limits, Media};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use crate::{
    Inbox, Link, LinkGuard,
    keep::{self, Keeper},
    link::{End, Session},
    rtmp::{
        RemoteUrl,
        client::{Client, over},
        place::Place,
        to_bus::ToBus,
    },
};

/// How a stream is pulled.
pub type PullOptions = keep::PullOptions<Limits>;

/// Plays `url` and publishes it as `key`, until the guard is dropped. The publish itself is asked of the host through `inbox`, with the first
/// media and again when the stream had to be ended; `on_change` is called after each change of state.
pub fn pull(
    runtime: &Handle,
    url: RemoteUrl,
    key: StreamKey,
    options: PullOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let backoff = options.backoff;
    let keeper = Keeper::new(key, "rtmp", options.grace, inbox.clone());
    let session = Pulling { place: Place::new(url.clone()), options, inbox: inbox.clone(), keeper };
    Link::spawn(runtime, &url, backoff, inbox, on_change, session)
}

struct Pulling {
    place: Place,
    options: PullOptions,
    inbox: Arc<Inbox>,
    keeper: Keeper,
}

/// One connection.
struct Playing {
    client: Client,
    to_bus: Option<ToBus>,
    last_media: Instant,
}

impl Session for Pulling {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        self.connect(link).await.inspect_err(|_| self.place.fail())
    }

    async fn linger(&mut self) {
        self.keeper.grace().await;
    }
}

impl Pulling {
    async fn connect(&mut self, link: &Link) -> Result<End, String> {
        link.goes_to(&self.place.url);
        let connecting = Client::connect(&self.place.url, ClientUse::Play, &self.options.trust, self.options.limits);
        let client = tokio::select! {
            client = connecting => client?,
            () = self.keeper.grace() => pending().await,
            () = link.stopped() => return Ok(End::Done),
        };
        let mut playing = Playing { client, to_bus: None, last_media: Instant::now() };
        let end = self.play(&mut playing, link).await;
        let Playing { client, to_bus, last_media } = playing;
        if let Ok(End::Done) = end {
            client.close().await;
            to_bus.into_iter().for_each(|to_bus| to_bus.end("the pull was stopped".into()));
        } else if let Some(to_bus) = to_bus {
            self.keeper.keep(to_bus.into_publisher(), last_media);
        }
        end
    }

    async fn play(&mut self, playing: &mut Playing, link: &Link) -> Result<End, String> {
        loop {
            let idle = playing.last_media + self.options.idle_time;
            tokio::select! {
                turn = playing.client.turn() => turn?,
                () = sleep_until(idle) => {
                    return Err(format!("the remote sent no media for {} s", self.options.idle_time.as_secs_f64()));
                }
                () = self.keeper.grace() => {}
                () = link.stopped() => return Ok(End::Done),
            }
            while let Some(event) = playing.client.event() {
                match event {
                    ClientEvent::Connected(_) | ClientEvent::Started => {}
                    ClientEvent::Media(media) => {
                        if self.on_media(media, playing, link).await?.is_some() {
                            return Ok(End::Done);
                        }
                    }
                    ClientEvent::Ended { code, description, is_error } => {
                        return over(&mut self.place.url, &code, &description, is_error);
                    }
                    ClientEvent::ReconnectRequest { tc_url, .. } => {
                        self.place.move_to(&tc_url)?;
                        return Ok(End::Moved);
                    }
                }
            }
        }
    }

    /// Publishes a message. With the first one the link runs, and the stream begins or goes on. Something when it was stopped meanwhile.
    async fn on_media(&mut self, media: Media, playing: &mut Playing, link: &Link) -> Result<Option<End>, String> {
        let to_bus = match &mut playing.to_bus {
            Some(to_bus) => to_bus,
            none => {
                let publisher = tokio::select! {
                    publisher = self.keeper.publisher(playing.client.peer) => publisher?,
                    () = link.stopped() => return Ok(Some(End::Done)),
                };
                link.running();
                none.insert(ToBus::new(publisher))
            }
        };
        playing.last_media = Instant::now();
        let (bytes, before) = (media.body.len() as u64, to_bus.frames());
        let outcome = to_bus.media(media);
        link.count(to_bus.frames() - before, bytes, 0);
        for problem in to_bus.problems() {
            self.inbox.warn(format!("{}: {problem}", self.place.url));
        }
        outcome.map(|()| None)
    }
}
