//! Outlines that a database has kept: whatever is in it, they lie within their file.

use arcly_pack::vod::PackedOutline;
use bytes::Bytes;

use super::Target;
use crate::mutate::{Input, MAX_INPUT_BYTES};

pub const TARGET: Target =
    Target { name: "kept_outline", vectors, edit: None, buffered_bytes_max: 4 * MAX_INPUT_BYTES, run };

/// Of files of MPEG-TS and MP4 with two parts of one and of two tracks, and of one of FLV with a part of nothing.
fn vectors() -> Vec<Vec<u8>> {
    let span = |track: u8, begin: i64| {
        let times = [begin, begin + 90_000, begin + 3_600].map(i64::to_be_bytes).concat();
        [&[track][..], &times, &25_u32.to_be_bytes(), &4_000_u64.to_be_bytes()].concat()
    };
    let part = |offset: u64, bytes: u64, spans: &[Vec<u8>]| {
        [&offset.to_be_bytes()[..], &bytes.to_be_bytes(), &[1, spans.len() as u8], &spans.concat()].concat()
    };
    let file = |container: u8, tracks_in: u32, parts: &[Vec<u8>]| {
        let init = [0x47; 12];
        let head = [&[1, container][..], &9_400_u64.to_be_bytes(), &12_u32.to_be_bytes(), &init].concat();
        [&head[..], &tracks_in.to_be_bytes(), &(parts.len() as u32).to_be_bytes(), &parts.concat()].concat()
    };
    let two = [part(376, 4_000, &[span(0, 0)]), part(4_376, 5_024, &[span(0, 90_000), span(1, 48_000)])];
    vec![file(0, 1, &two), file(2, 1, &two), file(1, 0, &[part(13, 9_000, &[])])]
}

fn run(input: &Input) -> usize {
    let packed = Bytes::copy_from_slice(&input.bytes);
    let Ok(kept) = PackedOutline::parse(&packed) else { return 0 };
    assert!(kept.tracks_in.offset + kept.tracks_in.bytes <= kept.file_bytes);
    let part = packed.get(..packed.len().min(kept.tracks_in.bytes as usize)).unwrap_or_default();
    kept.with_part(part).map_or(0, |(outline, init)| init.len() + outline.fragments.len())
}
