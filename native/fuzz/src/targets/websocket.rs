//! What WebSocket clients say; what is heard of it must not depend on how it is cut.

use arcly_wire::websocket::{Listener, WebSocketError, accept_key};
use bytes::Bytes;

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "websocket", vectors, edit: None, buffered_bytes_max: 512, run };

fn vectors() -> Vec<Vec<u8>> {
    // RFC 6455 §5.7: "Hello" as text and as a ping, masked; then fragments with a ping between them, long lengths, and goodbyes.
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let fragments = [&b"\x01\x83\0\0\0\0Hel"[..], ping, b"\x80\x82\0\0\0\0lo\x8a\x80\0\0\0\0"].concat();
    let long = [&b"\x82\xfe\x01\x00\x01\x02\x03\x04"[..], &[9; 256], b"\x82\xff\0\0\0\0\0\x01\0\0abcd"].concat();
    let goodbye = b"\x88\x84\x01\x02\x03\x04\x02\xea\x6b\x6d";
    vec![
        [&hello[..], ping, goodbye].concat(),
        fragments,
        long,
        b"\x88\x80\0\0\0\0".to_vec(),
        b"dGhlIHNhbXBsZSBub25jZQ==".to_vec(),
    ]
}

fn run(input: &Input) -> usize {
    if let Ok(text) = std::str::from_utf8(&input.bytes) {
        assert!(accept_key(text).is_none_or(|proof| proof.len() == 28 && text.len() == 24));
    }
    assert_eq!(hear(input.pieces()), hear(Input::whole(input.bytes.clone()).pieces()), "the cuts change what is heard");
    size_of::<Listener>()
}

/// The last answer (of several pings the newest is answered, so their number depends on the cuts), and the fault.
fn hear<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Option<Bytes>, bool, Option<WebSocketError>) {
    let mut listener = Listener::default();
    let (mut last, mut fault) = (None, None);
    for piece in pieces {
        fault = fault.or(listener.hear(piece).err());
        while let Some(answer) = listener.take_answer() {
            assert!(answer.len() <= 127, "a control frame is short");
            last = Some(answer);
        }
    }
    (last, listener.is_closed(), fault)
}
