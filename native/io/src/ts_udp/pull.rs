//! The socket that hears.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use arcly_bus::StreamKey;
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    rtp::Unwrapper,
    to_bus::{Programs, Rules},
    url::UdpUrl,
};
use crate::{
    Backoff, Inbox, Link, LinkGuard,
    link::{End, Session},
    udp::{Inbound, UdpSocket},
};

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A second sender is heard when the first has been silent for so long, or for the idle time: two at a time would only spoil each other.
const TAKEOVER: Duration = Duration::from_secs(1);

/// After a refused or ended publish the next one is asked for after [`Backoff::max`], and not later than this.
const RETRY: Duration = Duration::from_secs(5);

/// How a transport stream is received.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// When an address that cannot be had is tried again.
    pub backoff: Backoff,
    /// How long a stream waits for its sender to come back before it is ended here; viewers stay meanwhile. Default 30 s.
    pub grace: Duration,
    /// Without media for so long a sender counts as gone. Default 10 s.
    pub idle_time: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        let (grace, idle_time) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { backoff: Backoff::default(), grace, idle_time }
    }
}

/// Listens at `url` and publishes what comes as `key`; where that has `{program}` in it, each program as a stream of its own. The publish
/// is asked of the host through `inbox`, with the first media and again when a stream had to be ended; `on_change` is called after each
/// change of state.
pub fn pull(
    runtime: &Handle,
    url: UdpUrl,
    key: StreamKey,
    options: PullOptions,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let PullOptions { backoff, grace, idle_time } = options;
    let name = url.to_string();
    let retry = backoff.max.min(RETRY);
    let rules = Rules { key, program: url.program, idle_time, grace, retry, inbox: inbox.clone(), name };
    let pulling = Pulling {
        url: url.clone(),
        takeover: TAKEOVER.min(idle_time),
        runtime: runtime.clone(),
        inbox: inbox.clone(),
        programs: Programs::new(rules),
        speaker: None,
        unwrapper: Unwrapper::default(),
        has_warned: false,
        is_foreign_told: false,
    };
    Link::spawn(runtime, &url, backoff, inbox, on_change, pulling)
}

struct Pulling {
    url: UdpUrl,
    takeover: Duration,
    runtime: Handle,
    inbox: Arc<Inbox>,
    programs: Programs,
    /// Who is heard, and when it was last.
    speaker: Option<(SocketAddr, Instant)>,
    unwrapper: Unwrapper,
    /// Each is said once.
    has_warned: bool,
    is_foreign_told: bool,
}

impl Session for Pulling {
    async fn run(&mut self, link: &Link) -> Result<End, String> {
        let socket = self.open().await?;
        let end = self.listen(&socket, link).await;
        if let Ok(End::Done) = end {
            self.programs.end("the pull was stopped");
        } else {
            self.programs.lose();
        }
        end
    }

    async fn linger(&mut self) {
        loop {
            sleep(LOOK).await;
            self.programs.look();
        }
    }
}

impl Pulling {
    async fn open(&mut self) -> Result<UdpSocket, String> {
        let addr = self.url.resolve().await?;
        let socket = UdpSocket::bind(&self.runtime, addr, &self.url.options_in());
        let socket = socket.map_err(|error| format!("cannot listen: {error}"))?;
        if !std::mem::replace(&mut self.has_warned, true) {
            socket.warnings().iter().for_each(|warning| self.inbox.warn(format!("{}: {warning}", self.url)));
        }
        self.inbox.tell(format!("{}: listening", self.url));
        Ok(socket)
    }

    async fn listen(&mut self, socket: &UdpSocket, link: &Link) -> Result<End, String> {
        let mut inbound = socket.inbound();
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lost = 0;
        loop {
            tokio::select! {
                received = socket.receive(&mut inbound) => {
                    received.map_err(|error| format!("cannot receive: {error}"))?;
                    tokio::select! {
                        () = self.take(&inbound, link) => {}
                        () = link.stopped() => return Ok(End::Done),
                    }
                }
                _ = clock.tick() => {
                    self.unwrapper.give_up(std::time::Instant::now(), |lost, packets| self.programs.push(lost, packets));
                    if !self.programs.look() {
                        link.lost();
                    }
                    self.tell_losses(&inbound, &mut lost);
                }
                () = link.stopped() => return Ok(End::Done),
            }
        }
    }

    async fn take(&mut self, inbound: &Inbound, link: &Link) {
        let now = Instant::now();
        let mut bytes = 0;
        for datagram in inbound.datagrams() {
            if self.hears(datagram.peer, now) {
                bytes += datagram.bytes.len() as u64;
                self.unwrapper.push(now.into_std(), datagram.bytes, |lost, packets| self.programs.push(lost, packets));
            }
        }
        let Some((peer, _)) = self.speaker else { return };
        let counts = self.programs.publish(peer).await;
        link.count(counts.frames, bytes, 0);
        if counts.running > 0 {
            link.running();
        }
    }

    /// Whether a datagram of this sender counts.
    fn hears(&mut self, peer: SocketAddr, now: Instant) -> bool {
        if self.url.source.is_some_and(|source| source != peer.ip()) {
            self.tell_foreign(peer.ip(), peer);
            return false;
        }
        match &mut self.speaker {
            Some((speaker, last)) if *speaker == peer => *last = now,
            Some((speaker, last)) if now - *last < self.takeover => {
                let speaker = speaker.ip();
                self.tell_foreign(speaker, peer);
                return false;
            }
            speaker => *speaker = Some((peer, now)),
        }
        true
    }

    fn tell_foreign(&mut self, heard: IpAddr, peer: SocketAddr) {
        if !std::mem::replace(&mut self.is_foreign_told, true) {
            let url = &self.url;
            self.inbox.warn(format!("{url}: {peer} sends too and is not heard, only {heard} is"));
        }
    }

    /// Says that datagrams were lost on this machine, when the count has doubled.
    fn tell_losses(&self, inbound: &Inbound, told: &mut u64) {
        let lost = inbound.lost();
        if lost > 2 * *told {
            *told = lost;
            self.inbox
                .warn(format!("{}: {lost} datagrams were lost here so far: a larger buffer_size may help", self.url));
        }
    }
}
