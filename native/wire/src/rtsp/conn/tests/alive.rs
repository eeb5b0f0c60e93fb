//! Signs of life, and what comes of their absence.

use super::*;

#[test]
fn who_is_silent_is_ended_by_what_it_does() {
    let late = |talk: &mut Talk| {
        let at = talk.conn.poll_timeout();
        at.map(|at| (at, talk.conn.handle_timeout(at).unwrap_err().to_string()))
    };
    let mut talk = Talk::new();
    assert!(late(&mut talk).unwrap().1.contains("asked for nothing"));
    let mut talk = Talk::new();
    talk.describe();
    assert!(late(&mut talk).unwrap().1.contains("asked for nothing"), "who describes holds nothing");
    let mut talk = Talk::new();
    talk.publish(TCP);
    assert!(late(&mut talk).unwrap().1.contains("no media"));
    let mut talk = Talk::new();
    talk.play(UDP);
    talk.conn.note_datagram(Duration::from_secs(50), false);
    let (at, what) = late(&mut talk).unwrap();
    assert!(at == Duration::from_secs(110) && what.contains("sign of life"));
    let mut talk = Talk::new();
    talk.play(TCP);
    assert!(late(&mut talk).is_none(), "many players over TCP say nothing");
}

/// The usual ways: requests (RFC 2326 §10.8), RTCP (§A.2), and what a publisher sends.
#[test]
fn a_request_a_report_and_media_each_keep_a_session_alive() {
    let (later, after) = (Duration::from_secs(50), Duration::from_secs(110));
    for method in ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "PLAY"] {
        let mut talk = Talk::new();
        let id = talk.play(UDP);
        assert_eq!(talk.conn.poll_timeout(), Some(Duration::from_secs(60)));
        talk.now = later;
        assert_eq!(talk.status(&format!("{method} rtsp://h/live/cam"), &format!("Session: {id}\r\n")), 200);
        assert_eq!(talk.conn.poll_timeout(), Some(after), "{method}");
    }
    let mut talk = Talk::new();
    talk.play(UDP);
    talk.conn.note_datagram(later, false);
    assert_eq!(talk.conn.poll_timeout(), Some(after), "a report");
    let mut talk = Talk::new();
    talk.publish(TCP);
    let silent = talk.conn.poll_timeout().unwrap();
    talk.conn.handle_input(later, Bytes::from_static(b"$\0\0\x02\x80\x61")).unwrap();
    assert_eq!(talk.conn.poll_timeout(), Some(silent), "a type that was not described");
    talk.conn.handle_input(later, Bytes::from_static(b"$\0\0\x02\x80\x60")).unwrap();
    assert_eq!(talk.conn.poll_timeout(), Some(silent + later), "media");
}
