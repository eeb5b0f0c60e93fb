//! What containers say of Dolby Vision; what is read must be written and read the same.

use arcly_codec::{Codec, Colour, DolbyVision};

use super::Target;
use crate::{bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target { name: "dolby_vision", vectors, edit: Some(edit_bits), buffered_bytes_max: 0, run };

/// Profiles 8.4, 5, 10.1 and 20; an enhancement layer; a record of the first version.
const VECTORS: [&[u8]; 6] = [
    b"\x01\x00\x10\x3d\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x01\x00\x0a\x35\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x01\x00\x14\x2d\x10",
    b"\x02\x01\x28\x4d\x04",
    b"\x01\x00\x08\x36\x80\x8f\x2f",
    b"\x01\x00\x0a\x35",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| vector.to_vec()).collect()
}

fn run(input: &Input) -> usize {
    if let Ok(found) = DolbyVision::parse(&input.bytes) {
        assert_eq!(DolbyVision::parse(&found.record()).as_ref(), Ok(&found));
        check(&found);
    }
    if let Ok(found) = DolbyVision::parse_descriptor(&input.bytes) {
        // One without a base layer names the stream that has it.
        assert!(!found.has_base || DolbyVision::parse_descriptor(&found.descriptor()).as_ref() == Ok(&found));
        check(&found);
    }
    0
}

/// A name is what a playlist takes without quoting it.
fn check(found: &DolbyVision) {
    for codec in Codec::ALL {
        let name = found.rfc6381(codec).unwrap_or_default();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{name}");
    }
    assert!(found.brand(Colour::default()).is_none_or(|brand| brand.len() == 4 && !found.is_alone()));
}
