//! What comes to the port of WebRTC: which kind of datagram, whose, and cut out of a TCP stream.

use std::time::Instant;

use arcly_wire::webrtc::{
    demux::{Datagram, classify},
    discover::{Discovery, mapped_address},
    framing::{Frames, frame},
    stun::{Check, Message},
};

use super::Target;
use crate::{mutate::Input, play_back::is_due};

const DATAGRAM_BYTES_MAX: usize = 2000;

pub const TARGET: Target = Target { name: "webrtc_datagram", vectors, edit: None, buffered_bytes_max: 128 << 10, run };

/// The request of RFC 5769 §2.1, and who may sign it.
const CHECK: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09evtj:h6vY   \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
const SIGNER: (&str, &str, &str) = ("evtj", "h6vY", "VOkJxbRl1RmTxUk/WvJxBt");

fn vectors() -> Vec<Vec<u8>> {
    // A request with USERNAME evtj:h6vY (RFC 5769 §2.1, shortened), a ClientHello's beginning, RTP, RTCP.
    let stun = b"\x00\x01\x00\x10\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x00\x06\x00\x09evtj:h6vY\x20\x20\x20";
    let dtls = b"\x16\xfe\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00";
    let rtp = b"\x80\x60\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03payload";
    // RFC 5769 §2.2, its address alone.
    let answer = b"\x01\x01\x00\x0c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    let datagrams = [&stun[..], CHECK, answer, dtls, rtp, b"\x81\xc9\x00\x01\x00\x00\x00\x01"];
    let mut stream = Vec::new();
    datagrams.iter().for_each(|datagram| frame(datagram, &mut stream));
    datagrams.iter().map(|datagram| datagram.to_vec()).chain([stream]).collect()
}

fn run(input: &Input) -> usize {
    if let Some(Datagram::Stun(message)) = classify(&input.bytes) {
        check(&message, input.bytes.len());
    }
    if let Some(transaction) = input.bytes.get(8..20).and_then(|bytes| bytes.try_into().ok()) {
        let address = mapped_address(&input.bytes, &transaction);
        if is_due(&input.bytes) {
            assert!(!discovered(&input.bytes) || address.is_some(), "an address of nowhere");
        }
    }
    let whole = cut(Input::whole(input.bytes.clone()).pieces());
    assert_eq!(cut(input.pieces()), whole, "the pieces change what comes");
    input.bytes.len()
}

/// Whether this says where our port is, if it answers what we have asked.
fn discovered(answer: &[u8]) -> bool {
    let (server, now) = (([192, 0, 2, 1], 3478).into(), Instant::now());
    let mut discovery = Discovery::new(&[server], now);
    let (requests, _) = discovery.poll(now);
    let Some((_, request)) = requests.first() else { return false };
    let mut answer = answer.to_vec();
    answer.iter_mut().zip(request).take(20).skip(8).for_each(|(byte, asked)| *byte = *asked);
    discovery.handle_datagram(server, &answer, now).is_some()
}

/// Whose it is, and the answer where it is signed.
fn check(message: &Message<'_>, bytes: usize) {
    assert!(message.ours().is_none_or(|name| name.len() < bytes && !name.contains(':')));
    let (ours, theirs, password) = SIGNER;
    if let Some(check) = Check::read(message, ours, theirs, password) {
        let answer = check.answer(([192, 0, 2, 1], 32_853).into(), password).unwrap_or_default();
        assert!(Message::parse(&answer).is_some_and(|answer| answer.ours().is_none() && !answer.is_request()));
    }
}

/// The datagrams in a stream, and whether it can go on.
fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut came) = (Frames::new(DATAGRAM_BYTES_MAX), Vec::new());
    for piece in pieces {
        frames.push(piece);
        loop {
            match frames.poll() {
                Ok(Some(datagram)) => came.push(datagram.to_vec()),
                Ok(None) => break,
                Err(_) => return (came, false),
            }
        }
    }
    (came, true)
}
