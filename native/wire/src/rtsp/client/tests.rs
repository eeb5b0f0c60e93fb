use super::*;
use crate::rtsp::sdp::Format;

const ZERO: Duration = Duration::ZERO;
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n\
    m=audio 0 RTP/AVP 0\r\na=control:trackID=2\r\n";

struct Talk {
    client: ClientConn,
    now: Duration,
}

impl Talk {
    fn new(url: &str, purpose: ClientUse) -> Self {
        let config =
            ClientConfig { url: RtspUrl::parse(url).unwrap(), purpose, limits: Limits::default(), back_channel: false };
        Self { client: ClientConn::new(config, ZERO), now: ZERO }
    }

    fn take_media_until_a_sign_is_due(&mut self) {
        let media = Bytes::from_static(b"$\x04\0\x01v");
        self.client.handle_input(self.now + Duration::from_secs(1), media).unwrap();
        self.now = self.client.poll_timeout().unwrap();
        self.client.handle_timeout(self.now).unwrap();
    }

    /// What the client said.
    fn said(&mut self) -> String {
        let bytes: Vec<u8> = std::iter::from_fn(|| self.client.poll_output()).flatten().collect();
        String::from_utf8(bytes).unwrap()
    }

    /// Answers what was said last, which begins with `asked`.
    fn answer(&mut self, asked: &str, answer: &str) -> Result<String, RtspError> {
        let said = self.said();
        assert!(said.starts_with(asked), "{asked}: {said}");
        let number = said.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap();
        let (head, rest) = answer.split_once("\r\n").unwrap_or((answer, ""));
        let text = format!("RTSP/1.0 {head}\r\nCSeq: {number}\r\n{rest}");
        let text = if rest.contains("\r\n\r\n") { text } else { format!("{text}\r\n") };
        self.client.handle_input(self.now, text.into()).map(|()| said)
    }

    fn describe(&mut self) -> Box<Description> {
        self.answer("OPTIONS", "200 OK\r\nPublic: DESCRIBE, GET_PARAMETER\r\n").unwrap();
        let body = format!("200 OK\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len());
        self.answer("DESCRIBE rtsp://h/cam RTSP/1.0\r\n", &body).unwrap();
        let Some(ClientEvent::Described(description)) = self.client.poll_event() else { panic!() };
        description
    }

    fn play(&mut self) {
        self.describe();
        let wish =
            |media: u8| MediaSetup { media: media.into(), transport: Transport::tcp((2 * media, 2 * media + 1)) };
        self.client.setup(vec![wish(0), wish(1)]);
        let answer = "200 OK\r\nSession: 77;timeout=20\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n";
        self.answer("SETUP rtsp://h/cam/trackID=1 RTSP/1.0", answer).unwrap();
        let said = self.answer("SETUP rtsp://h/cam/trackID=2 RTSP/1.0", "200 OK\r\nSession: 77\r\n").unwrap();
        assert!(said.contains("Session: 77\r\n"));
        let info = "200 OK\r\nRTP-Info: url=rtsp://h/cam/trackID=2;seq=9;rtptime=10,url=trackID=1;seq=1;rtptime=2\r\n";
        self.answer("PLAY rtsp://h/cam RTSP/1.0", info).unwrap();
    }
}

#[test]
fn a_stream_is_played() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.play();
    let Some(ClientEvent::Started(infos)) = talk.client.poll_event() else { panic!() };
    assert_eq!(infos[0], RtpInfo { media: 1, sequence: 9, timestamp: 10 });
    assert_eq!(infos[1].media, 0);
    // The server's channels count, not our wish.
    talk.client.handle_input(ZERO, Bytes::from_static(b"$\x04\0\x01v$\x03\0\x01r$\x00\0\x01x")).unwrap();
    let packet = |media, is_rtcp, payload: &'static [u8]| {
        Some(ClientEvent::Packet(MediaPacket { media, is_rtcp, payload: Bytes::from_static(payload) }))
    };
    assert_eq!(talk.client.poll_event(), packet(0, false, b"v"));
    assert_eq!(talk.client.poll_event(), packet(1, true, b"r"));
    assert_eq!(talk.client.poll_event(), None);
}

#[test]
fn signs_of_life_are_given_in_time_and_in_a_way_that_the_server_knows() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.play();
    for sign in ["GET_PARAMETER rtsp://h/cam", "OPTIONS rtsp://h/cam", "OPTIONS rtsp://h/cam"] {
        let due = talk.client.poll_timeout().unwrap();
        assert_eq!(due, talk.now + Duration::from_secs(10), "half of the session's time");
        talk.now = due;
        talk.client.handle_timeout(due).unwrap();
        talk.answer(sign, "501 Not Implemented\r\n").unwrap();
    }
    let due = talk.client.poll_timeout().unwrap();
    talk.client.handle_timeout(due).unwrap();
    let late = talk.client.handle_timeout(due + ANSWER_TIME);
    assert!(matches!(late, Err(RtspError::Timeout { .. })));
}

/// Cameras that list GET_PARAMETER and never answer it were cut off every 40 s, with their media flowing.
#[test]
fn a_server_that_sends_media_and_answers_no_sign_of_life_is_not_cut_off() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.play();
    let due = talk.client.poll_timeout().unwrap();
    talk.client.handle_timeout(due).unwrap();
    assert!(talk.said().starts_with("GET_PARAMETER rtsp://h/cam"));
    for round in 1..4 {
        let sent = talk.client.poll_timeout().unwrap() - ANSWER_TIME;
        let media = Bytes::from_static(b"$\x04\0\x01v");
        talk.client.handle_input(sent + Duration::from_secs(1), media).unwrap();
        let late = talk.client.poll_timeout().unwrap();
        assert_eq!(late, sent + ANSWER_TIME);
        talk.client.handle_timeout(late).unwrap();
        assert!(talk.said().starts_with("OPTIONS rtsp://h/cam"), "another sign, in round {round}");
    }
    // An answer to the sign before is no answer to this one.
    talk.client.handle_input(due, "RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n".into()).unwrap();
    let late = talk.client.poll_timeout().unwrap();
    let silent = talk.client.handle_timeout(late);
    assert!(matches!(silent, Err(RtspError::Timeout { .. })), "nothing has come since the last one");
}

/// Its media is not seen here.
#[test]
fn a_server_whose_media_comes_beside_the_connection_need_not_answer_a_sign_of_life() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.describe();
    let transport = Transport::udp((5000, 5001));
    talk.client.setup(vec![MediaSetup { media: 0, transport }]);
    talk.answer("SETUP", "200 OK\r\nSession: 77\r\n").unwrap();
    talk.answer("PLAY", "200 OK\r\n").unwrap();
    for sign in ["GET_PARAMETER", "OPTIONS", "OPTIONS"] {
        let due = talk.client.poll_timeout().unwrap();
        talk.client.handle_timeout(due).unwrap();
        assert!(talk.said().starts_with(sign));
    }
}

/// Cameras that answer signs of life with what is the matter with them, and not with the session, were left every half of its time.
#[test]
fn a_sign_of_life_that_is_refused_ends_nothing_while_media_flows() {
    for refusal in ["454 Session Not Found\r\n", "455 Method Not Valid\r\n", "500 Oops\r\n", "403 Forbidden\r\n"] {
        let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
        talk.play();
        for sign in ["GET_PARAMETER", "OPTIONS", "OPTIONS"] {
            talk.take_media_until_a_sign_is_due();
            talk.answer(sign, refusal).unwrap();
        }
    }
}

/// The one refusal that was forgotten among them.
#[test]
fn a_sign_of_life_that_is_refused_as_unauthorized_ends_nothing_while_media_flows() {
    let mut talk = Talk::new("rtsp://u:p@h/cam", ClientUse::Play);
    talk.play();
    let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    for sign in ["GET_PARAMETER", "OPTIONS", "OPTIONS"] {
        talk.take_media_until_a_sign_is_due();
        talk.answer(sign, challenge).unwrap();
        assert!(talk.answer(sign, challenge).unwrap().contains("Authorization: Digest"));
    }
    talk.now = talk.client.poll_timeout().unwrap();
    talk.client.handle_timeout(talk.now).unwrap();
    talk.answer("OPTIONS", challenge).unwrap();
    talk.answer("OPTIONS", challenge).expect_err("nothing has come since the last one");
}

#[test]
fn a_session_that_the_server_has_forgotten_is_over() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.play();
    let due = talk.client.poll_timeout().unwrap();
    talk.client.handle_timeout(due).unwrap();
    let error = talk.answer("GET_PARAMETER", "454 Session Not Found\r\n").unwrap_err();
    assert_eq!(error.to_string(), "GET_PARAMETER was refused: 454 Session Not Found");
}

#[test]
fn a_stream_is_published() {
    let format = Format { payload_type: 96, encoding: "H264".into(), clock_rate_hz: 90_000, ..Format::default() };
    let media = Media { kind: "video".into(), formats: vec![format], ..Media::default() };
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Publish(vec![media]));
    talk.answer("OPTIONS", "200 OK\r\n").unwrap();
    let said = talk.answer("ANNOUNCE rtsp://h/cam", "200 OK\r\n").unwrap();
    assert!(said.contains("a=rtpmap:96 H264/90000\r\n") && said.contains("a=control:trackID=0"), "{said}");
    assert!(matches!(talk.client.poll_event(), Some(ClientEvent::Described(_))));
    let transport = Transport { record: true, ..Transport::tcp((0, 1)) };
    talk.client.setup(vec![MediaSetup { media: 0, transport }]);
    let said = talk.answer("SETUP rtsp://h/cam/trackID=0", "200 OK\r\nSession: 1\r\n").unwrap();
    assert!(said.contains("interleaved=0-1;mode=record"));
    talk.answer("RECORD", "200 OK\r\n").unwrap();
    assert!(matches!(talk.client.poll_event(), Some(ClientEvent::Started(_))));
    talk.client.put_packet(0, false, b"rtp");
    talk.client.put_packet(0, true, b"rtcp");
    talk.client.put_packet(1, true, b"of no track");
    assert_eq!(talk.said(), "$\0\0\u{3}rtp$\u{1}\0\u{4}rtcp");
    talk.client.close();
    talk.answer("TEARDOWN", "200 OK\r\n").unwrap();
    assert_eq!(talk.client.poll_event(), Some(ClientEvent::Ended));
}

#[test]
fn challenges_are_met_once() {
    let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n";
    let mut talk = Talk::new("rtsp://me:p%40ss@h/cam", ClientUse::Play);
    talk.answer("OPTIONS", "200 OK\r\n").unwrap();
    assert!(!talk.answer("DESCRIBE", challenge).unwrap().contains("Authorization"));
    let said = talk
        .answer("DESCRIBE", "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"2\", stale=TRUE\r\n");
    assert!(said.unwrap().contains("Authorization: Digest username=\"me\""));
    let error = talk.answer("DESCRIBE", challenge).unwrap_err();
    assert_eq!(error.to_string(), "DESCRIBE was refused: 401 Unauthorized");
    let mut nobody = Talk::new("rtsp://h/cam", ClientUse::Play);
    nobody.answer("OPTIONS", "200 OK\r\n").unwrap();
    assert!(nobody.answer("DESCRIBE", challenge).is_err());
}

#[test]
fn redirections_are_told() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.answer("OPTIONS", "302 Moved\r\nLocation: rtsp://other/cam\r\n").unwrap();
    assert_eq!(talk.client.poll_event(), Some(ClientEvent::Moved("rtsp://other/cam".into())));
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.play();
    talk.client.poll_event();
    let request = "REDIRECT rtsp://h/cam RTSP/1.0\r\nCSeq: 5\r\nLocation: rtsp://other/\r\n\r\n";
    talk.client.handle_input(ZERO, request.into()).unwrap();
    assert_eq!(talk.client.poll_event(), Some(ClientEvent::Moved("rtsp://other/".into())));
    assert_eq!(talk.said(), "RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n");
}

/// Servers that say a base which is of no use, an aggregate of their own, no CSeq.
#[test]
fn oddities_of_cameras_are_borne() {
    for (headers, control, setup) in [
        ("Content-Base: \r\n", "track1", "rtsp://h/cam/track1"),
        ("Content-Base: rtsp://192.0.2.1/cam/\r\n", "track1", "rtsp://192.0.2.1/cam/track1"),
        ("Content-Location: rtsp://192.0.2.1/x\r\n", "track1", "rtsp://192.0.2.1/x/track1"),
        ("", "rtsp://h/cam/track1", "rtsp://h/cam/track1"),
        ("", "", "rtsp://h/cam"),
    ] {
        let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
        talk.said();
        talk.client.handle_input(ZERO, Bytes::from_static(b"RTSP/1.0 404 Not Found\r\n\r\n")).unwrap();
        let sdp = format!("m=video 0 RTP/AVP 26\r\na=control:{control}\r\n");
        talk.answer("DESCRIBE", &format!("200 OK\r\n{headers}Content-Length: {}\r\n\r\n{sdp}", sdp.len())).unwrap();
        talk.client.setup(vec![MediaSetup { media: 0, transport: Transport::udp((1, 2)) }]);
        assert!(talk.said().starts_with(&format!("SETUP {setup} RTSP")), "{headers}{control}");
    }
}

#[test]
fn another_transport_than_was_asked_for_is_refused() {
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.describe();
    talk.client.setup(vec![MediaSetup { media: 0, transport: Transport::udp((1, 2)) }]);
    let error = talk.answer("SETUP", "200 OK\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n");
    assert!(matches!(error, Err(RtspError::Misbehaved { .. })));
    let mut talk = Talk::new("rtsp://h/cam", ClientUse::Play);
    talk.describe();
    talk.client.setup(vec![MediaSetup { media: 0, transport: Transport::udp((1, 2)) }]);
    let error = talk.answer("SETUP", "461 Unsupported Transport\r\n");
    assert!(matches!(error, Err(RtspError::Refused { status: 461, .. })));
}
