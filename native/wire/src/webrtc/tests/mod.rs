//! Sessions against a client that is str0m itself, in virtual time, over a link that loses what a seed says.

mod faults;
mod layers;
mod offers;
mod sessions;

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use arcly_sim::{Link, LinkConfig};
use str0m::{
    Candidate, Input, Output as RtcOutput, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    channel::ChannelId,
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{Extension, RtpPacket, RtpWrite, SeqNo},
};

use super::{demux::Arrival, *};

const SERVER: &str = "192.0.2.1:8189";
pub(in crate::webrtc) const CLIENT: &str = "198.51.100.7:50000";

/// Time passes by so much at least.
const STEP: Duration = Duration::from_millis(1);

pub(in crate::webrtc) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn settings() -> Arc<Settings> {
    static SETTINGS: LazyLock<Arc<Settings>> =
        LazyLock::new(|| Arc::new(Settings::new(Limits::default(), vec![addr(SERVER)], vec![addr(SERVER)]).unwrap()));
    SETTINGS.clone()
}

/// A browser.
pub(in crate::webrtc) struct Client {
    pub(in crate::webrtc) rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    mids: Vec<Mid>,
    pub(in crate::webrtc) arrived: Vec<RtpPacket>,
    key_frame_requests: usize,
    is_connected: bool,
    channel: Option<ChannelId>,
    /// What came on it, and whether as bytes.
    messages: Vec<(bool, Vec<u8>)>,
    /// The handshake has been given up, by either side: there is an end to sending it again.
    has_failed: bool,
}

impl Client {
    fn new(direction: Direction, now: Instant) -> (Self, String) {
        Self::build(direction, false, now)
    }

    fn build(direction: Direction, has_data: bool, now: Instant) -> (Self, String) {
        let mut rtc = RtcConfig::new().set_rtp_mode(true).set_extension(5, Extension::PlayoutDelay).build(now);
        rtc.add_local_candidate(Candidate::host(addr(CLIENT), "udp").unwrap());
        let mut change = rtc.sdp_api();
        let mids = [MediaKind::Video, MediaKind::Audio];
        let mids = mids.map(|kind| change.add_media(kind, direction, None, None, None)).to_vec();
        if has_data {
            change.add_channel("news".into());
        }
        let (offer, pending) = change.apply().unwrap();
        let (pending, arrived) = (Some(pending), Vec::new());
        let client = Self {
            rtc,
            pending,
            mids,
            arrived,
            key_frame_requests: 0,
            is_connected: false,
            channel: None,
            messages: Vec::new(),
            has_failed: false,
        };
        (client, offer.to_sdp_string())
    }

    fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        self.rtc.sdp_api().accept_answer(self.pending.take().unwrap(), answer).unwrap();
    }

    fn write(&mut self, number: u64, now: Instant) {
        let mid = self.mids[0];
        let pt = self.rtc.media(mid).unwrap().remote_pts()[0];
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).unwrap();
        let payload = number.to_be_bytes().to_vec();
        let write = RtpWrite::new(pt, SeqNo::from(number), number as u32 * 3000, now, payload);
        stream.write_rtp(write.marker(true).nackable(true));
    }
}

/// What is sent past str0m. A NAT forgets the address that its host has left.
struct ToClient<'a> {
    down: &'a mut Link,
    client_addr: SocketAddr,
    now: Instant,
}

impl Sink for ToClient<'_> {
    fn datagram(&mut self, transport: Transport, to: SocketAddr, write: &mut dyn FnMut(&mut Vec<u8>) -> bool) {
        assert_eq!(transport, Transport::Udp);
        let mut bytes = Vec::new();
        if write(&mut bytes) && to == self.client_addr {
            self.down.send(self.now, bytes.into());
        }
    }
}

/// Both ends, and what is between them.
pub(in crate::webrtc) struct Pair {
    pub(in crate::webrtc) client: Client,
    pub(in crate::webrtc) session: Session,
    answer: String,
    pub(in crate::webrtc) events: Vec<Event>,
    pub(in crate::webrtc) up: Link,
    pub(in crate::webrtc) down: Link,
    links: LinkConfig,
    pub(in crate::webrtc) now: Instant,
    /// When the session and the client want to be looked at.
    due: [Instant; 2],
    /// The address from which the client is heard: a NAT may change it.
    pub(in crate::webrtc) client_addr: SocketAddr,
}

impl Pair {
    pub(in crate::webrtc) fn publishing(seed: u64) -> Self {
        Self::publish(seed, false)
    }

    fn publishing_with_data(seed: u64) -> Self {
        Self::publish(seed, true)
    }

    fn publish(seed: u64, has_data: bool) -> Self {
        let now = Instant::now();
        let (client, offer) = Client::build(Direction::SendOnly, has_data, now);
        let offer = Offer::parse(&offer, &Limits::default()).unwrap();
        let (session, answer) = Session::publish(&settings(), offer, now).unwrap();
        Self::new(client, session, &answer, now, seed)
    }

    pub(in crate::webrtc) fn playing(codecs: &[Codec], seed: u64) -> Self {
        Self::playing_with(codecs, PlayOptions::default(), seed)
    }

    fn playing_with(codecs: &[Codec], options: PlayOptions, seed: u64) -> Self {
        Self::play(Client::new, codecs, options, seed)
    }

    pub(in crate::webrtc) fn playing_with_data(codecs: &[Codec], seed: u64) -> Self {
        let client = |direction, now| Client::build(direction, true, now);
        Self::play(client, codecs, PlayOptions::default(), seed)
    }

    fn play(
        client: impl FnOnce(Direction, Instant) -> (Client, String),
        codecs: &[Codec],
        options: PlayOptions,
        seed: u64,
    ) -> Self {
        let now = Instant::now();
        let (client, offer) = client(Direction::RecvOnly, now);
        let offer = Offer::parse(&offer, &Limits::default()).unwrap();
        let profile =
            |codec: &Codec| PlayedCodec { codec: *codec, profile: if *codec == Codec::H264 { 66 } else { 0 } };
        let played: Vec<_> = codecs.iter().map(profile).collect();
        let (session, answer) = Session::play(&settings(), offer, &played, options, now).unwrap();
        Self::new(client, session, &answer, now, seed)
    }

    fn new(mut client: Client, session: Session, answer: &Answer, now: Instant, seed: u64) -> Self {
        client.accept(&answer.sdp);
        let links = LinkConfig { delay: Duration::from_millis(10), queue_bytes: 40_000, ..LinkConfig::default() };
        let (up, down) = (Link::new(links, 2 * seed), Link::new(links, 2 * seed + 1));
        Self {
            client,
            session,
            answer: answer.sdp.clone(),
            events: Vec::new(),
            up,
            down,
            links,
            now,
            due: [now; 2],
            client_addr: addr(CLIENT),
        }
    }

    pub(in crate::webrtc) fn send(&mut self, lane: Lane, packet: OutgoingPacket) -> Result<(), WebRtcError> {
        let mut sink = ToClient { down: &mut self.down, client_addr: self.client_addr, now: self.now };
        self.session.send(lane, packet, self.now, &mut sink)
    }

    /// A datagram comes to the session's port; what is for nobody does not get further.
    pub(in crate::webrtc) fn hear(
        &mut self,
        transport: Transport,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<Heard, WebRtcError> {
        let arrival = Arrival::new(transport, from, bytes);
        arrival.map_or(Ok(Heard::Nothing), |arrival| self.session.handle_datagram(self.now, &arrival))
    }

    /// Makes both ways other ones.
    fn relink(&mut self, change: impl FnOnce(&mut LinkConfig)) {
        change(&mut self.links);
        self.up.reconfigure(self.links);
        self.down.reconfigure(self.links);
    }

    fn lose(&mut self, percent: u64) {
        self.relink(|links| links.loss = percent as f64 / 100.0);
    }

    pub(in crate::webrtc) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        // What was written meanwhile goes out with the first step.
        self.step_to((self.now + STEP).min(end));
        while self.now < end && !self.client.has_failed {
            self.step_to(self.next_due().max(self.now + STEP).min(end));
        }
    }

    /// When something happens next on either side.
    fn next_due(&self) -> Instant {
        let arrivals = [self.up.poll_timeout(), self.down.poll_timeout()];
        self.due.into_iter().chain(arrivals.into_iter().flatten()).fold(self.due[0], Instant::min)
    }

    /// Lets time pass on both sides.
    fn step_to(&mut self, moment: Instant) {
        if self.client.has_failed {
            return;
        }
        self.now = moment;
        while let Some(bytes) = self.up.poll(self.now) {
            self.hear(Transport::Udp, self.client_addr, &bytes).unwrap();
            self.poll_session();
        }
        while let Some(bytes) = self.down.poll(self.now) {
            let Ok(receive) = Receive::new(Protocol::Udp, addr(SERVER), addr(CLIENT), &bytes) else { continue };
            self.client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.poll_client();
        }
        self.session.handle_timeout(self.now).unwrap();
        self.poll_session();
        self.client.rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_client();
    }

    pub(in crate::webrtc) fn poll_session(&mut self) {
        loop {
            let is_connected = self.events.iter().any(|event| matches!(event, Event::Connected));
            let output = match self.session.poll() {
                Err(WebRtcError::Broken(_)) if !is_connected => return self.client.has_failed = true,
                output => output.unwrap(),
            };
            match output {
                Output::Timeout(at) => return self.due[0] = at,
                Output::Event(event) => self.events.push(event),
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.transport, Transport::Udp);
                    // A NAT forgets the address that its host has left.
                    if transmit.to == self.client_addr {
                        self.down.send(self.now, transmit.bytes.into());
                    }
                }
            }
        }
    }

    pub(in crate::webrtc) fn poll_client(&mut self) {
        loop {
            let output = match self.client.rtc.poll_output() {
                Err(_) if !self.client.is_connected => return self.client.has_failed = true,
                output => output.unwrap(),
            };
            match output {
                RtcOutput::Timeout(at) => return self.due[1] = at,
                RtcOutput::Transmit(transmit) => self.up.send(self.now, transmit.contents.to_vec().into()),
                RtcOutput::Event(str0m::Event::ChannelOpen(id, _)) => self.client.channel = Some(id),
                RtcOutput::Event(str0m::Event::ChannelData(message)) => {
                    self.client.messages.push((message.binary, message.data));
                }
                RtcOutput::Event(str0m::Event::Connected) => self.client.is_connected = true,
                RtcOutput::Event(str0m::Event::RtpPacket(packet)) => self.client.arrived.push(packet),
                RtcOutput::Event(str0m::Event::KeyframeRequest(_)) => self.client.key_frame_requests += 1,
                RtcOutput::Event(_) => {}
            }
        }
    }

    /// Until both are connected; false when that takes longer than a person waits.
    pub(in crate::webrtc) fn connect(&mut self) -> bool {
        // A minute: what DTLS sends again comes after 1, 2, 4 … s.
        let end = self.now + Duration::from_secs(60);
        while self.now < end {
            self.step_to(self.next_due().max(self.now + STEP).min(end));
            if self.client.has_failed {
                return false;
            }
            if self.client.is_connected && self.events.iter().any(|event| matches!(event, Event::Connected)) {
                return true;
            }
        }
        false
    }

    fn packets(&self) -> Vec<&ArrivedPacket> {
        let packets = self.events.iter().filter_map(|event| match event {
            Event::Packet(packet) => Some(packet),
            _ => None,
        });
        packets.collect()
    }
}

/// How many seeds a test of chance goes through: `ARCLY_SEEDS`, or what takes no time.
fn seeds(default: u64) -> u64 {
    std::env::var("ARCLY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
