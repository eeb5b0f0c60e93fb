//! AAC whose header says no channels: a program_config_element in an access unit does, and encoders send it with the first one only.

use arcly_codec::CodecConfig;

use super::{
    super::PACKET_BYTES,
    tests::{Read, pat, pes_packets, pmt, section_packet},
};
use crate::testing::AUDIO;

const PID: u16 = 0x101;

/// The program_config_elements of `ffmpeg -c:a aac` (FFmpeg 5.1) at 48 kHz: `octagonal`, and `5.1(side)`.
const OCTAGONAL: &[u8] = b"\xA0\x99\x09\x00\x04\x01\x19\x04\x0DLavc59.37.100";
const SIDE: &[u8] = b"\xA0\x99\x08\x80\x04\x00\x18\x80\x0DLavc59.37.100";
/// What follows it in silence of eight channels, and is a whole access unit where there is none.
const SILENCE: &[u8] =
    b"\x00\x42\x20\x08\xC1\x18\x00\x46\x08\x00\x46\x20\x08\xC1\x18\x09\x44\x01\x18\x23\x00\x18\xC1\x00\x38";

/// An access unit behind the header of the encoder: AAC-LC, 48 kHz, no channels said.
fn adts(access_unit: &[u8]) -> Vec<u8> {
    let bytes = 7 + access_unit.len();
    let header = [0xFF, 0xF1, 0x4C, (bytes >> 11) as u8, (bytes >> 3) as u8, (bytes << 5) as u8 | 0x1F, 0xFC];
    [&header[..], access_unit].concat()
}

/// A stream of PES packets with these access units.
fn stream(packets: &[&[&[u8]]]) -> Vec<u8> {
    let mut stream = section_packet(0, 0, &pat(0, &[(1, 0x1000)]));
    stream.extend(section_packet(0x1000, 0, &pmt(1, 0, PID, &[(0x0F, PID, &[])])));
    let mut counter = 0;
    for (index, units) in packets.iter().enumerate() {
        let content: Vec<u8> = units.iter().flat_map(|unit| adts(unit)).collect();
        let packets = pes_packets(PID, counter, 0xC0, &content, Some(index as i64 * 1_920 * units.len() as i64));
        counter += (packets.len() / PACKET_BYTES) as u8;
        stream.extend(packets);
    }
    stream
}

/// How many channels each announcement has.
fn channels(read: &Read) -> Vec<u8> {
    let sets = read.tracks.iter().flatten();
    sets.map(|track| if let CodecConfig::Aac(aac) = &track.config { aac.channels } else { 0 }).collect()
}

/// From FFmpeg there was no sound of eight channels, nor of `5.1(side)`, and its pictures waited for that.
#[test]
fn the_first_access_unit_says_the_channels_of_those_behind_it() {
    let first = [OCTAGONAL, SILENCE].concat();
    let read = Read::all(&stream(&[&[&first, SILENCE], &[SILENCE], &[&first, SILENCE]]));
    assert_eq!(channels(&read), [8]);
    let payloads: Vec<&[u8]> = read.of(AUDIO).iter().map(|frame| &frame.payload[..]).collect();
    assert_eq!(payloads, [&first[..], SILENCE, SILENCE, &first, SILENCE]);
    assert_eq!(read.stats.dropped_frames, 0);
}

#[test]
fn other_channels_behind_the_same_header_are_announced() {
    let (first, other) = ([OCTAGONAL, SILENCE].concat(), [SIDE, SILENCE].concat());
    let read = Read::all(&stream(&[&[SILENCE], &[&first], &[SILENCE, &other], &[&other, &first]]));
    assert_eq!(channels(&read), [8, 6, 8]);
    assert_eq!((read.of(AUDIO).len(), read.stats.dropped_frames), (5, 1), "nothing tells the channels of the first");
}
