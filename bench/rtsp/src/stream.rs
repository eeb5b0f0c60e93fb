//! A stream of H.264: 25 pictures a second, a key picture every two seconds.

use arcly_codec::{CodecConfig, h264::AvcConfig};
use arcly_wire::rtp::{Format, Header, Packetizer};
use bytes::{BufMut, Bytes, BytesMut};

/// x264, main profile, 640×360.
const AVC: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";

pub const PICTURES_PER_S: u32 = 25;
const PICTURES_PER_GOP: usize = 50;
/// What fits into a datagram of Ethernet beside the headers.
pub const MAX_PAYLOAD_BYTES: usize = 1_400;

pub fn config() -> CodecConfig {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default();
    let record: Bytes = AVC.as_bytes().chunks(2).map(byte).collect();
    CodecConfig::H264(AvcConfig::parse(record).expect("a record of x264"))
}

/// Access units of one slice, as the bus has them: a key picture of four times the size every two seconds.
pub fn pictures(bit_rate: u32) -> Vec<(Bytes, bool)> {
    let mean = (bit_rate / 8 / PICTURES_PER_S) as usize;
    let other = mean * PICTURES_PER_GOP / (PICTURES_PER_GOP + 3);
    (0..PICTURES_PER_GOP)
        .map(|index| (picture(if index == 0 { 4 * other } else { other }, index == 0), index == 0))
        .collect()
}

/// One slice of `bytes`, with its length in front.
pub fn picture(bytes: usize, is_key: bool) -> Bytes {
    let mut unit = BytesMut::with_capacity(4 + bytes);
    unit.put_u32(bytes as u32);
    unit.put_slice(if is_key { &[0x65, 0x88] } else { &[0x41, 0x9a] });
    // No start code, and nothing that repeats at the edges of packets.
    unit.extend((2..bytes).map(|at| (at * 31 % 251) as u8 | 1));
    unit.freeze()
}

/// The packets of each picture of a group, from sequence number and time 0 on.
pub fn packets(bit_rate: u32) -> Vec<Vec<Bytes>> {
    let config = config();
    let format = Format::of(96, &config).expect("H.264 over RTP");
    let mut packetizer = Packetizer::new(&format, &config, MAX_PAYLOAD_BYTES).expect("H.264 over RTP");
    let mut header = Header { payload_type: 96, ssrc: 1, ..Header::default() };
    let mut cut = |(unit, is_key): (Bytes, bool)| {
        let mut packets = Vec::new();
        let put = &mut |payload: arcly_wire::rtp::Payload<'_>| {
            header.marker = payload.marker;
            let mut packet = header.to_bytes().to_vec();
            payload.write(&mut packet);
            header.sequence = header.sequence.wrapping_add(1);
            packets.push(packet.into());
        };
        packetizer.packetize(&unit, is_key, put).expect("a whole access unit");
        header.timestamp = header.timestamp.wrapping_add(90_000 / PICTURES_PER_S);
        packets
    };
    pictures(bit_rate).into_iter().map(&mut cut).collect()
}

/// A packet of [`packets`] as it is in another group: sequence number and time go on.
pub fn renumber(packet: &mut [u8], sequence: u16, timestamp: u32) {
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
}

/// A packet in channel 0, as RFC 7826 §14 frames it.
pub fn frame(packet: &Bytes) -> Vec<u8> {
    let [l0, l1] = (packet.len() as u16).to_be_bytes();
    [&[b'$', 0, l0, l1], packet.as_ref()].concat()
}
