//! FLAC: metadata blocks and frame headers.

use arcly_codec::flac::{FlacConfig, FrameHeader, MAX_FRAME_HEADER_BYTES, MAX_RECORD_BYTES};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "flac",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_RECORD_BYTES,
    run,
};

/// Records without and with another block, a whole beginning of a file, frame headers.
const VECTORS: [&str; 5] = [
    "80000022120012000000fc0005110bb802f000003840e5f051c128e84992c0cba99724092b51",
    "00000022200020 0000121f0025e217700b7000007080b654d6dcc422d01b9820c8f00f7018e08400000401020304",
    "664c614380000022120012000000fc0005110bb802f000003840e5f051c128e84992c0cba99724092b51fff85a8800374e00",
    "fff85a8801304e0b",
    "fff8db5c02b70000",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    if let Ok(header) = FrameHeader::parse(&input.bytes) {
        assert!(header.header_bytes <= MAX_FRAME_HEADER_BYTES && header.number < 1 << 36, "{header:?}");
        assert!((1..=65_535).contains(&header.block_samples) && (1..=8).contains(&header.channels), "{header:?}");
    }
    if let Ok((config, frames_at)) = FlacConfig::from_stream(&input.bytes) {
        assert!(frames_at <= input.bytes.len());
        check_config(&config);
    }
    FlacConfig::parse(Bytes::copy_from_slice(&input.bytes)).map_or(0, |config| check_config(&config))
}

fn check_config(config: &FlacConfig) -> usize {
    let info = config.info;
    assert!(info.sample_rate_hz > 0 && (1..=8).contains(&info.channels) && (4..=32).contains(&info.bits_per_sample));
    let made = FlacConfig::from_stream_info(config.stream_info());
    assert_eq!(made.as_ref().map(|made| made.info), Ok(info));
    assert_eq!(made.as_ref().map(|made| FlacConfig::parse(made.record.clone())), Ok(made.clone()));
    config.record.len()
}
