//! VP9: frames, superframes, records; what is read must be written and read the same.

use arcly_codec::vp9::{self, FrameHeader, Vp9Config};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

/// Bytes of a record that this crate makes.
const RECORD_BYTES: usize = 8;

pub const TARGET: Target =
    Target { name: "vp9", vectors, edit: Some(edit_bits), buffered_bytes_max: RECORD_BYTES, run };

/// Key frames of profiles 0 to 3, a frame that needs others, superframes, a record.
const VECTORS: [&str; 8] = [
    "824983420013f00b36063824",
    "a249834200027e0166c0c704",
    "824983425009f8059b031c12",
    "b124c1a142009f8059b031c1",
    "86004092f121400000907f91",
    "840080497a288e4000fa683386004096f0c14a0000586807c90c000c00c9",
    "86c7 01010101 01010101 c7",
    "020ba20202090000",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let payload = input.bytes.as_slice();
    let mut bytes = 0;
    for frame in vp9::frames(payload) {
        bytes += frame.len();
        if let Ok(FrameHeader { info: Some(info), is_key, intra_only, .. }) = FrameHeader::parse(frame) {
            assert!((is_key || intra_only) && info.width > 0 && info.height > 0, "{info:?}");
        }
    }
    assert!(bytes <= payload.len());
    let _ = vp9::is_reference(payload);
    if let Ok(config) = Vp9Config::from_frame(payload, Some((30_000, 1001))) {
        assert!(vp9::is_key(payload) && config.record.len() == RECORD_BYTES);
        check_config(&config);
    }
    Vp9Config::parse(Bytes::copy_from_slice(payload)).map_or(0, |config| check_config(&config).min(RECORD_BYTES))
}

fn check_config(config: &Vp9Config) -> usize {
    let parsed = Vp9Config::parse(config.record.clone()).map(|parsed| parsed.rfc6381());
    assert_eq!(parsed, Ok(config.rfc6381()), "{config:?}");
    config.record.len()
}
