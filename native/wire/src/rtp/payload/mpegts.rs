//! MPEG-TS (RFC 2250 §2): the payload is whole packets. The container is opened elsewhere.

use arcly_codec::CodecError;
use bytes::Bytes;

use crate::rtp::Packet;

/// Bytes of a packet of MPEG-TS.
const TS_PACKET_BYTES: usize = 188;
/// What each begins with.
const SYNC: u8 = 0x47;

/// Bytes of the seven packets of MPEG-TS that fit into a datagram of Ethernet.
pub const TS_PAYLOAD_BYTES: usize = 7 * TS_PACKET_BYTES;

/// The packets of MPEG-TS that a packet holds.
///
/// # Errors
/// [`CodecError::Malformed`] when they are not whole, or none.
pub fn ts_packets(packet: &Packet) -> Result<Bytes, CodecError> {
    let (packets, rest) = packet.payload.as_chunks::<TS_PACKET_BYTES>();
    let wrong = packets.iter().position(|packet| packet.first() != Some(&SYNC));
    match wrong.or((!rest.is_empty() || packets.is_empty()).then_some(packets.len())) {
        Some(index) => Err(CodecError::Malformed { what: "MPEG-TS packet", offset: index * TS_PACKET_BYTES }),
        None => Ok(packet.payload.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_packets_are_taken() {
        let of = |bytes: &[u8]| ts_packets(&Packet { payload: Bytes::copy_from_slice(bytes), ..Packet::default() });
        let packet = [&[SYNC][..], &[0; 187]].concat();
        assert_eq!(of(&packet.repeat(7)).unwrap().len(), TS_PAYLOAD_BYTES);
        for wrong in [&[][..], &packet[1..], &packet[..187], &[&packet[..], &[0; 188]].concat()] {
            assert!(of(wrong).is_err());
        }
    }
}
