//! Vectors of libvpx, every truncation, and seeded mutation.

use super::*;
use crate::sweep::{mutations, truncations, unhex};

/// `ffmpeg -f lavfi -i testsrc2=s=320x180:r=25 -c:v libvpx -g 12 x.ivf`, ffmpeg 5.1 (libvpx 1.12): the first ten bytes of
/// the first three frames.
const KEY: &str = "f062009d012a4001b400";
const INTER: [&str; 2] = ["f10e001011c0001ec1b7", "f10a001011b8001915a7"];

#[test]
fn frames_say_what_the_encoder_was_told() {
    let tag = FrameTag::parse(&unhex(KEY)).unwrap();
    let expected =
        FrameTag { is_key: true, version: 0, show_frame: true, first_partition_bytes: 0x317, size: Some((320, 180)) };
    assert_eq!(tag, expected);
    assert!(is_key(&unhex(KEY)));
    for frame in INTER.map(unhex) {
        let tag = FrameTag::parse(&frame).unwrap();
        assert!(!tag.is_key && tag.show_frame && tag.size.is_none() && !is_key(&frame));
        assert!(matches!(Vp8Config::from_frame(&frame), Err(CodecError::Unsupported { .. })));
    }
}

#[test]
fn record_says_what_it_was_made_of() {
    let config = Vp8Config::from_frame(&unhex(KEY)).unwrap();
    assert_eq!(config.record, unhex("0000820202060000"));
    assert_eq!((config.info.width, config.info.height, config.info.bit_depth), (320, 180, 8));
    assert_eq!(Vp8Config::parse(config.record.clone()).unwrap().with_size(320, 180), config);
    assert_eq!(config.rfc6381(), "vp8");
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(FrameTag::parse(&unhex("f062")), malformed("frame tag", 2));
    assert_eq!(FrameTag::parse(&unhex("f862009d012a4001b400")), malformed("version", 0));
    assert_eq!(FrameTag::parse(&unhex("f062009d012b4001b400")), malformed("start code", 3));
    assert_eq!(FrameTag::parse(&unhex("f062009d012a0000b400")), malformed("size of a key frame", 6));
    assert_eq!(FrameTag::parse(&unhex("f062009d012a4001b4")), malformed("key frame header", 9));
}

#[test]
fn truncated_and_mutated_frames_never_panic() {
    truncations(&unhex(KEY), |frame| assert!(FrameTag::parse(frame).is_err()));
    mutations(8, 100_000, &[&unhex(KEY), &unhex(INTER[0])], |frame| {
        if let Ok(config) = Vp8Config::from_frame(frame) {
            assert!((1..0x4000).contains(&config.info.width) && (1..0x4000).contains(&config.info.height));
        }
    });
}
