//! E-AC-3 whose objects and further substreams come and go behind the same first syncframe.

use arcly_codec::CodecConfig;

use super::{
    super::PACKET_BYTES,
    tests::{Read, pat, pes_packets, pmt, section_packet},
};
use crate::testing::{AUDIO, EAC3_MAIN, EAC3_OBJECTS, EAC3_REAR, eac3};

const PID: u16 = 0x101;

/// A stream with an access unit in each PES packet.
fn stream(units: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = section_packet(0, 0, &pat(0, &[(1, 0x1000)]));
    stream.extend(section_packet(0x1000, 0, &pmt(1, 0, PID, &[(0x87, PID, &[])])));
    let mut counter = 0;
    for (index, unit) in units.iter().enumerate() {
        let packets = pes_packets(PID, counter, 0xBD, unit, Some(index as i64 * 2_880));
        counter += (packets.len() / PACKET_BYTES) as u8;
        stream.extend(packets);
    }
    stream
}

/// Channels and objects of each announcement.
fn announced(read: &Read) -> Vec<(u8, Option<u8>)> {
    let sets = read.tracks.iter().flatten().filter_map(|track| match &track.config {
        CodecConfig::Eac3(config) => Some((config.info.channels, config.joc_complexity)),
        _ => None,
    });
    sets.collect()
}

/// Found by a reader: the record of the first access unit stayed.
#[test]
fn objects_and_substreams_that_come_and_go_are_announced() {
    let (main, objects) = (eac3(&[EAC3_MAIN]), eac3(&[EAC3_OBJECTS]));
    let with_rear = eac3(&[EAC3_MAIN, EAC3_REAR]);
    let units = [&main, &main, &with_rear, &with_rear, &objects, &objects, &main].map(Clone::clone);
    let read = Read::all(&stream(&units));
    assert_eq!(announced(&read), [(6, None), (8, None), (6, Some(12)), (6, None)]);
    assert_eq!((read.of(AUDIO).len(), read.stats.dropped_frames), (7, 0));
}

#[test]
fn another_bit_rate_is_no_other_configuration() {
    let mut larger = EAC3_MAIN.to_vec();
    // frmsiz: in words, less one.
    larger[3] = 0x5F;
    let larger = [eac3(&[&larger]), vec![0; 64]].concat();
    let read = Read::all(&stream(&[eac3(&[EAC3_MAIN]), larger.clone(), eac3(&[EAC3_MAIN]), larger]));
    assert_eq!((announced(&read), read.of(AUDIO).len()), (vec![(6, None)], 4));
}
