//! Vectors of RFC 3711, packets there and back, and everything that is not believed.

use super::*;

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn key() -> Key {
    Key::new(Suite::Aes128Tag80, &bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6")).unwrap()
}

/// The packet, sealed.
fn rtp(sealer: &mut Sealer, plain: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut out = plain.to_vec();
    let outcome = sealer.rtp(&mut out, 0);
    assert_eq!(outcome.is_err(), out.is_empty());
    outcome.map(|()| out)
}

fn rtcp(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut out = plain.to_vec();
    sealer.rtcp(&mut out, 0).unwrap();
    out
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let header = crate::rtp::Header { sequence, ssrc: 0x1234_5678, payload_type: 96, ..Default::default() };
    [&header.to_bytes()[..], payload].concat()
}

/// The packets that libsrtp validates itself with (`srtp_driver`), whose key is that of §B.3.
#[test]
fn packets_are_those_of_the_reference_library() {
    let plain = bytes("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sealed = bytes("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb");
    assert_eq!(rtp(&mut Sealer::new(&key()).unwrap(), &plain).unwrap(), sealed);
    assert_eq!(Opener::new(&key()).unwrap().rtp(&sealed).unwrap(), plain);
}

/// RFC 7714 §16.1.1 and §16.2.1, whose keys are those of a session and not the master keys.
#[test]
fn packets_of_galois_counter_mode_are_those_of_the_standard() {
    let key: Vec<u8> = (0..32).collect();
    for (algorithm, key, sealed) in [
        (
            &aws_lc_rs::aead::AES_128_GCM,
            &key[..16],
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
            51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            &aws_lc_rs::aead::AES_256_GCM,
            &key[..],
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
            76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let cipher = cipher::Cipher::Galois(cipher::Galois {
            key: aws_lc_rs::aead::LessSafeKey::new(aws_lc_rs::aead::UnboundKey::new(algorithm, key).unwrap()),
            salt: bytes("51756964 2070726f 2071756f").try_into().unwrap(),
        });
        let header = bytes("8040f17b 8041f8d3 5501a0b2");
        let mut packet = [&header[..], b"Gallia est omnis divisa in partes tres"].concat();
        let plain = packet.clone();
        cipher.seal_rtp((0x5501_a0b2, 0xf17b), &mut packet, 0, 12, &[]).unwrap();
        assert_eq!(packet, bytes(sealed));
        assert_eq!(cipher.open_rtp((0x5501_a0b2, 0xf17b), &packet, 12, &[]).unwrap(), plain);
    }
}

/// Packets in front of it in the same buffer are none of its business.
#[test]
fn a_packet_is_sealed_behind_others() {
    for suite in Suite::ALL {
        let key = Key::random(suite).unwrap();
        let plain = packet(1, b"payload");
        let alone = rtp(&mut Sealer::new(&key).unwrap(), &plain).unwrap();
        let mut behind = [&[1; 7][..], &plain].concat();
        let mut sealer = Sealer::new(&key).unwrap();
        sealer.rtp(&mut behind, 7).unwrap();
        assert_eq!((&behind[..7], &behind[7..]), (&[1; 7][..], &alone[..]));
        behind.extend_from_slice(&plain);
        assert_eq!(sealer.rtp(&mut behind, 7 + alone.len()), Err(SrtpError::Replayed));
        assert_eq!(behind.len(), 7 + alone.len(), "what cannot be sealed is not left there");
        assert_eq!(sealer.numbered_rtp((1, 2), &mut behind, 0, 1000), Err(SrtpError::Malformed));
        assert_eq!(sealer.numbered_rtp((1, 1 << 48), &mut behind, 0, 12), Err(SrtpError::Exhausted));
    }
}

#[test]
fn packets_of_one_content_differ_by_their_numbers_beyond_what_the_header_has() {
    for suite in Suite::ALL {
        let sealer = Sealer::new(&Key::random(suite).unwrap()).unwrap();
        let sealed = |index| {
            let mut out = vec![0x80; 12 + 100];
            sealer.numbered_rtp((9, index), &mut out, 0, 12).unwrap();
            out
        };
        assert_eq!(sealed(5), sealed(5));
        assert_ne!(sealed(5), sealed(5 + (1 << 16)));
    }
}

#[test]
fn packets_come_back_with_every_suite_and_over_a_wrap() {
    for suite in Suite::ALL {
        let key = Key::random(suite).unwrap().with_mki(vec![1, 2, 3, 4]);
        let (mut sealer, mut opener) = (Sealer::new(&key).unwrap(), Opener::new(&key).unwrap());
        for number in 65_500..65_600_u32 {
            let plain = packet(number as u16, &number.to_be_bytes());
            let sealed = rtp(&mut sealer, &plain).unwrap();
            assert_eq!(sealed.len(), plain.len() + 4 + suite.tag_bytes());
            assert_ne!(sealed[12..16], plain[12..16]);
            assert_eq!(opener.rtp(&sealed).unwrap(), plain);
            assert_eq!(opener.rtp(&sealed), Err(SrtpError::Replayed));
            let report = [&[0x80, 201, 0, 1][..], &[9; 4], &[7; 8]].concat();
            let sealed = rtcp(&mut sealer, &report);
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
    let sealed = rtp(&mut Sealer::new(&key()).unwrap(), &plain).unwrap();
    assert_eq!((&sealed[..28], &plain[28..]), (&plain[..28], &b"payload"[..]));
    assert_ne!(&sealed[28..35], b"payload");
    assert_eq!(Opener::new(&key()).unwrap().rtp(&sealed).unwrap(), plain);
}

#[test]
fn what_was_changed_anywhere_is_not_believed() {
    for suite in [Suite::Aes128Tag80, Suite::Aes256Gcm] {
        let key = Key::random(suite).unwrap();
        let mut sealer = Sealer::new(&key).unwrap();
        let media = rtp(&mut sealer, &packet(7, b"payload")).unwrap();
        let report = rtcp(&mut sealer, &[&[0x80, 200, 0, 6][..], &[3; 24]].concat());
        for (sealed, is_rtcp) in [(media, false), (report, true)] {
            let open = |bytes: &[u8]| {
                let mut opener = Opener::new(&key).unwrap();
                if is_rtcp { opener.rtcp(bytes) } else { opener.rtp(bytes) }
            };
            assert!(open(&sealed).is_ok());
            for bit in 0..sealed.len() * 8 {
                let mut changed = sealed.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(open(&changed).is_err(), "{suite:?} {bit}");
            }
            for length in 0..sealed.len() {
                assert!(open(&sealed[..length]).is_err(), "{suite:?} {length}");
            }
        }
    }
}

#[test]
fn who_comes_late_is_told_how_often_the_numbers_have_wrapped() {
    let mut sealer = Sealer::new(&key()).unwrap();
    let mut sealed = Vec::new();
    for number in [0, 30_000, 60_000, 65_535, 5_u16] {
        sealed = rtp(&mut sealer, &packet(number, b"payload")).unwrap();
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
            let plain = packet(*number, &[7; 32]);
            match rtp(&mut sealer, &plain) {
                Ok(sealed) => {
                    assert!(seen.insert(sealed[12..44].to_vec()), "{number}");
                    assert_eq!(opener.rtp(&sealed).unwrap(), plain);
                }
                Err(error) => assert_eq!(error, SrtpError::Replayed, "{number}"),
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
        let outcome = rtp(&mut sealer, &header);
        if ssrc < SOURCES_MAX as u32 {
            opener.rtp(&outcome.unwrap()).unwrap();
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

/// RFC 3711 §9.2.
#[test]
fn a_key_seals_no_more_than_it_may() {
    let sealer = || Sealer::new(&key()).unwrap();
    let lifetime = Lifetime { rtp: 2, rtcp: 1 };
    let mut sealer_of_few = sealer().with_lifetime(lifetime);
    let packet = |ssrc, sequence| crate::rtp::Header { ssrc, sequence, ..Default::default() }.to_bytes();
    assert!(rtp(&mut sealer_of_few, &packet(1, 1)).is_ok());
    assert!(rtp(&mut sealer_of_few, &packet(2, 1)).is_ok());
    assert_eq!(rtp(&mut sealer_of_few, &packet(1, 2)), Err(SrtpError::Exhausted), "of all sources together");
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let mut out = report.to_vec();
    assert!(sealer_of_few.rtcp(&mut out, 0).is_ok());
    out = report.to_vec();
    assert_eq!(sealer_of_few.rtcp(&mut out, 0), Err(SrtpError::Exhausted));
    assert!(out.is_empty(), "nothing goes in the clear");
    let longer = Lifetime { rtp: u64::MAX, rtcp: u32::MAX };
    assert_eq!(sealer().with_lifetime(longer).lifetime(), Lifetime::MAX);
}
