//! H.264 (RFC 6184) and H.265 (RFC 7798).

use arcly_codec::{
    CodecConfig,
    aac::AudioSpecificConfig,
    h264::{AvcConfig, nal_units},
    h265::HevcConfig,
};
use arcly_wire::rtp::{AccessUnit, Depacketizer, Format, Header, Limits, Packet, Packetizer};
use bytes::Bytes;

use crate::stream::{Reader, Rng, Sender, round_trip, unhex};

/// x264 through ffmpeg 5.1, main profile, 640×360.
const AVC: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";
/// x265 through ffmpeg 5.1, main profile, 640×360.
const HEVC: &str = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a10001002942010101600000030090000003000003003fa005020171f2e595952930bc05a02000007d20000ea601a2000100064401c073c189";

pub fn avc() -> AvcConfig {
    AvcConfig::parse(unhex(AVC).into()).unwrap()
}

pub fn h264() -> CodecConfig {
    CodecConfig::H264(avc())
}

pub fn h265() -> CodecConfig {
    CodecConfig::H265(HevcConfig::parse(unhex(HEVC).into()).unwrap())
}

pub fn aac() -> CodecConfig {
    CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).unwrap())
}

/// An access unit of some slices.
pub fn access_unit(config: &CodecConfig, is_key: bool, rng: &mut Rng) -> Vec<u8> {
    let sizes: Vec<usize> = (0..1 + rng.below(4)).map(|_| [1, 20, 300, 1_500, 5_000][rng.below(5)]).collect();
    picture(config, is_key, &sizes, rng)
}

/// An access unit of slices with these sizes; the first one is the first of its picture. `is_key`: IDR.
fn picture(config: &CodecConfig, is_key: bool, sizes: &[usize], rng: &mut Rng) -> Vec<u8> {
    let mut unit = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        let first = if index == 0 { 0x80 } else { 0x40 };
        let head = match (config, is_key) {
            (CodecConfig::H264(_), true) => vec![0x65, first],
            (CodecConfig::H264(_), false) => vec![0x41, first],
            (_, true) => vec![0x26, 1, first],
            (_, false) => vec![0x02, 1, first],
        };
        unit.extend(u32::try_from(head.len() + size).unwrap().to_be_bytes());
        unit.extend(head);
        unit.extend(rng.bytes(size));
    }
    unit
}

fn stream(config: &CodecConfig, count: usize, rng: &mut Rng) -> Vec<(Vec<u8>, bool)> {
    let unit = |index: usize| {
        let sizes: Vec<usize> = (0..1 + rng.below(5)).map(|_| [1, 20, 300, 1_500, 9_000][rng.below(5)]).collect();
        let is_key = index.is_multiple_of(10);
        (picture(config, is_key, &sizes, rng), is_key)
    };
    (0..count).map(unit).collect()
}

#[test]
fn access_units_come_back_at_every_packet_size() {
    for config in [h264(), h265()] {
        for max in [64, 65, 100, 1_200, 1_460, 60_000] {
            let mut rng = Rng(max as u64);
            let units = stream(&config, 40, &mut rng);
            let read = round_trip(&config, max, &units);
            let expected: Vec<_> = units.iter().map(|(unit, is_key)| (Bytes::from(unit.clone()), *is_key)).collect();
            let found: Vec<_> = read.iter().map(|unit| (unit.payload.clone(), unit.is_key)).collect();
            assert_eq!(found, expected, "{max}");
            assert!(read.iter().zip(0..).all(|(unit, index)| unit.timestamp == 0xffff_fff0 + 3_000 * index));
            assert!(read.iter().all(|unit| !unit.follows_loss));
            // What the description says is said once; that key frames repeat it changes nothing.
            assert_eq!(read.iter().filter(|unit| unit.config.is_some()).count(), 1);
            assert_eq!(read[0].config.as_deref(), Some(&config));
        }
    }
}

/// Every packet of a stream is left out once: the access unit that it belongs to is missing, or none is, and the next one says so.
#[test]
fn a_lost_packet_costs_its_access_unit_and_is_told() {
    for config in [h264(), h265()] {
        let mut rng = Rng(9);
        let units: Vec<_> = (0..12)
            .map(|index| picture(&config, usize::is_multiple_of(index, 4), &[700, 3_000, 10], &mut rng))
            .collect();
        let format = Format::of(96, &config).unwrap();
        let mut sender = Sender::new(&format, &config, 1_000);
        let packets: Vec<(usize, Bytes)> = units
            .iter()
            .enumerate()
            .flat_map(|(index, unit)| {
                sender.send(unit, usize::is_multiple_of(index, 4), 3_000).into_iter().map(move |packet| (index, packet))
            })
            .collect();
        for lost in 1..packets.len() - 1 {
            let mut reader = Reader::new(&format);
            let kept = packets.iter().enumerate().filter(|&(index, _)| index != lost).map(|(_, (_, packet))| packet);
            let read: Vec<AccessUnit> = kept.flat_map(|packet| reader.push(packet)).collect();
            let of = packets[lost].0;
            let position = |unit: &AccessUnit| units.iter().position(|sent| sent == &unit.payload).expect("never torn");
            let found: Vec<usize> = read.iter().map(position).collect();
            // The parameter sets in front of a key frame may be what was lost: then nothing is missing but them.
            let expected: Vec<usize> = (0..units.len()).filter(|&index| index != of).collect();
            assert!(found == expected || (of.is_multiple_of(4) && found.len() == units.len()), "{lost}: {found:?}");
            let told: Vec<usize> = read.iter().filter(|unit| unit.follows_loss).map(position).collect();
            let expected = if found == expected { (of + 1..units.len()).take(1).collect() } else { vec![of] };
            assert_eq!(told, expected, "{lost}");
        }
    }
}

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    let header = Header { payload_type: 96, sequence, timestamp, ssrc: 1, marker };
    Packet { header, payload: Bytes::copy_from_slice(payload), ..Packet::default() }
}

/// Pushes payloads without a gap; `None` for those that are refused.
fn read(format: &Format, packets: &[(u32, bool, &[u8])]) -> (Vec<AccessUnit>, usize) {
    let mut depacketizer = Depacketizer::new(format, Limits::default()).unwrap();
    let (mut units, mut refused) = (Vec::new(), 0);
    for (sequence, (timestamp, marker, payload)) in (0..).zip(packets) {
        refused += usize::from(depacketizer.push(&packet(sequence, *timestamp, *marker, payload), false).is_err());
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    (units, refused)
}

fn payloads(units: &[AccessUnit]) -> Vec<&[u8]> {
    units.iter().map(|unit| unit.payload.as_ref()).collect()
}

const SLICE: [u8; 6] = [0, 0, 0, 2, 0x41, 0x80];

#[test]
fn interleaved_mode_is_read_in_the_order_of_its_packets() {
    let format = Format::of(96, &h264()).unwrap();
    let stap_b: &[u8] = &[25, 0, 7, 0, 2, 0x41, 0x80, 0, 2, 0x41, 0x40];
    let mtap16: &[u8] = &[26, 0, 7, 0, 5, 0, 0, 0, 0x41, 0x80];
    let mtap24: &[u8] = &[27, 0, 7, 0, 6, 0, 0, 0, 0, 0x41, 0x80];
    let fu_b: &[u8] = &[0x5d, 0x81, 0, 7, 0x80, 9];
    let fu_a: &[u8] = &[0x5c, 0x41, 5];
    let (units, refused) =
        read(&format, &[(1, true, stap_b), (2, true, mtap16), (3, true, mtap24), (4, false, fu_b), (4, true, fu_a)]);
    assert_eq!(refused, 0);
    let two = [&SLICE[..], &[0, 0, 0, 2, 0x41, 0x40]].concat();
    assert_eq!(payloads(&units), [&two[..], &SLICE, &SLICE, &[0, 0, 0, 4, 0x41, 0x80, 9, 5]]);
}

/// A camera that sends neither IDR pictures nor recovery points. Behind the sets an I slice, and a P slice.
#[test]
fn an_i_picture_behind_parameter_sets_is_a_key_picture() {
    let CodecConfig::H264(config) = h264() else { panic!() };
    let format = Format::of(96, &h264()).unwrap();
    let packets = |slice: &[u8]| {
        let nals = [&config.sps[0][..], &config.pps[0][..], slice];
        let units = nals.iter().flat_map(|nal| [&(nal.len() as u16).to_be_bytes()[..], nal].concat());
        std::iter::once(24).chain(units).collect::<Vec<u8>>()
    };
    let (intra, predicted) = (packets(&[0x61, 0x88, 0x80]), packets(&[0x61, 0x9a, 0x02]));
    let (units, refused) = read(&format, &[(1, true, &intra), (2, true, &predicted), (3, true, &[0x61, 0x88, 0x80])]);
    assert_eq!((units.iter().map(|unit| unit.is_key).collect::<Vec<_>>(), refused), (vec![true, false, false], 0));
}

#[test]
fn order_numbers_of_h265_are_passed_over() {
    let mut format = Format::of(96, &h265()).unwrap();
    format.parameters.set("sprop-max-don-diff", "1");
    let single: &[u8] = &[2, 1, 0, 9, 0x80, 5];
    let aggregated: &[u8] = &[0x60, 1, 0, 9, 0, 3, 2, 1, 0x80, 1, 0, 3, 2, 1, 0x40];
    let first: &[u8] = &[0x62, 1, 0x81, 0, 9, 0x80, 1];
    let last: &[u8] = &[0x62, 1, 0x41, 2];
    let (units, refused) =
        read(&format, &[(1, true, single), (2, true, aggregated), (3, false, first), (3, true, last)]);
    assert_eq!(refused, 0);
    let two: &[u8] = &[0, 0, 0, 3, 2, 1, 0x80, 0, 0, 0, 3, 2, 1, 0x40];
    assert_eq!(payloads(&units), [&[0, 0, 0, 4, 2, 1, 0x80, 5][..], two, &[0, 0, 0, 5, 2, 1, 0x80, 1, 2]]);
}

/// RFC 7798 §4.4.4: of a whole unit and of fragments, with two bytes of extensions.
#[test]
fn extensions_of_h265_are_passed_over() {
    let format = Format::of(96, &h265()).unwrap();
    let single: &[u8] = &[0x64, 1, 0x02, 0x20, 7, 7, 0x80, 5];
    let first: &[u8] = &[0x64, 1, 0x62, 0x20, 7, 7, 0x81, 0x80, 1];
    let last: &[u8] = &[0x64, 1, 0x62, 0x00, 0x41, 2];
    let (units, refused) = read(&format, &[(1, true, single), (2, false, first), (2, true, last)]);
    assert_eq!(refused, 0);
    assert_eq!(payloads(&units), [&[0, 0, 0, 4, 2, 1, 0x80, 5][..], &[0, 0, 0, 5, 2, 1, 0x80, 1, 2]]);
    for bad in [&[0x64, 1, 0x02][..], &[0x64, 1, 0x02, 0x20, 7], &[0x64, 1, 0x64, 0x00, 0x64, 1, 2, 0]] {
        assert_eq!(read(&format, &[(1, true, single), (2, true, bad)]).1, 1, "{bad:?}");
    }
}

/// A picture ends with its time where there is no marker, and what is refused costs one picture.
#[test]
fn malformed_payloads_cost_their_picture_only() {
    let format = Format::of(96, &h264()).unwrap();
    let good: &[u8] = &[0x41, 0x80];
    let bad: [&[u8]; 6] =
        [&[24, 0, 9, 0x41], &[24, 0], &[28], &[28, 0x80 | 28, 1], &[24, 0, 1, 24], &[26, 0, 7, 0, 2, 0, 0]];
    for bad in bad {
        let (units, refused) = read(&format, &[(1, false, good), (2, false, bad), (2, false, good), (3, false, good)]);
        assert_eq!((payloads(&units), refused), (vec![&SLICE[..], &SLICE], 1), "{bad:?}");
        assert_eq!(units.iter().map(|unit| unit.follows_loss).collect::<Vec<_>>(), [false, true]);
    }
    // A fragment without a beginning, one without an end, and one that begins anew.
    let (units, _) = read(&format, &[(1, true, &[0x5c, 0x41, 5]), (2, false, &[0x5c, 0x81, 0x80]), (3, true, good)]);
    assert_eq!((payloads(&units), units[0].follows_loss), (vec![&SLICE[..]], true));
    let (units, _) = read(&format, &[(1, false, &[0x5c, 0x81, 0x80]), (1, true, &[0x5c, 0xc1, 0x80]), (3, true, good)]);
    assert_eq!((payloads(&units), units[0].follows_loss), (vec![&SLICE[..]], true));
    // Undefined types are passed over.
    let (units, refused) = read(&format, &[(1, false, &[0, 1]), (1, false, &[31, 1]), (1, true, good)]);
    assert_eq!((payloads(&units), refused), (vec![&SLICE[..]], 0));
}

/// The seed survey's 6.2.9: a fragment whose end is lost merged two pictures into one.
#[test]
fn a_lost_end_of_fragments_never_merges_two_pictures() {
    let format = Format::of(96, &h264()).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    let begins: &[u8] = &[0x5c, 0x81, 0x80, 1];
    let ends: &[u8] = &[0x5c, 0x41, 2];
    for (sequence, timestamp, payload, is_after_gap) in
        [(0, 1, begins, false), (2, 2, begins, true), (3, 2, ends, false)]
    {
        depacketizer.push(&packet(sequence, timestamp, sequence == 3, payload), is_after_gap).unwrap();
    }
    let unit = depacketizer.poll().unwrap();
    assert_eq!((unit.payload.as_ref(), unit.follows_loss), (&[0, 0, 0, 4, 0x41, 0x80, 1, 2][..], true));
    assert!(depacketizer.poll().is_none() && depacketizer.lost_units() == 1);
}

/// A probe of the network, which is padding alone, with the time of the picture behind it: behind a loss that was given up.
#[test]
fn what_has_no_payload_behind_a_loss_is_passed_over_and_the_loss_is_told() {
    let format = Format::of(96, &h264()).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    let slice: &[u8] = &[0x41, 0x80];
    for (sequence, timestamp, payload) in [(0, 0, slice), (2, 3, &[]), (3, 3, slice), (4, 4, slice)] {
        depacketizer.push(&packet(sequence, timestamp, !payload.is_empty(), payload), sequence == 2).unwrap();
    }
    let told: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).map(|unit| unit.follows_loss).collect();
    assert_eq!(told, [false, true, false]);
}

/// Encoders that set the marker on every NAL unit: the first picture with two slices is lost, and no other.
#[test]
fn markers_within_pictures_are_not_believed_again() {
    let format = Format::of(96, &h264()).unwrap();
    let (first, second): (&[u8], &[u8]) = (&[0x41, 0x80], &[0x41, 0x40]);
    let packets: Vec<(u32, bool, &[u8])> =
        (0..4).flat_map(|time| [(time, true, first), (time, true, second)]).collect();
    let (units, _) = read(&format, &packets);
    let whole = [&SLICE[..], &[0, 0, 0, 2, 0x41, 0x40]].concat();
    assert_eq!(payloads(&units), [&SLICE[..], &whole, &whole, &whole]);
    assert_eq!(units.iter().map(|unit| unit.follows_loss).collect::<Vec<_>>(), [false, true, false, false]);
}

/// Without a description, or with another one, the stream says what it is: also in packets of their own, with a marker.
#[test]
fn parameter_sets_in_the_stream_make_the_configuration() {
    let config = avc();
    let without = Format::parse(96, Some("H264/90000"), Some("packetization-mode=1")).unwrap();
    let idr: &[u8] = &[0x65, 0x80];
    let slice: &[u8] = &[0x41, 0x80];
    let (units, _) = read(
        &without,
        &[(1, true, slice), (2, true, &config.sps[0]), (2, true, &config.pps[0]), (2, true, idr), (3, true, slice)],
    );
    assert_eq!(units.len(), 2, "what came in front of the configuration is of no use");
    assert_eq!(units[0].config.as_deref(), Some(&CodecConfig::H264(config.clone())));
    assert!(units[0].is_key && units[0].follows_loss && units[1].config.is_none());
    // A stream that changes its size in the middle.
    let other = unhex("67640028acd94078044fde0220000003002000000643e2c5b2c0");
    let format = Format::of(96, &h264()).unwrap();
    let (units, _) = read(&format, &[(1, true, idr), (2, false, &other), (2, true, idr)]);
    let Some(CodecConfig::H264(changed)) = units[1].config.as_deref() else { panic!("no change") };
    assert_eq!((changed.info.width, changed.info.height, changed.pps.len()), (1920, 1080, 1));
}

/// V380 and other cameras with the servers of macro-video: what lies behind the header of a sequence parameter set is a byte stream. The key
/// picture was never seen. Start codes lie across the ends of fragments, too.
#[test]
fn a_byte_stream_within_a_unit_is_units_of_its_own() {
    let config = avc();
    let without = Format::parse(96, Some("H264/90000"), Some("packetization-mode=1")).unwrap();
    let idr: &[u8] = &[0x65, 0x88, 0x84, 0x21];
    let stream = [&config.sps[0][..], &[0, 0, 0, 1], &config.pps[0], &[0, 0, 0, 1], idr].concat();
    let fragment = |flags: u8, body: &[u8]| [&[0x7c, flags | 7], body].concat();
    let single = &[(1, true, &stream[..])][..];
    let check = |packets: &[(u32, bool, &[u8])]| {
        let (units, refused) = read(&without, packets);
        assert_eq!((payloads(&units), refused), (vec![&[&[0, 0, 0, 4], idr].concat()[..]], 0));
        assert_eq!(units[0].config.as_deref(), Some(&CodecConfig::H264(config.clone())));
        assert!(units[0].is_key);
    };
    check(single);
    for first in 2..stream.len() - 1 {
        let (one, two) = (fragment(0x80, &stream[1..first]), fragment(0, &stream[first..=first]));
        let three = fragment(0x40, &stream[first + 1..]);
        check(&[(1, false, &one), (1, false, &two), (1, true, &three)]);
    }
}

/// Who sends a key picture so may send slices so.
#[test]
fn slices_are_taken_apart_where_parameter_sets_were() {
    let config = avc();
    let key = [&config.sps[0][..], &[0, 0, 1], &config.pps[0], &[0, 0, 1, 0x65, 0x80]].concat();
    let slices: &[u8] = &[0x41, 0x80, 0, 0, 0, 1, 0x41, 0x40];
    let (units, refused) = read(&Format::of(96, &h264()).unwrap(), &[(1, true, &key), (2, true, slices)]);
    let key: &[u8] = &[0, 0, 0, 2, 0x65, 0x80];
    assert_eq!((payloads(&units), refused), (vec![key, &[0, 0, 0, 2, 0x41, 0x80, 0, 0, 0, 2, 0x41, 0x40]], 0));
}

/// Viewers would take them for what only packets have: a fragment (28) and an aggregation (24) of H.264, and (49) of H.265 with half a header behind it.
#[test]
fn what_is_no_unit_is_left_out_of_a_byte_stream_within_one() {
    let h264: &[u8] = &[6, 5, 0, 0, 1, 0x5c, 0x81, 9, 0, 0, 1, 24, 1, 0, 0, 1, 0x41, 0x80];
    let h265: &[u8] = &[0x4e, 1, 5, 0, 0, 1, 0x62, 1, 0x81, 0, 0, 1, 2, 0, 0, 1, 2, 1, 0x80];
    for (config, stream, expected) in [
        (self::h264(), h264, &[0, 0, 0, 2, 6, 5, 0, 0, 0, 2, 0x41, 0x80][..]),
        (self::h265(), h265, &[0, 0, 0, 3, 0x4e, 1, 5, 0, 0, 0, 3, 2, 1, 0x80]),
    ] {
        let (units, refused) = read(&Format::of(96, &config).unwrap(), &[(1, true, stream)]);
        assert_eq!((payloads(&units), refused), (vec![expected], 0));
    }
}

/// It takes a byte more for each, up to the limit.
#[test]
fn a_byte_stream_of_nothing_but_start_codes_is_bounded() {
    let format = Format::of(96, &h264()).unwrap();
    let limits = Limits { access_unit_bytes: 10_000, ..Limits::default() };
    let mut depacketizer = Depacketizer::new(&format, limits).unwrap();
    let payload = [&[0x67][..], &[0, 0, 1, 9].repeat(2_400)].concat();
    assert!(depacketizer.push(&packet(0, 1, true, &payload), false).is_err());
    assert!(depacketizer.buffered_bytes() <= 10_000);
}

/// An encoder that sets the marker on each packet: each picture in fragments was torn.
#[test]
fn a_marker_on_each_fragment_tears_no_picture() {
    let format = Format::of(96, &h264()).unwrap();
    let fragments: [&[u8]; 3] = [&[0x5c, 0x81, 0x80, 1], &[0x5c, 0x01, 2], &[0x5c, 0x41, 3]];
    let packets: Vec<_> = (0..3).flat_map(|time| fragments.map(|fragment| (time, true, fragment))).collect();
    let (units, refused) = read(&format, &packets);
    assert_eq!((payloads(&units), refused), (vec![&[0, 0, 0, 5, 0x41, 0x80, 1, 2, 3][..]; 3], 0));
    assert!(units.iter().all(|unit| !unit.follows_loss));
}

/// OpenH264 counts the ids up with each IDR picture: the sets stay in the picture, whose slices name them.
#[test]
fn parameter_sets_under_another_id_stay_in_the_picture() {
    let config = avc();
    let format = Format::of(96, &h264()).unwrap();
    // The same but for the ids 1 (010) in the place of 0 (1).
    let sps = unhex("674d401e5b281405ff2e022000007d20001d4c01e2c5b2c0");
    let pps = unhex("684af8fc80");
    let idr: &[u8] = &[0x65, 0x80];
    let (units, _) = read(&format, &[(1, true, idr), (2, false, &sps), (2, false, &pps), (2, true, idr)]);
    assert!(units[1].config.is_none(), "{:?}", units[1].config);
    assert!(nal_units(&units[1].payload, 4).flatten().eq([&sps[..], &pps, idr]), "{config:?}");
}

/// They made another configuration, which viewers get in front of the next key picture.
#[test]
fn a_picture_parameter_set_that_comes_at_no_key_picture_stays_in_the_picture() {
    let h265_pps = [0x44, 1, 0b0100_1000];
    for (config, pps, idr, slice) in [
        (h264(), &unhex("684af8fc80")[..], &[0x65, 0x80][..], &[0x41, 0x80][..]),
        (h265(), &h265_pps, &[0x26, 1, 0x80], &[0x02, 1, 0x80]),
    ] {
        let format = Format::of(96, &config).unwrap();
        let (units, _) = read(&format, &[(1, true, idr), (2, false, pps), (2, true, slice), (3, true, slice)]);
        assert!(units[1..].iter().all(|unit| unit.config.is_none()));
        assert!(nal_units(&units[1].payload, 4).flatten().eq([pps, slice]), "{config:?}");
        assert!(nal_units(&units[2].payload, 4).flatten().eq([slice]));
    }
}

#[test]
fn other_parameter_sets_go_in_front_of_the_next_picture_whatever_it_is() {
    let mut other = avc();
    other.pps.push(unhex("684af8fc80").into());
    let format = Format::of(96, &h264()).unwrap();
    let mut packetizer = Packetizer::new(&format, &h264(), 1_200).unwrap();
    let has_other = |packetizer: &mut Packetizer, is_key| {
        let mut bytes = Vec::new();
        packetizer.packetize(&SLICE, is_key, &mut |payload| payload.write(&mut bytes)).unwrap();
        bytes.windows(5).any(|window| window == &other.pps[1][..])
    };
    assert!(!has_other(&mut packetizer, false));
    packetizer.reconfigure(&CodecConfig::H264(other.clone()));
    packetizer.reconfigure(&CodecConfig::H264(other.clone()));
    assert_eq!([false, false, true].map(|is_key| has_other(&mut packetizer, is_key)), [true, false, true]);
}

/// `packetization-mode` 0: each NAL unit is a packet, whatever its size.
#[test]
fn mode_0_sends_single_nal_units() {
    let config = h264();
    let mut format = Format::of(96, &config).unwrap();
    format.parameters.set("packetization-mode", "0");
    let unit = picture(&config, false, &[10, 5_000, 10], &mut Rng(3));
    let mut sender = Sender::new(&format, &config, 60_000);
    let packets = sender.send(&unit, false, 3_000);
    assert_eq!(packets.len(), 3);
    assert!(packets.iter().all(|packet| packet[12] == 0x41));
}

#[test]
fn an_access_unit_without_an_end_is_given_up_at_its_limit() {
    let format = Format::of(96, &h264()).unwrap();
    let limits = Limits { access_unit_bytes: 10_000, ..Limits::default() };
    let mut depacketizer = Depacketizer::new(&format, limits).unwrap();
    let mut refused = 0;
    for sequence in 0..2_000 {
        let payload = [&[0x41, 0x80][..], &[7; 1_000]].concat();
        refused += usize::from(depacketizer.push(&packet(sequence, 1, false, &payload), false).is_err());
        assert!(depacketizer.buffered_bytes() <= 10_000);
    }
    assert_eq!(refused, 1, "the rest of it is passed over");
    depacketizer.push(&packet(2_000, 2, true, &[0x41, 0x80]), false).unwrap();
    assert!(depacketizer.poll().unwrap().follows_loss);
}
