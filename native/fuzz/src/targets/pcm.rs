//! The record of waveforms.

use arcly_codec::pcm::PcmConfig;
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target { name: "pcm", vectors, edit: Some(edit_bits), buffered_bytes_max: 6, run };

/// G.711, G.722, 16-bit stereo.
const VECTORS: [&str; 3] = ["00001f400108", "00003e800104", "0000bb800210"];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let Ok(config) = PcmConfig::parse(Bytes::copy_from_slice(&input.bytes)) else { return 0 };
    let info = config.info;
    assert_eq!(PcmConfig::new(info.sample_rate_hz, info.channels, info.bits_per_sample).as_ref(), Ok(&config));
    for samples in [0, 1, 1_024] {
        // Half bytes are filled up: a sample more fits in.
        let read = config.samples(config.bytes(samples));
        assert!(read == samples || (read == samples + 1 && info.bits_per_sample == 4), "{samples}: {read}");
    }
    config.record.len()
}
