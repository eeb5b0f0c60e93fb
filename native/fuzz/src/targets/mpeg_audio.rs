//! Frame headers of MPEG audio.

use arcly_codec::mpeg_audio::{FrameHeader, MAX_FRAME_BYTES, MpegAudioConfig};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "mpeg_audio",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_FRAME_BYTES,
    run,
};

/// Layers III of MPEG-1, 2 and 2.5, layers II and I; one with a checksum.
const VECTORS: [&str; 6] =
    ["fffb9464", "fff370c0", "ffe338c0", "fffde404", "ffffc000", "fffa9464abcd00000000000000000000000000000000"];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    if let Ok(header) = FrameHeader::parse(&input.bytes) {
        assert!((24..=MAX_FRAME_BYTES).contains(&header.frame_bytes()), "{header:?}");
        assert!(matches!(header.samples_per_frame(), 384 | 576 | 1_152) && matches!(header.channels(), 1 | 2));
        let _ = header.is_crc_right(&input.bytes);
        let config = MpegAudioConfig::from_header(&header);
        let again = FrameHeader::parse(&config.record).map(|header| MpegAudioConfig::from_header(&header));
        assert_eq!(again.as_ref(), Ok(&config), "the record of the record");
        assert_eq!(MpegAudioConfig::parse(config.record.clone()), Ok(config));
    }
    MpegAudioConfig::parse(Bytes::copy_from_slice(&input.bytes)).map_or(0, |config| config.record.len())
}
