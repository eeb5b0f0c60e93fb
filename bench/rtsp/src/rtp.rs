//! Access units to packets and back, beside arcly-stream's.

use std::hint::black_box;

use arcly_bench_report::{Contestant, Goal, Row, cpu_ns_of, interleaved};
use arcly_stream::protocol::rtp::{H264Depacketizer, RtpFragment, RtpPacketizer};
use arcly_wire::rtp::{Depacketizer, Format, Limits, Packet, Packetizer};
use bytes::Bytes;

use crate::stream::{MAX_PAYLOAD_BYTES, config, picture};

const ROUNDS: usize = 31;
/// Access units of a round.
const UNITS: usize = 1_000;

pub fn rows() -> Vec<Row> {
    [2 << 10, 10 << 10, 100 << 10].into_iter().flat_map(|bytes| [packetize(bytes), depacketize(bytes)]).collect()
}

/// Fragments that all viewers share, without headers: ours is the two parts of each payload, in one buffer as they would leave.
fn packetize(bytes: usize) -> Row {
    let unit = picture(bytes, false);
    let annex_b = [&[0, 0, 0, 1], &unit[4..]].concat();
    let config = config();
    let format = Format::of(96, &config).expect("H.264 over RTP");
    let mut ours = Packetizer::new(&format, &config, MAX_PAYLOAD_BYTES).expect("H.264 over RTP");
    // Its limit is that of the whole packet.
    let peer = RtpPacketizer::new(96, 1, MAX_PAYLOAD_BYTES + 12);
    let (mut out, mut fragments): (Vec<u8>, Vec<RtpFragment>) = (Vec::with_capacity(2 * bytes), Vec::new());
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| {
            per_unit(|| {
                out.clear();
                let done = ours.packetize(black_box(&unit), false, &mut |payload| payload.write(&mut out));
                let _ = black_box(done);
                black_box(&out);
            })
        }),
        Box::new(|| {
            per_unit(|| {
                peer.fragment_into(black_box(&annex_b), &mut fragments);
                black_box(&fragments);
            })
        }),
    ];
    report("packetise", bytes, &interleaved(ROUNDS, contestants))
}

/// Packets to an access unit that is kept, as the bus keeps it. Datagrams are there already, in memory of their own.
fn depacketize(bytes: usize) -> Row {
    let packets = packets(bytes);
    let format = Format::of(96, &config()).expect("H.264 over RTP");
    let mut ours = Depacketizer::new(&format, Limits::default()).expect("H.264 over RTP");
    let mut peer = H264Depacketizer::new();
    let (mut timestamp, mut peer_timestamp, mut peer_sequence) = (0_u32, 0_u32, 0_u16);
    let contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| {
            per_unit(|| {
                timestamp = timestamp.wrapping_add(3_600);
                for datagram in black_box(&packets) {
                    let Ok(mut packet) = Packet::parse(datagram.clone()) else { continue };
                    packet.header.timestamp = timestamp;
                    let _ = black_box(ours.push(&packet, false));
                }
                black_box(ours.poll().expect("an access unit"));
            })
        }),
        Box::new(|| {
            per_unit(|| {
                peer_timestamp = peer_timestamp.wrapping_add(3_600);
                let mut unit = None;
                for datagram in black_box(&packets) {
                    peer_sequence = peer_sequence.wrapping_add(1);
                    let header = arcly_stream::protocol::rtp::RtpHeader::parse(datagram).expect("a header");
                    let done = peer.push(&datagram[12..], header.marker, peer_timestamp, peer_sequence);
                    unit = done.ok().flatten().or(unit);
                }
                black_box(unit.expect("an access unit"));
            })
        }),
    ];
    report("depacketise", bytes, &interleaved(ROUNDS, contestants))
}

fn packets(bytes: usize) -> Vec<Bytes> {
    let config = config();
    let format = Format::of(96, &config).expect("H.264 over RTP");
    let mut packetizer = Packetizer::new(&format, &config, MAX_PAYLOAD_BYTES).expect("H.264 over RTP");
    let mut packets = Vec::new();
    let put = &mut |payload: arcly_wire::rtp::Payload<'_>| {
        let header = arcly_wire::rtp::Header { marker: payload.marker, payload_type: 96, ..Default::default() };
        let mut packet = header.to_bytes().to_vec();
        payload.write(&mut packet);
        packets.push(packet.into());
    };
    packetizer.packetize(&picture(bytes, false), false, put).expect("a whole access unit");
    packets
}

/// Nanoseconds of one access unit.
fn per_unit(mut work: impl FnMut()) -> f64 {
    cpu_ns_of(|| (0..UNITS).for_each(|_| work())) / UNITS as f64
}

fn report(what: &str, bytes: usize, times: &[f64]) -> Row {
    let name = format!("RTP {what} H.264, access units of {} KB; beside arcly-stream", bytes >> 10);
    Row::new(name, "ns", times[0], Goal::Ratio(3.0)).peer(times[1])
}
