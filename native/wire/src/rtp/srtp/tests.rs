//! Vectors of RFC 3711, packets there and back, and everything that is not believed.

use super::{
    derive::{SessionKeys, Use},
    *,
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn key() -> Key {
    Key::new(Suite::Aes128Tag80, &bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6")).unwrap()
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let header = crate::rtp::Header { sequence, ssrc: 0x1234_5678, payload_type: 96, ..Default::default() };
    [&header.to_bytes()[..], payload].concat()
}

/// §B.3: cipher key and salt; the key stream of the derived key is what shows them (an all-zero packet of an all-zero source).
#[test]
fn keys_are_derived_as_the_specification_shows() {
    let keys = SessionKeys::derive(&key(), Use::Rtp).unwrap();
    let expected = {
        let cipher = bytes("C61E7A93744F39EE10734AFE3FF7A087");
        let salt = bytes("30CBBC08863D8C85D49DB34A9AE1");
        let block = aws_lc_rs::cipher::EncryptingKey::ctr(
            aws_lc_rs::cipher::UnboundCipherKey::new(&aws_lc_rs::cipher::AES_128, &cipher).unwrap(),
        );
        let iv: [u8; 16] = [salt, vec![0, 0]].concat().try_into().unwrap();
        let mut out = [0; 32];
        let context = aws_lc_rs::cipher::EncryptionContext::Iv128(iv.into());
        block.unwrap().less_safe_encrypt(&mut out, context).unwrap();
        out
    };
    let mut stream = [0; 32];
    keys.apply(0, 0, &mut stream).unwrap();
    assert_eq!(stream, expected);
    let auth = bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    let right = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
    assert_eq!(keys.sign([b"a", b"b"]).as_ref(), aws_lc_rs::hmac::sign(&right, b"ab").as_ref());
}

/// The packets that libsrtp validates itself with (`srtp_driver`), whose key is that of §B.3.
#[test]
fn packets_are_those_of_the_reference_library() {
    let plain = bytes("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sealed = bytes("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb");
    let mut out = Vec::new();
    Sealer::new(&key()).unwrap().rtp(&plain, &mut out).unwrap();
    assert_eq!(out, sealed);
    assert_eq!(Opener::new(&key()).unwrap().rtp(&sealed).unwrap(), plain);
}

#[test]
fn packets_come_back_with_every_suite_and_over_a_wrap() {
    for suite in Suite::ALL {
        let key = Key::random(suite).unwrap().with_mki(vec![1, 2, 3, 4]);
        let (mut sealer, mut opener) = (Sealer::new(&key).unwrap(), Opener::new(&key).unwrap());
        for number in 65_500..65_600_u32 {
            let plain = packet(number as u16, &number.to_be_bytes());
            let mut sealed = Vec::new();
            sealer.rtp(&plain, &mut sealed).unwrap();
            assert_eq!(sealed.len(), plain.len() + 4 + suite.tag_bytes());
            assert_ne!(sealed[12..16], plain[12..16]);
            assert_eq!(opener.rtp(&sealed).unwrap(), plain);
            assert_eq!(opener.rtp(&sealed), Err(SrtpError::Replayed));
            let report = [&[0x80, 201, 0, 1][..], &[9; 4], &[7; 8]].concat();
            let mut sealed = Vec::new();
            sealer.rtcp(&report, &mut sealed).unwrap();
            assert_eq!(opener.rtcp(&sealed).unwrap(), report);
            assert_eq!(opener.rtcp(&sealed), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn the_header_stays_readable_with_sources_and_extensions() {
    let plain =
        [&[0x92, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5][..], &[1; 8], &[0xbe, 0xde, 0, 1, 0x10, 7, 0, 0], b"payload"]
            .concat();
    let mut sealed = Vec::new();
    Sealer::new(&key()).unwrap().rtp(&plain, &mut sealed).unwrap();
    assert_eq!((&sealed[..28], &plain[28..]), (&plain[..28], &b"payload"[..]));
    assert_ne!(&sealed[28..35], b"payload");
    assert_eq!(Opener::new(&key()).unwrap().rtp(&sealed).unwrap(), plain);
}

#[test]
fn what_was_changed_anywhere_is_not_believed() {
    let (mut rtp, mut rtcp) = (Vec::new(), Vec::new());
    let mut sealer = Sealer::new(&key()).unwrap();
    sealer.rtp(&packet(7, b"payload"), &mut rtp).unwrap();
    sealer.rtcp(&[&[0x80, 200, 0, 6][..], &[3; 24]].concat(), &mut rtcp).unwrap();
    for (sealed, is_rtcp) in [(rtp, false), (rtcp, true)] {
        let open = |bytes: &[u8]| {
            let mut opener = Opener::new(&key()).unwrap();
            if is_rtcp { opener.rtcp(bytes) } else { opener.rtp(bytes) }
        };
        assert!(open(&sealed).is_ok());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&changed).is_err(), "{bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(&sealed[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn who_comes_late_is_told_how_often_the_numbers_have_wrapped() {
    let mut sealer = Sealer::new(&key()).unwrap();
    let mut sealed = Vec::new();
    for number in [0, 30_000, 60_000, 65_535, 5_u16] {
        sealed.clear();
        sealer.rtp(&packet(number, b"payload"), &mut sealed).unwrap();
    }
    assert_eq!(Opener::new(&key()).unwrap().rtp(&sealed), Err(SrtpError::Forged));
    for ssrc in [0x1234_5678, 0] {
        let mut told = Opener::new(&key()).unwrap().with_rollovers(&[(ssrc, 1)]);
        assert!(told.rtp(&sealed).is_ok());
    }
}

/// Found by reading: numbers that jumped by half a cycle were sealed under indexes that had been used.
#[test]
fn nothing_is_ever_sealed_twice_under_one_index() {
    let mut seen = std::collections::HashSet::new();
    for numbers in [&[100_u16, 40_000, 40_001, 40_001, 100][..], &[65_000, 100, 40_000, 60_000, 20_000, 52_000]] {
        let (mut sealer, mut opener) = (Sealer::new(&key()).unwrap(), Opener::new(&key()).unwrap());
        seen.clear();
        for number in numbers {
            // The same contents: the same bytes behind the header would be the same keystream.
            let (plain, mut sealed) = (packet(*number, &[7; 32]), Vec::new());
            match sealer.rtp(&plain, &mut sealed) {
                Ok(()) => {
                    assert!(seen.insert(sealed[12..44].to_vec()), "{number}");
                    assert_eq!(opener.rtp(&sealed).unwrap(), plain);
                }
                Err(error) => assert_eq!((error, sealed.len()), (SrtpError::Replayed, 0), "{number}"),
            }
        }
        assert!(seen.len() >= 3);
    }
}

#[test]
fn sources_under_one_key_are_bounded() {
    let (mut sealer, mut opener) = (Sealer::new(&key()).unwrap(), Opener::new(&key()).unwrap());
    for ssrc in 0..=SOURCES_MAX as u32 {
        let header = crate::rtp::Header { ssrc, ..Default::default() }.to_bytes();
        let mut sealed = Vec::new();
        let outcome = sealer.rtp(&header, &mut sealed);
        if ssrc < SOURCES_MAX as u32 {
            outcome.unwrap();
            opener.rtp(&sealed).unwrap();
        } else {
            assert_eq!(outcome, Err(SrtpError::TooManySources));
        }
    }
}

#[test]
fn a_key_is_not_shown_and_has_the_length_of_its_suite() {
    assert_eq!(format!("{:?}", key()), "Key { suite: Aes128Tag80, .. }");
    assert!(Key::new(Suite::Aes256Tag80, &key().to_bytes()).is_err());
    assert!(Key::new(Suite::Aes128Tag80, &[0; 31]).is_err());
}
