//! MP3 in application data units (RFC 5219).

use arcly_codec::CodecConfig;
use arcly_wire::rtp::{AccessUnit, Depacketizer, Format, Header, Limits, Packet};

use crate::stream::Rng;

/// MPEG-1 layer III, 128 kbit/s, 44.1 kHz, stereo, no checksum.
const HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0x00];
const FRAME_BYTES: usize = 417;
const HEAD_BYTES: usize = 36;
const CAPACITY: usize = FRAME_BYTES - HEAD_BYTES;

/// A stream as an encoder with a bit reservoir writes it, and the units of the same: what a sender of RFC 5219 makes of it.
fn stream(count: usize, rng: &mut Rng) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut reservoir, mut data, mut heads, mut units) = (0, Vec::new(), Vec::new(), Vec::new());
    for index in 0..count {
        let room = reservoir + CAPACITY;
        let least = if index + 1 == count { room } else { room.saturating_sub(511) };
        let size = least + rng.below(room - least + 1);
        let mut head = rng.bytes(HEAD_BYTES);
        head[..4].copy_from_slice(&HEADER);
        (head[4], head[5]) = ((reservoir >> 1) as u8, head[5] & 0x7f | ((reservoir & 1) << 7) as u8);
        let body = rng.bytes(size);
        units.push([&head[..], &body].concat());
        data.extend(body);
        heads.push(head);
        reservoir = room - size;
    }
    let frames = heads.iter().zip(data.chunks(CAPACITY)).map(|(head, body)| [&head[..], body].concat()).collect();
    (frames, units)
}

fn timestamp(index: usize) -> u32 {
    (index as u64 * 1_152 * 90_000 / 44_100) as u32
}

fn descriptor(size: usize, continues: bool) -> Vec<u8> {
    let flags = u8::from(continues) << 7;
    if size < 64 { vec![flags | size as u8] } else { vec![flags | 0x40 | (size >> 8) as u8, size as u8] }
}

fn read(packets: &[(u32, Vec<u8>)]) -> Vec<AccessUnit> {
    read_with_gap(packets, usize::MAX)
}

/// `gap`: the packet in front of which one is missing.
fn read_with_gap(packets: &[(u32, Vec<u8>)], gap: usize) -> Vec<AccessUnit> {
    let format = Format::parse(96, Some("mpa-robust/90000"), None).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    for (index, (timestamp, payload)) in packets.iter().enumerate() {
        let header = Header { timestamp: *timestamp, ..Header::default() };
        let packet = Packet { header, payload: payload.clone().into(), ..Packet::default() };
        depacketizer.push(&packet, index == gap).unwrap();
    }
    depacketizer.flush();
    assert_eq!(depacketizer.buffered_bytes(), 0);
    std::iter::from_fn(|| depacketizer.poll()).collect()
}

fn assert_all(units: &[AccessUnit], frames: &[Vec<u8>]) {
    assert_eq!(units.len(), frames.len());
    for (index, (unit, frame)) in units.iter().zip(frames).enumerate() {
        assert!(unit.payload == frame[..], "frame {index}");
        assert_eq!(unit.timestamp - units[0].timestamp, i64::from(timestamp(index)), "frame {index}");
        assert!(!unit.follows_loss, "frame {index}");
    }
    assert!(matches!(units[0].config.as_deref(), Some(CodecConfig::Mp3(_))));
}

#[test]
fn frames_with_a_bit_reservoir_come_back_bit_exact() {
    for seed in 1..50 {
        let (frames, units) = stream(40, &mut Rng(seed));
        let one_each: Vec<_> = units
            .iter()
            .enumerate()
            .map(|(index, unit)| (timestamp(index), [descriptor(unit.len(), false), unit.clone()].concat()))
            .collect();
        assert_all(&read(&one_each), &frames);
        let many: Vec<_> = units
            .chunks(4)
            .enumerate()
            .map(|(index, units)| {
                (
                    timestamp(4 * index),
                    units.iter().flat_map(|unit| [descriptor(unit.len(), false), unit.clone()].concat()).collect(),
                )
            })
            .collect();
        assert_all(&read(&many), &frames);
    }
}

#[test]
fn fragments_are_put_together() {
    let (frames, units) = stream(20, &mut Rng(7));
    let mut packets = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        for (number, fragment) in unit.chunks(100).enumerate() {
            packets.push((timestamp(index), [descriptor(unit.len(), number > 0), fragment.to_vec()].concat()));
        }
    }
    assert_all(&read(&packets), &frames);
}

#[test]
fn interleaved_units_come_in_their_order() {
    let (frames, units) = stream(32, &mut Rng(8));
    let mut packets = Vec::new();
    for (cycle, units) in units.chunks(8).enumerate() {
        for index in [1, 3, 5, 7, 0, 2, 4, 6] {
            let mut unit = units[index].clone();
            (unit[0], unit[1]) = (index as u8, unit[1] & 0x1f | (cycle as u8 % 8) << 5);
            packets.push((timestamp(8 * cycle + index), [descriptor(unit.len(), false), unit].concat()));
        }
    }
    assert_all(&read(&packets), &frames);
}

/// Where data is missing there is a frame without sound, and what follows is whole again as soon as all its data is there.
#[test]
fn a_lost_unit_costs_those_that_need_its_place() {
    let (frames, units) = stream(40, &mut Rng(9));
    let mut packets: Vec<_> = units
        .iter()
        .enumerate()
        .map(|(index, unit)| (timestamp(index), [descriptor(unit.len(), false), unit.clone()].concat()))
        .collect();
    packets.remove(10);
    let read = read_with_gap(&packets, 10);
    assert_eq!(read.len(), frames.len() - 1);
    assert!(read.iter().zip(&frames).take(9).all(|(unit, frame)| unit.payload == frame[..]));
    assert!(read.iter().any(|unit| unit.follows_loss));
    assert!(read.iter().all(|unit| unit.payload.len() == FRAME_BYTES && unit.payload[..2] == [0xff, 0xfb]));
}

#[test]
fn what_is_no_unit_is_refused() {
    let format = Format::parse(96, Some("mpa-robust/90000"), None).unwrap();
    for payload in [&[0_u8][..], &[0x40], &[0x40, 0], &[0x7f, 0xff], &[1, 2, 0x44]] {
        let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
        let packet = Packet { payload: payload.to_vec().into(), ..Packet::default() };
        assert!(depacketizer.push(&packet, false).is_err(), "{payload:?}");
        depacketizer.flush();
        assert!(depacketizer.poll().is_none());
    }
}
