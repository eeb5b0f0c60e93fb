//! The client's side of a connection, from the handshake on, against a server that says anything.

use std::time::Duration;

use arcly_wire::rtmp::{
    ClientConfig, ClientConn, ClientEvent, ClientUse, Event, Limits, MediaKind, PublishRejection, ServerConn, egress,
};

use super::Target;
use crate::mutate::Input;

/// First byte of an input: a publish; otherwise a play.
const PUBLISH: u8 = 0;
/// Small, so that they are reached.
const UNFINISHED_BYTES: usize = 64 << 10;
const PENDING_EVENTS: usize = 1000;

pub const TARGET: Target = Target {
    name: "rtmp_client",
    vectors,
    edit: None,
    // Unfinished messages, events in a ring that doubles, their bodies (no longer than the input), output, chunk stream states.
    buffered_bytes_max: UNFINISHED_BYTES + PENDING_EVENTS * 256 + (64 << 10) + (80 << 10),
    run,
};

fn client(purpose: ClientUse) -> ClientConn {
    let config = ClientConfig {
        app: "live".to_owned(),
        tc_url: "rtmp://host/live".to_owned(),
        stream: "cam".to_owned(),
        purpose,
    };
    let limits = Limits { unfinished_bytes: UNFINISHED_BYTES, pending_events: PENDING_EVENTS, ..Limits::default() };
    ClientConn::new(config, limits, 1, Duration::ZERO)
}

/// What our own server says, accepted and refused.
fn vectors() -> Vec<Vec<u8>> {
    let sessions =
        [(ClientUse::Publish, true), (ClientUse::Publish, false), (ClientUse::Play, true), (ClientUse::Play, false)];
    sessions.into_iter().map(|(purpose, accept)| session(purpose, accept)).collect()
}

fn session(purpose: ClientUse, accept: bool) -> Vec<u8> {
    let (mut client, mut server) = (client(purpose), ServerConn::new(Limits::default(), 2, Duration::ZERO));
    let mut said = vec![if purpose == ClientUse::Publish { PUBLISH } else { 1 }];
    for _ in 0..8 {
        while let Some(bytes) = client.poll_output() {
            let _ = server.handle_input(Duration::ZERO, &bytes);
        }
        while let Some(event) = server.poll_event() {
            match event {
                Event::PublishRequested(request) if accept => server.accept_publish(request.stream_id),
                Event::PublishRequested(request) => {
                    server.reject_publish(request.stream_id, PublishRejection::Failed, "no");
                }
                Event::PlayRequested(request) if accept => server.accept_play(request.stream_id),
                Event::PlayRequested(request) => server.reject_play(request.stream_id, "no"),
                _ => {}
            }
        }
        while let Some(bytes) = server.poll_output() {
            let _ = client.handle_input(Duration::ZERO, &bytes);
            said.extend_from_slice(&bytes);
        }
    }
    if purpose == ClientUse::Play && accept {
        said.extend(egress::chunked(MediaKind::Script, 0, b"", b"\x02\0\x0aonMetaData\x05"));
        said.extend(egress::chunked(MediaKind::Video, 0x100_0000, b"\x17\x01\0\0\0", &[7; 700]));
        server.request_reconnect("rtmp://other", "moving");
        server.end_play(1, "over");
        said.extend(std::iter::from_fn(|| server.poll_output()).flatten());
    }
    said
}

fn run(input: &Input) -> usize {
    let purpose = if input.bytes.first() == Some(&PUBLISH) { ClientUse::Publish } else { ClientUse::Play };
    let mut conn = client(purpose);
    let (mut now, mut held, mut ended) = (Duration::ZERO, 0, false);
    for (index, piece) in input.pieces().enumerate() {
        // The mark is in the first piece.
        let piece = piece.get(usize::from(index == 0)..).unwrap_or_default();
        let alive = conn.handle_input(now, piece).is_ok();
        held = conn.buffered_bytes().max(held);
        while let Some(event) = conn.poll_event() {
            assert!(!ended, "nothing comes behind the end");
            match event {
                ClientEvent::Started => conn.send(MediaKind::Audio, 5, b"\xaf\x01", b"sound"),
                ClientEvent::Media(media) => {
                    assert!(!media.body.is_empty() && purpose == ClientUse::Play, "media is for players");
                }
                ClientEvent::Ended { .. } => ended = true,
                ClientEvent::Connected(_) | ClientEvent::ReconnectRequest { .. } => {}
            }
        }
        while conn.poll_output().is_some() {}
        now = now.saturating_add(Duration::from_millis(100));
        let alive = conn.handle_timeout(now).is_ok() && alive;
        assert!(alive && !ended || conn.poll_timeout().is_none(), "a dead machine waits for nothing");
    }
    conn.close();
    held
}
