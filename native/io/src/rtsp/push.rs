//! A stream from here, published to another server.

use std::{sync::Arc, task::Waker, time::Duration};

use arcly_bus::{Log, Subscription, TrackSet, WakeSlot};
use arcly_wire::{
    rtsp::{ClientEvent, ClientUse, Limits, Lower, RtspUrl, keys},
    srtp::{Key, Suite},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{
    channels::split,
    client::{Client, FILL_BYTES, Failure},
    from_bus::{known_tracks, ntp_now},
    pace::Pace,
    packets::Packets,
    pull::{name, other},
    tracks::{Outgoing, can_follow, outgoing},
};
use crate::{
    Backoff, Inbox, Link, LinkGuard, TlsTrust,
    bell::Bell,
    egress::Format,
    follower::{Followed, Follower},
    link::{End, Session},
};

/// How a stream is pushed.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// When a lost connection is tried again.
    pub backoff: Backoff,
    /// How long the remote may be behind the stream before it skips to the newest key frame. Default 5 s.
    pub behind_max: Duration,
    /// Whose certificates are believed, with RTSPS.
    pub trust: TlsTrust,
    /// What the remote can make us hold.
    pub limits: Limits,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            behind_max: Duration::from_secs(5),
            trust: TlsTrust::default(),
            limits: Limits::default(),
        }
    }
}

/// Publishes `log` to `url`, from its newest key frame on, until it ends or the guard is dropped: by TCP, or by UDP where the URL says so, and
/// the other way where the remote refuses that. Warnings go to `inbox`; `on_change` is called
/// after each change of state.
pub fn push(
    runtime: &Handle,
    url: RtspUrl,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let (backoff, bell) = (options.backoff, Arc::<Bell>::default());
    let slot = WakeSlot::new(&log, Waker::from(bell.clone()));
    let lower = if url.udp { Lower::Udp } else { Lower::Tcp };
    let home = url.clone();
    let session =
        Pushing { home, url: url.clone(), log, options, inbox: inbox.clone(), bell, slot, lower, said: Vec::new() };
    Link::spawn(runtime, &url, backoff, inbox, on_change, session)
}

struct Pushing {
    /// As the host gave it.
    home: RtspUrl,
    /// Where the remote has sent us, and else the same.
    url: RtspUrl,
    log: Arc<Log>,
    options: PushOptions,
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
    slot: WakeSlot,
    lower: Lower,
    /// Codecs that RTP cannot carry and that were told of.
    said: Vec<String>,
}

impl Session for Pushing {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        let end = match self.connect(link).await {
            Err(Failure::Transport(text)) => {
                self.lower = other(self.lower);
                self.inbox.warn(format!("{}: {text}; trying it by {}", self.url, name(self.lower)));
                self.connect(link).await
            }
            end => end,
        };
        end.map_err(Failure::text).inspect_err(|_| self.url = self.home.clone())
    }

    async fn linger(&mut self) {
        std::future::pending().await
    }
}

impl Pushing {
    async fn connect(&mut self, link: &Link) -> Result<End, Failure> {
        let tracks = tokio::select! {
            tracks = known_tracks(&self.log) => tracks,
            () = link.stopped() => return Ok(End::Done),
        };
        if self.log.is_closed() {
            return Ok(End::Done);
        }
        let sent = outgoing(&tracks);
        self.tell(&tracks, &sent)?;
        let mut medias: Vec<_> = sent.iter().map(Outgoing::media).collect();
        let secret = self.secret()?;
        if let Some(secret) = &secret {
            medias.iter_mut().for_each(|media| keys::describe(media, secret, ntp_now()));
        }
        let purpose = ClientUse::Publish(medias);
        let (trust, limits) = (&self.options.trust, self.options.limits);
        link.goes_to(&self.url);
        let connecting = Client::connect(&self.url, purpose, false, self.lower, trust, limits);
        let mut client = tokio::select! {
            client = connecting => client?,
            () = link.stopped() => return Ok(End::Done),
        };
        if let Some(secret) = &secret {
            client.seal_with(secret).map_err(|error| error.to_string())?;
        }
        let end = self.publish(&mut client, &sent, link).await;
        if let Ok(End::Done | End::Moved) = end {
            client.close().await;
        }
        end
    }

    /// The key of a publish whose packets go beside an encrypted connection, and not through it.
    fn secret(&self) -> Result<Option<Key>, Failure> {
        let is_beside = self.url.tls && self.lower == Lower::Udp;
        let secret = is_beside.then(|| Key::random(Suite::default())).transpose();
        secret.map_err(|error| Failure::Other(error.to_string()))
    }

    async fn publish(&mut self, client: &mut Client, sent: &[Outgoing], link: &Link) -> Result<End, Failure> {
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
            // That moment may be over already: then nothing else would bring us back.
            let waits = outlet.as_ref().filter(|outlet| outlet.is_paced && client.is_idle());
            let waits = waits.map(|outlet| outlet.pace.next());
            tokio::select! {
                turn = client.turn() => turn?,
                () = self.bell.heard() => {}
                () = paced(waits) => {}
                () = link.stopped() => return Ok(End::Done),
            }
            link.count(0, client.written() - before, 0);
            while let Some(event) = client.event() {
                match event {
                    ClientEvent::Described(description) => {
                        let medias = description.medias;
                        client.setup(&medias, &(0..medias.len()).collect::<Vec<_>>(), true)?;
                    }
                    ClientEvent::Started(_) => outlet = Some(Outlet::new(self.log.tap(), sent)),
                    // Reports of what has come there.
                    ClientEvent::Packet(_) => {}
                    ClientEvent::Ended => return Err("the remote ended the session".to_owned().into()),
                    ClientEvent::Moved(location) => {
                        self.url = self.url.moved(&location)?;
                        return Ok(End::Moved);
                    }
                }
            }
        }
    }

    /// Makes packets of what is waiting, up to a bound; true when the stream has ended.
    fn fill(&mut self, outlet: &mut Outlet, client: &mut Client, link: &Link) -> Result<bool, Failure> {
        let (skipped, mut frames, mut has_ended) = (outlet.stream.catch_up(self.options.behind_max), 0, false);
        while client.waiting_bytes() < FILL_BYTES {
            outlet.is_paced = outlet.pace.is_spent();
            if outlet.is_paced {
                break;
            }
            // Armed before each look: what comes behind it rings.
            self.slot.arm();
            match outlet.next(client)? {
                Next::Frame => frames += 1,
                Next::Part => {}
                Next::Nothing => break,
                Next::Ended => {
                    has_ended = true;
                    break;
                }
            }
        }
        client.send();
        if frames > 0 {
            link.running();
        }
        link.count(frames, 0, skipped + outlet.stream.missed());
        Ok(has_ended)
    }

    fn tell(&mut self, tracks: &TrackSet, sent: &[Outgoing]) -> Result<(), Failure> {
        let is_left_out = |id| sent.iter().all(|outgoing| outgoing.track != id);
        let left_out = tracks.tracks.iter().filter(|track| is_left_out(track.id));
        let names: Vec<String> = left_out.map(|track| track.config.codec().name().to_owned()).collect();
        if sent.is_empty() {
            return Err(format!("nothing of this stream can go by RTSP ({})", names.join(", ")).into());
        }
        for name in names {
            if !self.said.contains(&name) {
                self.inbox.warn(format!("{}: {name} cannot go by RTSP: left out", self.url));
                self.said.push(name);
            }
        }
        Ok(())
    }
}

/// The stream on its way to one connection.
struct Outlet {
    stream: Follower,
    packets: Packets,
    /// As it was described.
    sent: Vec<Outgoing>,
    revision: Option<u32>,
    /// The packets of the frame that is sent, and how many bytes of them were.
    buffer: Vec<u8>,
    sent_bytes: usize,
    /// Of datagrams: nothing else stops us from sending more than the remote has room for.
    pace: Pace,
    /// The pace has stopped us, and not the end of what there is.
    is_paced: bool,
}

enum Next {
    Frame,
    /// Of a frame that may not be sent at once: datagrams of a large picture would find no room.
    Part,
    Nothing,
    Ended,
}

impl Outlet {
    fn new(cursor: Subscription, sent: &[Outgoing]) -> Self {
        Self {
            stream: Follower::new(cursor),
            packets: Packets::new(),
            sent: sent.to_vec(),
            revision: None,
            buffer: Vec::new(),
            sent_bytes: 0,
            pace: Pace::new(),
            is_paced: false,
        }
    }

    /// Gives the packets of the next frame to `client`, or those of the last one that were too many.
    fn next(&mut self, client: &mut Client) -> Result<Next, Failure> {
        if self.sent_bytes < self.buffer.len() {
            return Ok(self.go_on(client));
        }
        let (frame, tracks) = match self.stream.next() {
            Followed::Frame { frame, tracks, .. } => (frame, tracks),
            Followed::Nothing => return Ok(Next::Nothing),
            Followed::Ended => {
                // Reports overtake packets that are queued beside them.
                client.send();
                self.packets.end().iter().for_each(|frame| hand_over(&frame.payload, client));
                return Ok(Next::Ended);
            }
        };
        if self.revision.replace(tracks.revision) != Some(tracks.revision) {
            self.configure(&tracks)?;
        }
        self.buffer.clear();
        // A frame that cannot be cut is left out like one that was lost.
        let _ = self.packets.put(&frame, &mut self.buffer);
        self.sent_bytes = 0;
        Ok(self.go_on(client))
    }

    fn go_on(&mut self, client: &mut Client) -> Next {
        let rest = self.buffer.get(self.sent_bytes..).unwrap_or_default();
        let part = match client.lower() {
            Lower::Udp => self.pace.part(rest),
            Lower::Tcp => rest,
        };
        hand_over(part, client);
        self.sent_bytes += part.len();
        if self.sent_bytes < self.buffer.len() { Next::Part } else { Next::Frame }
    }

    fn configure(&mut self, tracks: &TrackSet) -> Result<(), Failure> {
        if !can_follow(self.sent.iter(), &outgoing(tracks)) {
            return Err("the tracks of the stream have changed".to_owned().into());
        }
        self.packets.configure(tracks).map_err(|error| Failure::Other(error.to_string()))?;
        Ok(())
    }
}

/// Waits until more may be sent; for ever where nothing holds it back.
async fn paced(waits: Option<Instant>) {
    match waits {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn hand_over(packets: &[u8], client: &mut Client) {
    for (channel, packet) in split(packets) {
        client.put(usize::from(channel / 2), channel % 2 == 1, packet);
    }
}
