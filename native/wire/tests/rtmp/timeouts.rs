//! Deadlines, in virtual time.

use std::time::Duration;

use arcly_wire::rtmp::{Limits, PublishRejection, RtmpError, ServerConn};

use crate::client::{Client, T0, null, number};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_nanos(1);

/// Checks that the machine dies of `what`, exactly `after` from T0, and says so beforehand.
#[track_caller]
fn dies(mut conn: ServerConn, after: Duration, what: &str) {
    assert_eq!(conn.poll_timeout(), Some(T0 + after));
    assert_eq!(conn.handle_timeout(T0 + after - TICK), Ok(()));
    match conn.handle_timeout(T0 + after) {
        Err(RtmpError::Timeout { what: seen, .. }) => assert_eq!(seen, what),
        other => panic!("{other:?}"),
    }
    assert_eq!(conn.poll_timeout(), None);
}

fn conn() -> ServerConn {
    ServerConn::new(Limits::default(), 0, T0)
}

fn connect_and_create() -> Vec<u8> {
    Client::new().connect("live").create_stream().take()
}

#[test]
fn silence_ends_with_the_handshakes_time() {
    dies(conn(), 10 * SECOND, "did not finish the handshake");
}

#[test]
fn byte_a_second_does_not_stretch_the_handshake() {
    let mut conn = conn();
    for (second, byte) in Client::handshake().chunks(1).take(10).enumerate() {
        conn.handle_input(T0 + SECOND * second as u32, byte).unwrap();
    }
    dies(conn, 10 * SECOND, "did not finish the handshake");
}

#[test]
fn connection_without_a_use_ends_however_busy_it_is() {
    let mut conn = conn();
    conn.handle_input(T0 + SECOND, &[Client::handshake(), connect_and_create()].concat()).unwrap();
    let ping = Client::new().full(2, 4, 0, 0, &[0, 6, 0, 0, 0, 0]).take();
    for second in 2..11 {
        conn.handle_input(T0 + SECOND * second, &ping).unwrap();
    }
    dies(conn, 11 * SECOND, "asked for nothing (publish or play)");
}

/// A connection that asked to publish at T0 + 3 s.
fn requested() -> ServerConn {
    let mut conn = conn();
    let publish = Client::new().publish(1, "cam").take();
    conn.handle_input(T0 + 3 * SECOND, &[Client::handshake(), connect_and_create(), publish].concat()).unwrap();
    conn
}

#[test]
fn requested_or_accepted_publish_ends_only_by_silence() {
    dies(requested(), 33 * SECOND, "sent nothing");
    let mut conn = requested();
    conn.accept_publish(1);
    for second in 4..100 {
        conn.handle_timeout(T0 + SECOND * second).unwrap();
        conn.handle_input(T0 + SECOND * second, &Client::new().full(4, 8, 1, 0, b"a").out).unwrap();
    }
    dies(conn, 129 * SECOND, "sent nothing");
}

#[test]
fn time_without_a_use_begins_again_with_the_end_of_the_use() {
    let mut rejected = requested();
    rejected.handle_timeout(T0 + 5 * SECOND).unwrap();
    rejected.reject_publish(1, PublishRejection::Failed, "");
    dies(rejected, 15 * SECOND, "asked for nothing (publish or play)");

    let mut left = requested();
    left.accept_publish(1);
    let delete = Client::new().command(0, "deleteStream", 0.0, &[null(), number(1.0)]).take();
    left.handle_input(T0 + 7 * SECOND, &delete).unwrap();
    dies(left, 17 * SECOND, "asked for nothing (publish or play)");
}

#[test]
fn longest_limits_do_not_overflow() {
    let limits = Limits {
        handshake_time: Duration::MAX,
        unused_time: Duration::MAX,
        idle_time: Duration::MAX,
        ..Limits::default()
    };
    let mut conn = ServerConn::new(limits, 0, T0);
    conn.handle_input(T0, &Client::handshake()).unwrap();
    assert_eq!(conn.handle_timeout(T0 * 1_000_000), Ok(()));
}

#[test]
fn timeout_reads_as_a_sentence() {
    let error = conn().handle_timeout(T0 + 10 * SECOND).unwrap_err();
    assert_eq!(error.to_string(), "did not finish the handshake for 10 s");
}
