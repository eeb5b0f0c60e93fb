//! Byte streams: units between start codes, and access units, however the stream is cut.

use arcly_codec::{
    Codec, CodecConfig, annex_b, h264, h265, h266,
    nal::{AccessUnit, AccessUnits},
};
use bytes::Bytes;

use super::Target;
use crate::{avc::unhex, mutate::Input, play_back::is_due};

pub const TARGET: Target = Target {
    name: "annex_b",
    vectors,
    edit: None,
    // An access unit, and a piece beyond it.
    buffered_bytes_max: MAX_UNIT_BYTES + crate::mutate::MAX_INPUT_BYTES,
    run,
};

/// Small, so that inputs reach it.
const MAX_UNIT_BYTES: usize = 2048;

/// Pictures of two slices with delimiters (libx264), with suffix SEI (libx265), with a long parameter set (libvvenc).
pub const STREAMS: [&str; 3] = [
    "000000010910000000016742c00ada109b011000000300100000030320f1226a0000000168ce0fc80000016588843a118a000218f1\
      c00040f63800087949c9c9d75d75e000000165122210e84628000863c7000103d8e00021e52727275d75d780000000010930000001\
      419a203a84c000000141126880ea13000000010930000001419a403e84c000000141126900fa13000000010910000000016742c00a\
      da109b011000000300100000030320f1226a0000000168ce0fc800000165888203684628000967c7000110d8e00026b52727275d75\
      d780000001651222080da118a000259f1c0004436380009ad49c9c9d75d75e",
    "0000000140010c01ffff01600000030090000003000003001eba02400000000142010101600000030090000003000003001ea02080\
      8165ba5bc2f0168080000003008000000c84000000014401c073c1090000012801ac71096670265bff8393e0282b6a8fb6c80dfd16\
      e8123e4740149dd700000128013063884b3380265bff8393e0282b6a8fb6c80dfd16e8123e4740149dd70000015001843100925be4\
      43269e5279e0393f2008b12ce0009a55fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d80000000010201d0\
      097883889580c3583aa0434048c0000001020160804bc41c44acc3583aa0434048c00000015001843100925be443269e5279e0393f\
      2008b12ce0009a55fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d80000000010201d011fe20e22560c358\
      3aa0434048c0000001020160808ff107112bc3583aa0434048c00000015001843100925be443269e5279e0393f2008b12ce0009a55\
      fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d800000000140010c01ffff01600000030090000003000003\
      001eba02400000000142010101600000030090000003000003001ea020808165ba5bc2f0168080000003008000000c840000000144\
      01c073c1090000012a01ac0cf514425a1c238bfd26bf60afe4025c2a8a0516bbc54010574c50144c02400000012a01306067a8a212\
      d0e0238bfd26bf60afe4025c2a8a0516bbc54010574c50144c02400000015001843100a4556337f0e2be1cda5d547afc20de91009a\
      55fbc78d69fe414a547dc3699a394d1e7b02638990773255e5584cf1405d80",
    "00000001007900ab021080000080820411a801cdffeb084d958c10209c00ca0c5842183110819220d487a3d5a92f249a92c9116a22\
      f1126a22452444992224d4659210b5085e10bd5a92f25ea19418b100c5880810810102a102020690810102c408081104040b208081\
      2101064081108102c8408122041a081241070832045a104908710d09723950cc119c50000003001000000301918800000001008100\
      004102088907d0400000010039c4050df8dfcffff8670efffe2dcfffbb56c00000000100169401d14a020213c0dcc000000001000e\
      9409d16b020213c0dcc0",
];

fn vectors() -> Vec<Vec<u8>> {
    let prefixed = "00000109f0000001 6e400007 00000165888101 6e400007 00000165488101 00000142 00000001 000001";
    STREAMS.iter().copied().chain([prefixed]).map(unhex).collect()
}

fn run(input: &Input) -> usize {
    check_units(&input.bytes);
    if is_due(&input.bytes) {
        check_configs(&Bytes::copy_from_slice(&input.bytes));
    }
    let splitters: [fn(usize) -> AccessUnits; 3] = [h264::access_units, h265::access_units, h266::access_units];
    splitters.into_iter().map(|access_units| check_access_units(access_units, input)).max().unwrap_or(0)
}

/// What a frame says of itself is of the codec that it is said to have.
fn check_configs(frame: &Bytes) {
    for codec in Codec::ALL {
        let config = CodecConfig::from_frame(codec, frame.clone());
        assert!(config.is_err() || config.is_ok_and(|config| config.codec() == codec), "{}", codec.name());
    }
}

/// A search that looks at every place finds the same.
fn check_units(stream: &[u8]) {
    let starts: Vec<usize> = (0..stream.len())
        .filter(|&at| stream.get(at..).is_some_and(|rest| rest.starts_with(&annex_b::START_CODE)))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let units = starts.iter().zip(ends).filter_map(|(&start, end)| stream.get(start + 3..end));
    let units = units
        .map(|unit| unit.iter().rposition(|&byte| byte != 0).and_then(|last| unit.get(..=last)).unwrap_or_default());
    assert!(annex_b::units(stream).eq(units.filter(|unit| !unit.is_empty())), "the units of a naive search");
}

/// The units lie one behind the other, are what was pushed, and do not depend on the pieces. Returns the most that was held.
fn check_access_units(access_units: fn(usize) -> AccessUnits, input: &Input) -> usize {
    let mut splitter = access_units(MAX_UNIT_BYTES);
    let (mut units, mut held, mut dropped) = (Vec::new(), 0, false);
    for piece in input.pieces() {
        splitter.push(piece);
        held = held.max(splitter.buffered_bytes());
        dropped |= drain(&mut splitter, &mut units);
        assert!(splitter.buffered_bytes() <= MAX_UNIT_BYTES, "more than a unit is kept");
    }
    splitter.finish();
    dropped |= drain(&mut splitter, &mut units);
    assert_eq!((splitter.poll(), splitter.buffered_bytes()), (None, 0), "the end is the end");
    check_places(&units, &input.bytes, dropped);
    if !dropped {
        let mut whole = access_units(input.bytes.len());
        whole.push(&input.bytes);
        whole.finish();
        let mut at_once = Vec::new();
        assert!(!drain(&mut whole, &mut at_once), "none is longer than all");
        assert_eq!(units, at_once, "the pieces make a difference");
    }
    held
}

/// Whether one was too long.
fn drain(splitter: &mut AccessUnits, units: &mut Vec<AccessUnit>) -> bool {
    let mut dropped = false;
    while let Some(unit) = splitter.poll() {
        match unit {
            Ok(unit) => units.push(unit),
            Err(_) => dropped = true,
        }
    }
    dropped
}

fn check_places(units: &[AccessUnit], stream: &[u8], dropped: bool) {
    let mut end = None;
    for unit in units {
        assert!(unit.stream.len() <= MAX_UNIT_BYTES, "a unit that is too long");
        let start = unit.position as usize;
        assert_eq!(
            stream.get(start..start + unit.stream.len()),
            Some(&unit.stream[..]),
            "other bytes than were pushed"
        );
        assert!(end.is_none_or(|end| end == start || dropped && end < start), "a gap, or one byte twice");
        end = Some(start + unit.stream.len());
    }
    assert!(dropped || end.is_none_or(|end| end == stream.len()), "the end is missing");
}
