//! Vectors of real encoders, the tables, every truncation, and seeded mutation.

use super::*;
use crate::{
    Codec, CodecConfig,
    sweep::{mutations, truncations, unhex},
};

/// The first header, and what ffprobe says of the file: version, layer, rate, channels, samples, bytes of the first frame.
/// `ffmpeg -f lavfi -i sine=440:sample_rate=48000 -c:a libmp3lame|mp2 …`, ffmpeg 5.1 (LAME 3.100).
type Row = (&'static str, Version, u8, u32, u8, u32, usize);
const ROWS: [Row; 5] = [
    ("fffb9464", Version::Mpeg1, 3, 48_000, 2, 1_152, 384),
    ("fff370c0", Version::Mpeg2, 3, 22_050, 1, 576, 182),
    ("ffe338c0", Version::Mpeg25, 3, 8_000, 1, 576, 216),
    ("fffde404", Version::Mpeg1, 2, 48_000, 2, 1_152, 1_152),
    ("fff5e4c4", Version::Mpeg2, 2, 24_000, 1, 1_152, 960),
];

#[test]
fn headers_say_what_the_encoder_was_told() {
    for (hex, version, layer, rate, channels, samples, bytes) in ROWS {
        let header = FrameHeader::parse(&unhex(hex)).unwrap_or_else(|error| panic!("{hex}: {error}"));
        assert_eq!((header.version, header.layer, header.sample_rate_hz), (version, layer, rate), "{hex}");
        assert_eq!(
            (header.channels(), header.samples_per_frame(), header.frame_bytes()),
            (channels, samples, bytes),
            "{hex}"
        );
        assert!(!header.has_crc);
        let config = MpegAudioConfig::from_header(&header);
        assert_eq!(MpegAudioConfig::parse(config.record.clone()), Ok(config.clone()), "{hex}");
        assert_eq!((config.info.sample_rate_hz, config.info.channels), (rate, channels), "{hex}");
        assert_eq!(config.rfc6381(), format!("mp4a.40.{}", 31 + layer));
        assert_eq!(config.object_type_indication(), if version == Version::Mpeg1 { 0x6b } else { 0x69 });
        let (right, wrong) = if layer == 3 { (Codec::Mp3, Codec::Mp2) } else { (Codec::Mp2, Codec::Mp3) };
        assert_eq!(CodecConfig::parse(right, config.record.clone()).unwrap().codec(), right);
        assert!(CodecConfig::parse(wrong, config.record).is_err());
    }
}

/// ISO/IEC 11172-3 §2.4.3.1: 44.1 kHz does not divide, so that some frames have a slot more.
#[test]
fn padding_is_a_slot() {
    let bytes = |hex: &str| FrameHeader::parse(&unhex(hex)).unwrap().frame_bytes();
    // Layer III, 128 kbit/s, 44.1 kHz: 417.96.
    assert_eq!((bytes("fffb9064"), bytes("fffb9264")), (417, 418));
    // Layer I, 384 kbit/s, 44.1 kHz: slots of four bytes.
    assert_eq!((bytes("ffffc000"), bytes("ffffc200")), (416, 420));
    // The largest of each layer and version stay below the bound.
    for first in ["fffb", "fff3", "ffe3", "fffd", "fff5", "ffff", "fff7"] {
        for third in 0..=0xff {
            let header = FrameHeader::parse(&unhex(&format!("{first}{third:02x}00")));
            assert!(header.map_or(0, |header| header.frame_bytes()) <= MAX_FRAME_BYTES, "{first} {third:02x}");
        }
    }
}

/// A stream of variable bit rate and joint stereo has one configuration.
#[test]
fn what_varies_from_frame_to_frame_is_not_in_the_record() {
    let config = |hex: &str| MpegAudioConfig::from_header(&FrameHeader::parse(&unhex(hex)).unwrap());
    let first = config("fffb9464");
    assert_eq!(first.record.as_ref(), [0xff, 0xfb, 0x14, 0x00]);
    for same in ["fffbb664", "fffae454", "fffb5444", "fffb9409"] {
        assert_eq!(config(same), first, "{same}");
    }
    // Another rate, mono, dual channels, another layer.
    for other in ["fffb9064", "fffb94c4", "fffb9484", "fffd9464"] {
        assert_ne!(config(other), first, "{other}");
    }
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let error = |hex: &str| FrameHeader::parse(&unhex(hex)).unwrap_err();
    let malformed = |what, offset| CodecError::Malformed { what, offset };
    assert_eq!(error("fffb94"), malformed("MPEG audio header", 3));
    assert_eq!(error("ff1b9464"), malformed("MPEG audio syncword", 0));
    assert_eq!(error("ffeb9464"), malformed("MPEG audio ID", 1));
    assert_eq!(error("fff99464"), malformed("MPEG audio layer", 1), "that is ADTS");
    assert_eq!(error("ffe59464"), malformed("MPEG audio layer", 1), "layer II of MPEG 2.5");
    assert_eq!(error("fffbf464"), malformed("MPEG audio bitrate_index", 2));
    assert_eq!(error("fffb9c64"), malformed("MPEG audio sampling_frequency", 2));
    assert_eq!(error("fffb9466"), malformed("MPEG audio emphasis", 3));
    assert!(matches!(error("fffb0464"), CodecError::Unsupported { .. }), "free format");
    let long = MpegAudioConfig::parse(vec![0xff; MAX_FRAME_BYTES + 1].into());
    assert!(matches!(long, Err(CodecError::LimitExceeded { .. })));
}

/// The checksum over the header's second half and the side information.
#[test]
fn checksum_is_checked() {
    let mut frame = [unhex("fffa9464 0000"), vec![0x5a; 378]].concat();
    let header = FrameHeader::parse(&frame).unwrap();
    assert!(header.has_crc && !header.is_crc_right(&frame));
    // Reckoned as the remainder of a long division: beginning with all ones is to invert the first 16 bits.
    let covered = [&frame[2..4], &frame[6..38]].concat();
    let mut bits: Vec<u8> = covered.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    bits.iter_mut().take(16).for_each(|bit| *bit ^= 1);
    bits.extend([0; 16]);
    for at in 0..bits.len() - 16 {
        if bits[at] == 1 {
            [0, 1, 14, 16].iter().for_each(|place| bits[at + place] ^= 1);
        }
    }
    let crc = bits[bits.len() - 16..].iter().fold(0_u16, |crc, &bit| crc << 1 | u16::from(bit));
    let [high, low] = crc.to_be_bytes();
    (frame[4], frame[5]) = (high, low);
    assert!(header.is_crc_right(&frame), "{crc:04x}");
    frame[20] ^= 1;
    assert!(!header.is_crc_right(&frame));
    assert!(!header.is_crc_right(&frame[..10]), "cut off");
    assert!(FrameHeader::parse(&unhex(ROWS[0].0)).unwrap().is_crc_right(&[]), "there is none");
}

#[test]
fn truncated_and_mutated_headers_never_panic() {
    let vectors = ROWS.map(|row| unhex(row.0));
    vectors.iter().for_each(|vector| truncations(vector, |bytes| assert!(FrameHeader::parse(bytes).is_err())));
    mutations(3, 200_000, &vectors.each_ref().map(Vec::as_slice), |bytes| {
        let Ok(header) = FrameHeader::parse(bytes) else { return };
        assert!((24..=MAX_FRAME_BYTES).contains(&header.frame_bytes()), "{header:?}");
        let config = MpegAudioConfig::from_header(&header);
        assert_eq!(MpegAudioConfig::from_header(&FrameHeader::parse(&config.record).unwrap()), config);
        let _ = header.is_crc_right(bytes);
    });
}
