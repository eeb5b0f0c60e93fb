//! A session that is told and sent anything, in any order: datagrams that nobody has signed, fragments, packets, time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use arcly_wire::webrtc::{
    Fragment, Lane, Limits, Offer, OutgoingPacket, Output, PlayOptions, PlayedCodec, Session, Sink, Transport,
    WebRtcError, demux::Arrival,
};

use super::{
    Target,
    webrtc_offer::{offer, settings},
};
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "webrtc_session", vectors, edit: None, buffered_bytes_max: 64 << 10, run };

/// Operations of one input; each costs a turn of the whole machine.
const OPERATIONS_MAX: usize = 64;

fn vectors() -> Vec<Vec<u8>> {
    // Each operation: what, how many bytes, the bytes.
    let operation = |what: u8, bytes: &[u8]| [&[what, bytes.len() as u8], bytes].concat();
    let stun = b"\x00\x01\x00\x10\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x00\x06\x00\x09evtj:Rliy\x20\x20\x20";
    let hello = b"\x16\xfe\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00";
    let rtp = b"\x80\x60\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03payload";
    let restart = b"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
    let candidate = b"a=candidate:1 1 udp 1 192.0.2.9 5000 typ host\r\n";
    let both = [
        operation(0, stun),
        operation(0, hello),
        operation(0, rtp),
        operation(1, restart),
        operation(1, candidate),
        operation(2, &[200]),
        operation(3, b"payload"),
        operation(0, b"\x81\xc9\x00\x01\x00\x00\x00\x01"),
        operation(4, b""),
    ];
    [0, 1].map(|way| [vec![way], both.concat()].concat()).to_vec()
}

#[expect(clippy::expect_used, reason = "what fails there is not the input")]
fn run(input: &Input) -> usize {
    let Some((way, mut rest)) = input.bytes.split_first() else { return 0 };
    let mut now = Instant::now();
    let is_publish = way % 2 == 0;
    let text = offer(if is_publish { "sendonly" } else { "recvonly" });
    let parsed = Offer::parse(&text, &Limits::default()).expect("our own");
    let played = [PlayedCodec { codec: Codec::H264, profile: 66 }, PlayedCodec { codec: Codec::Opus, profile: 0 }];
    let opened = if is_publish {
        Session::publish(settings(), parsed, now)
    } else {
        Session::play(settings(), parsed, &played, PlayOptions::default(), now)
    };
    let (mut session, _) = opened.expect("our own offer is answered");
    for _ in 0..OPERATIONS_MAX {
        let Some((what, length, behind)) = rest.split_first().and_then(|(what, behind)| {
            behind.split_first().map(|(length, behind)| (*what, usize::from(*length), behind))
        }) else {
            break;
        };
        let (bytes, behind) = behind.split_at_checked(length).unwrap_or((behind, &[]));
        rest = behind;
        let result = operate(&mut session, what, bytes, &mut now).and_then(|()| drain(&mut session));
        if let Err(error) = result {
            assert!(!matches!(error, WebRtcError::Bug(_)), "{error}");
            break;
        }
    }
    input.bytes.len()
}

fn operate(session: &mut Session, what: u8, bytes: &[u8], now: &mut Instant) -> Result<(), WebRtcError> {
    let from = SocketAddr::from(([198, 51, 100, 7], 50_000));
    match what % 5 {
        0 => match Arrival::new(Transport::Udp, from, bytes) {
            Some(arrival) => session.handle_datagram(*now, &arrival).map(drop),
            None => Ok(()),
        },
        1 => {
            let text = String::from_utf8_lossy(bytes);
            // What is refused changes nothing.
            let Ok(fragment) = Fragment::parse(&text, &Limits::default()) else { return Ok(()) };
            session.trickle(&fragment).map(drop)
        }
        2 => {
            *now += Duration::from_millis(bytes.first().copied().unwrap_or(1).into());
            session.handle_timeout(*now)
        }
        3 => {
            let lane = if bytes.len().is_multiple_of(2) { Lane::Video } else { Lane::Audio };
            let packet = OutgoingPacket { timestamp: 1, marker: true, payload: bytes.into(), wall: *now };
            session.send(lane, packet, *now, &mut Nowhere)?;
            session.handle_timeout(*now)
        }
        _ => {
            session.close();
            Ok(())
        }
    }
}

/// Takes what is sent.
struct Nowhere;

impl Sink for Nowhere {
    fn datagram(&mut self, _: Transport, _: SocketAddr, write: &mut dyn FnMut(&mut Vec<u8>) -> bool) {
        write(&mut Vec::new());
    }
}

fn drain(session: &mut Session) -> Result<(), WebRtcError> {
    // A machine that never comes to rest would turn for ever.
    let mut turns = 0;
    while !matches!(session.poll()?, Output::Timeout(_)) {
        turns += 1;
        assert!(turns < 1000, "it does not come to rest");
    }
    Ok(())
}
