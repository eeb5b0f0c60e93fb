//! Messages and interleaved packets; what is read must not depend on how it is cut.

use arcly_wire::rtsp::{Base64Reader, Incoming, Limits, MessageReader, RtspError, opening};
use bytes::Bytes;

use super::Target;
use crate::mutate::Input;

/// Small, so that they are reached.
const LIMITS: fn() -> Limits =
    || Limits { header_bytes: 2 << 10, body_bytes: 1 << 10, garbage_bytes: 256, ..Limits::default() };

pub const TARGET: Target =
    Target { name: "rtsp_message", vectors, edit: None, buffered_bytes_max: (64 << 10) * 2 + 4096, run };

fn vectors() -> Vec<Vec<u8>> {
    vec![
        b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x00\x00\x03abc$\x01\x00\x00".to_vec(),
        b"ANNOUNCE rtsp://h/a RTSP/1.0\nContent-Length: 5\nContent-Type: application/sdp\n\nv=0\r\n".to_vec(),
        b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\",\r\n nonce=\"1\"\r\n\r\n".to_vec(),
        b"$\x00\x00\x01a\x00\x17garbage$\x99\x00\x00\x7fPLAX $\x00\x00\x01bPLAY rtsp://h/a RTSP/1.0\r\n\r\n".to_vec(),
        b"GET /live/cam HTTP/1.0\r\nX-SessionCookie: abc\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n".to_vec(),
        b"T1BUSU9OUyAqIFJUU1AvMS4wDQpDU2VxOiAxDQoNCg==JAAAAWE=".to_vec(),
        b"\r\n\r\nTEARDOWN * RTSP/2.0\r\nSession: 1;timeout=60\r\n\r\nFROBNICATE * RTSP/1.0\r\n\r\n".to_vec(),
    ]
}

fn run(input: &Input) -> usize {
    let (seen, fault, held) = read(input.pieces());
    let whole = Input::whole(input.bytes.clone());
    let (seen_whole, fault_whole, _) = read(whole.pieces());
    assert_eq!((&seen, &fault), (&seen_whole, &fault_whole), "the cuts change what is read");
    for incoming in seen {
        let written = match incoming {
            Incoming::Request(request) => request.write(),
            Incoming::Response(response) => response.write(),
            Incoming::Packet { .. } => continue,
        };
        assert!(written.windows(4).any(|end| end == b"\r\n\r\n"), "what is written has an end");
    }
    check_tunnel(input);
    held
}

/// What a tunnel over HTTP begins with lies within what has come, and its Base64 does not depend on how it is cut.
fn check_tunnel(input: &Input) {
    let taken = opening(&input.bytes).ok().flatten().map_or(0, |(_, bytes)| bytes);
    assert!(taken <= input.bytes.len(), "more than has come");
    let mut reader = Base64Reader::default();
    let pieces: Result<Vec<_>, _> = input.pieces().map(|piece| reader.read(piece)).collect();
    let whole = Base64Reader::default().read(&input.bytes);
    assert_eq!(pieces.map(|pieces| pieces.concat()), whole, "the cuts change what the tunnel says");
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<RtspError>, usize) {
    let mut reader = MessageReader::new(LIMITS());
    reader.expect_channel(0);
    let (mut seen, mut held) = (Vec::new(), 0);
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.read() {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                // How much had come when it was too much depends on the cuts.
                Err(RtspError::LimitExceeded { limit, max, .. }) => {
                    return (seen, Some(RtspError::LimitExceeded { limit, max, seen: 0 }), held);
                }
                Err(error) => return (seen, Some(error), held),
            }
        }
        held = reader.buffered_bytes().max(held);
    }
    (seen, None, held)
}
