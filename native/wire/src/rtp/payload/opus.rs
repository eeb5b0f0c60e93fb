//! Opus (RFC 7587): the payload is a packet.

use arcly_codec::{CodecError, opus::packet_samples};

use super::{
    depacketizer::{Depacketize, Output},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

#[derive(Debug)]
pub(super) struct Packetizer;

impl Packetize for Packetizer {
    /// An Opus packet cannot be cut (RFC 7587 §4.2); an encoder that keeps to a bit rate keeps to the size.
    fn packetize(&mut self, access_unit: &[u8], _is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        if !access_unit.is_empty() {
            sink(Payload { head: &[], body: access_unit, marker: false, timestamp_offset: 0 });
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Depacketizer;

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, _is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if packet.payload.is_empty() {
            return Ok(());
        }
        if let Err(error) = packet_samples(&packet.payload) {
            out.lose();
            return Err(error);
        }
        out.emit(packet.payload.clone(), packet.header.timestamp, 0, false);
        Ok(())
    }

    fn reset(&mut self) {}

    fn buffered_bytes(&self) -> usize {
        0
    }
}
