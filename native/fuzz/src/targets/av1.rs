//! AV1: temporal units in both forms, sequence headers, records; what is read must be written and read the same.

use arcly_codec::av1::{
    self, Av1Config, FrameHeader, MAX_RECORD_BYTES, SequenceHeader, annex_b_to_canonical, is_random_access,
    to_canonical,
};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input};

pub const TARGET: Target = Target {
    name: "av1",
    vectors,
    edit: Some(edit_bits),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_RECORD_BYTES,
    run,
};

/// Key frames of libaom and SVT-AV1 (HDR with metadata), hidden frames, a shown one, captions, layers without a size; records;
/// Annex B.
const VECTORS: [&str; 9] = [
    "12000a0b000000043cfeccdaf9004032101400a16010d86f45a096c997d9b48be4",
    "12000a0e000000043cfeccfbf950910090402a060103e80190802a1a02ae1451ec43d7b0a426660f5c500d54390003e800000000028032101400a1\
     7824dd6d6278cbdde4bcf2df37",
    "120032102905f020000011a2f0020821025082ba32102902f040000051a3a0020841825082b832103201e20000688348d00c3082050104e0",
    "12001a01b8",
    "12002a1004b500314741393403 41fffc9420 80 00 320110",
    "7a03ffff80 4201aa 342814aa",
    "81000c000a0b000000043cfeccdaf90040",
    "81004c000a0e000000043cfeccfbf950910090402a060103e8019080",
    "10 0110 0c08000000043cfeccdaf90040",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let bytes = Bytes::copy_from_slice(&input.bytes);
    check_unit(&bytes);
    if let Ok(canonical) = annex_b_to_canonical(&bytes) {
        assert_eq!(to_canonical(canonical.payload.clone()), Ok(canonical), "length-delimited");
    }
    if let Ok(sequence) = SequenceHeader::parse(&bytes) {
        check_sequence(&sequence, &bytes);
    }
    Av1Config::parse(bytes).map_or(0, |config| check_config(&config))
}

/// The canonical form is canonical, and says of itself what was said of it.
fn check_unit(unit: &Bytes) {
    let _ = (av1::hdr(unit), av1::metadata(unit).count(), av1::annex_b_temporal_units(unit).count());
    assert!(av1::temporal_units(unit).flatten().map(<[u8]>::len).sum::<usize>() <= unit.len());
    let Ok(canonical) = to_canonical(unit.clone()) else { return };
    assert!(canonical.payload.len() <= unit.len() + 5, "at most a size is added");
    assert_eq!(to_canonical(canonical.payload.clone()).as_ref(), Ok(&canonical));
    assert_eq!(is_random_access(&canonical.payload), canonical.is_key);
    if let Some(header) = canonical.sequence_header {
        drop(Av1Config::from_sequence_header(&header).map(|config| check_config(&config)));
    }
}

fn check_sequence(sequence: &SequenceHeader, unit: &[u8]) {
    assert!((1..=65_536).contains(&sequence.width) && (1..=65_536).contains(&sequence.height), "{sequence:?}");
    assert!((1..=32).contains(&sequence.operating_points.len()) && matches!(sequence.bit_depth, 8 | 10 | 12));
    assert!(sequence.frame_rate.is_none_or(|(numerator, denominator)| numerator > 0 && denominator > 0));
    let _ = av1::is_reference(unit, sequence);
    av1::obus(unit).flatten().for_each(|obu| drop(FrameHeader::parse(&obu, sequence)));
}

fn check_config(config: &Av1Config) -> usize {
    assert!(config.rfc6381().starts_with("av01."), "{config:?}");
    let delayed = config.clone().with_initial_presentation_delay(Some(3));
    assert_eq!(Av1Config::parse(delayed.record.clone()).as_ref(), Ok(&delayed));
    if let Some(Ok(made)) = config.sequence_header.as_ref().map(|header| Av1Config::from_sequence_header(header)) {
        assert_eq!((&made.info, &made.sequence), (&config.info, &config.sequence), "made of a part of the other");
        assert_eq!(Av1Config::parse(made.record.clone()), Ok(made));
    }
    config.record.len()
}
