//! Vectors of a real encoder, the standard's example, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    AudioInfo, CodecError,
    sweep::{mutations, truncations, unhex},
};

/// `ffmpeg -f lavfi -i sine=440:sample_rate=48000 -c:a flac …`, ffmpeg 5.1: the body of `dfLa` behind version and flags, and
/// the first frame headers.
const STEREO: &str = "80000022120012000000fc0005110bb802f000003840e5f051c128e84992c0cba99724092b51";
const STEREO_FRAMES: [&str; 3] = ["fff85a8800374e00", "fff85a8801304e0b", "fff85a8802394e01"];
/// Six channels of 24 bits at 96 kHz.
const STUDIO: &str = "800000222000200000121f0025e217700b7000007080b654d6dcc422d01b9820c8f00f7018e0";
const STUDIO_FRAMES: [&str; 3] = ["fff8db5c00b90000", "fff8db5c01be0000", "fff8db5c02b70000"];

fn parse(hex: &str) -> Result<FlacConfig, CodecError> {
    FlacConfig::parse(Bytes::from(unhex(hex)))
}

#[test]
fn records_say_what_the_encoder_was_told() {
    for (hex, sample_rate_hz, channels, samples_per_frame, bits_per_sample, max_frame_bytes) in
        [(STEREO, 48_000, 2, 4_608, 16, 1_297), (STUDIO, 96_000, 6, 8_192, 24, 9_698)]
    {
        let config = parse(hex).unwrap();
        assert_eq!(config.info, AudioInfo { sample_rate_hz, channels, samples_per_frame, bits_per_sample }, "{hex}");
        assert_eq!(config.max_frame_bytes, max_frame_bytes);
        assert_eq!(FlacConfig::from_stream_info(config.stream_info()), Ok(config.clone()));
        assert_eq!(config.rfc6381(), "flac");
        let stream = [b"fLaC".to_vec(), unhex(hex), vec![0xff, 0xf8]].concat();
        assert_eq!(FlacConfig::from_stream(&stream), Ok((config, 42)));
    }
}

#[test]
fn other_blocks_are_kept_or_left_out() {
    // STREAMINFO that is not the last, and a comment of four bytes.
    let with_comment = format!("00{} 84000004 01020304", &STEREO[2..]);
    let config = parse(&with_comment).unwrap();
    assert_eq!(config.record.len(), 38 + 8);
    let stream = [b"fLaC".to_vec(), unhex(&with_comment)].concat();
    let (from_stream, frames_at) = FlacConfig::from_stream(&stream).unwrap();
    assert_eq!((from_stream, frames_at), (parse(STEREO).unwrap(), 4 + 46));
}

#[test]
fn frame_headers_say_what_the_encoder_was_told() {
    for (frames, block_samples, rate, channels, bits) in
        [(STEREO_FRAMES, 4_608, 48_000, 2, 16), (STUDIO_FRAMES, 8_192, 96_000, 6, 24)]
    {
        for (number, hex) in (0..).zip(frames) {
            let header = FrameHeader::parse(&unhex(hex)).unwrap_or_else(|error| panic!("{hex}: {error}"));
            let expected = FrameHeader {
                variable_block_size: false,
                number,
                block_samples,
                sample_rate_hz: Some(rate),
                channels,
                bits_per_sample: Some(bits),
                header_bytes: 6,
            };
            assert_eq!(header, expected, "{hex}");
        }
    }
    let second = FrameHeader::parse(&unhex(STEREO_FRAMES[1])).unwrap();
    assert_eq!(second.first_sample(&parse(STEREO).unwrap()), 4_608);
}

/// A header with everything that can be written behind the fixed part, its checksum reckoned here.
fn header(fixed: &str, rest: &str) -> Vec<u8> {
    let mut bytes = unhex(&format!("{fixed}{rest}"));
    let mut crc = 0_u32;
    for &byte in &bytes {
        crc ^= u32::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x107 << 8 } else { crc << 1 };
        }
        crc &= 0xffff;
    }
    bytes.push((crc >> 8) as u8);
    bytes
}

#[test]
fn rare_frame_headers_are_read() {
    // Variable blocks; sample number of seven bytes: 36 bits; a block size and a rate in 16 bits each.
    let wide = header("fff97d08", "febfbfbfbfbfbf 0f9f ac44");
    let parsed = FrameHeader::parse(&wide).unwrap();
    assert_eq!((parsed.number, parsed.block_samples, parsed.sample_rate_hz), (0xf_ffff_ffff, 4_000, Some(44_100)));
    assert!(parsed.variable_block_size);
    assert_eq!((parsed.header_bytes, parsed.bits_per_sample), (MAX_FRAME_HEADER_BYTES, Some(16)));
    assert_eq!(parsed.first_sample(&parse(STEREO).unwrap()), 0xf_ffff_ffff);
    // A block of eight bits, a rate in kHz, another in tens of Hz; what STREAMINFO says.
    let rate = |fixed, rest| {
        FrameHeader::parse(&header(fixed, rest)).map(|header| (header.block_samples, header.sample_rate_hz))
    };
    assert_eq!(rate("fff86c08", "c280 0f 60"), Ok((16, Some(96_000))));
    assert_eq!(rate("fff81e08", "7f 7530"), Ok((192, Some(300_000))));
    assert_eq!(rate("fff8f000", "00"), Ok((32_768, None)));
    for (fixed, rest) in [
        ("fff80908", "00"),      // block size reserved
        ("fff81f08", "00"),      // rate invalid
        ("fff819b8", "00"),      // channels reserved
        ("fff81986", "00"),      // depth reserved
        ("fff81908", "80"),      // number
        ("fff81908", "c240"),    // number
        ("fff87908", "00 ffff"), // a block of 65 536
        ("fff81d08", "00 0000"), // 0 Hz
    ] {
        assert!(FrameHeader::parse(&header(fixed, rest)).is_err(), "{fixed} {rest}");
    }
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    let body = &STEREO[8..];
    assert_eq!(parse("").map(drop), malformed("FLAC metadata block header", 0));
    assert_eq!(parse("84000000").map(drop), malformed("FLAC metadata block type", 0));
    assert_eq!(parse("80000021").map(drop), malformed("length of STREAMINFO", 0));
    assert_eq!(parse("80000022 1200").map(drop), malformed("FLAC metadata block", 0));
    assert_eq!(parse(&format!("00000022{body}")).map(drop), malformed("FLAC metadata block header", 38));
    assert_eq!(parse(&format!("00000022{body} 80000022{body}")).map(drop), malformed("FLAC metadata block type", 38));
    assert_eq!(parse(&format!("00000022{body} ff000000")).map(drop), malformed("FLAC metadata block type", 38));
    assert_eq!(parse(&format!("{STEREO}00")).map(drop), malformed("last FLAC metadata block", 38));
    assert_eq!(parse(&STEREO.replacen("1200", "1201", 1)).map(drop), malformed("block sizes of STREAMINFO", 4));
    assert_eq!(parse(&STEREO.replacen("0bb80", "00000", 1)).map(drop), malformed("sampling rate of STREAMINFO", 14));
    assert_eq!(FlacConfig::from_stream(b"fLaX").map(drop), malformed("FLAC signature", 0));
    assert_eq!(FlacConfig::from_stream(b"fLaC\x84").map(drop), malformed("FLAC metadata block header", 4));
    assert_eq!(FlacConfig::from_stream_info(&[0; 33]).map(drop), malformed("STREAMINFO", 33));
    assert_eq!(FlacConfig::from_stream_info(&[0; 34]).map(drop), malformed("block sizes of STREAMINFO", 0));
    assert!(matches!(FlacConfig::parse(vec![0; MAX_RECORD_BYTES + 1].into()), Err(CodecError::LimitExceeded { .. })));
    assert_eq!(FrameHeader::parse(&unhex("fff85a880038")).map(drop), malformed("frame header CRC", 5));
    assert_eq!(FrameHeader::parse(&unhex("fffb9464")).map(drop), malformed("FLAC frame sync code", 0), "that is MP3");
}

#[test]
fn truncated_and_mutated_input_never_panics() {
    let records = [STEREO, STUDIO].map(unhex);
    records.iter().for_each(|record| {
        truncations(record, |bytes| assert!(FlacConfig::parse(Bytes::copy_from_slice(bytes)).is_err()));
    });
    mutations(0xf1, 100_000, &records.each_ref().map(Vec::as_slice), |bytes| {
        if let Ok(config) = FlacConfig::parse(Bytes::copy_from_slice(bytes)) {
            let made = FlacConfig::from_stream_info(config.stream_info()).unwrap();
            assert_eq!(made.info, config.info);
        }
    });
    let frames: Vec<Vec<u8>> = STEREO_FRAMES.iter().chain(&STUDIO_FRAMES).map(|hex| unhex(hex)).collect();
    let wide = header("fff97d08", "febfbfbfbfbfbf 0f9f ac44");
    truncations(&wide, |bytes| assert!(FrameHeader::parse(bytes).is_err()));
    let vectors: Vec<&[u8]> = frames.iter().map(Vec::as_slice).chain([&wide[..]]).collect();
    mutations(0xf2, 200_000, &vectors, |bytes| {
        if let Ok(header) = FrameHeader::parse(bytes) {
            assert!(header.header_bytes <= MAX_FRAME_HEADER_BYTES && header.block_samples > 0);
        }
    });
}
