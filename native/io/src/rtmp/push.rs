//! A stream from here, published to another server.

use std::{sync::Arc, task::Waker, time::Duration};

use arcly_bus::{Frame, Log, Subscription, TrackSet, WakeSlot};
use arcly_pack::flv::{FlvMuxOptions, FlvMuxer, FlvTag, TagKind};
use arcly_wire::rtmp::{Capabilities, ClientEvent, ClientUse, Limits, MediaKind};
use tokio::runtime::Handle;

use crate::{
    Backoff, Inbox, Link, LinkGuard, TlsTrust,
    bell::Bell,
    follower::{Followed, Follower},
    link::{End, Session},
    rtmp::{
        RemoteUrl,
        carry::Takes,
        client::{Client, over},
        place::Place,
    },
};

/// Bytes of messages after which no more are cut before these are written.
const FILL_BYTES: usize = 64 << 10;
/// A publish begins near 0, as encoders do it; sound that belongs to the first picture may be earlier by so much, and is left out before that.
const LEAD_MS: i64 = 1_000;

/// How a stream is pushed.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
    /// How long the remote may be behind the stream before it skips to the newest key frame. Default 5 s.
    pub behind_max: Duration,
    /// Whether codecs and tracks are sent that need Enhanced RTMP. Default none: those that the remote says it takes.
    pub enhanced: Option<bool>,
    /// Whose certificates are believed, with RTMPS.
    pub trust: TlsTrust,
    /// What the remote can make us hold.
    pub limits: Limits,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            behind_max: Duration::from_secs(5),
            enhanced: None,
            trust: TlsTrust::default(),
            limits: Limits::default(),
        }
    }
}

/// Publishes `log` to `url`, from its newest key frame on, until it ends or the guard is dropped. Warnings go to `inbox`; `on_change` is called
/// after each change of state.
pub fn push(
    runtime: &Handle,
    url: RemoteUrl,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let (backoff, bell) = (options.backoff, Arc::<Bell>::default());
    let slot = WakeSlot::new(&log, Waker::from(bell.clone()));
    let said = Vec::new();
    let session = Pushing { place: Place::new(url.clone()), log, options, inbox: inbox.clone(), bell, slot, said };
    Link::spawn(runtime, &url, backoff, inbox, on_change, session)
}

struct Pushing {
    place: Place,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
    slot: WakeSlot,
    /// Codecs that the remote cannot take and that were told of.
    said: Vec<String>,
}

impl Session for Pushing {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        self.connect(link).await.inspect_err(|_| self.place.fail())
    }

    async fn linger(&mut self) {
        std::future::pending().await
    }
}

impl Pushing {
    async fn connect(&mut self, link: &Link) -> Result<End, String> {
        if self.log.is_closed() {
            return Ok(End::Done);
        }
        link.goes_to(&self.place.url);
        let connecting = Client::connect(&self.place.url, ClientUse::Publish, &self.options.trust, self.options.limits);
        let mut client = tokio::select! {
            client = connecting => client?,
            () = link.stopped() => return Ok(End::Done),
        };
        let end = self.publish(&mut client, link).await;
        if let Ok(End::Done | End::Moved) = end {
            client.close().await;
        }
        end
    }

    async fn publish(&mut self, client: &mut Client, link: &Link) -> Result<End, String> {
        let mut takes = Takes::Plain;
        let mut outlet: Option<Outlet> = None;
        loop {
            if let Some(outlet) = &mut outlet {
                outlet.stream.look();
                let has_ended = client.is_idle() && self.fill(outlet, client, link)?;
                if has_ended {
                    return Ok(End::Done);
                }
            }
            let before = client.written();
            tokio::select! {
                turn = client.turn() => turn?,
                () = self.bell.heard() => {}
                () = link.stopped() => return Ok(End::Done),
            }
            link.count(0, client.written() - before, 0);
            while let Some(event) = client.event() {
                match event {
                    ClientEvent::Connected(capabilities) => takes = self.takes(capabilities),
                    ClientEvent::Started => outlet = Some(Outlet::new(self.log.tap(), takes.clone())),
                    ClientEvent::Media(_) => {}
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

    fn takes(&self, capabilities: Capabilities) -> Takes {
        Takes::of(capabilities, self.options.enhanced)
    }

    /// Cuts what is waiting into messages, up to a bound; true when the stream has ended.
    fn fill(&mut self, outlet: &mut Outlet, client: &mut Client, link: &Link) -> Result<bool, String> {
        let (skipped, mut frames, mut has_ended) = (outlet.stream.catch_up(self.options.behind_max), 0, false);
        while client.waiting_bytes() < FILL_BYTES {
            // Armed before each look: what comes behind it rings.
            self.slot.arm();
            match outlet.next()? {
                Next::Frame => {
                    frames += 1;
                    outlet.tags.drain(..).for_each(|tag| send(client, &tag));
                }
                Next::Nothing => break,
                Next::Ended => {
                    outlet.end().iter().for_each(|tag| send(client, tag));
                    has_ended = true;
                    break;
                }
            }
        }
        if frames > 0 {
            link.running();
        }
        link.count(frames, 0, skipped + outlet.stream.missed());
        self.tell(&outlet.left_out);
        Ok(has_ended)
    }

    fn tell(&mut self, left_out: &[String]) {
        for codec in left_out {
            if !self.said.contains(codec) {
                self.inbox.warn(format!("{}: the remote cannot take {codec}: left out", self.place.url));
                self.said.push(codec.clone());
            }
        }
    }
}

fn send(client: &mut Client, tag: &FlvTag) {
    let kind = match tag.kind {
        TagKind::Audio => MediaKind::Audio,
        TagKind::Video => MediaKind::Video,
        TagKind::Script => MediaKind::Script,
    };
    client.send(kind, tag.timestamp_ms, tag.header(), &tag.payload);
}

/// The stream on its way to one connection.
struct Outlet {
    stream: Follower,
    takes: Takes,
    muxer: Option<FlvMuxer>,
    tracks: Arc<TrackSet>,
    /// Codecs that the remote cannot take.
    left_out: Vec<String>,
    tags: Vec<FlvTag>,
    last_ms: u32,
}

enum Next {
    /// Its tags are in [`Outlet::tags`]; there are none for a frame of a track that is left out.
    Frame,
    Nothing,
    Ended,
}

impl Outlet {
    fn new(cursor: Subscription, takes: Takes) -> Self {
        let (stream, tracks, left_out, tags) = (Follower::new(cursor), Arc::default(), Vec::new(), Vec::new());
        Self { stream, takes, muxer: None, tracks, left_out, tags, last_ms: 0 }
    }

    fn next(&mut self) -> Result<Next, String> {
        match self.stream.next() {
            Followed::Frame { frame, tracks, is_gap } => {
                self.write(&frame, &tracks, is_gap)?;
                Ok(Next::Frame)
            }
            Followed::Nothing => Ok(Next::Nothing),
            Followed::Ended => Ok(Next::Ended),
        }
    }

    /// The tags of one frame; behind a gap with the headers in front, as a remote that cuts there needs them.
    fn write(&mut self, frame: &Frame, tracks: &Arc<TrackSet>, is_gap: bool) -> Result<(), String> {
        if !Arc::ptr_eq(&self.tracks, tracks) {
            self.configure(frame, tracks)?;
        }
        let Some(muxer) = &mut self.muxer else { return Ok(()) };
        // A frame that no message can hold is left out like one that was lost.
        let _ = muxer.write(frame, &mut self.tags);
        if let (true, [tag]) = (is_gap, self.tags.as_slice()) {
            let headers = muxer.headers(tag.timestamp_ms);
            self.tags.splice(..0, headers);
        }
        self.last_ms = self.tags.last().map_or(self.last_ms, |tag| tag.timestamp_ms);
        Ok(())
    }

    fn configure(&mut self, frame: &Frame, tracks: &Arc<TrackSet>) -> Result<(), String> {
        self.tracks = tracks.clone();
        let carried = self.takes.carried(tracks);
        let codec = |id| tracks.find(id).map(|track| format!("{:?}", track.config.codec()));
        self.left_out = carried.left_out.iter().filter_map(|id| codec(*id)).collect();
        if carried.tracks.tracks.is_empty() && !tracks.tracks.is_empty() {
            return Err(format!("the remote can take nothing of this stream ({})", self.left_out.join(", ")));
        }
        let dialect = self.takes.dialect();
        let muxer = self.muxer.get_or_insert_with(|| {
            let rate_hz = tracks.find(frame.track).map_or(1_000, |track| track.clock_rate_hz);
            let first_ms = i128::from(frame.dts) * 1_000 / i128::from(rate_hz.max(1));
            let origin_ms = Some(i64::try_from(first_ms).unwrap_or_default().saturating_sub(LEAD_MS));
            FlvMuxer::new(FlvMuxOptions { dialect, origin_ms, ..FlvMuxOptions::default() })
        });
        muxer.reconfigure(&carried.tracks);
        Ok(())
    }

    fn end(&self) -> Vec<FlvTag> {
        self.muxer.as_ref().map(|muxer| muxer.end(self.last_ms)).unwrap_or_default()
    }
}
