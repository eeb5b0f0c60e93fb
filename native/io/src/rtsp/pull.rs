//! A stream of another server or a camera, published here.

use std::{future::pending, sync::Arc, task::Waker, time::Duration};

use arcly_bus::StreamKey;
use arcly_wire::rtsp::{
    ClientEvent, ClientUse, Limits, Lower, MediaPacket, RtpInfo, RtspUrl,
    sdp::{Direction, Media},
};
use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{
    channels::MEDIAS_MAX,
    client::{Client, Failure},
    source::left_out,
    talk::{Talk, Talking, back_channel},
    to_bus::ToBus,
    tracks::readable,
};
use crate::{
    Inbox, Link, LinkGuard,
    bell::Bell,
    keep::{self, Keeper},
    link::{End, Session},
};

/// How long datagrams may fail to come before it is tried over the connection.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// How often the remote is told how much has come (RFC 3550 §6.2).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How a stream is pulled.
pub type PullOptions = keep::PullOptions<Limits>;

/// Plays `url` and publishes it as `key`, until the guard is dropped: by TCP, or by UDP where the URL says so, and the other way where the
/// remote refuses that, or no datagrams come. The publish itself is asked of the host through `inbox`, with the first
/// media and again when the stream had to be ended; `on_change` is called after each change of state. With `talk` the back channel of a camera is
/// asked for, and what is to be said goes over it.
pub fn pull(
    runtime: &Handle,
    url: RtspUrl,
    key: StreamKey,
    options: PullOptions,
    talk: Option<Arc<Talk>>,
    inbox: Arc<Inbox>,
    on_change: Waker,
) -> LinkGuard {
    let backoff = options.backoff;
    let keeper = Keeper::new(key, "rtsp", options.grace, inbox.clone());
    let lower = if url.udp { Lower::Udp } else { Lower::Tcp };
    let session = Pulling { home: url.clone(), url: url.clone(), options, talk, inbox: inbox.clone(), keeper, lower };
    Link::spawn(runtime, &url, backoff, inbox, on_change, session)
}

struct Pulling {
    /// As the host gave it.
    home: RtspUrl,
    /// Where the remote has sent us, and else the same.
    url: RtspUrl,
    options: PullOptions,
    talk: Option<Arc<Talk>>,
    inbox: Arc<Inbox>,
    keeper: Keeper,
    /// How media came last, or shall come next.
    lower: Lower,
}

/// One connection.
struct Playing {
    client: Client,
    medias: Vec<Media>,
    infos: Vec<RtpInfo>,
    /// The last report of each track in front of the first packet: on a port of its own it overtakes what it is about.
    early: Vec<(usize, Bytes)>,
    to_bus: Option<ToBus>,
    /// What we say, where the remote hears it.
    talking: Option<Talking>,
    /// The same before media flows.
    back: Option<Talking>,
    last_media: Instant,
    report_at: Instant,
}

impl Session for Pulling {
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
        self.keeper.grace().await;
    }
}

/// Waits until there may be something to say.
async fn heard(bell: Option<Arc<Bell>>) {
    match bell {
        Some(bell) => bell.heard().await,
        None => pending().await,
    }
}

/// Cameras with a back channel mark it; others mark everything, in either sense.
fn has_both(medias: &[Media]) -> bool {
    medias.iter().any(|media| media.direction == Direction::RecvOnly)
}

/// Whether a track is what the camera sends, and not what it would hear.
fn is_sent(media: &Media, has_both: bool) -> bool {
    !(has_both && media.direction == Direction::SendOnly)
}

/// What is said of the sound and the pictures that cannot be read.
fn unreadable(medias: &[Media]) -> impl Iterator<Item = String> {
    let has_both = has_both(medias);
    let is_missed = move |media: &&Media| {
        matches!(&*media.kind, "audio" | "video") && is_sent(media, has_both) && readable(media).next().is_none()
    };
    medias.iter().filter(is_missed).take(MEDIAS_MAX).map(left_out)
}

/// The other way.
pub(super) fn other(lower: Lower) -> Lower {
    if lower == Lower::Tcp { Lower::Udp } else { Lower::Tcp }
}

pub(super) fn name(lower: Lower) -> &'static str {
    if lower == Lower::Tcp { "TCP" } else { "UDP" }
}

impl Pulling {
    async fn connect(&mut self, link: &Link) -> Result<End, Failure> {
        let (trust, limits) = (&self.options.trust, self.options.limits);
        link.goes_to(&self.url);
        let connecting = Client::connect(&self.url, ClientUse::Play, self.talk.is_some(), self.lower, trust, limits);
        let client = tokio::select! {
            client = connecting => client?,
            () = self.keeper.grace() => pending().await,
            () = link.stopped() => return Ok(End::Done),
        };
        let now = Instant::now();
        let mut playing = Playing {
            client,
            medias: Vec::new(),
            infos: Vec::new(),
            early: Vec::new(),
            to_bus: None,
            talking: None,
            back: None,
            last_media: now,
            report_at: now + REPORT_EVERY,
        };
        let end = self.play(&mut playing, link).await;
        let Playing { client, to_bus, last_media, .. } = playing;
        match end {
            Ok(End::Done) => {
                client.close().await;
                to_bus.into_iter().for_each(|to_bus| to_bus.end("the pull was stopped".into()));
            }
            _ => {
                if let Some(to_bus) = to_bus {
                    self.keeper.keep(to_bus.into_publisher(), last_media);
                }
            }
        }
        end
    }

    async fn play(&mut self, playing: &mut Playing, link: &Link) -> Result<End, Failure> {
        loop {
            let due = playing.due(self.options.idle_time);
            let bell = playing.talking.as_ref().map(Talking::bell);
            // What is here already is not late: time comes last.
            tokio::select! {
                biased;
                () = link.stopped() => return Ok(End::Done),
                turn = playing.client.turn() => turn?,
                () = sleep_until(due) => self.on_due(playing)?,
                () = self.keeper.grace() => {}
                () = heard(bell) => {}
            }
            playing.speak(&self.inbox, &self.url);
            while let Some(event) = playing.client.event() {
                match event {
                    ClientEvent::Described(description) => {
                        let problems: Vec<_> = unreadable(&description.medias).collect();
                        playing.choose(description.medias, self.talk.as_ref())?;
                        problems.iter().for_each(|problem| self.inbox.warn(format!("{}: {problem}", self.url)));
                    }
                    ClientEvent::Started(infos) => {
                        (playing.infos, playing.last_media) = (infos, Instant::now());
                        playing.talking = playing.back.take();
                        playing.speak(&self.inbox, &self.url);
                    }
                    ClientEvent::Packet(packet) => {
                        if self.on_packet(packet, playing, link).await?.is_some() {
                            return Ok(End::Done);
                        }
                    }
                    ClientEvent::Ended => return Err("the remote ended the session".to_owned().into()),
                    ClientEvent::Moved(location) => {
                        self.url = self.url.moved(&location)?;
                        return Ok(End::Moved);
                    }
                }
            }
        }
    }

    fn on_due(&self, playing: &mut Playing) -> Result<(), Failure> {
        let now = Instant::now();
        let idle = self.options.idle_time;
        if playing.is_silent(now) {
            return Err(Failure::Transport(format!("no datagrams came within {} s", SILENT_MAX.as_secs())));
        }
        if now >= playing.last_media + idle {
            return Err(format!("the remote sent no media for {} s", idle.as_secs_f64()).into());
        }
        let Some(to_bus) = &mut playing.to_bus else { return Ok(()) };
        to_bus.handle_timeout()?;
        if to_bus.has_left() {
            return Err("the remote said goodbye".to_owned().into());
        }
        if now >= playing.report_at {
            playing.report_at = now + REPORT_EVERY;
            for (media, report) in to_bus.reports() {
                playing.client.put(media, true, &report);
            }
            playing.client.send();
        }
        Ok(())
    }

    /// Publishes a packet. With the first one the link runs, and the stream begins or goes on. Something when it was stopped meanwhile.
    async fn on_packet(
        &mut self,
        packet: MediaPacket,
        playing: &mut Playing,
        link: &Link,
    ) -> Result<Option<End>, Failure> {
        let MediaPacket { media, is_rtcp, payload } = packet;
        let to_bus = match &mut playing.to_bus {
            Some(to_bus) => to_bus,
            // In front of media there is nothing to publish.
            None if is_rtcp => {
                playing.early.retain(|(known, _)| *known != media);
                playing.early.push((media, payload));
                return Ok(None);
            }
            none => {
                let publisher = tokio::select! {
                    publisher = self.keeper.publisher(playing.client.peer) => publisher?,
                    () = link.stopped() => return Ok(Some(End::Done)),
                };
                link.running();
                let client = &playing.client;
                // What we say is no track of theirs.
                let spoken = playing.talking.as_ref().or(playing.back.as_ref()).map(Talking::media);
                let is_heard = |media| client.is_set_up(media) && spoken != Some(media);
                let way = |media| is_heard(media).then_some(client.lower());
                let mut to_bus = ToBus::new(&playing.medias, way, publisher);
                to_bus.begin_at(&playing.infos);
                for (media, report) in std::mem::take(&mut playing.early) {
                    to_bus.packet(media, true, report)?;
                }
                none.insert(to_bus)
            }
        };
        let (bytes, before, refused) = (payload.len() as u64, to_bus.frames(), to_bus.refused());
        let outcome = to_bus.packet(media, is_rtcp, payload);
        if !is_rtcp && to_bus.refused() == refused {
            playing.last_media = Instant::now();
        }
        link.count(to_bus.frames() - before, bytes, 0);
        for problem in to_bus.problems() {
            self.inbox.warn(format!("{}: {problem}", self.url));
        }
        Ok(outcome.map(|()| None)?)
    }
}

impl Playing {
    /// Sets up what can be read: not what the camera would hear.
    fn choose(&mut self, medias: Vec<Media>, talk: Option<&Arc<Talk>>) -> Result<(), Failure> {
        let has_both = has_both(&medias);
        let is_wanted = |media: &Media| readable(media).next().is_some() && is_sent(media, has_both);
        let places = medias.iter().enumerate().filter(|(_, media)| is_wanted(media)).map(|(place, _)| place);
        let mut chosen: Vec<usize> = places.take(MEDIAS_MAX).collect();
        if chosen.is_empty() {
            let known = medias.iter().filter_map(|media| media.format()).map(|format| format.rtpmap());
            let known = known.collect::<Vec<_>>().join(", ");
            let known: String = known.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(format!("the remote has no track that is known here ({known})").into());
        }
        if let Some((place, talk)) = back_channel(&medias).filter(|_| has_both || talk.is_some()).zip(talk)
            && let Some(media) = medias.get(place)
        {
            chosen.retain(|known| *known != place);
            chosen.push(place);
            self.back = Some(Talking::new(talk.clone(), place, media.clone()));
        }
        self.medias = medias;
        self.client.setup(&self.medias, &chosen, false)
    }

    /// Says what there is to say, once the session runs.
    fn speak(&mut self, inbox: &Inbox, url: &RtspUrl) {
        let problem = self.talking.as_mut().and_then(|talking| talking.speak(&mut self.client));
        if let Some(problem) = problem {
            inbox.warn(format!("{url}: {problem}"));
        }
    }

    fn due(&self, idle_time: Duration) -> Instant {
        let idle = self.last_media + idle_time;
        let missing = self.to_bus.as_ref().and_then(ToBus::poll_timeout);
        let silent = self.awaits_datagrams().then_some(self.last_media + SILENT_MAX);
        let report = self.to_bus.as_ref().map(|_| self.report_at);
        [Some(idle), missing, silent, report].into_iter().flatten().min().unwrap_or(idle)
    }

    /// Whether the first datagram is still to come.
    fn awaits_datagrams(&self) -> bool {
        self.client.lower() == Lower::Udp && self.to_bus.is_none()
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.awaits_datagrams() && now >= self.last_media + SILENT_MAX
    }
}

#[cfg(test)]
mod tests {
    use arcly_wire::rtsp::sdp::Format;

    use super::*;

    /// A camera's sound that was not known was missing without a word.
    #[test]
    fn sound_and_pictures_that_cannot_be_read_are_told_of() {
        let media = |kind: &str, encoding: &str, direction| {
            let format = Format { encoding: encoding.into(), clock_rate_hz: 8_000, ..Format::default() };
            Media { kind: kind.into(), formats: vec![format], direction, ..Media::default() }
        };
        let medias = [
            media("video", "H264", Direction::RecvOnly),
            media("audio", "G726-32", Direction::RecvOnly),
            media("application", "vnd.onvif.metadata", Direction::RecvOnly),
            media("audio", "G723", Direction::SendOnly),
        ];
        let told: Vec<_> = unreadable(&medias).collect();
        assert_eq!(told, ["a track of audio is left out: G726-32 is not known here"]);
    }
}
