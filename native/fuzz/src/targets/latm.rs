//! LATM and LOAS: elements found in pieces, read, and written again.

use arcly_codec::aac::latm::{AudioMuxElement, LatmWriter, LoasReader, MAX_LOAS_BYTES, StreamMuxConfig};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "latm",
    vectors,
    edit: Some(edit_bits),
    // An element that is waited for, and a piece of input.
    buffered_bytes_max: 2 * MAX_LOAS_BYTES,
    run,
};

/// LOAS: stereo, a program_config_element; version 1 with fill bits, two subframes, other data and a checksum; an element alone.
const VECTORS: [&str; 4] = [
    "56e01e200011901fe0bef01002630bb319a9c97199b9718981800211004608c1c056e0088310880230460e0056e0088310880230460e00",
    "56e0462000118004c848002008c8200d4c61766335392e33372e3130301fe14ef01002630bb319a9c97199b9718981800211004608c00230400\
     231004608c04a2008c11800c60801c056e01a8c10880230460011820011880230460251004608c00630400e00",
    "56e01a 44123410 0045 2320 1fe4 9550 0405060708 0405060708",
    "200011901fe0bef01002630bb319a9c97199b9718981800211004608c1c0",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let (mut reader, mut elements, mut held) = (LoasReader::new(), Vec::new(), 0);
    for piece in input.pieces() {
        reader.feed(piece, |element| elements.push(element));
        held = held.max(reader.buffered_bytes());
    }
    let bytes: usize = elements.iter().map(Bytes::len).sum();
    let accounted = bytes as u64 + 3 * elements.len() as u64 + reader.skipped_bytes() + reader.buffered_bytes() as u64;
    assert_eq!(accounted, input.bytes.len() as u64, "every byte is an element's, skipped, or held");
    let mut config = None;
    elements.iter().for_each(|element| config = check_element(element, config.take()));
    drop(check_element(&input.bytes, config));
    held
}

/// Reads an element and writes its access units again. Returns the configuration that holds behind it.
fn check_element(element: &[u8], previous: Option<StreamMuxConfig>) -> Option<StreamMuxConfig> {
    let Ok(parsed) = AudioMuxElement::parse(element, previous.as_ref()) else { return previous };
    let bytes: usize = parsed.access_units.iter().map(Bytes::len).sum();
    assert!(bytes <= element.len() && parsed.access_units.len() <= 64);
    let config = parsed.config.or(previous)?;
    let _ = AudioMuxElement::parse_without_config(element, &config);
    let writer = LatmWriter::new(config.audio.clone());
    for unit in parsed.access_units {
        let again = writer.element(&unit).and_then(|element| AudioMuxElement::parse(&element, None));
        assert_eq!(again.as_ref().map(|again| again.access_units.as_slice()), Ok(&[unit][..]));
        let audio = again.ok().and_then(|again| again.config).map(|config| config.audio);
        // A record without an extension may have one behind the length.
        assert_eq!(audio.map(|audio| audio.record), Some(config.audio.record.clone()));
    }
    Some(config)
}
