//! Small transport streams of what ffmpeg does not write: made by our muxer, with tables made by hand.

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{Codec, CodecConfig, aac::AudioSpecificConfig, data::DataConfig, h266};
use arcly_pack::mpegts::{PACKET_BYTES, TsMuxer};
use bytes::Bytes;

use crate::{avc::unhex, rtp::AV1, ts_edits::mend};

const PICTURES: TrackId = TrackId(0);
/// Track `n` has the PID 0x100 + `n` (`arcly_pack::mpegts`).
const FIRST_PID: u16 = 0x100;
const PMT_PIDS: [u16; 2] = [0x1000, 0x1001];
const ADTS: u8 = 0x0F;
const SCTE35: u8 = 0x86;

/// `time_signal` with a segmentation descriptor: ANSI/SCTE 35 §14.1.
pub const TIME_SIGNAL: &str =
    "fc3034000000000000fffff00506fe72bd0050001e021c435545494800008e7fcf0001a599b00808000000002ca0a18a3402009ac9d17e";

/// AV1, H.266 of that byte stream, sound with data, two programs, and a map of several packets.
pub fn streams(h266: &[u8]) -> Vec<Vec<u8>> {
    let with_data = with_data();
    let remapped =
        with_data.as_ref().map(|stream| [with_tables(stream, &two_programs()), with_tables(stream, &long_map())]);
    [av1(), self::h266(h266), with_data].into_iter().flatten().chain(remapped.into_iter().flatten()).collect()
}

fn mux(tracks: Vec<Track>, frames: &[Frame]) -> Option<Vec<u8>> {
    let mut muxer = TsMuxer::new(&TrackSet { revision: 1, tracks }).ok()?;
    let mut stream = Vec::new();
    frames.iter().try_for_each(|frame| muxer.write(frame, &mut stream)).ok()?;
    Some(stream)
}

fn frame(track: TrackId, dts: i64, is_key: bool, payload: Bytes) -> Frame {
    let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
    Frame { track, flags, pts: dts, dts, duration: 0, payload }
}

fn av1() -> Option<Vec<u8>> {
    let unit = Bytes::from(unhex(AV1));
    let config = CodecConfig::from_frame(Codec::Av1, unit.clone()).ok()?;
    let frames: Vec<_> = (0..3).map(|number| frame(PICTURES, number * 3_600, true, unit.clone())).collect();
    mux(vec![Track::new(PICTURES, config)], &frames)
}

fn h266(stream: &[u8]) -> Option<Vec<u8>> {
    let mut units = h266::access_units(stream.len());
    units.push(stream);
    units.finish();
    let units: Vec<_> = std::iter::from_fn(|| units.poll()).filter_map(|unit| Some(unit.ok()?.stream)).collect();
    let config = CodecConfig::from_frame(Codec::H266, units.first()?.clone()).ok()?;
    let payloads = units.into_iter().filter_map(|unit| Some(h266::annex_b_to_canonical(unit).ok()?.payload));
    let frames = (0..).zip(payloads).map(|(number, payload)| frame(PICTURES, number * 3_600, number == 0, payload));
    mux(vec![Track::new(PICTURES, config)], &frames.collect::<Vec<_>>())
}

/// Two tracks of sound, ID3, KLV, and a cue in one packet and one in several.
fn with_data() -> Option<Vec<u8>> {
    let sound = CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).ok()?);
    let data = DataConfig::default();
    let data = [CodecConfig::Id3(data.clone()), CodecConfig::Klv(data.clone()), CodecConfig::Scte35(data)];
    let configs = [sound.clone(), sound].into_iter().chain(data);
    let tracks = (0..).map(TrackId).zip(configs).map(|(id, config)| Track::new(id, config)).collect();
    let sounds = |dts: i64| [0, 1].map(|track| frame(TrackId(track), dts, false, unhex("21100460 8c1c").into()));
    let data = |track, payload: Vec<u8>| frame(TrackId(track), 2_000, false, payload.into());
    let others = [
        data(2, b"ID3\x04\0\0\0\0\0\0".to_vec()),
        data(3, unhex("060e2b34020b01010e01030101000000020102")),
        data(4, unhex(TIME_SIGNAL)),
        data(4, long_cue()),
    ];
    mux(tracks, &[&sounds(0)[..], &others, &sounds(1_024), &sounds(2_048)].concat())
}

/// The cue with a private descriptor of 255 bytes in front of its own.
fn long_cue() -> Vec<u8> {
    const DESCRIPTORS_AT: usize = 21;
    let mut section = unhex(TIME_SIGNAL);
    let own = section.len().saturating_sub(DESCRIPTORS_AT + 4);
    section.splice(DESCRIPTORS_AT..DESCRIPTORS_AT, [&[0xF0, 255][..], &[7; 255]].concat());
    put(&mut section, DESCRIPTORS_AT - 2, (own + 257) as u16);
    let length = section.len().saturating_sub(3) as u16;
    put(&mut section, 1, 0x3000 | length);
    mend(&mut section);
    section
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes.iter_mut().skip(at).zip(value.to_be_bytes()).for_each(|(byte, new)| *byte = new);
}

/// A stream with other tables in front, instead of its own.
fn with_tables(stream: &[u8], tables: &[u8]) -> Vec<u8> {
    let (packets, _) = stream.as_chunks::<PACKET_BYTES>();
    let pid = |[_, high, low, ..]: &[u8; PACKET_BYTES]| u16::from_be_bytes([high & 0x1F, *low]);
    let media = packets.iter().filter(|packet| pid(packet) != 0 && !PMT_PIDS.contains(&pid(packet)));
    [tables, &media.flatten().copied().collect::<Vec<u8>>()].concat()
}

/// Each with a track of sound; the cues are of the second one.
fn two_programs() -> Vec<u8> {
    let first = map(1, &[(ADTS, 0, &[])]);
    let second = map(2, &[(ADTS, 1, &[]), (SCTE35, 4, &[])]);
    let [first_pid, second_pid] = PMT_PIDS;
    [packets(0, &pat(&[1, 2])), packets(first_pid, &first), packets(second_pid, &second)].concat()
}

/// Of a program whose descriptors fill several packets.
fn long_map() -> Vec<u8> {
    let language = [0x0A, 4, b'd', b'e', b'u', 0];
    let private = [&[0x80, 200][..], &[7; 200]].concat();
    let map = map(1, &[(ADTS, 0, &[&language[..], &private].concat()), (ADTS, 1, &private), (SCTE35, 4, &private)]);
    let [pid, _] = PMT_PIDS;
    [packets(0, &pat(&[1])), packets(pid, &map)].concat()
}

/// Programs by their numbers (ISO/IEC 13818-1 §2.4.4.4).
fn pat(programs: &[u16]) -> Vec<u8> {
    let entries =
        programs.iter().zip(PMT_PIDS).map(|(number, pid)| [number.to_be_bytes(), (0xE000 | pid).to_be_bytes()]);
    section(0, 1, &entries.flatten().flatten().collect::<Vec<u8>>())
}

/// Stream types, tracks and descriptors; the clock is that of the first track (§2.4.4.9).
fn map(program: u16, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = [(0xE000 | FIRST_PID).to_be_bytes(), [0xF0, 0]].concat();
    for (stream_type, track, descriptors) in streams {
        body.push(*stream_type);
        body.extend((0xE000 | (FIRST_PID + track)).to_be_bytes());
        body.extend((0xF000 | descriptors.len() as u16).to_be_bytes());
        body.extend(*descriptors);
    }
    section(2, program, &body)
}

fn section(table_id: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let [length_high, length_low] = (0xB000 | (body.len() as u16 + 9)).to_be_bytes();
    let [high, low] = extension.to_be_bytes();
    let mut section = [&[table_id, length_high, length_low, high, low, 0xC1, 0, 0][..], body, &[0; 4]].concat();
    mend(&mut section);
    section
}

/// A section behind a pointer of 0, as many packets as it takes.
fn packets(pid: u16, section: &[u8]) -> Vec<u8> {
    let content = [&[0], section].concat();
    let packet = |(number, piece): (usize, &[u8])| {
        let [high, low] = (pid | if number == 0 { 0x4000 } else { 0 }).to_be_bytes();
        let mut packet = [&[0x47, high, low, 0x10 | number as u8 & 0x0F], piece].concat();
        packet.resize(PACKET_BYTES, 0xFF);
        packet
    };
    content.chunks(PACKET_BYTES - 4).enumerate().flat_map(packet).collect()
}

#[cfg(test)]
mod tests {
    use arcly_pack::{
        Item,
        mpegts::{TsDemuxer, TsOptions},
    };

    use crate::targets::ALL;

    /// The codecs that come out of a stream, and the number of its frames.
    fn read(stream: &[u8], program: Option<u16>) -> (Vec<&'static str>, usize) {
        let mut demuxer = TsDemuxer::new(TsOptions { program, ..TsOptions::default() });
        demuxer.push(stream);
        demuxer.finish().unwrap();
        let (mut codecs, mut frames) = (Vec::new(), 0);
        for item in std::iter::from_fn(|| demuxer.poll()) {
            match item {
                Item::Tracks(tracks) => codecs = tracks.iter().map(|track| track.config.codec().name()).collect(),
                Item::Frame(_) => frames += 1,
                _ => {}
            }
        }
        (codecs, frames)
    }

    #[test]
    fn every_small_stream_is_read() {
        let target = ALL.iter().find(|target| target.name == "ts_demux").unwrap();
        let vectors = (target.vectors)();
        let [av1, h266, data, programs, long] = vectors.last_chunk().unwrap();
        assert_eq!(read(av1, None), (vec!["AV1"], 3));
        assert_eq!(read(h266, None).0, ["H266"]);
        assert!(read(h266, None).1 >= 2);
        assert_eq!(read(data, None), (vec!["AAC", "AAC", "ID3", "KLV", "SCTE35"], 10));
        assert_eq!(read(programs, Some(1)), (vec!["AAC"], 3));
        assert_eq!(read(programs, Some(2)), (vec!["AAC", "SCTE35"], 5));
        assert_eq!(read(long, None), (vec!["AAC", "AAC", "SCTE35"], 8));
        assert!([av1, h266, data, programs, long].iter().all(|stream| stream.len() < 4_000));
    }
}
