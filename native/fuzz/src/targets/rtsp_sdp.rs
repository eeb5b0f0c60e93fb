//! Descriptions: what is read is written, and read again the same.

use arcly_wire::rtsp::{Limits, control_uri, keys, sdp::Description};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "rtsp_sdp", vectors, edit: None, buffered_bytes_max: 2 << 20, run };

fn vectors() -> Vec<Vec<u8>> {
    vec![
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 224.1.0.1/16\r\nt=0 0\r\na=control:*\r\na=range:npt=now-\r\n\
          m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z2QAH6zZ,aOvj\r\n\
          a=control:streamid=0\r\na=recvonly\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\n\
          a=fmtp:97 mode=AAC-hbr;config=1190\r\na=lang:deu\r\na=control:rtsp://h/a/1\r\n"
            .to_vec(),
        b"s=\rm=video 0 RTP/AVP 35\ra=rtpmap: 96  H264 / 90000 \ra=fmtp: 96 a=b\ra=fmtp:96 c\rm=audio 8004/2 RTP/SAVP 0 8 9 14\r".to_vec(),
        b"m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=key-mgmt:mikey AQAFAP1td9ABAADCD1UcAAAAAAoAAdOOGc75XD0BAAAAGAABAQEBEAIBAQMB\
          FAcBAQgBAQoBAQsBCgAAACcAIQAe30C59UrClE0e27UP5h/Wty9UL8+dfzg+2ttmmo3kBAAAAC8A\r\n\
          a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n"
            .to_vec(),
        b"m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\nm=video 0 RTP/AVP 33\nc=IN IP6 ff02::1\na=sendrecv\n".to_vec(),
    ]
}

fn run(input: &Input) -> usize {
    let Ok(description) = Description::parse(&input.bytes, &Limits::default()) else { return 0 };
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let written = description.write(address, 1);
    for media in &description.medias {
        assert!(media.formats.iter().all(|format| format.clock_rate_hz > 0 && !format.encoding.is_empty()));
        assert!(control_uri("rtsp://h/a", &media.control).contains("://"));
        if let Some(told) = keys::of_media(media) {
            assert_eq!(told.key.to_bytes().len(), told.key.suite().key_bytes() + 14);
        }
    }
    // What is written once is stable: texts have lost their control characters by then.
    if let Ok(again) = Description::parse(written.as_bytes(), &Limits::default()) {
        let rewritten = again.write(address, 1);
        if let Ok(thrice) = Description::parse(rewritten.as_bytes(), &Limits::default()) {
            assert_eq!(thrice.medias.len(), again.medias.len());
        }
    }
    written.len()
}
