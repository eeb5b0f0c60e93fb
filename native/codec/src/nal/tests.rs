//! Access units of byte streams, and the form of the bus, of the three codecs.

use bytes::Bytes;

use super::*;
use crate::{
    CodecError, h264, h265, h266,
    sweep::{Rng, mutations, unhex},
};

/// Four pictures of two slices each, with delimiters: ffmpeg 5.1, `-f lavfi -i color=red:size=64x64 -c:v libx264 -preset
/// ultrafast -x264-params slices=2:aud=1:keyint=3 -bsf:v filter_units=remove_types=6`.
const H264: &str = "\
    000000010910000000016742c00ada109b011000000300100000030320f1226a0000000168ce0fc80000016588843a118a000218f1c0\
    0040f63800087949c9c9d75d75e000000165122210e84628000863c7000103d8e00021e52727275d75d780000000010930000001419a\
    203a84c000000141126880ea13000000010930000001419a403e84c000000141126900fa13000000010910000000016742c00ada109b\
    011000000300100000030320f1226a0000000168ce0fc800000165888203684628000967c7000110d8e00026b52727275d75d7800000\
    01651222080da118a000259f1c0004436380009ad49c9c9d75d75e";
/// Four pictures of two slices each, with a suffix SEI behind them: `-c:v libx265 -preset ultrafast -x265-params
/// info=0:slices=2:repeat-headers=1:keyint=3:bframes=0:hash=1:ctu=16`, size 64×128.
const H265: &str = "\
    0000000140010c01ffff01600000030090000003000003001eba02400000000142010101600000030090000003000003001ea0208081\
    65ba5bc2f0168080000003008000000c84000000014401c073c1090000012801ac71096670265bff8393e0282b6a8fb6c80dfd16e812\
    3e4740149dd700000128013063884b3380265bff8393e0282b6a8fb6c80dfd16e8123e4740149dd70000015001843100925be443269e\
    5279e0393f2008b12ce0009a55fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d80000000010201d009788388\
    9580c3583aa0434048c0000001020160804bc41c44acc3583aa0434048c00000015001843100925be443269e5279e0393f2008b12ce0\
    009a55fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d80000000010201d011fe20e22560c3583aa0434048c0\
    000001020160808ff107112bc3583aa0434048c00000015001843100925be443269e5279e0393f2008b12ce0009a55fbc78d69fe414a\
    547dc3699a394d1e7b02638990773255e5584cf1405d800000000140010c01ffff01600000030090000003000003001eba0240000000\
    0142010101600000030090000003000003001ea020808165ba5bc2f0168080000003008000000c84000000014401c073c1090000012a\
    01ac0cf514425a1c238bfd26bf60afe4025c2a8a0516bbc54010574c50144c02400000012a01306067a8a212d0e0238bfd26bf60afe4\
    025c2a8a0516bbc54010574c50144c02400000015001843100a4556337f0e2be1cda5d547afc20de91009a55fbc78d69fe414a547dc3\
    699a394d1e7b02638990773255e5584cf1405d80";
/// Three pictures: FFmpeg 9.0.2, `-c:v libvvenc -preset faster -vvenc-params qp=50`, size 64×64.
const H266: &str = "\
    00000001007900ab021080000080820411a801cdffeb084d958c10209c00ca0c5842183110819220d487a3d5a92f249a92c9116a22f1\
    126a22452444992224d4659210b5085e10bd5a92f25ea19418b100c5880810810102a102020690810102c408081104040b2080812101\
    064081108102c8408122041a081241070832045a104908710d09723950cc119c50000003001000000301918800000001008100004102\
    088907d0400000010039c4050df8dfcffff8670efffe2dcfffbb56c00000000100169401d14a020213c0dcc000000001000e9409d16b\
    020213c0dcc0";

/// A stream, how to cut it, and the bytes of its access units as the parsers of ffmpeg 5.1 and 9.0.2 cut it (`-show_packets`),
/// but that of H.265 leaves the `zero_byte` of the next one (Annex B.2.2) with the one before: 206, 98, 98, 212.
type Row = (&'static str, fn(usize) -> AccessUnits, &'static [usize]);

const ROWS: [Row; 3] = [
    (H264, h264::access_units, &[97, 24, 24, 98]),
    (H265, h265::access_units, &[205, 98, 98, 213]),
    (H266, h266::access_units, &[190, 16, 16]),
];

fn drain(units: &mut AccessUnits) -> Vec<AccessUnit> {
    std::iter::from_fn(|| units.poll()).map(Result::unwrap).collect()
}

/// Cuts the stream, given in pieces.
fn cut<'a>(units: &mut AccessUnits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<AccessUnit> {
    let mut cut = Vec::new();
    for piece in pieces {
        units.push(piece);
        cut.extend(drain(units));
    }
    units.finish();
    cut.extend(drain(units));
    cut
}

#[test]
fn access_units_are_cut_as_ffmpeg_cuts_them() {
    for (stream, access_units, bytes) in ROWS {
        let stream = unhex(stream);
        let units = cut(&mut access_units(1000), [&stream[..]]);
        assert_eq!(units.iter().map(|unit| unit.stream.len()).collect::<Vec<_>>(), bytes);
        let whole: Vec<u8> = units.iter().flat_map(|unit| unit.stream.to_vec()).collect();
        assert_eq!(whole, stream);
        let mut position = 0;
        for unit in units {
            assert_eq!(unit.position, position);
            position += unit.stream.len() as u64;
        }
    }
}

#[test]
fn access_units_do_not_depend_on_how_the_stream_is_cut() {
    for (stream, access_units, _) in ROWS {
        let stream = unhex(stream);
        let expected = cut(&mut access_units(1000), [&stream[..]]);
        assert_eq!(cut(&mut access_units(1000), stream.chunks(1)), expected);
        for at in 0..stream.len() {
            let (first, second) = stream.split_at(at);
            assert_eq!(cut(&mut access_units(1000), [first, second]), expected, "cut at {at}");
        }
    }
}

#[test]
fn a_unit_is_given_as_soon_as_the_next_one_begins() {
    for (stream, access_units, bytes) in ROWS {
        let stream = unhex(stream);
        let mut units = access_units(1000);
        units.push(&stream[..bytes[0]]);
        assert_eq!(units.poll(), None);
        // A start code and three bytes tell.
        units.push(&stream[bytes[0]..bytes[0] + 7]);
        assert_eq!(units.poll().map(|unit| unit.unwrap().stream.len()), Some(bytes[0]));
    }
}

#[test]
fn what_begins_no_access_unit_is_passed_over() {
    for (stream, access_units, bytes) in ROWS {
        let stream = unhex(stream);
        let garbage = [&[1, 2, 3, 0, 0][..], &stream[..bytes[0]]].concat();
        // From the middle of the first slice on: its rest, and slices that begin no picture.
        let late = &garbage[garbage.len() - 9..];
        let units = cut(&mut access_units(1000), [late, &stream[bytes[0]..]]);
        assert_eq!(units.len(), bytes.len() - 1);
        assert_eq!(units[0].position, 9);
    }
}

#[test]
fn a_finished_stream_may_go_on() {
    for (stream, access_units, bytes) in ROWS {
        let stream = unhex(stream);
        let mut units = access_units(1000);
        for round in 0..3 {
            let cut = cut(&mut units, [&stream[..]]);
            assert_eq!(cut.len(), bytes.len());
            assert_eq!(cut[0].position, round * stream.len() as u64);
        }
    }
}

#[test]
fn an_access_unit_that_is_too_long_is_dropped_and_the_next_one_found() {
    let stream = unhex(H264);
    for chunk in [1, 7, 1000] {
        let mut units = h264::access_units(50);
        let mut results = Vec::new();
        for piece in stream.chunks(chunk) {
            units.push(piece);
            results.extend(std::iter::from_fn(|| units.poll()));
        }
        units.finish();
        results.extend(std::iter::from_fn(|| units.poll()));
        let lengths: Vec<Option<usize>> =
            results.iter().map(|result| result.as_ref().ok().map(|unit| unit.stream.len())).collect();
        // The last one may be seen to be too long when the stream ends, if it was pushed at once.
        assert_eq!(lengths[..3], [None, Some(24), Some(24)], "in pieces of {chunk}");
        let limit = results.into_iter().next().unwrap().unwrap_err();
        assert!(matches!(limit, CodecError::LimitExceeded { max: 50, .. }), "{limit}");
    }
}

#[test]
fn what_is_held_is_bounded_and_time_is_linear() {
    let mut units = h264::access_units(10_000);
    // 30 000 start codes in a row, an endless slice, zeros, and noise in front of anything.
    for piece in [[0, 0, 1].repeat(30_000), [&[0, 0, 1, 0x65, 0x88][..], &[7; 100_000]].concat(), vec![0; 100_000]] {
        for chunk in piece.chunks(188) {
            units.push(chunk);
            while units.poll().is_some() {}
            assert!(units.buffered_bytes() <= 10_000 + 188);
        }
    }
}

/// Scalable streams have a prefix NAL unit in front of each slice of the base layer, of which only the first begins one.
#[test]
fn a_prefix_nal_unit_belongs_to_the_slice_behind_it() {
    let nal = |bytes: &[u8]| [&[0, 0, 1], bytes].concat();
    let (first, second) = (nal(&[0x65, 0x88, 1, 1]), nal(&[0x65, 0x48, 1, 1]));
    let prefix = nal(&[0x6e, 0x40, 0, 7]);
    let picture = [&prefix[..], &first, &prefix, &second].concat();
    let stream = [&nal(&[0x09, 0xf0])[..], &picture, &picture].concat();
    let units = cut(&mut h264::access_units(1000), [&stream[..]]);
    assert_eq!(units.iter().map(|unit| unit.stream.len()).collect::<Vec<_>>(), [5 + picture.len(), picture.len()]);
}

/// A picture of which the first slice was lost goes with what is in front of it; the parameter sets and the end of the
/// sequence stay on their sides.
#[test]
fn what_stands_between_pictures_goes_to_its_side() {
    let nal = |nal_type: u8, payload: u8| [0, 0, 1, nal_type << 1, 1, payload, 0x55];
    let types = |unit: &AccessUnit| -> Vec<u8> { crate::annex_b::units(&unit.stream).map(h265::nal_type).collect() };
    let slice = nal(1, 0x80);
    let stream: Vec<u8> =
        [slice, nal(40, 1), nal(36, 1), nal(38, 1), nal(39, 1), nal(32, 1), nal(33, 1), nal(1, 0x80), nal(1, 0)]
            .concat();
    let units = cut(&mut h265::access_units(1000), [&stream[..]]);
    assert_eq!(units.iter().map(types).collect::<Vec<_>>(), [&[1, 40, 36, 38][..], &[39, 32, 33, 1, 1]]);
    let nal = |nal_type: u8, payload: u8| [0, 0, 1, 0, nal_type << 3 | 1, payload, 0x55];
    // A picture with its header in a NAL unit of its own, twice; then a higher layer's, which begins none.
    let mut higher = nal(0, 0x80);
    higher[3] = 1;
    let stream = [nal(19, 0), nal(0, 0), nal(0, 0), nal(24, 0), nal(17, 0), nal(19, 0), nal(0, 0), higher].concat();
    let units = cut(&mut h266::access_units(1000), [&stream[..]]);
    assert_eq!(units.iter().map(|unit| unit.stream.len() / 7).collect::<Vec<_>>(), [4, 4]);
}

#[test]
fn mutated_streams_are_cut_without_a_gap() {
    let mut rng = Rng::new(0xacce);
    for (stream, access_units, _) in ROWS {
        mutations(0xacce, 5_000, &[&unhex(stream)], |bytes| {
            let expected = cut(&mut access_units(1 << 20), [bytes]);
            assert_eq!(cut(&mut access_units(1 << 20), bytes.chunks(1 + rng.below(40))), expected);
            let mut end = None;
            for unit in &expected {
                let start = unit.position as usize;
                assert!(end.is_none_or(|end| end == start), "a gap");
                end = Some(start + unit.stream.len());
                assert_eq!(unit.stream, bytes[start..start + unit.stream.len()]);
            }
            assert!(end.is_none_or(|end| end == bytes.len()));
        });
    }
}

/// NAL units behind 4-byte lengths.
fn with_lengths(nals: &[&[u8]]) -> Bytes {
    nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect::<Vec<u8>>().into()
}

#[test]
fn the_form_of_the_bus_has_no_parameter_sets_and_delimiters() {
    let h265: [&[u8]; 7] = [
        &[0x46, 1, 0x50],
        &[0x40, 1, 7],
        &[0x42, 1, 7],
        &[0x44, 1, 7],
        &[0x4e, 1, 5, 1, 0],
        &[0x26, 1, 0xaf],
        &[0x50, 1, 4],
    ];
    let canonical = h265::to_canonical(with_lengths(&h265), 4).unwrap();
    assert_eq!(canonical.payload, with_lengths(&h265[4..]), "SEI of both kinds stays");
    assert_eq!((&canonical.vps[0][..], &canonical.sps[0][..], &canonical.pps[0][..]), (h265[1], h265[2], h265[3]));
    assert!(canonical.has_parameter_sets());
    let h266: [&[u8]; 7] =
        [&[0, 0xa1, 8], &[0, 0x71, 7], &[0, 0x79, 7], &[0, 0x81, 7], &[0, 0x89, 1], &[0, 0x99, 5], &[0, 0x41, 0xaf]];
    let canonical = h266::to_canonical(with_lengths(&h266), 4).unwrap();
    assert_eq!(canonical.payload, with_lengths(&h266[4..]), "adaptation parameter sets and picture headers stay");
    assert_eq!((&canonical.vps[0][..], &canonical.sps[0][..], &canonical.pps[0][..]), (h266[1], h266[2], h266[3]));
}

#[test]
fn streams_become_the_form_of_the_bus_and_make_a_record() {
    let unit = |row: &Row| cut(&mut row.1(1000), [&unhex(row.0)[..]]).swap_remove(0).stream;
    let canonical = h265::annex_b_to_canonical(unit(&ROWS[1])).unwrap();
    assert!(h265::is_random_access(nal_units(&canonical.payload, 4).flatten()));
    let config = h265::HevcConfig::from_parameter_sets(canonical.vps, canonical.sps, canonical.pps).unwrap();
    assert_eq!((config.info.width, config.info.height), (64, 128));
    assert_eq!(h265::to_canonical(canonical.payload.clone(), 4).unwrap().payload.as_ptr(), canonical.payload.as_ptr());
    let canonical = h266::annex_b_to_canonical(unit(&ROWS[2])).unwrap();
    assert!(h266::is_random_access(nal_units(&canonical.payload, 4).flatten()));
    let config = h266::VvcConfig::from_parameter_sets(canonical.vps, canonical.sps, canonical.pps).unwrap();
    assert_eq!((config.info.width, config.info.height), (64, 64));
}

/// What nobody else has is converted where it is, and what somebody has is copied.
#[test]
fn access_units_of_encoders_are_converted_where_they_are() {
    let delimiter: &[u8] = &[0, 0, 0, 1, 9, 0xf0];
    let key = [delimiter, &unhex(SETS), &[0, 0, 0, 1, 0x65, 1, 2, 3, 0, 0, 0, 1, 0x65, 4]].concat();
    let expected: &[u8] = &[0, 0, 0, 4, 0x65, 1, 2, 3, 0, 0, 0, 2, 0x65, 4];
    let stream = Bytes::from(key.clone());
    let place = stream[key.len() - expected.len()..].as_ptr();
    let converted = h264::annex_b_to_canonical(stream).unwrap();
    assert_eq!((&converted.payload[..], converted.payload.as_ptr()), (expected, place));
    let shared = Bytes::from(key.clone());
    assert_eq!(h264::annex_b_to_canonical(shared.clone()).unwrap(), converted);
    assert_eq!(shared, key, "what somebody else has stays as it is");
}

/// Start codes of three bytes, empty units, what is left out in between, zeros: from there on units are copied.
#[test]
fn what_is_converted_in_place_is_what_is_copied() {
    let mut rng = Rng::new(0xb0);
    let parts: [&[u8]; 9] = [
        &[0, 0, 0, 1, 0x65, 1, 2],
        &[0, 0, 0, 1, 0x41, 3],
        &[0, 0, 0, 1, 0x41, 3, 0, 0],
        &[0, 0, 1, 0x41, 4],
        &[0, 0, 0, 1],
        &[0, 0, 0, 1, 9, 0xf0],
        &[0, 0, 1, 0x67, 7],
        &[0, 0, 0, 1, 0x68, 8],
        &[0],
    ];
    let mut in_place = 0;
    for _ in 0..20_000 {
        let stream: Vec<u8> = (0..rng.below(6)).flat_map(|_| parts[rng.below(parts.len())]).copied().collect();
        let shared = Bytes::from(stream.clone());
        let copied = h264::annex_b_to_canonical(shared.clone());
        let owned = Bytes::from(stream.clone());
        let memory = owned.as_ptr_range();
        let converted = h264::annex_b_to_canonical(owned);
        assert_eq!(converted, copied, "{stream:?}");
        in_place += usize::from(converted.is_ok_and(|converted| memory.contains(&converted.payload.as_ptr())));
    }
    assert!((1_000..19_000).contains(&in_place), "{in_place}");
}

const SETS: &str = "000000016742c00ada109b011000000300100000030320f1226a0000000168ce0fc8";
