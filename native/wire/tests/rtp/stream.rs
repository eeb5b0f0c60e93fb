//! A stream of packets made of access units, and what a reader makes of it.

use arcly_codec::CodecConfig;
use arcly_wire::rtp::{AccessUnit, Depacketizer, Format, Header, Limits, Packet, Packetizer};
use bytes::Bytes;

/// An xorshift generator: the same inputs for the same seed, everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// The time of the first access unit: it wraps soon.
pub const FIRST_TIMESTAMP: u32 = 0xffff_fff0;

/// Access units in, packets out.
pub struct Sender {
    packetizer: Packetizer,
    header: Header,
    max_payload_bytes: usize,
}

impl Sender {
    pub fn new(format: &Format, config: &CodecConfig, max_payload_bytes: usize) -> Self {
        let packetizer = Packetizer::new(format, config, max_payload_bytes).unwrap();
        // Wraps soon.
        let header = Header { payload_type: 96, sequence: 65_530, timestamp: FIRST_TIMESTAMP, ssrc: 7, marker: false };
        Self { packetizer, header, max_payload_bytes }
    }

    /// The packets of one access unit, as they are on the wire.
    pub fn send(&mut self, payload: &[u8], is_key: bool, ticks: u32) -> Vec<Bytes> {
        let (mut packets, max) = (Vec::new(), self.max_payload_bytes);
        let base = self.header;
        let header = &mut self.header;
        self.packetizer
            .packetize(payload, is_key, &mut |payload| {
                assert!(payload.len() > 0 && payload.len() <= max, "{} of {max}", payload.len());
                header.marker = payload.marker;
                header.timestamp = base.timestamp.wrapping_add(payload.timestamp_offset);
                let mut packet = header.to_bytes().to_vec();
                payload.write(&mut packet);
                packets.push(packet.into());
                header.sequence = header.sequence.wrapping_add(1);
            })
            .unwrap();
        self.header.timestamp = base.timestamp.wrapping_add(ticks);
        packets
    }
}

/// Packets in, access units out.
pub struct Reader {
    pub depacketizer: Depacketizer,
    next: Option<u16>,
}

impl Reader {
    pub fn new(format: &Format) -> Self {
        Self { depacketizer: Depacketizer::new(format, Limits::default()).unwrap(), next: None }
    }

    /// Sees gaps by the sequence numbers.
    pub fn push(&mut self, packet: &Bytes) -> Vec<AccessUnit> {
        let packet = Packet::parse(packet.clone()).unwrap();
        let sequence = packet.header.sequence;
        let is_after_gap = self.next.is_some_and(|next| next != sequence);
        self.next = Some(sequence.wrapping_add(1));
        self.depacketizer.push(&packet, is_after_gap).unwrap();
        self.poll()
    }

    pub fn poll(&mut self) -> Vec<AccessUnit> {
        std::iter::from_fn(|| self.depacketizer.poll()).collect()
    }
}

/// Sends all of these, and reads them.
pub fn round_trip(config: &CodecConfig, max_payload_bytes: usize, units: &[(Vec<u8>, bool)]) -> Vec<AccessUnit> {
    let format = Format::of(96, config).unwrap();
    let (mut sender, mut reader) = (Sender::new(&format, config, max_payload_bytes), Reader::new(&format));
    let packets = units.iter().flat_map(|(unit, is_key)| sender.send(unit, *is_key, 3_000));
    packets.collect::<Vec<_>>().iter().flat_map(|packet| reader.push(packet)).collect()
}

pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
