//! Sessions against a client that is str0m itself, in virtual time, over a link that loses what a seed says.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use str0m::{
    Candidate, Input, Output as RtcOutput, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{RtpPacket, RtpWrite, SeqNo},
};

use super::{demux::*, framing::*, *};

const SERVER: &str = "192.0.2.1:8189";
const CLIENT: &str = "198.51.100.7:50000";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn settings() -> Arc<Settings> {
    Arc::new(Settings::new(Limits::default(), vec![addr(SERVER)], vec![addr(SERVER)]).unwrap())
}

/// A browser.
struct Client {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    mids: Vec<Mid>,
    arrived: Vec<RtpPacket>,
    key_frame_requests: usize,
    is_connected: bool,
}

impl Client {
    fn new(direction: Direction, now: Instant) -> (Self, String) {
        let mut rtc = RtcConfig::new().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(addr(CLIENT), "udp").unwrap());
        let mut change = rtc.sdp_api();
        let mids = [MediaKind::Video, MediaKind::Audio];
        let mids = mids.map(|kind| change.add_media(kind, direction, None, None, None)).to_vec();
        let (offer, pending) = change.apply().unwrap();
        let (pending, arrived) = (Some(pending), Vec::new());
        let client = Self { rtc, pending, mids, arrived, key_frame_requests: 0, is_connected: false };
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

/// Datagrams on their way, with the time when they arrive.
#[derive(Default)]
struct Wire {
    in_flight: VecDeque<(Instant, Vec<u8>)>,
}

/// Both ends, and what is between them.
struct Pair {
    client: Client,
    session: Session,
    events: Vec<Event>,
    up: Wire,
    down: Wire,
    now: Instant,
    random: u64,
    loss_percent: u64,
    delay: Duration,
}

impl Pair {
    fn publishing(seed: u64) -> Self {
        let now = Instant::now();
        let (client, offer) = Client::new(Direction::SendOnly, now);
        let offer = Offer::parse(&offer, &Limits::default()).unwrap();
        let (session, answer) = Session::publish(&settings(), offer, now).unwrap();
        Self::new(client, session, &answer, now, seed)
    }

    fn playing(codecs: &[Codec], seed: u64) -> Self {
        let now = Instant::now();
        let (client, offer) = Client::new(Direction::RecvOnly, now);
        let offer = Offer::parse(&offer, &Limits::default()).unwrap();
        let profile =
            |codec: &Codec| PlayedCodec { codec: *codec, profile: if *codec == Codec::H264 { 66 } else { 0 } };
        let played: Vec<_> = codecs.iter().map(profile).collect();
        let (session, answer) = Session::play(&settings(), offer, &played, now).unwrap();
        Self::new(client, session, &answer, now, seed)
    }

    fn new(mut client: Client, session: Session, answer: &Answer, now: Instant, seed: u64) -> Self {
        client.accept(&answer.sdp);
        let (up, down, events) = (Wire::default(), Wire::default(), Vec::new());
        let delay = Duration::from_millis(10);
        Self { client, session, events, up, down, now, random: seed | 1, loss_percent: 0, delay }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn is_lost(&mut self) -> bool {
        self.random() % 100 < self.loss_percent
    }

    /// Lets a millisecond pass on both sides.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        while self.up.in_flight.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.up.in_flight.pop_front().unwrap();
            self.session.handle_datagram(self.now, Transport::Udp, addr(CLIENT), &bytes).unwrap();
            self.poll_session();
        }
        while self.down.in_flight.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.down.in_flight.pop_front().unwrap();
            let Ok(receive) = Receive::new(Protocol::Udp, addr(SERVER), addr(CLIENT), &bytes) else { continue };
            self.client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.poll_client();
        }
        self.session.handle_timeout(self.now).unwrap();
        self.poll_session();
        self.client.rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.poll_client();
    }

    fn poll_session(&mut self) {
        loop {
            match self.session.poll().unwrap() {
                Output::Timeout(_) => return,
                Output::Event(event) => self.events.push(event),
                Output::Transmit(transmit) => {
                    assert_eq!((transmit.transport, transmit.to), (Transport::Udp, addr(CLIENT)));
                    if !self.is_lost() {
                        self.down.in_flight.push_back((self.now + self.delay, transmit.bytes));
                    }
                }
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            match self.client.rtc.poll_output().unwrap() {
                RtcOutput::Timeout(_) => return,
                RtcOutput::Transmit(transmit) => {
                    if !self.is_lost() {
                        self.up.in_flight.push_back((self.now + self.delay, transmit.contents.to_vec()));
                    }
                }
                RtcOutput::Event(str0m::Event::Connected) => self.client.is_connected = true,
                RtcOutput::Event(str0m::Event::RtpPacket(packet)) => self.client.arrived.push(packet),
                RtcOutput::Event(str0m::Event::KeyframeRequest(_)) => self.client.key_frame_requests += 1,
                RtcOutput::Event(_) => {}
            }
        }
    }

    /// Until both are connected; false when that takes longer than a person waits.
    fn connect(&mut self) -> bool {
        // A minute: what DTLS sends again comes after 1, 2, 4 … s.
        for _ in 0..60_000 {
            self.step();
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

/// The numbers that a client has written and that came, each once.
fn numbers(pair: &Pair) -> Vec<u64> {
    let number = |packet: &&ArrivedPacket| u64::from_be_bytes(packet.payload[..8].try_into().unwrap());
    let mut numbers: Vec<_> = pair.packets().iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn what_a_publisher_sends_comes_with_its_codec_and_its_times() {
    let mut pair = Pair::publishing(1);
    assert!(pair.connect());
    for number in 0..100 {
        pair.client.write(number, pair.now);
        (0..10).for_each(|_| pair.step());
    }
    (0..50).for_each(|_| pair.step());
    assert_eq!(numbers(&pair), (0..100).collect::<Vec<_>>());
    let last = *pair.packets().last().unwrap();
    assert_eq!((last.codec, last.clock_rate_hz, last.timestamp, last.marker), (Codec::Vp8, 90_000, 99 * 3000, true));
    assert!(last.track.rid().is_none());
}

#[test]
fn a_publisher_is_asked_for_a_key_frame() {
    let mut pair = Pair::publishing(1);
    assert!(pair.connect());
    pair.client.write(0, pair.now);
    (0..50).for_each(|_| pair.step());
    let track = pair.packets()[0].track;
    pair.session.request_key_frame(track).unwrap();
    (0..50).for_each(|_| pair.step());
    assert_eq!(pair.client.key_frame_requests, 1);
}

#[test]
fn a_viewer_gets_every_packet_under_one_clock() {
    let mut pair = Pair::playing(&[Codec::H264, Codec::Opus], 3);
    assert!(pair.session.plays(Lane::Video) && pair.session.plays(Lane::Audio));
    assert!(pair.connect());
    let payload: Arc<[u8]> = vec![7; 900].into();
    for number in 0..200u32 {
        for lane in [Lane::Video, Lane::Audio] {
            let packet =
                OutgoingPacket { timestamp: number * 960, marker: true, payload: payload.clone(), wall: pair.now };
            pair.session.send(lane, packet).unwrap();
        }
        (0..20).for_each(|_| pair.step());
    }
    assert_eq!(pair.client.arrived.len(), 400);
    // Its own beginning is added to the times, and the same for all.
    let video: Vec<_> = pair.client.arrived.iter().filter(|packet| packet.header.marker).collect();
    let ticks = |a: usize, b: usize| video[b].header.timestamp.wrapping_sub(video[a].header.timestamp);
    assert_eq!(ticks(0, 2) % 960, 0);
    // A report comes when its time has come, which chance sets, and is told with the packets behind it.
    let has_report = pair.client.arrived.iter().any(|packet| packet.last_sender_info.is_some());
    assert!(has_report, "no sender report came");
}

#[test]
fn a_viewer_that_lost_something_asks_again_and_gets_it() {
    for seed in 1..=40 {
        let mut pair = Pair::playing(&[Codec::Vp8], seed * 7919);
        assert!(pair.connect(), "seed {seed}");
        pair.loss_percent = seed % 15;
        let payload: Arc<[u8]> = vec![7; 900].into();
        for number in 0..300u32 {
            let packet =
                OutgoingPacket { timestamp: number * 900, marker: true, payload: payload.clone(), wall: pair.now };
            pair.session.send(Lane::Video, packet).unwrap();
            (0..5).for_each(|_| pair.step());
        }
        pair.loss_percent = 0;
        (0..600).for_each(|_| pair.step());
        let mut arrived: Vec<_> = pair.client.arrived.iter().map(|packet| *packet.seq_no).collect();
        arrived.sort_unstable();
        arrived.dedup();
        assert!(arrived.len() >= 290, "seed {seed}: {} of 300 came", arrived.len());
    }
}

#[test]
fn a_publisher_that_loses_packets_is_asked_for_them() {
    for seed in 1..=20 {
        let mut pair = Pair::publishing(seed * 104_729);
        assert!(pair.connect(), "seed {seed}");
        pair.loss_percent = seed % 10;
        for number in 0..300 {
            pair.client.write(number, pair.now);
            (0..5).for_each(|_| pair.step());
        }
        pair.loss_percent = 0;
        (0..600).for_each(|_| pair.step());
        assert!(numbers(&pair).len() >= 290, "seed {seed}: {} of 300 came", numbers(&pair).len());
    }
}

#[test]
fn a_link_that_loses_a_tenth_still_connects() {
    for seed in 1..=20 {
        let mut pair = Pair::publishing(seed * 15_485_863);
        pair.loss_percent = 10;
        assert!(pair.connect(), "seed {seed}");
    }
}

#[test]
fn goodbye_is_heard() {
    let mut pair = Pair::playing(&[Codec::Opus], 5);
    assert!(pair.connect());
    pair.session.close();
    pair.poll_session();
    (0..50).for_each(|_| {
        pair.now += Duration::from_millis(1);
        while let Some((_, bytes)) = pair.down.in_flight.pop_front() {
            let receive = Receive::new(Protocol::Udp, addr(SERVER), addr(CLIENT), &bytes).unwrap();
            pair.client.rtc.handle_input(Input::Receive(pair.now, receive)).unwrap();
            while !matches!(pair.client.rtc.poll_output().unwrap(), RtcOutput::Timeout(_)) {}
        }
    });
    assert!(pair.session.is_over());
    assert!(!pair.client.rtc.is_alive());
}

#[test]
fn new_credentials_restart_ice_and_media_go_on() {
    let mut pair = Pair::publishing(9);
    assert!(pair.connect());
    let before = pair
        .session
        .trickle(&Fragment::parse("a=candidate:1 1 udp 1 198.51.100.7 9 typ host", &Limits::default()).unwrap());
    assert_eq!(before.unwrap(), None);
    let offer = pair.client.rtc.sdp_api();
    let mut offer = offer;
    offer.ice_restart(true);
    let (offer, pending) = offer.apply().unwrap();
    let fragment = Fragment::parse(&offer.to_sdp_string(), &Limits::default()).unwrap();
    let answer = pair.session.trickle(&fragment).unwrap().expect("a restart is answered");
    assert!(answer.sdp.contains(&format!("a=ice-ufrag:{}", answer.user_name)), "{}", answer.sdp);
    drop(pending);
    assert_eq!(pair.session.trickle(&fragment).unwrap(), None, "the same again is no restart");
}

#[test]
fn what_cannot_be_played_is_said_in_words() {
    let now = Instant::now();
    let (_, offer) = Client::new(Direction::RecvOnly, now);
    let only_vp8 = offer.replace("H264/90000", "X264/90000");
    let offer = Offer::parse(&only_vp8, &Limits::default()).unwrap();
    let played = [PlayedCodec { codec: Codec::H264, profile: 100 }];
    let error = Session::play(&settings(), offer, &played, now).unwrap_err();
    assert!(matches!(error, WebRtcError::Unsupported { .. }), "{error}");
    assert!(error.to_string().starts_with("the stream has H264, and the offer receives only"), "{error}");
}

#[test]
fn an_offer_to_receive_is_none_to_publish() {
    let now = Instant::now();
    let (_, offer) = Client::new(Direction::RecvOnly, now);
    let error = Session::publish(&settings(), Offer::parse(&offer, &Limits::default()).unwrap(), now).unwrap_err();
    assert!(error.to_string().contains("sent by the peer (a=sendonly)"), "{error}");
}

#[test]
fn what_is_no_offer_is_refused_with_its_line() {
    let limits = Limits::default();
    let refused = |text: &str| Offer::parse(text, &limits).unwrap_err().to_string();
    assert_eq!(refused(""), "the body is no SDP: it does not begin with v=0");
    assert_eq!(refused("v=0\r\nhello"), "not a line of SDP (line 2)");
    assert_eq!(refused("v=0\r\ns=-"), "the offer has no media section");
    assert_eq!(refused("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96"), "the offer has no a=ice-ufrag");
    let lite = "v=0\na=ice-lite\nm=video 9 X 96\na=ice-ufrag:abcd\na=ice-pwd:x\na=fingerprint:sha-256 x";
    assert!(refused(lite).contains("a=ice-lite"));
    assert_eq!(refused(&format!("v=0\n{}", "m=video 9 X 96\n".repeat(9))), "more than 8 media sections");
    assert_eq!(refused(&"v=0\r\n".repeat(3000)), "more than 2048 offer lines");
    assert_eq!(refused(&"v".repeat(70_000)), "more than 65536 offer bytes");
}

#[test]
fn every_prefix_and_every_mutation_of_an_offer_ends_well() {
    let now = Instant::now();
    let settings = settings();
    let (_, offer) = Client::new(Direction::SendOnly, now);
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..300 {
        let mut bytes = offer.clone().into_bytes();
        for _ in 0..=round % 8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random as usize % bytes.len();
            match random >> 32 & 3 {
                0 => bytes[at] = (random >> 40) as u8 & 0x7f,
                1 => drop(bytes.drain(at..(at + 7).min(bytes.len()))),
                2 => bytes.truncate(at.max(200)),
                _ => bytes.splice(at..at, *b"a=rtpmap:0 ").for_each(drop),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Ok(offer) = Offer::parse(&text, &Limits::default())
            && let Err(error) = Session::publish(&settings, offer, now)
        {
            assert!(!matches!(error, WebRtcError::Bug(_)), "{text}");
        }
    }
}

#[test]
fn datagrams_are_told_apart_and_requests_say_whose_they_are() {
    // RFC 5769 §2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED and USERNAME evtj:h6vY.
    let request = hex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1\
         51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf",
    );
    assert_eq!(classify(&request), Some(Datagram::Stun { ours: Some("evtj") }));
    for length in 0..request.len() {
        assert_eq!(classify(&request[..length]), None, "{length} bytes");
    }
    assert_eq!(classify(&[22; 13]), Some(Datagram::Dtls));
    assert_eq!(classify(&[0x80; 12]), Some(Datagram::Media));
    assert_eq!(classify(&[64; 20]), None, "TURN channels are not ours");
    // Past faults elsewhere: a STUN message that is shorter than its header, attributes that end behind it.
    assert_eq!(classify(&[0, 1, 0, 0]), None);
    let mut cut = request.clone();
    cut[3] = 0x10;
    cut.truncate(36);
    cut[22..24].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(classify(&cut), Some(Datagram::Stun { ours: None }));
}

#[test]
fn frames_of_tcp_come_whole_however_they_are_split() {
    let datagrams: Vec<Vec<u8>> = vec![vec![1; 20], Vec::new(), vec![2; 1300], vec![3]];
    let mut stream = Vec::new();
    datagrams.iter().for_each(|datagram| frame(datagram, &mut stream));
    for split in 0..stream.len() {
        let mut frames = Frames::new(2000);
        let mut came = Vec::new();
        for part in [&stream[..split], &stream[split..]] {
            frames.push(part);
            while let Some(datagram) = frames.poll().unwrap() {
                came.push(datagram.to_vec());
            }
        }
        assert_eq!(came, datagrams, "split at {split}");
    }
    let mut frames = Frames::new(2000);
    frames.push(&[0xff, 0xff]);
    assert!(matches!(frames.poll(), Err(WebRtcError::LimitExceeded { max: 2000, .. })));
}

#[test]
fn candidates_are_bounded_over_all_fragments() {
    let mut pair = Pair::publishing(1);
    let lines: String =
        (0..20).map(|port| format!("a=candidate:1 1 udp 1 198.51.100.7 {} typ host\r\n", 1000 + port)).collect();
    let fragment = Fragment::parse(&lines, &Limits::default()).unwrap();
    assert_eq!(fragment.candidate_count(), 20);
    pair.session.trickle(&fragment).unwrap();
    let second = pair.session.trickle(&fragment);
    assert_eq!(second, Err(WebRtcError::LimitExceeded { limit: "candidates", max: 32 }));
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
