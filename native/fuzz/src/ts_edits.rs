//! Edits of transport streams that know packets and sections, and that mend the CRC: without it nothing behind a section is
//! ever reached.

use crate::{mutate::edge, random::Random};

const PACKET_BYTES: usize = 188;

/// One edit of one packet, wherever packets are.
pub fn edit_packets(random: &mut Random, bytes: &mut Vec<u8>) {
    let packets = bytes.len() / PACKET_BYTES;
    if packets == 0 {
        return;
    }
    let at = random.below(packets) * PACKET_BYTES;
    match random.below(12) {
        0 => drop(bytes.drain(at..at + PACKET_BYTES)),
        1 => repeat_packet(random, bytes, at),
        2 => swap_packets(random, bytes, at),
        3 => set(bytes, at + 3, |control| control ^ 1 << random.below(4)),
        4 => set(bytes, at + 3, |control| control ^ 1 << (4 + random.below(4))),
        5 => set(bytes, at + 1, |flags| flags ^ 1 << (5 + random.below(3))),
        6 => move_packet(random, bytes, at, packets),
        7 => set(bytes, at + 4, |_| edge(random) as u8),
        8 => set(bytes, at + 5, |flags| flags ^ 1 << random.below(8)),
        9 => edit_pes_header(random, bytes, at),
        _ => edit_section(random, bytes),
    }
}

fn set(bytes: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = change(*byte);
    }
}

fn repeat_packet(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let packet = bytes.get(at..at + PACKET_BYTES).unwrap_or_default().repeat(1 + random.below(4));
    bytes.splice(at..at, packet);
}

fn swap_packets(random: &mut Random, bytes: &mut [u8], at: usize) {
    let other = random.below(bytes.len() / PACKET_BYTES) * PACKET_BYTES;
    (0..PACKET_BYTES).for_each(|offset| bytes.swap(at + offset, other + offset));
}

/// Gives a packet the PID of another one.
fn move_packet(random: &mut Random, bytes: &mut [u8], at: usize, packets: usize) {
    let other = random.below(packets) * PACKET_BYTES;
    for offset in [1, 2] {
        let pid = bytes.get(other + offset).copied().unwrap_or_default();
        set(bytes, at + offset, |_| pid);
    }
}

/// Where the payload of the packet at `at` begins.
fn payload_at(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 3..at + 5) {
        Some(&[control, length]) if control & 0x20 != 0 => at + 5 + usize::from(length),
        _ => at + 4,
    }
}

/// Edits the length, the flags or the times of a PES packet, if one begins here.
fn edit_pes_header(random: &mut Random, bytes: &mut [u8], at: usize) {
    let pes = payload_at(bytes, at);
    if bytes.get(pes..).is_some_and(|pes| pes.starts_with(&[0, 0, 1])) {
        set(bytes, pes + 3 + random.below(16), |byte| if random.below(2) == 0 { edge(random) as u8 } else { byte ^ 1 });
    }
}

/// Edits a byte of a section that lies in one packet, and mends its CRC.
fn edit_section(random: &mut Random, bytes: &mut [u8]) {
    let begins = |packet: &&[u8]| packet.starts_with(&[0x47]) && matches!(packet.get(4..6), Some([0, 0 | 2 | 0xFC]));
    let sections = bytes.chunks_exact(PACKET_BYTES).enumerate().filter(|(_, packet)| begins(packet));
    let sections: Vec<usize> = sections.map(|(index, _)| index * PACKET_BYTES + 5).collect();
    let Some(&at) = random.pick(&sections) else { return };
    let length = |bytes: &[u8]| match bytes.get(at + 1..at + 3) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high & 0x0F, low])) + 3,
        _ => 0,
    };
    let edited = random.below(length(bytes).max(4));
    set(bytes, at + edited, |byte| if random.below(2) == 0 { edge(random) as u8 } else { byte ^ 1 << random.below(8) });
    let bytes_of_section = length(bytes);
    if let Some(section) = bytes.get_mut(at..at + bytes_of_section) {
        mend(section);
    }
}

/// Gives a section the CRC that it must have.
pub fn mend(section: &mut [u8]) {
    if let Some((body, crc)) = section.split_last_chunk_mut::<4>() {
        *crc = crc_32(body).to_be_bytes();
    }
}

/// CRC_32 of ISO/IEC 13818-1 Annex A.
fn crc_32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc << 1) ^ ((crc >> 31) * 0x04C1_1DB7);
    bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_end_with_any_input_and_mended_sections_are_sound() {
        for number in 0..20_000 {
            let mut random = Random::new(1, number);
            let mut bytes = vec![0x47; random.below(2_000)];
            edit_packets(&mut random, &mut bytes);
            let mut packet = [&[0x47, 0x40, 0, 0x10, 0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0][..], &[0; 175]].concat();
            edit_section(&mut random, &mut packet);
            let section_bytes = usize::from(u16::from_be_bytes([packet[6] & 0x0F, packet[7]])) + 3;
            if let Some(section) = packet.get(5..5 + section_bytes).filter(|section| section.len() >= 4) {
                assert_eq!(crc_32(section), 0, "{number}");
            }
        }
    }
}
