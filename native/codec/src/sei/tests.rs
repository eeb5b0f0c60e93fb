//! Messages made by hand and put into real streams, of which ffprobe 5.1 then printed the same (`-show_frames`).

use super::*;
use crate::{
    ContentLight, Hdr, MasteringDisplay,
    bit_writer::BitWriter,
    h264, h265, h266,
    sweep::{mutations, truncations, unhex},
};

/// Time code, captions, active format, mastering display, content light level, user data; ffprobe: `TAG:timecode=11:56:34:12`,
/// `ATSC A53 Part 4 Closed Captions`, `red_x=34000/50000` …, `max_content=1000`, `User Data Unregistered SEI message`.
const H265: &str = "4e01 88066240645c2c10 0411b500314741393403c2fffc9420fd8080ff 0409b500314454473141fa \
                    891833c286c41d4c0bb884d03e803d13404200989680000003003 2900403e801900512000102030405060708090a0b0c0d0e0f686980";
/// The same without the time code.
const H264: &str = "06 0411b500314741393403c2fffc9420fd8080ff 0409b500314454473141fa \
                    891833c286c41d4c0bb884d03e803d13404200989680000003003 2900403e801900512000102030405060708090a0b0c0d0e0f686980";

const HDR: Hdr = Hdr {
    mastering: Some(MasteringDisplay {
        primaries: [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)],
        white_point: (15_635, 16_450),
        max_luminance: 10_000_000,
        min_luminance: 50,
    }),
    content_light: Some(ContentLight { max_cll: 1000, max_fall: 400 }),
};

fn sei(nal: &[u8], header_bytes: usize) -> Sei {
    Sei::read(nal, header_bytes).unwrap()
}

#[test]
fn messages_of_the_codecs_are_iterated() {
    let types = |hex: &str, header_bytes| -> Vec<u32> {
        sei(&unhex(hex), header_bytes).messages().map(|message| message.unwrap().payload_type).collect()
    };
    assert_eq!(types(H265, h265::NAL_HEADER_BYTES), [136, 4, 4, 137, 144, 5]);
    assert_eq!(types(H264, h264::NAL_HEADER_BYTES), [4, 4, 137, 144, 5]);
    // A type of 255 + 45 and a payload of 255 + 1 bytes; no trailing bits.
    let long = [&[0x06, 0xff, 45, 0xff, 1][..], &[7; 256]].concat();
    let long = sei(&long, 1);
    let messages: Vec<Message<'_>> = long.messages().map(Result::unwrap).collect();
    assert_eq!(messages, [Message { payload_type: 300, payload: &[7; 256] }]);
    assert_eq!(sei(&[0x06, 0x80], 1).messages().count(), 0);
    assert_eq!(sei(&[], 1).messages().count(), 0);
}

#[test]
fn a_message_that_is_cut_off_is_an_error_once_at_its_offset() {
    let nal = unhex(H264);
    truncations(&nal[..nal.len() - 1], |truncated| {
        let errors: Vec<_> = sei(truncated, 1).messages().filter_map(Result::err).collect();
        assert!(errors.len() <= 1);
    });
    let cut = sei(&[0x06, 5, 2, 1, 1, 4, 9, 0xb5], 1);
    let results: Vec<_> = cut.messages().collect();
    assert_eq!(results[1], Err(crate::CodecError::Malformed { what: "SEI message", offset: 5 }));
    assert_eq!(results.len(), 2);
}

#[test]
fn captions_come_out_in_order_and_with_their_kind() {
    let sei = sei(&unhex(H264), 1);
    let message = sei.messages().next().unwrap().unwrap();
    let Some(RegisteredUserData::Captions(captions)) = RegisteredUserData::parse(message.payload) else {
        panic!("{message:?}")
    };
    let pairs: Vec<CaptionPair> = captions.pairs().collect();
    // 0x94 0x20 is "resume caption loading" of CC1.
    assert_eq!(pairs[0], CaptionPair { kind: CaptionKind::Field1, data: [0x94, 0x20] });
    assert_eq!(pairs[1], CaptionPair { kind: CaptionKind::Field2, data: [0x80, 0x80] });
    assert_eq!(pairs.len(), 2);
}

#[test]
fn caption_pairs_that_are_not_valid_or_not_there_are_left_out() {
    let captions = |cc_data: &[u8]| {
        let payload = [&[0xb5, 0, 0x31][..], b"GA94", &[3], cc_data].concat();
        match RegisteredUserData::parse(&payload) {
            Some(RegisteredUserData::Captions(captions)) => Some(captions.pairs().collect::<Vec<_>>()),
            Some(RegisteredUserData::Other { country_code: 0xb5, .. }) => None,
            other => panic!("{other:?}"),
        }
    };
    // cc_valid 0; then the kinds of CEA-708.
    let pairs = captions(&[0x43, 0xff, 0xf8, 1, 2, 0xff, 3, 4, 0xfe, 5, 6, 0xff]).unwrap();
    let kinds: Vec<CaptionKind> = pairs.iter().map(|pair| pair.kind).collect();
    assert_eq!(kinds, [CaptionKind::PacketStart, CaptionKind::PacketData]);
    assert_eq!(captions(&[0x03, 0xff, 0xfc, 1, 2]), Some(vec![]), "process_cc_data_flag 0");
    assert_eq!(captions(&[0x42, 0xff, 0xfc, 1, 2]), None, "less than it says");
    assert_eq!(captions(&[0x42]), None);
}

#[test]
fn user_data_of_the_united_states_and_of_others() {
    let parse = |payload: &'static [u8]| RegisteredUserData::parse(payload);
    assert_eq!(parse(b"\xb5\0\x31DTG1\x41\xfa"), Some(RegisteredUserData::ActiveFormat(Some(10))));
    assert_eq!(parse(b"\xb5\0\x31DTG1\x01"), Some(RegisteredUserData::ActiveFormat(None)));
    assert_eq!(parse(b"\xb5\0\x3c\0\x01\x04\x01"), Some(RegisteredUserData::Hdr10Plus));
    assert_eq!(parse(b"\x26\0\x05"), Some(RegisteredUserData::Other { country_code: 0x26, data: b"\0\x05" }));
    assert_eq!(parse(b""), None);
    let message = [&[7; 16][..], b"hi"].concat();
    assert_eq!(unregistered_user_data(&message), Some((&[7; 16], &b"hi"[..])));
    assert_eq!(unregistered_user_data(&message[..15]), None);
}

#[test]
fn hdr_is_the_same_in_the_three_codecs() {
    let (avc, hevc) = (unhex(H264), unhex(H265));
    assert_eq!(h264::hdr([&avc[..]]), HDR);
    assert_eq!(h265::hdr([&hevc[..]]), HDR);
    let vvc = [&[0, 0xb9], &avc[1..]].concat();
    assert_eq!(h266::hdr([&[0, 0x41, 0x80][..], &vvc]), HDR);
    assert!(h265::hdr([&[0x26, 1, 0x80][..]]).is_empty());
    let mut hdr = HDR;
    hdr.note(Message { payload_type: MASTERING_DISPLAY, payload: &[1; 23] });
    assert_eq!(hdr, HDR, "one that is cut off says nothing");
}

#[test]
fn timecodes_of_h265() {
    let nal = unhex(H265);
    let sei = sei(&nal, 2);
    let message = sei.messages().next().unwrap().unwrap();
    let timecode = Timecode::parse_h265(message.payload).unwrap().unwrap();
    assert_eq!(timecode.to_string(), "11:56:34;12");
    truncations(message.payload, |truncated| {
        assert!(Timecode::parse_h265(truncated).is_err() || truncated.len() > 4);
    });
    // The second of two clocks, with flags in front of each part and 30 seconds; then without hours.
    let head = || BitWriter::default().u(2, 2).u(2, 0b01).u(1, 1).u(5, 0).u(1, 0).u(2, 0).u(9, 29).u(1, 1).u(6, 30);
    let parts = head().u(1, 1).u(6, 5).u(1, 1).u(5, 23).u(5, 0).nal();
    assert_eq!(Timecode::parse_h265(&parts).unwrap().unwrap().to_string(), "23:05:30:29");
    assert_eq!(Timecode::parse_h265(&head().u(1, 1).u(6, 5).u(1, 0).u(5, 0).nal()), Ok(None));
    assert_eq!(Timecode::parse_h265(&[0]), Ok(None), "no clock");
    let late = BitWriter::default().u(2, 1).u(2, 0b10).u(5, 0).u(1, 1).u(2, 0).u(9, 0).u(6, 60).u(11, 0).nal();
    assert!(Timecode::parse_h265(&late).is_err(), "60 seconds");
}

/// libx264 with `pic-struct=1:nal-hrd=vbr`, and a picture timing message by hand: ffprobe prints `timecode=11:56:34:07`.
#[test]
fn timecodes_of_h264_are_read_as_the_vui_says() {
    let sps = unhex("6742c00dda109b01100000030010000003032602001e840007a12930803e285540");
    let form = h264::SpsInfo::parse(&sps).unwrap().vui.picture_timing;
    assert_eq!(form, h264::PictureTiming { delay_bits: Some((13, 5)), time_offset_bits: 0, has_pic_struct: true });
    let nal = unhex("0601080011024101e2e17080");
    let sei = sei(&nal, 1);
    let message = sei.messages().next().unwrap().unwrap();
    assert_eq!(message.payload_type, PICTURE_TIMING);
    assert_eq!(h264::timecode(message.payload, form).unwrap().unwrap().to_string(), "11:56:34:07");
    truncations(message.payload, |truncated| assert!(h264::timecode(truncated, form).is_err()));
    // Without pic_struct nothing is there; with pic_struct 9 it is broken.
    let plain = h264::PictureTiming { has_pic_struct: false, ..form };
    assert_eq!(h264::timecode(message.payload, plain), Ok(None));
    let none = h264::PictureTiming { delay_bits: None, ..form };
    assert!(h264::timecode(&[0x90], none).is_err());
    assert_eq!(h264::timecode(&[0x30, 0], none), Ok(None), "two clocks, none there");
}

#[test]
fn recovery_points_of_both_kinds() {
    let h264 = RecoveryPoint::parse_h264(&BitWriter::default().ue(12).u(2, 0b10).u(2, 0).nal());
    assert_eq!(h264, Ok(RecoveryPoint { count: 12, exact_match: true, broken_link: false }));
    let h265 = RecoveryPoint::parse_h265(&BitWriter::default().se(-3).u(2, 0b01).nal());
    assert_eq!(h265, Ok(RecoveryPoint { count: -3, exact_match: false, broken_link: true }));
    assert!(RecoveryPoint::parse_h264(&[]).is_err() && RecoveryPoint::parse_h265(&[0]).is_err());
}

#[test]
fn mutated_messages_never_panic_and_are_found_both_ways() {
    let form = h264::PictureTiming { delay_bits: Some((13, 5)), time_offset_bits: 0, has_pic_struct: true };
    mutations(0x5e1, 100_000, &[&unhex(H264), &unhex("0601080011024101e2e17080")], |nal| {
        let Ok(sei) = Sei::read(nal, 1) else { return };
        for message in sei.messages().flatten() {
            let _ = RegisteredUserData::parse(message.payload).map(|data| match data {
                RegisteredUserData::Captions(captions) => captions.pairs().count(),
                _ => 0,
            });
            drop((Timecode::parse_h265(message.payload), h264::timecode(message.payload, form)));
            drop((RecoveryPoint::parse_h264(message.payload), RecoveryPoint::parse_h265(message.payload)));
            Hdr::default().note(message);
            assert!(
                message.payload.is_empty()
                    || has_message(nal, 1, message.payload_type)
                    || has_empty(&sei, message.payload_type)
            );
        }
    });
}

/// Whether a message of this type without bytes comes first: it ends the search for one with bytes.
fn has_empty(sei: &Sei, payload_type: u32) -> bool {
    let first = sei.messages().flatten().find(|message| message.payload_type == payload_type);
    first.is_some_and(|message| message.payload.is_empty())
}
