//! Pictures of unknown length are given out with their last packet where that can be told, and late where it cannot.

use arcly_bus::{Frame, FrameFlags};

use super::tests::{pat, pes_packets, pmt, section_packet};
use super::unaligned::{payload, unit};
use crate::{
    Item,
    mpegts::{PACKET_BYTES, TsDemuxer, TsOptions},
    testing::VIDEO,
};

const PID: u16 = 0x100;
/// Never fills its last packet, nor do its halves.
const SLICE_BYTES: usize = 1_000;

/// A demuxer that knows the program, and the counter of the packets.
struct Reader {
    demuxer: TsDemuxer,
    counter: u8,
}

impl Reader {
    fn new() -> Self {
        let mut demuxer = TsDemuxer::new(TsOptions::default());
        demuxer.push(&section_packet(0, 0, &pat(0, &[(1, 0x1000)])));
        demuxer.push(&section_packet(0x1000, 0, &pmt(1, 0, PID, &[(0x1B, PID, &[])])));
        Self { demuxer, counter: 0 }
    }

    /// Sends a picture, whole or in two halves that are filled up each; what has come by then.
    fn picture(&mut self, index: usize, is_halved: bool) -> Vec<Frame> {
        let unit = unit(index, SLICE_BYTES);
        let (first, second) = unit.split_at(if is_halved { unit.len() / 2 } else { unit.len() });
        let mut packets = pes_packets(PID, self.counter, 0xE0, first, Some(index as i64 * 6_000));
        packets.extend(self.rest(&packets, second));
        self.counter = self.counter.wrapping_add((packets.len() / PACKET_BYTES) as u8) & 0x0F;
        self.demuxer.push(&packets);
        self.poll()
    }

    /// Packets that go on with a PES packet, the last one filled up.
    fn rest(&self, before: &[u8], content: &[u8]) -> Vec<u8> {
        let mut counter = self.counter.wrapping_add((before.len() / PACKET_BYTES) as u8);
        let mut packets = Vec::new();
        for part in content.chunks(184) {
            let stuffing = 184 - part.len();
            packets.extend([0x47, 1, 0, if stuffing > 0 { 0x30 } else { 0x10 } | counter & 0x0F]);
            if stuffing > 0 {
                packets.push(stuffing as u8 - 1);
                packets.extend(std::iter::once(0).chain(std::iter::repeat(0xFF)).take(stuffing - 1));
            }
            packets.extend(part);
            counter = counter.wrapping_add(1);
        }
        packets
    }

    fn poll(&mut self) -> Vec<Frame> {
        let items = std::iter::from_fn(|| self.demuxer.poll());
        items.filter_map(|item| if let Item::Frame(frame) = item { Some(frame) } else { None }).collect()
    }
}

fn assert_is(frame: &Frame, index: usize) {
    assert_eq!((frame.track, frame.dts / 6_000), (VIDEO, index as i64));
    assert_eq!(frame.payload, payload(index, SLICE_BYTES));
}

#[test]
fn a_picture_comes_with_its_last_packet_once_that_was_so_for_a_second() {
    let mut reader = Reader::new();
    let mut came = Vec::new();
    for index in 0..100 {
        let before = came.len();
        came.extend(reader.picture(index, false));
        // The first waits for the second anyway, to see where pictures begin.
        let is_early = came.len() == index + 1;
        assert_eq!(is_early, index >= 32, "{index}: {} came, {before} before", came.len());
    }
    came.iter().enumerate().for_each(|(index, frame)| assert_is(frame, index));
}

#[test]
fn who_fills_up_packets_within_a_picture_is_not_believed() {
    let mut reader = Reader::new();
    let mut came = Vec::new();
    for index in 0..100 {
        came.extend(reader.picture(index, true));
        assert!(came.len() <= index, "{index} is not early");
    }
    assert_eq!(came.len(), 99);
    came.iter().enumerate().for_each(|(index, frame)| assert_is(frame, index));
}

#[test]
fn who_begins_to_do_so_later_costs_one_picture_and_the_next_says_so() {
    let mut reader = Reader::new();
    let mut came: Vec<Frame> = (0..60).flat_map(|index| reader.picture(index, false)).collect();
    assert_eq!(came.len(), 60);
    came.extend((60..80).flat_map(|index| reader.picture(index, true)));
    let (torn, after) = (&came[60], &came[61..]);
    assert!(payload(60, SLICE_BYTES).starts_with(&torn.payload[4..8]) || torn.payload.len() < SLICE_BYTES);
    assert!(after[0].flags.contains(FrameFlags::DISCONTINUITY));
    assert_eq!(after.len(), 18, "the newest waits again");
    after.iter().enumerate().for_each(|(at, frame)| assert_is(frame, 61 + at));
    assert_eq!(reader.demuxer.stats().dropped_pes, 1);
}

#[test]
fn a_picture_that_fills_its_last_packet_comes_with_the_next_and_changes_nothing() {
    let mut reader = Reader::new();
    (0..60).for_each(|index| drop(reader.picture(index, false)));
    // 14 bytes of header, then what fills packets.
    let unit = unit(60, SLICE_BYTES);
    let pad = (184 - (14 + unit.len()) % 184) % 184;
    let packets = pes_packets(PID, reader.counter, 0xE0, &[&unit[..], &vec![0; pad]].concat(), Some(360_000));
    assert_eq!(packets.len() % PACKET_BYTES, 0);
    reader.counter = reader.counter.wrapping_add((packets.len() / PACKET_BYTES) as u8) & 0x0F;
    reader.demuxer.push(&packets);
    assert!(reader.poll().is_empty());
    let came = reader.picture(61, false);
    assert_eq!(came.len(), 2);
    assert_is(&came[0], 60);
    assert_is(&came[1], 61);
}
