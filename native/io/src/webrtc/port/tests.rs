//! By what a session is found: its names, and the addresses that it has shown to be at.

use std::net::SocketAddr;

use arcly_bus::{LogBounds, LogWriter, Publisher, StreamKey, Track, TrackId};
use arcly_codec::{Codec, CodecConfig};
use arcly_wire::webrtc::{Offer, PlayOptions, PlayedCodec, Session};
use bytes::Bytes;
use tokio::runtime::Handle;

use super::*;
use crate::{
    udp::UdpOptions,
    webrtc::{BFrames, Caller, door::Door, from_bus::Answered},
};

/// Of somebody who sends sound.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
    c=IN IP4 0.0.0.0\r\na=ice-ufrag:Rliy\r\na=ice-pwd:ihvoRVSlnMjgGml7MnHI0gXD\r\na=fingerprint:sha-256 \
    C9:24:7F:27:25:76:95:6A:2E:D0:03:9E:14:C3:46:D7:B4:B5:A6:97:9D:2A:64:9D:1B:05:8D:33:E0:64:67:20\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

fn address(port: u16) -> (Transport, SocketAddr) {
    (Transport::Udp, SocketAddr::from(([198, 51, 100, 7], port)))
}

/// A port with two sessions of publishers, named and numbered 1 and 2.
fn port() -> Port {
    let options = WebRtcOptions::default();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = UdpSocket::bind(&Handle::current(), local, &UdpOptions::default()).unwrap();
    let settings = Arc::new(Settings::new(options.limits, vec![socket.addr()], Vec::new()).unwrap());
    let inbox = Inbox::new(Waker::noop().clone());
    let (commands, tcp) = (mpsc::channel(1).1, mpsc::channel(1).1);
    let viewers = List::new(inbox.clone());
    let mut port = Port::new(socket, &options, settings.clone(), viewers, inbox, commands, tcp);
    let door = Door::new(&options);
    for id in ["1", "2"] {
        let offer = Offer::parse(OFFER, &options.limits).unwrap();
        let (session, answer) = Session::publish(&settings, offer, Instant::now()).unwrap();
        let publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let caller = Caller { key: StreamKey::new("live", id).unwrap(), address: local.ip(), agent: String::new() };
        let opening = Opening {
            id: id.into(),
            user_name: answer.user_name,
            session: Box::new(session),
            place: door.enter(local.ip()).unwrap(),
            caller,
            role: Role::Publish { publisher: Box::new(publisher), others: Vec::new() },
        };
        port.open(opening, Instant::now());
    }
    port
}

/// Found by review: each restart of ICE left a name behind for as long as the session.
#[tokio::test]
async fn restarts_of_ice_leave_no_names_behind() {
    let mut port = port();
    for round in 0..50 {
        let text = format!("a=ice-ufrag:name{round}\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n");
        let fragment = Fragment::parse(&text, &Limits::default()).unwrap();
        let answer = port.trickle("1", &fragment, None, Instant::now()).unwrap().unwrap();
        assert_eq!(port.by_name.get(&answer.user_name), Some(&1));
    }
    assert_eq!((port.by_name.len(), port.peers[&1].user_names.len()), (2, 1), "one of each session");
}

/// Found by review: the seventeenth address of a peer was not taken, and what came from there was for nobody.
#[tokio::test]
async fn the_address_of_the_latest_check_is_known_and_the_oldest_makes_room() {
    let mut port = port();
    (1..=20).for_each(|number| port.find_at(address(number), 1));
    assert_eq!(port.by_address.len(), 16);
    assert!([1, 2, 3, 4].iter().all(|old| !port.by_address.contains_key(&address(*old))));
    assert_eq!(port.peers[&1].place(), address(20).1);
    port.find_at(address(5), 1);
    port.find_at(address(21), 1);
    assert!(port.by_address.contains_key(&address(5)), "it has checked since");
    assert!(!port.by_address.contains_key(&address(6)));
}

/// Found by review: who had once checked under another's address had what came from there for ever.
#[tokio::test]
async fn an_address_is_of_whoever_has_checked_from_there_last() {
    let mut port = port();
    for number in [1, 2, 1, 2] {
        port.find_at(address(1), number);
        assert_eq!(port.by_address.get(&address(1)), Some(&number));
    }
    // The first one forgets it, which is not its own any more.
    (2..=20).for_each(|other| port.find_at(address(other), 1));
    assert_eq!(port.by_address.get(&address(1)), Some(&2));
}

/// Found by review: the session was not told.
#[tokio::test]
async fn a_connection_that_closes_is_no_address_of_its_peer_any_more() {
    let mut port = port();
    let from = address(9).1;
    port.find_at((Transport::Tcp, from), 1);
    port.tcp_event(TcpEvent::Closed(from));
    assert!(port.by_address.is_empty() && port.peers[&1].addresses.is_empty());
}

/// Somebody who wants to watch `log`, as session 3.
fn viewer(port: &Port, log: &Arc<arcly_bus::Log>) -> Opening {
    let options = WebRtcOptions::default();
    let offer = Offer::parse(&OFFER.replace("sendonly", "recvonly"), &options.limits).unwrap();
    let played = PlayedCodec::of(&log.tracks().tracks[0].config).unwrap();
    let wishes = PlayOptions { estimates: false, playout_delay: None };
    let (session, answer) = Session::play(&port.settings, offer, &[played], wishes, Instant::now()).unwrap();
    let address = address(1).1.ip();
    Opening {
        id: "3".into(),
        user_name: answer.user_name,
        session: Box::new(session),
        place: Door::new(&options).enter(address).unwrap(),
        caller: Caller { key: StreamKey::new("live", "3").unwrap(), address, agent: String::new() },
        role: Role::Play {
            renditions: vec![("3".into(), log.clone())],
            apart: Apart::default(),
            answered: Answered { codecs: [None, Some(Codec::Opus)], ..Answered::default() },
            b_frames: BFrames::Drop,
        },
    }
}

/// Found by reading: a stream that ended between the answer to an offer and the first look at the session told nobody of its end, and its
/// viewer stayed for as long as it was heard.
#[tokio::test]
async fn the_viewer_of_a_stream_that_has_ended_meanwhile_is_told_so() {
    for has_ended in [false, true] {
        let mut port = port();
        let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let opus =
            CodecConfig::parse(Codec::Opus, Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0")).unwrap();
        publisher.set_tracks(vec![Track::new(TrackId(1), opus)]).unwrap();
        let opening = viewer(&port, publisher.log());
        if has_ended {
            publisher.log().close();
        }
        port.open(opening, Instant::now());
        assert_eq!(port.peers.len(), if has_ended { 2 } else { 3 });
        assert_eq!((port.feeds.len(), port.by_id.len()), if has_ended { (0, 2) } else { (1, 3) });
    }
}
