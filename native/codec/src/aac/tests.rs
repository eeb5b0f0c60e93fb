//! Vectors of real encoders, the standard's corner cases, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    CodecError,
    sweep::{mutations, truncations, unhex},
};

/// Record and what it says: object type, core rate, output rate, channels, samples, SBR, PS, RFC 6381.
type Row = (&'static str, u8, u32, u32, u8, u32, bool, bool, &'static str);

/// The first nine rows: ffmpeg 5.1 (libavcodec 59.37.100, its own AAC encoder), `ffmpeg -f lavfi -i sine=440
/// -t 0.2 -c:a aac -ac N -ar RATE -f flv`, the body of the first audio tag without its two bytes; `-profile:a aac_main`,
/// `anullsrc=channel_layout=octagonal` where noted. The others were written by hand after §1.6.6 and agree with what
/// HE-AAC encoders are known to write.
const ROWS: [Row; 24] = [
    ("121056e500", 2, 44_100, 44_100, 2, 1024, false, false, "mp4a.40.2"),
    ("119056e500", 2, 48_000, 48_000, 2, 1024, false, false, "mp4a.40.2"),
    ("161056e500", 2, 7_350, 7_350, 2, 1024, false, false, "mp4a.40.2"),
    ("101056e500", 2, 96_000, 96_000, 2, 1024, false, false, "mp4a.40.2"),
    ("128856e500", 2, 32_000, 32_000, 1, 1024, false, false, "mp4a.40.2"),
    ("11b056e500", 2, 48_000, 48_000, 6, 1024, false, false, "mp4a.40.2"),
    ("11b856e500", 2, 48_000, 48_000, 8, 1024, false, false, "mp4a.40.2"),
    // octagonal: a program_config_element with the comment "Lavc59.37.100"
    (PCE, 2, 48_000, 48_000, 8, 1024, false, false, "mp4a.40.2"),
    // aac_main
    ("0a0856e500", 1, 44_100, 44_100, 1, 1024, false, false, "mp4a.40.1"),
    // Two bytes only, and 960 samples.
    ("1210", 2, 44_100, 44_100, 2, 1024, false, false, "mp4a.40.2"),
    ("1214", 2, 44_100, 44_100, 2, 960, false, false, "mp4a.40.2"),
    // Hierarchical SBR, PS.
    ("2b920800", 2, 22_050, 44_100, 2, 1024, true, false, "mp4a.40.5"),
    ("eb8a0800", 2, 22_050, 44_100, 1, 1024, true, true, "mp4a.40.29"),
    // Backward compatible SBR, SBR and PS, and neither.
    ("139056e5a0", 2, 22_050, 44_100, 2, 1024, true, false, "mp4a.40.5"),
    ("138856e5a54880", 2, 22_050, 44_100, 1, 1024, true, true, "mp4a.40.29"),
    ("138856e5a54800", 2, 22_050, 44_100, 1, 1024, true, false, "mp4a.40.5"),
    // An escaped rate: 43 210 Hz.
    ("17805465 10", 2, 43_210, 43_210, 2, 1024, false, false, "mp4a.40.2"),
    // Seven channels; AAC-LD.
    ("11d8", 2, 48_000, 48_000, 7, 1024, false, false, "mp4a.40.2"),
    ("ba1000", 23, 44_100, 44_100, 2, 512, false, false, "mp4a.40.23"),
    // Channel configurations 12, 13 (22.2) and 14.
    ("1260", 2, 44_100, 44_100, 8, 1024, false, false, "mp4a.40.2"),
    ("1268", 2, 44_100, 44_100, 24, 1024, false, false, "mp4a.40.2"),
    ("1270", 2, 44_100, 44_100, 8, 1024, false, false, "mp4a.40.2"),
    // AAC-ELD: 480 samples; 512 with the SBR of its own.
    ("f8e85000", 39, 44_100, 44_100, 2, 480, false, false, "mp4a.40.39"),
    ("f8ee21800000", 39, 22_050, 44_100, 1, 512, true, false, "mp4a.40.39"),
];

const PCE: &str = "118004c848002008c8200d4c61766335392e33372e31303056e500";

fn parse(hex: &str) -> Result<AudioSpecificConfig, CodecError> {
    AudioSpecificConfig::parse(Bytes::from(unhex(hex)))
}

#[test]
fn asc_vectors_say_what_the_encoder_was_told() {
    for (hex, object_type, sample_rate_hz, output_rate_hz, channels, samples_per_frame, sbr, ps, rfc6381) in ROWS {
        let config = parse(hex).unwrap_or_else(|error| panic!("{hex}: {error}"));
        assert_eq!(config.rfc6381(), rfc6381, "{hex}");
        let record = Bytes::from(unhex(hex));
        let expected = AudioSpecificConfig {
            record,
            object_type,
            sample_rate_hz,
            output_rate_hz,
            channels,
            channel_configuration: match hex {
                PCE => 0,
                "11d8" => 11,
                "1260" => 12,
                "1268" => 13,
                "1270" => 14,
                _ => channel_configuration(channels).unwrap(),
            },
            samples_per_frame,
            sbr,
            ps,
        };
        assert_eq!(config, expected, "{hex}");
    }
}

#[test]
fn asc_that_contradicts_the_standard_is_refused_with_its_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(parse(""), malformed("audioObjectType", 0));
    assert_eq!(parse("16 90"), malformed("samplingFrequencyIndex", 0), "index 13");
    assert_eq!(parse("17 10"), malformed("samplingFrequencyIndex", 0), "index 14");
    assert_eq!(parse("17 80 00 00 10"), malformed("samplingFrequency", 0), "0 Hz");
    assert_eq!(parse("17 ff ff ff 90"), malformed("samplingFrequency", 0), "16 MHz");
    assert_eq!(parse("12 48"), malformed("channelConfiguration", 1), "9");
    assert_eq!(parse("12 10 56 e5 e8"), malformed("samplingFrequencyIndex", 4));
    // The PCE's comment is one byte short.
    assert!(parse(&PCE[..PCE.len() - 8]).is_err());
}

#[test]
fn asc_of_other_codecs_is_unsupported() {
    // USAC (42: escape 31 + 10), CELP (8), SBR in SBR, ER LC with epConfig 2.
    for hex in ["f9 48 50 00", "42 10 00", "2b 92 14 00", "8a 10 80"] {
        assert!(matches!(parse(hex), Err(CodecError::Unsupported { .. })), "{hex}: {:?}", parse(hex));
    }
}

#[test]
fn asc_of_kilobytes_is_refused() {
    let mut record = unhex("1210");
    record.resize(MAX_ASC_BYTES + 1, 0);
    let error = AudioSpecificConfig::parse(record.into()).unwrap_err();
    assert!(matches!(error, CodecError::LimitExceeded { .. }), "{error}");
}

#[test]
fn new_configs_read_back_as_told_for_every_rate_and_channel_count() {
    for rate in SAMPLE_RATES_HZ.into_iter().chain([43_210, 192_000]) {
        for channels in [1, 2, 3, 4, 5, 6, 8] {
            let config = AudioSpecificConfig::new(2, rate, channels).unwrap();
            assert_eq!((config.sample_rate_hz, config.channels, config.object_type), (rate, channels, 2));
            let bytes = if SAMPLE_RATES_HZ.contains(&rate) { 2 } else { 5 };
            assert_eq!(config.record.len(), bytes);
        }
    }
    assert_eq!(AudioSpecificConfig::new(2, 44_100, 2).unwrap().record.as_ref(), [0x12, 0x10]);
    for (object_type, rate, channels) in [(5, 44_100, 2), (0, 44_100, 2), (2, 44_100, 0), (2, 44_100, 7), (2, 0, 2)] {
        assert!(AudioSpecificConfig::new(object_type, rate, channels).is_err());
    }
}

/// The first header of `ffmpeg -f lavfi -i sine=440:sample_rate=44100 -t 0.2 -c:a aac -ac 2 -f adts`, ffmpeg 5.1.
const FFMPEG_ADTS: &str = "fff150802b3ffcde02004c61766335392e33372e3130300042561fffff";

/// What the writer puts in front.
fn in_front_of(writer: &AdtsWriter, access_unit: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut put = Vec::new();
    writer.put_in_front_of(access_unit, &mut put).map(|()| put)
}

#[test]
fn adts_header_equals_that_of_ffmpeg() {
    let bytes = unhex(FFMPEG_ADTS);
    let header = parse_adts(&bytes).unwrap();
    let expected =
        AdtsHeader { object_type: 2, sample_rate_hz: 44_100, channels: 2, header_bytes: 7, frame_bytes: 345 };
    assert_eq!(header, expected);
    let writer = AdtsWriter::new(&header.config().unwrap()).unwrap();
    assert_eq!(in_front_of(&writer, &[0; 345 - 7]).unwrap(), bytes[..7]);
}

#[test]
fn adts_round_trip_of_every_length() {
    let config = AudioSpecificConfig::new(2, 24_000, 8).unwrap();
    let writer = AdtsWriter::new(&config).unwrap();
    let access_unit = [0; MAX_ADTS_FRAME_BYTES];
    for payload_bytes in 0..=MAX_ADTS_FRAME_BYTES - ADTS_HEADER_BYTES {
        let header = parse_adts(&in_front_of(&writer, &access_unit[..payload_bytes]).unwrap()).unwrap();
        assert_eq!(header.frame_bytes, payload_bytes + ADTS_HEADER_BYTES);
        assert_eq!((header.sample_rate_hz, header.channels), (24_000, 8));
    }
    let refused = in_front_of(&writer, &access_unit[..MAX_ADTS_FRAME_BYTES - ADTS_HEADER_BYTES + 1]);
    assert!(matches!(refused, Err(CodecError::LimitExceeded { max: 8191, .. })));
}

#[test]
fn adts_refuses_what_it_cannot_say() {
    // 960 samples, a rate out of the table, 7 channels, AAC-LD.
    for hex in ["1214", "1780546510", "11d8", "ba1000"] {
        let writer = AdtsWriter::new(&parse(hex).unwrap());
        assert!(matches!(writer, Err(CodecError::Unsupported { .. })), "{hex}");
    }
}

#[test]
fn adts_headers_that_lie_are_refused() {
    let good = unhex(FFMPEG_ADTS);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        parse_adts(&bytes)
    };
    assert!(matches!(with(1, 0x01), Err(CodecError::Malformed { what: "ADTS syncword", .. })));
    assert!(matches!(with(1, 0xf3), Err(CodecError::Malformed { what: "ADTS layer", .. })));
    assert!(matches!(with(2, 0x74), Err(CodecError::Malformed { what: "sampling_frequency_index", .. })));
    let without_channels = with(3, 0x00).unwrap();
    assert!(matches!(without_channels.config(), Err(CodecError::Unsupported { .. })), "channel configuration 0");
    assert!(matches!(with(6, 0xfd), Err(CodecError::Unsupported { .. })), "two access units");
    assert!(matches!(with(4, 0x00), Err(CodecError::Malformed { what: "aac_frame_length", .. })));
    assert_eq!(with(1, 0xf0).unwrap().header_bytes, 9, "with a checksum");
    assert!(parse_adts(&[0xff, 0xf0, 0x50, 0x80, 0x04, 0x3f, 0xfc, 0]).is_err(), "the checksum is cut off");
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_record() {
    for (hex, ..) in ROWS {
        let whole = parse(hex).unwrap();
        truncations(&unhex(hex), |record| {
            if let Ok(shorter) = AudioSpecificConfig::parse(Bytes::copy_from_slice(record)) {
                assert_eq!(shorter.sample_rate_hz, whole.sample_rate_hz);
                assert!(record.len() >= 2);
            }
        });
    }
    truncations(&unhex(FFMPEG_ADTS)[..7], |bytes| assert!(parse_adts(bytes).is_err()));
}

#[test]
fn mutated_records_and_headers_never_panic() {
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| unhex(row.0)).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut accepted = 0;
    mutations(0xaac, 200_000, &records, |record| {
        if let Ok(config) = AudioSpecificConfig::parse(Bytes::copy_from_slice(record)) {
            accepted += 1;
            assert!(config.sample_rate_hz > 0 && config.output_rate_hz > 0 && config.channels <= 93);
            assert!(!config.rfc6381().is_empty());
            if let Ok(writer) = AdtsWriter::new(&config) {
                let front = in_front_of(&writer, &[0; 8]).unwrap();
                let header = parse_adts(&front).unwrap();
                let again = header.config_of(&front[ADTS_HEADER_BYTES..]).unwrap();
                assert_eq!((again.object_type, again.channels), (config.object_type, config.channels));
            }
        }
    });
    assert!(accepted > 20_000, "the sweep must get past the first fields: {accepted}");
    mutations(0xad75, 200_000, &[&unhex(FFMPEG_ADTS)], |bytes| {
        if let Ok(header) = parse_adts(bytes) {
            assert!(header.frame_bytes >= header.header_bytes);
            assert_eq!(header.config().is_ok(), header.channels > 0);
            drop(header.config_of(bytes.get(header.header_bytes..).unwrap_or_default()));
        }
    });
    let octagon = unhex(OCTAGON_ADTS);
    let header = parse_adts(&octagon).unwrap();
    mutations(0xadce, 100_000, &[&octagon[7..]], |unit| {
        if let Ok(config) = header.config_of(unit) {
            assert_eq!(AudioSpecificConfig::parse(config.record.clone()), Ok(config));
        }
    });
}

/// `ffmpeg -f lavfi -i anullsrc=r=48000:cl=octagonal -c:a aac -f adts`, ffmpeg 5.1: a program_config_element comes first, and
/// in the next access unit it does not.
const OCTAGON_ADTS: &str = "fff14c0008dffca0990900040119040d4c61766335392e33372e313030de02004c61766335392e33372e3130300042200\
                            8c11800460800462008c11809440118230018c10038";

#[test]
fn channels_of_adts_may_be_in_the_access_unit() {
    let frame = unhex(OCTAGON_ADTS);
    let header = parse_adts(&frame).unwrap();
    assert_eq!((header.channels, header.frame_bytes), (0, frame.len()));
    let config = header.config_of(&frame[header.header_bytes..]).unwrap();
    assert_eq!(config.record, unhex(&PCE[..PCE.len() - 6]), "as in the record of the same encoder");
    assert_eq!((config.channels, config.sample_rate_hz), (8, 48_000));
    assert!(matches!(header.config_of(&unhex("211004608c")), Err(CodecError::Unsupported { .. })));
    assert!(matches!(header.config_of(&frame[7..20]), Err(CodecError::Malformed { .. })));
    let writer = AdtsWriter::new(&config).unwrap();
    let access_unit = &frame[header.header_bytes..];
    assert_eq!(in_front_of(&writer, access_unit).unwrap(), frame[..7], "it comes with one");
    let silence = unhex("211004608c");
    let again = [in_front_of(&writer, &silence).unwrap(), silence].concat();
    let header = parse_adts(&again).unwrap();
    assert_eq!((header.channels, header.frame_bytes), (0, again.len()));
    assert_eq!(header.config_of(&again[7..]), Ok(config), "who joins is told");
    let stereo = parse_adts(&unhex(FFMPEG_ADTS)).unwrap();
    assert_eq!(stereo.config_of(&[]), stereo.config());
}
