//! When each packet came: transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use arcly_codec::{CodecError, cursor::Cursor};
use bytes::{BufMut, BytesMut};

use super::{
    feedback::TRANSPORT_WIDE,
    packet::{RtcpPacket, TRANSPORT_FEEDBACK, write},
};

/// Packets of one feedback; real ones are about some hundreds. A chunk of two bytes can name 8191 of them.
const MAX_PACKETS: usize = 8_192;
/// Two-bit symbols: not received, received with a small delta (a byte), received with a large or negative one (two bytes).
const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;
/// Packets that a chunk with two-bit symbols names.
const CHUNK_SYMBOLS: usize = 7;
/// The longest run of a chunk.
const MAX_RUN: usize = 0x1fff;

/// When each packet came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Who says it.
    pub sender: u32,
    /// Of whom.
    pub media: u32,
    /// The transport-wide sequence number of the first packet.
    pub base: u16,
    /// A time of the receiver's clock, in 64 ms. 24 bits with a sign.
    pub reference_time: i32,
    /// Counts feedback, modulo 256.
    pub count: u8,
    /// For each packet from `base` on, from the arrival of the one in front of it (for the first: from `reference_time`) to its
    /// own, in 250 µs; `None` when it has not come.
    pub deltas: Vec<Option<i16>>,
}

impl TransportFeedback {
    pub(super) fn read(fields: &mut Cursor<'_>, sender: u32, media: u32) -> Result<Option<RtcpPacket>, CodecError> {
        let Some([b0, b1, n0, n1, r0, r1, r2, count]) = fields.array::<8>() else { return Ok(None) };
        let packets = usize::from(u16::from_be_bytes([n0, n1]));
        if packets > MAX_PACKETS {
            return Err(CodecError::LimitExceeded { limit: "packets of a feedback", max: MAX_PACKETS, seen: packets });
        }
        let Some(symbols) = read_symbols(fields, packets) else { return Ok(None) };
        let delta = |symbol: u8| match symbol {
            SMALL_DELTA => fields.u8().map(|delta| Some(i16::from(delta))),
            LARGE_DELTA => fields.u16().map(|delta| Some(delta as i16)),
            _ => Some(None),
        };
        let deltas: Option<Vec<_>> = symbols.into_iter().map(delta).collect();
        let reference_time = (i32::from_be_bytes([r0, r1, r2, 0])) >> 8;
        let base = u16::from_be_bytes([b0, b1]);
        Ok(deltas.map(|deltas| RtcpPacket::Transport(Self { sender, media, base, reference_time, count, deltas })))
    }

    pub(super) fn write(&self, into: &mut BytesMut) {
        let deltas = self.deltas.get(..MAX_PACKETS).unwrap_or(&self.deltas);
        write(into, TRANSPORT_FEEDBACK, TRANSPORT_WIDE, |body| {
            body.put_u32(self.sender);
            body.put_u32(self.media);
            body.put_u16(self.base);
            body.put_u16(deltas.len() as u16);
            body.put_u32((self.reference_time as u32) << 8 | u32::from(self.count));
            let symbols: Vec<u8> = deltas.iter().map(|delta| delta.map_or(NOT_RECEIVED, symbol_of)).collect();
            write_symbols(&symbols, body);
            for delta in deltas.iter().flatten() {
                match symbol_of(*delta) {
                    SMALL_DELTA => body.put_u8(*delta as u8),
                    _ => body.put_i16(*delta),
                }
            }
        });
    }
}

fn symbol_of(delta: i16) -> u8 {
    if (0..=255).contains(&delta) { SMALL_DELTA } else { LARGE_DELTA }
}

/// Chunks until all packets are named (§3.1.1 to §3.1.4). The last may name more.
fn read_symbols(fields: &mut Cursor<'_>, packets: usize) -> Option<Vec<u8>> {
    let mut symbols = Vec::with_capacity(packets.min(8 * fields.rest().len()));
    while symbols.len() < packets {
        let chunk = fields.u16()?;
        if chunk & 0x8000 == 0 {
            let run = usize::from(chunk) & MAX_RUN;
            symbols.extend(std::iter::repeat_n((chunk >> 13 & 0b11) as u8, run.min(packets - symbols.len())));
            // A run of nothing would be read for ever, but each costs two bytes.
        } else if chunk & 0x4000 == 0 {
            symbols.extend((0..14).rev().map(|bit| (chunk >> bit & 1) as u8));
        } else {
            symbols.extend((0..CHUNK_SYMBOLS).rev().map(|place| (chunk >> (2 * place) & 0b11) as u8));
        }
    }
    symbols.truncate(packets);
    Some(symbols)
}

/// Long runs as such, the rest in chunks of seven.
fn write_symbols(mut symbols: &[u8], body: &mut BytesMut) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take(MAX_RUN).take_while(|&&symbol| symbol == first).count();
        let taken = if run > CHUNK_SYMBOLS || run == symbols.len() {
            body.put_u16(u16::from(first) << 13 | run as u16);
            run
        } else {
            let chunk = symbols.iter().take(CHUNK_SYMBOLS).enumerate();
            let bits = chunk.fold(0_u16, |bits, (place, &symbol)| bits | u16::from(symbol) << (12 - 2 * place));
            body.put_u16(0xc000 | bits);
            CHUNK_SYMBOLS.min(symbols.len())
        };
        symbols = symbols.get(taken..).unwrap_or_default();
    }
}
