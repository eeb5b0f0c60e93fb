//! VP8: frame tags and records.

use arcly_codec::vp8::{self, FrameTag, Vp8Config};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target { name: "vp8", vectors, edit: Some(edit_bits), buffered_bytes_max: 0, run };

/// A key frame, a frame that needs others, a record.
const VECTORS: [&str; 3] = ["f062009d012a4001b400", "f10e001011c0001ec1b7", "0000820202060000"];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let tag = FrameTag::parse(&input.bytes);
    assert_eq!(tag.as_ref().is_ok_and(|tag| tag.is_key), vp8::is_key(&input.bytes));
    let config = Vp8Config::from_frame(&input.bytes);
    assert_eq!(config.is_ok(), tag.is_ok_and(|tag| tag.size.is_some()));
    if let Ok(config) = config {
        let (width, height) = (config.info.width, config.info.height);
        assert!((1..0x4000).contains(&width) && (1..0x4000).contains(&height), "{config:?}");
        let parsed = Vp8Config::parse(config.record.clone()).map(|parsed| parsed.with_size(width, height));
        assert_eq!(parsed, Ok(config));
    }
    drop(Vp8Config::parse(Bytes::copy_from_slice(&input.bytes)));
    0
}
