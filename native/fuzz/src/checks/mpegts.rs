//! Packets of a transport stream (ISO/IEC 13818-1 §2.4.3).

use std::collections::BTreeMap;

const PACKET_BYTES: usize = 188;

/// Follows a transport stream.
#[derive(Default)]
pub struct PacketChecks {
    /// `continuity_counter` of each PID.
    counters: BTreeMap<u16, u8>,
}

impl PacketChecks {
    /// Checks the next bytes of the stream.
    pub fn check(&mut self, stream: &[u8]) {
        let (packets, rest) = stream.as_chunks::<PACKET_BYTES>();
        assert!(rest.is_empty(), "whole packets");
        packets.iter().for_each(|packet| self.check_packet(packet));
    }

    fn check_packet(&mut self, packet: &[u8; PACKET_BYTES]) {
        let [sync_byte, high, low, control, adaptation_field_length, ..] = *packet;
        assert_eq!(sync_byte, 0x47, "sync_byte");
        let (has_payload, has_adaptation) = (control & 0x10 != 0, control & 0x20 != 0);
        assert!(has_payload || has_adaptation, "adaptation_field_control");
        let longest = if has_payload { 182 } else { 183 };
        assert!(!has_adaptation || adaptation_field_length <= longest, "adaptation_field_length");
        let counter = control & 0x0f;
        let previous = self.counters.insert(u16::from_be_bytes([high, low]) & 0x1fff, counter);
        let expected = |previous: u8| previous.wrapping_add(u8::from(has_payload)) & 0x0f;
        assert!(previous.is_none_or(|previous| counter == expected(previous)), "continuity_counter");
    }
}
