//! SEI messages of the three codecs.

use arcly_codec::{
    Hdr, h264,
    sei::{Message, RecoveryPoint, RegisteredUserData, Sei, Timecode, has_message, unregistered_user_data},
};

use super::Target;
use crate::{avc::unhex, mutate::Input};

pub const TARGET: Target = Target { name: "sei", vectors, edit: None, buffered_bytes_max: 65_535, run };

/// H.265: time code, captions, active format, mastering display, content light level, user data. H.264: picture timing; a
/// recovery point behind user data with an emulation prevention byte.
const VECTORS: [&str; 3] = [
    "4e0188066240645c2c100411b500314741393403c2fffc9420fd8080ff0409b500314454473141fa891833c286c41d4c0bb884d03e803d134042\
     009896800000030032900403e801900512000102030405060708090a0b0c0d0e0f686980",
    "0601080011024101e2e17080",
    "06050606010000030106 06 01 c4 80",
];

fn vectors() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|vector| unhex(vector)).collect()
}

fn run(input: &Input) -> usize {
    let timing = h264::PictureTiming { delay_bits: Some((13, 5)), time_offset_bits: 0, has_pic_struct: true };
    let mut held = 0;
    for header_bytes in [1, 2] {
        let Ok(sei) = Sei::read(&input.bytes, header_bytes) else { continue };
        held = input.bytes.len();
        let messages: Vec<Message<'_>> = sei.messages().flatten().collect();
        let errors = sei.messages().filter(Result::is_err).count();
        assert!(errors <= 1, "behind an error there is nothing more");
        messages.iter().for_each(|message| check_message(*message, timing));
        // Each search begins at the first.
        (0..messages.len().min(16)).for_each(|index| check_search(&input.bytes, header_bytes, &messages, index));
    }
    held
}

/// The search that unwraps nothing finds the first message of a type, if it has bytes.
fn check_search(nal: &[u8], header_bytes: usize, messages: &[Message<'_>], index: usize) {
    let Some(message) = messages.get(index) else { return };
    let is_same = |other: &&Message<'_>| other.payload_type == message.payload_type;
    let first_has_bytes = messages.iter().find(is_same).is_some_and(|first| !first.payload.is_empty());
    assert_eq!(has_message(nal, header_bytes, message.payload_type), first_has_bytes, "{message:?}");
}

fn check_message(message: Message<'_>, timing: h264::PictureTiming) {
    let payload = message.payload;
    if let Some(RegisteredUserData::Captions(captions)) = RegisteredUserData::parse(payload) {
        assert!(captions.pairs().count() <= 31, "cc_count has five bits");
    }
    assert_eq!(unregistered_user_data(payload).is_some(), payload.len() >= 16);
    for timecode in [Timecode::parse_h265(payload), h264::timecode(payload, timing)].into_iter().flatten().flatten() {
        assert!(timecode.hours < 24 && timecode.minutes < 60 && timecode.seconds < 60, "{timecode}");
    }
    let _ = (RecoveryPoint::parse_h264(payload), RecoveryPoint::parse_h265(payload));
    Hdr::default().note(message);
}
