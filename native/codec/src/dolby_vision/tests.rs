use super::DolbyVision;
use crate::{Codec, Colour, DynamicRange, sweep::mutations};

/// Profile 8.4, level 7, as telephones write it.
const PHONE: [u8; 24] = [1, 0, 0x10, 0x3D, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn phone() -> DolbyVision {
    DolbyVision {
        version: (1, 0),
        profile: 8,
        level: 7,
        has_metadata: true,
        has_enhancement: false,
        has_base: true,
        compatibility: 4,
        metadata_compression: 0,
    }
}

#[test]
fn the_record_and_the_descriptor_of_a_telephone_are_read_and_made() {
    assert_eq!(DolbyVision::parse(&PHONE), Ok(phone()));
    assert_eq!(phone().record(), PHONE);
    assert_eq!(DolbyVision::parse_descriptor(&PHONE[..5]), Ok(phone()));
    assert_eq!(phone().descriptor(), PHONE[..5]);
}

#[test]
fn an_enhancement_layer_of_its_own_names_the_stream_on_which_it_depends() {
    // Profile 4, level 6, metadata and enhancement without the base, which is on PID 0x1011; compatible with SDR.
    let found = DolbyVision::parse_descriptor(&[1, 0, 0x08, 0x36, 0x80, 0x8F, 0x2F]).unwrap();
    assert_eq!((found.profile, found.level, found.has_base, found.compatibility), (4, 6, false, 2));
}

#[test]
fn a_record_of_the_first_version_has_no_compatibility() {
    let found = DolbyVision::parse(&[1, 0, 0x0A, 0x35]).unwrap();
    assert_eq!((found.profile, found.level, found.compatibility, found.is_alone()), (5, 6, 0, true));
}

#[test]
fn one_that_is_cut_off_is_refused() {
    for bytes in 0..4 {
        assert!(DolbyVision::parse(&PHONE[..bytes]).is_err());
        assert!(DolbyVision::parse_descriptor(&PHONE[..bytes]).is_err());
    }
    // The PID is missing.
    assert!(DolbyVision::parse_descriptor(&[1, 0, 0x08, 0x36, 0x80]).is_err());
}

#[test]
fn what_is_read_is_written_and_read_the_same() {
    mutations(7, 20_000, &[&PHONE, &PHONE[..5]], |input| {
        if let Ok(found) = DolbyVision::parse(input) {
            assert_eq!(DolbyVision::parse(&found.record()), Ok(found));
        }
        if let Ok(found) = DolbyVision::parse_descriptor(input)
            && found.has_base
        {
            assert_eq!(DolbyVision::parse_descriptor(&found.descriptor()), Ok(found));
        }
    });
}

#[test]
fn names_and_brands_are_those_that_are_registered() {
    let of = |profile, compatibility| DolbyVision { profile, compatibility, ..phone() };
    let (bt2020, hlg) = (Colour::TRANSFER_BT2020, Colour::TRANSFER_HLG);
    let said = |found: DolbyVision, codec, transfer| {
        let colour = Colour { transfer, ..Colour::default() };
        (found.rfc6381(codec).unwrap_or_default(), found.brand(colour), *found.box_kind())
    };
    assert_eq!(said(of(8, 1), Codec::H265, 16), ("dvh1.08.07".into(), Some("db1p"), *b"dvvC"));
    assert_eq!(said(of(8, 2), Codec::H265, 1), ("dvh1.08.07".into(), Some("db2g"), *b"dvvC"));
    assert_eq!(said(of(8, 4), Codec::H265, hlg), ("dvh1.08.07".into(), Some("db4h"), *b"dvvC"));
    assert_eq!(said(of(8, 4), Codec::H265, bt2020), ("dvh1.08.07".into(), Some("db4g"), *b"dvvC"));
    assert_eq!(said(of(5, 0), Codec::H265, 2), ("dvh1.05.07".into(), None, *b"dvcC"));
    assert_eq!(said(of(9, 2), Codec::H264, 1), ("dva1.09.07".into(), Some("db2g"), *b"dvvC"));
    assert_eq!(said(of(10, 1), Codec::Av1, 16), ("dav1.10.07".into(), Some("db1p"), *b"dvvC"));
    assert_eq!(said(of(20, 0), Codec::H265, 2), ("dvh1.20.07".into(), None, *b"dvwC"));
    assert_eq!(said(of(8, 1), Codec::Vp9, 16), (String::new(), Some("db1p"), *b"dvvC"));
}

#[test]
fn the_range_is_that_of_the_base_layer() {
    let of = |compatibility| DolbyVision { compatibility, ..phone() }.dynamic_range();
    let (pq, hlg, sdr) = (Some(DynamicRange::Pq), Some(DynamicRange::Hlg), Some(DynamicRange::Sdr));
    assert_eq!([of(0), of(1), of(2), of(4), of(6), of(9)], [pq, pq, sdr, hlg, pq, None]);
}
