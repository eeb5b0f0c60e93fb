//! Program Association Table and Program Map Table (§2.4.4.4 and §2.4.4.9).

use arcly_bus::Track;

use super::super::PACKET_BYTES;
use super::super::crc::crc_32;
use super::buffer::PacketBuffer;
use super::descriptor::{program_descriptors, stream_descriptors, stream_type};
use super::packet::{COUNTER_START, Pid, section_packets, write_again};

/// The two tables of a program, built once: only the continuity counters of their packets change.
#[derive(Debug)]
pub(super) struct Tables {
    pat_pid: Pid,
    pmt_pid: Pid,
    pat: Vec<[u8; PACKET_BYTES]>,
    pmt: Vec<[u8; PACKET_BYTES]>,
}

/// A line of the PMT.
pub(super) struct Entry<'a> {
    pub(super) pid: u16,
    pub(super) track: &'a Track,
}

impl Tables {
    /// The tables before there is a program; [`Self::describe`] makes one.
    pub(super) fn new() -> Self {
        Self {
            pat_pid: Pid::new(PAT_PID, COUNTER_START),
            pmt_pid: Pid::new(PMT_PID, COUNTER_START),
            pat: section_packets(&association_section()),
            pmt: Vec::new(),
        }
    }

    /// Replaces the program map.
    pub(super) fn describe(&mut self, version: u8, pcr_pid: u16, entries: &[Entry<'_>]) {
        self.pmt = section_packets(&map_section(version, pcr_pid, entries));
    }

    /// Appends both.
    pub(super) fn write(&mut self, out: &mut PacketBuffer) {
        for (pid, packets) in [(&mut self.pat_pid, &self.pat), (&mut self.pmt_pid, &self.pmt)] {
            packets.iter().enumerate().for_each(|(index, packet)| write_again(pid, index == 0, packet, out));
        }
    }
}

fn association_section() -> Vec<u8> {
    let [high, low] = PMT_PID.to_be_bytes();
    let [number_high, number_low] = PROGRAM_NUMBER.to_be_bytes();
    section(TABLE_PAT, TRANSPORT_STREAM_ID, 0, &[number_high, number_low, 0xE0 | high, low])
}

fn map_section(version: u8, pcr_pid: u16, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut body = (0xE000 | pcr_pid).to_be_bytes().to_vec();
    put_loop(&mut body, &program_descriptors(entries.iter().map(|entry| &entry.track.config), PROGRAM_NUMBER));
    for Entry { pid, track } in entries {
        body.push(stream_type(track));
        body.extend_from_slice(&(0xE000 | pid).to_be_bytes());
        put_loop(&mut body, &stream_descriptors(track));
    }
    section(TABLE_PMT, PROGRAM_NUMBER, version, &body)
}

/// Descriptors behind their length: 12 bits, of which `MAX_TRACKS` needs less than a quarter.
fn put_loop(body: &mut Vec<u8>, descriptors: &[u8]) {
    let length = u16::try_from(descriptors.len()).unwrap_or(u16::MAX) & 0x0FFF;
    body.extend_from_slice(&(0xF000 | length).to_be_bytes());
    body.extend_from_slice(descriptors);
}

/// A section in the long syntax (§2.4.4.11), current, the only one of its table.
fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(5 + body.len() + 4).unwrap_or(u16::MAX) & 0x0FFF;
    let mut section = vec![table_id];
    section.extend_from_slice(&(0xB000 | length).to_be_bytes());
    section.extend_from_slice(&extension.to_be_bytes());
    section.extend_from_slice(&[0xC1 | (version & 0x1F) << 1, 0, 0]);
    section.extend_from_slice(body);
    let crc = crc_32(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

const TABLE_PAT: u8 = 0x00;
const TABLE_PMT: u8 = 0x02;
const PAT_PID: u16 = 0x0000;
/// Where the program map is.
pub(in crate::mpegts) const PMT_PID: u16 = 0x1000;
const TRANSPORT_STREAM_ID: u16 = 1;
const PROGRAM_NUMBER: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn association_section_maps_program_1_to_its_pid() {
        let section = association_section();
        assert_eq!(section[..12], [0x00, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0x00]);
        assert_eq!(crc_32(&section), 0);
    }
}
