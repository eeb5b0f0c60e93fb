//! What a server says to a client, from the answer to OPTIONS on.

use std::time::Duration;

use arcly_wire::rtsp::{ClientConfig, ClientConn, ClientEvent, ClientUse, Limits, MediaSetup, RtspUrl, Transport};
use bytes::Bytes;

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "rtsp_client", vectors, edit: None, buffered_bytes_max: 1 << 20, run };

fn vectors() -> Vec<Vec<u8>> {
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\nm=audio 0 RTP/AVP 0\r\na=control:2\r\n";
    let describe = format!(
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Base: rtsp://h/a/\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let options = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE, GET_PARAMETER\r\n\r\n";
    let setups = "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 77;timeout=20\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n\
        RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 77\r\n\r\n";
    let play = "RTSP/1.0 200 OK\r\nCSeq: 5\r\nRTP-Info: url=rtsp://h/a/trackID=1;seq=9;rtptime=10,url=2;seq=1;rtptime=2\r\n\r\n";
    let media = "$\u{4}\0\u{1}v$\u{3}\0\u{1}rOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    vec![
        [options, &describe, setups, play, media].concat().into_bytes(),
        [options, "RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\", qop=\"auth\"\r\n\r\n", &describe.replace("CSeq: 2", "CSeq: 3")]
            .concat()
            .into_bytes(),
        [options, "RTSP/1.0 302 Moved\r\nCSeq: 2\r\nLocation: rtsp://other/x\r\n\r\nREDIRECT * RTSP/1.0\r\nLocation: rtsp://b/\r\n\r\n"]
            .concat()
            .into_bytes(),
        b"RTSP/1.0 404 Not Found\r\n\r\nRTSP/1.0 100 Continue\r\n\r\nTEARDOWN * RTSP/1.0\r\n\r\n".to_vec(),
    ]
}

fn run(input: &Input) -> usize {
    let Ok(url) = RtspUrl::parse("rtsp://me:pass@h/a") else { return 0 };
    let config = ClientConfig { url, purpose: ClientUse::Play, limits: Limits::default(), back_channel: true };
    let mut client = ClientConn::new(config, Duration::ZERO);
    let mut held = 0;
    for piece in input.pieces() {
        let is_over = client.handle_input(Duration::ZERO, Bytes::copy_from_slice(piece)).is_err();
        held = client.buffered_bytes().max(held);
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Described(description) = &event {
                let wish = |media: usize| MediaSetup {
                    media,
                    transport: Transport::tcp((2 * media as u8, 2 * media as u8 + 1)),
                };
                client.setup((0..description.medias.len()).map(wish).collect());
            }
        }
        while client.poll_output().is_some() {}
        assert!(!is_over || client.poll_timeout().is_none(), "a dead machine waits for nothing");
    }
    held
}
