//! hvcC records, parameter sets and access units; what is read must be written and read the same.

use arcly_codec::{
    VideoInfo, annex_b, h264,
    h265::{self, Canonical, HevcConfig, SpsInfo, annex_b_to_canonical, nal_type, nal_units, to_canonical},
};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, bit_edits::edit_bits, mutate::Input, parameter_sets::edit_set, random::Random};

pub const TARGET: Target = Target {
    name: "h265",
    vectors,
    edit: Some(edit),
    // The record, as long as the stream.
    buffered_bytes_max: h264::MAX_RECORD_BYTES,
    run,
};

/// libx265 through ffmpeg 5.1, the body of the hvcC box: ten bits with HDR, 4:2:2 with another aspect ratio, monochrome with scaling
/// lists, an HRD of two sub-layers, high tier.
const RECORDS: [&str; 5] = [
    "0102200000009000000000007bf000fcfdfafa00000f04a00001001840010c01ffff02200000030090000003000003007b959409a1\
      0001003042010102200000030090000003000003007ba003c0801107cad965654a4c2f016a12201208000003000800000301e040a2\
      000100064401c073c18927000200094e01900403e8019080001e4e01891833c286c41d4c0bb884d03e803d13404200989680000003\
      003280",
    "0104080000009d08000000003ff000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003f959409a100\
      0100294201010408000003009d0800000300003fb005020171d45b6595952930bc11b02000007d20000bb801a2000100064401c073\
      c189",
    "0104080000009fc8000000003cf000fcfcf8f800000f03a00001001740010c01ffff0408000003009fc800000300003c959409a100\
      01002b4201010408000003009fc800000300003cc02a20101c7c7e5959529385e02d810000030001000003001908a2000100064401\
      c073c189",
    "0101600000009000000000005af002fffdf8f800001304a00001001c40010c02ffff01600000030090000003000003005a00009594\
      aca048a10001004542010201600000030090000003000003005a0000a005a200905965652b2a526178252828282d216db800000300\
      0800000300cb00a4b2f0007a12000f425c001e848003d091a2000100064401c073c18927000100064e0181010f80",
    "01216000000090000000000096f000fcfdf8f800000f03a00001001840010c01ffff216000000300900000030000030096959409a1\
      0001002b420101216000000300900000030000030096a00280802d165959529385e02d010000030001000003001908a20001000644\
      01c073c109",
];

/// Records, their parameter sets alone, and an access unit with start codes and with lengths.
fn vectors() -> Vec<Vec<u8>> {
    let records: Vec<Vec<u8>> = RECORDS.iter().map(|record| unhex(record)).collect();
    let configs: Vec<HevcConfig> =
        records.iter().filter_map(|record| HevcConfig::parse(record.clone().into()).ok()).collect();
    let sets = |config: &HevcConfig| {
        [&config.vps, &config.sps, &config.pps].into_iter().flatten().map(|set| set.to_vec()).collect::<Vec<_>>()
    };
    let all: Vec<Vec<u8>> = configs.iter().flat_map(sets).collect();
    let nals: Vec<Vec<u8>> =
        configs.first().into_iter().flat_map(sets).chain(OTHER_UNITS.map(<[u8]>::to_vec)).collect();
    let annex_b = nals.iter().flat_map(|nal| [&[0, 0, 1], &nal[..]].concat()).collect();
    let lengths = nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect();
    records.iter().cloned().chain(all).chain([annex_b, lengths]).collect()
}

/// A delimiter, a recovery point SEI, an IDR picture, a picture that is no reference, a suffix SEI.
const OTHER_UNITS: [&[u8]; 5] =
    [&[0x46, 1, 0x50], &[0x4e, 1, 6, 1, 0xd0, 0x80], &[0x26, 1, 0xaf, 8], &[0, 1, 0xd0], &[0x50, 1, 0x80]];
/// Of the base layer.
const SPS_HEADER: [u8; 2] = [0x42, 1];

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
    HevcConfig::parse(bytes).map_or(0, |config| check_config(&config))
}

fn check_info(info: &VideoInfo) {
    assert!((1..=h264::MAX_DIMENSION).contains(&info.width), "{info:?}");
    assert!((1..=h264::MAX_DIMENSION).contains(&info.height), "{info:?}");
    assert!((8..=16).contains(&info.bit_depth), "{info:?}");
    let is_ratio = |ratio: Option<(u32, u32)>| ratio.is_none_or(|(num, den)| num > 0 && den > 0);
    assert!(is_ratio(info.frame_rate) && is_ratio(info.sample_aspect_ratio), "{info:?}");
}

/// The parameter sets of a record make a record that says the same, and are no news. Returns what the record holds.
fn check_config(config: &HevcConfig) -> usize {
    check_info(&config.info);
    assert!(config.rfc6381().starts_with("hvc1."), "{config:?}");
    let canonical = config.clone().into_canonical();
    assert_eq!(HevcConfig::parse(canonical.record.clone()).as_ref(), Ok(&canonical), "the canonical record");
    // More sets than a record of ours holds, or one that is longer, are refused.
    if let Ok(made) = HevcConfig::from_parameter_sets(config.vps.clone(), config.sps.clone(), config.pps.clone()) {
        assert_eq!(HevcConfig::parse(made.record.clone()).as_ref(), Ok(&made), "the record that was made");
        assert_eq!((&made.info, made.rfc6381()), (&config.info, config.rfc6381()));
    }
    assert_eq!(config.with_parameter_sets(&config.vps, &config.sps, &config.pps), Ok(None), "its own sets are no news");
    let known = RECORDS.first().and_then(|record| HevcConfig::parse(unhex(record).into()).ok());
    for (one, other) in known.iter().flat_map(|known| [(config, known), (known, config)]) {
        check_news(one, other);
    }
    config.hdr();
    config.record.len()
}

/// In-band parameter sets make a configuration that says the same when it is read, and are no news the second time.
fn check_news(config: &HevcConfig, news: &HevcConfig) {
    let Ok(Some(changed)) = config.with_parameter_sets(&news.vps, &news.sps, &news.pps) else { return };
    assert_eq!(HevcConfig::parse(changed.record.clone()).as_ref(), Ok(&changed), "the record of the change");
    assert_ne!(&changed, config, "a change that changes nothing");
    let again = changed.with_parameter_sets(&news.vps, &news.sps, &news.pps);
    assert_ne!(again, Ok(Some(changed)), "the same sets are news again");
}

/// What is left is what came, in the form of the bus, without parameter sets and delimiters.
fn check_canonical(canonical: &Canonical, nals: &[&[u8]]) {
    let of_type = |wanted| nals.iter().copied().filter(|nal| nal_type(nal) == wanted).collect::<Vec<_>>();
    assert_eq!(canonical.vps, of_type(h265::NAL_VPS));
    assert_eq!(canonical.sps, of_type(h265::NAL_SPS));
    assert_eq!(canonical.pps, of_type(h265::NAL_PPS));
    let taken_out = [h265::NAL_VPS, h265::NAL_SPS, h265::NAL_PPS, h265::NAL_AUD];
    let kept = nals.iter().copied().filter(|nal| !taken_out.contains(&nal_type(nal))).map(Ok);
    assert!(nal_units(&canonical.payload, 4).eq(kept), "the units that stay");
    let again = to_canonical(canonical.payload.clone(), 4);
    let expected = Canonical { payload: canonical.payload.clone(), ..Canonical::default() };
    assert_eq!(again, Ok(expected), "the form of the bus is the form of the bus");
    // Nothing to compare with; they must end.
    let nals = || nal_units(&canonical.payload, 4).flatten();
    let _ = (h265::is_random_access(nals()), h265::is_reference(nals()), h265::hdr(nals()));
}
