//! Headers with a grammar of their own: Transport, Authorization, WWW-Authenticate, and URLs.

use std::time::Duration;

use arcly_wire::rtsp::{Credentials, Guard, RtspUrl, Transport, Users, Verdict, keys};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "rtsp_headers", vectors, edit: None, buffered_bytes_max: 1 << 20, run };

fn vectors() -> Vec<Vec<u8>> {
    [
        "RTP/AVPF;unicast;client_port=50000-50001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1",
        "RTP/SAVP/UDP;multicast;destination=224.1.0.1;source=192.0.2.2;port=3-4;server_port=5-6;ttl=16;ssrc=6B8B4567;mode=\"PLAY\"",
        "Digest username=\"me\", realm=\"arcly\", nonce=\"a\\\"b\", uri=\"rtsp://h/a\", response=\"00\", algorithm=SHA-256, qop=auth, nc=1, cnonce=\"c\"",
        "Digest realm=\"Login to 1A2B, 3\",qop=\"auth,auth-int\",nonce=\"17\",opaque=\"5c\",stale=TRUE",
        "Basic bWU6cGFzcw==",
        "rtsps://me:p%40ss@[::1]:8322/live/cam?token=x@y/z",
        "rtspu://h?x",
        "prot=mikey;uri=\"rtsp://h/a\";data=\"AQAFAP1td9ABAADCD1UcAAAAAAoAAdOOGc75XD0BAAAAGAABAQEBEAIBAQMBFAcBAQgBAQoBAQsBCgAAACcAIQAe30C59UrClE0e27UP5h/Wty9UL8+dfzg+2ttmmo3kBAAAAC8A\"",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn run(input: &Input) -> usize {
    let text = String::from_utf8_lossy(&input.bytes);
    for transport in Transport::parse_all(&text) {
        let written = transport.to_string();
        let again = Transport::parse(&written);
        assert!(again.is_some(), "{written}");
    }
    if let Some(told) = keys::of_header(&text) {
        assert!(told.opener().is_ok());
    }
    let users: Users = [("me".to_owned(), "secret that is not in any input".to_owned())].into_iter().collect();
    let mut guard = Guard::new(Some(users), "arcly", Duration::ZERO);
    let verdict = guard.check(&text, "PLAY", "rtsp://h/a", Duration::ZERO);
    assert!(!matches!(verdict, Verdict::Known | Verdict::Stale), "nobody guesses it");
    assert_eq!(guard.challenge(verdict, Duration::ZERO).len(), 3);
    let mut credentials = Credentials::new("me", "pass");
    if credentials.take_challenges([&*text].into_iter()) {
        assert!(credentials.authorization("PLAY", "rtsp://h/a").is_some_and(|header| header.contains(' ')));
    }
    if let Ok(url) = RtspUrl::parse(&text) {
        assert!(!url.host.is_empty() && !url.request_uri().contains('\n'));
        assert!(
            url.moved("rtsp://elsewhere/x").is_ok_and(|moved| moved.password.is_empty())
                || url.tls
                || url.host == "elsewhere"
        );
    }
    text.len()
}
