//! The muxer: the bytes of its headers, its times, what a late viewer is given.

use std::sync::Arc;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{
    CodecConfig, Colour, ContentLight, Hdr,
    aac::AudioSpecificConfig,
    amf::{Decoder, Limits, Value},
    h264::AvcConfig,
    opus::OpusConfig,
    pcm::PcmConfig,
    vp8::Vp8Config,
};

use super::*;
use crate::PackError;

fn avc(id: u8) -> Track {
    Track::new(TrackId(id), CodecConfig::H264(AvcConfig::parse(Bytes::from_static(AVCC)).unwrap()))
}

fn aac(id: u8) -> Track {
    Track::new(TrackId(id), CodecConfig::Aac(AudioSpecificConfig::parse(Bytes::from_static(ASC)).unwrap()))
}

fn opus(id: u8) -> Track {
    Track::new(TrackId(id), CodecConfig::Opus(OpusConfig::new(2).unwrap()))
}

fn set(tracks: &[Track]) -> Arc<TrackSet> {
    Arc::new(TrackSet { revision: 1, tracks: tracks.to_vec() })
}

fn muxer(tracks: &[Track], dialect: Dialect) -> FlvMuxer {
    let mut muxer = FlvMuxer::new(FlvMuxOptions { dialect, ..FlvMuxOptions::default() });
    muxer.reconfigure(&set(tracks));
    muxer
}

fn picture(track: u8, dts: i64, pts: i64, key: bool) -> Frame {
    let flags = if key { FrameFlags::KEY } else { FrameFlags::NONE };
    Frame { track: TrackId(track), flags, pts, dts, duration: 0, payload: Bytes::from_static(b"\0\0\0\x01\x65") }
}

fn sound(track: u8, dts: i64) -> Frame {
    Frame { flags: FrameFlags::NONE, payload: Bytes::from_static(b"sound"), ..picture(track, dts, dts, false) }
}

/// The tags that a frame gives.
fn write(muxer: &mut FlvMuxer, frame: &Frame) -> Vec<FlvTag> {
    let mut tags = Vec::new();
    muxer.write(frame, &mut tags).unwrap();
    tags
}

fn roles(tags: &[FlvTag]) -> Vec<TagRole> {
    tags.iter().map(|tag| tag.role).collect()
}

#[test]
fn classic_tags_are_those_of_flv_10_1() {
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Classic);
    let tags = write(&mut muxer, &picture(0, 90_000, 97_200, true));
    assert_eq!(roles(&tags), [TagRole::Metadata, TagRole::Configuration, TagRole::Configuration, TagRole::KeyFrame]);
    assert!(tags.iter().all(|tag| tag.timestamp_ms == 1_000), "headers have the time of the frame behind them");
    assert_eq!(tags[1].body(), avc_header(AVCC));
    assert_eq!(tags[2].body(), aac_header(ASC));
    assert_eq!(tags[3].header(), [0x17, 1, 0, 0, 80]);
    let tags = write(&mut muxer, &picture(0, 93_600, 90_000, false));
    assert_eq!(tags[0].header(), [0x27, 1, 0xff, 0xff, 0xd8], "a composition time may be negative");
    assert_eq!(write(&mut muxer, &sound(1, 44_100))[0].header(), [0xaf, 1]);
    assert_eq!(muxer.end(2_000).iter().map(FlvTag::body).collect::<Vec<_>>(), [&b"\x17\x02\0\0\0"[..]]);
}

#[test]
fn enhanced_tags_are_those_of_enhanced_rtmp() {
    let mut muxer = muxer(&[avc(0), opus(1)], Dialect::Enhanced);
    let tags = write(&mut muxer, &picture(0, 0, 7_200, true));
    assert_eq!(tags[1].header(), b"\x90avc1");
    assert_eq!(tags[2].header(), b"\x90Opus");
    assert!(tags[2].payload.starts_with(b"OpusHead"));
    assert_eq!(tags[3].header(), b"\x91avc1\0\0\x50");
    assert_eq!(write(&mut muxer, &picture(0, 9_000, 9_000, false))[0].header(), b"\xa3avc1", "CodedFramesX");
    assert_eq!(write(&mut muxer, &sound(1, 0))[0].header(), b"\x91Opus");
    assert_eq!(muxer.end(0)[1].body(), &b"\x92Opus"[..]);
}

/// No FFmpeg knows it in FLV: the bytes are those that Enhanced RTMP says.
#[test]
fn vp8_is_enhanced_in_every_dialect_and_comes_back() {
    let key = Bytes::from_static(b"\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01picture");
    let track = Track::new(TrackId(0), CodecConfig::Vp8(Vp8Config::from_frame(&key).unwrap()));
    for dialect in [Dialect::Classic, Dialect::Enhanced] {
        let mut muxer = muxer(std::slice::from_ref(&track), dialect);
        let frames = [
            Frame { payload: key.clone(), ..picture(0, 0, 0, true) },
            Frame { payload: Bytes::from_static(b"\x11\x02\x00picture"), ..picture(0, 3_600, 3_600, false) },
        ];
        let tags: Vec<FlvTag> = frames.iter().flat_map(|frame| write(&mut muxer, frame)).collect();
        // SequenceStart with the record of vpcC, then CodedFrames without a composition time.
        assert_eq!((tags[1].header(), &tags[1].payload), (&b"\x90vp08"[..], track.config.record()));
        let coded: Vec<&[u8]> =
            tags.iter().filter(|tag| tag.payload.ends_with(b"picture")).map(FlvTag::header).collect();
        assert_eq!(coded, [b"\x91vp08", b"\xa1vp08"]);
        let mut demuxer = FlvDemuxer::new();
        tags.iter().for_each(|tag| demuxer.push(tag.kind, tag.timestamp_ms, tag.body()).unwrap());
        let items: Vec<Item> = std::iter::from_fn(|| demuxer.poll()).collect();
        assert!(matches!(&items[0], Item::Tracks(tracks) if *tracks == [track.clone()]), "{items:?}");
        let back = items.iter().filter_map(|item| match item {
            Item::Frame(frame) => Some((frame.flags, frame.pts, frame.payload.clone())),
            _ => None,
        });
        let wanted = frames.map(|frame| (frame.flags, frame.pts, frame.payload));
        assert_eq!(back.collect::<Vec<_>>(), wanted, "{dialect:?}");
    }
}

#[test]
fn further_tracks_are_multitrack() {
    let mut muxer = muxer(&[avc(0), aac(1), avc(2), opus(3)], Dialect::Classic);
    let tags = write(&mut muxer, &picture(2, 0, 7_200, true));
    let headers: Vec<_> = tags[1..].iter().map(FlvTag::header).collect();
    let expected: [&[u8]; 5] =
        [&[0x17, 0, 0, 0, 0], &[0xaf, 0], b"\x96\x00avc1\x01", b"\x95\x00Opus\x01", b"\x96\x01avc1\x01\0\0\x50"];
    assert_eq!(headers, expected);
    assert_eq!(write(&mut muxer, &picture(0, 0, 0, true))[0].header(), [0x17, 1, 0, 0, 0]);
    assert_eq!(write(&mut muxer, &sound(3, 0))[0].header(), b"\x95\x01Opus\x01");
}

#[test]
fn payloads_are_shared_and_not_copied() {
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Classic);
    let frame = picture(0, 0, 0, true);
    let tags = write(&mut muxer, &frame);
    assert_eq!(tags[3].payload.as_ptr(), frame.payload.as_ptr());
    assert_eq!(tags[1].payload.as_ptr(), AVCC.as_ptr());
}

#[test]
fn a_file_has_the_bytes_of_the_specification() {
    let mut muxer = muxer(&[aac(1)], Dialect::Classic);
    let mut frame = sound(1, 0);
    // 0x01020304 ms: the extended byte comes last.
    frame.dts = i64::from(0x0102_0304) * 44_100 / 1_000;
    frame.pts = frame.dts;
    let tag = write(&mut muxer, &frame).pop().unwrap();
    let mut file = file_header(false, true).to_vec();
    tag.write(&mut file);
    let expected =
        [&b"FLV\x01\x04\0\0\0\x09\0\0\0\0"[..], &[8, 0, 0, 7, 2, 3, 4, 1, 0, 0, 0, 0xaf, 1], b"sound\0\0\0\x12"];
    assert_eq!(file, expected.concat());
    assert_eq!(file_header(true, true)[4], 5);
}

#[test]
fn a_late_viewer_is_given_all_headers_again() {
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Classic);
    let first = write(&mut muxer, &picture(0, 90_000, 90_000, true));
    let again = muxer.headers(1_000);
    assert_eq!(again, first[..3]);
    assert_eq!(write(&mut muxer, &picture(0, 180_000, 180_000, true)).len(), 1, "and the others are not");
}

#[test]
fn a_new_configuration_comes_in_front_of_its_first_frame() {
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Classic);
    write(&mut muxer, &picture(0, 0, 0, true));
    muxer.reconfigure(&set(&[avc(0), aac(1)]));
    assert_eq!(write(&mut muxer, &picture(0, 3_600, 3_600, false)).len(), 1, "nothing is new");
    let hd = Track::new(TrackId(1), CodecConfig::Aac(AudioSpecificConfig::new(2, 48_000, 2).unwrap()));
    muxer.reconfigure(&set(&[avc(0), hd]));
    let tags = write(&mut muxer, &picture(0, 7_200, 7_200, true));
    assert_eq!(roles(&tags), [TagRole::Metadata, TagRole::Configuration, TagRole::KeyFrame]);
    assert_eq!((tags[1].kind, tags[1].timestamp_ms), (TagKind::Audio, 80));
    muxer.reconfigure(&set(&[avc(0)]));
    let tags = write(&mut muxer, &picture(0, 10_800, 10_800, true));
    assert_eq!(roles(&tags), [TagRole::Metadata, TagRole::KeyFrame], "a track is gone");
    assert!(write(&mut muxer, &sound(1, 0)).is_empty());
}

#[test]
fn headers_that_were_due_stay_due_over_a_reconfiguration() {
    let mut muxer = muxer(&[avc(0)], Dialect::Classic);
    muxer.reconfigure(&set(&[avc(0), aac(1)]));
    assert_eq!(write(&mut muxer, &picture(0, 0, 0, true)).len(), 4);
}

#[test]
fn tracks_without_a_form_are_left_out() {
    let data = Track::new(TrackId(8), CodecConfig::Id3(arcly_codec::data::DataConfig::default()));
    let hd_pcm = Track::new(TrackId(9), CodecConfig::Pcm(PcmConfig::new(48_000, 2, 16).unwrap()));
    for track in [&data, &hd_pcm] {
        assert!(FlvMuxer::supports(track, Dialect::Classic).is_err());
    }
    let tracks = [avc(0), aac(1), opus(3), data, hd_pcm];
    let mut classic = muxer(&tracks, Dialect::Classic);
    assert_eq!(classic.left_out(), [TrackId(8), TrackId(9)]);
    assert!(write(&mut classic, &sound(8, 0)).is_empty());
    assert_eq!(muxer(&tracks, Dialect::ClassicOnly).left_out(), [TrackId(3), TrackId(8), TrackId(9)]);
    assert!(FlvMuxer::supports(&opus(1), Dialect::ClassicOnly).is_err());
    assert!(FlvMuxer::supports(&opus(1), Dialect::Enhanced).is_ok());
}

#[test]
fn a_frame_that_no_tag_can_hold_is_refused() {
    let mut muxer = muxer(&[avc(0)], Dialect::Classic);
    let frame = |bytes| Frame { payload: vec![0; bytes].into(), ..picture(0, 0, 0, true) };
    let mut tags = Vec::new();
    let error = muxer.write(&frame(MAX_TAG_BYTES - 4), &mut tags).unwrap_err();
    assert!(matches!(error, PackError::LimitExceeded { .. }) && tags.is_empty());
    assert!(muxer.write(&frame(MAX_TAG_BYTES - 5), &mut tags).is_ok());
    assert_eq!(tags.len(), 3, "the headers were still due");
}

#[test]
fn a_day_of_pictures_and_sound_does_not_drift() {
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Classic);
    write(&mut muxer, &picture(0, 0, 0, true));
    let day_90k = 26 * 3_600 * 90_000_i64;
    for frame in (0..day_90k / 3_003).step_by(997) {
        let tag = write(&mut muxer, &picture(0, frame * 3_003, frame * 3_003, false)).pop().unwrap();
        let off = i64::from(tag.timestamp_ms) * 90 - frame * 3_003;
        assert!(off.abs() <= 45, "picture {frame} is {off} ticks off");
    }
    for unit in (0..26 * 3_600 * 44_100 / 1_024_i64).step_by(997) {
        let tag = write(&mut muxer, &sound(1, unit * 1_024)).pop().unwrap();
        let off = i64::from(tag.timestamp_ms) * 44_100 - unit * 1_024_000;
        assert!(off.abs() <= 22_050, "access unit {unit} is {off} off");
    }
}

#[test]
fn timestamps_wrap_and_may_begin_anywhere() {
    let mut muxer = muxer(&[avc(0)], Dialect::Classic);
    let at = |ms: i64| picture(0, ms * 90, ms * 90, true);
    write(&mut muxer, &at(0));
    let mut ms = |time| write(&mut muxer, &at(time))[0].timestamp_ms;
    assert_eq!([ms((1 << 32) - 1), ms(1 << 32), ms((1 << 32) + 40)], [u32::MAX, 0, 40]);
    let mut early = self::muxer(&[avc(0)], Dialect::Classic);
    assert_eq!(write(&mut early, &at(-1)).pop().unwrap().timestamp_ms, u32::MAX);
    let mut from_zero = FlvMuxer::new(FlvMuxOptions { origin_ms: Some(5_000), ..FlvMuxOptions::default() });
    from_zero.reconfigure(&set(&[avc(0)]));
    assert_eq!(write(&mut from_zero, &at(5_040)).pop().unwrap().timestamp_ms, 40);
    // Times at the ends of what 64 bits can say.
    for time in [i64::MIN, i64::MAX] {
        write(&mut early, &picture(0, time, -(time / 2), true));
    }
}

/// Found by reading: sound that was further behind the first picture of a push than that is from 0 had times of 49 days.
#[test]
fn what_is_before_the_origin_is_left_out_and_its_headers_come_with_the_next_frame() {
    let mut muxer = FlvMuxer::new(FlvMuxOptions { origin_ms: Some(59_000), ..FlvMuxOptions::default() });
    muxer.reconfigure(&set(&[avc(0), aac(1)]));
    let heard = |ms: i64| sound(1, ms * 441 / 10);
    assert_eq!(write(&mut muxer, &heard(58_800)), []);
    let tags = write(&mut muxer, &picture(0, 60_000 * 90, 60_000 * 90, true));
    assert_eq!(
        tags.iter().map(|tag| tag.timestamp_ms).collect::<Vec<_>>(),
        [1_000; 4],
        "metadata, two headers, the picture"
    );
    assert_eq!(write(&mut muxer, &heard(58_980)), []);
    assert_eq!(write(&mut muxer, &heard(59_010))[0].timestamp_ms, 10);
    // A stream that begins anew goes on behind.
    let again = Frame { flags: FrameFlags::KEY.with(FrameFlags::DISCONTINUITY), ..picture(0, 0, 0, true) };
    assert!(write(&mut muxer, &again)[0].timestamp_ms > 1_000);
}

/// Found by reading: the times went back with those of the stream, and on a push, which counts from its first frame, below zero: to 49 days.
#[test]
fn behind_a_break_back_times_go_on_for_picture_and_sound_together() {
    let mut muxer = FlvMuxer::new(FlvMuxOptions { origin_ms: Some(60_000), ..FlvMuxOptions::default() });
    muxer.reconfigure(&set(&[avc(0), aac(1)]));
    let mut times = Vec::new();
    for start_ms in [60_000, 25_000, 0, 30_000] {
        for n in 0..50_i64 {
            let ms = start_ms + n * 40;
            let flags = if n == 0 { FrameFlags::KEY.with(FrameFlags::DISCONTINUITY) } else { FrameFlags::NONE };
            let shown = Frame { flags, ..picture(0, ms * 90, ms * 90 + 3_600, false) };
            let heard = sound(1, (ms + 10) * 441 / 10);
            let mut time = |frame| write(&mut muxer, frame).pop().unwrap().timestamp_ms;
            times.push((time(&shown), time(&heard)));
        }
    }
    assert_eq!(times[0], (0, 10));
    assert!(times.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{times:?}");
    assert!(times.iter().all(|(shown, heard)| shown + 10 == *heard), "the sound is where its picture is: {times:?}");
    assert!(times[149].0 < 10_000 && times[150].0 - times[149].0 > 27_000, "a jump forward stays");
}

/// Every time of 30000/1001 pictures a second, reordered, comes back to the tick: the presentation always, the decoding
/// where both are the same.
#[test]
fn nanosecond_offsets_make_times_exact() {
    let options = FlvMuxOptions { dialect: Dialect::Enhanced, nanosecond_offsets: true, origin_ms: None };
    let mut muxer = FlvMuxer::new(options);
    muxer.reconfigure(&set(&[avc(0), opus(1)]));
    let mut demuxer = FlvDemuxer::new();
    for index in 0..2_000_i64 {
        let delay = [0, 2, 1, 0][index as usize % 4] * 3_003;
        // A packet of 2.5 ms.
        let packet = Frame { payload: Bytes::from_static(&[0x80, 1, 2]), ..sound(1, index * 120) };
        let frames = [picture(0, index * 3_003, index * 3_003 + delay, index == 0), packet];
        for before in frames {
            for tag in write(&mut muxer, &before) {
                demuxer.push(tag.kind, tag.timestamp_ms, tag.body()).unwrap();
            }
            while let Some(item) = demuxer.poll() {
                let Item::Frame(frame) = item else { continue };
                assert_eq!(frame.pts, before.pts, "frame {index} of {:?}", before.track);
                let exact = if before.pts == before.dts { 0 } else { 90 };
                assert!((frame.dts - before.dts).abs() <= exact, "frame {index}: {} {}", frame.dts, before.dts);
            }
        }
    }
    let tag = write(&mut muxer, &picture(0, 3_003, 3_003, false)).pop().unwrap();
    assert_eq!(tag.header(), b"\xa7\x02\x05\x98\x4a\x03avc1", "0.366666 ms");
    let mut classic = FlvMuxer::new(FlvMuxOptions { dialect: Dialect::Classic, ..options });
    classic.reconfigure(&set(&[avc(0)]));
    assert_eq!(write(&mut classic, &picture(0, 3_003, 3_003, true)).pop().unwrap().header(), [0x17, 1, 0, 0, 0]);
}

/// Properties of the metadata that is written in front of these tracks.
fn metadata(tracks: &[Track], dialect: Dialect) -> Value {
    let tag = muxer(tracks, dialect).headers(0).remove(0);
    assert_eq!((tag.kind, tag.header()), (TagKind::Script, &[][..]));
    let mut values = Decoder::new(&tag.payload, Limits::default());
    assert_eq!(values.next_value().unwrap(), Some(Value::from("onMetaData")));
    values.next_value().unwrap().unwrap()
}

#[test]
fn metadata_says_what_players_ask() {
    let properties = metadata(&[avc(0), aac(1)], Dialect::Classic);
    let number = |name| properties.property(name).and_then(Value::as_number);
    assert_eq!((number("width"), number("height")), (Some(640.0), Some(360.0)));
    assert!((number("framerate").unwrap() - 29.97).abs() < 0.001);
    assert_eq!((number("videocodecid"), number("audiocodecid")), (Some(7.0), Some(10.0)));
    assert_eq!((number("audiosamplerate"), number("audiochannels")), (Some(44_100.0), Some(2.0)));
    assert_eq!(properties.property("stereo"), Some(&Value::Boolean(true)));
    let properties = metadata(&[opus(1)], Dialect::Classic);
    assert_eq!(properties.property("hasVideo"), Some(&Value::Boolean(false)));
    assert_eq!(properties.property("audiocodecid").unwrap().as_number(), Some(f64::from(u32::from_be_bytes(*b"Opus"))));
    let properties = metadata(&[avc(0)], Dialect::Enhanced);
    assert_eq!(properties.property("videocodecid").unwrap().as_number(), Some(f64::from(u32::from_be_bytes(*b"avc1"))));
}

#[test]
fn colour_info_is_written_where_there_is_some() {
    let hdr = Hdr { content_light: Some(ContentLight { max_cll: 1000, max_fall: 400 }), mastering: None };
    let mut muxer = muxer(&[avc(0), aac(1)], Dialect::Enhanced);
    write(&mut muxer, &picture(0, 0, 0, true));
    let told = set(&[Track { hdr, ..avc(0) }, aac(1)]);
    muxer.reconfigure(&told);
    let tags = write(&mut muxer, &picture(0, 3_600, 3_600, true));
    assert_eq!(tags[2].header(), b"\x94avc1");
    let mut demuxer = FlvDemuxer::new();
    for tag in &tags {
        demuxer.push(tag.kind, tag.timestamp_ms, tag.body()).unwrap();
    }
    assert_eq!(demuxer.colour_info(VIDEO_TRACK).map(|info| info.hdr), Some(hdr));
    muxer.reconfigure(&told);
    assert_eq!(write(&mut muxer, &picture(0, 7_200, 7_200, true)).len(), 1, "nothing is new");
    assert_eq!(Colour::default().transfer, 2);
}
