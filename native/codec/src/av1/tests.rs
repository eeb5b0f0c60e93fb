//! Vectors of real encoders, the standard's corner cases, every truncation, and seeded mutation.
//!
//! Temporal units: `ffmpeg -f lavfi -i testsrc2=s=320x180:r=25 -t 1 -c:v ENCODER -g 12 x.obu`, ffmpeg 5.1 (libaom 3.6,
//! SVT-AV1 1.4), each frame cut to 16 bytes and its size set to that. Facts after ffprobe and mediainfo; records after the
//! av1C that FFmpeg 9 makes of the same files.

use bytes::Bytes;

use super::*;
use crate::{
    Chroma, CodecError, Colour, ContentLight, MasteringDisplay, VideoInfo,
    bit_packer::BitPacker,
    sweep::{mutations, truncations, unhex},
};

const AOM_KEY: &str = "12000a0b000000043cfeccdaf9004032101400a16010d86f45a096c997d9b48be4";
/// An alternate reference and three more that are not shown, then one that is.
const AOM_INTER: &str = "120032102905f020000011a2f0020821025082ba32102902f040000051a3a0020841825082ba32102901408000205\
                         1a3f0041041024baef032103201e20000688348d00c3082050104e0";
const AOM_SHOW_EXISTING: &str = "12001a01b8";
const SVT_KEY: &str = "12000a0b000000043cfeccfbf9004032101400a17024dd6d5aad2223f6d53a1eb3";
/// PQ, with `mastering-display=G(0.265,0.690)B(0.150,0.060)R(0.680,0.320)WP(0.3127,0.3290)L(1000.0,0.0001):content-light=1000,400`.
const SVT_HDR_KEY: &str = "12000a0e000000043cfeccfbf950910090402a060103e80190802a1a02ae1451ec43d7b0a426660f5c500d5439\
                           0003e800000000028032101400a17824dd6d6278cbdde4bcf2df37";
const VECTORS: [&str; 5] = [AOM_KEY, AOM_INTER, AOM_SHOW_EXISTING, SVT_KEY, SVT_HDR_KEY];

/// Sequence header, the record of FFmpeg without metadata, profile, bit depth, chroma, `codecs`.
type Row = (&'static str, &'static str, u8, u8, Chroma, &'static str);
const ROWS: [Row; 6] = [
    ("0a0b000000043cfeccdaf90040", "81000c00", 0, 8, Chroma::Yuv420, "av01.0.00M.08"),
    ("0a0b000000043cfeccfbf90040", "81000c00", 0, 8, Chroma::Yuv420, "av01.0.00M.08"),
    ("0a0e000000043cfeccfbf95091009040", "81004c00", 0, 10, Chroma::Yuv420, "av01.0.00M.10.0.110.09.16.09.0"),
    // -pix_fmt gray is of full range.
    ("0a0a000000043cfeccdaf92a", "81001c00", 0, 8, Chroma::Monochrome, "av01.0.00M.08.1.110.02.02.02.1"),
    ("0a0a200000043cfeccdaf902", "81200000", 1, 8, Chroma::Yuv444, "av01.1.00M.08.0.000.02.02.02.0"),
    ("0a0b400000043cfeccdaf96220", "81406800", 2, 12, Chroma::Yuv422, "av01.2.00M.12.0.100.02.02.02.0"),
];

fn bytes(hex: &str) -> Bytes {
    unhex(hex).into()
}

#[test]
fn records_are_those_of_ffmpeg() {
    for (header, fields, profile, bit_depth, chroma, rfc6381) in ROWS {
        let config =
            Av1Config::from_sequence_header(&unhex(header)).unwrap_or_else(|error| panic!("{header}: {error}"));
        assert_eq!(config.record, [unhex(fields), unhex(header)].concat(), "{header}");
        assert_eq!(config.rfc6381(), rfc6381, "{header}");
        let VideoInfo { width, height, profile: seen, bit_depth: depth, chroma: sampling, .. } = config.info;
        assert_eq!((width, height, seen, depth, sampling), (320, 180, profile, bit_depth, chroma), "{header}");
        assert_eq!(Av1Config::parse(config.record.clone()), Ok(config.clone()), "{header}");
        // Four bytes say the same as the header, but for the size and the colour.
        let short = Av1Config::parse(config.record.slice(..4)).unwrap();
        let known = VideoInfo { width: 0, height: 0, colour: Colour::default(), ..config.info.clone() };
        assert_eq!((short.info, short.sequence_header), (known, None), "{header}");
    }
}

#[test]
fn hdr_is_what_the_encoder_was_told() {
    let expected = hdr(&unhex(SVT_HDR_KEY));
    let display = MasteringDisplay {
        primaries: [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)],
        white_point: (15_635, 16_450),
        max_luminance: 10_000_000,
        min_luminance: 1,
    };
    assert_eq!(expected.content_light, Some(ContentLight { max_cll: 1000, max_fall: 400 }));
    assert_eq!(expected.mastering, Some(display));
    // FFmpeg's record has the metadata behind the sequence header.
    let record = "81004c000a0e000000043cfeccfbf950910090402a060103e80190802a1a02ae1451ec43d7b0a426660f5c500d54390003e8\
                  000000000280";
    assert_eq!(Av1Config::parse(bytes(record)).unwrap().hdr(), expected);
    assert_eq!(hdr(&unhex(AOM_KEY)), crate::Hdr::default());
}

#[test]
fn canonical_form_has_no_delimiter_and_says_what_is_in_it() {
    for (hex, is_key, has_header) in
        [(AOM_KEY, true, true), (AOM_INTER, false, false), (AOM_SHOW_EXISTING, false, false), (SVT_HDR_KEY, true, true)]
    {
        let canonical = to_canonical(bytes(hex)).unwrap();
        assert_eq!(canonical.payload, unhex(hex)[2..], "{hex}");
        assert_eq!((canonical.is_key, canonical.sequence_header.is_some()), (is_key, has_header), "{hex}");
        assert_eq!(is_random_access(&canonical.payload), is_key, "{hex}");
        // Again: the same bytes, not a copy.
        let again = to_canonical(canonical.payload.clone()).unwrap();
        assert_eq!(again, canonical);
        assert_eq!(again.payload.as_ptr(), canonical.payload.as_ptr(), "{hex}");
    }
    let key = to_canonical(bytes(AOM_KEY)).unwrap();
    assert_eq!(key.sequence_header.unwrap(), unhex(ROWS[0].0));
}

/// MPEG-TS, RTP and files: sizes left out of the last OBU, padding, a tile list, layers.
#[test]
fn odd_forms_become_canonical() {
    // A frame of a layer without a size at the end; padding in front of it.
    let odd = [unhex("7a03ffff80 4201aa"), vec![0x34, 0x28, 0x14, 0xaa]].concat();
    let canonical = to_canonical(odd.into()).unwrap();
    assert_eq!(canonical.payload, unhex("36280214aa"));
    let obu = obus(&canonical.payload).next().unwrap().unwrap();
    assert_eq!((obu.kind, obu.temporal_id, obu.spatial_id, obu.payload), (OBU_FRAME, 1, 1, &[0x14, 0xaa][..]));
    // Sizes of more bytes than they need stay: nothing is left out.
    let long = bytes("32 8200 14aa");
    assert_eq!(to_canonical(long.clone()).unwrap().payload, long);
    assert_eq!(to_canonical(Bytes::new()).unwrap().payload, Bytes::new());
    // A frame of 200 bytes needs two bytes of size.
    let large = [vec![0x30], vec![7; 200]].concat();
    assert_eq!(to_canonical(large.into()).unwrap().payload[..4], [0x32, 0xc8, 0x01, 7]);
}

#[test]
fn length_delimited_form_becomes_the_same() {
    for hex in VECTORS {
        let unit = unhex(hex);
        let mut frames = vec![Vec::new()];
        for obu in obus(&unit).map(Result::unwrap) {
            // Without a size of its own, as Annex B is written.
            let header = [vec![obu.bytes[0] & !2], obu.payload.to_vec()].concat();
            let frame = frames.last_mut().unwrap();
            frame.push(u8::try_from(header.len()).unwrap());
            frame.extend(header);
            if obu.kind == OBU_FRAME {
                frames.push(Vec::new());
            }
        }
        let sized = |frame: &Vec<u8>| [vec![u8::try_from(frame.len()).unwrap()], frame.clone()].concat();
        let annex_b: Vec<u8> = frames.iter().flat_map(sized).collect();
        assert_eq!(annex_b_to_canonical(&annex_b), to_canonical(unit.into()), "{hex}");
        truncations(&annex_b, |bytes| drop(annex_b_to_canonical(bytes)));
        mutations(0xb, 20_000, &[&annex_b], |bytes| {
            if let Ok(canonical) = annex_b_to_canonical(bytes) {
                assert_eq!(to_canonical(canonical.payload.clone()), Ok(canonical));
            }
        });
    }
    for broken in ["01", "0302", "020300", "0100 05"] {
        assert!(annex_b_to_canonical(&unhex(broken)).is_err(), "{broken}");
    }
}

#[test]
fn key_frame_that_came_without_its_sequence_header_gets_it() {
    let config = |row: &Row| Av1Config::from_sequence_header(&unhex(row.0)).unwrap();
    let bare = to_canonical(bytes(AOM_KEY).slice(15..)).unwrap();
    assert!(bare.is_key && bare.sequence_header.is_none());
    let whole = bare.with_sequence_header_of(&config(&ROWS[0]));
    assert_eq!(whole, to_canonical(bytes(AOM_KEY)).unwrap());
    assert_eq!(whole.clone().with_sequence_header_of(&config(&ROWS[1])), whole, "it has one");
    let inter = to_canonical(bytes(AOM_INTER)).unwrap();
    assert_eq!(inter.clone().with_sequence_header_of(&config(&ROWS[0])), inter);
    // The last OBU of a record may have no size: in front of others it would take them in.
    let (head, sized) = (config(&ROWS[0]).record.slice(..4), unhex(ROWS[0].0));
    let unsized_ = [&head[..], &[sized[0] & !0b10], &sized[2..]].concat();
    assert_eq!(Av1Config::parse(unsized_.into()).unwrap().sequence_header.as_deref(), Some(&sized[..]));
}

#[test]
fn frames_that_nobody_needs_are_known() {
    let sequence = Av1Config::from_sequence_header(&unhex(ROWS[0].0)).unwrap().sequence.unwrap();
    let unit = unhex(AOM_INTER);
    let headers: Vec<_> = obus(&unit)
        .map(Result::unwrap)
        .filter(|obu| obu.kind == OBU_FRAME)
        .map(|obu| FrameHeader::parse(&obu, &sequence).unwrap())
        .collect();
    let seen: Vec<_> = headers.iter().map(|header| (header.show_frame, header.refresh_frame_flags)).collect();
    // As `-bsf:v trace_headers` says: three that are not shown, and one that is; all are kept for later.
    assert_eq!(seen, [(false, 0x02), (false, 0x04), (false, 0x08), (true, 0x10)]);
    assert!(headers.iter().all(|header| header.frame_type == FrameType::Inter && !header.show_existing_frame));
    assert!(is_reference(&unit, &sequence) && is_reference(&unhex(AOM_KEY), &sequence));
    // The next shown frame, with the bit of its `refresh_frame_flags` and without.
    assert!(is_reference(&unhex("3204 32032400"), &sequence));
    assert!(!is_reference(&unhex("3204 32032000"), &sequence));
    assert!(is_reference(&unhex("3202 3203"), &sequence), "cut off: in doubt it is");
}

#[test]
fn streams_are_cut_into_temporal_units() {
    let units = VECTORS.map(unhex);
    let stream = units.concat();
    let cut: Vec<_> = temporal_units(&stream).map(Result::unwrap).collect();
    assert_eq!(cut, units.each_ref().map(Vec::as_slice));
    // Without a delimiter in front, and cut off within the last.
    let cut: Vec<_> = temporal_units(&stream[2..stream.len() - 1]).collect();
    assert_eq!(cut[0], Ok(&units[0][2..]));
    assert_eq!((cut.len(), cut[4].is_err()), (5, true));
    assert_eq!(temporal_units(&[]).count(), 0);
    let sized = |unit: &Vec<u8>| [vec![u8::try_from(unit.len()).unwrap()], unit.clone()].concat();
    let annex_b: Vec<u8> = units.iter().flat_map(sized).collect();
    let cut: Vec<_> = annex_b_temporal_units(&annex_b).map(Result::unwrap).collect();
    assert_eq!(cut, units.each_ref().map(Vec::as_slice));
    let cut: Vec<_> = annex_b_temporal_units(&annex_b[..annex_b.len() - 1]).collect();
    let place = annex_b.len() - units[4].len() - 1;
    assert_eq!(cut[4], Err(CodecError::Malformed { what: "temporal_unit_size", offset: place }));
    assert_eq!(cut.len(), 5);
    mutations(0x71, 20_000, &[&stream, &annex_b], |stream| {
        let bytes: usize = temporal_units(stream).flatten().map(<[u8]>::len).sum();
        assert!(bytes <= stream.len() && temporal_units(stream).skip_while(Result::is_ok).count() <= 1);
        assert!(annex_b_temporal_units(stream).skip_while(Result::is_ok).count() <= 1);
    });
}

/// Key frames in all the ways in which they are none to enter at.
#[test]
fn forward_key_frames_are_no_random_access_points() {
    // show_existing_frame 0, key, show_frame 1 or 0; intra-only; switch.
    for (first_byte, expected) in [("10", true), ("00", false), ("50", false), ("70", false), ("80", false)] {
        assert_eq!(is_random_access(&unhex(&format!("3201{first_byte}"))), expected, "{first_byte}");
    }
    // A reduced still picture says nothing of all that.
    assert!(is_random_access(&unhex("0a0118 320180")));
    assert!(!is_random_access(&unhex("1200")) && !is_random_access(&[]) && !is_random_access(&[0x80]));
}

/// What an encoder of pictures, of layers and of HDR says: written by hand after §5.5.
#[test]
fn full_sequence_header_is_read() {
    let mut bits = BitPacker::new();
    bits.u(5, 0); // main, no still picture
    bits.flag(true); // timing_info
    bits.u(32, 1001);
    bits.u(32, 60_000);
    bits.flag(true); // equal_picture_interval
    bits.u(3, 0b010); // two ticks a picture
    bits.flag(true); // decoder_model_info
    bits.u(5, 9);
    bits.u(32, 1);
    bits.u(5, 7);
    bits.u(5, 15);
    bits.flag(true); // initial_display_delay_present
    bits.u(5, 1); // two operating points
    bits.u(12, 0x103);
    bits.u(5, 13); // level 5.1
    bits.flag(true); // high tier
    bits.flag(true); // decoder model
    bits.u(21, 0);
    bits.flag(true);
    bits.u(4, 9);
    bits.u(12, 0x101);
    bits.u(5, 4);
    bits.flag(false); // no decoder model
    bits.flag(false);
    bits.u(8, 0xcb); // 13 and 12 bits
    bits.u(13, 3839);
    bits.u(12, 2159);
    bits.flag(true); // frame ids
    bits.u(4, 10);
    bits.u(3, 2);
    bits.u(3, 0);
    bits.u(4, 0);
    bits.flag(true); // order hints
    bits.u(2, 0);
    bits.u(2, 0b01); // screen content: no choice, always
    bits.flag(true); // integer motion vectors: each frame chooses
    bits.u(3, 6);
    bits.u(3, 0);
    bits.u(3, 0b101); // 10 bits, colour, described
    bits.u(24, 0x09_12_09);
    bits.flag(true); // full range
    bits.u(2, 2);
    bits.u(2, 0b01); // film grain
    let sequence = SequenceHeader::parse(&bits.finish()).unwrap();
    assert_eq!((sequence.width, sequence.height, sequence.frame_rate), (3840, 2160, Some((30_000, 1001))));
    assert_eq!(sequence.operating_points.len(), 2);
    let first = sequence.operating_point();
    assert_eq!((first.idc, first.level, first.high_tier), (0x103, 13, true));
    assert_eq!(first.initial_display_delay_minus_1, Some(9));
    assert_eq!(sequence.operating_points[1].level, 4);
    let model = DecoderModel { buffer_delay_bits: 10, buffer_removal_time_bits: 8, frame_presentation_time_bits: 16 };
    assert_eq!(sequence.decoder_model, Some(model));
    assert_eq!((sequence.frame_id_bits, sequence.order_hint_bits), (15, 7));
    assert_eq!((sequence.force_screen_content_tools, sequence.force_integer_mv), (1, 2));
    assert_eq!((sequence.chroma_sample_position, sequence.film_grain, sequence.bit_depth), (2, true, 10));
    assert_eq!(sequence.colour, Colour { primaries: 9, transfer: 18, matrix: 9, full_range: true });
}

/// The same encoder that ends its sequence header with an initial display delay killed a peer's HLS.
#[test]
fn initial_display_delay_of_svt_av1_is_no_error() {
    let mut bits = BitPacker::new();
    bits.u(5, 0);
    bits.flag(false);
    bits.flag(true); // initial_display_delay_present_flag
    bits.u(5, 0);
    bits.u(12, 0);
    bits.u(5, 0);
    bits.flag(true);
    bits.u(4, 9);
    let tail = unhex(ROWS[1].0);
    // What SVT-AV1 writes behind its operating point: 2 + 24 bits in.
    let mut rest = crate::bits::BitReader::new(&tail[2..]);
    rest.skip(5 + 1 + 1 + 5 + 12 + 5, "head").unwrap();
    let count = rest.remaining_bits();
    bits.copy(&mut rest, count, "tail").unwrap();
    let payload = bits.finish();
    let header = [vec![0x0a, u8::try_from(payload.len()).unwrap()], payload.to_vec()].concat();
    let config = Av1Config::from_sequence_header(&header).unwrap();
    assert_eq!((config.info.width, config.info.height), (320, 180));
    assert_eq!(config.sequence.as_ref().unwrap().operating_point().initial_display_delay_minus_1, Some(9));
    assert_eq!(config.initial_presentation_delay_minus_one, None);
    let delayed = config.clone().with_initial_presentation_delay(Some(9));
    assert_eq!(delayed.record[3], 0x19);
    assert_eq!(Av1Config::parse(delayed.record.clone()), Ok(delayed.clone()));
    assert_eq!(delayed.with_initial_presentation_delay(None), config);
}

#[test]
fn reduced_still_picture_header_is_read() {
    let mut bits = BitPacker::new();
    bits.u(5, 0b0_0011);
    bits.u(5, 8);
    bits.u(8, 0x77); // 8 and 8 bits
    bits.u(16, 0xff_7f);
    bits.u(3 + 3, 0);
    bits.u(3, 0); // 8 bits
    bits.flag(false);
    bits.u(2, 1);
    bits.u(2, 0);
    let sequence = SequenceHeader::parse(&bits.finish()).unwrap();
    assert!(sequence.still_picture && sequence.reduced_still_picture_header);
    assert_eq!((sequence.width, sequence.height, sequence.operating_point().level), (256, 128, 8));
    assert_eq!(sequence.chroma_sample_position, 1);
}

#[test]
fn captions_are_found() {
    // itu_t_t35 of the United States, "GA94", type 3, one pair, and the trailing bit.
    let unit = unhex("1200 2a10 04 b5 0031 47413934 03 41fffc9420 80 00 3201 10");
    let found: Vec<_> = metadata(&unit).collect();
    let Metadata::ItuT35(message) = found[0] else { panic!("{found:?}") };
    assert_eq!((found.len(), message.country_code), (1, 0xb5));
    assert_eq!(message.payload, unhex("0031 47413934 03 41fffc9420"));
    assert_eq!(Metadata::parse(&[3, 0]), Ok(Metadata::Other(3)));
    assert_eq!(Metadata::parse(&[1, 0]), Err(CodecError::Malformed { what: "max_cll", offset: 1 }));
    assert!(Metadata::parse(&[4, 0, 0]).is_err() && Metadata::parse(&[]).is_err());
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let malformed = |what, offset| Err(CodecError::Malformed { what, offset });
    assert_eq!(to_canonical(bytes("1200 92")).map(drop), malformed("obu_forbidden_bit", 2));
    assert_eq!(to_canonical(bytes("1200 3205 00")).map(drop), malformed("obu_size", 3));
    assert_eq!(to_canonical(bytes("32ffffffffffffffffff00")).map(drop), malformed("obu_size", 1));
    assert_eq!(to_canonical(bytes("36")).map(drop), malformed("OBU extension header", 1));
    assert_eq!(Av1Config::parse(bytes("82000c00")).map(drop), malformed("version of av1C", 0));
    assert_eq!(Av1Config::parse(bytes("8100")).map(drop), malformed("av1C record", 2));
    assert_eq!(Av1Config::parse(bytes("81000c000a0200 00")).map(drop), malformed("operating_point_idc", 7));
    assert!(matches!(SequenceHeader::parse(&[0x60]), Err(CodecError::Unsupported { .. })));
    assert!(Av1Config::from_sequence_header(&unhex("320110")).is_err());
    let error = Av1Config::parse(vec![0x81; MAX_RECORD_BYTES + 1].into()).unwrap_err();
    assert!(matches!(error, CodecError::LimitExceeded { .. }));
    let error = to_canonical([0x1a, 0].repeat(MAX_OBUS + 1).into()).unwrap_err();
    assert!(matches!(error, CodecError::LimitExceeded { .. }));
}

#[test]
fn in_band_change_of_the_sequence_header_makes_a_new_configuration() {
    let config = Av1Config::from_sequence_header(&unhex(ROWS[0].0)).unwrap();
    assert_eq!(config.with_sequence_header(&bytes(ROWS[0].0)), Ok(None));
    let changed = config.with_sequence_header(&bytes(ROWS[2].0)).unwrap().unwrap();
    assert_eq!(changed.info.bit_depth, 10);
}

#[test]
fn truncated_and_mutated_units_and_records_never_panic() {
    let sequence = Av1Config::from_sequence_header(&unhex(ROWS[0].0)).unwrap().sequence.unwrap();
    let units = VECTORS.map(unhex);
    let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
    let judge = |unit: &[u8]| {
        let _ = (is_reference(unit, &sequence), is_random_access(unit), hdr(unit), metadata(unit).count());
        if let Ok(canonical) = to_canonical(Bytes::copy_from_slice(unit)) {
            assert_eq!(to_canonical(canonical.payload.clone()).as_ref(), Ok(&canonical));
            assert_eq!(is_random_access(&canonical.payload), canonical.is_key);
        }
    };
    units.iter().for_each(|unit| truncations(unit, judge));
    mutations(0xa1, 100_000, &units, judge);
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| [unhex(row.1), unhex(row.0)].concat()).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let mut accepted = 0;
    mutations(0xa2, 100_000, &records, |record| {
        let Ok(config) = Av1Config::parse(Bytes::copy_from_slice(record)) else { return };
        accepted += 1;
        assert!(config.rfc6381().starts_with("av01."));
        let Some(header) = config.sequence_header.filter(|header| header[0] & 2 != 0) else { return };
        let made = Av1Config::from_sequence_header(&header).unwrap();
        assert_eq!((made.info, made.sequence), (config.info, config.sequence));
    });
    assert!(accepted > 20_000, "{accepted}");
}
