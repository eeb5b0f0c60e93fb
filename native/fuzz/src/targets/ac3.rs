//! AC-3 and E-AC-3: syncframes, and the records made of them.

use arcly_codec::ac3::{Ac3Config, Eac3Config, MAX_DEC3_BYTES, SyncFrame, syncframes};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "ac3",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_DEC3_BYTES,
    run,
};

/// Syncframes of both, short ones of a dependent and an independent substream, records.
const VECTORS: [&str; 8] = [
    "0b77fe95144043e106f46370c0c0c218",
    "0b77e1e75e40ebf8403eff9dffc2107f",
    "0b7700bf3487c00020fc210830c00006",
    "0b77017f3f87c00020f8200002004000",
    "0b7700093f87ff8000000000000000000000000 0 0b774009348 7ff c0100000000000000000000000",
    "103de0",
    "0600200f00",
    "0200200f0202010c",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let bytes = input.bytes.as_slice();
    for (frame, whole) in syncframes(bytes).flatten() {
        check_frame(&frame, whole);
    }
    if let Ok(config) = Eac3Config::from_access_unit(bytes) {
        check_eac3(&config);
        assert_eq!(Eac3Config::from_beginning(bytes), Ok(config), "what is whole begins as it is");
    }
    let _ = Eac3Config::from_beginning(bytes).map(|config| check_eac3(&config));
    let record = Bytes::copy_from_slice(bytes);
    let held = Ac3Config::parse(record.clone()).map_or(0, |config| config.record.len());
    Eac3Config::parse(record).map_or(held, |config| {
        assert!((1..=23).contains(&config.info.channels) && (1..=8).contains(&config.independent.len()), "{config:?}");
        config.record.len()
    })
}

fn check_frame(frame: &SyncFrame, whole: &[u8]) {
    assert!(whole.len() <= frame.frame_bytes && frame.frame_bytes > 5, "{frame:?}");
    assert!((1..=6).contains(&frame.channels) && matches!(frame.samples, 256 | 512 | 768 | 1_536), "{frame:?}");
    let config = Ac3Config::from_syncframe(frame);
    assert_ne!(frame.is_eac3(), config.is_ok(), "{frame:?}");
    if let Ok(config) = config {
        assert_eq!((config.info.channels, config.info.sample_rate_hz), (frame.channels, frame.sample_rate_hz));
        assert_eq!(Ac3Config::parse(config.record.clone()), Ok(config));
    }
    drop(Eac3Config::from_syncframe(frame));
}

/// The record says all but half rates.
fn check_eac3(made: &Eac3Config) {
    let parsed = Eac3Config::parse(made.record.clone());
    let parts = |config: &Eac3Config| (config.independent.clone(), config.info.channels, config.joc_complexity);
    assert_eq!(parsed.as_ref().map(parts), Ok(parts(made)), "{made:?}");
}
