//! Operations on sessions: any order of requests, decisions, packets and waits that a byte each stands for, right and wrong ones.

use std::time::Duration;

use arcly_wire::rtsp::{
    Denial, Event, Limits, RtpInfo, ServerConfig, ServerConn,
    sdp::{Format, Media},
};
use bytes::Bytes;

use super::Target;
use crate::mutate::Input;

const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:streamid=1\r\n";

/// Requests by their number, `%` in the place of the session.
const REQUESTS: [&str; 20] = [
    "OPTIONS * RTSP/1.0\r\n",
    "DESCRIBE rtsp://h/live/cam RTSP/1.0\r\n",
    "DESCRIBE rtsp://h/live/other RTSP/1.0\r\nAuthorization: Basic eDp5\r\n",
    "ANNOUNCE",
    "SETUP rtsp://h/live/cam/trackID=0 RTSP/1.0\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n",
    "SETUP rtsp://h/live/cam/trackID=1 RTSP/1.0\r\nTransport: RTP/AVP/TCP;interleaved=2-3\r\n%",
    "SETUP rtsp://h/live/cam/trackID=0 RTSP/1.0\r\nTransport: RTP/AVP;client_port=1-2\r\n",
    "SETUP rtsp://h/live/cam/streamid=0 RTSP/1.0\r\nTransport: RTP/AVP/TCP;interleaved=0-1;mode=record\r\n%",
    "SETUP rtsp://h/live/cam/streamid=1 RTSP/1.0\r\nTransport: RTP/AVP/TCP;interleaved=0-1;mode=record\r\n%",
    "PLAY rtsp://h/live/cam RTSP/1.0\r\n%",
    "PLAY rtsp://h/live/cam RTSP/1.0\r\n%Range: npt=10-\r\n",
    "RECORD rtsp://h/live/cam RTSP/1.0\r\n%",
    "PAUSE rtsp://h/live/cam RTSP/1.0\r\n%",
    "TEARDOWN rtsp://h/live/cam RTSP/1.0\r\n%",
    "GET_PARAMETER rtsp://h/live/cam RTSP/1.0\r\n%",
    "SET_PARAMETER rtsp://h/live/cam RTSP/1.0\r\n",
    "PLAY rtsp://h/live/cam RTSP/1.0\r\nSession: 1\r\n",
    "REDIRECT * RTSP/1.0\r\n",
    "OPTIONS * RTSP/1.0\r\nRequire: x\r\n",
    "SETUP rtsp://h/live/other/trackID=0 RTSP/1.0\r\nTransport: RTP/AVP/TCP\r\n",
];

/// Numbers of what is no request.
const PACKET: u8 = 32;
const REPORT: u8 = 33;
const ACCEPT: u8 = 34;
const REFUSE: u8 = 35;
const BEGIN: u8 = 36;
const DATAGRAM: u8 = 37;
const TICK: u8 = 38;
const WAIT: u8 = 39;
const END: u8 = 40;
/// More operations than a session has.
const OPERATIONS_MAX: usize = 256;

pub const TARGET: Target = Target { name: "rtsp_session", vectors, edit: None, buffered_bytes_max: 1 << 20, run };

fn vectors() -> Vec<Vec<u8>> {
    vec![
        vec![0, 1, ACCEPT, 4, 5, 9, BEGIN, REPORT, 14, 12, 9, BEGIN, 13],
        vec![3, ACCEPT, 7, 8, 11, PACKET, REPORT, TICK, PACKET, 12, 11, PACKET, 13],
        vec![1, ACCEPT, 6, 10, BEGIN, DATAGRAM, WAIT, DATAGRAM, 13],
        vec![2, REFUSE, 19, ACCEPT, 9, BEGIN, 3, 16, 17, 18, 15, END],
        vec![3, REFUSE, 3, ACCEPT, 7, 7, 11, 11, 9, 13, 1, ACCEPT, 4, 9, REFUSE, 9, BEGIN],
    ]
}

struct Run {
    conn: ServerConn,
    session: String,
    now: Duration,
    held: usize,
}

fn run(input: &Input) -> usize {
    let config = ServerConfig {
        udp: Some((8000, 8001)),
        back_channel: true,
        limits: Limits::default(),
        ..ServerConfig::default()
    };
    let conn = ServerConn::new(config, Duration::ZERO);
    let mut run = Run { conn, session: String::new(), now: Duration::ZERO, held: 0 };
    for operation in input.bytes.iter().take(OPERATIONS_MAX) {
        run.step(*operation);
        run.drain();
    }
    run.held
}

impl Run {
    fn step(&mut self, operation: u8) {
        match operation {
            PACKET => self.say(b"$\x00\x00\x04rtp!"),
            REPORT => self.say(b"$\x01\x00\x04rtcp"),
            ACCEPT => {
                self.conn.accept_play(medias());
                self.conn.accept_publish();
            }
            REFUSE => self.conn.refuse(Denial::NotFound, "no"),
            BEGIN => self.conn.begin_play(),
            DATAGRAM => self.conn.note_datagram(self.now, true),
            TICK | WAIT => {
                self.now += Duration::from_secs(if operation == TICK { 1 } else { 40 });
                let alive = self.conn.handle_timeout(self.now).is_ok();
                assert!(alive || self.conn.poll_timeout().is_none(), "a dead machine waits for nothing");
            }
            END => self.conn.end_session(),
            number => self.request(usize::from(number) % REQUESTS.len()),
        }
        self.held = self.conn.buffered_bytes().max(self.held);
    }

    fn request(&mut self, number: usize) {
        let session = format!("Session: {}\r\n", self.session);
        let text = match REQUESTS.get(number) {
            Some(&"ANNOUNCE") => {
                let length = SDP.len();
                format!("ANNOUNCE rtsp://h/live/cam RTSP/1.0\r\nContent-Length: {length}\r\n\r\n{SDP}")
            }
            Some(request) => format!("{}\r\n", request.replace('%', &session)),
            None => return,
        };
        self.say(text.as_bytes());
    }

    fn say(&mut self, bytes: &[u8]) {
        let _ = self.conn.handle_input(self.now, Bytes::copy_from_slice(bytes));
    }

    fn drain(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            match event {
                Event::PlayRequested(ask) | Event::PublishRequested(ask, _) => assert!(ask.path.starts_with('/')),
                Event::Playing(answer) => {
                    let written = answer.write(&[RtpInfo { media: 0, sequence: 1, timestamp: 2 }]);
                    assert!(written.starts_with(b"RTSP/1.0 200 OK\r\n"));
                    assert!(!self.conn.setups().is_empty(), "nothing is played without a track");
                }
                Event::Recording => assert!(!self.conn.setups().is_empty(), "nothing is recorded without a track"),
                Event::Packet(packet) => assert!(packet.media < 2 && !packet.payload.is_empty()),
                Event::Paused | Event::Abandoned | Event::Ended => {}
            }
        }
        while let Some(bytes) = self.conn.poll_output() {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((_, id)) = text.rsplit_once("Session: ") {
                self.session = id.chars().take_while(char::is_ascii_alphanumeric).collect();
            }
        }
    }
}

fn medias() -> Vec<Media> {
    let media = |kind: &str, payload_type| Media {
        kind: kind.into(),
        formats: vec![Format { payload_type, encoding: "X".into(), clock_rate_hz: 90_000, ..Format::default() }],
        ..Media::default()
    };
    vec![media("video", 96), media("audio", 97)]
}
