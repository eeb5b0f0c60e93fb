//! What the Program Map says of streams that are rare, and what is then read of them.

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{
    Codec, CodecConfig,
    h266::{self, VvcConfig},
};
use bytes::Bytes;

use super::super::{TsDemuxer, TsMuxer, probe::Probe};
use super::tests::{Read, long_section, pat, pes_packets, pmt, section_packet};
use crate::testing::{VIDEO, track_set};

/// The tables of program 1 with these descriptors and streams.
fn tables(descriptors: &[u8], streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let map = if descriptors.is_empty() {
        pmt(1, 0, 0x100, streams)
    } else {
        let mut body = [&[0xE1, 0x00, 0xF0, descriptors.len() as u8], descriptors].concat();
        for (stream_type, pid, info) in streams {
            let [high, low] = pid.to_be_bytes();
            body.extend([*stream_type, 0xE0 | high, low, 0xF0, info.len() as u8]);
            body.extend(*info);
        }
        long_section(2, 1, 0, &body)
    };
    [section_packet(0, 0, &pat(0, &[(1, 0x1000)])), section_packet(0x1000, 0, &map)].concat()
}

/// What each stream is taken for.
fn codecs(descriptors: &[u8], streams: &[(u8, u16, &[u8])]) -> Vec<Option<Codec>> {
    let mut demuxer = TsDemuxer::default();
    demuxer.push(&tables(descriptors, streams));
    demuxer.push(&[&[0x47, 0x1F, 0xFF, 0x10][..], &[0xFF; 184]].concat().repeat(4));
    demuxer.finish().unwrap_err();
    let [program] = &demuxer.programs()[..] else { panic!("one program") };
    program.streams.iter().map(|stream| stream.codec).collect()
}

/// Blu-ray numbers its sound in the range that others use for cues and E-AC-3: LPCM, AC-3, DTS, TrueHD, E-AC-3, DTS-HD,
/// DTS-HD Master Audio, secondary E-AC-3, presentation graphics.
#[test]
fn streams_of_a_disc_are_what_the_disc_means() {
    let types = [0x1B, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0xA1, 0x90];
    let streams: Vec<(u8, u16, &[u8])> = (0x100..).zip(types).map(|(pid, kind)| (kind, pid, &[][..])).collect();
    let (avc, ac3, eac3) = (Some(Codec::H264), Some(Codec::Ac3), Some(Codec::Eac3));
    let disc = [avc, None, ac3, None, None, eac3, None, None, eac3, None];
    assert_eq!(codecs(b"\x05\x04HDMV", &streams), disc);
    assert_eq!(codecs(b"\x05\x04HDPR", &streams), disc);
    let broadcast = [avc, None, ac3, None, None, None, None, Some(Codec::Scte35), None, None];
    assert_eq!(codecs(b"", &streams), broadcast);
}

fn unread(stream: &[u8]) -> Vec<String> {
    let mut demuxer = TsDemuxer::default();
    demuxer.push(stream);
    demuxer.push(&[&[0x47, 0x1F, 0xFF, 0x10][..], &[0xFF; 184]].concat().repeat(4));
    demuxer.unread().iter().map(ToString::to_string).collect()
}

/// They vanished without a word.
#[test]
fn media_that_cannot_be_read_is_named_once() {
    let (teletext, subtitles) = ([0x56, 0], [0x59, 0]);
    let streams: [(u8, u16, &[u8]); 8] = [
        (0x02, 0x100, &[]),
        (0x04, 0x101, &[]),
        (0x06, 0x102, &teletext),
        (0x06, 0x103, &subtitles),
        (0x05, 0x104, &[]),
        (0x8A, 0x105, &[]),
        (0x10, 0x106, &[]),
        (0xC0, 0x107, &[]),
    ];
    let names = [
        "unsupported MPEG-2 video (stream type 0x02) at PID 0x100",
        "unsupported DVB teletext (stream type 0x06) at PID 0x102",
        "unsupported DVB subtitles (stream type 0x06) at PID 0x103",
        "unsupported DTS (stream type 0x8a) at PID 0x105",
        "unsupported MPEG-4 part 2 video (stream type 0x10) at PID 0x106",
        "unsupported stream of an unknown kind (stream type 0xc0) at PID 0x107",
    ];
    let once = tables(b"", &streams);
    assert_eq!(unread(&once), names);
    let again = section_packet(0x1000, 1, &pmt(1, 1, 0x100, &streams[..4]));
    assert_eq!(unread(&[once, again].concat()), names, "nor again by the next version");
    assert_eq!(unread(&tables(b"", &[(0x1B, 0x100, &[]), (0x05, 0x101, &[])])), [""; 0]);
    assert_eq!(unread(&tables(b"", &[(0x02, 0x100, &[])])), names[..1], "nor where there is nothing else");
}

#[test]
fn programs_that_are_not_read_are_not_named_and_a_sender_is_not_noted_for_ever() {
    let both = pat(0, &[(1, 0x1000), (2, 0x1001)]);
    let first = section_packet(0x1000, 0, &pmt(1, 0, 0x100, &[(0x02, 0x100, &[])]));
    let second = section_packet(0x1001, 0, &pmt(2, 0, 0x200, &[(0x1B, 0x200, &[])]));
    assert_eq!(unread(&[section_packet(0, 0, &both), first, second].concat()), [""; 0]);
    let mut many = section_packet(0, 0, &pat(0, &[(1, 0x1000)]));
    for n in 0..200_u8 {
        let map = pmt(1, n & 31, 0x100, &[(0x1B, 0x100, &[]), (0x02, 0x200 + u16::from(n), &[])]);
        many.extend(section_packet(0x1000, n & 15, &map));
    }
    assert_eq!(unread(&many).len(), 64);
}

#[test]
fn a_program_of_nothing_that_can_be_read_says_so() {
    let read = Read::all(&[tables(b"\x05\x04HDMV", &[(0x82, 0x100, &[]), (0x83, 0x101, &[])]), vec![]].concat());
    assert_eq!(read.result, Some(crate::PackError::Unsupported { what: "codecs of all elementary streams" }));
}

#[test]
fn private_streams_are_what_their_descriptors_say() {
    let said: [(&[u8], Option<Codec>); 11] = [
        (b"\x6A\x01\0", Some(Codec::Ac3)),
        (b"\x7A\x01\0", Some(Codec::Eac3)),
        (b"\x0A\x04deu\0\x7A\x01\0", Some(Codec::Eac3)),
        (b"\x05\x04EAC3", Some(Codec::Eac3)),
        (b"\x05\x04KLVA", Some(Codec::Klv)),
        // Dolby Vision of profiles 5 and 9, and an enhancement layer of its own, which nothing here can join to its pictures.
        (b"\x05\x04DOVI\xB0\x05\x01\0\x0A\x35\0", Some(Codec::H265)),
        (b"\x05\x04DOVI\xB0\x05\x01\0\x12\x35\0", Some(Codec::H264)),
        (b"\x05\x04DOVI\xB0\x07\x01\0\x08\x36\x80\x8F\x2F", None),
        // Teletext, subtitles, nothing.
        (b"\x56\x05deu\x09\0", None),
        (b"\x59\x08deu\x10\0\x01\0\x01", None),
        (b"", None),
    ];
    let streams: Vec<(u8, u16, &[u8])> = (0x100..).zip(&said).map(|(pid, (info, _))| (0x06, pid, *info)).collect();
    assert_eq!(codecs(b"", &streams), said.map(|(_, codec)| codec));
}

/// Synchronous KLV (MISB ST 1402 §9.4.1): stream_type 0x15, and packets in cells with a header of five bytes.
#[test]
fn synchronous_klv_is_taken_out_of_its_cells() {
    let descriptor = b"\x26\x09\x01\x00\xFFKLVA\0\x0F";
    let key = [0x06, 0x0E, 0x2B, 0x34, 0x02, 0x0B, 0x01, 0x01];
    let cell = |sequence: u8, content: &[u8]| [&[0xFC, sequence, 0xDF, 0, content.len() as u8][..], content].concat();
    let first = [&key[..], &[1, 2, 3]].concat();
    let second = [&key[..], &[4; 90]].concat();
    let mut stream = tables(b"", &[(0x15, 0x100, descriptor)]);
    stream.extend(pes_packets(0x100, 0, 0xFC, &cell(0, &first), Some(90_000)));
    stream.extend(pes_packets(0x100, 1, 0xFC, &[cell(1, &first), cell(2, &second)].concat(), Some(93_600)));
    let cut_off = cell(3, &second);
    stream.extend(pes_packets(0x100, 2, 0xFC, &cut_off[..40], Some(97_200)));
    let read = Read::all(&stream);
    let seen: Vec<(i64, &[u8])> = read.frames.iter().map(|frame| (frame.pts, &frame.payload[..])).collect();
    assert_eq!(seen, [(90_000, &first[..]), (93_600, &first), (93_600, &second)]);
    assert_eq!(read.stats.dropped_frames, 1);
    assert!(matches!(read.tracks[0][0].config, CodecConfig::Klv(_)));
}

/// Three pictures of libvvenc (FFmpeg 9.0.2, 64x64), as they are told apart by ffmpeg: 190, 16 and 16 bytes.
const VVC: &str = "\
    00000001007900ab021080000080820411a801cdffeb084d958c10209c00ca0c5842183110819220d487a3d5a92f249a92c9116a22f1\
    126a22452444992224d4659210b5085e10bd5a92f25ea19418b100c5880810810102a102020690810102c408081104040b2080812101\
    064081108102c8408122041a081241070832045a104908710d09723950cc119c50000003001000000301918800000001008100004102\
    088907d0400000010039c4050df8dfcffff8670efffe2dcfffbb56c00000000100169401d14a020213c0dcc000000001000e9409d16b\
    020213c0dcc0";

fn vvc_units() -> [Bytes; 3] {
    let bytes: Vec<u8> =
        (0..VVC.len() / 2).map(|at| u8::from_str_radix(&VVC[2 * at..2 * at + 2], 16).unwrap()).collect();
    let bytes = Bytes::from(bytes);
    [bytes.slice(..190), bytes.slice(190..206), bytes.slice(206..)]
}

/// The track and the frames of the three pictures.
fn vvc() -> (Track, Vec<Frame>) {
    let units = vvc_units().map(|unit| h266::annex_b_to_canonical(unit).unwrap());
    let first = &units[0];
    let config = VvcConfig::from_parameter_sets(first.vps.clone(), first.sps.clone(), first.pps.clone()).unwrap();
    let frame = |(index, unit): (usize, &h266::Canonical)| {
        let flags = if index == 0 { FrameFlags::KEY } else { FrameFlags::NONE };
        let dts = index as i64 * 3_600;
        Frame { track: VIDEO, flags, pts: dts + 3_600, dts, duration: 0, payload: unit.payload.clone() }
    };
    let frames = units.iter().enumerate().map(frame).collect();
    (Track::new(VIDEO, CodecConfig::H266(config)), frames)
}

#[test]
fn h266_is_read_back() {
    let (track, frames) = vvc();
    let tracks = track_set(std::slice::from_ref(&track));
    let (mut muxer, mut out) = (TsMuxer::new(&tracks).unwrap(), Vec::new());
    frames.iter().for_each(|frame| muxer.write(frame, &mut out).unwrap());
    let probe = Probe::read(&out);
    assert_eq!(probe.programs[0].streams[0].1, 0x33, "stream_type (Table 2-34)");
    // A delimiter in front, that says whether this is a random access point (H.266 §7.3.2.10).
    let delimiters: Vec<&[u8]> = probe.units.iter().map(|unit| &unit.data[..7]).collect();
    assert_eq!(delimiters, [[0, 0, 0, 1, 0, 0xA1, 0xA8], [0, 0, 0, 1, 0, 0xA1, 0x28], [0, 0, 0, 1, 0, 0xA1, 0x28]]);
    let read = Read::all(&out);
    assert_eq!(read.tracks, [[track]]);
    let seen: Vec<_> = read.of(VIDEO).iter().map(|frame| (frame.pts, frame.is_key(), &frame.payload)).collect();
    let expected: Vec<_> = frames.iter().map(|frame| (frame.pts + 90_000, frame.is_key(), &frame.payload)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn h266_is_read_as_an_encoder_writes_it_aligned_or_not() {
    let (track, frames) = vvc();
    let whole = vvc_units().concat();
    let aligned: Vec<(Option<i64>, Bytes)> =
        vvc_units().into_iter().enumerate().map(|(at, unit)| (Some(at as i64 * 3_600), unit)).collect();
    let together = vec![(Some(0), Bytes::from(whole.clone()))];
    let pieces = whole.chunks(50).enumerate();
    let pieces = pieces.map(|(at, part)| ((at == 0).then_some(0), Bytes::copy_from_slice(part))).collect();
    for packets in [aligned, together, pieces] {
        let (mut stream, mut counter) = (tables(b"", &[(0x33, 0x100, &[])]), 0);
        for (pts, content) in &packets {
            let packets = pes_packets(0x100, counter, 0xE0, content, *pts);
            counter += (packets.len() / 188) as u8;
            stream.extend(packets);
        }
        let read = Read::all(&stream);
        assert_eq!(read.tracks, [[Track { id: TrackId(0), ..track.clone() }]]);
        let seen: Vec<_> = read.of(VIDEO).iter().map(|frame| frame.payload.clone()).collect();
        let expected: Vec<_> = frames.iter().map(|frame| frame.payload.clone()).collect();
        assert_eq!(seen, expected, "{} PES packets", packets.len());
    }
}
