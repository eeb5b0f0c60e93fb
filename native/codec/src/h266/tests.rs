//! Vectors of a real encoder, parameter sets that no encoder at hand makes, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    Chroma, CodecError, Colour, VideoInfo,
    bit_writer::BitWriter,
    nal::{picture::MAX_DIMENSION, record::MAX_RECORD_BYTES},
    sweep::{mutations, truncations, unhex},
};

/// vvcC records (the box without version and flags) of libvvenc through FFmpeg 9.0.2 (PyPI imageio-ffmpeg 0.8.1): `ffmpeg -f
/// lavfi -i testsrc2=size=SIZE:rate=RATE -frames:v 3 -c:v libvvenc -preset faster -vvenc-params PARAMS`. What they say is
/// what that ffmpeg prints of the file, and its trace_headers filter of the level and of what is reordered; the codec
/// string is that of mp4box.js (npm, `getCodec`).
const ROWS: [(&str, VideoInfo, &str); 4] = [
    // 640×360, rate 30000/1001
    (MAIN, VideoInfo { frame_rate: Some((30_000, 1_001)), ..info(1, 35, 640, 360) }, "vvc1.1.L35.CQA"),
    // 1918×1078, rate 60, -vf setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc
    (
        HDR,
        VideoInfo {
            frame_rate: Some((60, 1)),
            sample_aspect_ratio: Some((1, 1)),
            colour: Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false },
            ..info(1, 67, 1918, 1078)
        },
        "vvc1.1.L67.CQA",
    ),
    // 416×240, rate 50, -b:v 1M, level=4.1:tier=high:hrdparameterspresent=1
    (HIGH, VideoInfo { frame_rate: Some((50, 1)), high_tier: true, ..info(1, 67, 416, 240) }, "vvc1.1.H67.CQA"),
    // 320×240, rate 25, -b:v 500k, refreshtype=idr_no_radl:intraperiod=16:hrdparameterspresent=1:vuiparameterspresent=1
    (
        HRD,
        VideoInfo { sample_aspect_ratio: Some((1, 1)), max_reorder_frames: Some(4), ..info(1, 32, 320, 240) },
        "vvc1.1.L32.CQA",
    ),
];

/// What they have in common: 25 pictures a second, ten bits, five pictures reordered.
const fn info(profile: u8, level: u8, width: u32, height: u32) -> VideoInfo {
    VideoInfo {
        width,
        height,
        frame_rate: Some((25, 1)),
        sample_aspect_ratio: None,
        profile,
        level,
        high_tier: false,
        bit_depth: 10,
        chroma: Chroma::Yuv420,
        colour: Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false },
        max_reorder_frames: Some(5),
    }
}

const MAIN: &str = "\
    ff00655f010223800000028001680000028f000100ed007900ab022380000080140805a46a00737ffac2136563040827001310104104\
    20610842c442164842d4217a3d5a92f249a92c9116a22f1126a22452444992224d46588842c9085a842f0849a8424524212648425d49\
    084848884245110849888425d44421228c8424c64212ea3210a0416108203110819220d4804cc104105840082c402021020101508100\
    80d21020101620402022080405904020242010320202210101642020244040d02024810382062010b204088408164204091020d04092\
    0838419022d082484388684b91ca8105840082c402021020101508100810cc119c5000003e900007530188900001000c008100000a04\
    02d22241f410";
const HDR: &str = "\
    ff00655f010243800000078004380000028f00010105007900ab0243800000800f0200439d51a801cdffeb006ca71e101091440b0806\
    ca71e110b9134286f00131010410420610842c442164842d4217a3d5a92f249a92c9116a22f1126a22452444992224d46588842c9085\
    a842f0849a8424524212648425d49084848884245110849888425d44421228c8424c64212ea3210a0416108203110819220d4804cc10\
    4105840082c40202102010150810080d21020101620402022080405904020242010320202210101642020244040d0202481038206201\
    0b204088408164204091020d040920838419022d082484388684b91ca8105840082c402021020101508100810cc11dc5000003000100\
    0003003c1a60bc050910095c40900001000d0081000007810021c88907d040";
const HIGH: &str = "\
    ff00655f01034380000001a000f00000028f00010100007900ab03438000008034203c46a00737ffac21365630408270013101041042\
    0610842c442164842d4217a3d5a92f249a92c9116a22f1126a22452444992224d46588842c9085a842f0849a8424524212648425d490\
    84848884245110849888425d44421228c8424c64212ea3210a0416108203110819220d4804cc104105840082c4020210201015081008\
    0d21020101620402022080405904020242010320202210101642020244040d02024810382062010b204088408164204091020d040920\
    838419022d082484388684b91ca8105840082c402021020101508100810cc119c500000300010000030032e03b0007a1200005f5e100\
    03d0900002faf084900001000b008100001a101e22241f41";
const HRD: &str = "\
    ff00655f010220800000014000f00000028f0001007a007900ab02208000008028203c46a0062fffac21365630408270022821622103\
    2441a90f47ab525e4935259222d445e22f56a4bc97a845042c402164081108102c8408122041a081241070832045a104908710d09723\
    950cc119c500000300010000030019e01b000f420000b71b0007a100005b8d96bc044040900001000b0081000014101e22241f41";

fn config(hex: &str) -> VvcConfig {
    VvcConfig::parse(Bytes::from(unhex(hex))).unwrap_or_else(|error| panic!("{hex}: {error}"))
}

#[test]
fn records_say_what_the_encoder_was_told() {
    for (hex, info, rfc6381) in ROWS {
        let config = config(hex);
        assert_eq!(config.info, info, "{hex}");
        assert_eq!(config.rfc6381(), rfc6381);
        assert_eq!((config.nal_length_size, config.vps.len(), config.sps.len(), config.pps.len()), (4, 0, 1, 1));
    }
}

#[test]
fn a_record_that_is_made_equals_that_of_ffmpeg_but_for_the_constant_rate() {
    for (hex, ..) in ROWS {
        let mut config = config(hex);
        let made = config.clone().build().unwrap();
        // constant_frame_rate: ffmpeg claims it of every stream, and nobody here knows.
        let mut record = config.record.to_vec();
        assert_eq!(record[2] & 0b1100, 0b0100);
        record[2] &= !0b1100;
        config.record = record.into();
        assert_eq!(made, config, "{hex}");
    }
}

#[test]
fn records_that_lie_are_refused_with_their_place() {
    let with = |at: usize, byte: u8| {
        let mut record = unhex(MAIN);
        record[at] = byte;
        VvcConfig::parse(record.into())
    };
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(with(0, 0xfd), malformed("lengthSizeMinusOne", 0));
    assert_eq!(with(0, 0xf9).unwrap().nal_length_size, 1);
    // Eighteen bytes of profile, level and sizes.
    assert_eq!(with(16, 0), malformed("no sequence parameter set", 0));
    assert_eq!(with(16, 1).unwrap().pps.len(), 0, "picture parameter sets may come in-band");
    assert!(with(16, 3).is_err(), "one array more than there are");
    assert_eq!(with(23, 0x81), malformed("NAL unit of the record", 22), "a PPS among the SPS");
    assert!(VvcConfig::parse(vec![1; MAX_RECORD_BYTES + 1].into()).is_err());
}

#[test]
fn every_truncation_of_a_record_is_refused() {
    for (hex, ..) in ROWS {
        truncations(&unhex(hex), |truncated| {
            assert!(VvcConfig::parse(Bytes::copy_from_slice(truncated)).is_err());
        });
    }
}

#[test]
fn every_truncation_of_an_sps_names_a_byte_of_it() {
    for (hex, ..) in ROWS {
        truncations(&config(hex).sps[0], |truncated| match SpsInfo::parse(truncated) {
            Err(CodecError::Malformed { offset, .. }) => assert!(offset <= truncated.len()),
            result => {
                assert!(result.is_ok() && truncated.len() > 12, "only what stands behind the bit depth can be missed")
            }
        });
    }
}

/// A record without profile_tier_level() (ptl_present_flag 0) leaves that to the parameter set.
#[test]
fn a_record_may_leave_the_profile_out() {
    let full = config(MAIN);
    let short = [&[0b1111_1110, 1, 0x8f, 0, 1], &(full.sps[0].len() as u16).to_be_bytes()[..], &full.sps[0]].concat();
    let short = VvcConfig::parse(short.into()).unwrap();
    assert_eq!((short.ptl, short.info, short.sps), (full.ptl, full.info, full.sps));
}

#[test]
fn what_else_a_record_holds_stays_in_it() {
    let mut config = config(MAIN);
    let others: [&'static [u8]; 4] =
        [&[0, 0x61, 1], &[0, 0x69, 2], &[0, 0x89, 3], &[0, 0xb9, 144, 4, 3, 232, 1, 144, 0x80]];
    config.others = others.map(Bytes::from_static).to_vec();
    let made = config.build().unwrap();
    let read = VvcConfig::parse(made.record.clone()).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.hdr().content_light.map(|light| (light.max_cll, light.max_fall)), Some((1000, 400)));
    // In-band sets of another id are added, and the others are still there.
    let pps = Bytes::from_static(&[0, 0x81, 0b0000_0100, 0, 0x80]);
    let added = read.with_parameter_sets(&[], &[], std::slice::from_ref(&pps)).unwrap().unwrap();
    assert_eq!((added.pps.len(), &added.others), (2, &read.others));
    assert_eq!(added.with_parameter_sets(&[], &[], &[pps]), Ok(None));
}

#[test]
fn in_band_parameter_sets_replace_those_of_their_id() {
    let (main, high) = (config(MAIN), config(HIGH));
    assert_eq!(main.with_parameter_sets(&[], &main.sps, &main.pps), Ok(None));
    let changed = main.with_parameter_sets(&[], &high.sps, &high.pps).unwrap().unwrap();
    assert_eq!(changed, high.build().unwrap(), "both have the ids 0");
    assert!(main.with_parameter_sets(&[], &[Bytes::from_static(&[0, 0x79])], &[]).is_err());
    assert!(VvcConfig::from_parameter_sets(vec![], vec![], main.pps.clone()).is_err());
    assert!(VvcConfig::from_parameter_sets(vec![], main.pps.clone(), vec![]).is_err());
}

/// A set of this many sub-layers, 4:2:0, of units of 64 samples, up to `sps_gdr_enabled_flag`. The sub-layers below the
/// highest say their level when their number is even.
fn head(sub_layers: u64, constraints: impl Fn(BitWriter) -> BitWriter) -> BitWriter {
    let bits = BitWriter::default().u(16, 0x0079).u(8, 0).u(3, sub_layers - 1).u(2, 1).u(2, 1).u(1, 1);
    let bits = constraints(bits.u(7, 1).u(1, 0).u(8, 51)).align();
    let bits = (1..sub_layers).rev().fold(bits, |bits, layer| bits.u(1, 1 - layer % 2)).align();
    let bits = (1..sub_layers).rev().filter(|layer| layer % 2 == 0).fold(bits, |bits, layer| bits.u(8, layer * 16));
    bits.u(8, 1).u(32, 0xabcd)
}

fn plain(bits: BitWriter) -> BitWriter {
    bits.u(3, 0)
}

#[test]
fn constraints_and_sub_layers_go_from_the_set_to_the_record_and_the_string() {
    let all = |bits: BitWriter| bits.u(2, 0b10).u(1, 1).u(64, 0).u(7, 0).u(8, 6).u(6, 0b10_0000);
    for sub_layers in 1..=7 {
        let bits = head(sub_layers, all).u(1, 1).u(1, 1).u(1, 1).ues(&[640, 480]).u(1, 0).u(1, 0).ue(2);
        let sps = Bytes::from(bits.nal());
        let info = SpsInfo::parse(&sps).unwrap();
        assert_eq!((u64::from(info.sub_layers), info.video.width, info.video.bit_depth), (sub_layers, 640, 10));
        assert!(info.gradual_refresh && info.resolution_changes);
        assert_eq!(info.ptl.constraint_bytes, [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xa0]);
        assert_eq!((info.ptl.sub_layer_levels.len() as u64, info.ptl.sub_profiles[0]), (sub_layers - 1, 0xabcd));
        let made = VvcConfig::from_parameter_sets(vec![], vec![sps], vec![]).unwrap();
        assert_eq!(VvcConfig::parse(made.record.clone()).as_ref(), Ok(&made));
        // base64.b32encode of Python.
        assert_eq!(made.rfc6381(), "vvc1.1.L51.CUAAAAAAAAAAAAAABUA.Sabcd");
    }
    assert!(SpsInfo::parse(&head(8, plain).nal()).is_err());
}

/// Its levels would be missing in the record. Found by a sweep.
#[test]
fn a_set_of_the_base_layer_without_a_profile_is_refused() {
    let bits = BitWriter::default().u(16, 0x0079).u(8, 0).u(3, 0).u(2, 1).u(2, 1).u(1, 0).u(2, 0).ues(&[640, 480]);
    assert!(matches!(SpsInfo::parse(&bits.u(2, 0).ue(2).nal()), Err(CodecError::Unsupported { .. })));
}

#[test]
fn the_codec_string_writes_constraints_in_base_32() {
    let string = |constraint_bytes: &[u8]| {
        let ptl = ProfileTierLevel {
            profile_idc: 65,
            high_tier: true,
            level_idc: 83,
            constraint_bytes: constraint_bytes.to_vec(),
            ..ProfileTierLevel::default()
        };
        VvcConfig { ptl, ..VvcConfig::default() }.rfc6381()
    };
    assert_eq!(string(&[0]), "vvc1.65.H83");
    assert_eq!(string(&[0x80]), "vvc1.65.H83.CQA");
    // base64.b32encode of Python.
    assert_eq!(string(&[0xff, 0x01]), "vvc1.65.H83.C74AQ");
}

#[test]
fn subpictures_are_stepped_over_to_the_bit_depth() {
    let start = || head(1, plain).u(2, 0).ues(&[640, 480]).u(1, 0).u(1, 1);
    let depth = |bits: BitWriter| SpsInfo::parse(&bits.ue(4).u(64, 0).nal()).map(|info| info.video.bit_depth);
    // One subpicture, ids of 5 bits that are not written; then one that is written.
    assert_eq!(depth(start().ue(0).ue(4).u(1, 0)), Ok(12));
    assert_eq!(depth(start().ue(0).ue(4).u(2, 0b11).u(5, 9)), Ok(12));
    // Three of their own sizes, in 10 columns (4 bits) and 8 rows (3 bits); dependent.
    let three = start().ue(2).u(2, 0b00).u(7, 1).u(2, 3).u(14, 1).u(2, 3).u(7, 1).u(2, 3);
    assert_eq!(depth(three.ue(1).u(2, 0b11).u(6, 0)), Ok(12));
    // Three of the same size, independent.
    assert_eq!(depth(start().ue(2).u(2, 0b11).u(7, 1).ue(1).u(1, 0)), Ok(12));
    assert!(depth(start().ue(1000)).is_err());
}

#[test]
fn absurd_sizes_and_windows_are_refused() {
    let sized = |width: u32, height: u32, window: [u32; 4]| {
        let bits = head(1, plain).u(2, 0).ues(&[width, height]).u(1, 1).ues(&window).u(1, 0).ue(2);
        SpsInfo::parse(&bits.nal()).map(|info| (info.video.width, info.video.height))
    };
    let most = u32::MAX - 1;
    assert_eq!(sized(640, 480, [1, 2, 3, 4]), Ok((634, 466)));
    for window in [[160, 160, 0, 0], [0, 0, 120, 120], [most, most, 0, 0], [0, 0, most, most]] {
        assert!(matches!(sized(640, 480, window), Err(CodecError::Malformed { what: "sps_conformance_window", .. })));
    }
    assert!(sized(MAX_DIMENSION, MAX_DIMENSION, [0; 4]).is_ok());
    assert!(matches!(sized(MAX_DIMENSION + 1, 8, [0; 4]), Err(CodecError::LimitExceeded { .. })));
    assert!(sized(0, 8, [0; 4]).is_err());
}

/// The tools that libvvenc leaves out: everything on, so that each dependent element is there.
#[test]
fn every_coding_tool_is_stepped_over_to_the_timing_and_the_colour() {
    // 4:4:4, units of 32 samples (no 64-transform, so ACT), with a video parameter set (inter-layer), two sub-layers.
    let bits = BitWriter::default().u(16, 0x0079).u(4, 0).u(4, 1).u(3, 1).u(2, 3).u(2, 0).u(1, 1);
    let bits = bits.u(7, 33).u(1, 0).u(8, 51).u(3, 0).align().u(1, 0).align().u(8, 0);
    let bits = bits.u(2, 0).ues(&[640, 480]).u(2, 0).ue(2).u(2, 0b11);
    let bits = bits.u(4, 4).u(1, 1).ue(7).u(2, 1).u(8, 0xff).u(2, 2).u(16, 0x1234);
    // DPB of both sub-layers.
    let bits = bits.u(1, 1).ues(&[4, 1, 0]).ues(&[5, 3, 0]);
    // Partitions: luma, chroma, inter.
    let bits = bits.ue(0).u(1, 1).ues(&[1, 2, 1, 1]).u(1, 1).ues(&[1, 1, 0, 0]).ues(&[2, 3, 1, 1]);
    // Transforms, chroma tables of three components, filters.
    let bits = bits.u(1, 1).ue(3).u(1, 1).u(1, 1).u(2, 0b11).u(1, 1);
    let bits = bits.u(2, 0b10);
    let bits = (0..3).fold(bits, |bits, _| bits.se(-2).ue(1).ues(&[3, 1, 4, 1]));
    let bits = bits.u(1, 1).u(2, 0b11).u(1, 1).u(2, 0b01).u(1, 1).u(1, 1).u(1, 1).u(1, 0);
    // One list with an inter-layer picture, a long-term one, and short-term ones, of which one repeats (0, no sign).
    let bits = bits
        .ue(1)
        .ue(4)
        .u(1, 0)
        .u(1, 1)
        .ue(0)
        .u(1, 0)
        .u(1, 0)
        .u(8, 7)
        .u(1, 0)
        .u(1, 1)
        .ue(0)
        .u(1, 0)
        .u(1, 1)
        .ue(2)
        .u(1, 1);
    // One of which the long-term picture is in the header.
    let bits = bits.ue(1).ue(1).u(1, 1).u(1, 0).u(1, 0);
    // Motion, affine, merge.
    let bits = bits.u(1, 1).u(2, 0b11).u(1, 1).u(2, 0b11).u(1, 1).u(2, 0b11).u(2, 0b11);
    let bits = bits.ue(0).u(1, 1).u(1, 1).ue(0).u(1, 1).u(1, 1).u(2, 0b11).u(2, 0b11).u(1, 1).ue(2).ue(0);
    // Intra, palette, ACT, IBC, LADF, scaling lists, boundaries.
    let bits = bits.u(3, 0b111).u(1, 1).u(1, 1).u(1, 1).ue(1).u(1, 1).ue(2);
    let bits = bits.u(1, 1).u(2, 1).se(-1).se(2).ue(3).se(-4).ue(5);
    let bits = bits.u(1, 1).u(1, 1).u(2, 0b11).u(2, 0b11);
    let bits = bits.u(2, 0b11).ue(2).ues(&[10, 20]).ue(1).ue(30);
    // Timing with an HRD of both kinds and decoding units, of both sub-layers, every second tick a picture.
    let bits = bits.u(1, 1).u(32, 1001).u(32, 60_000).u(2, 0b11).u(1, 0).u(1, 1).u(8, 0).u(8, 0).u(4, 0).ue(1).u(1, 1);
    let hrd = |bits: BitWriter| (0..4).fold(bits, |bits, _| bits.ues(&[9, 9, 9, 9]).u(1, 1));
    let bits = hrd(bits.u(2, 0b00));
    let bits = hrd(bits.u(2, 0b01).ue(1));
    // Fields, VUI.
    let bits = bits.u(1, 1).u(1, 1).ue(20).align().u(4, 0).u(1, 1).u(1, 0).u(8, 255).u(16, 8).u(16, 6).u(2, 0b10);
    let bits = bits.u(1, 1).u(8, 9).u(8, 18).u(8, 9).u(1, 1);
    let info = SpsInfo::parse(&bits.nal()).unwrap();
    assert_eq!(info.video.max_reorder_frames, Some(3));
    assert_eq!(info.video.frame_rate, Some((30_000, 1_001)));
    assert!(info.field_seq);
    assert_eq!(info.video.sample_aspect_ratio, Some((4, 3)));
    assert_eq!(info.video.colour, Colour { primaries: 9, transfer: 18, matrix: 9, full_range: true });
    assert_eq!(info.video.chroma, Chroma::Yuv444);
}

/// A NAL unit of this type whose payload begins with this byte.
fn nal(nal_type: u8, first: u8) -> [u8; 4] {
    [0, nal_type << 3 | 1, first, 0x55]
}

#[test]
fn random_access_is_an_irap_or_gdr_picture() {
    for nal_type in 0..=31 {
        assert_eq!(is_random_access([&nal(nal_type, 0)[..]]), (7..=10).contains(&nal_type), "{nal_type}");
    }
    assert!(!is_random_access([&[][..]]));
    assert_eq!((temporal_id(&[0, 0x79]), temporal_id(&[0, 0x7b]), temporal_id(&[])), (0, 2, 0));
}

#[test]
fn the_picture_header_says_what_is_no_reference() {
    // In a NAL unit of its own: ph_gdr_or_irap_pic_flag, ph_non_ref_pic_flag.
    assert!(is_reference([&nal(NAL_PH, 0b1000_0000)[..], &nal(0, 0)]));
    assert!(!is_reference([&nal(NAL_PH, 0b0100_0000)[..], &nal(0, 0)]));
    // In the slice, behind sh_picture_header_in_slice_header_flag.
    assert!(is_reference([&nal(0, 0b1100_0000)[..]]));
    assert!(!is_reference([&nal(0, 0b1010_0000)[..]]));
    assert!(is_reference([&nal(0, 0b0110_0000)[..]]), "no header, nothing known");
}

#[test]
fn mutated_records_never_panic() {
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| unhex(row.0)).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut accepted = 0;
    mutations(0x44cc, 20_000, &records, |record| {
        if let Ok(config) = VvcConfig::parse(Bytes::copy_from_slice(record)) {
            accepted += 1;
            let info = &config.info;
            assert!((1..=MAX_DIMENSION).contains(&info.width) && (1..=MAX_DIMENSION).contains(&info.height));
            assert!(info.frame_rate.is_none_or(|(num, den)| num > 0 && den > 0));
            drop(config.with_parameter_sets(&config.pps, &config.vps, &config.sps));
            config.hdr();
            let made = config.clone().build().unwrap();
            assert_eq!(VvcConfig::parse(made.record.clone()), Ok(made));
        }
    });
    assert!(accepted > 2_000, "the sweep must get past the first fields: {accepted}");
}

#[test]
fn mutated_parameter_sets_never_panic() {
    let configs: Vec<VvcConfig> = ROWS.iter().map(|row| config(row.0)).collect();
    let sets: Vec<&[u8]> = configs.iter().map(|config| &config.sps[0][..]).collect();
    mutations(0x445, 20_000, &sets, |nal| drop(SpsInfo::parse(nal)));
}
