//! Fragments of WHIP and WHEP: candidates, and credentials that restart ICE.

use arcly_wire::webrtc::{Fragment, Limits};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "webrtc_fragment", vectors, edit: None, buffered_bytes_max: 64 << 10, run };

fn vectors() -> Vec<Vec<u8>> {
    // RFC 9725 §4.3.2 and §4.3.3, in short.
    let trickle = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
        a=candidate:3471623853 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active\r\na=end-of-candidates\r\n";
    let names = "a=candidate:1 1 udp 1 5a3b.local 5 typ host\r\na=candidate:2 1 udp 1 192.0.2.1 0 typ srflx raddr 0.0.0.0 rport 0\r\n";
    vec![trickle.into(), names.into(), b"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n".to_vec()]
}

fn run(input: &Input) -> usize {
    let Ok(text) = std::str::from_utf8(&input.bytes) else { return 0 };
    let limits = Limits::default();
    let Ok(fragment) = Fragment::parse(text, &limits) else { return 0 };
    assert!(fragment.candidate_count() <= limits.candidates);
    if let Some(name) = fragment.user_name() {
        assert!((4..=256).contains(&name.len()) && name.is_ascii());
    }
    fragment.candidate_count() * 256
}
