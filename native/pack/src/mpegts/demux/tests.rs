//! The demuxer against the muxer, against ffmpeg, and against damage.

use std::sync::Arc;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig};
use bytes::Bytes;

use super::super::{PACKET_BYTES, TsDemuxer, TsMuxer, TsOptions, TsStats, crc::crc_32};
use super::foreign::ffprobe;
use crate::{
    Item, PackError,
    testing::{AUDIO, Clip, Rng, Scratch, VIDEO, audio_track, run, track_set},
};

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) tracks: Vec<Vec<Track>>,
    pub(super) frames: Vec<Frame>,
    pub(super) stats: TsStats,
    pub(super) result: Option<PackError>,
}

impl Read {
    pub(super) fn all(stream: &[u8]) -> Self {
        Self::pieces(stream, stream.len().max(1), TsOptions::default())
    }

    pub(super) fn pieces(stream: &[u8], piece: usize, options: TsOptions) -> Self {
        let (mut demuxer, mut read) = (TsDemuxer::new(options), Self::default());
        for piece in stream.chunks(piece) {
            demuxer.push(piece);
            read.poll(&mut demuxer);
        }
        read.result = demuxer.finish().err();
        read.poll(&mut demuxer);
        read.stats = demuxer.stats();
        read
    }

    fn poll(&mut self, demuxer: &mut TsDemuxer) {
        while let Some(item) = demuxer.poll() {
            match item {
                Item::Tracks(tracks) => self.tracks.push(tracks),
                Item::Frame(frame) => {
                    let newest = self.tracks.last().expect("tracks come first");
                    assert!(newest.iter().any(|track| track.id == frame.track), "the track is known");
                    self.frames.push(frame);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) fn of(&self, track: TrackId) -> Vec<&Frame> {
        self.frames.iter().filter(|frame| frame.track == track).collect()
    }

    /// All that a reader could tell.
    pub(super) fn facts(&self) -> Vec<Facts<'_>> {
        self.frames.iter().map(facts).collect()
    }
}

/// Track, PTS, DTS, duration, flags, payload.
pub(super) type Facts<'a> = (u8, i64, i64, u32, u8, &'a [u8]);

fn facts(frame: &Frame) -> Facts<'_> {
    (frame.track.0, frame.pts, frame.dts, frame.duration, frame.flags.bits(), &frame.payload)
}

/// An avcC record written by libx264: 320x240, baseline.
const AVCC: [u8; 37] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00,
    0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

pub(super) fn tracks() -> Arc<TrackSet> {
    let avc = CodecConfig::parse(Codec::H264, Bytes::from_static(&AVCC)).unwrap();
    track_set(&[Track::new(VIDEO, avc), audio_track(48_000)])
}

/// A picture of one NAL unit that holds no start code.
fn picture(rng: &mut Rng, dts: i64, pts: i64, is_key: bool, bytes: usize) -> Frame {
    let nal: Vec<u8> = [if is_key { 0x65 } else { 0x41 }].into_iter().chain(letters(rng, bytes)).collect();
    let payload = [&(nal.len() as u32).to_be_bytes()[..], &nal].concat().into();
    let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
    Frame { track: VIDEO, flags, pts, dts, duration: 0, payload }
}

fn sound(rng: &mut Rng, dts: i64, bytes: usize) -> Frame {
    let payload = letters(rng, bytes).collect::<Vec<u8>>().into();
    Frame { track: AUDIO, flags: FrameFlags::NONE, pts: dts, dts, duration: 1024, payload }
}

/// Bytes that are neither zero nor a sync byte.
fn letters(rng: &mut Rng, bytes: usize) -> impl Iterator<Item = u8> + use<> {
    rng.bytes(bytes).into_iter().map(|byte| if byte == 0x47 || byte == 0xFF { 0x11 } else { byte | 0x10 })
}

/// So many pictures of 25 a second with B-pictures and sound, beginning at `start_s`.
pub(super) fn frames(pictures: i64, start_s: i64, bytes: usize) -> Vec<Frame> {
    let mut rng = Rng(7);
    let mut frames = Vec::new();
    let mut next_sound = start_s * 48_000;
    for index in 0..pictures {
        let dts = start_s * 90_000 + index * 3_600;
        let delay = [2, 3, 1, 1][index as usize % 4] * 3_600;
        frames.push(picture(&mut rng, dts, dts + delay, index % 10 == 0, bytes));
        while next_sound * 90_000 < (dts + 3_600) * 48_000 {
            frames.push(sound(&mut rng, next_sound, 200 + index as usize));
            next_sound += 1024;
        }
    }
    frames
}

pub(super) fn mux(tracks: &TrackSet, frames: &[Frame]) -> Vec<u8> {
    let (mut muxer, mut out) = (TsMuxer::new(tracks).unwrap(), Vec::new());
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    out
}

pub(super) fn stream() -> Vec<u8> {
    mux(&tracks(), &frames(6, 0, 150))
}

/// `frames` as they are read: a second later, which is what the muxer adds.
fn assert_read(read: &Read, tracks: &TrackSet, frames: &[Frame]) {
    for track in &tracks.tracks {
        let expected: Vec<&Frame> = frames.iter().filter(|frame| frame.track == track.id).collect();
        let seen = read.of(track.id);
        assert_eq!(seen.len(), expected.len(), "frames of track {}", track.id.0);
        let second = i64::from(track.clock_rate_hz);
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!((seen.pts, seen.dts), (expected.pts + second, expected.dts + second));
            assert_eq!((seen.flags, &seen.payload), (expected.flags, &expected.payload));
        }
    }
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// The positions of the packets of one PID.
fn positions(stream: &[u8], wanted: u16) -> Vec<usize> {
    let packets = stream.chunks(PACKET_BYTES).enumerate();
    packets.filter(|(_, packet)| pid(packet) == wanted).map(|(index, _)| index * PACKET_BYTES).collect()
}

fn without(stream: &[u8], at: usize) -> Vec<u8> {
    [&stream[..at], &stream[at + PACKET_BYTES..]].concat()
}

#[test]
fn what_was_muxed_is_read_back() {
    let (tracks, frames) = (tracks(), frames(100, 0, 5_000));
    let read = Read::all(&mux(&tracks, &frames));
    assert_read(&read, &tracks, &frames);
    assert_eq!(read.tracks.last(), Some(&tracks.tracks));
    let clean = TsStats { packets: read.stats.packets, frames: frames.len() as u64, ..TsStats::default() };
    assert_eq!((read.stats, read.result), (clean, None));
}

#[test]
fn every_split_gives_the_same_frames() {
    let stream = stream();
    let whole = Read::all(&stream);
    let (tracks, items) = (&whole.tracks, whole.facts());
    for at in 1..stream.len() {
        let mut demuxer = TsDemuxer::default();
        let mut read = Read::default();
        for piece in [&stream[..at], &stream[at..]] {
            demuxer.push(piece);
            read.poll(&mut demuxer);
        }
        demuxer.finish().unwrap();
        read.poll(&mut demuxer);
        assert!(read.facts() == items && read.tracks == *tracks, "split at {at}");
    }
    for piece in [1, 2, 3, 187, 188, 189, 1316] {
        assert_eq!(Read::pieces(&stream, piece, TsOptions::default()).facts(), items, "pieces of {piece}");
    }
}

#[test]
fn packets_of_192_and_204_bytes_give_the_same_frames() {
    let stream = stream();
    let expected = Read::all(&stream);
    let m2ts: Vec<u8> = stream.chunks(PACKET_BYTES).flat_map(|packet| [&[1, 2, 3, 4], packet].concat()).collect();
    let with_parity: Vec<u8> = stream.chunks(PACKET_BYTES).flat_map(|packet| [packet, &[5; 16]].concat()).collect();
    for stream in [m2ts, with_parity] {
        assert_eq!(Read::all(&stream).facts(), expected.facts());
        assert_eq!(Read::pieces(&stream, 61, TsOptions::default()).facts(), expected.facts());
    }
}

#[test]
fn garbage_between_packets_costs_only_itself() {
    let stream = stream();
    let expected = Read::all(&stream);
    let middle = 188 * 20;
    let garbage = vec![0x12; 999];
    let dirty = [&garbage[..], &stream[..middle], &garbage, &stream[middle..]].concat();
    let read = Read::all(&dirty);
    assert_eq!(read.facts(), expected.facts());
    assert_eq!(read.stats.skipped_bytes, 2 * 999);
}

#[test]
fn a_lost_packet_costs_its_access_unit_and_marks_the_next() {
    let stream = stream();
    let expected = Read::all(&stream);
    for (pid, track) in [(0x100, VIDEO), (0x101, AUDIO)] {
        let lost = positions(&stream, pid)[9];
        let read = Read::all(&without(&stream, lost));
        let (seen, all) = (read.of(track), expected.of(track));
        assert!(seen.len() < all.len() && seen.len() + 2 >= all.len(), "{} of {}", seen.len(), all.len());
        let marked: Vec<_> = seen.iter().filter(|frame| frame.is_discontinuity()).collect();
        assert_eq!(marked.len(), 1);
        assert!(seen.iter().all(|frame| all.iter().any(|other| other.payload == frame.payload)), "none is corrupt");
        assert_eq!(read.stats.continuity_errors, 1);
    }
}

#[test]
fn every_single_lost_packet_leaves_only_whole_access_units() {
    let stream = stream();
    let expected = Read::all(&stream);
    let payloads: Vec<&Bytes> = expected.frames.iter().map(|frame| &frame.payload).collect();
    // That the last one of an unbounded PES packet at the end is missing, nothing can tell.
    let last = *positions(&stream, 0x100).last().unwrap();
    for lost in (0..stream.len()).step_by(PACKET_BYTES).filter(|lost| *lost != last) {
        let read = Read::all(&without(&stream, lost));
        assert!(read.frames.iter().all(|frame| payloads.contains(&&frame.payload)), "packet at {lost}");
    }
}

#[test]
fn a_packet_that_comes_twice_is_read_once() {
    let stream = stream();
    let expected = Read::all(&stream);
    let twice: Vec<u8> = stream.chunks(PACKET_BYTES).flat_map(|packet| [packet, packet].concat()).collect();
    let read = Read::all(&twice);
    assert_eq!(read.facts(), expected.facts());
    assert_eq!(read.stats.continuity_errors, 0);
}

#[test]
fn fifteen_lost_packets_are_no_repetition() {
    let tracks = tracks();
    let mut rng = Rng(1);
    let frames: Vec<Frame> =
        (0..4).map(|index| picture(&mut rng, index * 3_600, index * 3_600, index == 0, 184 * 40)).collect();
    let stream = mux(&tracks, &frames);
    let video = positions(&stream, 0x100);
    let lost = &video[60..75];
    let packets = stream.chunks(PACKET_BYTES).enumerate();
    let holed: Vec<u8> = packets
        .filter(|(index, _)| !lost.contains(&(index * PACKET_BYTES)))
        .flat_map(|(_, packet)| packet.to_vec())
        .collect();
    let read = Read::all(&holed);
    assert_eq!((read.frames.len(), read.stats.continuity_errors), (3, 1));
}

/// Counters come round every 16 packets: a picture without its middle was given out as a whole one.
#[test]
fn sixteen_lost_packets_that_are_told_of_cost_their_picture() {
    let mut rng = Rng(1);
    let frames: Vec<Frame> =
        (0..4).map(|index| picture(&mut rng, index * 3_600, index * 3_600, index == 0, 184 * 40)).collect();
    let stream = mux(&tracks(), &frames);
    let video = positions(&stream, 0x100);
    let (mut demuxer, mut read) = (TsDemuxer::default(), Read::default());
    demuxer.push(&stream[..video[60]]);
    demuxer.lose(16 * PACKET_BYTES);
    demuxer.push(&stream[video[76]..]);
    demuxer.finish().unwrap();
    read.poll(&mut demuxer);
    let seen: Vec<_> = read
        .frames
        .iter()
        .map(|frame| (frame.dts / 3_600 - 25, frame.payload.len(), frame.is_discontinuity()))
        .collect();
    let bytes = frames[0].payload.len();
    assert_eq!(seen, [(0, bytes, false), (2, bytes, true), (3, bytes, false)]);
    // Of fewer the counters tell.
    let (mut demuxer, mut read) = (TsDemuxer::default(), Read::default());
    demuxer.push(&stream[..video[60]]);
    demuxer.lose(14 * PACKET_BYTES);
    demuxer.push(&stream[video[60]..]);
    demuxer.finish().unwrap();
    read.poll(&mut demuxer);
    assert_eq!(read.frames.len(), 4);
}

#[test]
fn a_packet_with_an_error_bit_is_as_if_lost() {
    let stream = stream();
    let at = positions(&stream, 0x100)[9];
    let mut broken = stream.clone();
    broken[at + 1] |= 0x80;
    let (read, lost) = (Read::all(&broken), Read::all(&without(&stream, at)));
    assert_eq!(read.facts(), lost.facts());
    assert_eq!(read.stats.broken_packets, 1);
}

#[test]
fn a_scrambled_stream_says_so() {
    let mut stream = stream();
    for at in [positions(&stream, 0x100), positions(&stream, 0x101)].concat() {
        stream[at + 3] |= 0x80;
    }
    let read = Read::all(&stream);
    assert!(read.frames.is_empty() && read.stats.scrambled_packets > 0);
    assert_eq!(read.result, Some(PackError::Unsupported { what: "scrambled program" }));
}

#[test]
fn what_is_no_transport_stream_says_so() {
    assert!(matches!(Read::all(&[0; 5000]).result, Some(PackError::Malformed { .. })));
    let nulls: Vec<u8> = (0..9).flat_map(|_| [&[0x47, 0x1F, 0xFF, 0x10][..], &[0xFF; 184]].concat()).collect();
    assert!(matches!(Read::all(&nulls).result, Some(PackError::Malformed { .. })));
}

/// PAT, PMT and other sections as packets.
pub(super) fn section_packet(pid: u16, counter: u8, section: &[u8]) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [&[0x47, 0x40 | high, low, 0x10 | counter, 0][..], section].concat();
    packet.resize(PACKET_BYTES, 0xFF);
    packet
}

pub(super) fn long_section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [length_high, length_low] = (body.len() as u16 + 9).to_be_bytes();
    let [high, low] = extension.to_be_bytes();
    let head = [table_id, 0xB0 | length_high, length_low, high, low, 0xC1 | version << 1, 0, 0];
    let section = [&head[..], body].concat();
    [&section[..], &crc_32(&section).to_be_bytes()].concat()
}

pub(super) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let entry = |(number, pid): &(u16, u16)| [number.to_be_bytes(), (0xE000 | pid).to_be_bytes()].concat();
    long_section(0, 1, version, &programs.iter().flat_map(entry).collect::<Vec<u8>>())
}

pub(super) fn pmt(number: u16, version: u8, pcr_pid: u16, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = [&(0xE000 | pcr_pid).to_be_bytes()[..], &[0xF0, 0]].concat();
    for (stream_type, pid, descriptors) in streams {
        body.push(*stream_type);
        body.extend((0xE000 | pid).to_be_bytes());
        body.extend((0xF000 | descriptors.len() as u16).to_be_bytes());
        body.extend(*descriptors);
    }
    long_section(2, number, version, &body)
}

/// The packets of the elementary streams alone, video moved to `video_pid` and sound to `audio_pid`.
pub(super) fn moved(stream: &[u8], video_pid: u16, audio_pid: u16) -> Vec<u8> {
    let mut packets = Vec::new();
    for packet in stream.chunks(PACKET_BYTES) {
        let to = match pid(packet) {
            0x100 => video_pid,
            0x101 => audio_pid,
            _ => continue,
        };
        let [high, low] = to.to_be_bytes();
        packets.extend_from_slice(&[&[0x47, packet[1] & 0xE0 | high, low], &packet[3..]].concat());
    }
    packets
}

fn interleaved(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut b = b.chunks(PACKET_BYTES);
    let both = a.chunks(PACKET_BYTES).flat_map(|packet| [packet, b.next().unwrap_or_default()].concat());
    let mut both: Vec<u8> = both.collect();
    b.for_each(|packet| both.extend_from_slice(packet));
    both
}

#[test]
fn a_program_is_chosen_by_number_or_is_the_first_with_media() {
    let stream = stream();
    let tables = [
        section_packet(0, 0, &pat(0, &[(0, 0x10), (1, 0x1000), (2, 0x1001), (3, 0x1002)])),
        section_packet(0x1000, 0, &pmt(1, 0, 0x1FFF, &[(0x02, 0x300, &[])])),
        section_packet(0x1001, 0, &pmt(2, 0, 0x400, &[(0x1B, 0x400, &[]), (0x0F, 0x401, &[])])),
        section_packet(0x1002, 0, &pmt(3, 0, 0x500, &[(0x1B, 0x500, &[]), (0x0F, 0x501, b"\x0A\x04deu\0")])),
    ]
    .concat();
    let both = [tables, interleaved(&moved(&stream, 0x400, 0x401), &moved(&stream, 0x500, 0x501))].concat();
    let expected = Read::all(&stream);
    for (program, number) in [(None, 2), (Some(2), 2), (Some(3), 3)] {
        let options = TsOptions { program, ..TsOptions::default() };
        let read = Read::pieces(&both, 1316, options);
        assert_eq!(read.facts(), expected.facts());
        let mut demuxer = TsDemuxer::new(options);
        demuxer.push(&both);
        let programs = demuxer.programs();
        let listed: Vec<_> = programs.iter().map(|program| (program.number, program.is_chosen)).collect();
        assert_eq!(listed, [(1, number == 1), (2, number == 2), (3, number == 3)]);
        assert_eq!(programs[0].streams[0].codec, None);
        assert_eq!(programs[2].streams[1].codec, Some(Codec::Aac));
        assert_eq!(programs[2].streams[1].language.map(|language| language.as_str().to_owned()), Some("deu".into()));
    }
    let options = TsOptions { program: Some(9), ..TsOptions::default() };
    let none = Read::pieces(&both, 1316, options).result;
    assert_eq!(none, Some(PackError::Unsupported { what: "program: not in this stream" }));
    let options = TsOptions { program: Some(1), ..TsOptions::default() };
    let none = Read::pieces(&both, 1316, options).result;
    assert_eq!(none, Some(PackError::Unsupported { what: "codecs of all elementary streams" }));
}

#[test]
fn a_map_that_moves_and_streams_that_move_go_on_in_the_same_tracks() {
    let stream = stream();
    let (first, second) = stream.split_at(stream.len() / PACKET_BYTES / 2 * PACKET_BYTES);
    let head = [
        section_packet(0, 0, &pat(0, &[(1, 0x1000)])),
        section_packet(0x1000, 0, &pmt(1, 0, 0x200, &[(0x1B, 0x200, &[]), (0x0F, 0x201, &[])])),
    ]
    .concat();
    let middle = [
        section_packet(0, 1, &pat(1, &[(1, 0x1FF0)])),
        section_packet(0x1FF0, 0, &pmt(1, 1, 0x200, &[(0x0F, 0x201, &[]), (0x1B, 0x200, &[])])),
    ]
    .concat();
    let both = [head, moved(first, 0x200, 0x201), middle, moved(second, 0x200, 0x201)].concat();
    let read = Read::all(&both);
    assert_eq!(read.facts(), Read::all(&stream).facts());
    assert_eq!(read.tracks.len(), 2, "nothing has changed for readers");
}

/// Found by fuzzing: the tracks of the new program were announced though they are those of the old one.
#[test]
fn a_program_that_is_renumbered_changes_no_tracks() {
    let stream = stream();
    let tables = |version: u8, number: u16| {
        let streams: [(u8, u16, &[u8]); 3] = [(0x1B, 0x200, &[]), (0x0F, 0x201, &[]), (0x06, 0x202, b"\x05\x04KLVA")];
        let pat = section_packet(0, version, &pat(version, &[(number, 0x1000)]));
        [pat, section_packet(0x1000, version, &pmt(number, version, 0x200, &streams))].concat()
    };
    let read = Read::all(&[tables(0, 1), tables(1, 2), moved(&stream, 0x200, 0x201)].concat());
    assert!(read.tracks.windows(2).all(|pair| pair[0] != pair[1]), "each is a change");
    assert_eq!(read.facts().len(), Read::all(&stream).facts().len());
}

#[test]
fn sections_over_many_packets_are_read_and_broken_ones_are_not() {
    let stream = stream();
    let filler = [&[0x05, 200][..], &[b'x'; 200]].concat();
    let streams: Vec<(u8, u16, &[u8])> = vec![(0x1B, 0x200, &filler), (0x0F, 0x201, &filler), (0x06, 0x300, &filler)];
    let section = pmt(1, 0, 0x200, &streams);
    assert!(section.len() > 3 * PACKET_BYTES);
    let mut packets = section_packet(0x1000, 0, &section[..183]);
    for (index, part) in section[183..].chunks(184).enumerate() {
        let mut packet = [&[0x47, 0x10, 0x00, 0x11 + index as u8][..], part].concat();
        packet.resize(PACKET_BYTES, 0xFF);
        packets.extend(packet);
    }
    let head = section_packet(0, 0, &pat(0, &[(1, 0x1000)]));
    let read = Read::all(&[&head, &packets, &moved(&stream, 0x200, 0x201)[..]].concat());
    assert_eq!(read.facts(), Read::all(&stream).facts());
    let mut broken = packets.clone();
    broken[300] ^= 1;
    let read = Read::all(&[&head, &broken, &moved(&stream, 0x200, 0x201)[..]].concat());
    assert_eq!((read.frames.len(), read.stats.broken_sections), (0, 1));
}

#[test]
fn audio_that_is_replaced_is_announced_where_it_changes() {
    let (tracks, all) = (tracks(), frames(60, 0, 500));
    let only_video = track_set(&tracks.tracks[..1]);
    let (mut muxer, mut out) = (TsMuxer::new(&tracks).unwrap(), Vec::new());
    for (index, frame) in all.iter().enumerate() {
        if index == all.len() / 2 {
            muxer.reconfigure(&only_video).unwrap();
        }
        let is_known = index < all.len() / 2 || frame.track == VIDEO;
        is_known.then(|| muxer.write(frame, &mut out).unwrap());
    }
    let read = Read::all(&out);
    let ids: Vec<Vec<u8>> = read.tracks.iter().map(|set| set.iter().map(|track| track.id.0).collect()).collect();
    assert_eq!(ids, [vec![1], vec![0, 1], vec![0]]);
    assert_eq!(read.of(VIDEO).len(), 60);
}

#[test]
fn twenty_six_hours_go_on_through_the_wrap() {
    let tracks = tracks();
    let mut muxer = TsMuxer::new(&tracks).unwrap();
    let (mut demuxer, mut read) = (TsDemuxer::default(), Read::default());
    let mut rng = Rng(3);
    let mut expected = Vec::new();
    // A frame of each track every 8 s: fewer than 10 s, which would be a new time base.
    for index in 0..27 * 3600 / 8 {
        let at_s = index * 8;
        let picture = picture(&mut rng, at_s * 90_000, at_s * 90_000 + 3_600, true, 20);
        for frame in [picture, sound(&mut rng, at_s * 48_000, 20)] {
            let mut out = Vec::new();
            muxer.write(&frame, &mut out).unwrap();
            demuxer.push(&out);
            read.poll(&mut demuxer);
            expected.push(frame);
        }
    }
    demuxer.finish().unwrap();
    read.poll(&mut demuxer);
    assert!(expected.last().unwrap().dts > 26 * 3600 * 48_000);
    assert_read(&read, &tracks, &expected);
}

#[test]
fn a_new_time_base_is_marked_once() {
    let tracks = tracks();
    let all = [frames(20, 100, 300), frames(20, 5, 300)].concat();
    let read = Read::all(&mux(&tracks, &all));
    let marked: Vec<usize> =
        read.frames.iter().enumerate().filter(|(_, frame)| frame.is_discontinuity()).map(|(index, _)| index).collect();
    assert_eq!((read.frames.len(), marked.len()), (all.len(), 1));
    // The first sound of the new one is complete before its first picture is, whose end only the next one tells.
    let first = &read.frames[marked[0]];
    assert_eq!((first.track, first.dts), (AUDIO, 6 * 48_000));
}

/// Packets with a clock reference: where their adaptation field begins.
fn clocks(stream: &[u8]) -> Vec<usize> {
    let packets = stream.chunks(PACKET_BYTES).enumerate();
    let has_clock = |packet: &[u8]| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0;
    packets.filter(|(_, packet)| has_clock(packet)).map(|(index, _)| index * PACKET_BYTES + 4).collect()
}

/// The old picture was still open, since it did not say its length: it was marked, or came behind what was. And where the counter jumps
/// with the new time base (§2.4.3.5) it was dropped.
#[test]
fn a_new_time_base_in_a_packet_without_payload_leaves_the_picture_in_front_of_it_alone() {
    let tracks = tracks();
    let mut all = [frames(20, 100, 70_000), frames(20, 5, 70_000)].concat();
    // Sound begins it.
    let at = all.iter().position(|frame| frame.dts == 5 * 90_000).unwrap();
    all.swap(at, at + 1);
    let mut stream = mux(&tracks, &all);
    for jump in [0, 5] {
        let at = *clocks(&stream).iter().find(|&&at| stream[at] == 183 && stream[at + 1] & 0x80 != 0).unwrap() - 4;
        assert_eq!((pid(&stream[at..]), stream[at + 3] & 0x10), (0x100, 0), "a packet of the clock alone");
        for behind in positions(&stream, 0x100).into_iter().filter(|&behind| behind >= at) {
            let counter = &mut stream[behind + 3];
            *counter = *counter & 0xF0 | (*counter + jump) & 0x0F;
        }
        let read = Read::all(&stream);
        let marked: Vec<&Frame> = read.frames.iter().filter(|frame| frame.is_discontinuity()).collect();
        assert_eq!((read.frames.len(), marked.len()), (all.len(), 1), "{jump}");
        assert_eq!((marked[0].track, marked[0].dts), (AUDIO, 6 * 48_000), "{jump}");
        assert_eq!((read.stats.dropped_pes, read.stats.continuity_errors), (0, 0), "{jump}");
    }
}

/// Gateways that set the flag at each reference, though their times go on: each was a new timeline.
#[test]
fn references_that_go_on_begin_no_time_base_whatever_they_say() {
    let tracks = tracks();
    let all = frames(100, 95_440, 300);
    let mut stream = mux(&tracks, &all);
    for at in clocks(&stream) {
        stream[at + 1] |= 0x80;
    }
    let read = Read::all(&stream);
    assert!(read.frames.iter().all(|frame| !frame.is_discontinuity()));
    assert_read(&read, &tracks, &all);
}

/// Found by reading: a reference of a gateway that says so, without payload, hid the loss in front of it.
#[test]
fn what_is_missing_in_front_of_a_reference_that_goes_on_is_seen() {
    let tracks = tracks();
    let all = frames(10, 95_440, 3_000);
    let stream = mux(&tracks, &all);
    let inside = |at: &usize| stream[at + 1] & 0x40 == 0 && stream[at + 188 + 1] & 0x40 == 0;
    let pictures: Vec<usize> = positions(&stream, 0x100).into_iter().filter(|at| *at > stream.len() / 2).collect();
    let at = pictures.iter().position(inside).map(|n| pictures[n]).unwrap();
    let clock = clocks(&stream).into_iter().rfind(|clock| *clock < at).unwrap();
    let mut reference = vec![0x47, 0x01, 0x00, 0x20 | (stream[at + 3] & 0x0F), 183, 0x90];
    reference.extend(&stream[clock + 2..clock + 8]);
    reference.resize(188, 0xFF);
    let read = Read::all(&[&stream[..at], &reference, &stream[at + 188..]].concat());
    assert_eq!(read.stats.continuity_errors, 1);
    assert_eq!(
        read.of(VIDEO).len(),
        all.iter().filter(|frame| frame.track == VIDEO).count() - 1,
        "the picture with the hole is not given out"
    );
}

/// The seed's killer: recursion once for every empty NAL unit.
#[test]
fn thirty_thousand_start_codes_in_a_row_are_an_access_unit_without_nals() {
    let tracks = tracks();
    let mut rng = Rng(5);
    let good = picture(&mut rng, 0, 0, true, 100);
    let mut stream = mux(&tracks, std::slice::from_ref(&good));
    let codes = [0, 0, 1].repeat(30_000);
    stream.extend(pes_packets(0x100, 1 + stream_counter(&stream), 0xE0, &codes, Some(94_000)));
    stream.extend(pes_packets(0x100, 0, 0xE0, &[0, 0, 1, 0x41, 7, 7], Some(98_000)));
    let read = Read::all(&stream);
    assert_eq!(read.of(VIDEO).first().map(|frame| &frame.payload), Some(&good.payload));
}

/// The counter of the newest video packet.
pub(super) fn stream_counter(stream: &[u8]) -> u8 {
    positions(stream, 0x100).last().map_or(0, |at| stream[at + 3] & 0x0F)
}

/// An unbounded PES packet in packets that are all payload, the last one stuffed.
pub(super) fn pes_packets(pid: u16, mut counter: u8, stream_id: u8, content: &[u8], pts: Option<i64>) -> Vec<u8> {
    let mut pes = vec![0, 0, 1, stream_id, 0, 0, 0x80];
    match pts {
        Some(pts) => {
            pes.extend([0x80, 5, 0x21 | (pts >> 29 & 0x0E) as u8, (pts >> 22) as u8, (pts >> 14 | 1) as u8]);
            pes.extend([(pts >> 7) as u8, (pts << 1 | 1) as u8]);
        }
        None => pes.extend([0, 0]),
    }
    pes.extend_from_slice(content);
    let [high, low] = pid.to_be_bytes();
    let mut out = Vec::new();
    for (index, part) in pes.chunks(184).enumerate() {
        let start = if index == 0 { 0x40 } else { 0 };
        let stuffing = 184 - part.len();
        out.extend([0x47, start | high, low, if stuffing > 0 { 0x30 } else { 0x10 } | counter & 0x0F]);
        if stuffing > 0 {
            out.push(stuffing as u8 - 1);
            out.extend(std::iter::once(0).chain(std::iter::repeat(0xFF)).take(stuffing - 1));
        }
        out.extend(part);
        counter = counter.wrapping_add(1);
    }
    out
}

#[test]
fn pes_without_end_is_dropped_at_its_limit() {
    let tracks = tracks();
    let stream = mux(&tracks, &frames(3, 0, 300));
    let limits = super::TsLimits { video_pes_bytes: 20_000, ..Default::default() };
    let mut demuxer = TsDemuxer::new(TsOptions { limits, ..TsOptions::default() });
    demuxer.push(&stream);
    let counter = stream_counter(&stream) + 1;
    let endless = pes_packets(0x100, counter, 0xE0, &vec![7; 500_000], Some(0));
    for packet in endless.chunks(PACKET_BYTES) {
        demuxer.push(packet);
        assert!(demuxer.buffered_bytes() <= 20_000 + 2_000, "{} bytes held", demuxer.buffered_bytes());
    }
    assert_eq!(demuxer.stats().dropped_pes, 1);
}

#[test]
fn far_jumps_of_the_dts_end_and_lose_nothing() {
    let tracks = tracks();
    let mut rng = Rng(9);
    let times: Vec<i64> = (0..500).map(|_| (rng.next() >> 31) as i64).collect();
    let mut muxer = TsMuxer::new(&tracks).unwrap();
    let mut out = Vec::new();
    for time in &times {
        muxer.write(&picture(&mut rng, *time, *time, true, 30), &mut out).unwrap();
    }
    let read = Read::all(&out);
    assert_eq!(read.of(VIDEO).len(), times.len());
    let wrap = |time: i64| time.rem_euclid(1 << 33);
    read.of(VIDEO).iter().zip(&times).for_each(|(frame, time)| assert_eq!(wrap(frame.dts), wrap(time + 90_000)));
}

#[test]
fn what_ffmpeg_muxed_is_read_as_ffprobe_reads_it() {
    let scratch = Scratch::new("mpegts-demux");
    let clip = Clip::make(&scratch, 4);
    run("ffmpeg", &["-v", "error", "-i", "clip.mp4", "-i", "clip.aac", "-c", "copy", "clip.ts"], &scratch.path(""));
    let read = Read::all(&std::fs::read(scratch.path("clip.ts")).unwrap());
    let packets = ffprobe(&scratch, "clip.ts");
    let (seen, expected) = (read.of(VIDEO), &packets[&0]);
    assert_eq!(seen.len(), expected.len());
    for (frame, packet) in seen.iter().zip(expected) {
        assert_eq!((frame.pts, frame.dts, frame.is_key()), (packet.pts, packet.dts, packet.is_key));
    }
    let (seen, expected) = (read.of(AUDIO), &packets[&1]);
    assert_eq!(seen.len(), expected.len());
    for (frame, packet) in seen.iter().zip(expected) {
        assert!((frame.pts * 90_000 / 44_100 - packet.pts).abs() <= 1, "{} at {}", frame.pts, packet.pts);
        assert_eq!(frame.payload.len() + 7, packet.size);
    }
    let payloads = |track| clip.of(track).map(|frame| frame.payload.clone()).collect::<Vec<_>>();
    assert!(read.of(AUDIO).iter().map(|frame| frame.payload.clone()).eq(payloads(AUDIO)), "sound bit for bit");
    assert!(read.of(VIDEO).iter().map(|frame| frame.payload.clone()).eq(payloads(VIDEO)), "pictures bit for bit");
}

/// A sequence header written by SVT-AV1 (320x184), and a key frame that is full of what looks like start codes.
fn temporal_unit() -> Vec<u8> {
    let sequence_header = [0x0A, 0x0B, 0x02, 0, 0, 0x05, 0x21, 0xE7, 0xF6, 0x62, 0x57, 0xC8, 0x02];
    let frame = [0x10, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 2, 0x80, 0, 0];
    [&sequence_header[..], &[0x32, frame.len() as u8], &frame].concat()
}

#[test]
fn av1_is_read_back_and_so_is_the_form_without_start_codes() {
    let payload = Bytes::from(temporal_unit());
    let config = arcly_codec::av1::Av1Config::from_sequence_header(&payload[..13]).unwrap();
    let tracks = track_set(&[Track::new(VIDEO, CodecConfig::Av1(config))]);
    let frame = |index: i64, payload: &Bytes| {
        let (pts, flags) = (index * 3_600, FrameFlags::KEY);
        Frame { track: VIDEO, flags, pts, dts: pts, duration: 0, payload: payload.clone() }
    };
    // The third one has no sequence header of its own: that of the track goes in front.
    let frames: Vec<Frame> =
        (0..4).map(|index| frame(index, &payload.slice(if index == 2 { 13.. } else { 0.. }))).collect();
    let stream = mux(&tracks, &frames);
    let read = Read::all(&stream);
    assert_eq!(read.tracks, std::slice::from_ref(&tracks.tracks));
    assert_eq!(read.of(VIDEO).len(), 4);
    assert!(read.of(VIDEO).iter().all(|frame| frame.payload == payload && frame.is_key()));
    // With and without the header, which is then that of the last one.
    for unit in [&payload[..], &payload[13..]] {
        let raw = pes_packets(0x100, 1 + stream_counter(&stream), 0xBD, &[&[0x12, 0], unit].concat(), Some(200_000));
        let read = Read::all(&[&stream[..], &raw].concat());
        assert_eq!(read.of(VIDEO).last().map(|frame| (frame.dts, &frame.payload)), Some((200_000, &payload)));
    }
}

/// `time_signal` of SCTE 35 §14 at 0x072BD0050.
const CUE: [u8; 55] = [
    0xFC, 0x30, 0x34, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xF0, 0x05, 0x06, 0xFE, 0x72, 0xBD, 0x00, 0x50, 0x00, 0x1E, 0x02,
    0x1C, 0x43, 0x55, 0x45, 0x49, 0x48, 0x00, 0x00, 0x8E, 0x7F, 0xCF, 0x00, 0x01, 0xA5, 0x99, 0xB0, 0x08, 0x08, 0, 0,
    0, 0, 0x2C, 0xA0, 0xA1, 0x8A, 0x34, 0x02, 0x00, 0x9A, 0xC9, 0xD1, 0x7E,
];

#[test]
fn timed_data_of_every_kind_is_read_back_at_its_time() {
    use arcly_codec::data::DataConfig;
    let data = [
        CodecConfig::Id3(DataConfig::default()),
        CodecConfig::Klv(DataConfig::default()),
        CodecConfig::Scte35(DataConfig::default()),
    ];
    let data = (2..).zip(data).map(|(id, config)| Track::new(TrackId(id), config));
    let tracks = track_set(&tracks().tracks.iter().cloned().chain(data).collect::<Vec<_>>());
    let mut all = frames(40, 0, 300);
    let timed = |track: u8, dts: i64, pts: i64, payload: &[u8]| {
        let payload = Bytes::copy_from_slice(payload);
        Frame { track: TrackId(track), flags: FrameFlags::NONE, pts, dts, duration: 0, payload }
    };
    all.insert(60, timed(2, 80_000, 80_000, b"ID3\x04\0\0\0\0\0\0"));
    all.insert(62, timed(3, 83_000, 83_000, &[0x06, 0x0E, 0x2B, 0x34, 1, 2]));
    // The cue is for four seconds later.
    all.insert(64, timed(4, 86_000, 446_000, &CUE));
    let stream = mux(&tracks, &all);
    super::super::probe::Probe::read(&stream);
    let read = Read::all(&stream);
    assert_eq!(read.tracks.last(), Some(&tracks.tracks));
    let only = |track: u8| {
        let [frame] = read.of(TrackId(track))[..] else { panic!("one frame of track {track}") };
        (frame.pts - 90_000, frame.payload.clone())
    };
    assert_eq!(only(2), (80_000, Bytes::from_static(b"ID3\x04\0\0\0\0\0\0")));
    assert_eq!(only(3), (83_000, Bytes::from_static(&[0x06, 0x0E, 0x2B, 0x34, 1, 2])));
    let (pts, cue) = only(4);
    assert_eq!(pts, 446_000);
    assert_ne!(cue, CUE[..], "the cue has the time of the stream that it is in");
    assert_eq!((cue.len(), &cue[9..cue.len() - 4]), (CUE.len(), &CUE[9..CUE.len() - 4]));
}
