//! avcC records, parameter sets and access units; what is read must be written and read the same.

use arcly_codec::{
    CodecError, VideoInfo, annex_b,
    h264::{
        self, AvcConfig, Canonical, MAX_DIMENSION, MAX_RECORD_BYTES, SpsInfo, annex_b_to_canonical, nal_type,
        nal_units, to_canonical,
    },
};
use bytes::Bytes;

use super::Target;
use crate::{
    avc::{RECORDS, edit_record, unhex},
    bit_edits::edit_bits,
    mutate::Input,
    random::Random,
};

pub const TARGET: Target = Target {
    name: "h264",
    vectors,
    edit: Some(edit),
    // The record, as long as the stream.
    buffered_bytes_max: MAX_RECORD_BYTES,
    run,
};

/// An access unit behind start codes: delimiter, SPS, PPS, SEI recovery point, IDR picture, another slice.
const ANNEX_B: &str =
    "0000000109f000000001674200 1eda0507ec00000168ce0fc80000010606018480000001658880100000000141 9a20";

/// Records, parameter sets alone, and access units with lengths of each size and with start codes.
fn vectors() -> Vec<Vec<u8>> {
    let records = RECORDS.map(unhex);
    let parameter_sets = records.iter().filter_map(|record| record.get(8..)).map(<[u8]>::to_vec);
    let access_units = [1, 2, 4].map(|length_size| behind_lengths(&unhex(ANNEX_B), length_size));
    records.iter().cloned().chain(parameter_sets).chain(access_units).chain([unhex(ANNEX_B)]).collect()
}

fn behind_lengths(annex_b: &[u8], length_size: usize) -> Vec<u8> {
    let length = |nal: &[u8]| (nal.len() as u32).to_be_bytes().into_iter().skip(4 - length_size);
    annex_b::units(annex_b).flat_map(|nal| length(nal).chain(nal.iter().copied())).collect()
}

fn edit(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.first() == Some(&1) { edit_record(random, bytes) } else { edit_bits(random, bytes) }
}

fn run(input: &Input) -> usize {
    let bytes = Bytes::copy_from_slice(&input.bytes);
    if let Ok(info) = SpsInfo::parse(&bytes) {
        check_info(&info.video);
        assert!(info.vui.max_reorder_frames.is_none_or(|frames| frames <= 16), "{info:?}");
    }
    for length_size in [0, 1, 2, 3, 4] {
        check_access_unit(&bytes, length_size);
    }
    check_stream(&bytes);
    AvcConfig::parse(bytes).map_or(0, |config| check_config(&config))
}

fn check_info(info: &VideoInfo) {
    assert!((1..=MAX_DIMENSION).contains(&info.width) && (1..=MAX_DIMENSION).contains(&info.height), "{info:?}");
    assert!((8..=14).contains(&info.bit_depth), "{info:?}");
    assert!(info.frame_rate.is_none_or(|(num, den)| num > 0 && den > 0), "{info:?}");
}

/// The parameter sets of a record make a record that says the same. Returns what the record holds.
fn check_config(config: &AvcConfig) -> usize {
    check_info(&config.info);
    let canonical = config.clone().into_canonical();
    assert_eq!(AvcConfig::parse(canonical.record.clone()).as_ref(), Ok(&canonical), "the canonical record");
    match AvcConfig::from_parameter_sets(config.sps.clone(), config.pps.clone()) {
        // The parameter set extensions stay behind.
        Ok(made) => {
            assert_eq!(AvcConfig::parse(made.record.clone()).as_ref(), Ok(&made), "the record that was made");
            assert_eq!((&made.sps, &made.pps, &made.info), (&config.sps, &config.pps, &config.info));
        }
        // The sample format makes the record longer.
        Err(error) => assert!(matches!(error, CodecError::LimitExceeded { .. }), "{error}"),
    }
    assert_eq!(config.with_parameter_sets(&config.sps, &config.pps), Ok(None), "its own sets are no news");
    if let Some(known) = known_config() {
        check_news(config, &known.sps, &known.pps);
        check_news(&known, &config.sps, &config.pps);
    }
    config.record.len()
}

/// In-band parameter sets make a configuration that says the same when it is read, and are no news the second time.
fn check_news(config: &AvcConfig, sps: &[Bytes], pps: &[Bytes]) {
    let Ok(Some(changed)) = config.with_parameter_sets(sps, pps) else { return };
    assert_eq!(AvcConfig::parse(changed.record.clone()).as_ref(), Ok(&changed), "the record of the change");
    assert_ne!(&changed, config, "a change that changes nothing");
    assert_ne!(changed.with_parameter_sets(sps, pps), Ok(Some(changed)), "the same sets are news again");
}

/// That of a vector.
fn known_config() -> Option<AvcConfig> {
    RECORDS.first().and_then(|record| AvcConfig::parse(unhex(record).into()).ok())
}

/// What is left is what came, in the form of the bus, without parameter sets and delimiters.
fn check_access_unit(bytes: &Bytes, length_size: u8) {
    let Ok(canonical) = to_canonical(bytes.clone(), length_size) else { return };
    assert!(bytes.is_empty() || matches!(length_size, 1 | 2 | 4), "no such length of lengths");
    let nals: Vec<_> = nal_units(bytes, length_size).flatten().collect();
    check_canonical(&canonical, &nals);
    let has_news = !canonical.sps.is_empty() || !canonical.pps.is_empty();
    if let Some(known) = has_news.then(known_config).flatten() {
        check_news(&known, &canonical.sps, &canonical.pps);
    }
}

fn check_canonical(canonical: &Canonical, nals: &[&[u8]]) {
    let of_type = |types: &[u8]| nals.iter().copied().filter(|nal| types.contains(&nal_type(nal))).collect::<Vec<_>>();
    assert_eq!(canonical.sps, of_type(&[h264::NAL_SPS]));
    assert_eq!(canonical.pps, of_type(&[h264::NAL_PPS]));
    let kept = nals.iter().copied().filter(|nal| !is_taken_out(nal)).map(Ok);
    assert!(nal_units(&canonical.payload, 4).eq(kept), "the units that stay");
    let again = to_canonical(canonical.payload.clone(), 4);
    let expected = Canonical { payload: canonical.payload.clone(), ..Canonical::default() };
    assert_eq!(again, Ok(expected), "the form of the bus is the form of the bus");
    // Nothing to compare with; they must end.
    let nals = || nal_units(&canonical.payload, 4).flatten();
    let _ = (h264::is_random_access(nals()), h264::is_intra(nals()), h264::is_reference(nals()), h264::hdr(nals()));
}

fn is_taken_out(nal: &[u8]) -> bool {
    matches!(nal_type(nal), h264::NAL_SPS | h264::NAL_PPS | h264::NAL_AUD)
}

/// The same for start codes; what came of them can be written behind start codes again.
fn check_stream(bytes: &Bytes) {
    let shared = annex_b_to_canonical(bytes.clone());
    assert_eq!(annex_b_to_canonical(Bytes::copy_from_slice(bytes)), shared, "in place is another access unit");
    let Ok(canonical) = shared else { return };
    check_canonical(&canonical, &annex_b::units(bytes).collect::<Vec<_>>());
    let written: Vec<u8> =
        nal_units(&canonical.payload, 4).flatten().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect();
    let again = annex_b_to_canonical(written.into()).map(|again| again.payload);
    assert_eq!(again, Ok(canonical.payload), "the round trip changes the access unit");
}
