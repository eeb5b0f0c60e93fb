//! What a session description says of a format, and the configuration in it.

use arcly_codec::CodecConfig;
use arcly_wire::rtp::{Depacketizer, Format, Limits, Packetizer};

use super::Target;
use crate::{mutate::Input, rtp::formats};

pub const TARGET: Target = Target { name: "rtp_format", vectors, edit: None, buffered_bytes_max: 0, run };

/// `rtpmap` and `fmtp` in two lines.
fn vectors() -> Vec<Vec<u8>> {
    let of = |(format, ..): &(Format, CodecConfig, Vec<Vec<u8>>)| {
        format!("{}\n{}", format.rtpmap(), format.fmtp().unwrap_or_default()).into_bytes()
    };
    let foreign = [
        "MP4A-LATM/44100/2\ncpresent=0;config=40002420adca00;object=2;profile-level-id=1",
        "MPEG4-GENERIC/16000/1\nstreamtype=5; profile-level-id=15; mode=AAC-lbr; config=1408; sizelength=6; \
         indexlength=2; indexdeltalength=2; constantduration=1024; constantsize=5; auxiliarydatasizelength=4; ctsdeltalength=3",
        "opus/48000/2\nsprop-stereo=0;useinbandfec=1",
        "G722/16000\n",
    ];
    formats().iter().map(of).chain(foreign.map(|text| text.as_bytes().to_vec())).collect()
}

fn run(input: &Input) -> usize {
    let text = String::from_utf8_lossy(&input.bytes);
    let (rtpmap, fmtp) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(format) = Format::parse(96, Some(rtpmap), Some(fmtp)) else { return 0 };
    let again = Format::parse(96, Some(&format.rtpmap()), format.fmtp().as_deref());
    assert_eq!(again.as_ref().map(|again| again.rtpmap()), Ok(format.rtpmap()), "it is read as it is written");
    drop(Depacketizer::new(&format, Limits::default()));
    if let Ok(Some(config)) = format.config() {
        check_config(&format, &config);
    }
    0
}

/// The configuration comes back from our own description of it.
fn check_config(format: &Format, config: &CodecConfig) {
    let Ok(described) = Format::of(97, config) else { return };
    assert!(Packetizer::new(&described, config, 1_200).is_ok(), "{:?}", described.encoding);
    let again = described.config();
    assert!(again.is_ok(), "{described:?}: {again:?}");
    // Of several sets with one number, those that came last hold.
    if let Ok(Some(again)) = again {
        let is_same = again.record() == config.record();
        assert!(is_same || format.encoding.media() == "video", "{:?} {:?}", again.record(), config.record());
    }
}
