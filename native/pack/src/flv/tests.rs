//! The demuxer against hand-made tags, ffmpeg's files against ffprobe, every split of a file, and seeded mutation.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use arcly_bus::{Frame, Track};
use arcly_codec::CodecConfig;
use bytes::Bytes;

use super::*;
use crate::Item;

mod enhanced;
mod mux;
mod vectors;

/// avcC of `ffmpeg -f lavfi -i testsrc2=size=640x360:rate=30000/1001 -c:v libx264 -profile:v main`, ffmpeg 5.1.
const AVCC: &[u8] = &[
    0x01, 0x4d, 0x40, 0x1e, 0xff, 0xe1, 0x00, 0x17, 0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x50, 0x17, 0xfc, 0xb8, 0x08,
    0x80, 0x00, 0x01, 0xf4, 0x80, 0x00, 0x75, 0x30, 0x07, 0x8b, 0x16, 0xcb, 0x01, 0x00, 0x04, 0x68, 0xef, 0x8f, 0xc8,
];
const SPS: std::ops::Range<usize> = 8..31;
const PPS: std::ops::Range<usize> = 34..38;
/// AAC LC, 44.1 kHz, two channels.
const ASC: &[u8] = &[0x12, 0x10];

const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x21];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
const AUD: &[u8] = &[0x09, 0xf0];
const RECOVERY_POINT: &[u8] = &[0x06, 0x06, 0x01, 0xc4, 0x80];

fn with_lengths(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
}

fn body(header: &[u8], payload: &[u8]) -> Bytes {
    [header, payload].concat().into()
}

fn avc_header(record: &[u8]) -> Bytes {
    body(&[0x17, 0, 0, 0, 0], record)
}

fn avc_frame(frame_type: u8, composition_ms: i32, nals: &[&[u8]]) -> Bytes {
    let [_, c @ ..] = composition_ms.to_be_bytes();
    body(&[frame_type << 4 | 7, 1, c[0], c[1], c[2]], &with_lengths(nals))
}

fn aac_header(record: &[u8]) -> Bytes {
    body(&[0xaf, 0], record)
}

fn aac_frame(payload: &[u8]) -> Bytes {
    body(&[0xaf, 1], payload)
}

/// What comes of a tag, the tracks too, as if a frame came behind them.
fn push(demuxer: &mut FlvDemuxer, kind: TagKind, timestamp_ms: u32, body: Bytes) -> Vec<Item> {
    demuxer.push(kind, timestamp_ms, body).unwrap();
    demuxer.announce();
    std::iter::from_fn(|| demuxer.poll()).collect()
}

fn tracks(items: &[Item]) -> &[Track] {
    match items {
        [Item::Tracks(tracks), ..] => tracks,
        other => panic!("no tracks: {other:?}"),
    }
}

fn frame(items: &[Item]) -> &Frame {
    match items {
        [.., Item::Frame(frame)] => frame,
        other => panic!("no frame: {other:?}"),
    }
}

/// A demuxer that has its two sequence headers.
fn configured() -> FlvDemuxer {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
    push(&mut demuxer, TagKind::Audio, 0, aac_header(ASC));
    demuxer
}

#[test]
fn sequence_headers_announce_all_known_tracks_once() {
    let mut demuxer = FlvDemuxer::new();
    let items = push(&mut demuxer, TagKind::Audio, 0, aac_header(ASC));
    let [audio] = tracks(&items) else { panic!("{items:?}") };
    assert_eq!((audio.id, audio.clock_rate_hz), (AUDIO_TRACK, 44_100));
    let items = push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
    let [video, audio] = tracks(&items) else { panic!("{items:?}") };
    assert_eq!((video.id, video.clock_rate_hz, audio.id), (VIDEO_TRACK, 90_000, AUDIO_TRACK));
    assert_eq!(video.config.record(), AVCC);
    assert!(push(&mut demuxer, TagKind::Video, 40, avc_header(AVCC)).is_empty());
    assert!(push(&mut demuxer, TagKind::Audio, 40, aac_header(ASC)).is_empty());
    let items = push(&mut demuxer, TagKind::Audio, 40, aac_header(&[0x11, 0x90]));
    assert_eq!(tracks(&items)[1].clock_rate_hz, 48_000);
}

#[test]
fn canonical_payloads_are_not_copied() {
    let mut demuxer = configured();
    let body = avc_frame(1, 0, &[RECOVERY_POINT, IDR]);
    let items = push(&mut demuxer, TagKind::Video, 0, body.clone());
    assert_eq!(frame(&items).payload.as_ptr(), body[5..].as_ptr());
    let body = aac_frame(&[1, 2, 3]);
    let items = push(&mut demuxer, TagKind::Audio, 0, body.clone());
    assert_eq!(frame(&items).payload.as_ptr(), body[2..].as_ptr());
}

#[test]
fn video_times_and_flags_are_those_of_the_wire() {
    let mut demuxer = configured();
    let items = push(&mut demuxer, TagKind::Video, 1_000, avc_frame(1, 80, &[IDR]));
    let key = frame(&items);
    assert_eq!((key.dts, key.pts, key.duration, key.track), (90_000, 97_200, 0, VIDEO_TRACK));
    assert!(key.is_key() && !key.is_discontinuity());
    let items = push(&mut demuxer, TagKind::Video, 1_040, avc_frame(2, -40, &[SLICE]));
    assert_eq!((frame(&items).dts, frame(&items).pts), (93_600, 90_000), "a composition time may be negative");
    assert!(!frame(&items).is_key());
}

#[test]
fn key_frames_are_known_by_their_nal_units() {
    let is_key = |frame_type, nals: &[&[u8]]| {
        let items = push(&mut configured(), TagKind::Video, 0, avc_frame(frame_type, 0, nals));
        frame(&items).is_key()
    };
    assert!(is_key(1, &[IDR]));
    assert!(is_key(2, &[IDR]), "an IDR picture is one whatever the tag says");
    assert!(!is_key(1, &[SLICE]), "a claim alone is not enough");
    assert!(is_key(1, &[RECOVERY_POINT, SLICE]), "open GOP, intra refresh");
    assert!(!is_key(2, &[RECOVERY_POINT, SLICE]));
    let intra: &[u8] = &[0x61, 0x88, 0x80];
    assert!(is_key(1, &[intra]) && !is_key(2, &[intra]), "an encoder without IDR pictures and recovery points");
}

#[test]
fn delimiters_and_known_parameter_sets_are_taken_out() {
    let mut demuxer = configured();
    let items = push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[AUD, &AVCC[SPS], &AVCC[PPS], IDR]));
    assert_eq!(items.len(), 1, "they say nothing new");
    assert_eq!(frame(&items).payload, with_lengths(&[IDR]));
    assert!(push(&mut demuxer, TagKind::Video, 40, avc_frame(1, 0, &[AUD])).is_empty(), "nothing is left");
}

#[test]
fn new_in_band_parameter_sets_are_a_new_configuration_in_front_of_their_frame() {
    let mut demuxer = configured();
    let mut sps = AVCC[SPS].to_vec();
    sps[3] = 0x1f;
    let items = push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[&sps, &AVCC[PPS], IDR]));
    let [video, _audio] = tracks(&items) else { panic!("{items:?}") };
    assert_eq!(video.config.rfc6381(), "avc1.4d401f");
    assert_eq!(frame(&items).payload, with_lengths(&[IDR]));
    let again = push(&mut demuxer, TagKind::Video, 40, avc_frame(1, 0, &[&sps, &AVCC[PPS], IDR]));
    assert_eq!(again.len(), 1);
    // The encoder goes on to repeat the sequence header that it began with: that is no way back.
    assert!(push(&mut demuxer, TagKind::Video, 80, avc_header(AVCC)).is_empty());
}

#[test]
fn two_byte_lengths_become_four_in_frames_and_record() {
    let mut demuxer = FlvDemuxer::new();
    let mut record = AVCC.to_vec();
    record[4] = 0xfd;
    let items = push(&mut demuxer, TagKind::Video, 0, avc_header(&record));
    assert_eq!(tracks(&items)[0].config.record(), AVCC);
    let items = push(&mut demuxer, TagKind::Video, 0, body(&[0x17, 1, 0, 0, 0, 0, 4], IDR));
    assert_eq!(frame(&items).payload, with_lengths(&[IDR]));
    assert!(push(&mut demuxer, TagKind::Video, 0, avc_header(&record)).is_empty());
}

#[test]
fn frames_before_their_sequence_header_are_dropped_and_counted() {
    let mut demuxer = FlvDemuxer::new();
    assert!(push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).is_empty());
    push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
    assert!(push(&mut demuxer, TagKind::Audio, 0, aac_frame(&[1])).is_empty());
    assert_eq!(demuxer.dropped_frames(), 2);
    assert_eq!(push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).len(), 1);
}

#[test]
fn empty_bodies_commands_and_scripts_are_passed_over() {
    let mut demuxer = configured();
    for (kind, body) in [
        (TagKind::Audio, vec![]),
        (TagKind::Audio, vec![0xaf, 1]),
        (TagKind::Audio, vec![0xaf, 0]),
        (TagKind::Video, vec![]),
        (TagKind::Video, vec![0x27, 1, 0, 0, 0]),
        (TagKind::Video, vec![0x57, 0]),
        (TagKind::Script, vec![2, 0, 10]),
    ] {
        assert!(push(&mut demuxer, kind, 0, body.into()).is_empty());
    }
    let items = push(&mut demuxer, TagKind::Video, 0, vec![0x17, 2, 0, 0, 0].into());
    assert!(matches!(items[..], [Item::EndOfSequence]));
}

#[test]
fn foreign_codecs_have_names() {
    let named = |kind, body: &'static [u8]| match FlvDemuxer::new().push(kind, 0, Bytes::from_static(body)) {
        Err(error @ FlvError::Unsupported { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(named(TagKind::Video, &[0x22, 0]), "unsupported Sorenson H.263");
    assert_eq!(named(TagKind::Audio, &[0xbf, 0]), "unsupported Speex");
    assert_eq!(named(TagKind::Video, b"\x90Opus"), "unsupported Enhanced RTMP FourCC Opus");
    assert_eq!(named(TagKind::Audio, b"\x90hvc1"), "unsupported Enhanced RTMP FourCC hvc1");
    assert_eq!(named(TagKind::Video, b"\x90\n\x1b[2"), r"unsupported Enhanced RTMP FourCC \n\x1b[2");
    // USAC: the codec's own refusal.
    assert!(named(TagKind::Audio, &[0xaf, 0, 0xf9, 0x48, 0x50, 0x00]).contains("audio object type"));
    let mut demuxer = configured();
    assert!(demuxer.push(TagKind::Audio, 0, vec![0xbf, 0].into()).is_err());
    assert_eq!(push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).len(), 1, "the other track goes on");
}

#[test]
fn enhanced_rtmp_with_avc1_and_mp4a_is_the_same_as_plain() {
    let mut demuxer = FlvDemuxer::new();
    let items = push(&mut demuxer, TagKind::Video, 0, body(b"\x90avc1", AVCC));
    assert_eq!(tracks(&items)[0].config.record(), AVCC);
    let items = push(&mut demuxer, TagKind::Audio, 0, body(b"\x90mp4a", ASC));
    assert_eq!(tracks(&items)[1].config.record(), ASC);
    let items = push(&mut demuxer, TagKind::Video, 40, body(b"\x91avc1\xff\xff\xd8", &with_lengths(&[IDR])));
    assert_eq!((frame(&items).dts, frame(&items).pts, frame(&items).is_key()), (3_600, 0, true));
    let items = push(&mut demuxer, TagKind::Video, 80, body(b"\xa3avc1", &with_lengths(&[SLICE])));
    assert_eq!((frame(&items).dts, frame(&items).pts, frame(&items).is_key()), (7_200, 7_200, false));
    let items = push(&mut demuxer, TagKind::Audio, 80, body(b"\x91mp4a", &[1, 2]));
    assert_eq!((&frame(&items).payload[..], frame(&items).dts), (&[1, 2][..], 3_528));
    assert!(matches!(push(&mut demuxer, TagKind::Video, 0, body(b"\x92avc1", b""))[..], [Item::EndOfSequence]));
    assert!(push(&mut demuxer, TagKind::Video, 0, body(b"\x94avc1", b"\x02\0\x05other\x05")).is_empty());
}

#[test]
fn broken_bodies_are_refused_with_their_place_in_the_body() {
    let refused = |kind, body: Bytes| configured().push(kind, 0, body).unwrap_err();
    let malformed = |what, offset| FlvError::Malformed { what, offset };
    assert_eq!(refused(TagKind::Video, vec![0x17, 1, 0].into()), malformed("AVCPacketType and CompositionTime", 3));
    assert_eq!(refused(TagKind::Video, vec![0x17, 3, 0, 0, 0].into()), malformed("AVCPacketType", 1));
    assert_eq!(refused(TagKind::Audio, vec![0xaf].into()), malformed("AACPacketType", 1));
    assert_eq!(refused(TagKind::Audio, vec![0xaf, 2].into()), malformed("AACPacketType", 1));
    assert_eq!(refused(TagKind::Video, b"\x90avc"[..].into()), malformed("FourCC", 4));
    assert_eq!(refused(TagKind::Video, avc_header(&[0])), malformed("configurationVersion", 5));
    assert_eq!(refused(TagKind::Audio, aac_header(&[0x16, 0x90])), malformed("samplingFrequencyIndex", 2));
    let cut_off = body(&[0x27, 1, 0, 0, 0, 0, 0, 0, 1, 9], &[0, 0, 0, 9, 0x41]);
    assert_eq!(refused(TagKind::Video, cut_off), malformed("NAL unit longer than the access unit", 10));
}

#[test]
fn audio_and_video_wrap_together() {
    let mut demuxer = configured();
    let start = u32::MAX - 99;
    let first = frame(&push(&mut demuxer, TagKind::Video, start, avc_frame(1, 0, &[IDR]))).dts;
    let mut audio = Vec::new();
    for index in 0..20_u32 {
        let ms = start.wrapping_add(index * 1024 * 10 / 441);
        audio.push(frame(&push(&mut demuxer, TagKind::Audio, ms, aac_frame(&[1]))).dts);
        let items = push(&mut demuxer, TagKind::Video, start.wrapping_add(index * 20), avc_frame(2, 0, &[SLICE]));
        assert_eq!(frame(&items).dts, first + i64::from(index) * 1_800);
    }
    assert!(audio.windows(2).all(|pair| pair[1] - pair[0] == 1024), "{audio:?}");
}

#[test]
fn a_gap_in_the_audio_is_kept() {
    let mut demuxer = configured();
    let mut dts = |ms| frame(&push(&mut demuxer, TagKind::Audio, ms, aac_frame(&[1]))).dts;
    assert_eq!([dts(0), dts(23), dts(546), dts(569)], [0, 1024, 24_079, 24_079 + 1024]);
}

/// Tag as it is in a file, `PreviousTagSize` behind it.
fn file_tag(tag_type: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
    let [_, size @ ..] = (body.len() as u32).to_be_bytes();
    let [extended, timestamp @ ..] = timestamp_ms.to_be_bytes();
    let header = [&[tag_type], &size[..], &timestamp, &[extended, 0, 0, 0]].concat();
    [&header[..], body, &(11 + body.len() as u32).to_be_bytes()].concat()
}

fn file() -> Vec<u8> {
    [
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec(),
        file_tag(18, 0, &[2, 0, 10]),
        file_tag(9, 0, &avc_header(AVCC)),
        file_tag(8, 0, &aac_header(ASC)),
        file_tag(9, 0x1234_5678, &avc_frame(1, 40, &[IDR])),
        file_tag(15, 7, b"of no known type"),
        file_tag(8, 0x1234_5680, &aac_frame(&[1, 2, 3])),
        file_tag(9, 0x1234_56a0, &[]),
    ]
    .concat()
}

/// All tags of a file that comes in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Tag>, FlvError> {
    let mut reader = FlvReader::new();
    let mut tags = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        while let Some(tag) = reader.next_tag()? {
            tags.push(tag);
        }
    }
    assert_eq!(reader.buffered_bytes(), 0, "no whole tag is left over");
    Ok(tags)
}

#[test]
fn every_split_of_a_file_gives_the_same_tags() {
    let file = file();
    let whole = read([&file[..]]).unwrap();
    let kinds: Vec<_> = whole.iter().map(|tag| (tag.kind, tag.timestamp_ms, tag.body.len())).collect();
    let (audio, video, script) = (TagKind::Audio, TagKind::Video, TagKind::Script);
    let expected = [
        (script, 0, 3),
        (video, 0, 43),
        (audio, 0, 4),
        (video, 0x1234_5678, 13),
        (audio, 0x1234_5680, 5),
        (video, 0x1234_56a0, 0),
    ];
    assert_eq!(kinds, expected);
    for at in 0..=file.len() {
        assert_eq!(read([&file[..at], &file[at..]]).unwrap(), whole, "split at {at}");
    }
    assert_eq!(read(file.chunks(1)).unwrap(), whole);
}

#[test]
fn a_file_header_may_be_longer_than_today() {
    let mut file = file();
    file[8] = 12;
    file.splice(9..9, [1, 2, 3]);
    assert_eq!(read(file.chunks(2)).unwrap().len(), 6);
}

#[test]
fn what_is_not_flv_is_refused_and_stays_refused() {
    for (start, what, offset) in [
        (&b"<ht"[..], "FLV signature", 0),
        (b"F1", "FLV signature", 0),
        (b"FLV\x02\x05\0\0\0\x09", "FLV version", 3),
        (b"FLV\x01\x05\0\0\0\x08", "DataOffset", 5),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0\xc9\0\0\0\0\0\0\0\0\0\0", "TagType", 13),
    ] {
        let mut reader = FlvReader::new();
        reader.feed(start);
        for _ in 0..3 {
            assert_eq!(reader.next_tag(), Err(FlvError::Malformed { what, offset }));
            reader.feed(&file());
        }
    }
}

#[test]
fn an_encrypted_tag_is_named_and_passed_over() {
    let mut reader = FlvReader::new();
    reader.feed(&[&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], &file_tag(0x29, 0, &[1]), &file_tag(8, 5, &[])].concat());
    assert!(matches!(reader.next_tag(), Err(FlvError::Unsupported { .. })));
    assert_eq!(reader.next_tag().unwrap().unwrap().timestamp_ms, 5);
}

/// A linear congruential generator: numbers below a bound, the same for the same seed.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |bound| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % bound
    }
}

/// Seeded edits of a file, cut at random: neither panics, nor items without a tag, nor a reader that holds more than came.
#[test]
fn mutated_files_never_panic() {
    const SEED: u64 = 0xf1f1;
    let good = file();
    let mut below = random(SEED);
    let mut frames = 0;
    for input in 0..200_000 {
        let mut file = good.clone();
        for _ in 0..=below(4) {
            let at = below(file.len());
            match below(4) {
                0 => file[at] = below(256) as u8,
                1 => file[at] ^= 1 << below(8),
                2 => drop(file.remove(at)),
                _ => file.insert(at, [0, 1, 0x7f, 0xff][below(4)]),
            }
        }
        let cut = below(file.len());
        let result = std::panic::catch_unwind(|| demux_pieces(&[&file[..cut], &file[cut..]]));
        frames += result.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {input}: {file:02x?}"));
    }
    assert!(frames > 100_000, "the sweep must reach the demuxer: {frames}");
}

/// Reads and demuxes until the reader refuses. Returns the number of frames.
fn demux_pieces(pieces: &[&[u8]]) -> usize {
    let (mut reader, mut demuxer) = (FlvReader::new(), FlvDemuxer::new());
    let (mut frames, mut came) = (0, 0);
    for piece in pieces {
        reader.feed(piece);
        came += piece.len();
        while let Ok(Some(tag)) = reader.next_tag() {
            drop(demuxer.push(tag.kind, tag.timestamp_ms, tag.body));
            let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
            assert!(items.len() <= 100);
            frames += items.iter().filter(|item| matches!(item, Item::Frame(_))).count();
        }
        assert!(reader.buffered_bytes() <= came);
    }
    frames
}

#[test]
fn mutated_bodies_never_panic() {
    const SEED: u64 = 0xb0d1;
    let bodies = [
        (TagKind::Video, avc_header(AVCC)),
        (TagKind::Video, avc_frame(1, 0, &[AUD, &AVCC[SPS], &AVCC[PPS], RECOVERY_POINT, IDR])),
        (TagKind::Video, body(b"\x91avc1\0\0\0", &with_lengths(&[SLICE]))),
        (TagKind::Audio, aac_header(ASC)),
        (TagKind::Audio, body(b"\x91mp4a", &[1, 2, 3])),
    ];
    let mut below = random(SEED);
    let mut accepted = 0;
    for input in 0..100_000 {
        let (kind, body) = &bodies[below(bodies.len())];
        let mut body = body.to_vec();
        for _ in 0..below(3) {
            let at = below(body.len());
            body[at] = below(256) as u8;
        }
        body.truncate(body.len() - below(10).saturating_sub(6));
        let timestamp_ms = below(1 << 32) as u32;
        let pushed = body.clone();
        let result = std::panic::catch_unwind(move || {
            let mut demuxer = configured();
            let result = demuxer.push(*kind, timestamp_ms, pushed.into());
            assert!(std::iter::from_fn(|| demuxer.poll()).count() <= 2);
            result
        });
        let result = result.unwrap_or_else(|_| panic!("seed {SEED:#x}, input {input}: {body:02x?}"));
        accepted += usize::from(result.is_ok());
    }
    assert!((25_000..95_000).contains(&accepted), "seed {SEED:#x}: {accepted} accepted");
}

/// Timestamps at random, for hours: the timeline may end, nothing else may.
#[test]
fn random_timestamps_never_panic() {
    const SEED: u64 = 0x71c5;
    let mut demuxer = configured();
    let mut below = random(SEED);
    for _ in 0..200_000 {
        let timestamp_ms = below(1 << 31) as u32 * 2;
        let composition_ms = below(1 << 24) as i32 - (1 << 23);
        let video = demuxer.push(TagKind::Video, timestamp_ms, avc_frame(1, composition_ms, &[IDR]));
        let audio = demuxer.push(TagKind::Audio, timestamp_ms, aac_frame(&[1]));
        for result in [video, audio] {
            assert!(matches!(result, Ok(()) | Err(FlvError::LimitExceeded { .. })), "seed {SEED:#x}: {result:?}");
        }
        while demuxer.poll().is_some() {}
    }
}

/// All sets of tracks of a file, and its frames.
fn demux_all(file: &[u8]) -> (Vec<Vec<Track>>, Vec<Frame>) {
    let mut demuxer = FlvDemuxer::new();
    let (mut sets, mut frames) = (Vec::new(), Vec::new());
    let mut take = |items: Vec<Item>| {
        for item in items {
            match item {
                Item::Tracks(tracks) => sets.push(tracks),
                Item::Frame(frame) => frames.push(frame),
                Item::EndOfSequence => {}
            }
        }
    };
    for tag in read(file.chunks(1500)).unwrap() {
        demuxer.push(tag.kind, tag.timestamp_ms, tag.body).unwrap();
        take(std::iter::from_fn(|| demuxer.poll()).collect());
    }
    demuxer.finish();
    take(std::iter::from_fn(|| demuxer.poll()).collect());
    assert_eq!(demuxer.dropped_frames(), 0);
    (sets, frames)
}

/// Frames of a whole file, and its last tracks.
fn demux_file(path: &Path) -> (Vec<Track>, Vec<Frame>) {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut sets, frames) = demux_all(&file);
    (sets.pop().unwrap(), frames)
}

fn of(frames: &[Frame], track: arcly_bus::TrackId) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.track == track).collect()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program} on the PATH: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("arcly-flv-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Three seconds of 29.97 fps with two B-frames, and AAC of 44.1 kHz.
fn make_clip(path: &str) {
    let inputs =
        ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30000/1001", "-f", "lavfi", "-i", "sine=sample_rate=44100"];
    let video = ["-t", "3", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "30", "-c:a", "aac"];
    run("ffmpeg", &[&["-v", "error", "-y"], &inputs[..], &video, &["-f", "flv", path]].concat());
}

/// `(pts_ms, dts_ms, size, is_key)` of each packet, as ffprobe sees them.
fn probe(path: &str, stream: &str) -> Vec<(i64, i64, usize, bool)> {
    let entries = ["-show_entries", "packet=pts,dts,size,flags", "-of", "csv=p=0"];
    let csv = run("ffprobe", &[&["-v", "error", "-select_streams", stream], &entries[..], &[path]].concat());
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2].parse().unwrap(), fields[3].starts_with('K'))
    };
    csv.lines().filter(|line| !line.is_empty()).map(row).collect()
}

#[test]
fn a_file_of_ffmpeg_has_the_packets_that_ffprobe_sees() {
    let folder = Folder::new("probe");
    let clip = folder.file("clip.flv");
    make_clip(&clip);
    let (tracks, frames) = demux_file(Path::new(&clip));
    assert_eq!(tracks.len(), 2);
    let CodecConfig::H264(video) = &tracks[0].config else { panic!("{tracks:?}") };
    assert_eq!((video.info.width, video.info.height, video.info.frame_rate), (320, 240, Some((30_000, 1_001))));

    let seen: Vec<_> = of(&frames, VIDEO_TRACK)
        .iter()
        .map(|frame| (frame.pts, frame.dts, frame.payload.len(), frame.is_key()))
        .collect();
    let expected: Vec<_> =
        probe(&clip, "v").into_iter().map(|(pts, dts, size, key)| (pts * 90, dts * 90, size, key)).collect();
    assert_eq!(seen, expected);
    assert!(seen.iter().filter(|frame| frame.3).count() >= 3 && seen.iter().any(|frame| frame.0 != frame.1));

    let audio = of(&frames, AUDIO_TRACK);
    let expected = probe(&clip, "a");
    assert_eq!(audio.len(), expected.len());
    for (frame, (pts_ms, _, size, _)) in audio.iter().zip(expected) {
        assert_eq!((frame.payload.len(), frame.duration), (size, 1024));
        assert!((frame.dts * 1000 - pts_ms * 44_100).abs() <= 2 * 44_100, "{} is not {pts_ms} ms", frame.dts);
    }
    assert!(audio.windows(2).all(|pair| pair[1].dts - pair[0].dts == 1024), "off the grid of the samples");
}

#[test]
fn delimiters_that_ffmpeg_inserts_leave_no_trace() {
    let folder = Folder::new("aud");
    let (plain, delimited) = (folder.file("plain.flv"), folder.file("aud.flv"));
    make_clip(&plain);
    let copy = ["-v", "error", "-y", "-i", &plain, "-c", "copy", "-bsf:v", "h264_metadata=aud=insert", &delimited];
    run("ffmpeg", &copy);
    let (plain, delimited) = (demux_file(Path::new(&plain)), demux_file(Path::new(&delimited)));
    assert_eq!(plain.0, delimited.0);
    let facts = |frame: &Frame| (frame.dts, frame.pts, frame.flags, frame.payload.clone());
    let of_video = |frames: &[Frame]| of(frames, VIDEO_TRACK).into_iter().map(facts).collect::<Vec<_>>();
    assert_eq!(of_video(&plain.1), of_video(&delimited.1));
}

#[test]
fn the_demo_clip_loops_without_a_seam() {
    const LOOP_MS: i64 = 10_240;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../arcly/server/demo.flv");
    let (tracks, frames) = demux_file(&path);
    assert_eq!(tracks.len(), 2);
    let (video, audio) = (of(&frames, VIDEO_TRACK), of(&frames, AUDIO_TRACK));
    assert_eq!((video.len(), audio.len()), (256, 480));
    assert!(video[0].is_key());
    let seamless = |frames: &[&Frame], clock_hz: i64, step: i64| {
        let again = frames[0].dts + LOOP_MS * clock_hz / 1000;
        let times: Vec<i64> = frames.iter().map(|frame| frame.dts).chain([again]).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step), "{times:?}");
    };
    seamless(&video, 90_000, 3_600);
    seamless(&audio, 48_000, 1_024);
    // Each picture is shown once, a frame after the one before.
    let mut shown: Vec<i64> = video.iter().map(|frame| frame.pts).collect();
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 3_600));
    // A loop is pushed as it lies in the file: nothing of it belongs behind the beginning of the next.
    let end_ms = |frame: &Frame| if frame.track == VIDEO_TRACK { frame.dts / 90 } else { frame.dts / 48 };
    assert!(frames.iter().all(|frame| (0..LOOP_MS).contains(&end_ms(frame))));
    assert!(frames.is_sorted_by_key(end_ms), "interleaved by time");
}
