//! Vectors of libopus, the rules of RFC 6716 §3.4 one by one, every truncation, and seeded mutation.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    AudioInfo, CodecError,
    sweep::{mutations, truncations, unhex},
};

/// `ffmpeg -f lavfi -i sine=440:sample_rate=48000 -c:a libopus -ac N x.opus`, ffmpeg 5.1 (libopus 1.3.1): the identification
/// header, and the dOps that FFmpeg 9 makes of it.
const HEADS: [(&str, &str, u8, u8, u8); 3] = [
    ("4f707573486561640101380180bb0000000000", "000101380000bb80000000", 1, 1, 0),
    ("4f707573486561640102380180bb0000000000", "000201380000bb80000000", 2, 1, 1),
    ("4f707573486561640106380180bb00000000010402000401020305", "000601380000bb800000010402000401020305", 6, 4, 2),
];

fn parse(hex: &str) -> Result<OpusConfig, CodecError> {
    OpusConfig::parse(Bytes::from(unhex(hex)))
}

#[test]
fn heads_say_what_the_encoder_was_told() {
    for (head, dops, channels, streams, coupled) in HEADS {
        let config = parse(head).unwrap();
        let expected = AudioInfo { sample_rate_hz: 48_000, channels, samples_per_frame: 0, bits_per_sample: 0 };
        assert_eq!(config.info, expected, "{head}");
        assert_eq!((config.streams, config.coupled_streams, config.pre_skip), (streams, coupled, 312), "{head}");
        assert_eq!((config.input_sample_rate_hz, config.output_gain), (48_000, 0), "{head}");
        assert_eq!(config.dops(), unhex(dops), "{head}");
        assert_eq!(OpusConfig::from_dops(&unhex(dops)), Ok(config.clone()), "{head}");
        assert_eq!(config.channel_config_code(), Some(channels), "{head}");
        assert_eq!(config.rfc6381(), "opus");
    }
}

#[test]
fn made_configs_read_back_as_told() {
    for channels in 1..=8 {
        let config = OpusConfig::new(channels).unwrap();
        assert_eq!(OpusConfig::parse(config.record.clone()), Ok(config.clone()));
        assert_eq!(OpusConfig::from_dops(&config.dops()), Ok(config.clone()));
        assert_eq!(config.info.channels, channels);
        assert_eq!(usize::from(config.streams + config.coupled_streams), config.mapping.len());
        assert_eq!(OpusConfig::from_channel_config_code(channels), Ok(config));
    }
    let dual_mono = OpusConfig::from_channel_config_code(0).unwrap();
    assert_eq!((dual_mono.mapping_family, dual_mono.info.channels), (255, 2));
    assert_eq!(dual_mono.channel_config_code(), Some(0));
    assert!(OpusConfig::new(0).is_err() && OpusConfig::new(9).is_err());
    assert!(OpusConfig::from_channel_config_code(0x82).is_err());
    // Family 255 of three streams: only an explicit mapping can say it.
    let odd = parse("4f707573486561640103380180bb00000000ff0300 000102").unwrap();
    assert_eq!((odd.streams, odd.channel_config_code()), (3, None));
}

#[test]
fn heads_that_contradict_the_standard_are_refused_with_their_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    let head = |tail: &str| format!("4f70757348656164{tail}");
    assert_eq!(parse("4f707573").map(drop), malformed("OpusHead", 4));
    assert_eq!(parse("4f707573546167730102380180bb0000000000").map(drop), malformed("OpusHead signature", 0));
    assert!(matches!(parse(&head("1002380180bb0000000000")), Err(CodecError::Unsupported { .. })));
    assert!(parse(&head("0f02380180bb0000000000")).is_ok(), "a compatible version");
    assert_eq!(parse(&head("0103380180bb0000000000")).map(drop), malformed("output channel count", 9));
    assert_eq!(parse(&head("0109380180bb00000000010909")).map(drop), malformed("output channel count", 9));
    assert_eq!(parse(&head("0100380180bb00000000ff0000")).map(drop), malformed("output channel count", 9));
    assert_eq!(parse(&head("0101380180bb00000000010000")).map(drop), malformed("stream count", 19));
    assert_eq!(parse(&head("0101380180bb00000000010102")).map(drop), malformed("coupled stream count", 20));
    assert_eq!(parse(&head("0102380180bb0000000001010100")).map(drop), malformed("channel mapping", 22));
    assert_eq!(parse(&head("0102380180bb000000000101010002")).map(drop), malformed("channel mapping", 22));
    assert!(parse(&head("0102380180bb0000000001010100ff")).is_ok(), "silence");
    assert!(matches!(OpusConfig::from_dops(&unhex("010201380000bb80000000")), Err(CodecError::Unsupported { .. })));
    let error = OpusConfig::from_dops(&unhex("000301380000bb80000000")).unwrap_err();
    assert_eq!(error, CodecError::Malformed { what: "output channel count", offset: 1 });
    let long = [unhex(HEADS[0].0), vec![0; MAX_HEAD_BYTES]].concat();
    assert!(matches!(OpusConfig::parse(long.into()), Err(CodecError::LimitExceeded { .. })));
}

/// RFC 6716 Table 2, in samples at 48 kHz.
#[test]
fn durations_are_those_of_the_table() {
    let silk = [480, 960, 1_920, 2_880];
    let celt = [120, 240, 480, 960];
    let expected: Vec<u32> =
        [silk, silk, silk].concat().into_iter().chain([480, 960, 480, 960]).chain([celt; 4].concat()).collect();
    for (config, samples) in (0..32).zip(expected) {
        assert_eq!(packet_samples(&[config << 3]), Ok(samples), "{config}");
        if samples <= 2_880 {
            assert_eq!(packet_samples(&[config << 3 | 1, 0, 0]), Ok(2 * samples), "{config}");
        }
    }
    // libopus: 20 ms of stereo, 2.5 ms and 60 ms of mono (three frames of 20).
    for (packet, samples) in [("fcb4065aa7b5e1fd", 960), ("e073f6704604c884", 120), ("fb83fd10b2b4afca", 2_880)] {
        assert_eq!(packet_samples(&unhex(packet)), Ok(samples), "{packet}");
    }
    for (packet, samples) in
        [("ff30", None), ("e330", Some(5_760)), ("e331", None), ("e300", None), ("e3", None), ("", None)]
    {
        assert_eq!(packet_samples(&unhex(packet)).ok(), samples, "{packet}");
    }
}

#[test]
fn frames_of_packets_of_all_codes() {
    let lengths = |hex: &str| {
        let packet = unhex(hex);
        let parsed = Packet::parse(&packet).unwrap();
        assert_eq!(parsed.bytes, packet.len());
        parsed.frames.iter().map(|frame| frame.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths("fc 01020304"), [4]);
    assert_eq!(lengths("fc"), [0]);
    assert_eq!(lengths("fd 01020304"), [2, 2]);
    assert_eq!(lengths("fe 01 01020304"), [1, 3]);
    // Code 3: constant, variable, padded.
    assert_eq!(lengths("e303 010203"), [1, 1, 1]);
    assert_eq!(lengths("e383 0100 01020304"), [1, 0, 3]);
    assert_eq!(lengths("e342 03 01020304 000000"), [2, 2]);
    assert_eq!(lengths("e3c2 02 01 0102 0000"), [1, 1]);
    // A length of two bytes: 252 + 4 × 1.
    let long = [unhex("fefc01"), vec![0; 256 + 7]].concat();
    assert_eq!(Packet::parse(&long).unwrap().frames.iter().map(|frame| frame.len()).collect::<Vec<_>>(), [256, 7]);
    let padded = [unhex("e341ff01 aa"), vec![0; 255]].concat();
    assert_eq!(Packet::parse(&padded).unwrap().frames, [&[0xaa]]);
}

/// RFC 6716 §3.4, R1 to R7.
#[test]
fn packets_that_break_a_rule_are_refused() {
    let long = [vec![0xfc], vec![0; MAX_FRAME_BYTES + 1]].concat();
    for (rule, packet) in [
        ("R1", vec![]),
        ("R2", long),
        ("R3", unhex("fd 010203")),
        ("R4 no length", unhex("fe")),
        ("R4 length", unhex("fe 04 010203")),
        ("R5 count", unhex("e300")),
        ("R5 duration", unhex("ff07 00")),
        ("R6 padding", unhex("e341 05 0000")),
        ("R6 not whole", unhex("e303 0102")),
        ("R7 lengths", unhex("e383 0101 01")),
        ("R7 cut off", unhex("e383 01")),
    ] {
        assert!(matches!(Packet::parse(&packet), Err(CodecError::Malformed { .. })), "{rule}");
    }
}

/// Two streams of 20 ms: the first one says how long it is (RFC 6716 Appendix B).
#[test]
fn packets_of_several_streams_are_judged() {
    // libopus, six channels: four streams of silence and sound.
    let quiet = unhex("fc02fffefc02fffefc02fffefcaabb");
    assert_eq!(check_packet(&quiet, 4), Ok(960));
    assert!(check_packet(&quiet, 5).is_err());
    assert!(check_packet(&unhex("fc02fffee0aa"), 2).is_err(), "another duration");
    let (first, used) = Packet::parse_self_delimited(&quiet).map(|packet| (packet.frames, packet.bytes)).unwrap();
    assert_eq!((first, used), (vec![&[0xff, 0xfe][..]], 4));
    for (hex, frames, bytes) in [
        ("fd01 aabb cc", 2, 4),
        ("fe0102 aabbcc dd", 2, 6),
        ("e303 01 aabbcc dd", 3, 6),
        ("e3c2010102 aabbcc 00 dd", 2, 9),
    ] {
        let packet = unhex(hex);
        let parsed = Packet::parse_self_delimited(&packet).unwrap();
        assert_eq!((parsed.frames.len(), parsed.bytes), (frames, bytes), "{hex}");
    }
}

/// `-c:a libopus x.ts`, ffmpeg 5.1: the first PES payload drops 312 samples, the last one has an end trim.
#[test]
fn control_headers_are_those_of_ffmpeg() {
    for (hex, header_bytes, payload_bytes, start_trim, end_trim) in [
        ("7ff0ffb80138fcb4065a", 6, 439, 312, 0),
        ("7fe0ff1ffcb03243fc2d", 4, 286, 0, 0),
        ("7fe8ff9f0288fcb5298414", 6, 414, 0, 648),
    ] {
        let bytes = unhex(hex);
        let header = ControlHeader { header_bytes, payload_bytes, start_trim, end_trim };
        assert_eq!(ControlHeader::parse(&bytes), Ok(header), "{hex}");
        let mut written = BytesMut::new();
        ControlHeader::write(&mut written, payload_bytes, start_trim, end_trim);
        assert_eq!(written, bytes[..header_bytes], "{hex}");
    }
    // An extension of two bytes.
    let extended = ControlHeader::parse(&unhex("7fe4 05 02 aabb")).unwrap();
    assert_eq!((extended.header_bytes, extended.payload_bytes), (6, 5));
    for payload_bytes in [0, 1, 254, 255, 256, 510, 61_440] {
        let mut written = BytesMut::new();
        ControlHeader::write(&mut written, payload_bytes, 0, 0);
        assert_eq!(written.len(), ControlHeader::bytes_for(payload_bytes));
        assert_eq!(ControlHeader::parse(&written).unwrap().payload_bytes, payload_bytes);
    }
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(ControlHeader::parse(&unhex("7fc0 05")), malformed("control_header_prefix", 0));
    assert_eq!(ControlHeader::parse(&unhex("7fe0 ff")), malformed("au_size", 3));
    assert_eq!(ControlHeader::parse(&unhex("7ff0 05 00")), malformed("start_trim", 4));
    assert_eq!(ControlHeader::parse(&unhex("7fe4 05 02 aa")), malformed("control_extension", 4));
    let endless = [vec![0x7f, 0xe0], vec![0xff; 400]].concat();
    assert!(matches!(ControlHeader::parse(&endless), Err(CodecError::LimitExceeded { .. })));
}

#[test]
fn truncated_and_mutated_input_never_panics() {
    let heads = HEADS.map(|head| unhex(head.0));
    heads
        .iter()
        .for_each(|head| truncations(head, |bytes| assert!(OpusConfig::parse(Bytes::copy_from_slice(bytes)).is_err())));
    mutations(0x0b05, 100_000, &heads.each_ref().map(Vec::as_slice), |head| {
        if let Ok(config) = OpusConfig::parse(Bytes::copy_from_slice(head)) {
            let again = OpusConfig::from_dops(&config.dops()).unwrap();
            assert_eq!((again.info, &again.mapping), (config.info, &config.mapping));
        }
    });
    let packets =
        ["fc01020304", "fd01020304", "fe0101020304", "e3830100 01020304", "e3c2020101020000", "fc02fffefcaabb"]
            .map(unhex);
    mutations(0x0b06, 200_000, &packets.each_ref().map(Vec::as_slice), |packet| {
        if let Ok(parsed) = Packet::parse(packet) {
            assert_eq!(packet_samples(packet), Ok(parsed.samples));
            assert!(parsed.frames.iter().map(|frame| frame.len()).sum::<usize>() < packet.len());
        }
        if let Ok(parsed) = Packet::parse_self_delimited(packet) {
            assert!(parsed.bytes <= packet.len());
        }
        drop(check_packet(packet, 3));
        drop(ControlHeader::parse(packet));
    });
}
