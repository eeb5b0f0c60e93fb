//! vvcC records, parameter sets and access units; what is read must be written and read the same.

use arcly_codec::{
    VideoInfo, annex_b, h264,
    h266::{self, Canonical, SpsInfo, VvcConfig, annex_b_to_canonical, nal_type, nal_units, to_canonical},
};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input, parameter_sets::edit_set, random::Random};

pub const TARGET: Target = Target {
    name: "h266",
    vectors,
    edit: Some(edit),
    // The record, as long as the stream.
    buffered_bytes_max: h264::MAX_RECORD_BYTES,
    run,
};

/// libvvenc through FFmpeg 9.0.2, the vvcC box behind version and flags: plain, PQ with cropping, an HRD.
const RECORDS: [&str; 3] = [
    "ff00655f010223800000028001680000028f000100ed007900ab022380000080140805a46a00737ffac21365630408270013101041\
      0420610842c442164842d4217a3d5a92f249a92c9116a22f1126a22452444992224d46588842c9085a842f0849a842452421264842\
      5d49084848884245110849888425d44421228c8424c64212ea3210a0416108203110819220d4804cc104105840082c402021020101\
      50810080d21020101620402022080405904020242010320202210101642020244040d02024810382062010b2040884081642040910\
      20d040920838419022d082484388684b91ca8105840082c402021020101508100810cc119c5000003e900007530188900001000c00\
      8100000a0402d22241f410",
    "ff00655f010243800000078004380000028f00010105007900ab0243800000800f0200439d51a801cdffeb006ca71e101091440b08\
      06ca71e110b9134286f00131010410420610842c442164842d4217a3d5a92f249a92c9116a22f1126a22452444992224d46588842c\
      9085a842f0849a8424524212648425d49084848884245110849888425d44421228c8424c64212ea3210a0416108203110819220d48\
      04cc104105840082c40202102010150810080d21020101620402022080405904020242010320202210101642020244040d02024810\
      382062010b204088408164204091020d040920838419022d082484388684b91ca8105840082c402021020101508100810cc11dc500\
      00030001000003003c1a60bc050910095c40900001000d0081000007810021c88907d040",
    "ff00655f010220800000014000f00000028f0001007a007900ab02208000008028203c46a0062fffac213656304082700228216221\
      032441a90f47ab525e4935259222d445e22f56a4bc97a845042c402164081108102c8408122041a081241070832045a104908710d0\
      9723950cc119c500000300010000030019e01b000f420000b71b0007a100005b8d96bc044040900001000b0081000014101e22241f\
      41",
];

/// Records, their parameter sets alone, and an access unit with start codes and with lengths.
fn vectors() -> Vec<Vec<u8>> {
    let records: Vec<Vec<u8>> = RECORDS.iter().map(|record| unhex(record)).collect();
    let configs: Vec<VvcConfig> =
        records.iter().filter_map(|record| VvcConfig::parse(record.clone().into()).ok()).collect();
    let sets = |config: &VvcConfig| {
        [&config.vps, &config.sps, &config.pps].into_iter().flatten().map(|set| set.to_vec()).collect::<Vec<_>>()
    };
    let all: Vec<Vec<u8>> = configs.iter().flat_map(sets).collect();
    let nals: Vec<Vec<u8>> =
        configs.first().into_iter().flat_map(sets).chain(OTHER_UNITS.map(<[u8]>::to_vec)).collect();
    let annex_b = nals.iter().flat_map(|nal| [&[0, 0, 1], &nal[..]].concat()).collect();
    let lengths = nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect();
    records.iter().cloned().chain(all).chain([annex_b, lengths]).collect()
}

/// A delimiter, a picture header, an IDR picture, an adaptation parameter set, a picture that is no reference.
const OTHER_UNITS: [&[u8]; 5] = [&[0, 0xa1, 8], &[0, 0x99, 0x80], &[0, 0x41, 0x2f, 8], &[0, 0x89, 7], &[0, 1, 0xa0]];
/// Of the base layer.
const SPS_HEADER: [u8; 2] = [0, 0x79];

fn edit(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.len() > 100 { edit_set(random, bytes, SPS_HEADER) } else { edit_bits(random, bytes) }
}

fn run(input: &Input) -> usize {
    let bytes = Bytes::copy_from_slice(&input.bytes);
    if let Ok(info) = SpsInfo::parse(&bytes) {
        check_info(&info.video);
    }
    for length_size in [1, 2, 4] {
        if let Ok(canonical) = to_canonical(bytes.clone(), length_size) {
            check_canonical(&canonical, &nal_units(&bytes, length_size).flatten().collect::<Vec<_>>());
        }
    }
    let shared = annex_b_to_canonical(bytes.clone());
    assert_eq!(annex_b_to_canonical(Bytes::copy_from_slice(&bytes)), shared, "in place is another access unit");
    if let Ok(canonical) = shared {
        check_canonical(&canonical, &annex_b::units(&bytes).collect::<Vec<_>>());
    }
    VvcConfig::parse(bytes).map_or(0, |config| check_config(&config))
}

fn check_info(info: &VideoInfo) {
    assert!((1..=h264::MAX_DIMENSION).contains(&info.width), "{info:?}");
    assert!((1..=h264::MAX_DIMENSION).contains(&info.height), "{info:?}");
    assert!((8..=16).contains(&info.bit_depth), "{info:?}");
    let is_ratio = |ratio: Option<(u32, u32)>| ratio.is_none_or(|(num, den)| num > 0 && den > 0);
    assert!(is_ratio(info.frame_rate) && is_ratio(info.sample_aspect_ratio), "{info:?}");
}

/// The parameter sets of a record make a record that says the same, and are no news. Returns what the record holds.
fn check_config(config: &VvcConfig) -> usize {
    check_info(&config.info);
    assert!(config.rfc6381().starts_with("vvc1."), "{config:?}");
    let canonical = config.clone().into_canonical();
    assert_eq!(VvcConfig::parse(canonical.record.clone()).as_ref(), Ok(&canonical), "the canonical record");
    // More sets than a record of ours holds, or one that is longer, are refused.
    if let Ok(made) = VvcConfig::from_parameter_sets(config.vps.clone(), config.sps.clone(), config.pps.clone()) {
        assert_eq!(VvcConfig::parse(made.record.clone()).as_ref(), Ok(&made), "the record that was made");
        assert_eq!((&made.info, made.rfc6381()), (&config.info, config.rfc6381()));
    }
    assert_eq!(config.with_parameter_sets(&config.vps, &config.sps, &config.pps), Ok(None), "its own sets are no news");
    let known = RECORDS.first().and_then(|record| VvcConfig::parse(unhex(record).into()).ok());
    for (one, other) in known.iter().flat_map(|known| [(config, known), (known, config)]) {
        check_news(one, other);
    }
    config.hdr();
    config.record.len()
}

/// In-band parameter sets make a configuration that says the same when it is read, and are no news the second time.
fn check_news(config: &VvcConfig, news: &VvcConfig) {
    let Ok(Some(changed)) = config.with_parameter_sets(&news.vps, &news.sps, &news.pps) else { return };
    assert_eq!(VvcConfig::parse(changed.record.clone()).as_ref(), Ok(&changed), "the record of the change");
    assert_ne!(&changed, config, "a change that changes nothing");
    let again = changed.with_parameter_sets(&news.vps, &news.sps, &news.pps);
    assert_ne!(again, Ok(Some(changed)), "the same sets are news again");
}

/// What is left is what came, in the form of the bus, without parameter sets and delimiters.
fn check_canonical(canonical: &Canonical, nals: &[&[u8]]) {
    let of_type = |wanted| nals.iter().copied().filter(|nal| nal_type(nal) == wanted).collect::<Vec<_>>();
    assert_eq!(canonical.vps, of_type(h266::NAL_VPS));
    assert_eq!(canonical.sps, of_type(h266::NAL_SPS));
    assert_eq!(canonical.pps, of_type(h266::NAL_PPS));
    let taken_out = [h266::NAL_VPS, h266::NAL_SPS, h266::NAL_PPS, h266::NAL_AUD];
    let kept = nals.iter().copied().filter(|nal| !taken_out.contains(&nal_type(nal))).map(Ok);
    assert!(nal_units(&canonical.payload, 4).eq(kept), "the units that stay");
    let again = to_canonical(canonical.payload.clone(), 4);
    let expected = Canonical { payload: canonical.payload.clone(), ..Canonical::default() };
    assert_eq!(again, Ok(expected), "the form of the bus is the form of the bus");
    // Nothing to compare with; they must end.
    let nals = || nal_units(&canonical.payload, 4).flatten();
    let _ = (h266::is_random_access(nals()), h266::is_reference(nals()), h266::hdr(nals()));
}
