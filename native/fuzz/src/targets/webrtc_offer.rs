//! Offers of WHIP and WHEP: looked over by us, read and answered by str0m behind a guard that no input may reach.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use arcly_codec::Codec;
use arcly_wire::webrtc::{Limits, Offer, PlayOptions, PlayedCodec, Session, Settings, WebRtcError};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "webrtc_offer", vectors, edit: None, buffered_bytes_max: 128 << 10, run };

/// What a browser says to publish pictures and sound, and to watch them; and with simulcast.
const TRANSPORT: &str = "a=ice-ufrag:Rliy\r\na=ice-pwd:ihvoRVSlnMjgGml7MnHI0gXD\r\na=fingerprint:sha-256 C9:24:7F:27:25:76:95:6A:2E:D0:\
    03:9E:14:C3:46:D7:B4:B5:A6:97:9D:2A:64:9D:1B:05:8D:33:E0:64:67:20\r\na=setup:actpass\r\n";

/// One for all: to make a certificate takes longer than to read an offer.
#[expect(clippy::expect_used, reason = "what fails here is not the input")]
pub fn settings() -> &'static Arc<Settings> {
    static SETTINGS: OnceLock<Arc<Settings>> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let address = SocketAddr::from(([192, 0, 2, 1], 8189));
        Arc::new(Settings::new(Limits::default(), vec![address], vec![address]).expect("a certificate"))
    })
}

/// An offer of both kinds of media that go `way`.
pub fn offer(way: &str) -> String {
    let video = format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\nc=IN IP4 0.0.0.0\r\n{TRANSPORT}a=mid:0\r\n\
         a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={way}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n\
         a=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
         a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:103 rtx/90000\r\n\
         a=fmtp:103 apt=102\r\na=ssrc:1234 cname:x\r\n"
    );
    let audio = format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\nc=IN IP4 0.0.0.0\r\n{TRANSPORT}a=mid:1\r\na={way}\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n"
    );
    format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n{video}{audio}")
}

fn vectors() -> Vec<Vec<u8>> {
    let simulcast = offer("sendonly").replace(
        "a=ssrc:1234 cname:x\r\n",
        "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n",
    );
    let data =
        offer("recvonly") + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n";
    let candidates = offer("sendrecv")
        + "a=candidate:1 1 udp 2113937151 192.0.2.9 5000 typ host\r\na=candidate:2 1 udp 1 x.local 5 typ host\r\n";
    [offer("sendonly"), offer("recvonly"), simulcast, data, candidates].map(String::into_bytes).to_vec()
}

fn run(input: &Input) -> usize {
    let Ok(text) = std::str::from_utf8(&input.bytes) else { return 0 };
    let Ok(offer) = Offer::parse(text, &Limits::default()) else { return 0 };
    let now = Instant::now();
    let played = [PlayedCodec { codec: Codec::H264, profile: 66 }, PlayedCodec { codec: Codec::Opus, profile: 0 }];
    let answers = [
        Session::publish(settings(), offer.clone(), now),
        Session::play(settings(), offer, &played, PlayOptions::default(), now),
    ];
    for answer in answers {
        match answer {
            Ok((session, answer)) => {
                assert!(!session.is_over() && answer.sdp.starts_with("v=0") && !answer.user_name.is_empty());
            }
            Err(error) => assert!(!matches!(error, WebRtcError::Bug(_)), "{error}"),
        }
    }
    text.len()
}
