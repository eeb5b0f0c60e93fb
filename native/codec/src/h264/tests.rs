//! Vectors of a real encoder over the profiles, the standard's corner cases, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    Chroma, CodecConfig, CodecError, Colour, VideoInfo,
    bit_writer::BitWriter,
    bits::BitReader,
    nal::LateSets,
    sweep::{mutations, truncations, unhex},
};

/// Record and what it says: profile, width, height, bit depth, frame rate, RFC 6381.
type Row = (&'static str, u8, u32, u32, u8, Option<(u32, u32)>, &'static str);

/// avcC records of libx264 build 164 through ffmpeg 5.1: `ffmpeg -f lavfi -i testsrc2=size=SIZE:rate=RATE -frames:v 3
/// -c:v libx264 -preset veryfast -profile:v PROFILE -pix_fmt FORMAT -f flv`, the body of the first video tag without its
/// five bytes.
const ROWS: [Row; 10] = [
    // baseline, yuv420p, rate 15
    (BASELINE, 66, 320, 240, 8, Some((15, 1)), "avc1.42c00c"),
    // main, yuv420p, rate 30000/1001: 360 lines are cropped out of 368
    (MAIN, 77, 640, 360, 8, Some((30_000, 1_001)), "avc1.4d401e"),
    // high, yuv420p, rate 60: 1080 lines are cropped out of 1088
    (HIGH_1080, 100, 1920, 1080, 8, Some((60, 1)), "avc1.64002a"),
    // high10, yuv420p10
    (HIGH_10, 110, 640, 360, 10, Some((25, 1)), "avc1.6e001e"),
    // high422, yuv422p10, rate 24000/1001, both sides cropped
    (HIGH_422, 122, 638, 358, 10, Some((24_000, 1_001)), "avc1.7a001e"),
    // high444, yuv444p, -vf format=yuv444p,crop=637:359:0:0:exact=1: odd sides
    (HIGH_444, 244, 637, 359, 8, Some((50, 1)), "avc1.f4001f"),
    // -flags +ildct+ilme -x264-params tff=1: 1080 lines in fields
    (INTERLACED, 100, 1920, 1080, 8, Some((25, 1)), "avc1.640028"),
    // gray: monochrome, cropped by single samples
    (GRAY, 100, 322, 242, 8, Some((25, 1)), "avc1.64000d"),
    // -x264-params cqm=jvt: scaling matrices
    (SCALING_MATRIX, 100, 320, 240, 8, Some((25, 1)), "avc1.64000d"),
    // -vf setsar=16/11 -color_primaries bt470bg … -x264-params overscan=show:nal-hrd=vbr: the VUI in front of the timing
    (FULL_VUI, 100, 720, 576, 8, Some((25, 1)), "avc1.64001e"),
];

const BASELINE: &str = "0142c00cffe100166742c00cda0507ec0440000003004000000783c50aa801000468ce0fc8";
const MAIN: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";
const HIGH_1080: &str = "0164002affe1001b6764002aacd940780227e5c044000003000400000301e03c60c65801000468ef8fcbfdf8f800";
const HIGH_10: &str = "016e001effe1001b676e001ea6cd940a02ff97011000000300100000030320f162d96001000468ef8fcbfdfafa00";
const HIGH_422: &str = "017a001effe1001a677a001eb6cd940a02fea2f01100000303e90000bb800f162d9601000468ef8fcbfefafa00";
const HIGH_444: &str = "01f4001fffe1001a67f4001f919b281405fc915808800000030080000032078c18cb01000668ef8f192190fff8f800";
const INTERLACED: &str = "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000468fe8fcbfdf8f800";
const GRAY: &str = "0164000dffe1001a6764000df36505421e3e3f016c800000030080000019078a14cb01000468ef8fcbfcf8f800";
const SCALING_MATRIX: &str =
    "0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000568ef8fcc03fdf8f800";
const FULL_VUI: &str = "0164001effe100286764001eacd940b4126c12d414141500000300010000030032604000f424001e84a4c30078b1\
                        6cb001000468ef8fcbfdf8f800";

fn config(hex: &str) -> AvcConfig {
    AvcConfig::parse(Bytes::from(unhex(hex))).unwrap_or_else(|error| panic!("{hex}: {error}"))
}

/// Header, profile, flags, level and id of an SPS.
fn sps(profile_idc: u64) -> BitWriter {
    BitWriter::default().u(8, 0x67).u(8, profile_idc).u(8, 0).u(8, 31).ue(0)
}

#[test]
fn records_of_every_profile_say_what_the_encoder_was_told() {
    for (hex, profile_idc, width, height, bit_depth, frame_rate, rfc6381) in ROWS {
        let config = config(hex);
        let info = &config.info;
        assert_eq!((info.width, info.height, info.bit_depth), (width, height, bit_depth), "{hex}");
        assert_eq!((info.profile, info.frame_rate), (profile_idc, frame_rate), "{hex}");
        assert_eq!(config.rfc6381(), rfc6381);
        assert_eq!((config.nal_length_size, config.sps.len(), config.pps.len()), (4, 1, 1));
    }
}

/// What ffprobe 5.1 prints of such streams: `sample_aspect_ratio`, `color_*`, `pix_fmt`, `has_b_frames`.
#[test]
fn records_say_what_a_container_asks() {
    let video = |hex| config(hex).info;
    assert_eq!(video(FULL_VUI).sample_aspect_ratio, Some((16, 11)));
    assert_eq!(video(FULL_VUI).colour, Colour { primaries: 5, transfer: 5, matrix: 5, full_range: false });
    assert_eq!((video(MAIN).sample_aspect_ratio, video(MAIN).colour), (Some((1, 1)), Colour::default()));
    let chroma = [GRAY, MAIN, HIGH_422, HIGH_444].map(|hex| video(hex).chroma);
    assert_eq!(chroma, [Chroma::Monochrome, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444]);
    assert_eq!([BASELINE, MAIN].map(|hex| video(hex).max_reorder_frames), [Some(0), Some(2)]);
    let sps = |hex| SpsInfo::parse(&config(hex).sps[0]).unwrap();
    assert!(!sps(INTERLACED).frame_mbs_only && sps(MAIN).frame_mbs_only);
    assert_eq!([MAIN, HIGH_422].map(|hex| sps(hex).bit_depth_chroma), [8, 10]);
    assert_eq!(sps(MAIN).vui.max_dec_frame_buffering, Some(4));
    assert!(sps(FULL_VUI).vui.picture_timing.delay_bits.is_some() && sps(MAIN).vui.picture_timing.delay_bits.is_none());
    assert_eq!(CodecConfig::H264(config(MAIN)).video(), Some(video(MAIN)));
}

#[test]
fn pictures_of_order_type_2_are_not_reordered() {
    let bits = sps(66).ues(&[0, 2, 1]).u(1, 0).ues(&[19, 14]).u(3, 0b110).u(1, 0);
    assert_eq!(SpsInfo::parse(&bits.nal()).unwrap().video.max_reorder_frames, Some(0));
}

/// Both kinds of HRD, and a restriction behind them; each cut of it takes nothing away but itself.
#[test]
fn a_vui_that_breaks_behind_the_timing_loses_only_what_is_broken() {
    let hrd = |bits: BitWriter| {
        bits.ue(1).u(8, 0).ues(&[9, 9]).u(1, 0).ues(&[9, 9]).u(1, 1).u(5, 23).u(5, 15).u(5, 7).u(5, 24)
    };
    let start = || {
        sps(66).ues(&[0, 0, 0, 1]).u(1, 0).ues(&[19, 14]).u(3, 0b110).u(1, 1).u(4, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 1)
    };
    let timed = hrd(hrd(start().u(1, 1)).u(1, 1)).u(1, 0).u(1, 1);
    let whole = SpsInfo::parse(&timed.u(2, 0b11).ues(&[2, 1, 10, 10, 1, 3]).nal()).unwrap();
    let timing = PictureTiming { delay_bits: Some((16, 8)), time_offset_bits: 24, has_pic_struct: true };
    assert_eq!(whole.vui.picture_timing, timing);
    assert_eq!((whole.vui.max_reorder_frames, whole.vui.max_dec_frame_buffering), (Some(1), Some(3)));
    assert!(whole.vui.fixed_frame_rate);
    let broken = SpsInfo::parse(&start().u(1, 1).ue(32).nal()).unwrap();
    assert_eq!((broken.video.frame_rate, broken.vui.max_reorder_frames), (Some((25, 1)), None));
    let broken = SpsInfo::parse(&start().u(2, 0).u(1, 1).u(2, 0b11).ues(&[2, 1, 10, 10, 17, 17]).nal()).unwrap();
    assert_eq!((broken.vui.picture_timing.has_pic_struct, broken.vui.max_reorder_frames), (true, None));
}

/// The set was refused, and with it all pictures.
#[test]
fn a_vui_that_ends_in_front_of_the_timing_loses_only_what_is_missing() {
    let size = || sps(66).ues(&[0, 0, 0, 1]).u(1, 0).ues(&[19, 14]).u(3, 0b110).u(1, 1);
    let read = |bits: BitWriter| {
        let video = SpsInfo::parse(&bits.nal()).unwrap().video;
        (video.width, video.height, video.sample_aspect_ratio, video.frame_rate)
    };
    // The bit that ends the set is read as that of the timing.
    assert_eq!(read(size().u(4, 0)), (320, 240, None, None));
    assert_eq!(read(size().u(1, 1).u(8, 14)), (320, 240, Some((4, 3)), None));
    // No type of chroma samples is 6.
    assert_eq!(read(size().u(1, 1).u(8, 14).u(3, 0b001).ues(&[6, 6])), (320, 240, Some((4, 3)), None));
}

#[test]
fn parameter_set_extensions_stay_in_the_record() {
    let mut record = unhex(HIGH_1080);
    *record.last_mut().unwrap() = 1;
    record.extend([0, 3, 0x6d, 0x80, 0x80]);
    let with = AvcConfig::parse(record.clone().into()).unwrap();
    assert_eq!(with.sps_extensions, [Bytes::from_static(&[0x6d, 0x80, 0x80])]);
    let pps = Bytes::from_static(&[0x68, 0b0100_1000]);
    let changed = with.with_parameter_sets(&[], &[pps]).unwrap().unwrap();
    assert_eq!(changed.sps_extensions, with.sps_extensions);
    assert_eq!(AvcConfig::parse(changed.record.clone()), Ok(changed));
    // Main has no place for them.
    let main = with.with_parameter_sets(&config(MAIN).sps, &[]).unwrap().unwrap();
    assert!(main.sps_extensions.is_empty());
    // Cut off, they are none, and the record is still good.
    record.pop();
    assert!(AvcConfig::parse(record.into()).unwrap().sps_extensions.is_empty());
}

#[test]
fn references_have_a_nal_ref_idc() {
    assert!(is_reference([AUD, IDR]) && is_reference([SLICE, &[0x01, 0x9a][..]]));
    assert!(!is_reference([AUD, &[0x01, 0x9a][..]]) && !is_reference([&[0x67, 0x42][..]]) && !is_reference([&[][..]]));
}

#[test]
fn a_record_made_of_parameter_sets_equals_that_of_ffmpeg() {
    for (hex, ..) in ROWS {
        let config = config(hex);
        let made = AvcConfig::from_parameter_sets(config.sps.clone(), config.pps.clone()).unwrap();
        assert_eq!(made, config, "{hex}");
    }
}

#[test]
fn several_parameter_sets_keep_their_order() {
    let (main, high) = (config(MAIN), config(HIGH_1080));
    let sps = vec![high.sps[0].clone(), main.sps[0].clone()];
    let pps = vec![high.pps[0].clone(), main.pps[0].clone(), high.pps[0].clone()];
    let made = AvcConfig::from_parameter_sets(sps.clone(), pps.clone()).unwrap();
    let read = AvcConfig::parse(made.record.clone()).unwrap();
    assert_eq!(read, made);
    assert_eq!((read.sps, read.pps, read.info.width), (sps, pps, 1920));
}

#[test]
fn parameter_sets_that_make_no_record_are_refused() {
    let good = config(MAIN);
    let (sps, pps) = (good.sps[0].clone(), good.pps[0].clone());
    assert!(AvcConfig::from_parameter_sets(vec![], vec![pps.clone()]).is_err());
    assert!(AvcConfig::from_parameter_sets(vec![pps.clone()], vec![]).is_err());
    assert!(AvcConfig::from_parameter_sets(vec![sps.clone()], vec![sps.clone()]).is_err());
    assert!(AvcConfig::from_parameter_sets(vec![sps.clone(); 32], vec![pps.clone()]).is_err());
    assert!(AvcConfig::from_parameter_sets(vec![sps.clone()], vec![pps.clone(); 256]).is_err());
    assert!(AvcConfig::from_parameter_sets(vec![sps.clone(); 31], vec![pps.clone(); 255]).is_ok());
    let mut long = pps.to_vec();
    long.resize(65_535, 0xff);
    let error = AvcConfig::from_parameter_sets(vec![sps], vec![long.into()]).unwrap_err();
    assert!(matches!(error, CodecError::LimitExceeded { max: MAX_RECORD_BYTES, .. }), "{error}");
}

#[test]
fn records_that_lie_are_refused_with_their_place() {
    let with = |at: usize, byte: u8| {
        let mut record = unhex(MAIN);
        record[at] = byte;
        AvcConfig::parse(record.into())
    };
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(with(0, 0), malformed("configurationVersion", 0));
    assert_eq!(with(4, 0xfe), malformed("lengthSizeMinusOne", 4));
    assert_eq!(with(5, 0xe0), malformed("numOfSequenceParameterSets", 5));
    assert_eq!(AvcConfig::parse(unhex("014d401effe000").into()), malformed("numOfSequenceParameterSets", 5));
    assert_eq!(with(8, 0x68), malformed("sequence parameter set", 8));
    assert_eq!(with(31, 2), malformed("picture parameter set", 38), "one PPS more than there are");
    assert_eq!(with(4, 0x01).unwrap().nal_length_size, 2, "reserved bits are not judged");
    assert_eq!(with(4, 0x00).unwrap().nal_length_size, 1);
    assert!(AvcConfig::parse(vec![1; MAX_RECORD_BYTES + 1].into()).is_err());
}

#[test]
fn an_error_within_the_sps_has_its_place_in_the_record() {
    let mut record = unhex(MAIN);
    record.truncate(8 + 6);
    record[7] = 6;
    record.extend([0]);
    let error = AvcConfig::parse(record.into()).unwrap_err();
    assert!(matches!(error, CodecError::Malformed { offset: 12..=14, .. }), "{error}");
}

#[test]
fn every_truncation_of_a_record_is_refused_up_to_its_optional_tail() {
    for (hex, profile_idc, ..) in ROWS {
        let record = unhex(hex);
        let tail = if matches!(profile_idc, 66 | 77) { 0 } else { 4 };
        truncations(&record, |truncated| {
            let result = AvcConfig::parse(Bytes::copy_from_slice(truncated));
            assert_eq!(result.is_ok(), truncated.len() >= record.len() - tail, "{hex}: {result:?}");
        });
    }
}

#[test]
fn every_truncation_of_an_sps_names_a_byte_of_it() {
    for (hex, ..) in ROWS {
        let config = config(hex);
        truncations(&config.sps[0], |truncated| match SpsInfo::parse(truncated) {
            Err(error) => assert!(matches!(error, CodecError::Malformed { offset, .. } if offset <= truncated.len())),
            // Only what stands in the VUI can be missed.
            Ok(SpsInfo { video, .. }) => {
                assert_eq!((video.width, video.height), (config.info.width, config.info.height));
            }
        });
    }
}

#[test]
fn cropping_counts_in_the_units_of_the_chroma_format() {
    // (chroma_format_idc, frame_mbs_only, luma samples cropped off for offsets 1+2 and 3+1)
    for (chroma, frame_mbs_only, crop_x, crop_y) in [
        (0, true, 3, 4),
        (1, true, 6, 8),
        (2, true, 6, 4),
        (3, true, 3, 4),
        (1, false, 6, 16),
        (2, false, 6, 8),
        (0, false, 3, 8),
    ] {
        let bits = sps(100).ue(chroma);
        let bits = if chroma == 3 { bits.u(1, 1) } else { bits };
        let bits = bits.ues(&[0, 0]).u(2, 0).ues(&[0, 0, 0, 4]).u(1, 0).ues(&[19, 14]).u(1, u64::from(frame_mbs_only));
        let bits = if frame_mbs_only { bits } else { bits.u(1, 1) };
        let nal = bits.u(2, 0b11).ues(&[1, 2, 3, 1]).u(1, 0).nal();
        let info = SpsInfo::parse(&nal).unwrap().video;
        let height = if frame_mbs_only { 240 } else { 480 };
        assert_eq!((info.width, info.height), (320 - crop_x, height - crop_y), "chroma format {chroma}");
        assert_eq!(info.frame_rate, None);
    }
}

/// A Baseline SPS of this size in macroblocks and with these cropping offsets.
fn cropped_sps(width_minus1: u32, height_minus1: u32, crop: [u32; 4]) -> Result<VideoInfo, CodecError> {
    let bits = sps(66).ues(&[0, 0, 0, 1]).u(1, 0).ues(&[width_minus1, height_minus1]).u(3, 0b111);
    SpsInfo::parse(&bits.ues(&crop).u(1, 0).nal()).map(|info| info.video)
}

#[test]
fn absurd_sizes_and_cropping_are_refused() {
    let most = u32::MAX - 1;
    assert_eq!(cropped_sps(19, 14, [80, 79, 0, 119]).map(|info| (info.width, info.height)), Ok((2, 2)));
    for crop in [[80, 80, 0, 0], [0, 0, 60, 60], [most, 0, 0, 0], [most, most, 0, 0], [0, 0, most, most]] {
        assert!(matches!(cropped_sps(19, 14, crop), Err(CodecError::Malformed { what: "frame cropping", .. })));
    }
    assert!(cropped_sps(MAX_DIMENSION / 16 - 1, MAX_DIMENSION / 16 - 1, [0; 4]).is_ok());
    for (width, height) in [(MAX_DIMENSION / 16, 14), (19, MAX_DIMENSION / 16), (most, most)] {
        assert!(matches!(cropped_sps(width, height, [0; 4]), Err(CodecError::LimitExceeded { .. })));
    }
}

#[test]
fn scaling_lists_end_where_a_delta_leads_to_zero() {
    // A list of 16 deltas; one that ends after two (8 + 4, 12 − 12); an absent one … and an 8×8 list that ends at once.
    let bits = sps(100).ues(&[1, 0, 0]).u(1, 0).u(1, 1);
    let bits = (0..16).fold(bits.u(1, 1), |bits, _| bits.se(-128));
    let bits = bits.u(1, 1).se(4).se(-12).u(4, 0).u(1, 1).se(-8).u(1, 0);
    let tail = |bits: BitWriter| bits.ues(&[0, 0, 0, 4]).u(1, 0).ues(&[79, 44]).u(3, 0b110).u(1, 0).nal();
    let info = SpsInfo::parse(&tail(bits)).unwrap().video;
    assert_eq!((info.width, info.height), (1280, 720));
    let bits = sps(100).ues(&[1, 0, 0]).u(1, 0).u(1, 1).u(1, 1).se(128);
    assert!(matches!(SpsInfo::parse(&tail(bits)), Err(CodecError::Malformed { what: "delta_scale", .. })));
}

#[test]
fn picture_order_count_type_1_has_a_cycle_of_offsets() {
    let cycle = |frames: u32| {
        let bits = sps(77).ues(&[0, 1]).u(1, 0).se(-5).se(7).ue(frames);
        let bits = (0..frames).fold(bits, |bits, frame| bits.se(i32::try_from(frame).unwrap() - 100));
        SpsInfo::parse(&bits.ue(4).u(1, 0).ues(&[39, 29]).u(3, 0b110).u(1, 0).nal()).map(|info| info.video)
    };
    for frames in [0, 3, 255] {
        assert_eq!(cycle(frames).map(|info| (info.width, info.height)), Ok((640, 480)));
    }
    assert!(cycle(256).is_err());
}

#[test]
fn timing_without_sense_is_no_frame_rate() {
    let timing = |num_units_in_tick: u32, time_scale: u32| {
        let bits = sps(66).ues(&[0, 0, 0, 1]).u(1, 0).ues(&[19, 14]).u(3, 0b110).u(1, 1).u(4, 0).u(1, 1);
        let bits = bits.u(32, u64::from(num_units_in_tick)).u(32, u64::from(time_scale)).u(1, 1).u(4, 0);
        SpsInfo::parse(&bits.nal()).unwrap().video.frame_rate
    };
    assert_eq!(timing(1, 50), Some((25, 1)));
    assert_eq!(timing(2, 119), Some((119, 4)));
    assert_eq!(timing(0, 50), None);
    assert_eq!(timing(1, 0), None);
    assert_eq!(timing(0, 0), None);
    assert_eq!(timing(1 << 31, 3), None, "the denominator does not fit");
    assert_eq!(timing(u32::MAX, u32::MAX), Some((1, 2)));
}

/// NAL units of an access unit behind lengths of that size.
fn with_lengths(nals: &[&[u8]], length_size: usize) -> Bytes {
    let length = |nal: &[u8]| (nal.len() as u32).to_be_bytes()[4 - length_size..].to_vec();
    nals.iter().flat_map(|nal| [length(nal), nal.to_vec()].concat()).collect::<Vec<u8>>().into()
}

const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x21];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
const AUD: &[u8] = &[0x09, 0xf0];
/// User data of six bytes (with an emulation prevention byte in it), then a recovery point; and user data alone.
const RECOVERY_POINT: &[u8] = &[0x06, 5, 6, 6, 1, 0, 0, 3, 1, 6, 6, 1, 0xc4, 0x80];
const USER_DATA: &[u8] = &[0x06, 5, 6, 6, 1, 6, 1, 6, 1, 0x80];

#[test]
fn nal_units_of_every_length_size() {
    for length_size in [1, 2, 4] {
        let payload = with_lengths(&[AUD, &[], IDR, &[], SLICE, &[]], length_size);
        let nals: Vec<&[u8]> = nal_units(&payload, length_size as u8).map(Result::unwrap).collect();
        assert_eq!(nals, [AUD, IDR, SLICE], "lengths of {length_size}");
    }
    for length_size in [0, 3, 5, 255] {
        let mut nals = nal_units(&[0, 0, 0, 1, 9], length_size);
        assert!(nals.next().is_some_and(|nal| nal.is_err()) && nals.next().is_none());
    }
}

#[test]
fn nal_units_cut_off_are_an_error_once_at_their_length() {
    let payload = with_lengths(&[IDR, SLICE], 4);
    truncations(&payload, |truncated| {
        let boundary = truncated.is_empty() || truncated.len() == 8;
        let errors: Vec<CodecError> = nal_units(truncated, 4).filter_map(Result::err).collect();
        assert_eq!(errors.len(), usize::from(!boundary));
        let offset = if truncated.len() > 8 { 8 } else { 0 };
        assert!(errors.iter().all(|error| matches!(error, CodecError::Malformed { offset: at, .. } if *at == offset)));
    });
    assert!(nal_units(&[0xff, 0xff, 0xff, 0xff, 0x65], 4).all(|nal| nal.is_err()));
}

/// A million lengths of nothing: neither recursion nor time that grows with the square.
#[test]
fn empty_nal_units_in_a_row_are_iterated() {
    assert_eq!(nal_units(&vec![0; 4_000_000], 4).count(), 0);
}

#[test]
fn an_i_picture_is_an_entry_where_parameter_sets_or_the_container_say_so() {
    // `first_mb_in_slice` 0, and `slice_type` 7, 2, 5 (P), 9 (SI); and the last macroblock of a large picture with 7.
    let [i_all, i, p, si] = [[0x61, 0x88, 0x80], [0x61, 0xb0, 0x80], [0x61, 0x98, 0x80], [0x61, 0x8a, 0x80]];
    let last: &[u8] = &[0x61, 0x00, 0x01, 0x20, 0x00, 0x20];
    assert!(is_intra([&i_all[..]]) && is_intra([AUD, &i, last]));
    assert!(
        !is_intra([&p[..]]) && !is_intra([&si[..]]) && !is_intra([]) && !is_intra([AUD]) && !is_intra([&[0x61][..]])
    );
    assert!(!is_intra([&i[..], &[0x61, 0x46, 0x00]]), "one slice of it is predicted");
    assert!(is_intra([&i[..], &p]), "the second field may be");
    let unit = |sps: &[&[u8]], slice: &[u8]| Canonical {
        payload: [&[0, 0, 0, slice.len() as u8], slice].concat().into(),
        sps: sps.iter().map(|sps| Bytes::copy_from_slice(sps)).collect(),
        ..Canonical::default()
    };
    assert!(is_entry(&unit(&[&[0x67]], &i)) && !is_entry(&unit(&[&[0x67]], &p)) && !is_entry(&unit(&[], &i)));
    let of_container = |slice: &[u8], claims| is_entry_of_container(&unit(&[], slice).payload, claims);
    assert!(of_container(&i, true) && !of_container(&i, false) && !of_container(&p, true) && of_container(IDR, false));
}

#[test]
fn a_slice_says_whether_it_is_of_a_field() {
    // Main profile, `log2_max_frame_num_minus4` 0, `frame_mbs_only_flag` 0; and the same with 1, where there is no `field_pic_flag`.
    let fields = SpsInfo::parse(&[0x67, 0x4d, 0x00, 0x1e, 0xf4, 0x0a, 0x08, 0x24]).unwrap();
    let mut frames = fields.clone();
    frames.frame_mbs_only = true;
    // `first_mb_in_slice` 0, `slice_type` 7, `pic_parameter_set_id` 0, `frame_num` 5, then the flag.
    let [field, frame] = [[0x41, 0x88, 0xac], [0x41, 0x88, 0xa8]];
    assert!(fields.is_field(&field) && !fields.is_field(&frame) && !frames.is_field(&field));
    assert!(!fields.is_field(&[0x41, 0x88]) && !fields.is_field(&[]));
}

#[test]
fn random_access_is_an_idr_or_a_recovery_point() {
    assert!(is_random_access([AUD, IDR]) && has_idr([AUD, IDR]));
    assert!(is_random_access([RECOVERY_POINT, SLICE]) && !has_idr([RECOVERY_POINT, SLICE]));
    assert!(!is_random_access([AUD, USER_DATA, SLICE]) && !is_random_access([&[][..]]));
    // Cut off, and a payloadType of 255 + 6.
    truncations(&RECOVERY_POINT[..12], |sei| assert!(!is_random_access([sei])));
    assert!(!is_random_access([&[0x06, 0xff, 6, 1, 0x80][..]]));
    assert!(!is_random_access([&[&[0x06, 5][..], &[0xff; 100_000]].concat()[..]]));
}

#[test]
fn canonical_input_is_not_copied() {
    let payload = with_lengths(&[RECOVERY_POINT, IDR, SLICE], 4);
    let canonical = to_canonical(payload.clone(), 4).unwrap();
    assert_eq!(canonical.payload.as_ptr(), payload.as_ptr());
    assert_eq!(canonical, Canonical { payload, ..Canonical::default() });
}

#[test]
fn every_form_of_an_access_unit_becomes_the_same_bytes() {
    let expected = with_lengths(&[RECOVERY_POINT, IDR, SLICE], 4);
    let main = config(MAIN);
    let (sps, pps) = (&main.sps[0], &main.pps[0]);
    let nals = [AUD, sps, pps, &[], RECOVERY_POINT, IDR, &[], SLICE, &[]];
    let annex_b: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect();
    let forms = [1, 2, 4].map(|size| to_canonical(with_lengths(&nals, size), size as u8).unwrap());
    for form in forms.into_iter().chain([annex_b_to_canonical(annex_b.into()).unwrap()]) {
        assert_eq!(form.payload, expected);
        assert_eq!((&form.sps[..], &form.pps[..]), (&main.sps[..], &main.pps[..]));
    }
}

#[test]
fn canonical_of_nothing_or_of_parameter_sets_only_is_empty() {
    assert!(to_canonical(Bytes::new(), 4).unwrap().payload.is_empty());
    assert!(annex_b_to_canonical(Bytes::new()).unwrap().payload.is_empty());
    let canonical = to_canonical(with_lengths(&[AUD, &config(MAIN).sps[0]], 4), 4).unwrap();
    assert_eq!((canonical.payload.len(), canonical.sps.len()), (0, 1));
}

#[test]
fn access_units_that_are_none_are_refused() {
    assert!(to_canonical(Bytes::from_static(&[0, 0, 0, 9, 0x65]), 4).is_err());
    assert!(to_canonical(with_lengths(&[IDR], 4), 3).is_err());
    for stream in [&[0x65, 0x88][..], &[1, 0, 0, 1, 0x65], &[0, 0, 0, 0], &[0, 0, 0, 9, 0x65, 1]] {
        assert!(annex_b_to_canonical(Bytes::from_static(stream)).is_err(), "{stream:?}");
    }
    let flood = with_lengths(&[&[0x67][..]; 1000], 4);
    assert!(matches!(to_canonical(flood, 4), Err(CodecError::LimitExceeded { .. })));
    let flood = [0, 0, 1, 0x68].repeat(1000);
    assert!(matches!(annex_b_to_canonical(flood.into()), Err(CodecError::LimitExceeded { .. })));
}

/// A set of so many macroblocks of width.
fn numbered_sps(id: u32, width_mbs: u32) -> Bytes {
    let bits = BitWriter::default().u(8, 0x67).u(8, 66).u(8, 0).u(8, 31).ue(id).ues(&[0, 2, 1]).u(1, 0);
    bits.ues(&[width_mbs - 1, 14]).u(3, 0b110).u(1, 0).nal().into()
}

fn numbered_pps(id: u32, sps_id: u32) -> Bytes {
    let bits = BitWriter::default().u(8, 0x68).ues(&[id, sps_id]).u(2, 0).ues(&[0, 0, 0]).u(3, 0).ues(&[0, 0, 0]);
    bits.u(3, 0b100).nal().into()
}

/// OpenH264, which is Firefox's: each IDR picture has the sets of the last one, counted up, SPS to 31 and PPS to 56. That was
/// a configuration each time, and the 32nd did not fit.
#[test]
fn parameter_sets_that_are_counted_up_make_one_configuration() {
    let config = AvcConfig::from_parameter_sets(vec![numbered_sps(0, 20)], vec![numbered_pps(0, 0)]).unwrap();
    let slices = |slice: &[u8], sets: &[Bytes]| {
        let nals: Vec<&[u8]> = sets.iter().map(|set| &set[..]).chain([slice]).collect();
        to_canonical(with_lengths(&nals, 4), 4).unwrap()
    };
    let idr = [0x65, 0x88];
    for index in 1..200 {
        let sets = [numbered_sps(index % 32, 20), numbered_pps(index % 57, index % 32)];
        let mut unit = slices(&idr, &sets);
        assert_eq!(config.take_parameter_sets(&mut LateSets::default(), &mut unit, is_entry), Ok(None), "{index}");
        let known = |set: &Bytes| config.sps.contains(set) || config.pps.contains(set);
        let expected = sets.iter().filter(|set| !known(set)).map(|set| &set[..]).chain([&idr[..]]);
        assert!(nal_units(&unit.payload, 4).flatten().eq(expected), "a decoder finds what the slices name: {index}");
    }
    // Those of another picture, one kind alone, and others in more than the id are added.
    let (sps, pps) = (numbered_sps(1, 20), numbered_pps(1, 1));
    for (slice, sets) in [
        (&[0x41, 0x88], vec![sps.clone(), pps.clone()]),
        (&idr, vec![pps.clone()]),
        (&idr, vec![numbered_sps(1, 40), pps]),
    ] {
        let mut unit = slices(slice, &sets);
        assert!(
            config.take_parameter_sets(&mut LateSets::default(), &mut unit, is_entry).unwrap().is_some(),
            "{sets:?}"
        );
        assert_eq!(nal_units(&unit.payload, 4).count(), 1);
    }
}

/// An access unit of one slice behind sets.
fn unit_of(sets: &[&Bytes], slice: &[u8]) -> Canonical {
    let nals: Vec<&[u8]> = sets.iter().map(|set| &set[..]).chain([slice]).filter(|nal| !nal.is_empty()).collect();
    to_canonical(with_lengths(&nals, 4), 4).unwrap()
}

/// What decoders without the configuration find: the sets in front of the slice.
fn sets_in(unit: &Canonical) -> Vec<&[u8]> {
    nal_units(&unit.payload, 4).flatten().filter(|nal| nal_type(nal) == NAL_PPS).collect()
}

/// They made another configuration, which viewers get at a key picture: pictures up to there named a set that nobody had.
#[test]
fn picture_parameter_sets_that_first_come_at_no_entry_stay_in_the_payload() {
    let (sps, first, second) = (numbered_sps(0, 20), numbered_pps(0, 0), numbered_pps(1, 0));
    let config = AvcConfig::from_parameter_sets(vec![sps.clone()], vec![first.clone()]).unwrap();
    let (late, idr, slice) = (&mut LateSets::default(), &[0x65, 0x88][..], &[0x41, 0x9a][..]);
    let mut take = |sets: &[&Bytes], slice: &[u8]| {
        let mut unit = unit_of(sets, slice);
        let changed = config.take_parameter_sets(late, &mut unit, is_entry).unwrap();
        (changed.map(|config| config.pps), sets_in(&unit).into_iter().map(Bytes::copy_from_slice).collect::<Vec<_>>())
    };
    assert_eq!(take(&[&sps, &first], idr), (None, vec![]), "known");
    assert_eq!(take(&[&second], slice), (None, vec![second.clone()]));
    assert_eq!(take(&[&second], slice), (None, vec![]), "decoders have it");
    // An entry that brings its own: who begins there finds the late one too.
    assert_eq!(take(&[&sps, &first], idr), (None, vec![first.clone(), second.clone()]));
    // One that brings none relies on all that came.
    assert_eq!(take(&[], idr), (Some(vec![second.clone(), first.clone()]), vec![]));
}

#[test]
fn a_picture_parameter_set_that_changes_within_each_gop_makes_no_configuration() {
    let (sps, first) = (numbered_sps(0, 20), numbered_pps(0, 0));
    // The same id, another `pic_init_qp_minus26`.
    let bits = BitWriter::default().u(8, 0x68).ues(&[0, 0]).u(2, 0).ues(&[0, 0, 0]).u(3, 0).ues(&[5, 0, 0]);
    let second = Bytes::from(bits.u(3, 0b100).nal());
    let config = AvcConfig::from_parameter_sets(vec![sps.clone()], vec![first.clone()]).unwrap();
    let (late, idr, slice) = (&mut LateSets::default(), &[0x65, 0x88][..], &[0x41, 0x9a][..]);
    let mut take = |sets: &[&Bytes], slice: &[u8]| {
        let mut unit = unit_of(sets, slice);
        assert_eq!(config.take_parameter_sets(late, &mut unit, is_entry), Ok(None));
        sets_in(&unit).into_iter().map(Bytes::copy_from_slice).collect::<Vec<_>>()
    };
    let [only_first, only_second] = [&first, &second].map(std::slice::from_ref);
    for _ in 0..100 {
        take(&[&sps, &first], idr);
        assert_eq!(take(&[&second], slice), only_second);
        assert_eq!(take(&[], slice), [] as [Bytes; 0]);
        assert_eq!(take(&[&first], slice), only_first, "back to that of the configuration");
        assert_eq!(take(&[&second], slice), only_second);
        assert_eq!(take(&[&sps, &first], idr), only_first);
        assert_eq!(take(&[&first], slice), [] as [Bytes; 0]);
        // Without a picture: in front of the next one.
        assert_eq!(take(&[&second], &[]), [] as [Bytes; 0]);
        assert_eq!(take(&[], slice), only_second);
        assert_eq!(take(&[&sps, &first], &[]), [] as [Bytes; 0]);
        assert_eq!(take(&[], idr), only_first);
    }
}

#[test]
fn late_picture_parameter_sets_are_bounded() {
    let config = AvcConfig::from_parameter_sets(vec![numbered_sps(0, 20)], vec![numbered_pps(0, 0)]).unwrap();
    let mut late = LateSets::default();
    for id in 1..200 {
        let large = [&numbered_pps(id, 0)[..], &[0xff; 1_000]].concat().into();
        let mut unit = unit_of(&[&large], &[0x41, 0x9a]);
        drop(config.take_parameter_sets(&mut late, &mut unit, is_entry));
        assert!(unit.payload.len() < 70_000, "{id}");
    }
    let mut unit = unit_of(&[&Bytes::from_static(&[0x68])], &[0x41, 0x9a]);
    assert!(config.take_parameter_sets(&mut late, &mut unit, is_entry).is_err(), "one without an id");
}

/// The size stayed that of the set that came first.
#[test]
fn the_newest_parameter_set_says_the_size_and_the_oldest_makes_room() {
    let first = vec![numbered_sps(1, 80)];
    let mut config = AvcConfig::from_parameter_sets(first, vec![numbered_pps(0, 1)]).unwrap();
    for index in 2..100 {
        let set = numbered_sps(index % 32, 80 + index);
        config = config.with_parameter_sets(std::slice::from_ref(&set), &[]).unwrap().unwrap();
        assert!(config.sps.len() <= 31 && config.sps.contains(&set));
        assert_eq!(config.info.width, 16 * (80 + index));
    }
    // Back to a size that was there before, under its own id and under another.
    let (wide, narrow, again) = (numbered_sps(99 % 32, 80 + 99), numbered_sps(2, 20), numbered_sps(7, 20));
    for (set, width_mbs) in [(&narrow, 20), (&wide, 179), (&narrow, 20), (&wide, 179), (&again, 20)] {
        let mut unit = to_canonical(with_lengths(&[set, &numbered_pps(0, 1), &[0x65, 0x88]], 4), 4).unwrap();
        config = config.take_parameter_sets(&mut LateSets::default(), &mut unit, is_entry).unwrap().unwrap();
        assert_eq!(config.info.width, 16 * width_mbs);
        assert_eq!(config.take_parameter_sets(&mut LateSets::default(), &mut unit, is_entry), Ok(None));
    }
}

#[test]
fn in_band_parameter_sets_replace_those_of_their_id() {
    let main = config(MAIN);
    assert_eq!(main.with_parameter_sets(&main.sps, &main.pps), Ok(None));
    assert_eq!(main.with_parameter_sets(&[], &[]), Ok(None));
    let high = config(HIGH_1080);
    let changed = main.with_parameter_sets(&high.sps, &high.pps).unwrap().unwrap();
    assert_eq!(changed, high, "both have the ids 0");
    // A PPS of id 1 (010) is added.
    let second = Bytes::from_static(&[0x68, 0b0100_1000]);
    let added = main.with_parameter_sets(&[], std::slice::from_ref(&second)).unwrap().unwrap();
    assert_eq!((&added.sps, &added.pps), (&main.sps, &vec![second, main.pps[0].clone()]));
    assert!(main.with_parameter_sets(&[Bytes::from_static(&[0x67])], &[]).is_err());
}

#[test]
fn a_canonical_config_says_four_byte_lengths_and_nothing_else_changes() {
    let mut record = unhex(HIGH_1080);
    record[4] = 0xfd;
    let canonical = AvcConfig::parse(record.into()).unwrap().into_canonical();
    assert_eq!(canonical, config(HIGH_1080));
    assert_eq!(AvcConfig::parse(canonical.record.clone()), Ok(canonical));
}

#[test]
fn mutated_records_never_panic() {
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| unhex(row.0)).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut accepted = 0;
    mutations(0xa7cc, 200_000, &records, |record| {
        if let Ok(config) = AvcConfig::parse(Bytes::copy_from_slice(record)) {
            accepted += 1;
            let info = &config.info;
            assert!((1..=MAX_DIMENSION).contains(&info.width) && (1..=MAX_DIMENSION).contains(&info.height));
            assert!(info.frame_rate.is_none_or(|(num, den)| num > 0 && den > 0));
            drop(config.with_parameter_sets(&config.pps, &config.sps));
            let made = AvcConfig::from_parameter_sets(config.sps.clone(), config.pps.clone()).unwrap();
            assert_eq!(AvcConfig::parse(made.record.clone()), Ok(made));
        }
    });
    assert!(accepted > 20_000, "the sweep must get past the first fields: {accepted}");
}

#[test]
fn mutated_parameter_sets_never_panic() {
    let sets: Vec<Bytes> = ROWS.iter().map(|row| config(row.0).sps[0].clone()).collect();
    let sets: Vec<&[u8]> = sets.iter().map(Bytes::as_ref).collect();
    mutations(0x5b5, 200_000, &sets, |nal| drop(SpsInfo::parse(nal)));
    mutations(0xb175, 200_000, &sets, |bytes| {
        let mut bits = BitReader::new(bytes);
        while bits.ue("ue").is_ok() && bits.se("se").is_ok() && bits.u(7, "u").is_ok() {}
    });
}

#[test]
fn mutated_access_units_never_panic_and_never_grow_past_their_lengths() {
    let main = config(MAIN);
    let nals = [AUD, &main.sps[0], &main.pps[0], RECOVERY_POINT, IDR, SLICE];
    let annex_b: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 1], *nal].concat()).collect();
    for length_size in [1, 2, 4] {
        let payload = with_lengths(&nals, length_size);
        mutations(0xca + length_size as u64, 100_000, &[&payload], |bytes| {
            if let Ok(canonical) = to_canonical(Bytes::copy_from_slice(bytes), length_size as u8) {
                assert!(canonical.payload.len() <= 4 * bytes.len());
                let again = to_canonical(canonical.payload.clone(), 4).unwrap();
                assert_eq!(again.payload.as_ptr(), canonical.payload.as_ptr(), "canonical is canonical");
                is_random_access(nal_units(bytes, length_size as u8).flatten());
            }
        });
    }
    mutations(0xabb, 200_000, &[&annex_b], |bytes| {
        if let Ok(canonical) = annex_b_to_canonical(Bytes::copy_from_slice(bytes)) {
            let again = to_canonical(canonical.payload.clone(), 4).unwrap();
            assert_eq!(again.payload.as_ptr(), canonical.payload.as_ptr(), "canonical is canonical");
        }
    });
}
