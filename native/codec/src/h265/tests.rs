//! Vectors of a real encoder over the profiles, the standard's corner cases, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    Chroma, CodecConfig, CodecError, Colour, ContentLight, MasteringDisplay, VideoInfo,
    bit_writer::BitWriter,
    nal::{LateSets, picture::MAX_DIMENSION, record::MAX_RECORD_BYTES},
    sweep::{mutations, truncations, unhex},
};

/// hvcC records of libx265 build 199 through ffmpeg 5.1: `ffmpeg -f lavfi -i testsrc2=size=SIZE:rate=RATE -frames:v 3
/// -pix_fmt FORMAT -c:v libx265 -preset ultrafast -x265-params info=0:PARAMS -tag:v hvc1`, the body of the hvcC box. What
/// they say is what ffprobe 5.1 prints of the elementary stream; the codec string is that of mp4box.js 0.5 (npm, `getCodec`), but for
/// the case of its digits, which ISO/IEC 14496-15 writes in capitals.
const ROWS: [(&str, VideoInfo, &str); 8] = [
    // yuv420p, rate 30000/1001
    (MAIN, VideoInfo { frame_rate: Some((30_000, 1_001)), ..info(1, 63, 640, 360, 8) }, "hvc1.1.6.L63.90"),
    // yuv420p10le, rate 60, hdr10=1:master-display=…:max-cll=1000,400
    (MAIN_10, VideoInfo { frame_rate: Some((60, 1)), colour: PQ, ..info(2, 123, 1920, 1080, 10) }, "hvc1.2.4.L123.90"),
    // yuv422p10le, rate 24000/1001, sar=16:11:range=full:no-open-gop=1, both sides cropped
    (
        REXT_422,
        VideoInfo {
            frame_rate: Some((24_000, 1_001)),
            sample_aspect_ratio: Some((16, 11)),
            chroma: Chroma::Yuv422,
            colour: Colour { full_range: true, ..UNSPECIFIED },
            ..info(4, 63, 638, 358, 10)
        },
        "hvc1.4.10.L63.9D.8",
    ),
    // yuv444p12le, rate 50, sar=16:11:bframes=0
    (
        REXT_444,
        VideoInfo {
            frame_rate: Some((50, 1)),
            sample_aspect_ratio: Some((16, 11)),
            chroma: Chroma::Yuv444,
            max_reorder_frames: Some(0),
            ..info(4, 90, 638, 360, 12)
        },
        "hvc1.4.10.L90.98.8",
    ),
    // gray, rate 25, scaling-list=default
    (
        GRAY,
        VideoInfo {
            chroma: Chroma::Monochrome,
            colour: Colour { full_range: true, ..UNSPECIFIED },
            ..info(4, 60, 322, 242, 8)
        },
        "hvc1.4.10.L60.9F.C8",
    ),
    // yuv420p, -vf setsar=16/11 -color_primaries bt470bg …, hrd=1:temporal-layers=1:display-window=2,2,2,2:overscan=show
    (
        HRD,
        VideoInfo {
            sample_aspect_ratio: Some((16, 11)),
            colour: Colour { primaries: 5, transfer: 5, matrix: 5, full_range: false },
            ..info(1, 90, 720, 576, 8)
        },
        "hvc1.1.6.L90.90",
    ),
    // yuv420p, slices=4:high-tier=1:level-idc=5
    (SLICES, VideoInfo { high_tier: true, ..info(1, 150, 1280, 720, 8) }, "hvc1.1.6.H150.90"),
    // yuv420p, rate 50, interlace=tff
    (FIELDS, VideoInfo { frame_rate: Some((50, 1)), ..info(1, 123, 1920, 1080, 8) }, "hvc1.1.6.L123.40"),
];

const UNSPECIFIED: Colour = Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false };
const PQ: Colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };

/// What most of them have in common: 25 pictures a second, square samples, two pictures reordered.
const fn info(profile: u8, level: u8, width: u32, height: u32, bit_depth: u8) -> VideoInfo {
    VideoInfo {
        width,
        height,
        frame_rate: Some((25, 1)),
        sample_aspect_ratio: Some((1, 1)),
        profile,
        level,
        high_tier: false,
        bit_depth,
        chroma: Chroma::Yuv420,
        colour: UNSPECIFIED,
        max_reorder_frames: Some(2),
    }
}

const MAIN: &str = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a1000100\
                    2942010101600000030090000003000003003fa005020171f2e595952930bc05a02000007d20000ea601a2000100064401c073c189";
const MAIN_10: &str = "0102200000009000000000007bf000fcfdfafa00000f04a00001001840010c01ffff02200000030090000003000003007b959409a10001\
                       003042010102200000030090000003000003007ba003c0801107cad965654a4c2f016a12201208000003000800000301e040a20001\
                       00064401c073c18927000200094e01900403e8019080001e4e01891833c286c41d4c0bb884d03e803d134042009896800000030032\
                       80";
const REXT_422: &str = "0104080000009d08000000003ff000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003f959409a100010029\
                        4201010408000003009d0800000300003fb005020171d45b6595952930bc11b02000007d20000bb801a2000100064401c073c189";
const REXT_444: &str = "0104080000009808000000005af000fcfffcfc00000f03a00001001740010c01ffff040800000300980800000300005aba0240a10001002c\
                        420101040800000300980800000300005a9000a0402e3b89294b7494985e08d0100000030010000003032080a2000100084401c073\
                        18301890";
const GRAY: &str = "0104080000009fc8000000003cf000fcfcf8f800000f03a00001001740010c01ffff0408000003009fc800000300003c959409a10001002b\
                    4201010408000003009fc800000300003cc02a20101c7c7e5959529385e02d810000030001000003001908a2000100064401c073c189";
const HRD: &str = "0101600000009000000000005af002fffdf8f800001304a00001001c40010c02ffff01600000030090000003000003005a00009594aca048\
                   a10001004542010201600000030090000003000003005a0000a005a200905965652b2a526178252828282d216db80000030008000003\
                   00cb00a4b2f0007a12000f425c001e848003d091a2000100064401c073c18927000100064e0181010f80";
const SLICES: &str = "01216000000090000000000096f000fcfdf8f800000f03a00001001840010c01ffff216000000300900000030000030096959409a1000100\
                      2b420101216000000300900000030000030096a00280802d165959529385e02d010000030001000003001908a2000100064401c073\
                      c109";
const FIELDS: &str = "0101600000004000000000007bf000fcfdf8f800000f04a00001001840010c01ffff01600000030040000003000003007b959409a1000100\
                      2b42010101600000030040000003000003007ba003c0801107cb965654a4c2f0168680000003008000001904a2000100064401c073\
                      c18927000100064e0181010f80";

fn config(hex: &str) -> HevcConfig {
    HevcConfig::parse(Bytes::from(unhex(hex))).unwrap_or_else(|error| panic!("{hex}: {error}"))
}

#[test]
fn records_of_every_profile_say_what_the_encoder_was_told() {
    for (hex, info, rfc6381) in ROWS {
        let config = config(hex);
        assert_eq!(config.info, info, "{hex}");
        assert_eq!(config.rfc6381(), rfc6381);
        assert_eq!((config.nal_length_size, config.vps.len(), config.sps.len(), config.pps.len()), (4, 1, 1, 1));
    }
}

#[test]
fn a_record_that_is_made_equals_that_of_ffmpeg() {
    // ffmpeg 5.1 loses its way in the HRD of two sub-layers and writes a min_spatial_segmentation_idc that is not there:
    // the trace_headers filter of FFmpeg 9 says bitstream_restriction_flag = 0.
    for (hex, ..) in ROWS.iter().filter(|row| row.0 != HRD) {
        let config = config(hex);
        assert_eq!(config.clone().build().as_ref(), Ok(&config), "{hex}");
    }
}

#[test]
fn hdr_of_the_record() {
    let hdr = config(MAIN_10).hdr();
    assert_eq!(hdr.content_light, Some(ContentLight { max_cll: 1000, max_fall: 400 }));
    let mastering = MasteringDisplay {
        primaries: [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)],
        white_point: (15_635, 16_450),
        max_luminance: 10_000_000,
        min_luminance: 50,
    };
    assert_eq!(hdr.mastering, Some(mastering));
    assert_eq!(CodecConfig::H265(config(MAIN_10)).hdr(), hdr);
    assert!(config(MAIN).hdr().is_empty());
}

#[test]
fn further_facts_of_an_sps() {
    let sps = |hex| SpsInfo::parse(&config(hex).sps[0]).unwrap();
    let hrd = sps(HRD);
    assert_eq!((hrd.sub_layers, hrd.temporal_id_nesting, hrd.min_spatial_segmentation_idc), (2, false, 0));
    assert_eq!((sps(MAIN).sub_layers, sps(MAIN).temporal_id_nesting), (1, true));
    assert!(sps(FIELDS).field_seq && !sps(MAIN).field_seq);
    assert_eq!(sps(REXT_444).bit_depth_chroma, 12);
}

#[test]
fn records_that_lie_are_refused_with_their_place() {
    let with = |at: usize, byte: u8| {
        let mut record = unhex(MAIN);
        record[at] = byte;
        HevcConfig::parse(record.into())
    };
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(with(0, 2), malformed("configurationVersion", 0));
    assert_eq!(with(21, 0x0e), malformed("lengthSizeMinusOne", 21));
    assert_eq!(with(22, 2).unwrap().pps.len(), 0, "picture parameter sets may come in-band");
    assert_eq!(with(22, 1), malformed("no sequence parameter set", 0));
    assert!(with(22, 4).is_err(), "one array more than there are");
    assert_eq!(with(28, 0x42), malformed("NAL unit of the record", 28), "an SPS among the VPS");
    assert_eq!(with(1, 0xff).unwrap().rfc6381(), "hvc1.1.6.L63.90", "the record repeats the sets, and may be wrong");
    assert_eq!(with(21, 0x0c).unwrap().nal_length_size, 1);
    assert!(HevcConfig::parse(vec![1; MAX_RECORD_BYTES + 1].into()).is_err());
}

#[test]
fn every_truncation_of_a_record_is_refused() {
    for (hex, ..) in ROWS {
        truncations(&unhex(hex), |truncated| {
            assert!(HevcConfig::parse(Bytes::copy_from_slice(truncated)).is_err());
        });
    }
}

#[test]
fn every_truncation_of_an_sps_names_a_byte_of_it() {
    for (hex, ..) in ROWS {
        truncations(&config(hex).sps[0], |truncated| {
            if let Err(CodecError::Malformed { offset, .. }) = SpsInfo::parse(truncated) {
                assert!(offset <= truncated.len());
            }
        });
    }
}

#[test]
fn parameter_sets_that_make_no_record_are_refused() {
    let HevcConfig { vps, sps, pps, .. } = config(MAIN);
    assert!(HevcConfig::from_parameter_sets(vps.clone(), vec![], pps.clone()).is_err());
    assert!(HevcConfig::from_parameter_sets(sps.clone(), sps.clone(), pps.clone()).is_err());
    assert!(HevcConfig::from_parameter_sets(vps.clone(), pps.clone(), pps.clone()).is_err());
    assert!(HevcConfig::from_parameter_sets(vps.clone(), sps.clone(), vec![pps[0].clone(); 256]).is_err());
    assert!(HevcConfig::from_parameter_sets(vec![], sps.clone(), vec![]).is_ok());
    // nuh_layer_id 1: a set that only decoders of several layers know.
    let higher = Bytes::from([&[0x42, 0x09], &sps[0][2..]].concat());
    assert!(HevcConfig::from_parameter_sets(vps.clone(), vec![higher.clone()], pps.clone()).is_err());
    let both = HevcConfig::from_parameter_sets(vps, vec![higher, sps[0].clone()], pps).unwrap();
    assert_eq!((both.info.width, both.sps.len()), (640, 2));
}

#[test]
fn in_band_parameter_sets_replace_those_of_their_id() {
    let main = config(MAIN);
    assert_eq!(main.with_parameter_sets(&main.vps, &main.sps, &main.pps), Ok(None));
    assert_eq!(main.with_parameter_sets(&[], &[], &[]), Ok(None));
    let slices = config(SLICES);
    let changed = main.with_parameter_sets(&slices.vps, &slices.sps, &slices.pps).unwrap().unwrap();
    assert_eq!(changed, slices, "both have the ids 0");
    // A PPS of id 1 (010) is added.
    let second = Bytes::from_static(&[0x44, 0x01, 0b0100_1000]);
    let added = main.with_parameter_sets(&[], &[], std::slice::from_ref(&second)).unwrap().unwrap();
    assert_eq!((&added.sps, &added.pps), (&main.sps, &vec![second, main.pps[0].clone()]));
    assert!(main.with_parameter_sets(&[], &[Bytes::from_static(&[0x42, 0x01])], &[]).is_err());
    let hdr = config(MAIN_10).with_parameter_sets(&main.vps, &main.sps, &main.pps).unwrap().unwrap();
    assert!(!hdr.hdr().is_empty(), "what the record said besides stays");
}

/// It made another configuration, which viewers get at a key picture.
#[test]
fn a_picture_parameter_set_that_first_comes_at_no_entry_stays_in_the_payload() {
    let (main, second) = (config(MAIN), [0x44, 0x01, 0b0100_1000]);
    let is_entry = |unit: &Canonical| is_random_access(nal_units(&unit.payload, 4).flatten());
    let slice = [0x02, 0x01, 0x80];
    let payload = [&[0, 0, 0, 3], &second[..], &[0, 0, 0, 3], &slice].concat();
    let mut unit = to_canonical(payload.clone().into(), 4).unwrap();
    assert_eq!(main.take_parameter_sets(&mut LateSets::default(), &mut unit, is_entry), Ok(None));
    assert_eq!(unit.payload, payload);
}

#[test]
fn a_record_of_several_sps_claims_what_holds_for_all() {
    let (main, high) = (config(MAIN), config(SLICES));
    let both = HevcConfig::from_parameter_sets(vec![], vec![main.sps[0].clone(), high.sps[0].clone()], vec![]).unwrap();
    assert_eq!(both.rfc6381(), "hvc1.1.6.H150.90");
    let (fields, rext) = (config(FIELDS), config(REXT_422));
    let both =
        HevcConfig::from_parameter_sets(vec![], vec![fields.sps[0].clone(), rext.sps[0].clone()], vec![]).unwrap();
    assert_eq!(both.rfc6381(), "hvc1.1.0.L123", "no flag is of both");
}

/// Up to the profile_tier_level() and what it says of sub-layers: each has a profile and a level.
fn head(sub_layers: u64) -> BitWriter {
    let bits = BitWriter::default().u(16, 0x4201).u(4, 0).u(3, sub_layers - 1).u(1, 1);
    let general = |bits: BitWriter| bits.u(8, 1).u(32, 0x6000_0000).u(32, 0x9000_0000).u(16, 0);
    let mut bits = general(bits).u(8, 93);
    if sub_layers > 1 {
        bits = (1..sub_layers).fold(bits, |bits, _| bits.u(2, 0b11));
        bits = (sub_layers..=8).fold(bits, |bits, _| bits.u(2, 0));
        bits = (1..sub_layers).fold(bits, |bits, _| general(bits).u(8, 63));
    }
    bits.ue(0)
}

/// Chroma 4:2:0, this size and conformance window.
fn picture(bits: BitWriter, width: u32, height: u32, window: Option<[u32; 4]>) -> BitWriter {
    let bits = bits.ues(&[1, width, height]);
    match window {
        Some(window) => bits.u(1, 1).ues(&window),
        None => bits.u(1, 0),
    }
}

/// From the bit depths to the reference picture sets.
fn tools(bits: BitWriter) -> BitWriter {
    bits.ues(&[0, 0, 4]).u(1, 0).ues(&[4, 2, 0]).ues(&[0, 3, 0, 3, 0, 0]).u(1, 0).u(2, 0).u(1, 0)
}

fn sized(width: u32, height: u32, window: Option<[u32; 4]>) -> Result<(u32, u32), CodecError> {
    let bits = tools(picture(head(1), width, height, window)).ue(0).u(1, 0).u(2, 0).u(1, 0).u(1, 0);
    SpsInfo::parse(&bits.nal()).map(|info| (info.video.width, info.video.height))
}

#[test]
fn absurd_sizes_and_windows_are_refused() {
    let most = u32::MAX - 1;
    assert_eq!(sized(640, 480, None), Ok((640, 480)));
    assert_eq!(sized(640, 480, Some([1, 2, 3, 4])), Ok((634, 466)));
    assert_eq!(sized(640, 480, Some([160, 159, 0, 239])), Ok((2, 2)));
    for window in [[160, 160, 0, 0], [0, 0, 120, 120], [most, 0, 0, 0], [most, most, 0, 0], [0, 0, most, most]] {
        let error = sized(640, 480, Some(window)).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { what: "conformance_window", .. }), "{error}");
    }
    assert!(sized(MAX_DIMENSION, MAX_DIMENSION, None).is_ok());
    for (width, height) in [(MAX_DIMENSION + 1, 8), (8, MAX_DIMENSION + 1), (most, most)] {
        assert!(matches!(sized(width, height, None), Err(CodecError::LimitExceeded { .. })));
    }
    assert!(sized(0, 480, None).is_err() && sized(640, 0, None).is_err());
}

#[test]
fn sub_layers_have_profiles_and_levels_of_their_own() {
    for sub_layers in 1..=7 {
        let bits = tools(picture(head(sub_layers), 640, 480, None)).ue(0).u(1, 0).u(2, 0).u(1, 0).u(1, 0);
        let info = SpsInfo::parse(&bits.nal()).unwrap();
        assert_eq!((u64::from(info.sub_layers), info.video.width, info.video.level), (sub_layers, 640, 93));
        assert_eq!(info.video.max_reorder_frames, Some(2));
    }
    assert!(SpsInfo::parse(&head(8).nal()).is_err());
}

/// A set with three pictures; one predicted of it that keeps two and loses the one that comes to lie on the picture
/// itself; one predicted of that: the number of flags of each follows from the one before. Then a long-term picture of 8
/// bits, and a VUI of which the aspect ratio must be found.
#[test]
fn reference_picture_sets_are_as_long_as_the_ones_before_them_say() {
    let bits = tools(picture(head(1), 640, 480, None)).ue(3);
    // Distances −1, −3 and 2.
    let bits = bits.ues(&[2, 1]).ue(0).u(1, 1).ue(1).u(1, 1).ue(1).u(1, 1);
    // Moved by 1: 0 (lost), −2, 3, and 1 for the picture itself, which is neither used nor kept: three flags and two.
    let bits = bits.u(1, 1).u(1, 0).ue(0).u(3, 0b111).u(1, 0).u(1, 0);
    // Moved by −1: −3 and 2, and −1: three flags.
    let bits = bits.u(1, 1).u(1, 1).ue(0).u(3, 0b111);
    let bits = bits.u(1, 1).ue(1).u(8, 0xaa).u(1, 1).u(2, 0);
    let bits = bits.u(1, 1).u(1, 1).u(8, 2).u(3, 0).u(3, 0).u(1, 0).u(1, 0).u(1, 0).u(1, 0);
    let info = SpsInfo::parse(&bits.nal()).unwrap();
    assert_eq!(info.video.sample_aspect_ratio, Some((12, 11)));
}

#[test]
fn reference_picture_sets_are_bounded() {
    let sets = |bits: BitWriter| SpsInfo::parse(&bits.u(64, 0).u(64, 0).nal());
    let start = || tools(picture(head(1), 640, 480, None));
    assert!(matches!(sets(start().ue(65)), Err(CodecError::Malformed { what: "num_short_term_ref_pic_sets", .. })));
    assert!(matches!(sets(start().ue(1).ue(17)), Err(CodecError::Malformed { what: "num_negative_pics", .. })));
    assert!(matches!(sets(start().ue(1).ues(&[9, 8])), Err(CodecError::Malformed { what: "num_positive_pics", .. })));
    let bits = start().ue(1).ues(&[1, 0, 0x8000]);
    assert!(matches!(sets(bits), Err(CodecError::Malformed { what: "delta_poc_minus1", .. })));
}

#[test]
fn scaling_lists_and_pcm_are_stepped_over() {
    let bits = picture(head(1), 640, 480, None).ues(&[0, 0, 4]).u(1, 0).ues(&[4, 2, 0]).ues(&[0, 3, 0, 3, 0, 0]);
    let mut bits = bits.u(1, 1).u(1, 1);
    for size_id in 0..4 {
        for list in 0..if size_id == 3 { 2 } else { 6 } {
            // One list of each size is written, the others are as one before.
            bits = if list == 0 { bits.u(1, 1) } else { bits.u(1, 0).ue(0) };
            if list == 0 {
                bits = if size_id > 1 { bits.se(-3) } else { bits };
                bits = (0..if size_id == 0 { 16 } else { 64 }).fold(bits, |bits, delta| bits.se(delta % 5 - 2));
            }
        }
    }
    let bits = bits.u(2, 0).u(1, 1).u(8, 0x77).ues(&[0, 1]).u(1, 0).ue(0).u(1, 0).u(2, 0);
    let bits = bits.u(1, 1).u(1, 1).u(8, 14).u(3, 0).u(3, 0).u(1, 0).u(1, 0).u(1, 0);
    assert_eq!(SpsInfo::parse(&bits.nal()).unwrap().video.sample_aspect_ratio, Some((4, 3)));
}

/// From the VUI on, of a set that is otherwise plain.
fn with_vui(vui: impl Fn(BitWriter) -> BitWriter) -> VideoInfo {
    let bits = tools(picture(head(1), 640, 480, None)).ue(0).u(1, 0).u(2, 0).u(1, 1).u(4, 0).u(3, 0);
    SpsInfo::parse(&vui(bits).u(1, 0).nal()).unwrap().video
}

/// The set was refused, and with it all pictures.
#[test]
fn a_vui_that_ends_early_loses_only_what_is_missing() {
    let bits = tools(picture(head(1), 640, 480, None)).ue(0).u(1, 0).u(2, 0).u(1, 1);
    let video = SpsInfo::parse(&bits.u(1, 1).u(8, 14).nal()).unwrap().video;
    assert_eq!((video.width, video.sample_aspect_ratio, video.frame_rate), (640, Some((4, 3)), None));
}

#[test]
fn a_default_display_window_is_no_size_and_may_be_missing() {
    let timing = |bits: BitWriter| bits.u(1, 1).u(32, 1001).u(32, 60_000).u(1, 0).u(1, 0).u(1, 0);
    let window = with_vui(|bits| timing(bits.u(1, 1).ues(&[4, 4, 8, 8])));
    assert_eq!((window.width, window.height, window.frame_rate), (640, 480, Some((60_000, 1_001))));
    // Its flag left out: what stands there is the flag of the timing, and 1001 behind 22 zero bits.
    assert_eq!(with_vui(timing).frame_rate, Some((60_000, 1_001)));
}

#[test]
fn timing_without_sense_is_no_frame_rate_and_vps_timing_stands_in() {
    let timing = |units, scale| with_vui(|bits| bits.u(1, 0).u(1, 1).u(32, units).u(32, scale).u(3, 0)).frame_rate;
    assert_eq!((timing(0, 50), timing(1, 0), timing(1, 50)), (None, None, Some((50, 1))));
    let vps = BitWriter::default().u(16, 0x4001).u(4, 0).u(8, 0xc0).u(3, 0).u(1, 1).u(16, 0xffff);
    let vps = vps.u(8, 1).u(32, 0).u(32, 0).u(16, 0).u(8, 93).u(1, 1).ues(&[4, 2, 0]);
    // Three layer sets of two layers.
    let vps = vps.u(6, 1).ue(2).u(4, 0b1010).u(1, 1).u(32, 1001).u(32, 24_000).u(1, 1).ue(0).ue(0);
    let sps = tools(picture(head(1), 640, 480, None)).ue(0).u(1, 0).u(2, 0).u(1, 0).u(1, 0).nal();
    let config = HevcConfig::from_parameter_sets(vec![vps.nal().into()], vec![sps.into()], vec![]).unwrap();
    assert_eq!(config.info.frame_rate, Some((24_000, 1_001)));
}

#[test]
fn a_record_says_how_pictures_can_be_decoded_in_parallel() {
    // An HRD of two sub-layers with sub-pictures, the first of which has no fixed rate, in front of the restriction.
    let sps = tools(picture(head(2), 640, 480, None)).ue(0).u(1, 0).u(2, 0).u(1, 1).u(4, 0).u(3, 0);
    let bits =
        sps.u(1, 0).u(1, 1).u(32, 1).u(32, 50).u(1, 0).u(1, 1).u(2, 0b11).u(1, 1).u(19, 0).u(8, 0).u(4, 0).u(15, 0);
    let hrd = |bits: BitWriter| (0..4).fold(bits, |bits, _| bits.ues(&[9, 9, 9, 9]).u(1, 1));
    let bits = hrd(bits.u(2, 0b00).u(1, 0).ue(1));
    let bits = hrd(bits.u(1, 1).ue(0).ue(1));
    let sps = Bytes::from(bits.u(1, 1).u(3, 0b010).ue(44).ues(&[0, 0, 15, 15]).u(1, 0).nal());
    assert_eq!(SpsInfo::parse(&sps).unwrap().min_spatial_segmentation_idc, 44);
    // The encoder writes wavefronts, with slices too.
    for (pps, parallelism) in [(config(MAIN).pps, 3), (config(SLICES).pps, 3), (vec![], 0)] {
        let config = HevcConfig::from_parameter_sets(vec![], vec![sps.clone()], pps).unwrap();
        assert_eq!(config.record[13..16], [0xf0, 44, 0xfc | parallelism]);
    }
    let set = |tiles, wavefronts| {
        let bits = BitWriter::default().u(16, 0x4401).ues(&[0, 0]).u(7, 0).ues(&[0, 0]).se(0).u(2, 0).u(1, 1).ue(1);
        Bytes::from(bits.se(-6).se(6).u(4, 0).u(1, tiles).u(1, wavefronts).nal())
    };
    for (sets, parallelism) in [
        (vec![set(0, 0)], 1),
        (vec![set(1, 0)], 2),
        (vec![set(0, 1)], 3),
        (vec![set(1, 1)], 0),
        (vec![set(1, 0), set(0, 1)], 0),
    ] {
        let config = HevcConfig::from_parameter_sets(vec![], vec![sps.clone()], sets).unwrap();
        assert_eq!(config.record[15] & 3, parallelism);
    }
}

#[test]
fn the_codec_string_has_a_letter_for_the_profile_space_and_no_zero_bytes_at_the_end() {
    let ptl = ProfileTierLevel {
        profile_space: 2,
        high_tier: true,
        profile_idc: 31,
        compatibility_flags: 0x8000_0001,
        constraint_bytes: [0xb0, 0, 0x0a, 0, 0, 0],
        level_idc: 186,
    };
    let config = HevcConfig { ptl, ..HevcConfig::default() };
    assert_eq!(config.rfc6381(), "hvc1.B31.80000001.H186.B0.0.A");
    // The example of ISO/IEC 14496-15 Annex E.3, and of every player's documentation.
    let ptl = ProfileTierLevel {
        profile_idc: 1,
        compatibility_flags: 0x6000_0000,
        constraint_bytes: [0xb0, 0, 0, 0, 0, 0],
        level_idc: 93,
        ..ProfileTierLevel::default()
    };
    assert_eq!(HevcConfig { ptl, ..HevcConfig::default() }.rfc6381(), "hvc1.1.6.L93.B0");
}

/// A slice segment of this type, the first of its picture.
fn slice(nal_type: u8) -> [u8; 4] {
    [nal_type << 1, 1, 0x80, 0x55]
}

#[test]
fn random_access_is_an_irap_picture_or_a_recovery_point() {
    for nal_type in 0..=31 {
        assert_eq!(is_random_access([&slice(nal_type)[..]]), (16..=21).contains(&nal_type), "{nal_type}");
    }
    let recovery = [0x4e, 0x01, 6, 2, 0xd0, 0x40, 0x80];
    assert!(is_random_access([&recovery[..], &slice(1)]));
    assert!(!is_random_access([&[0x4e, 0x01, 5, 2, 6, 1, 0x80][..], &slice(1)]));
}

#[test]
fn references_are_those_with_odd_types_and_all_irap_pictures() {
    let references: Vec<u8> = (0..=63).filter(|&nal_type| is_reference([&slice(nal_type)[..]])).collect();
    let expected: Vec<u8> = [1, 3, 5, 7, 9, 11, 13, 15].into_iter().chain(16..=31).collect();
    assert_eq!(references, expected);
    assert_eq!((temporal_id(&[0x02, 0x01]), temporal_id(&[0x02, 0x03]), temporal_id(&[])), (0, 2, 0));
}

#[test]
fn mutated_records_never_panic() {
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| unhex(row.0)).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut accepted = 0;
    mutations(0x4ecc, 40_000, &records, |record| {
        if let Ok(config) = HevcConfig::parse(Bytes::copy_from_slice(record)) {
            accepted += 1;
            let info = &config.info;
            assert!((1..=MAX_DIMENSION).contains(&info.width) && (1..=MAX_DIMENSION).contains(&info.height));
            assert!(info.frame_rate.is_none_or(|(num, den)| num > 0 && den > 0));
            drop(config.with_parameter_sets(&config.pps, &config.vps, &config.sps));
            config.hdr();
            let made = config.clone().build().unwrap();
            assert_eq!(HevcConfig::parse(made.record.clone()), Ok(made));
        }
    });
    assert!(accepted > 4_000, "the sweep must get past the first fields: {accepted}");
}

#[test]
fn mutated_parameter_sets_never_panic() {
    let configs: Vec<HevcConfig> = ROWS.iter().map(|row| config(row.0)).collect();
    let sets: Vec<&[u8]> =
        configs.iter().flat_map(|config| [&config.vps[0][..], &config.sps[0], &config.pps[0]]).collect();
    mutations(0x4e5, 60_000, &sets, |nal| {
        drop(SpsInfo::parse(nal));
        drop(vps::vps_picture_rate(nal));
        drop(pps::parallelism(nal));
    });
}
