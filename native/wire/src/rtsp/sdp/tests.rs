//! Descriptions as cameras and programs write them, after their documentation, each with what is odd about it.

use super::*;
use crate::rtsp::{Limits, RtspError, control_uri};

fn parse(text: &str) -> Description {
    Description::parse(text.as_bytes(), &Limits::default()).unwrap()
}

fn formats(text: &str) -> Vec<(u8, String, u32, u8)> {
    let medias = parse(text).medias;
    let format = |media: &Media| media.format().cloned().unwrap_or_default();
    medias.iter().map(format).map(|it| (it.payload_type, it.encoding, it.clock_rate_hz, it.channels)).collect()
}

/// FFmpeg's `-f rtsp`.
const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat\r\n\
    m=video 0 RTP/AVP 96\r\nb=AS:2000\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z2QAH6zZQFAFuwEQ,aOvjyyLA; profile-level-id=64001F\r\n\
    a=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\n\
    a=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=1190\r\n\
    a=control:streamid=1\r\n";

#[test]
fn ffmpeg() {
    let expected = [(96, "H264".to_owned(), 90_000, 0), (97, "MPEG4-GENERIC".to_owned(), 48_000, 2)];
    assert_eq!(formats(FFMPEG), expected);
    let description = parse(FFMPEG);
    assert_eq!(description.medias[1].control, "streamid=1");
    assert!(description.medias[0].formats[0].parameters.starts_with("packetization-mode=1; sprop"));
    assert_eq!(description.medias[0].address, "127.0.0.1");
}

/// Hikvision: absolute controls, dimensions, an application track for metadata.
#[test]
fn a_camera_with_absolute_controls_and_a_track_of_metadata() {
    let description = parse(
        "v=0\r\no=- 1109162014219182 1109162014219182 IN IP4 192.0.2.64\r\ns=Media Presentation\r\ne=NONE\r\n\
         b=AS:5050\r\nt=0 0\r\na=control:rtsp://192.0.2.64/Streaming/Channels/1/\r\nm=video 0 RTP/AVP 96\r\n\
         c=IN IP4 0.0.0.0\r\nb=AS:5000\r\na=recvonly\r\na=x-dimensions:1920,1080\r\n\
         a=control:rtsp://192.0.2.64/Streaming/Channels/1/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AKY2NQDwBE/LNwEBAUAAAcIAAFfkAQA==,aO44gA==\r\n\
         m=audio 0 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\na=control:rtsp://192.0.2.64/Streaming/Channels/1/trackID=2\r\na=rtpmap:8 PCMA/8000\r\n\
         m=application 0 RTP/AVP 107\r\na=control:rtsp://192.0.2.64/Streaming/Channels/1/trackID=3\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n",
    );
    assert_eq!(description.medias.len(), 3);
    assert_eq!(
        control_uri("rtsp://h/", &description.medias[0].control),
        "rtsp://192.0.2.64/Streaming/Channels/1/trackID=1"
    );
    assert_eq!((description.medias[0].direction, description.medias[0].address.as_str()), (Direction::RecvOnly, ""));
}

/// Dahua: a back channel with sendonly, static types without rtpmap.
#[test]
fn a_camera_that_leaves_the_rtpmap_of_static_types_out() {
    let text = "v=0\no=- 2252316233 2252316233 IN IP4 0.0.0.0\ns=Media Server\nc=IN IP4 0.0.0.0\nt=0 0\na=control:*\n\
        m=video 0 RTP/AVP 98\na=control:trackID=0\na=rtpmap:98 H265/90000\na=fmtp:98 profile-id=1;sprop-sps=QgEB;sprop-pps=RAHA;sprop-vps=QAEM\n\
        a=recvonly\nm=audio 0 RTP/AVP 0\na=control:trackID=1\na=recvonly\nm=audio 0 RTP/AVP 8\na=control:trackID=5\na=sendonly\n";
    let expected =
        [(98, "H265".to_owned(), 90_000, 0), (0, "PCMU".to_owned(), 8000, 1), (8, "PCMA".to_owned(), 8000, 1)];
    assert_eq!(formats(text), expected);
    assert_eq!(parse(text).medias[2].direction, Direction::SendOnly);
}

/// A camera that writes no `c=`, a space behind the colon and around slashes, CR alone, and another type in `m=` than it explains.
#[test]
fn a_camera_that_is_careless() {
    let text = "v=0\rs=\rm=video 0 RTP/AVP 35\ra=rtpmap: 96  H264 / 90000 \ra=fmtp: 96 packetization-mode=1;\ra=control: track1\r\
        m=audio 0 RTP/AVP 97\ra=rtpmap:97 mpeg4-generic/16000\ra=fmtp:97 config=1408\ra=fmtp:97 sizelength=13\r";
    let description = parse(text);
    assert_eq!(formats(text), [(96, "H264".to_owned(), 90_000, 0), (97, "mpeg4-generic".to_owned(), 16_000, 1)]);
    assert_eq!((description.medias[0].control.as_str(), description.medias[0].address.as_str()), ("track1", ""));
    assert_eq!(description.medias[1].formats[0].parameters, "config=1408;sizelength=13");
}

/// A video clock of 0, a rate left out, a format that nobody explains.
#[test]
fn what_cannot_be_is_put_right_or_left_out() {
    let text =
        "m=video 0 RTP/AVP 96 99\na=rtpmap:96 H264/0\nm=video 0 RTP/AVP 97\na=rtpmap:97 H265\nm=audio 0 RTP/AVP 100\n";
    assert_eq!(parse(text).medias[0].formats.len(), 1);
    assert_eq!(parse(text).medias[1].formats[0].clock_rate_hz, 90_000);
    assert!(parse(text).medias[2].formats.is_empty());
}

/// A group, for all tracks or for one.
#[test]
fn groups_are_named_once_or_for_each_track() {
    let text = "c=IN IP4 224.1.0.1/16\na=sendonly\nm=video 8002 RTP/AVP 33\nm=audio 8004/2 RTP/AVP 14\nc=IN IP6 ff02::1\na=inactive\n";
    let medias = parse(text).medias;
    assert_eq!(
        (medias[0].address.as_str(), medias[0].port, medias[0].direction),
        ("224.1.0.1", 8002, Direction::SendOnly)
    );
    assert_eq!(
        (medias[1].address.as_str(), medias[1].port, medias[1].direction),
        ("ff02::1", 8004, Direction::Inactive)
    );
}

#[test]
fn what_is_written_is_read_again() {
    let mut description = parse(FFMPEG);
    description.control = "*".into();
    description.range = "npt=now-".into();
    description.medias[0].language = "deu".into();
    description.medias[1].direction = Direction::RecvOnly;
    description.medias.iter_mut().for_each(|media| media.address.clear());
    for address in ["192.0.2.1", "2001:db8::1"] {
        let text = description.write(address.parse().unwrap(), 7);
        assert_eq!(parse(&text), description, "{text}");
    }
    let name = Description { name: "a\r\na=control:evil".into(), ..description };
    assert_eq!(parse(&name.write("::1".parse().unwrap(), 7)).control, "*", "a name begins no line");
}

#[test]
fn thousands_of_tracks_and_nothing_at_all_are_refused() {
    let many = "m=video 0 RTP/AVP 96\n".repeat(10_000);
    let error = Description::parse(many.as_bytes(), &Limits::default());
    assert!(matches!(error, Err(RtspError::LimitExceeded { limit: "medias", .. })));
    for text in [&b""[..], b"v=0", b"\xff\xfe=\n=\nm=\nm=video\n", b"a=rtpmap:96 H264/90000"] {
        assert!(Description::parse(text, &Limits::default()).is_err());
    }
    let formats = format!("m=video 0 RTP/AVP {}\n", "96 ".repeat(10_000));
    assert!(parse(&formats).medias[0].formats.len() <= 64);
}
