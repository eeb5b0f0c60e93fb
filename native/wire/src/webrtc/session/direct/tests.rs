//! What a viewer can do to its session, past str0m.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use bytes::BytesMut;
use str0m::{
    IceCreds, Output as RtcOutput,
    crypto::{
        dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsVersion, ProtocolVersion},
        from_feature_flags,
    },
};

use super::{
    Direct, Heard, Names, OutgoingPacket, Output, Path, Sink, Transport, WAITING_MAX, WebRtcError, alone::RECORD_BYTES,
};
use crate::{
    rtp::rtcp::{Nack, RtcpPacket},
    webrtc::{
        Fragment, Limits,
        session::{Event, Lane},
        stun,
        tests::{CLIENT, Pair, addr},
    },
};

/// A viewer of pictures, connected, with whom str0m is let go.
fn viewer(seed: u64) -> Pair {
    let mut pair = Pair::playing(&[Codec::Vp8], seed);
    assert!(pair.connect());
    pair.run(2000);
    assert!(direct(&mut pair).alone.is_some());
    pair
}

fn direct(pair: &mut Pair) -> &mut Direct {
    pair.session.direct.as_mut().unwrap()
}

fn send(pair: &mut Pair, packets: u32) {
    for number in 0..packets {
        let packet =
            OutgoingPacket { timestamp: number * 900, marker: true, payload: vec![1; 1000].into(), wall: pair.now };
        pair.send(Lane::Video, packet).unwrap();
    }
}

/// Asks for all that is kept, in one datagram so many times over; the packets that wait then, and whether a number was used for more.
fn ask_again(pair: &mut Pair, times: usize) -> (usize, u64) {
    let now = pair.now;
    let direct = direct(pair);
    let source = direct.tracks[0].source;
    let newest = source.next as u16;
    let nack = Nack::new(1, source.ssrc, (0..256).rev().map(|back: u16| newest.wrapping_sub(1 + back)));
    let mut datagram = BytesMut::new();
    (0..times).for_each(|_| RtcpPacket::Nack(nack.clone()).write(&mut datagram));
    let before = direct.tracks[0].repeats.unwrap().next;
    direct.take_feedback(&datagram, now);
    (direct.waiting.len(), direct.tracks[0].repeats.unwrap().next - before)
}

/// Found by review: each of many requests in a datagram could name 256, the same ones too.
#[test]
fn one_datagram_asks_for_256_packets_at_most_each_once_and_after_an_hour_for_no_more() {
    let mut pair = viewer(31);
    for _ in 0..750 {
        pair.now += Duration::from_millis(4);
        send(&mut pair, 1);
    }
    assert_eq!(ask_again(&mut pair, 30), (251, 251), "of the last second");
    direct(&mut pair).waiting.clear();
    pair.now += Duration::from_secs(1);
    assert_eq!(ask_again(&mut pair, 30), (0, 0), "all that is kept was repeated");
    send(&mut pair, 3000);
    assert_eq!(ask_again(&mut pair, 30), (256, 256));
}

/// Found by review: what there was no room for was sealed all the same.
#[test]
fn nothing_is_sealed_for_which_there_is_no_room() {
    let mut pair = viewer(32);
    send(&mut pair, 3000);
    (0..WAITING_MAX - 3).for_each(|_| direct(&mut pair).wait(vec![0; 20]));
    assert_eq!(ask_again(&mut pair, 2), (WAITING_MAX, 3));
}

/// A DTLS with faults.
#[derive(Debug, Default)]
struct Faulty {
    /// What panics.
    panics: &'static str,
    says_unknown: bool,
    fails: Option<DtlsImplError>,
    records: Arc<AtomicUsize>,
}

impl Faulty {
    fn put_into(self, pair: &mut Pair) {
        let now = pair.now;
        let alone = direct(pair).alone.as_mut().unwrap();
        (alone.dtls, alone.due) = (Box::new(self), Some(now));
    }

    fn called(&self, what: &str) {
        assert_ne!(self.panics, what, "as it should");
    }
}

impl DtlsInstance for Faulty {
    fn set_active(&mut self, _: bool) {}

    fn handle_packet(&mut self, _: &[u8]) -> Result<(), DtlsImplError> {
        self.called("record");
        self.records.fetch_add(1, Relaxed);
        self.fails.clone().map_or(Ok(()), Err)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.called("poll");
        if self.says_unknown {
            return DtlsOutput::BufferTooSmall { needed: buf.len() + 1 };
        }
        DtlsOutput::Timeout(Instant::now())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), DtlsImplError> {
        self.called("time");
        Ok(())
    }

    fn send_application_data(&mut self, _: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(0)
    }

    fn is_active(&self) -> bool {
        false
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn is_closing(&self) -> bool {
        false
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.called("close");
        Ok(())
    }
}

/// The head of a record of DTLS 1.2, with something behind it.
fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9][..], &length, body].concat()
}

fn tell(pair: &mut Pair, datagram: &[u8]) -> Result<Heard, WebRtcError> {
    pair.hear(Transport::Udp, addr(CLIENT), datagram)
}

/// Found by review: DTLS was called without a net once str0m was let go, and its panic would have ended the server.
#[test]
fn a_panic_of_dtls_ends_one_session_and_is_told_as_a_bug() {
    for panics in ["record", "poll", "time", "close"] {
        let mut pair = viewer(33);
        Faulty { panics, ..Faulty::default() }.put_into(&mut pair);
        let now = pair.now + Duration::from_secs(3600);
        let result = match panics {
            "record" | "poll" => tell(&mut pair, &record(23, 1, &[0; 20])).map(drop),
            "time" => pair.session.handle_timeout(now),
            _ => {
                pair.session.close();
                Err(WebRtcError::Bug(""))
            }
        };
        assert!(matches!(result, Err(WebRtcError::Bug(_))), "{panics}: {result:?}");
        assert!(pair.session.is_over(), "{panics}");
        // Nothing is called any more.
        assert_eq!(tell(&mut pair, &record(23, 1, &[0; 20])), Ok(Heard::Nothing));
        pair.session.handle_timeout(now).unwrap();
        pair.session.close();
    }
}

/// Found by review: a record longer than the room for it was never taken out, and all behind it waited for ever.
#[test]
fn a_record_longer_than_its_room_is_refused_and_what_dtls_wants_beyond_us_ends_the_session() {
    let mut pair = viewer(34);
    let records = Arc::<AtomicUsize>::default();
    Faulty { records: records.clone(), ..Faulty::default() }.put_into(&mut pair);
    assert_eq!(tell(&mut pair, &record(23, 1, &[0; RECORD_BYTES])), Ok(Heard::Nothing));
    assert_eq!(records.load(Relaxed), 0);
    assert_eq!(tell(&mut pair, &record(23, 1, &[0; RECORD_BYTES - 13])), Ok(Heard::Something));
    assert_eq!(records.load(Relaxed), 1);
    Faulty { says_unknown: true, ..Faulty::default() }.put_into(&mut pair);
    assert!(matches!(tell(&mut pair, &record(23, 1, &[0; 20])), Err(WebRtcError::Bug(_))));
    assert!(pair.session.is_over());
}

/// Found by review: who was sent a record was not told that there is something to say, and said it a second later.
#[test]
fn after_a_record_the_session_is_polled_and_a_stranger_is_not_taken_for_the_peer() {
    let mut pair = viewer(35);
    pair.client.rtc.close().unwrap();
    let mut heard = Vec::new();
    while let Ok(RtcOutput::Transmit(transmit)) = pair.client.rtc.poll_output() {
        let is_record = transmit.contents.first().is_some_and(|first| (20..64).contains(first));
        let told = tell(&mut pair, &transmit.contents).unwrap();
        heard.extend(is_record.then_some(told));
    }
    assert!(!heard.is_empty() && heard.iter().all(|heard| *heard == Heard::Something), "{heard:?}");
    pair.poll_session();
    assert!(pair.events.iter().any(|event| matches!(event, Event::Closed)));
}

/// Found by review: an alert with which a peer gives up was passed over.
#[test]
fn a_signed_alert_ends_the_session_and_one_in_the_open_does_not() {
    let mut pair = viewer(36);
    for alert in [[2, 0], [2, 40], [2, 80], [1, 0]] {
        assert_eq!(tell(&mut pair, &record(21, 0, &alert)), Ok(Heard::Something));
        pair.poll_session();
        assert!(
            !pair.session.is_over() && !pair.events.iter().any(|event| matches!(event, Event::Closed)),
            "{alert:?}"
        );
    }
    // Before the handshake there is nothing to sign it with, and DTLS says the same of it.
    let (provider, now) = (from_feature_flags().dtls_provider, pair.now);
    let cert = provider.generate_certificate().unwrap();
    let mut dtls = provider.new_dtls(&cert, now, DtlsVersion::Dtls12, None).unwrap();
    dtls.set_active(false);
    dtls.handle_timeout(now).unwrap();
    let fails = dtls.handle_packet(&record(21, 0, &[2, 80])).err();
    assert!(matches!(fails, Some(DtlsImplError::SecurityError(_))), "{fails:?}");
    Faulty { fails: Some(DtlsImplError::ReceiveQueueFull), ..Faulty::default() }.put_into(&mut pair);
    assert_eq!(tell(&mut pair, &record(21, 1, &[0; 20])), Ok(Heard::Something));
    assert!(!pair.session.is_over());
    Faulty { fails, ..Faulty::default() }.put_into(&mut pair);
    assert_eq!(tell(&mut pair, &record(21, 1, &[0; 20])), Ok(Heard::Something));
    pair.poll_session();
    assert!(pair.session.is_over() && pair.events.iter().any(|event| matches!(event, Event::Closed)));
}

/// Found by review: it was a goodbye, which nobody reports.
#[test]
fn a_handover_that_fails_is_a_bug() {
    let mut pair = viewer(37);
    let names = Names::new(IceCreds::new(), String::new(), String::new());
    assert_eq!(direct(&mut pair).go_alone(names), Err(WebRtcError::Bug("handing DTLS over")));
}

/// A check as the viewer signs it, under the newest credentials.
fn check(pair: &mut Pair, number: u8, nominates: bool) -> Vec<u8> {
    let (ours, theirs) = direct(pair).alone.as_ref().unwrap().names.ours.last().unwrap();
    stun::request((&ours.ufrag, theirs), &ours.pass, [number; 12], nominates)
}

fn tell_from(pair: &mut Pair, path: Path, datagram: &[u8]) -> Result<Heard, WebRtcError> {
    pair.hear(path.0, path.1, datagram)
}

/// Where a packet goes.
#[derive(Default)]
struct Sent(Option<Path>);

impl Sink for Sent {
    fn datagram(&mut self, transport: Transport, to: SocketAddr, write: &mut dyn FnMut(&mut Vec<u8>) -> bool) {
        assert!(write(&mut Vec::new()));
        self.0 = Some((transport, to));
    }
}

fn goes_to(pair: &mut Pair) -> Option<Path> {
    let mut sent = Sent::default();
    let packet = OutgoingPacket { timestamp: 0, marker: true, payload: vec![1; 100].into(), wall: pair.now };
    pair.session.handle_timeout(pair.now).unwrap();
    pair.session.send(Lane::Video, packet, pair.now, &mut sent).unwrap();
    pair.poll_session();
    sent.0
}

/// Found by review: one check that bore a victim's address, and media went there for as long as checks came from anywhere.
#[test]
fn media_go_only_where_checks_come_from_and_stop_with_the_last_of_them() {
    let (mut pair, here, victim) =
        (viewer(38), (Transport::Udp, addr(CLIENT)), (Transport::Udp, addr("203.0.113.9:9")));
    assert_eq!(goes_to(&mut pair), Some(here));
    let chooses = check(&mut pair, 1, true);
    assert_eq!(tell_from(&mut pair, victim, &chooses), Ok(Heard::Peer));
    assert_eq!(goes_to(&mut pair), Some(victim));
    for number in 2..=7 {
        assert_eq!(goes_to(&mut pair), Some(victim));
        let keeps = check(&mut pair, number, false);
        assert_eq!(tell_from(&mut pair, here, &keeps), Ok(Heard::Peer));
        pair.now += Duration::from_secs(5);
    }
    assert_eq!(goes_to(&mut pair), Some(here), "nobody has checked from there for 30 s");
    pair.now += Duration::from_secs(30);
    assert_eq!(goes_to(&mut pair), None, "nor from here");
    let comes_back = check(&mut pair, 9, false);
    assert_eq!(tell_from(&mut pair, here, &comes_back), Ok(Heard::Peer));
    assert_eq!(goes_to(&mut pair), Some(here));
}

/// Found by review: who repeated checks with a victim's address on them had media sent there for good.
#[test]
fn media_to_an_address_from_which_no_report_tells_of_them_end_after_half_a_minute() {
    let (mut pair, victim) = (viewer(45), (Transport::Udp, addr("203.0.113.9:9")));
    let mut turns = 0_u8;
    let failed = loop {
        let chooses = check(&mut pair, turns, true);
        if tell_from(&mut pair, victim, &chooses) != Ok(Heard::Peer) {
            break Ok(());
        }
        pair.now += Duration::from_millis(250);
        if let Err(error) = pair.session.handle_timeout(pair.now) {
            break Err(error);
        }
        let packet = OutgoingPacket { timestamp: 0, marker: true, payload: vec![1; 100].into(), wall: pair.now };
        pair.session.send(Lane::Video, packet, pair.now, &mut Sent::default()).unwrap();
        pair.poll_session();
        turns += 1;
    };
    assert!(failed.is_err() && pair.session.is_over());
    assert!((25 * 4..45 * 4).contains(&turns), "{} s", turns / 4);
}

/// Found by review: who saw a check pass could send it again from another address, and have the media.
#[test]
fn a_check_that_is_copied_from_elsewhere_is_refused() {
    let (mut pair, here, there) = (viewer(39), (Transport::Udp, addr(CLIENT)), (Transport::Udp, addr("203.0.113.9:9")));
    let chooses = check(&mut pair, 1, true);
    for (path, heard) in [(here, Heard::Peer), (here, Heard::Peer), (there, Heard::Nothing)] {
        assert_eq!(tell_from(&mut pair, path, &chooses), Ok(heard));
    }
    assert_eq!(goes_to(&mut pair), Some(here));
    // Who forges one does not make the true one a copy.
    let next = check(&mut pair, 2, true);
    let mut forged = next.clone();
    forged[40] ^= 1;
    assert_eq!(tell_from(&mut pair, there, &forged), Ok(Heard::Nothing));
    assert_eq!(tell_from(&mut pair, here, &next), Ok(Heard::Peer));
}

/// Found by review: media went to a connection that was closed until its peer chose another way.
#[test]
fn a_connection_that_closes_sends_media_to_where_the_last_check_came_from() {
    let (mut pair, here, tcp) = (viewer(40), (Transport::Udp, addr(CLIENT)), (Transport::Tcp, addr("198.51.100.7:9")));
    let chooses = check(&mut pair, 1, true);
    tell_from(&mut pair, tcp, &chooses).unwrap();
    while !matches!(pair.session.poll().unwrap(), Output::Timeout(_)) {}
    assert_eq!(goes_to(&mut pair), Some(tcp));
    pair.session.lose(tcp.0, tcp.1);
    assert_eq!(goes_to(&mut pair), Some(here));
}

/// Found by review: a second restart took away the credentials that media still ran on.
#[test]
fn two_ice_restarts_leave_the_credentials_that_media_run_on() {
    let mut pair = viewer(41);
    let used = direct(&mut pair).names().unwrap().ours[0].0.ufrag.clone();
    for name in ["once", "twice"] {
        let text = format!("a=ice-ufrag:{name}\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n");
        pair.session.trickle(&Fragment::parse(&text, &Limits::default()).unwrap()).unwrap().unwrap();
    }
    assert!(direct(&mut pair).names().unwrap().knows(&used));
    // The client has heard of no restart.
    pair.run(40_000);
    assert_eq!(goes_to(&mut pair), Some((Transport::Udp, addr(CLIENT))));
    let chooses = check(&mut pair, 1, true);
    assert_eq!(tell(&mut pair, &chooses), Ok(Heard::Peer));
    assert!(!direct(&mut pair).names().unwrap().knows(&used));
    assert_eq!(direct(&mut pair).names().unwrap().ours.len(), 1);
}

/// Takes nothing: there is no room, or no connection any more.
struct Full;

impl Sink for Full {
    fn datagram(&mut self, _: Transport, _: SocketAddr, _: &mut dyn FnMut(&mut Vec<u8>) -> bool) {}
}

/// Found by review: numbers of packets that nobody took ran on, past what a receiver can follow.
#[test]
fn packets_that_nobody_takes_are_a_gap_that_a_viewer_can_see_and_follow() {
    let mut pair = viewer(42);
    let first = direct(&mut pair).tracks[0].source.next;
    for _ in 0..100_000 {
        let packet = OutgoingPacket { timestamp: 0, marker: true, payload: vec![1; 10].into(), wall: pair.now };
        pair.session.send(Lane::Video, packet, pair.now, &mut Full).unwrap();
    }
    assert_eq!(direct(&mut pair).tracks[0].source.next - first, 4096);
    let before = pair.client.arrived.len();
    send(&mut pair, 10);
    pair.run(100);
    assert_eq!(pair.client.arrived.len() - before, 10);
}

/// Found by review: they lay in memory for as long as the session.
#[test]
fn the_keys_of_the_handshake_are_taken_once() {
    let mut pair = viewer(43);
    assert!(direct(&mut pair).handshake.take_keys().is_none());
}

/// Libnice without consent freshness sends no checks once it is connected.
#[test]
fn signed_reports_go_on_where_a_check_came_from_and_open_no_other_way() {
    let (mut pair, here, there) = (viewer(44), (Transport::Udp, addr(CLIENT)), (Transport::Udp, addr("203.0.113.9:9")));
    let paths = &mut direct(&mut pair).paths;
    let now = paths.checked_at(here).unwrap();
    let at = |seconds| now + Duration::from_secs(seconds);
    assert!(!paths.renew(there, at(1)) && paths.renew(here, at(29)));
    assert_eq!((paths.media(at(58)), paths.media(at(59))), (Some(here), None));
    assert!(!paths.renew(here, at(60)), "what has ended takes a check");
}
