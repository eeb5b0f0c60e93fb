//! Vectors of libvpx, superframes by hand, every truncation, and seeded mutation.
//!
//! Frames: the first twelve bytes of `ffmpeg -f lavfi -i testsrc2=s=320x180:r=25 -c:v libvpx-vp9 -pix_fmt FORMAT x.ivf`,
//! ffmpeg 5.1 (libvpx 1.12); records after the vpcC that FFmpeg 9 makes of the same files, `codecs` after its DASH muxer.

use bytes::Bytes;

use super::*;
use crate::{
    Chroma, CodecError, VideoInfo,
    sweep::{mutations, truncations, unhex},
};

/// Key frame, record, profile, bit depth, chroma, `codecs`.
type Row = (&'static str, &'static str, u8, u8, Chroma, &'static str);
const ROWS: [Row; 4] = [
    ("824983420013f00b36063824", "000b820202020000", 0, 8, Chroma::Yuv420, "vp09.00.11.08"),
    ("a249834200027e0166c0c704", "010b860202020000", 1, 8, Chroma::Yuv444, "vp09.01.11.08.03.02.02.02.00"),
    // -colorspace bt2020nc
    ("924983425009f8059b031c12", "020ba20202090000", 2, 10, Chroma::Yuv420, "vp09.02.11.10.01.02.02.09.00"),
    ("b124c1a142009f8059b031c1", "030bc40202020000", 3, 12, Chroma::Yuv422, "vp09.03.11.12.02.02.02.02.00"),
];
const INTER: [&str; 4] =
    ["86004092f121400000907f91", "a6004092f121400000d47f91", "96004092f121400000ac7f91", "b30020497890a00000767fbc"];

const SUPERFRAMES: [&str; 2] = [
    "840080497a288e4000fa683386004096f0c14a0000586807c90c000c00c9",
    "840040857a308c40007c682e8600410ef0f14b0000146080c90c000c00c9",
];

#[test]
fn records_are_those_of_ffmpeg() {
    for (frame, record, profile, bit_depth, chroma, rfc6381) in ROWS {
        let config = Vp9Config::from_frame(&unhex(frame), Some((25, 1))).unwrap();
        assert_eq!(config.record, unhex(record), "{frame}");
        assert_eq!(config.rfc6381(), rfc6381, "{frame}");
        let VideoInfo { width, height, profile: seen, bit_depth: depth, chroma: sampling, .. } = config.info;
        assert_eq!((width, height, seen, depth, sampling), (320, 180, profile, bit_depth, chroma), "{frame}");
        let mut parsed = Vp9Config::parse(config.record.clone()).unwrap().with_size(320, 180);
        parsed.info.frame_rate = Some((25, 1));
        assert_eq!(parsed, config, "all but size and rate are in the record");
        assert!(is_key(&unhex(frame)) && is_reference(&unhex(frame)));
    }
}

#[test]
fn inter_frames_are_no_keys_and_make_no_configuration() {
    for frame in INTER.map(unhex) {
        assert!(!is_key(&frame));
        let header = FrameHeader::parse(&frame).unwrap();
        assert!(!header.is_key && header.show_frame && !header.intra_only && header.info.is_none());
        assert!(matches!(Vp9Config::from_frame(&frame, None), Err(CodecError::Unsupported { .. })));
    }
}

/// The level is the lowest that allows size and rate (VP9 Levels).
#[test]
fn level_follows_from_size_and_rate() {
    let frame = unhex(ROWS[0].0);
    for (rate, level) in [(1, 11), (48, 11), (49, 20), (80, 20), (81, 21), (1450, 40), (100_000, 62)] {
        let config = Vp9Config::from_frame(&frame, Some((rate, 1))).unwrap();
        assert_eq!(config.info.level, level, "{rate}");
    }
    assert_eq!(Vp9Config::from_frame(&frame, None).unwrap().info.level, 11);
    assert_eq!(Vp9Config::from_frame(&frame, Some((0, 0))).unwrap().info.frame_rate, None);
}

#[test]
fn superframe_is_its_frames() {
    // libvpx in two passes with `-auto-alt-ref 1`: one that is not shown and is there for others, and one that is;
    // each cut to twelve bytes, and the index as libvpx writes it but for the sizes.
    for hex in SUPERFRAMES {
        let superframe = unhex(hex);
        assert_eq!(frames(&superframe).collect::<Vec<_>>(), [&superframe[..12], &superframe[12..24]]);
        let shown: Vec<_> = frames(&superframe).map(|frame| FrameHeader::parse(frame).unwrap().show_frame).collect();
        assert_eq!(shown, [false, true]);
        assert!(!is_key(&superframe) && is_reference(&superframe));
    }
    // No index: another marker in front, sizes that are too large, too short for it.
    for (hex, why) in [("840001 860002 c8 0300 0300 c9", "markers"), ("84 c9 0300 0300 c9", "sizes"), ("c9", "length")]
    {
        let payload = unhex(hex);
        assert_eq!(frames(&payload).collect::<Vec<_>>(), [&payload[..]], "{why}");
    }
    // An empty frame is skipped; eight are the most.
    let skipped = unhex("86 c1 00 01 c1");
    assert_eq!(frames(&skipped).collect::<Vec<_>>(), [&[0x86][..]]);
    let eight = [vec![0x86; 8], vec![0xc7], vec![1; 8], vec![0xc7]].concat();
    assert_eq!(frames(&eight).count(), 8);
    assert_eq!(frames(&[]).count(), 0);
    let key = [unhex(ROWS[0].0), unhex("860002 c1 0c 03 c1")].concat();
    assert!(is_key(&key));
    assert_eq!(Vp9Config::from_frame(&key, None).unwrap().info.width, 320);
}

/// A stream of spatial layers was announced as its lowest: 320×180, of level 1.1. Behind the key frame one of 640×360 that is predicted from it,
/// and one that has its size from another.
#[test]
fn a_picture_of_layers_has_the_size_of_its_largest() {
    let layers = ["824983420013f00b36063824", "86008000013f80b380", "86008002000000"].map(unhex);
    let index: Vec<u8> = [&[0xc2][..], &layers.each_ref().map(|layer| layer.len() as u8), &[0xc2]].concat();
    let picture = [layers.concat(), index].concat();
    assert_eq!(frames(&picture).count(), 3);
    let info = Vp9Config::from_frame(&picture, None).unwrap().info;
    assert_eq!((info.width, info.height, info.level, info.bit_depth), (640, 360, 21, 8));
    assert_eq!(picture_size(&layers[2]), None);
    assert_eq!(picture_size(&[]), None);
}

#[test]
fn shown_and_intra_only_frames_are_told_apart() {
    // show_existing_frame.
    let shown = FrameHeader::parse(&[0x88]).unwrap();
    assert!(shown.show_existing_frame && !shown.is_key && !is_reference(&[0x88]));
    // Profile 0: not shown, intra-only, sync code, refresh 0x01, 320×180.
    let bits = "10 0 0 0 1 0 0 1 00 010010011000001101000010 00000001 0000000100111111 0000000010110011";
    let digits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let frame: Vec<u8> =
        digits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit) << (8 - byte.len())).collect();
    let header = FrameHeader::parse(&frame).unwrap();
    assert!(header.intra_only && !header.is_key && !header.show_frame);
    assert_eq!(header.refresh_frame_flags, 1);
    let info = header.info.unwrap();
    assert_eq!((info.width, info.height, info.colour.matrix), (320, 180, 5));
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(FrameHeader::parse(&[]).map(drop), malformed("frame_marker", 0));
    assert_eq!(FrameHeader::parse(&[0x42]).map(drop), malformed("frame_marker", 0));
    assert_eq!(FrameHeader::parse(&unhex("824983430013f00b36")).map(drop), malformed("frame_sync_code", 1));
    // RGB in profile 0.
    assert_eq!(FrameHeader::parse(&unhex("8249834 2e013f00b36")).map(drop), malformed("color_space", 4));
    let parse = |hex| Vp9Config::parse(Bytes::from(unhex(hex))).map(drop);
    assert_eq!(parse("000b8202"), malformed("vpcC record", 4));
    assert_eq!(parse("040b820202020000"), malformed("profile of vpcC", 0));
    assert_eq!(parse("000b920202020000"), malformed("bitDepth of vpcC", 2));
    assert_eq!(parse("000b880202020000"), malformed("chromaSubsampling of vpcC", 2));
    assert_eq!(parse("000b820202020001"), malformed("codecInitializationDataSize of vpcC", 6));
}

#[test]
fn truncated_and_mutated_frames_never_panic() {
    let superframe = [unhex(ROWS[0].0), unhex("860002 c1 0c 03 c1")].concat();
    let vectors: Vec<Vec<u8>> = ROWS
        .iter()
        .map(|row| unhex(row.0))
        .chain(INTER.map(unhex))
        .chain(SUPERFRAMES.map(unhex))
        .chain([superframe])
        .collect();
    let vectors: Vec<&[u8]> = vectors.iter().map(Vec::as_slice).collect();
    let judge = |frame: &[u8]| {
        let _ = (is_key(frame), is_reference(frame));
        assert!(frames(frame).map(<[u8]>::len).sum::<usize>() <= frame.len());
        if let Ok(config) = Vp9Config::from_frame(frame, None) {
            assert_eq!(Vp9Config::parse(config.record.clone()).unwrap().rfc6381(), config.rfc6381());
        }
    };
    vectors.iter().for_each(|vector| truncations(vector, judge));
    mutations(9, 200_000, &vectors, judge);
    let records = ROWS.map(|row| unhex(row.1));
    mutations(99, 50_000, &records.each_ref().map(Vec::as_slice), |record| {
        drop(Vp9Config::parse(Bytes::copy_from_slice(record)).map(|config| config.rfc6381()));
    });
}
