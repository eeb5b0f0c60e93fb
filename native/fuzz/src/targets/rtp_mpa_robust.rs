//! MP3 in application data units (RFC 5219): whatever comes, whole frames come out, no more than units came in.

use arcly_codec::mpeg_audio::FrameHeader;
use arcly_wire::rtp::{AccessUnit, Depacketizer, Format};

use super::Target;
use crate::{
    mutate::Input,
    rtp::{edit_packets, read},
};

/// Descriptor, header and the least side information.
const MIN_UNIT_BYTES: usize = 1 + 4 + 9;

pub const TARGET: Target =
    Target { name: "rtp_mpa_robust", vectors, edit: Some(edit_packets), buffered_bytes_max: 192 << 10, run };

/// As [`read`] takes it: a length and flags, a descriptor, a unit of 128 kbit/s whose data begins `back` bytes before its frame.
fn packet(flags: u8, sync: [u8; 2], back: u16, data_bytes: usize) -> Vec<u8> {
    let size = 36 + data_bytes;
    let descriptor = [0x40 | (size >> 8) as u8, size as u8];
    let [b0, b1] = (back << 7).to_be_bytes();
    let unit = [&sync[..], &[0x90, 0, b0, b1], &[0; 30], &vec![7; data_bytes]].concat();
    [&((2 + size) as u16).to_be_bytes()[..], &[flags], &descriptor, &unit].concat()
}

fn vectors() -> Vec<Vec<u8>> {
    const SYNC: [u8; 2] = [0xff, 0xfb];
    let stream = |packets: &[Vec<u8>]| [&[0][..], &packets.concat()].concat();
    vec![
        // A reservoir that fills and is used.
        stream(&[packet(4, SYNC, 0, 100), packet(4, SYNC, 281, 500), packet(4, SYNC, 162, 543)]),
        // One that reaches back to what is lost.
        stream(&[packet(4, SYNC, 300, 600), packet(6, SYNC, 511, 400), packet(4, SYNC, 0, 381)]),
        // Interleaved: units 1 and 0 of cycle 0, then of cycle 1.
        stream(&[packet(4, [1, 0x1b], 0, 381), packet(4, [0, 0x1b], 0, 381), packet(4, [0, 0x3b], 0, 381)]),
    ]
}

fn run(input: &Input) -> usize {
    let (_, arrivals) = read(&input.bytes);
    let Ok(format) = Format::parse(96, Some("mpa-robust/90000"), None) else { return 0 };
    let Ok(mut depacketizer) = Depacketizer::new(&format, Default::default()) else { return 0 };
    let (mut units, mut held) = (Vec::<AccessUnit>::new(), 0);
    for (packet, is_after_gap) in arrivals {
        let _ = depacketizer.push(&packet, is_after_gap);
        held = held.max(depacketizer.buffered_bytes());
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    assert_eq!(depacketizer.buffered_bytes(), 0, "nothing is left");
    assert!(units.len() * MIN_UNIT_BYTES <= input.bytes.len(), "{} units of {} bytes", units.len(), input.bytes.len());
    for unit in &units {
        // The least frames of MPEG-2 are less than their heads.
        let is_whole = |header: FrameHeader| header.layer == 3 && unit.payload.len() >= header.frame_bytes();
        assert!(FrameHeader::parse(&unit.payload).is_ok_and(is_whole), "a frame");
    }
    held
}
