//! Access units that do not begin where PES packets do, and PES packets that lie about their length.

use arcly_bus::Frame;
use bytes::Bytes;

use super::tests::{Read, pat, pes_packets, pmt, section_packet};
use crate::testing::{Clip, Rng, Scratch, VIDEO};

const PID: u16 = 0x100;
/// From an avcC record written by libx264: 320x240, baseline, no fields.
const SETS: [u8; 34] = [
    0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00,
    0x07, 0x83, 0xc5, 0x0a, 0xa8, 0, 0, 0, 1, 0x68, 0xce, 0x0f, 0xc8,
];
/// Main profile with fields: 320x256, `frame_mbs_only_flag` 0, 25 frames a second.
const FIELD_SETS: [u8; 30] = [
    0, 0, 0, 1, 0x67, 0x4d, 0x00, 0x1e, 0xf4, 0x0a, 0x08, 0x28, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c,
    0xa1, 0, 0, 0, 1, 0x68, 0xce, 0x0f, 0xc8,
];
/// What the SPS of [`SETS`] says: 15 pictures a second.
const STEP_90K: i64 = 6_000;

/// A slice behind a start code, without a start code in it.
fn slice(is_key: bool, is_first: bool, bytes: usize) -> Vec<u8> {
    let kind = if is_key { 0x65 } else { 0x41 };
    let first = if is_first { 0x88 } else { 0x48 };
    [&[0, 0, 0, 1, kind, first][..], &Rng(bytes as u64).bytes(bytes).iter().map(|byte| byte | 0x10).collect::<Vec<_>>()]
        .concat()
}

/// An access unit as an encoder writes it that sends no delimiters.
pub(super) fn unit(index: usize, bytes: usize) -> Vec<u8> {
    let is_key = index.is_multiple_of(10);
    let sets = if is_key { &SETS[..] } else { &[] };
    [sets, &slice(is_key, true, bytes), &slice(is_key, false, bytes / 2)].concat()
}

/// What the bus has of it.
pub(super) fn payload(index: usize, bytes: usize) -> Vec<u8> {
    let is_key = index.is_multiple_of(10);
    let behind_length = |nal: &[u8]| [&(nal.len() as u32 - 4).to_be_bytes(), &nal[4..]].concat();
    [behind_length(&slice(is_key, true, bytes)), behind_length(&slice(is_key, false, bytes / 2))].concat()
}

/// A stream of these PES packets: times and contents.
fn stream<'a>(packets: impl IntoIterator<Item = (Option<i64>, &'a [u8])>) -> Vec<u8> {
    let mut stream = section_packet(0, 0, &pat(0, &[(1, 0x1000)]));
    stream.extend(section_packet(0x1000, 0, &pmt(1, 0, PID, &[(0x1B, PID, &[])])));
    let mut counter = 0;
    for (pts, content) in packets {
        let packets = pes_packets(PID, counter, 0xE0, content, pts);
        counter = counter.wrapping_add((packets.len() / 188) as u8) & 0x0F;
        stream.extend(packets);
    }
    stream
}

fn times(read: &Read) -> Vec<i64> {
    read.of(VIDEO).iter().map(|frame| frame.dts).collect()
}

fn assert_units(read: &Read, sizes: &[usize]) {
    let frames: Vec<&Frame> = read.of(VIDEO);
    assert_eq!(frames.len(), sizes.len());
    for (index, (frame, bytes)) in frames.iter().zip(sizes).enumerate() {
        assert!(frame.payload == payload(index, *bytes), "access unit {index}");
        assert_eq!(frame.is_key(), index.is_multiple_of(10));
    }
    assert_eq!((read.stats.dropped_frames, read.stats.dropped_pes), (0, 0));
}

#[test]
fn several_access_units_in_a_pes_packet_follow_the_frame_rate() {
    let sizes: Vec<usize> = (0..30).map(|index| 100 + 37 * index).collect();
    let units: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(index, bytes)| unit(index, *bytes)).collect();
    for together in [2, 3, 7] {
        let packets: Vec<Vec<u8>> = units.chunks(together).map(<[_]>::concat).collect();
        let timed = packets.iter().enumerate();
        let timed = timed.map(|(at, content)| (Some((at * together) as i64 * STEP_90K), &content[..]));
        let read = Read::all(&stream(timed));
        assert_units(&read, &sizes);
        assert_eq!(times(&read), (0..30).map(|index| index * STEP_90K).collect::<Vec<_>>(), "{together} together");
    }
}

#[test]
fn access_units_over_many_pes_packets_have_the_time_of_the_one_in_which_they_begin() {
    let sizes: Vec<usize> = (0..30).map(|index| 100 + 137 * index).collect();
    let units: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(index, bytes)| unit(index, *bytes)).collect();
    let starts: Vec<usize> =
        units.iter().scan(0, |end, unit| Some(std::mem::replace(end, *end + unit.len()))).collect();
    let whole = units.concat();
    for piece in [97, 400, 1_000, 5_000] {
        let packets = whole.chunks(piece).enumerate().map(|(at, content)| {
            // The time of the first access unit that begins here; it is far off the frame rate, to see that it is said.
            let first = starts.iter().position(|start| *start / piece == at);
            (first.map(|index| index as i64 * 7_000), content)
        });
        let read = Read::all(&stream(packets));
        assert_units(&read, &sizes);
        let mut expected = Vec::new();
        for (index, start) in starts.iter().enumerate() {
            let is_first = index == 0 || starts[index - 1] / piece != start / piece;
            expected.push(if is_first { index as i64 * 7_000 } else { expected[index - 1] + STEP_90K });
        }
        assert_eq!(times(&read), expected, "pieces of {piece}");
    }
}

#[test]
fn a_pes_packet_for_each_slice_gives_whole_pictures() {
    let sizes: Vec<usize> = (0..12).map(|index| 200 + 11 * index).collect();
    let mut packets = Vec::new();
    for (index, bytes) in sizes.iter().enumerate() {
        let second = slice(index.is_multiple_of(10), false, bytes / 2);
        let whole = unit(index, *bytes);
        let time = Some(index as i64 * STEP_90K);
        packets.push((time, whole[..whole.len() - second.len()].to_vec()));
        packets.push((time, second));
    }
    let read = Read::all(&stream(packets.iter().map(|(time, content)| (*time, &content[..]))));
    assert_units(&read, &sizes);
    assert_eq!(times(&read), (0..12).map(|index| index * STEP_90K).collect::<Vec<_>>());
}

#[test]
fn aligned_pictures_without_a_time_follow_the_frame_rate() {
    let sizes = [300; 12];
    let units: Vec<Vec<u8>> = (0..12).map(|index| unit(index, 300)).collect();
    let timed = units.iter().enumerate();
    let read = Read::all(&stream(timed.map(|(at, unit)| ((at % 5 == 0).then_some(at as i64 * STEP_90K), &unit[..]))));
    assert_units(&read, &sizes);
    assert_eq!(times(&read), (0..12).map(|index| index * STEP_90K).collect::<Vec<_>>());
}

#[test]
fn i_pictures_behind_parameter_sets_are_entries_where_there_are_neither_idr_pictures_nor_recovery_points() {
    let packet = |index: usize| {
        let aud = [0, 0, 0, 1, 0x09, 0xf0];
        let picture: &[u8] = if index.is_multiple_of(5) { &[0x88, 0x80, 1] } else { &[0x9a, 0x02, 1] };
        let sets = if index.is_multiple_of(5) { &SETS[..] } else { &[] };
        [&aud, sets, &[0, 0, 0, 1, 0x61], picture].concat()
    };
    let packets: Vec<_> = (0..12).map(packet).collect();
    let timed = packets.iter().zip(0..).map(|(packet, index)| (Some(index * STEP_90K), &packet[..]));
    let read = Read::all(&stream(timed));
    let keys: Vec<_> = read.of(VIDEO).iter().map(|frame| frame.is_key()).collect();
    assert_eq!(keys, (0..12).map(|index| index % 5 == 0).collect::<Vec<_>>());
}

/// Two fields are two pictures in one PES packet: nothing but the parameter sets says that they belong together.
#[test]
fn who_joins_behind_the_parameter_sets_of_fields_gets_them_together() {
    let packet = |index: usize| {
        let is_key = index == 3;
        let sets = if is_key { &FIELD_SETS[..] } else { &[] };
        [sets, &slice(is_key, true, 200), &slice(is_key, true, 150)].concat()
    };
    let packets: Vec<_> = (0..9).map(packet).collect();
    let timed = packets.iter().zip(0..).map(|(packet, index)| (Some(index * 3_600), &packet[..]));
    let read = Read::all(&stream(timed));
    assert_eq!(times(&read), (3..9).map(|index| index * 3_600).collect::<Vec<_>>(), "one frame a PES packet");
    assert!(read.of(VIDEO).iter().all(|frame| frame.payload.len() > 350));
    assert_eq!(read.stats.dropped_frames, 3, "those in front of the parameter sets");
}

/// A field is an access unit of its own (H.264 §7.4.1.2.4), and a PES packet says the time of the first one.
#[test]
fn second_fields_without_a_time_are_between_their_frames() {
    // `first_mb_in_slice` 0, `slice_type` 7, `pic_parameter_set_id` 0, `frame_num` 5, `field_pic_flag`.
    let field = |index: usize| {
        let sets = if index == 0 { &FIELD_SETS[..] } else { &[] };
        [sets, &[0, 0, 0, 1, if index == 0 { 0x65 } else { 0x41 }, 0x88, 0xac], &[0x55; 100]].concat()
    };
    let fields: Vec<_> = (0..12).map(field).collect();
    let timed = fields.iter().zip(0..).map(|(field, index)| ((index % 2 == 0).then_some(index * 1_800), &field[..]));
    assert_eq!(times(&Read::all(&stream(timed))), (0..12).map(|index| index * 1_800).collect::<Vec<_>>());
}

/// Once it is known that they are aligned, a picture is given out when its PES packet is complete.
#[test]
fn alignment_costs_the_delay_of_one_pes_packet_once() {
    let mut demuxer = super::TsDemuxer::default();
    let units: Vec<Vec<u8>> = (0..6).map(|index| unit(index, 300)).collect();
    let bytes = stream(units.iter().enumerate().map(|(at, unit)| (Some(at as i64 * STEP_90K), &unit[..])));
    let per_unit = (bytes.len() - 2 * 188) / 6;
    let mut seen = Vec::new();
    demuxer.push(&bytes[..2 * 188]);
    for unit in bytes[2 * 188..].chunks(per_unit) {
        demuxer.push(unit);
        seen.push(std::iter::from_fn(|| demuxer.poll()).filter(|item| matches!(item, crate::Item::Frame(_))).count());
    }
    // Each PES packet is complete when the next one begins; the first one waits until the second one is.
    assert_eq!(seen, [0, 0, 2, 1, 1, 1]);
}

/// A PES packet of more than 65 535 bytes whose length is what 16 bits hold of it.
#[test]
fn wrapped_length_of_a_large_picture_does_not_cut_it() {
    let sizes = [100_000, 66_000, 131_050, 300, 65_600];
    let mut bytes = stream([]);
    let mut counter = 0;
    for (index, size) in sizes.iter().enumerate() {
        let content = unit(index, *size);
        let mut packets = pes_packets(PID, counter, 0xE0, &content, Some(index as i64 * STEP_90K));
        counter = counter.wrapping_add((packets.len() / 188) as u8) & 0x0F;
        let at = packets.windows(4).position(|window| window == [0, 0, 1, 0xE0]).unwrap();
        // Three bytes of header, and the PTS.
        let length = ((content.len() + 8) & 0xFFFF) as u16;
        packets[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
        bytes.extend(packets);
    }
    let read = Read::all(&bytes);
    let frames = read.of(VIDEO);
    assert_eq!(frames.len(), sizes.len());
    for (index, size) in sizes.iter().enumerate() {
        assert!(frames[index].payload == payload(index, *size), "{size} bytes");
    }
}

#[test]
fn a_lost_packet_of_an_unaligned_stream_leaves_only_whole_access_units() {
    let units: Vec<Vec<u8>> = (0..40).map(|index| unit(index, 900)).collect();
    let whole = units.concat();
    let bytes = stream(whole.chunks(1_000).enumerate().map(|(at, content)| (Some(at as i64 * 3_000), content)));
    let good: Vec<Vec<u8>> = (0..40).map(|index| payload(index, 900)).collect();
    // Behind the second PES packet: whether the first one is a whole access unit, nothing else could tell.
    for lost in (15..bytes.len() / 188).step_by(7) {
        let read = Read::all(&[&bytes[..lost * 188], &bytes[(lost + 1) * 188..]].concat());
        let seen = read.of(VIDEO);
        assert!(seen.iter().all(|frame| good.iter().any(|payload| frame.payload == *payload)), "packet {lost}");
        assert!(seen.len() >= 28, "{} of 40 behind packet {lost}", seen.len());
    }
}

/// The bitstream of x264, cut anywhere, gives what its own access units give.
#[test]
fn a_real_stream_that_is_cut_anywhere_gives_its_access_units() {
    let scratch = Scratch::new("mpegts-unaligned");
    let clip = Clip::make(&scratch, 2);
    let whole = std::fs::read(scratch.path("clip.h264")).unwrap();
    let expected: Vec<Bytes> = clip.of(VIDEO).map(|frame| frame.payload.clone()).collect();
    for piece in [501, 10_007] {
        let packets = whole.chunks(piece).enumerate().map(|(at, content)| ((at == 0).then_some(0), content));
        let read = Read::all(&stream(packets));
        assert!(read.of(VIDEO).iter().map(|frame| frame.payload.clone()).eq(expected.iter().cloned()), "{piece}");
        let dts: Vec<i64> = (0..expected.len() as i64).map(|index| index * 3_003).collect();
        assert_eq!(times(&read), dts);
    }
}
