use arcly_codec::{Codec, CodecConfig, aac::AudioSpecificConfig, h264::AvcConfig, opus::OpusConfig, pcm::PcmConfig};
use bytes::Bytes;

use super::*;

fn unhex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// x264 through ffmpeg 5.1, main profile, 640×360.
const AVC: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";

fn configs() -> Vec<CodecConfig> {
    vec![
        CodecConfig::H264(AvcConfig::parse(unhex(AVC)).unwrap()),
        CodecConfig::Aac(AudioSpecificConfig::new(2, 44_100, 2).unwrap()),
        CodecConfig::Opus(OpusConfig::new(1).unwrap()),
        CodecConfig::Opus(OpusConfig::new(2).unwrap()),
        CodecConfig::G711A(PcmConfig::new(8_000, 1, 8).unwrap()),
        CodecConfig::G711U(PcmConfig::new(8_000, 2, 8).unwrap()),
        CodecConfig::G722(PcmConfig::new(16_000, 1, 4).unwrap()),
        CodecConfig::Pcm(PcmConfig::new(48_000, 2, 16).unwrap()),
        CodecConfig::Pcm(PcmConfig::new(96_000, 6, 24).unwrap()),
        CodecConfig::parse(Codec::Klv, Bytes::new()).unwrap(),
    ]
}

#[test]
fn a_configuration_comes_back_from_its_description() {
    for config in configs() {
        let format = Format::of(97, &config).unwrap();
        let again = Format::parse(97, Some(&format.rtpmap()), format.fmtp().as_deref()).unwrap();
        assert_eq!(again, format);
        assert_eq!(again.config().unwrap().as_ref().map(CodecConfig::record), Some(config.record()), "{format:?}");
    }
}

#[test]
fn lines_are_those_of_the_standards() {
    let lines = |config: &CodecConfig| {
        let format = Format::of(96, config).unwrap();
        (format.rtpmap(), format.fmtp().unwrap_or_default())
    };
    let [h264, aac, mono, .., klv] = &configs()[..] else { panic!() };
    let (rtpmap, fmtp) = lines(h264);
    assert_eq!(rtpmap, "H264/90000");
    assert_eq!(
        fmtp,
        "packetization-mode=1;profile-level-id=4D401E;\
         sprop-parameter-sets=Z01AHuygUBf8uAiAAAH0gAB1MAeLFss=,aO+PyA=="
    );
    assert_eq!(lines(aac).0, "mpeg4-generic/44100/2");
    assert!(lines(aac).1.ends_with("mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210"));
    assert_eq!(lines(mono), ("opus/48000/2".to_owned(), "sprop-stereo=0".to_owned()));
    assert_eq!(lines(klv).0, "SMPTE336M/90000");
}

/// RFC 3551 §6: no `rtpmap` is needed; that of G.722 says 8000 and means 16 000.
#[test]
fn fixed_payload_types_need_no_map() {
    let config = |payload_type| Format::parse(payload_type, None, None).unwrap().config().unwrap();
    for (payload_type, codec, rate, channels) in [
        (0, Codec::G711U, 8_000, 1),
        (8, Codec::G711A, 8_000, 1),
        (9, Codec::G722, 16_000, 1),
        (10, Codec::Pcm, 44_100, 2),
        (11, Codec::Pcm, 44_100, 1),
    ] {
        let config = config(payload_type).unwrap();
        let info = config.audio().unwrap();
        assert_eq!((config.codec(), info.sample_rate_hz, info.channels), (codec, rate, channels));
    }
    assert!(Format::parse(96, None, None).is_err());
    let g722 = Format::parse(9, None, None).unwrap();
    let config = g722.config().unwrap().unwrap();
    assert_eq!((g722.ticks_to_bus(160, &config), g722.ticks_of_bus(320, &config)), (320, 160));
}

/// What cameras and encoders write.
#[test]
fn descriptions_of_the_field_are_read() {
    let parse = |rtpmap, fmtp| Format::parse(96, Some(rtpmap), Some(fmtp)).unwrap();
    // Spaces, quotes, lower case, a last semicolon; a start code in front of a parameter set, and no padding.
    let h264 = parse(
        "h264/90000",
        "profile-level-id=4D401E; packetization-mode=1 ; sprop-parameter-sets=AAAAAWdNQB7soFAX/LgIgAAB9IAAdTAHixbL,aO+PyA;",
    );
    assert!(!h264.is_single_nal_mode() && h264.config().unwrap().is_some());
    // No parameter sets, or broken ones: they come in-band.
    for fmtp in ["packetization-mode=1", "sprop-parameter-sets=,", "sprop-parameter-sets=!!!,aO+PyA=="] {
        assert_eq!(parse("H264/90000", fmtp).config().unwrap(), None, "{fmtp}");
    }
    let aac = parse("MPEG4-GENERIC/16000/1", "streamtype=5;profile-level-id=15;mode=AAC-hbr;config=1408;SizeLength=13");
    assert_eq!(aac.config().unwrap().unwrap().record().as_ref(), [0x14, 0x08]);
    assert_eq!(aac.parameters.number("sizelength"), Some(13));
    let without = parse("mpeg4-generic/16000", "mode=AAC-hbr").config().unwrap().unwrap();
    assert_eq!(without.audio().map(|info| (info.sample_rate_hz, info.channels)), Some((16_000, 1)));
    assert_eq!(parse("OPUS/48000/2", "").config().unwrap().unwrap().audio().unwrap().channels, 2);
    assert_eq!(parse("H265", "").clock_rate_hz, 90_000);
    for rtpmap in ["", "JPEG/90000", "H264/0", "H264/x", "L16/44100/0", "L16", "PCMU/99999999999"] {
        assert!(Format::parse(96, Some(rtpmap), None).is_err(), "{rtpmap}");
    }
}
