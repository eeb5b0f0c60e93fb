//! A stream of another server, published here.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use arcly_bus::{Publisher, StreamKey};
use arcly_wire::rtmp::{ClientEvent, ClientUse, Limits, Media};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Inbox, Notice, TlsTrust,
    rtmp::{
        Backoff, Link, PublishRequest, RemoteUrl,
        client::{Client, sentence},
        link::{End, Session},
        request::{Answer, RequestId},
        to_bus::ToBus,
    },
};

/// How long the host may take to decide on the publish.
const DECISION_DEADLINE: Duration = Duration::from_secs(10);

/// How a stream is pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
    /// How long the stream waits for its remote to come back before it is ended here; viewers stay meanwhile. Default 30 s.
    pub grace: Duration,
    /// Without media for so long the connection counts as lost. Default 10 s.
    pub idle_time: Duration,
    /// Whose certificates are believed, with RTMPS.
    pub trust: TlsTrust,
    /// What the remote can make us hold.
    pub limits: Limits,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            grace: Duration::from_secs(30),
            idle_time: Duration::from_secs(10),
            trust: TlsTrust::default(),
            limits: Limits::default(),
        }
    }
}

/// A stream that is being pulled. Dropping it stops it, and ends the stream.
pub struct Pull {
    link: Arc<Link>,
}

impl Pull {
    /// Plays `url` and publishes it as `key`. The publish itself is asked of the host through `inbox`, with the first media and again when
    /// the stream had to be ended; `on_change` is called after each change of state.
    pub fn start(
        runtime: &Handle,
        url: RemoteUrl,
        key: StreamKey,
        options: PullOptions,
        inbox: Arc<Inbox>,
        on_change: Waker,
    ) -> Self {
        let backoff = options.backoff;
        let session = Pulling { home: url.clone(), url: url.clone(), key, options, inbox: inbox.clone(), kept: None };
        Self { link: Link::spawn(runtime, &url, backoff, inbox, on_change, session) }
    }

    /// How it is, and how to stop it.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.link.stop();
    }
}

struct Pulling {
    /// As the host gave it.
    home: RemoteUrl,
    /// Where the remote has sent us, and else the same.
    url: RemoteUrl,
    key: StreamKey,
    options: PullOptions,
    inbox: Arc<Inbox>,
    kept: Option<Kept>,
}

/// The stream between two connections.
struct Kept {
    publisher: Publisher,
    /// When its last frame came.
    last: Instant,
}

/// One connection.
struct Playing {
    client: Client,
    to_bus: Option<ToBus>,
    last_media: Instant,
}

impl Session for Pulling {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        self.connect(link).await.inspect_err(|_| self.url = self.home.clone())
    }

    async fn linger(&mut self) {
        grace(&mut self.kept, self.options.grace).await;
    }
}

/// Ends the stream that is kept when its time is over; never returns.
async fn grace(kept: &mut Option<Kept>, grace: Duration) {
    if let Some(kept) = kept {
        sleep_until(kept.last + grace).await;
    }
    if let Some(kept) = kept.take() {
        kept.publisher.end("the remote did not come back");
    }
    pending().await
}

impl Pulling {
    async fn connect(&mut self, link: &Link) -> Result<End, String> {
        let connecting = Client::connect(&self.url, ClientUse::Play, &self.options.trust, self.options.limits);
        let client = tokio::select! {
            client = connecting => client?,
            () = grace(&mut self.kept, self.options.grace) => pending().await,
            () = link.stopped() => return Ok(End::Done),
        };
        let mut playing = Playing { client, to_bus: None, last_media: Instant::now() };
        let end = self.play(&mut playing, link).await;
        let Playing { client, to_bus, last_media } = playing;
        if let Ok(End::Done) = end {
            client.close().await;
            to_bus.into_iter().for_each(|to_bus| to_bus.end("the pull was stopped".into()));
        } else if let Some(to_bus) = to_bus {
            self.kept = Some(Kept { publisher: to_bus.into_publisher(), last: last_media });
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
                () = grace(&mut self.kept, self.options.grace) => {}
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
                        return Err(sentence(&code, &description, is_error));
                    }
                    ClientEvent::ReconnectRequest { tc_url, .. } => {
                        self.url = self.url.moved(&tc_url)?;
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
                    publisher = self.publisher(playing.client.peer) => publisher?,
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
            self.inbox.warn(format!("{}: {problem}", self.url));
        }
        outcome.map(|()| None)
    }

    /// The stream that was kept, or the one that the host lets us publish.
    async fn publisher(&mut self, peer: SocketAddr) -> Result<Publisher, String> {
        if let Some(mut kept) = self.kept.take().filter(|kept| !kept.publisher.log().is_closed()) {
            kept.publisher.resume(kept.last.elapsed());
            return Ok(kept.publisher);
        }
        let (reply, mut answers) = mpsc::channel(1);
        let waiting = Arc::new(AtomicBool::new(true));
        let wish = arcly_wire::rtmp::PublishRequest {
            stream_id: 0,
            app: self.key.app().to_owned(),
            stream: self.key.stream().to_owned(),
            query: String::new(),
            publish_type: "live".into(),
        };
        let id = RequestId { stream_id: 0, number: 0 };
        let request = PublishRequest::new(wish, id, peer, String::new(), reply, waiting.clone());
        self.inbox.push(Notice::Publish(request));
        match timeout(DECISION_DEADLINE, answers.recv()).await {
            Ok(Some((_, Answer::Accept(publisher)))) => Ok(*publisher),
            Ok(Some((_, Answer::Refuse(_, text)))) => Err(text),
            _ => {
                // Who answers now is told that it is too late.
                waiting.store(false, Ordering::Release);
                Err(format!("the host did not decide whether {} may be published", self.key))
            }
        }
    }
}
