//! A client, a server, and the bytes between them, on a virtual clock: everything that happens follows from a seed.

use std::{collections::VecDeque, time::Duration};

use arcly_sim::{Clock, Link, LinkConfig, Random};
use arcly_wire::rtsp::{
    ClientConfig, ClientConn, ClientEvent, ClientUse, Denial, Event, Limits, Lower, MAGIC, MediaSetup, RtspError,
    RtspUrl, ServerConfig, ServerConn, Transport, Users,
    sdp::{Format, Media},
};
use bytes::Bytes;

/// More turns than any session here takes: one that goes on for ever is found.
const TURNS_MAX: usize = 20_000;
/// What one side may hold: an answer, a description, packets of one turn.
const HELD_BYTES_MAX: usize = 128 << 10;

/// What a seed has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) is_publish: bool,
    pub(crate) lower: Lower,
    pub(crate) medias: usize,
    /// Of the tracks of the stream, so many are set up.
    pub(crate) chosen: usize,
    pub(crate) packets: usize,
    pub(crate) every: Duration,
    pub(crate) decides_in: Duration,
    pub(crate) is_refused: bool,
    pub(crate) asks_passwords: bool,
    pub(crate) knows_password: bool,
    /// When nothing goes through any more.
    pub(crate) cut_at: Option<Duration>,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let ms = |random: &mut Random, most| Duration::from_millis(random.below(most));
        let medias = 1 + random.below(3) as usize;
        // Some are so slow that signs of life have to be given between their packets.
        let (packets, every) = if random.chance(0.2) { (8, 9_000) } else { (random.below(200), 40) };
        Self {
            is_publish: random.chance(0.5),
            lower: if random.chance(0.7) { Lower::Tcp } else { Lower::Udp },
            medias,
            chosen: 1 + random.below(medias as u64) as usize,
            packets: 1 + packets as usize,
            every: ms(random, every),
            decides_in: ms(random, 3_000),
            is_refused: random.chance(0.1),
            asks_passwords: random.chance(0.4),
            knows_password: random.chance(0.8),
            cut_at: random.chance(0.2).then(|| ms(random, 12_000)),
        }
    }

    pub(crate) fn is_let_in(&self) -> bool {
        !self.is_refused && (!self.asks_passwords || self.knows_password)
    }
}

/// A session, from its first byte to what is left of it.
pub(crate) struct World {
    pub(crate) plan: Plan,
    random: Random,
    clock: Clock,
    client: ClientConn,
    server: ServerConn,
    to_server: Link,
    to_client: Link,
    /// When the host decides on what it was asked.
    decides_at: Option<Duration>,
    sends_at: Option<Duration>,
    /// Packets that were sent and those that came: the track, and what was in it.
    pub(crate) sent: Vec<(usize, Bytes)>,
    pub(crate) came: Vec<(usize, Bytes)>,
    /// The host was asked so many times.
    pub(crate) asked: usize,
    pub(crate) has_started: bool,
    pub(crate) client_end: Option<Result<(), RtspError>>,
    pub(crate) server_end: Option<Result<(), RtspError>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        let link = |random: &mut Random| LinkConfig {
            delay: Duration::from_millis(random.below(300)),
            jitter: Duration::from_millis(random.below(200)),
            keeps_order: true,
            ..LinkConfig::default()
        };
        let (there, back) = (link(&mut random), link(&mut random));
        let users = Users::from_iter([("me".to_owned(), "secret".to_owned())]);
        let config = ServerConfig {
            users: plan.asks_passwords.then_some(users),
            udp: Some((8000, 8001)),
            ..ServerConfig::default()
        };
        let password = if plan.knows_password { "secret" } else { "guess" };
        let url = RtspUrl::parse(&format!("rtsp://me:{password}@h/live/cam")).unwrap();
        let purpose = if plan.is_publish { ClientUse::Publish(medias(plan.medias)) } else { ClientUse::Play };
        let client = ClientConn::new(
            ClientConfig { url, purpose, limits: Limits::default(), back_channel: false },
            Duration::ZERO,
        );
        Self {
            plan,
            random,
            clock: Clock::new(),
            client,
            server: ServerConn::new(config, Duration::ZERO),
            to_server: Link::new(there, seed),
            to_client: Link::new(back, !seed),
            decides_at: None,
            sends_at: None,
            sent: Vec::new(),
            came: Vec::new(),
            asked: 0,
            has_started: false,
            client_end: None,
            server_end: None,
        }
    }

    /// Lives through it.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.send_packets();
            self.decide();
            self.take_events();
            self.carry();
            self.close();
            assert!(self.client.buffered_bytes() <= HELD_BYTES_MAX && self.server.buffered_bytes() <= HELD_BYTES_MAX);
            if self.client_end.is_some() && self.server_end.is_some() {
                return;
            }
            self.wait();
            self.hear();
        }
        panic!("goes on for ever: {:?} {:?} {:?}", self.plan, self.client_end, self.server_end);
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn is_cut(&self) -> bool {
        self.plan.cut_at.is_some_and(|at| at <= self.now())
    }

    /// Who gives up closes the connection, and the other side is told so, unless nothing goes through.
    fn close(&mut self) {
        if self.is_cut() {
            return;
        }
        let gave_up = |end: &Option<Result<(), RtspError>>| matches!(end, Some(Err(_)));
        if gave_up(&self.client_end) {
            self.server_end.get_or_insert(Ok(()));
        } else if gave_up(&self.server_end) {
            self.client_end.get_or_insert(Ok(()));
        }
    }

    fn wait(&mut self) {
        let now = self.now();
        let links = [self.to_server.poll_timeout(), self.to_client.poll_timeout()];
        let arrivals = links.into_iter().flatten().map(|at| now + at.saturating_duration_since(self.clock.now()));
        let client = self.client.poll_timeout().filter(|_| self.client_end.is_none());
        let server = self.server.poll_timeout().filter(|_| self.server_end.is_none());
        let ours = [client, server, self.decides_at, self.sends_at].into_iter().flatten();
        let next = arrivals.chain(ours).min().unwrap_or_else(|| {
            panic!("nothing is waited for: {:?} {:?} {:?}", self.plan, self.client_end, self.server_end)
        });
        self.clock.advance(next.saturating_sub(now));
    }

    /// Takes what has arrived, and looks at the time.
    fn hear(&mut self) {
        let (now, at, is_cut) = (self.now(), self.clock.now(), self.is_cut());
        while let Some(bytes) = self.to_server.poll(at) {
            if !is_cut && self.server_end.is_none() {
                let heard = self.server.handle_input(now, bytes);
                end(&mut self.server_end, heard);
            }
        }
        while let Some(bytes) = self.to_client.poll(at) {
            if !is_cut && self.client_end.is_none() {
                let heard = self.client.handle_input(now, bytes);
                end(&mut self.client_end, heard);
            }
        }
        if self.server_end.is_none() {
            let looked = self.server.handle_timeout(now);
            end(&mut self.server_end, looked);
        }
        if self.client_end.is_none() {
            let looked = self.client.handle_timeout(now);
            end(&mut self.client_end, looked);
        }
    }

    /// Puts what both say on its way, in pieces of any length.
    fn carry(&mut self) {
        let now = self.clock.now();
        while let Some(bytes) = self.client.poll_output() {
            pieces(bytes, &mut self.random).into_iter().for_each(|piece| self.to_server.send(now, piece));
        }
        while let Some(bytes) = self.server.poll_output() {
            pieces(bytes, &mut self.random).into_iter().for_each(|piece| self.to_client.send(now, piece));
        }
    }

    fn decide(&mut self) {
        if self.decides_at.take_if(|at| *at <= self.clock.elapsed()).is_none() {
            return;
        }
        match (self.plan.is_refused, self.plan.is_publish) {
            (true, _) => self.server.refuse(Denial::Forbidden, "not this one"),
            (false, true) => self.server.accept_publish(),
            (false, false) => self.server.accept_play(medias(self.plan.medias)),
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            self.on_server(event);
        }
        while let Some(event) = self.client.poll_event() {
            self.on_client(event);
        }
    }

    fn on_server(&mut self, event: Event) {
        match event {
            Event::PlayRequested(ask) | Event::PublishRequested(ask, _) => {
                assert_eq!(ask.path, "/live/cam");
                self.asked += 1;
                self.decides_at = Some(self.now() + self.plan.decides_in);
            }
            Event::Playing(answer) => {
                // What was said before goes in front of it.
                self.carry();
                self.to_client.send(self.clock.now(), answer.write(&[]));
                self.server.begin_play();
                self.sends_at = Some(self.now());
            }
            Event::Packet(packet) => self.came.push((packet.media, packet.payload)),
            Event::Ended => {
                self.carry();
                self.server_end = Some(Ok(()));
            }
            Event::Paused | Event::Abandoned | Event::Recording => {}
        }
    }

    fn on_client(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Described(description) => {
                assert_eq!(description.medias.len(), self.plan.medias);
                self.client.setup((0..self.plan.chosen).map(|media| self.wish(media)).collect());
            }
            ClientEvent::Started(_) => {
                self.has_started = true;
                assert_eq!(self.client.setups().len(), self.plan.chosen);
                if self.plan.is_publish {
                    self.sends_at = Some(self.now());
                }
            }
            ClientEvent::Packet(packet) => {
                self.came.push((packet.media, packet.payload));
                if self.came.len() == self.plan.packets {
                    self.client.close();
                }
            }
            ClientEvent::Ended => self.client_end = Some(Ok(())),
            ClientEvent::Moved(location) => panic!("nobody said {location}"),
        }
    }

    fn wish(&self, media: usize) -> MediaSetup {
        let first = 2 * media as u8;
        let transport = match self.plan.lower {
            Lower::Tcp => Transport::tcp((first, first + 1)),
            Lower::Udp => Transport::udp((5_000 + u16::from(first), 5_001 + u16::from(first))),
        };
        MediaSetup { media, transport: Transport { record: self.plan.is_publish, ..transport } }
    }

    /// Sends the packet that is due, and takes leave behind the last.
    fn send_packets(&mut self) {
        if self.sends_at.take_if(|at| *at <= self.clock.elapsed()).is_none() {
            return;
        }
        if self.sent.len() < self.plan.packets {
            self.send_packet();
            self.sends_at = Some(self.now() + self.plan.every);
        } else if self.has_started && (self.plan.is_publish || self.plan.lower == Lower::Udp) {
            self.client.close();
        } else if self.is_cut() && self.plan.lower == Lower::Tcp {
            // Whoever writes to a viewer by TCP finds out: the machine waits for nothing.
            self.server_end.get_or_insert(Ok(()));
        } else {
            self.sends_at = Some(self.now() + Duration::from_secs(1));
        }
    }

    fn send_packet(&mut self) {
        let (now, media) = (self.now(), self.random.below(self.plan.chosen as u64) as usize);
        let length = 12 + self.random.below(200) as usize;
        let mut packet = self.random.bytes(length);
        // As it was described.
        packet[1] = 96;
        let packet = Bytes::from(packet);
        match (self.plan.lower, self.plan.is_publish) {
            (Lower::Tcp, true) => self.client.put_packet(media, false, &packet),
            (Lower::Tcp, false) => {
                // As the pump does, between the answers of the machine.
                let frame = [&[MAGIC, 2 * media as u8, 0, length as u8], packet.as_ref()].concat();
                self.to_client.send(self.clock.now(), frame.into());
            }
            (Lower::Udp, true) if !self.is_cut() => self.server.note_datagram(now, true),
            (Lower::Udp, _) => {}
        }
        self.sent.push((media, packet));
    }
}

fn end(end: &mut Option<Result<(), RtspError>>, result: Result<(), RtspError>) {
    if result.is_err() {
        *end = Some(result);
    }
}

fn pieces(mut bytes: Bytes, random: &mut Random) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    while !bytes.is_empty() {
        let most = if random.chance(0.5) { 8 } else { 2_000 };
        let length = (1 + random.below(most) as usize).min(bytes.len());
        pieces.push_back(bytes.split_to(length));
    }
    pieces
}

fn medias(count: usize) -> Vec<Media> {
    let format = Format { payload_type: 96, encoding: "H264".into(), clock_rate_hz: 90_000, ..Format::default() };
    let media = Media { kind: "video".into(), formats: vec![format], ..Media::default() };
    vec![media; count]
}
