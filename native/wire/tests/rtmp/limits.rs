//! What a hostile peer runs into, and what it reads then.

use arcly_wire::rtmp::{Event, Limits, RtmpError, ServerConn};

use crate::client::{Client, Server, T0, null, object, text};

#[track_caller]
fn limit_of(result: Result<(), RtmpError>) -> &'static str {
    match result {
        Err(RtmpError::LimitExceeded { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

fn first_byte(byte: u8) -> String {
    ServerConn::new(Limits::default(), 0, T0).handle_input(T0, &[byte]).unwrap_err().to_string()
}

#[test]
fn other_protocols_are_named_at_their_first_byte() {
    assert_eq!(
        first_byte(b'G'),
        "unexpected in handshake: not RTMP: first byte 0x47; is this an HTTP client (or RTMPT)?"
    );
    assert!(first_byte(0x16).contains("is this TLS (rtmps://)"));
    assert!(first_byte(6).contains("RTMPE"));
    assert!(first_byte(0).contains("first byte 0x00; C0 must be 3"));
}

#[test]
fn dead_machine_ignores_input_and_time() {
    let mut conn = ServerConn::new(Limits::default(), 0, T0);
    assert!(conn.handle_input(T0, b"GET / HTTP/1.1\r\n").is_err());
    assert_eq!(conn.handle_input(T0, &Client::handshake()), Ok(()));
    assert_eq!(conn.poll_timeout(), None);
    assert_eq!(conn.handle_timeout(T0 * 1000), Ok(()));
    assert_eq!((conn.poll_event(), conn.poll_output()), (None, None));
}

#[test]
fn commands_out_of_place_are_misbehaviour_by_name() {
    let error = Server::new(Limits::default()).feed(&Client::new().create_stream().out).unwrap_err();
    assert_eq!(error.to_string(), "unexpected in the wait for connect: the command createStream");
    let error = Server::connected("live").feed(&Client::new().connect("live").out).unwrap_err();
    assert!(error.to_string().ends_with("the command connect"));
    for stream_id in [0, 2, u32::MAX] {
        let error = Server::connected("live").feed(&Client::new().publish(stream_id, "cam").out).unwrap_err();
        assert!(error.to_string().contains("createStream did not make"), "{error}");
    }
}

#[test]
fn names_in_errors_are_short_and_harmless() {
    let name = format!("\u{1b}[31m\n{}", "x".repeat(5000));
    let error = Server::new(Limits::default()).feed(&Client::new().command(0, &name, 1.0, &[]).out).unwrap_err();
    let line = error.to_string();
    assert!(line.len() < 200 && !line.chars().any(char::is_control), "{line}");
}

#[test]
fn malformed_control_and_command_messages_are_errors() {
    for (type_id, body) in
        [(1, &b"\0\0\0"[..]), (2, b""), (5, b"\0"), (4, b"\0"), (4, b"\0\x06\0\0"), (20, b""), (20, b"\x05")]
    {
        let error = Server::connected("live").feed(&Client::new().full(2, type_id, 0, 0, body).out).unwrap_err();
        assert!(matches!(error, RtmpError::Malformed { .. }), "{type_id}: {error:?}");
    }
    for size in [0, 0x8000_0000_u32] {
        let error = Server::connected("live").feed(&Client::new().full(2, 1, 0, 0, &size.to_be_bytes()).out);
        assert!(matches!(error, Err(RtmpError::Malformed { what: "Set Chunk Size", .. })));
    }
}

#[test]
fn chunk_errors_are_placed_from_the_first_byte_of_the_connection() {
    let good = Client::new().connect("live").take();
    let mut server = Server::new(Limits::default());
    let error = server.feed(&[&good[..], &[0xc9]].concat()).unwrap_err();
    let offset = (3073 + good.len() + 1) as u64;
    assert!(matches!(error, RtmpError::Malformed { offset: at, .. } if at == offset), "{error:?}");
}

#[test]
fn create_stream_in_a_loop_stops() {
    let mut server = Server::connected("live");
    let mut client = Client::new();
    for _ in 1..8 {
        client.create_stream();
    }
    assert_eq!(server.feed(&client.take()), Ok(()));
    assert_eq!(limit_of(server.feed(&client.create_stream().out)), "streams");
}

#[test]
fn a_stranger_that_does_not_wait_for_the_answer_is_read_no_more_and_then_stopped() {
    let mut server = Server::connected("live");
    server.feed(&Client::new().set_chunk_size(0xff_ffff).publish(1, "cam").out).unwrap();
    let mut client = Client::new();
    client.chunk_bytes = 0xff_ffff;
    let picture = client.full(6, 9, 1, 0, &[1; 8 << 20]).take();
    let (mut taken, mut pieces) = (0_usize, picture.chunks(4096));
    while server.conn.wants_input() {
        let piece = pieces.next().unwrap();
        server.feed(piece).unwrap();
        taken += piece.len();
    }
    assert!((128 << 10..=260 << 10).contains(&taken), "{taken}");
    assert!(server.conn.buffered_bytes() < 520 << 10, "{}", server.conn.buffered_bytes());
    let on = pieces.map(|piece| server.feed(piece)).find(Result::is_err).unwrap();
    assert_eq!(limit_of(on), "unfinished_bytes");
    assert!(server.conn.buffered_bytes() < 600 << 10, "{}", server.conn.buffered_bytes());
}

#[test]
fn small_media_that_does_not_wait_for_the_answer_stops() {
    let mut server = Server::connected("live");
    server.feed(&Client::new().publish(1, "cam").out).unwrap();
    let mut input = Client::new().full(6, 9, 1, 0, b"x").take();
    input.extend(b"\xc6x".repeat(20_000));
    assert_eq!(limit_of(server.feed(&input)), "waiting_bytes");
    assert!(server.conn.buffered_bytes() < 1 << 20, "{}", server.conn.buffered_bytes());
}

/// Found by reading: a part of an aggregate kept all of it, and a byte of sound counted as one byte.
#[test]
fn a_byte_of_an_aggregate_does_not_keep_the_rest_of_it() {
    let tag = |type_id: u8, body: &[u8]| {
        let length = &(body.len() as u32).to_be_bytes()[1..];
        [&[type_id][..], length, &[0; 7], body, &[0; 4]].concat()
    };
    let aggregate = [tag(8, b"\xaf"), tag(99, &[0; 1 << 20])].concat();
    let mut server = Server::publishing();
    let mut client = Client::new();
    server.feed(&client.set_chunk_size(0xff_ffff).full(6, 22, 1, 0, &aggregate).out).unwrap();
    let [Event::Media(sound)] = &mut server.events()[..] else { panic!("one part is media") };
    let body = std::mem::take(&mut sound.body).try_into_mut().expect("nobody else has it");
    assert!(body.capacity() < 1 << 10, "{} bytes are kept", body.capacity());
}

/// It may be in the middle of a picture of what it publishes.
#[test]
fn who_publishes_already_is_read_on_while_it_asks_again() {
    let mut server = Server::publishing();
    server.feed(&Client::new().create_stream().publish(2, "other").out).unwrap();
    let picture = Client::new().full(6, 9, 1, 0, &[1; 1 << 20]).take();
    let (begun, rest) = picture.split_at(600 << 10);
    server.feed(begun).unwrap();
    assert!(server.conn.wants_input());
    server.feed(rest).unwrap();
    server.feed(&Client::new().full(7, 9, 2, 0, &[2; 300 << 10]).out).unwrap();
    assert!(!server.conn.wants_input(), "enough of the other");
    server.conn.accept_publish(2);
    assert!(server.conn.wants_input());
}

#[test]
fn ping_flood_of_a_peer_that_never_reads_stops() {
    let mut conn = connected_unread(Limits::default());
    let pings = Client::new().full(2, 4, 0, 0, &[0, 6, 0, 0, 0, 0]).take().repeat(1000);
    let results: Vec<_> = (0..4).map(|_| conn.handle_input(T0, &pings)).collect();
    assert_eq!(limit_of(results.into_iter().collect()), "pending_output_bytes");
    assert!(conn.buffered_bytes() < 100_000, "{}", conn.buffered_bytes());
}

#[test]
fn acknowledgement_window_of_one_byte_costs_one_answer_per_input() {
    let mut server = Server::publishing();
    server.feed(&Client::new().full(2, 5, 0, 0, &[0, 0, 0, 1]).out).unwrap();
    server.replies();
    server.feed(&Client::new().full(6, 9, 1, 0, &[1; 50]).take().repeat(1000)).unwrap();
    assert_eq!(server.replies().len(), 1);
}

#[test]
fn events_that_nobody_polls_stop() {
    let mut server = Server::publishing();
    let mut input = Client::new().full(6, 9, 1, 0, b"x").take();
    input.extend(b"\xc6x".repeat(20_000));
    assert_eq!(limit_of(server.feed(&input)), "pending_events");
    assert!(server.conn.buffered_bytes() < 8 << 20, "{}", server.conn.buffered_bytes());
}

#[test]
fn aggregate_of_nothing_but_headers_stops() {
    let mut server = Server::publishing();
    let mut client = Client::new();
    client.set_chunk_size(0xff_ffff).full(6, 22, 1, 0, &b"\x08\0\0\x01\0\0\0\0\0\0\0x\0\0\0\x0c".repeat(20_000));
    assert_eq!(limit_of(server.feed(&client.out)), "pending_events");
}

#[test]
fn hostile_commands_stop_at_the_amf_limits() {
    let nested = vec![b"\x03\x00\x01x".repeat(1000)];
    let many = vec![b"\x0a\xff\xff\xff\xff".to_vec(), vec![5; 5000]];
    let long = vec![b"\x0c\x7f\xff\xff\xff".to_vec()];
    for (arguments, limit) in [(nested, "amf_depth"), (many, "amf_values"), (long, "amf_string_bytes")] {
        let mut server = Server::new(Limits::default());
        assert_eq!(limit_of(server.feed(&Client::new().command(0, "connect", 1.0, &arguments).out)), limit);
    }
}

#[test]
fn publish_in_a_loop_stops_when_nobody_listens() {
    let mut conn = connected_unread(Limits::default());
    conn.handle_input(T0, &Client::new().create_stream().out).unwrap();
    let publish = Client::new().publish(1, "cam").take().repeat(500);
    let results: Vec<_> = (0..100).map(|_| conn.handle_input(T0, &publish)).collect();
    assert_eq!(limit_of(results.into_iter().collect()), "pending_events");
}

#[test]
fn fc_publish_with_long_names_answers_with_short_ones() {
    let mut server = Server::connected("live");
    server.feed(&Client::new().command(0, "FCPublish", 3.0, &[null(), text(&"n".repeat(16_000))]).out).unwrap();
    let replies = server.replies();
    assert!(replies.iter().map(|reply| reply.body.len()).sum::<usize>() < 1000);
}

/// A connection whose output is never polled.
fn connected_unread(limits: Limits) -> ServerConn {
    let mut conn = ServerConn::new(limits, 0, T0);
    let connect = Client::new().command(0, "connect", 1.0, &[object(&[("app", text("live"))])]).take();
    conn.handle_input(T0, &[Client::handshake(), connect].concat()).unwrap();
    conn
}
