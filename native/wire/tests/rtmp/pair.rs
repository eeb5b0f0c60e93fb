//! Our client against our server, in memory and virtual time.

use std::time::Duration;

use arcly_wire::rtmp::{
    ClientConfig, ClientConn, ClientEvent, ClientUse, Event, Limits, MediaKind, PublishRejection, RtmpError,
    ServerConn, egress,
};

use crate::client::{T0, pattern};

struct Pair {
    client: ClientConn,
    server: ServerConn,
    /// Bytes that either side is given at a time.
    piece: usize,
    client_events: Vec<ClientEvent>,
    server_events: Vec<Event>,
}

impl Pair {
    fn new(purpose: ClientUse, piece: usize) -> Self {
        let config = ClientConfig {
            app: "live/inst?t=1".to_owned(),
            tc_url: "rtmp://me:secret@host/live/inst".to_owned(),
            stream: "cam".to_owned(),
            purpose,
        };
        Self {
            client: ClientConn::new(config, Limits::default(), 3, T0),
            server: ServerConn::new(Limits::default(), 7, T0),
            piece,
            client_events: Vec::new(),
            server_events: Vec::new(),
        }
    }

    /// Carries bytes until both sides are silent.
    fn run(&mut self) {
        loop {
            let to_server: Vec<u8> = std::iter::from_fn(|| self.client.poll_output()).flatten().collect();
            for piece in to_server.chunks(self.piece) {
                self.server.handle_input(T0, piece).unwrap();
            }
            let to_client: Vec<u8> = std::iter::from_fn(|| self.server.poll_output()).flatten().collect();
            for piece in to_client.chunks(self.piece) {
                self.client.handle_input(T0, piece).unwrap();
            }
            self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
            self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
            if to_server.is_empty() && to_client.is_empty() {
                return;
            }
        }
    }

    fn give_to_client(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece) {
            self.client.handle_input(T0, piece).unwrap();
        }
        self.run();
    }
}

/// Pieces of every size that matters, and odd ones.
const PIECES: [usize; 8] = [1, 2, 3, 7, 61, 1_000, 1_537, usize::MAX];

#[test]
fn publish_goes_from_handshake_to_leave_in_any_pieces() {
    for piece in PIECES {
        let mut pair = Pair::new(ClientUse::Publish, piece);
        pair.run();
        let [Event::Connected(info), Event::PublishRequested(request)] = &pair.server_events[..] else {
            panic!("{:?}", pair.server_events)
        };
        assert_eq!((info.userinfo.as_str(), info.capabilities.caps_ex), ("me:secret", 15));
        let key = (request.app.as_str(), request.stream.as_str(), request.query.as_str());
        assert_eq!(key, ("live/inst", "cam", "t=1"));
        pair.client.send(MediaKind::Video, 0, b"early", b"");
        pair.run();
        pair.server.accept_publish(1);
        pair.run();
        assert!(matches!(pair.client_events[..], [ClientEvent::Connected(_), ClientEvent::Started]));
        pair.server_events.clear();
        for length in [0, 1, 70_000, 200_000] {
            pair.client.send(MediaKind::Video, 0xff_fff0 + length as u32, b"\x17\x01\0\0\0", &pattern(length, 1));
        }
        pair.run();
        let bodies = pair.server_events.iter().map(|event| match event {
            Event::Media(media) => (media.timestamp_ms - 0xff_fff0, media.body.len() - 5),
            other => panic!("{other:?}"),
        });
        let bodies: Vec<_> = bodies.collect();
        assert_eq!(bodies.len(), 4, "what came too early was not sent");
        assert!(bodies.iter().all(|(timestamp_ms, length)| *timestamp_ms as usize == *length));
        pair.server_events.clear();
        pair.client.close();
        pair.run();
        assert_eq!(pair.server_events, [Event::PublishEnded { stream_id: 1 }]);
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

/// Found by reading: servers keep metadata for players that come later only where this stands in front.
#[test]
fn metadata_of_a_publish_is_addressed_to_the_server() {
    let mut pair = Pair::new(ClientUse::Publish, usize::MAX);
    pair.run();
    pair.server.accept_publish(1);
    pair.run();
    pair.server_events.clear();
    let script = b"\x02\0\x0aonMetaData\x05";
    pair.client.send(MediaKind::Script, 7, b"", script);
    let sent = pair.client.poll_output().unwrap();
    assert!(sent.ends_with(&[b"\x02\0\x0d@setDataFrame", &script[..]].concat()), "{sent:?}");
    pair.server.handle_input(T0, &sent).unwrap();
    let Some(Event::Media(media)) = pair.server.poll_event() else { panic!("it does not come") };
    assert_eq!((media.kind, &media.body[..]), (MediaKind::Script, &script[..]));
}

#[test]
fn play_goes_from_handshake_to_the_end_of_the_stream_in_any_pieces() {
    for piece in PIECES {
        let mut pair = Pair::new(ClientUse::Play, piece);
        pair.run();
        assert!(matches!(pair.server_events[..], [Event::Connected(_), Event::PlayRequested(_)]));
        pair.server.accept_play(1);
        pair.run();
        let body = pattern(150_000, 2);
        let message = egress::chunked(MediaKind::Video, 0x100_0000, b"\x17\x01\0\0\0", &body);
        pair.give_to_client(&message);
        pair.give_to_client(&egress::chunked(MediaKind::Script, 7, b"", b"\x02\0\x0aonMetaData\x05"));
        pair.server.request_reconnect("rtmp://other", "moving");
        pair.server.end_play(1, "over");
        pair.run();
        let [_, ClientEvent::Started, ClientEvent::Media(video), ClientEvent::Media(script), reconnect, end] =
            &pair.client_events[..]
        else {
            panic!("{:?}", pair.client_events.len())
        };
        assert_eq!((video.timestamp_ms, video.body.len()), (0x100_0000, 150_005));
        assert_eq!((script.kind, script.timestamp_ms), (MediaKind::Script, 7));
        assert!(
            matches!(reconnect, ClientEvent::ReconnectRequest { tc_url, .. } if tc_url == "rtmp://other/live/inst?t=1")
        );
        assert!(matches!(end, ClientEvent::Ended { is_error: false, .. }), "{end:?}");
    }
}

#[test]
fn refusals_come_with_their_reason() {
    let mut pair = Pair::new(ClientUse::Publish, usize::MAX);
    pair.run();
    pair.server.reject_publish(1, PublishRejection::Unauthorized, "no");
    pair.run();
    let expected =
        ClientEvent::Ended { code: "NetStream.Publish.Denied".into(), description: "no".into(), is_error: true };
    assert_eq!(pair.client_events.last(), Some(&expected));
    let mut pair = Pair::new(ClientUse::Play, usize::MAX);
    pair.run();
    pair.server.reject_play(1, "none");
    pair.run();
    let expected =
        ClientEvent::Ended { code: "NetStream.Play.StreamNotFound".into(), description: "none".into(), is_error: true };
    assert_eq!(pair.client_events.last(), Some(&expected));
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn server_that_does_not_let_us_begin_is_late() {
    let mut pair = Pair::new(ClientUse::Publish, usize::MAX);
    let late = T0 + Limits::default().handshake_time;
    assert_eq!(pair.client.poll_timeout(), Some(late));
    pair.run();
    assert_eq!(pair.client.poll_timeout(), Some(late), "it waits for the decision");
    assert!(matches!(pair.client.handle_timeout(late), Err(RtmpError::Timeout { .. })));
    let mut pair = Pair::new(ClientUse::Play, usize::MAX);
    pair.run();
    pair.server.accept_play(1);
    pair.run();
    let idle = T0 + Limits::default().idle_time;
    assert_eq!(pair.client.handle_timeout(idle - Duration::from_millis(1)), Ok(()));
    let error = pair.client.handle_timeout(idle).unwrap_err();
    assert!(error.to_string().contains("sent nothing"), "{error}");
}

#[test]
fn what_is_no_server_is_refused_by_its_first_byte() {
    let mut pair = Pair::new(ClientUse::Play, usize::MAX);
    let error = pair.client.handle_input(T0, b"HTTP/1.1 400 Bad Request").unwrap_err();
    assert!(error.to_string().contains("not RTMP"), "{error}");
    assert_eq!(pair.client.handle_input(T0, b"more"), Ok(()), "dead");
}

/// A server from before digests: S1 with version 0, S2 the echo of C1.
#[test]
fn server_without_digests_is_answered_with_the_echo_of_s1() {
    let mut pair = Pair::new(ClientUse::Play, usize::MAX);
    let c0_c1 = pair.client.poll_output().unwrap();
    let s1 = [&[0; 8][..], &pattern(1_528, 4)].concat();
    pair.client.handle_input(T0, &[&[3][..], &s1, &c0_c1[1..]].concat()).unwrap();
    let output = pair.client.poll_output().unwrap();
    assert_eq!(output[..1_536], s1);
}

#[test]
fn nested_answers_and_floods_meet_their_limits() {
    let mut pair = Pair::new(ClientUse::Play, usize::MAX);
    pair.run();
    pair.server.accept_play(1);
    pair.run();
    let deep = [&b"\x02\0\x08onStatus\0\0\0\0\0\0\0\0\0\x05"[..], &b"\x03\0\x01x".repeat(10_000)].concat();
    let mut out = bytes::BytesMut::new();
    let mut writer = arcly_wire::rtmp::chunk::ChunkWriter::default();
    writer.set_chunk_bytes(egress::CHUNK_BYTES);
    writer.write(3, 20, 1, &deep, &mut out);
    assert!(matches!(pair.client.handle_input(T0, &out), Err(RtmpError::LimitExceeded { limit: "amf_depth", .. })));
}
