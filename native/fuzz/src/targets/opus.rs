//! Opus: identification headers, packets, and the control headers of MPEG-TS.

use arcly_codec::opus::{
    ControlHeader, MAX_HEAD_BYTES, MAX_PACKET_SAMPLES, OpusConfig, Packet, check_packet, packet_samples,
};
use bytes::{Bytes, BytesMut};

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "opus",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_HEAD_BYTES,
    run,
};

/// OpusHead of families 0, 1 and 255, dOps; packets of codes 0 to 3, of several streams; control headers.
const VECTORS: [&str; 13] = [
    "4f707573486561640102380180bb0000000000",
    "4f707573486561640106380180bb00000000010402000401020305",
    "4f707573486561640103380180bb00000000ff0300000102",
    "000601380000bb800000010402000401020305",
    "fc01020304",
    "fd01020304",
    "fe0101020304",
    "e383010001020304",
    "e3c2020101020000",
    "fc02fffefc02fffefc02fffefcaabb",
    "7ff0ffb80138fcb4065a",
    "7fe8ff9f0288fcb5298414",
    "7fe40502aabb",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    check_packets(&input.bytes);
    if let Ok(header) = ControlHeader::parse(&input.bytes) {
        check_control(&header, input.bytes.len());
    }
    drop(OpusConfig::from_dops(&input.bytes));
    OpusConfig::parse(Bytes::copy_from_slice(&input.bytes)).map_or(0, |config| check_config(&config))
}

fn check_packets(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes) {
        assert_eq!(packet_samples(bytes), Ok(packet.samples));
        assert!((120..=MAX_PACKET_SAMPLES).contains(&packet.samples) && packet.frames.len() <= 48, "{packet:?}");
        assert!(packet.frames.iter().map(|frame| frame.len()).sum::<usize>() < bytes.len());
        assert_eq!(check_packet(bytes, 1), Ok(packet.samples));
    }
    if let Ok(packet) = Packet::parse_self_delimited(bytes) {
        let whole = bytes.get(..packet.bytes);
        assert_eq!(whole.map(Packet::parse_self_delimited), Some(Ok(packet)), "it says where it ends");
    }
    drop(check_packet(bytes, 3));
}

fn check_control(header: &ControlHeader, bytes: usize) {
    assert!(header.header_bytes <= bytes);
    let mut written = BytesMut::new();
    ControlHeader::write(&mut written, header.payload_bytes, header.start_trim, header.end_trim);
    let again = ControlHeader::parse(&written);
    assert_eq!(again, Ok(ControlHeader { header_bytes: written.len(), ..*header }), "all but the extension");
}

fn check_config(config: &OpusConfig) -> usize {
    assert!(config.info.channels > 0 && config.streams > 0, "{config:?}");
    let again = OpusConfig::from_dops(&config.dops()).map(|again| (again.info, again.mapping, again.output_gain));
    assert_eq!(again, Ok((config.info, config.mapping.clone(), config.output_gain)));
    if let Some(code) = config.channel_config_code() {
        let channels = OpusConfig::from_channel_config_code(code).map(|other| other.info.channels);
        assert_eq!(channels, Ok(config.info.channels), "{code}");
    }
    config.record.len()
}
