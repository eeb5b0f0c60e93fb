mod alive;
mod sealed;

use super::*;
use crate::rtsp::{
    Credentials, Denial, Lower,
    sdp::{Format, Media},
};

const ZERO: Duration = Duration::ZERO;
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:streamid=1\r\n";
const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
const UDP: &str = "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n";

fn medias() -> Vec<Media> {
    let media = |kind: &str, payload_type| Media {
        kind: kind.into(),
        formats: vec![Format { payload_type, encoding: "X".into(), clock_rate_hz: 90_000, ..Format::default() }],
        ..Media::default()
    };
    vec![media("video", 96), media("audio", 97)]
}

struct Talk {
    conn: ServerConn,
    sequence: u32,
    now: Duration,
}

impl Talk {
    fn new() -> Self {
        Self::with(ServerConfig { udp: Some((8000, 8001)), ..ServerConfig::default() })
    }

    fn with(config: ServerConfig) -> Self {
        Self { conn: ServerConn::new(config, ZERO), sequence: 0, now: ZERO }
    }

    /// Sends a request; `headers` end with a line end each.
    fn send(&mut self, start: &str, headers: &str, body: &str) {
        self.sequence += 1;
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("{start} RTSP/1.0\r\nCSeq: {}\r\n{headers}{length}\r\n{body}", self.sequence);
        self.conn.handle_input(self.now, text.into()).unwrap();
    }

    fn heard(&mut self) -> String {
        let text: Vec<u8> = std::iter::from_fn(|| self.conn.poll_output()).flatten().collect();
        String::from_utf8(text).unwrap()
    }

    /// Sends, and the status of the answer.
    fn status(&mut self, start: &str, headers: &str) -> u16 {
        self.send(start, headers, "");
        status(&self.heard())
    }

    fn session(&mut self, start: &str, headers: &str) -> String {
        self.send(start, headers, "");
        let heard = self.heard();
        assert_eq!(status(&heard), 200, "{heard}");
        let id = heard.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
        id.split(';').next().unwrap().to_owned()
    }

    fn describe(&mut self) -> String {
        self.send("DESCRIBE rtsp://h/live/cam", "", "");
        assert!(matches!(self.conn.poll_event(), Some(Event::PlayRequested(ask)) if ask.path == "/live/cam"));
        assert_eq!(self.heard(), "");
        self.conn.accept_play(medias());
        self.heard()
    }

    fn play(&mut self, transport: &str) -> String {
        self.describe();
        let id = self.session("SETUP rtsp://h/live/cam/trackID=0", transport);
        self.send("PLAY rtsp://h/live/cam/", &format!("Session: {id}\r\n"), "");
        let Some(Event::Playing(answer)) = self.conn.poll_event() else { panic!() };
        assert_eq!(self.heard(), "", "the answer goes in front of the packets");
        let text = answer.write(&[RtpInfo { media: 0, sequence: 7, timestamp: 8 }]);
        assert!(
            String::from_utf8_lossy(&text).contains("RTP-Info: url=rtsp://h/live/cam/trackID=0;seq=7;rtptime=8\r\n")
        );
        self.conn.begin_play();
        id
    }

    fn publish(&mut self, transport: &str) -> String {
        self.send("ANNOUNCE rtsp://h/live/cam?key=x", "Content-Type: application/sdp\r\n", SDP);
        let Some(Event::PublishRequested(ask, description)) = self.conn.poll_event() else { panic!() };
        assert_eq!((ask.query.as_str(), description.medias.len()), ("key=x", 2));
        self.conn.accept_publish();
        assert_eq!(status(&self.heard()), 200);
        let id = self.session("SETUP rtsp://h/live/cam?key=x/streamid=0", transport);
        assert_eq!(self.status("RECORD rtsp://h/live/cam", &format!("Session: {id}\r\n")), 200);
        assert!(matches!(self.conn.poll_event(), Some(Event::Recording)));
        id
    }

    fn dies(&mut self, input: &str) -> String {
        self.conn.handle_input(self.now, Bytes::copy_from_slice(input.as_bytes())).unwrap_err().to_string()
    }
}

fn status(heard: &str) -> u16 {
    heard.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {heard:?}")).parse().unwrap()
}

#[test]
fn a_viewer_from_options_to_teardown() {
    let mut talk = Talk::new();
    talk.send("OPTIONS *", "", "");
    assert!(talk.heard().contains("Public: OPTIONS, DESCRIBE"));
    let described = talk.describe();
    assert!(
        described.contains("Content-Base: rtsp://h/live/cam/\r\n") && described.contains("a=control:trackID=1"),
        "{described}"
    );
    let id = talk.session("SETUP rtsp://h/live/cam/trackID=0", TCP);
    let second =
        talk.session("SETUP rtsp://h/live/cam/trackID=1", "Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n");
    assert_eq!(id, second);
    let of = format!("Session: {id};timeout=60\r\n");
    talk.send("PLAY rtsp://h/live/cam/", &format!("{of}Range: npt=0.000-\r\n"), "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::Playing(answer)) if !answer.is_resumed));
    // What comes meanwhile waits for it.
    talk.send("GET_PARAMETER rtsp://h/live/cam/", &of, "");
    assert_eq!(talk.heard(), "");
    talk.conn.begin_play();
    assert_eq!(status(&talk.heard()), 200);
    talk.conn.handle_input(ZERO, Bytes::from_static(b"$\x01\0\x02rr$\x07\0\0")).unwrap();
    assert!(matches!(talk.conn.poll_event(), Some(Event::Packet(packet)) if packet.is_rtcp && packet.media == 0));
    assert_eq!(talk.status("PAUSE rtsp://h/live/cam/", &of), 200);
    assert!(matches!(talk.conn.poll_event(), Some(Event::Paused)));
    talk.send("PLAY rtsp://h/live/cam/", &of, "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::Playing(answer)) if answer.is_resumed));
    talk.conn.begin_play();
    assert_eq!(talk.status("TEARDOWN rtsp://h/live/cam/", &of), 200);
    assert!(matches!(talk.conn.poll_event(), Some(Event::Ended)));
    assert_eq!(talk.status("PLAY rtsp://h/live/cam/", &of), 454);
}

#[test]
fn a_publisher_from_announce_to_teardown() {
    let mut talk = Talk::new();
    let id = talk.publish(TCP);
    talk.conn.handle_input(ZERO, Bytes::from_static(b"$\0\0\x03rtp")).unwrap();
    let Some(Event::Packet(packet)) = talk.conn.poll_event() else { panic!() };
    assert_eq!((packet.media, packet.is_rtcp, &packet.payload[..]), (0, false, &b"rtp"[..]));
    assert_eq!(talk.status("PLAY rtsp://h/live/cam", &format!("Session: {id}\r\n")), 455);
    assert_eq!(talk.status("TEARDOWN rtsp://h/live/cam", &format!("Session: {id}\r\n")), 200);
}

#[test]
fn datagrams_are_agreed_upon_and_nobody_names_another_as_their_target() {
    let mut talk = Talk::new();
    talk.describe();
    talk.send(
        "SETUP rtsp://h/live/cam/trackID=0",
        "Transport: RTP/AVP;unicast;destination=192.0.2.9;client_port=5000-5001\r\n",
        "",
    );
    let heard = talk.heard();
    assert!(heard.contains("RTP/AVP;unicast;client_port=5000-5001;server_port=8000-8001\r\n"), "{heard}");
    assert_eq!(talk.conn.setups()[0].transport.destination, None);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=1", TCP), 461, "half here and half there");
}

#[test]
fn the_first_transport_that_can_be_had_is_taken() {
    let wishes = "Transport: RTP/SAVP;unicast;client_port=1-2,RTP/AVP;multicast,RTP/AVP;unicast;client_port=3-4,RTP/AVP/TCP;unicast;interleaved=8-9\r\n";
    for (udp, lower) in [(Some((1, 2)), Lower::Udp), (None, Lower::Tcp)] {
        let mut talk = Talk::with(ServerConfig { udp, ..ServerConfig::default() });
        talk.describe();
        talk.session("SETUP rtsp://h/live/cam/trackID=0", wishes);
        assert_eq!(talk.conn.setups()[0].transport.lower, lower);
    }
    let mut talk = Talk::with(ServerConfig::default());
    talk.describe();
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", UDP), 461);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", "Transport: nonsense\r\n"), 461);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", ""), 461);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=9", TCP), 404);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", TCP), 200);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", TCP), 455, "once is enough");
}

/// Found by reading: what goes by datagrams beside an encrypted connection was taken as it was.
#[test]
fn nothing_goes_in_the_clear_where_only_sealed_datagrams_may() {
    for must_seal_udp in [false, true] {
        let mut talk = Talk::with(ServerConfig { udp: Some((1, 2)), must_seal_udp, ..ServerConfig::default() });
        talk.describe();
        assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", UDP), if must_seal_udp { 461 } else { 200 });
    }
}

#[test]
fn states_and_sessions_are_told_apart() {
    let mut talk = Talk::new();
    for method in ["PLAY", "RECORD", "PAUSE", "TEARDOWN"] {
        assert_eq!(talk.status(&format!("{method} rtsp://h/live/cam"), ""), 454, "{method}");
    }
    let id = talk.play(TCP);
    let of = format!("Session: {id}\r\n");
    for (start, headers, code) in [
        ("PLAY rtsp://h/live/cam", "Session: 1234\r\n", 454),
        ("PLAY rtsp://h/live/cam", "", 454),
        ("PLAY rtsp://h/live/cam", of.as_str(), 200),
        ("RECORD rtsp://h/live/cam", &of, 455),
        ("DESCRIBE rtsp://h/live/cam", "", 455),
        ("ANNOUNCE rtsp://h/live/cam", "", 455),
        ("SETUP rtsp://h/live/cam/trackID=1", &of, 455),
        ("GET_PARAMETER rtsp://h/live/cam", &of, 200),
        ("GET_PARAMETER rtsp://h/live/cam", "Session: 1\r\n", 454),
        ("SET_PARAMETER *", "", 200),
        ("FROBNICATE *", "", 501),
        ("REDIRECT *", "", 501),
        ("PAUSE rtsp://h/live/cam", &of, 200),
        ("PLAY rtsp://h/live/cam", &format!("{of}Range: bananas=1\r\n"), 457),
        ("SETUP rtsp://h/live/other/trackID=1", &of, 455),
        ("OPTIONS *", "Require: play.basic\r\n", 551),
    ] {
        assert_eq!(talk.status(start, headers), code, "{start} {headers}");
    }
    talk.send("SET_PARAMETER *", &of, "volume: 11");
    assert_eq!(status(&talk.heard()), 451);
}

/// What FFmpeg does where no datagrams come was refused.
#[test]
fn a_setup_without_a_session_begins_another_one_in_the_place_of_a_paused_one() {
    let mut talk = Talk::new();
    let first = talk.play(UDP);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", TCP), 455, "it plays");
    assert_eq!(talk.status("PAUSE rtsp://h/live/cam/", &format!("Session: {first}\r\n")), 200);
    assert!(matches!(talk.conn.poll_event(), Some(Event::Paused)));
    let second = talk.session("SETUP rtsp://h/live/cam/trackID=0", TCP);
    assert_ne!(first, second);
    assert!(matches!(talk.conn.poll_event(), Some(Event::Abandoned)));
    assert_eq!(talk.conn.setups().len(), 1);
    assert_eq!(talk.conn.setups()[0].transport.lower, Lower::Tcp);
    assert_eq!(talk.status("PLAY rtsp://h/live/cam/", &format!("Session: {first}\r\n")), 454);
    talk.send("PLAY rtsp://h/live/cam/", &format!("Session: {second}\r\n"), "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::Playing(answer)) if !answer.is_resumed));
}

#[test]
fn a_track_of_another_stream_is_another_question() {
    let mut talk = Talk::new();
    talk.describe();
    talk.send("SETUP rtsp://h/live/secret/trackID=0", TCP, "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::PlayRequested(ask)) if ask.path == "/live/secret"));
    talk.conn.refuse(Denial::NotFound, "");
    assert_eq!(status(&talk.heard()), 404);
    // Without DESCRIBE, and allowed.
    talk.send("SETUP rtsp://h/live/cam2/trackID=1", TCP, "");
    talk.conn.poll_event();
    talk.conn.accept_play(medias());
    assert_eq!(status(&talk.heard()), 200);
    assert_eq!(talk.conn.setups()[0].media, 1);
    assert_eq!(talk.status("SETUP rtsp://h/live/cam/trackID=0", TCP), 459);
}

/// It was taken for a track of another stream, for which there was no token.
#[test]
fn a_track_that_is_joined_to_a_url_with_a_query_is_of_the_stream_that_was_granted() {
    let mut talk = Talk::new();
    talk.send("DESCRIBE rtsp://h/live/cam?token=x", "", "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::PlayRequested(ask)) if ask.query == "token=x"));
    talk.conn.accept_play(medias());
    assert!(talk.heard().contains("Content-Base: rtsp://h/live/cam?token=x/\r\n"));
    talk.session("SETUP rtsp://h/live/trackID=0", TCP);
    talk.session("SETUP rtsp://h/live/cam?token=x/trackID=1", "Transport: RTP/AVP/TCP;interleaved=2-3\r\n");
    assert!(talk.conn.poll_event().is_none());
    assert_eq!(talk.conn.setups().iter().map(|setup| setup.media).collect::<Vec<_>>(), [0, 1]);
    let mut talk = Talk::new();
    talk.describe();
    talk.send("SETUP rtsp://h/live/trackID=0", TCP, "");
    assert!(matches!(talk.conn.poll_event(), Some(Event::PlayRequested(ask)) if ask.path == "/live"), "no query");
}

#[test]
fn descriptions_that_are_none_are_refused() {
    let mut talk = Talk::new();
    for (kind, body, code) in [("application/sdp", "v=0", 400), ("text/plain", SDP, 415)] {
        talk.send("ANNOUNCE rtsp://h/live/cam", &format!("Content-Type: {kind}\r\n"), body);
        assert_eq!(status(&talk.heard()), code);
    }
}

#[test]
fn strangers_learn_nothing_and_try_only_so_often() {
    let users: Users = [("me".to_owned(), "secret".to_owned())].into_iter().collect();
    let mut talk = Talk::with(ServerConfig { users: Some(users), ..ServerConfig::default() });
    talk.send("DESCRIBE rtsp://h/live/cam", "", "");
    let heard = talk.heard();
    assert!(status(&heard) == 401 && heard.matches("WWW-Authenticate: Digest").count() == 2, "{heard}");
    assert!(talk.conn.poll_event().is_none(), "nobody was asked");
    let mut me = Credentials::new("me", "secret");
    assert!(me.take_challenges(heard.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "))));
    let header = me.authorization("DESCRIBE", "rtsp://h/live/cam").unwrap();
    talk.send("DESCRIBE rtsp://h/live/cam", &format!("Authorization: {header}\r\n"), "");
    assert!(
        matches!(talk.conn.poll_event(), Some(Event::PlayRequested(ask)) if ask.authorization.starts_with("Basic "))
    );
    talk.conn.refuse(Denial::NotFound, "");
    assert_eq!(status(&talk.heard()), 404);
    for _ in 0..7 {
        assert_eq!(talk.status("DESCRIBE rtsp://h/live/cam", "Authorization: Basic x\r\n"), 401);
    }
    assert!(talk.dies("DESCRIBE rtsp://h/live/cam RTSP/1.0\r\n\r\n").contains("challenges"));
}

#[test]
fn who_is_forbidden_without_credentials_is_asked_for_them() {
    let mut talk = Talk::new();
    for (denial, headers, code) in [
        (Denial::Unauthenticated, "", 401),
        (Denial::Forbidden, "", 401),
        (Denial::Forbidden, "Authorization: Basic eA==\r\n", 403),
        (Denial::Failed, "", 503),
        (Denial::BadName, "", 400),
    ] {
        talk.send("DESCRIBE rtsp://h/live/cam", headers, "");
        assert!(matches!(talk.conn.poll_event(), Some(Event::PlayRequested(_))));
        talk.conn.refuse(denial, "");
        assert_eq!(status(&talk.heard()), code);
    }
}

#[test]
fn who_does_not_wait_is_ended() {
    let mut talk = Talk::new();
    talk.send("DESCRIBE rtsp://h/live/cam", "", "");
    let error = (0..10_000).find_map(|_| talk.conn.handle_input(ZERO, Bytes::from_static(&[b'$'; 100])).err());
    assert!(error.unwrap().to_string().contains("waiting_bytes"));
    let mut talk = Talk::new();
    let error =
        (0..10_000).find_map(|_| talk.conn.handle_input(ZERO, Bytes::from_static(b"OPTIONS * RTSP/1.0\r\n\r\n")).err());
    assert!(error.unwrap().to_string().contains("pending_output_bytes"));
}

/// A bug it had: what was wrong with that was found, and told nobody.
#[test]
fn what_came_behind_a_question_ends_the_connection_when_it_is_no_rtsp() {
    let ask = |talk: &mut Talk| {
        talk.send("DESCRIBE rtsp://h/live/cam", "", "");
        talk.conn.handle_input(ZERO, Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")).unwrap();
        talk.conn.accept_play(medias());
        let heard = talk.heard();
        assert!(heard.starts_with("RTSP/1.0 200") && heard.contains("RTSP/1.0 400"), "{heard}");
        assert_eq!(talk.conn.poll_timeout(), Some(ZERO), "at once");
    };
    let mut talk = Talk::new();
    ask(&mut talk);
    assert!(talk.conn.handle_timeout(ZERO).is_err());
    assert!(talk.conn.poll_timeout().is_none());
    let mut talk = Talk::new();
    ask(&mut talk);
    assert!(talk.conn.handle_input(ZERO, Bytes::from_static(b"$")).is_err());
}

#[test]
fn what_is_no_rtsp_is_told_so() {
    let mut talk = Talk::new();
    talk.dies("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(status(&talk.heard()), 400);
    assert!(talk.conn.poll_timeout().is_none());
    let mut talk = Talk::new();
    talk.dies("ANNOUNCE rtsp://h/a RTSP/1.0\r\nContent-Length: 4294967296\r\n\r\n");
    assert_eq!(status(&talk.heard()), 413);
}

/// The same whatever the cuts: events, answers, state.
#[test]
fn cuts_change_nothing() {
    let input = [
        b"DESCRIBE rtsp://h/live/cam RTSP/1.0\r\nCSeq: 1\r\n\r\nSETUP rtsp://h/live/cam/trackID=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".to_vec(),
        b"$\x01\0\x01r\r\nOPTIONS * RTSP/1.0\nCSeq: 3\n\n".to_vec(),
    ]
    .concat();
    let run = |cuts: &[usize]| {
        let mut talk = Talk::new();
        let mut from = 0;
        let mut seen = Vec::new();
        for to in cuts.iter().copied().chain([input.len()]) {
            talk.conn.handle_input(ZERO, Bytes::copy_from_slice(&input[from..to])).unwrap();
            from = to;
            while let Some(event) = talk.conn.poll_event() {
                seen.push(format!("{event:?}"));
                if matches!(event, Event::PlayRequested(_)) {
                    talk.conn.accept_play(medias());
                }
            }
        }
        let heard = talk.heard();
        let id = heard.split("Session: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        (seen, heard.replace(&id, "ID"))
    };
    let whole = run(&[]);
    for cut in 1..input.len() {
        assert_eq!(run(&[cut]), whole, "{cut}");
    }
    assert_eq!(run(&(1..input.len()).collect::<Vec<_>>()), whole);
}
