//! AAC (RFC 3640).

use arcly_codec::{CodecConfig, aac::AudioSpecificConfig};
use arcly_wire::rtp::{AccessUnit, Depacketizer, Format, Header, Limits, Packet};
use bytes::Bytes;

use crate::stream::{Rng, round_trip};

fn config() -> CodecConfig {
    CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).unwrap())
}

/// Pushes payloads with one timestamp without a gap. Returns what was given out, and how many were refused.
fn read(fmtp: &str, payloads: &[&[u8]]) -> (Vec<AccessUnit>, usize) {
    let format = Format::parse(97, Some("mpeg4-generic/48000/2"), Some(fmtp)).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    let header = Header { timestamp: 1_000, ..Header::default() };
    let packet = |payload: &&[u8]| Packet { header, payload: Bytes::copy_from_slice(payload), ..Packet::default() };
    let refused = payloads.iter().filter(|payload| depacketizer.push(&packet(payload), false).is_err()).count();
    (std::iter::from_fn(|| depacketizer.poll()).collect(), refused)
}

fn facts(units: &[AccessUnit]) -> Vec<(i64, &[u8])> {
    units.iter().map(|unit| (unit.timestamp, unit.payload.as_ref())).collect()
}

const HBR: &str = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190";

#[test]
fn access_units_come_back_whole_and_in_fragments() {
    let mut rng = Rng(5);
    let units: Vec<(Vec<u8>, bool)> =
        (0..30).map(|index| ([&[0x21][..], &rng.bytes([5, 300, 1_500, 8_000][index % 4])].concat(), false)).collect();
    for max in [64, 200, 1_460] {
        let read = round_trip(&config(), max, &units);
        assert!(read.iter().map(|unit| unit.payload.as_ref()).eq(units.iter().map(|unit| &unit.0[..])), "{max}");
        assert_eq!(read[0].config.as_deref(), Some(&config()));
    }
}

#[test]
fn several_access_units_of_a_packet_have_times_of_their_own() {
    let (units, refused) = read(HBR, &[&[0, 48, 0, 3 << 3, 0, 1 << 3, 0, 2 << 3, 1, 2, 3, 4, 5, 6]]);
    assert_eq!(refused, 0);
    assert_eq!(facts(&units), [(1_000, &[1, 2, 3][..]), (2_024, &[4]), (3_048, &[5, 6])]);
}

#[test]
fn every_form_of_header_is_read() {
    // AAC-lbr: 6 and 2 bits.
    let (units, _) = read("mode=AAC-lbr;config=1190", &[&[0, 16, 2 << 2, 1 << 2, 7, 8, 9]]);
    assert_eq!(facts(&units), [(1_000, &[7, 8][..]), (2_024, &[9])]);
    // Without headers: one access unit, or many of one size.
    let (units, _) = read("mode=generic;sizelength=0;indexlength=0;indexdeltalength=0;config=1190", &[&[1, 2, 3]]);
    assert_eq!(facts(&units), [(1_000, &[1, 2, 3][..])]);
    let (units, _) = read("mode=CELP-cbr;constantsize=2;config=1190", &[&[1, 2, 3, 4]]);
    assert_eq!(facts(&units), [(1_000, &[1, 2][..]), (2_024, &[3, 4])]);
    // All the optional fields, and an auxiliary section: 13+3 bits, CTS and DTS flags with deltas, RAP, stream state.
    let fmtp = format!(
        "{HBR};ctsdeltalength=4;dtsdeltalength=4;randomaccessindication=1;streamstateindication=2;auxiliarydatasizelength=8"
    );
    let headers: &[u8] = &[0, 29, 0, 2 << 3, 0b1010_1101, 0b0110_1000, 8, 0xee, 5, 6];
    let (units, refused) = read(&fmtp, &[headers]);
    assert_eq!((facts(&units), refused), (vec![(1_000, &[5, 6][..])], 0));
}

#[test]
fn a_lost_fragment_costs_its_access_unit() {
    let fragment: &[u8] = &[0, 16, 0, 8 << 3, 1, 2, 3, 4];
    let whole: &[u8] = &[0, 16, 0, 2 << 3, 9, 9];
    let (units, _) = read(HBR, &[fragment, fragment]);
    assert_eq!(facts(&units), [(1_000, &[1, 2, 3, 4, 1, 2, 3, 4][..])]);
    let (units, _) = read(HBR, &[fragment, whole]);
    assert_eq!((facts(&units), units[0].follows_loss), (vec![(1_000, &[9, 9][..])], true));
}

/// RFC 3640 §3.2.3.2: packets of access units 0 2 4 and 1 3 5, and so on.
#[test]
fn interleaved_access_units_come_in_the_order_of_their_times() {
    let format = Format::parse(97, Some("mpeg4-generic/48000/2"), Some(HBR)).unwrap();
    for start in [1_000_u32, u32::MAX - 3_000] {
        let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
        for first in [0_u8, 1, 6, 7, 12] {
            let timestamp = start.wrapping_add(1_024 * u32::from(first));
            let payload = [&[0, 48, 0, 1 << 3, 0, (1 << 3) | 1, 0, (1 << 3) | 1][..], &[first, first + 2, first + 4]];
            let packet = Packet {
                header: Header { timestamp, ..Header::default() },
                payload: payload.concat().into(),
                ..Packet::default()
            };
            depacketizer.push(&packet, false).unwrap();
        }
        assert_eq!(depacketizer.buffered_bytes(), 2, "what is later than the last packet waits");
        depacketizer.flush();
        let units: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
        let order: Vec<u8> = units.iter().map(|unit| unit.payload[0]).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16]);
        assert!(units.iter().all(|unit| unit.timestamp == units[0].timestamp + 1_024 * i64::from(unit.payload[0])));
        assert_eq!(depacketizer.buffered_bytes(), 0);
    }
}

#[test]
fn what_does_not_add_up_is_refused() {
    for payload in [&[][..], &[0], &[0, 17, 0, 16, 1], &[0, 16, 0], &[0, 32, 0, 16, 0, 16, 1, 2, 3]] {
        let (units, refused) = read(HBR, &[payload, &[0, 16, 0, 1 << 3, 7]]);
        assert_eq!(refused, usize::from(!payload.is_empty()), "{payload:?}");
        assert_eq!(units.last().map(|unit| unit.payload.as_ref()), Some(&[7][..]), "{payload:?}");
    }
    let many = [&(16 * 300_u16).to_be_bytes()[..], &[0; 600]].concat();
    assert_eq!(read(HBR, &[&many]).1, 1);
    assert!(Format::parse(97, Some("mpeg4-generic/48000/2"), Some("config=ffff")).unwrap().config().is_err());
}

/// An encoder that leaves the ADTS header in front.
#[test]
fn adts_has_no_place_here() {
    let adts: &[u8] = &[0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x22];
    let (units, _) = read(HBR, &[&[&[0, 16, 0, 9 << 3][..], adts].concat()]);
    assert_eq!(facts(&units), [(1_000, &[0x21, 0x22][..])]);
}
