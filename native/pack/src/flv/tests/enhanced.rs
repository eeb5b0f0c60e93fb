//! Hand-made tags of Enhanced RTMP v2, and what encoders made before there was one.

use arcly_bus::TrackId;
use arcly_codec::{Codec, amf};

use super::*;
use crate::testing::{EAC3_MAIN, EAC3_OBJECTS, EAC3_REAR, eac3};

/// x265, 96x64: the record of hevc_opus.flv.
fn hvcc() -> Vec<u8> {
    let file = include_bytes!("../../../tests/vectors/flv/hevc_opus.flv");
    let at = file.windows(5).position(|window| window == b"\x90hvc1").unwrap();
    file[at + 5..at + 5 + 108].to_vec()
}

/// A slice of an IDR picture (IDR_N_LP) and of another (TRAIL_R), as far as we look.
const HEVC_IDR: &[u8] = &[0x28, 0x01, 0xaf];
const HEVC_SLICE: &[u8] = &[0x02, 0x01, 0xd0];

fn codecs(items: &[Item]) -> Vec<(u8, Codec)> {
    tracks(items).iter().map(|track| (track.id.0, track.config.codec())).collect()
}

#[test]
fn hevc_as_codec_id_12_is_read() {
    let mut demuxer = FlvDemuxer::new();
    let items = push(&mut demuxer, TagKind::Video, 0, body(&[0x1c, 0, 0, 0, 0], &hvcc()));
    assert_eq!(codecs(&items), [(0, Codec::H265)]);
    let items = push(&mut demuxer, TagKind::Video, 40, body(&[0x1c, 1, 0, 0, 80], &with_lengths(&[HEVC_IDR])));
    assert_eq!((frame(&items).dts, frame(&items).pts, frame(&items).is_key()), (3_600, 10_800, true));
    let items = push(&mut demuxer, TagKind::Video, 80, body(&[0x2c, 1, 0, 0, 0], &with_lengths(&[HEVC_SLICE])));
    assert!(!frame(&items).is_key());
}

#[test]
fn hevc_with_its_four_cc_is_the_same() {
    let mut demuxer = FlvDemuxer::new();
    assert_eq!(codecs(&push(&mut demuxer, TagKind::Video, 0, body(b"\x90hvc1", &hvcc()))), [(0, Codec::H265)]);
    let items = push(&mut demuxer, TagKind::Video, 40, body(b"\x91hvc1\0\0\x50", &with_lengths(&[HEVC_IDR])));
    assert_eq!((frame(&items).dts, frame(&items).pts), (3_600, 10_800));
    let items = push(&mut demuxer, TagKind::Video, 80, body(b"\xa3hvc1", &with_lengths(&[HEVC_SLICE])));
    assert_eq!((frame(&items).dts, frame(&items).pts), (7_200, 7_200));
}

#[test]
fn another_codec_on_the_same_track_is_a_new_configuration() {
    let mut demuxer = configured();
    let items = push(&mut demuxer, TagKind::Video, 0, body(b"\x90hvc1", &hvcc()));
    assert_eq!(codecs(&items), [(0, Codec::H265), (1, Codec::Aac)]);
    push(&mut demuxer, TagKind::Video, 40, body(b"\x93hvc1", &with_lengths(&[HEVC_IDR])));
    assert!(push(&mut demuxer, TagKind::Video, 80, avc_frame(1, 0, &[IDR])).is_empty(), "H.264 without its header");
    assert_eq!(demuxer.dropped_frames(), 1);
    let items = push(&mut demuxer, TagKind::Video, 120, avc_header(AVCC));
    assert_eq!(codecs(&items), [(0, Codec::H264), (1, Codec::Aac)]);
}

#[test]
fn a_record_that_breaks_leaves_the_track_as_it_was() {
    let mut demuxer = configured();
    assert!(demuxer.push(TagKind::Video, 0, body(b"\x90hvc1", &hvcc()[..40])).is_err());
    assert!(push(&mut demuxer, TagKind::Video, 0, body(b"\x93hvc1", &with_lengths(&[HEVC_IDR]))).is_empty());
    assert!(push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC)).is_empty(), "that is what it was");
    let items = push(&mut demuxer, TagKind::Video, 40, avc_frame(1, 0, &[IDR]));
    assert_eq!(frame(&items).dts, 3_600);
    // The clock of the sound is that of its configuration again, too.
    assert!(demuxer.push(TagKind::Audio, 0, body(b"\x90fLaC", &[0])).is_err());
    assert!(push(&mut demuxer, TagKind::Audio, 0, aac_header(ASC)).is_empty());
    let items = push(&mut demuxer, TagKind::Audio, 1_000, aac_frame(&[1]));
    assert_eq!(frame(&items).dts, 44_100);
}

#[test]
fn nanoseconds_are_part_of_the_time() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Video, 0, body(b"\x90avc1", AVCC));
    // 33 366 667 ns, the second picture of 30000/1001 a second; ModEx of three bytes, then CodedFramesX.
    let mod_ex = |nanos: u32, rest: &[u8]| {
        let [_, n @ ..] = nanos.to_be_bytes();
        [&[0x97, 2], &n[..], rest].concat()
    };
    let picture = body(&mod_ex(366_667, b"\x03avc1"), &with_lengths(&[IDR]));
    let items = push(&mut demuxer, TagKind::Video, 33, picture);
    assert_eq!((frame(&items).dts, frame(&items).pts), (3_003, 3_003));
    // They are said of the presentation: with a composition time the decoding time keeps its millisecond.
    let picture = body(&mod_ex(500_000, b"\x01avc1\0\0\x0a"), &with_lengths(&[SLICE]));
    let items = push(&mut demuxer, TagKind::Video, 100, picture);
    assert_eq!((frame(&items).dts, frame(&items).pts), (9_000, 9_945));
    // Unknown ModEx types, one behind the other and of 256 and more bytes, are passed over.
    let long = [&[0x97, 0xff, 0x01, 0x00][..], &[7; 257], &[0x17, 0, 9, 0x13], b"avc1"].concat();
    let items = push(&mut demuxer, TagKind::Video, 200, body(&long, &with_lengths(&[SLICE])));
    assert_eq!(frame(&items).dts, 18_000);
    push(&mut demuxer, TagKind::Audio, 0, body(b"\x90mp4a", ASC));
    let items = push(&mut demuxer, TagKind::Audio, 0, body(b"\x97\x02\x05\x00\x00\x01mp4a", &[1]));
    assert_eq!(frame(&items).dts, 14, "0.33 ms at 44.1 kHz");
}

/// `AvMultitrackType` and packet type, the tracks behind it.
fn multitrack(first: u8, types: u8, tracks: &[&[u8]]) -> Bytes {
    [&[first, types], &tracks.concat()[..]].concat().into()
}

/// Track id, size, data.
fn sized(id: u8, data: &[u8]) -> Vec<u8> {
    let [_, size @ ..] = (data.len() as u32).to_be_bytes();
    [&[id], &size[..], data].concat()
}

#[test]
fn every_kind_of_multitrack_becomes_tracks_of_the_bus() {
    let mut demuxer = FlvDemuxer::new();
    // OneTrack.
    let items = push(&mut demuxer, TagKind::Video, 0, multitrack(0x96, 0x00, &[b"avc1\x03", AVCC]));
    assert_eq!(codecs(&items), [(6, Codec::H264)]);
    // ManyTracks: one FourCC, ids and sizes.
    let many = multitrack(0x95, 0x10, &[b"mp4a", &sized(0, ASC), &sized(1, &[0x11, 0x90])]);
    let items = push(&mut demuxer, TagKind::Audio, 0, many);
    assert_eq!(codecs(&items), [(1, Codec::Aac), (3, Codec::Aac), (6, Codec::H264)]);
    // ManyTracksManyCodecs.
    let many = multitrack(0x96, 0x20, &[b"avc1", &sized(0, AVCC), b"hvc1", &sized(2, &hvcc())]);
    let items = push(&mut demuxer, TagKind::Video, 0, many);
    let all = [(0, Codec::H264), (1, Codec::Aac), (3, Codec::Aac), (4, Codec::H265), (6, Codec::H264)];
    assert_eq!(codecs(&items), all);
    // Frames of all of them in one tag, each with its composition time.
    let data = |payload: &[u8]| [&[0, 0, 0x28], &with_lengths(&[payload])[..]].concat();
    let frames = multitrack(
        0x96,
        0x21,
        &[b"avc1", &sized(0, &data(IDR)), b"hvc1", &sized(2, &data(HEVC_IDR)), b"avc1", &sized(3, &data(SLICE))],
    );
    let items = push(&mut demuxer, TagKind::Video, 100, frames);
    let seen: Vec<_> = items.iter().map(|item| frame(std::slice::from_ref(item))).collect();
    let facts: Vec<_> = seen.iter().map(|frame| (frame.track.0, frame.pts, frame.is_key())).collect();
    assert_eq!(facts, [(0, 12_600, true), (4, 12_600, true), (6, 12_600, false)]);
    let ends =
        push(&mut demuxer, TagKind::Video, 140, multitrack(0x96, 0x12, &[b"avc1", &sized(0, &[]), &sized(3, &[])]));
    assert!(matches!(ends[..], [Item::EndOfSequence, Item::EndOfSequence]));
}

#[test]
fn a_small_frame_does_not_keep_a_large_tag_alive() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Audio, 0, body(b"\x90mp4a", ASC));
    let ballast = [&b"none"[..], &sized(1, &[0; 1 << 20])].concat();
    let padding = [&[0x97, 0xff, 0xff, 0xff][..], &[0; 1 << 16], &[0x11]].concat();
    for tag in [multitrack(0x95, 0x21, &[b"mp4a", &sized(0, &[1]), &ballast]), body(&padding, b"mp4a\x01")] {
        drop(demuxer.push(TagKind::Audio, 0, tag.clone()));
        let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
        assert_eq!(frame(&items).payload[..], [1]);
        assert!(tag.is_unique(), "the tag is free");
    }
}

#[test]
fn a_broken_track_does_not_concern_the_others_of_its_tag() {
    let mut demuxer = FlvDemuxer::new();
    let tag = multitrack(0x96, 0x20, &[b"h263", &sized(0, &[1]), b"avc1", &sized(1, AVCC), b"avc1", &sized(2, &[0])]);
    let error = demuxer.push(TagKind::Video, 0, tag).unwrap_err();
    assert_eq!(error, FlvError::Unsupported { what: Foreign::FourCc(*b"h263") }, "the first fault is told");
    demuxer.announce();
    let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    assert_eq!(codecs(&items), [(2, Codec::H264)]);
}

#[test]
fn broken_multitrack_is_refused_with_its_place() {
    let refused = |kind, tag: Bytes| FlvDemuxer::new().push(kind, 0, tag).unwrap_err();
    let malformed = |what, offset| FlvError::Malformed { what, offset };
    let nested = multitrack(0x96, 0x06, &[b"avc1"]);
    assert_eq!(refused(TagKind::Video, nested), malformed("packet type within multitrack", 1));
    assert_eq!(refused(TagKind::Video, multitrack(0x96, 0x00, &[b"avc1"])), malformed("track id", 6));
    let cut_off = multitrack(0x96, 0x10, &[b"avc1", &[0, 0, 0, 99, 1, 2]]);
    assert_eq!(refused(TagKind::Video, cut_off), malformed("sizeOfTrack", 12));
    assert!(matches!(refused(TagKind::Video, multitrack(0x96, 0x30, &[b"avc1"])), FlvError::Unsupported { .. }));
    let broken = multitrack(0x96, 0x10, &[b"avc1", &sized(0, &[0])]);
    assert_eq!(refused(TagKind::Video, broken), malformed("configurationVersion", 10));
    assert_eq!(refused(TagKind::Video, b"\x97\x02\x00"[..].into()), malformed("modExData", 3));
}

#[test]
fn tracks_stay_under_their_limit() {
    let mut demuxer = FlvDemuxer::new();
    let results: Vec<_> = (0..=u8::MAX)
        .map(|id| demuxer.push(TagKind::Audio, 0, multitrack(0x95, 0x00, &[b"mp4a", &[id], ASC])))
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), MAX_TRACKS);
    assert!(results.iter().skip(MAX_TRACKS).all(|result| matches!(result, Err(FlvError::LimitExceeded { .. }))));
}

#[test]
fn ts_configuration_of_av1_is_refused_by_name() {
    let error = FlvDemuxer::new().push(TagKind::Video, 0, b"\x95av01\x80"[..].into()).unwrap_err();
    assert!(error.to_string().contains("MPEG2TSSequenceStart"), "{error}");
}

/// From libaom, 64x36. Encoders that tell the sequence header in the record only exist.
#[test]
fn a_key_frame_of_av1_without_its_sequence_header_gets_that_of_the_record() {
    const HEADER: &[u8] = b"\x0a\x0b\0\0\0\x04\x3c\xfe\xcc\xda\xf9\0\x40";
    const KEY: &[u8] = b"\x32\x10\x14\0\xa1\x60\x10\xd8\x6f\x45\xa0\x96\xc9\x97\xd9\xb4\x8b\xe4";
    let mut demuxer = FlvDemuxer::new();
    let record = arcly_codec::av1::Av1Config::from_sequence_header(HEADER).unwrap().record;
    push(&mut demuxer, TagKind::Video, 0, body(b"\x90av01", &record));
    let items = push(&mut demuxer, TagKind::Video, 40, body(b"\x91av01", KEY));
    assert_eq!((frame(&items).is_key(), &frame(&items).payload[..]), (true, &[HEADER, KEY].concat()[..]));
}

#[test]
fn colour_info_is_kept_with_its_track() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Video, 0, body(b"\x90hvc1", &hvcc()));
    assert_eq!(demuxer.colour_info(VIDEO_TRACK), None);
    let mut metadata = Vec::new();
    amf::encode(&amf::Value::from("colorInfo"), &mut metadata);
    let number = |name: &str, number: f64| (name.to_owned(), amf::Value::Number(number));
    let cll = amf::Value::Object(vec![number("maxFall", 400.0), number("maxCLL", 1000.0)]);
    amf::encode(&amf::Value::Object(vec![("hdrCll".to_owned(), cll)]), &mut metadata);
    let items = push(&mut demuxer, TagKind::Video, 0, body(b"\x94hvc1", &metadata));
    let light = demuxer.colour_info(VIDEO_TRACK).unwrap().hdr.content_light.unwrap();
    assert_eq!((light.max_cll, light.max_fall), (1000, 400));
    assert_eq!(tracks(&items)[0].hdr.content_light, Some(light), "others are told, too");
    assert!(push(&mut demuxer, TagKind::Video, 0, body(b"\x94hvc1", &metadata)).is_empty(), "nothing is new");
    push(&mut demuxer, TagKind::Video, 0, body(b"\x94hvc1", b"\x02\0\x09colorInfo\x06"));
    assert_eq!(demuxer.colour_info(VIDEO_TRACK), None);
    assert!(demuxer.push(TagKind::Video, 0, body(b"\x94hvc1", b"\x02\0\x09color")).is_err());
}

#[test]
fn waveforms_are_what_their_headers_say() {
    let mut demuxer = FlvDemuxer::new();
    let audio = |demuxer: &mut FlvDemuxer, header: u8, samples: &[u8]| {
        let items = push(demuxer, TagKind::Audio, 0, body(&[header], samples));
        let track = items.iter().find_map(|item| match item {
            Item::Tracks(tracks) => Some(tracks[0].clone()),
            _ => None,
        });
        let info = track.map(|track| (track.config.codec(), track.config.audio().unwrap()));
        let info = info.map(|(codec, info)| (codec, info.sample_rate_hz, info.channels, info.bits_per_sample));
        (info, frame(&items).payload.to_vec(), frame(&items).duration)
    };
    let (info, payload, duration) = audio(&mut demuxer, 0x72, &[1, 2, 3]);
    assert_eq!((info, &payload[..], duration), (Some((Codec::G711A, 8_000, 1, 0)), &[1, 2, 3][..], 3));
    let (info, _, duration) = audio(&mut demuxer, 0x83, &[1, 2]);
    assert_eq!((info, duration), (Some((Codec::G711U, 8_000, 2, 0)), 1));
    let (info, payload, duration) = audio(&mut demuxer, 0x3f, &[1, 2, 3, 4]);
    assert_eq!((info, &payload[..], duration), (Some((Codec::Pcm, 44_100, 2, 16)), &[2, 1, 4, 3][..], 1));
    let (info, payload, _) = audio(&mut demuxer, 0x04, &[0x80, 0]);
    assert_eq!((info, &payload[..]), (Some((Codec::Pcm, 11_025, 1, 8)), &[0, 0x80][..]));
    assert_eq!(audio(&mut demuxer, 0x04, &[0]).0, None, "said already");
}

/// MPEG-1 layer III, 32 kbit/s, 44.1 kHz, mono: 104 bytes.
fn mp3_frame() -> Vec<u8> {
    [&[0xff, 0xfb, 0x10, 0xc4][..], &[0; 100]].concat()
}

#[test]
fn mp3_configures_itself_in_every_form() {
    for header in [&[0x2e][..], &[0xe2], b"\x91.mp3"] {
        let mut demuxer = FlvDemuxer::new();
        let items = push(&mut demuxer, TagKind::Audio, 0, body(header, &mp3_frame()));
        assert_eq!(codecs(&items), [(1, Codec::Mp3)]);
        assert_eq!((frame(&items).duration, tracks(&items)[0].clock_rate_hz), (1152, 44_100));
        // Another bit rate is no other configuration.
        let mut louder = mp3_frame();
        louder[2] = 0x20;
        assert_eq!(push(&mut demuxer, TagKind::Audio, 26, body(header, &louder)).len(), 1);
    }
}

/// Found by a reader: what the first access unit had stayed.
#[test]
fn objects_and_substreams_that_come_and_go_are_another_configuration() {
    let mut demuxer = FlvDemuxer::new();
    let mut announced = |beginnings: &[&[u8]]| {
        let items = push(&mut demuxer, TagKind::Audio, 0, body(b"\x91ec-3", &eac3(beginnings)));
        let tracks = items.iter().filter_map(|item| if let Item::Tracks(tracks) = item { Some(tracks) } else { None });
        let found = tracks.flatten().map(|track| match &track.config {
            CodecConfig::Eac3(config) => (config.info.channels, config.joc_complexity),
            other => panic!("{other:?}"),
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(announced(&[EAC3_MAIN]), [(6, None)]);
    assert_eq!(announced(&[EAC3_MAIN]), []);
    assert_eq!(announced(&[EAC3_OBJECTS]), [(6, Some(12))]);
    assert_eq!(announced(&[EAC3_MAIN, EAC3_REAR]), [(8, None)]);
    // Another bit rate is no other configuration.
    let mut larger = EAC3_REAR.to_vec();
    larger[3] = 0x5f;
    assert_eq!(announced(&[EAC3_MAIN, &larger]), []);
}

/// `onMetaData` that announces pictures and sound.
fn announcement() -> Bytes {
    let mut metadata = Vec::new();
    amf::encode(&amf::Value::from("onMetaData"), &mut metadata);
    let number = |name: &str, number: f64| (name.to_owned(), amf::Value::Number(number));
    amf::encode(&amf::Value::EcmaArray(vec![number("videocodecid", 7.0), number("audiocodecid", 10.0)]), &mut metadata);
    metadata.into()
}

#[test]
fn announced_tracks_come_out_together() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Script, 0, announcement());
    assert!(push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC)).is_empty());
    assert!(push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).is_empty());
    assert!(push(&mut demuxer, TagKind::Video, 40, avc_frame(2, 0, &[SLICE])).is_empty());
    let items = push(&mut demuxer, TagKind::Audio, 40, aac_header(ASC));
    assert_eq!(codecs(&items), [(0, Codec::H264), (1, Codec::Aac)]);
    assert_eq!(items.len(), 3, "one set of tracks, two pictures: {items:?}");
    assert_eq!(push(&mut demuxer, TagKind::Audio, 40, aac_frame(&[1])).len(), 1);
}

#[test]
fn tracks_come_out_once_in_front_of_the_first_frame() {
    let mut demuxer = FlvDemuxer::new();
    for (kind, header) in [(TagKind::Video, avc_header(AVCC)), (TagKind::Audio, aac_header(ASC))] {
        demuxer.push(kind, 0, header).unwrap();
        assert!(demuxer.poll().is_none());
    }
    demuxer.push(TagKind::Audio, 0, aac_frame(&[1])).unwrap();
    let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    assert_eq!((codecs(&items).len(), items.len()), (2, 2), "{items:?}");
}

#[test]
fn a_track_that_never_comes_is_not_waited_for_long() {
    let waiting = || {
        let mut demuxer = FlvDemuxer::new();
        push(&mut demuxer, TagKind::Script, 0, announcement());
        push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
        demuxer
    };
    let mut demuxer = waiting();
    let came: Vec<_> =
        (0..50).map(|n| push(&mut demuxer, TagKind::Video, 40 * n, avc_frame(1, 0, &[IDR])).len()).collect();
    assert_eq!(came.iter().position(|items| *items > 0), Some(25), "a second");
    assert_eq!((came[25], came[26]), (27, 1), "all that waited, the tracks in front");
    let mut demuxer = waiting();
    let opened = (0..200).position(|_| !push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).is_empty());
    assert_eq!(opened, Some(98), "a hundred items");
    let mut demuxer = waiting();
    let big = vec![0x65; 1 << 20];
    let opened = (0..200).position(|_| !push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[&big])).is_empty());
    assert_eq!(opened, Some(3), "four megabytes");
    let mut demuxer = waiting();
    push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR]));
    demuxer.finish();
    assert_eq!(std::iter::from_fn(|| demuxer.poll()).count(), 2, "the end of the file");
}

#[test]
fn a_change_while_waiting_keeps_its_place() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Script, 0, announcement());
    push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
    push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR]));
    let mut sps = AVCC[SPS].to_vec();
    sps[3] = 0x1f;
    push(&mut demuxer, TagKind::Video, 40, avc_frame(1, 0, &[&sps, &AVCC[PPS], IDR]));
    let items = push(&mut demuxer, TagKind::Audio, 40, aac_header(ASC));
    let shape: Vec<_> =
        items.iter().map(|item| if let Item::Tracks(tracks) = item { tracks.len() } else { 0 }).collect();
    assert_eq!(shape, [2, 0, 2, 0], "both sets have the sound");
    assert_eq!(tracks(&items[2..])[0].config.rfc6381(), "avc1.4d401f");
}

#[test]
fn script_data_in_mid_stream_holds_nothing_back() {
    let mut demuxer = FlvDemuxer::new();
    push(&mut demuxer, TagKind::Video, 0, avc_header(AVCC));
    push(&mut demuxer, TagKind::Script, 0, announcement());
    assert_eq!(push(&mut demuxer, TagKind::Video, 0, avc_frame(1, 0, &[IDR])).len(), 1);
    assert_eq!(VIDEO_TRACK, TrackId(0));
}
