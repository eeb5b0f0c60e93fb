//! AudioSpecificConfig and ADTS headers; what is read must be written and read the same.

use arcly_codec::{
    CodecError,
    aac::{
        ADTS_HEADER_BYTES, AdtsHeader, AdtsWriter, AudioSpecificConfig, MAX_ADTS_FRAME_BYTES, MAX_ASC_BYTES, parse_adts,
    },
};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "aac",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_ASC_BYTES,
    run,
};

/// LC, PCE, Main, 960 samples, SBR and PS both ways, an escaped rate, seven channels, LD, ELD, 22.2; ADTS without and
/// with checksum, and with a PCE.
const VECTORS: [&str; 16] = [
    "121056e500",
    "118004c848002008c8200d4c61766335392e33372e31303056e500",
    "0a0856e500",
    "1214",
    "2b920800",
    "eb8a0800",
    "138856e5a54880",
    "1780546510",
    "11d8",
    "ba1000",
    "f8e85000",
    "f8ee21800000",
    "1268",
    "fff15080021ffc2100",
    "fff84c8001bffc12342100",
    "fff14c0008dffca0990900040119040d4c61766335392e33372e313030de0200",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let record = Bytes::copy_from_slice(&input.bytes);
    let held = AudioSpecificConfig::parse(record).map_or(0, |config| check_config(&config, &input.bytes));
    if let Ok(header) = parse_adts(&input.bytes) {
        check_header(&header, &input.bytes);
    }
    held
}

fn check_config(config: &AudioSpecificConfig, bytes: &[u8]) -> usize {
    assert_eq!(config.record, bytes, "the record is what came");
    assert!((1_000..=192_000).contains(&config.sample_rate_hz), "{config:?}");
    assert!((1_000..=384_000).contains(&config.output_rate_hz), "{config:?}");
    assert!(
        (1..=93).contains(&config.channels) && matches!(config.samples_per_frame, 480 | 512 | 960 | 1024),
        "{config:?}"
    );
    assert!(config.sbr || (!config.ps && config.output_rate_hz == config.sample_rate_hz), "{config:?}");
    assert!(config.rfc6381().starts_with("mp4a.40."), "{config:?}");
    if let Ok(made) = AudioSpecificConfig::new(config.object_type, config.sample_rate_hz, config.channels) {
        assert_eq!(AudioSpecificConfig::parse(made.record.clone()).as_ref(), Ok(&made), "made and parsed");
        assert_eq!(core(&made), core(config), "made of a part of the other");
    }
    if let Ok(writer) = AdtsWriter::new(config) {
        let length = bytes.len().wrapping_mul(211) % (MAX_ADTS_FRAME_BYTES + 100);
        check_writer(&writer, config, length);
    }
    config.record.len()
}

/// What `AudioSpecificConfig::new` is told.
fn core(config: &AudioSpecificConfig) -> (u8, u32, u8) {
    (config.object_type, config.sample_rate_hz, config.channels)
}

/// What is put in front of an access unit of `length` bytes says what the configuration does.
fn check_writer(writer: &AdtsWriter, config: &AudioSpecificConfig, length: usize) {
    let access_unit = vec![0; length];
    let mut front = Vec::new();
    match writer.put_in_front_of(&access_unit, &mut front) {
        Ok(()) => {
            let expected = AdtsHeader {
                object_type: config.object_type,
                sample_rate_hz: config.sample_rate_hz,
                channels: if config.channel_configuration == 0 { 0 } else { config.channels },
                header_bytes: ADTS_HEADER_BYTES,
                frame_bytes: front.len() + length,
            };
            assert_eq!(parse_adts(&front).as_ref(), Ok(&expected), "{config:?}");
            let again = expected.config_of(front.get(ADTS_HEADER_BYTES..).unwrap_or_default());
            assert_eq!(again.map(|again| core(&again)), Ok(core(config)), "the channels, by whichever says them");
        }
        Err(CodecError::LimitExceeded { seen, .. }) => assert!(seen > MAX_ADTS_FRAME_BYTES, "{length} refused"),
        Err(error) => assert_eq!(error.to_string(), "", "no such error is documented"),
    }
}

/// A header has a configuration, or its access unit has, and its writer makes headers that say the same.
fn check_header(header: &AdtsHeader, bytes: &[u8]) {
    assert!(header.header_bytes <= bytes.len() && header.header_bytes <= header.frame_bytes, "{header:?}");
    let config = header.config();
    assert_eq!(config.is_ok(), header.channels > 0, "{header:?}");
    let Ok(config) = config else {
        let of_unit = header.config_of(bytes.get(header.header_bytes..).unwrap_or_default());
        drop(of_unit.map(|config| assert_eq!(AudioSpecificConfig::parse(config.record.clone()), Ok(config))));
        return;
    };
    match AdtsWriter::new(&config) {
        Ok(writer) => check_writer(&writer, &config, header.frame_bytes.saturating_sub(ADTS_HEADER_BYTES)),
        Err(error) => assert_eq!(error.to_string(), "", "{header:?}"),
    }
}
