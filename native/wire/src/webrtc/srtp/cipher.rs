//! The ciphers: AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1) and in Galois counter mode (RFC 7714).

use std::fmt;

use aws_lc_rs::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce},
    cipher::{EncryptingKey, EncryptionContext},
    constant_time::verify_slices_are_equal,
    hmac,
    iv::FixedLength,
};

/// What of a packet of RTCP is never encrypted: its first header and the source behind it.
pub(super) const RTCP_HEADER_BYTES: usize = 8;
/// The number of a packet of SRTCP, and whether it is encrypted.
const INDEX_BYTES: usize = 4;
const HMAC_TAG_BYTES: usize = 10;
const GCM_TAG_BYTES: usize = 16;
/// What SRTP adds to a packet at most.
pub(crate) const TAG_BYTES_MAX: usize = GCM_TAG_BYTES;

/// Bytes of a salt in counter mode.
pub(super) const SALT_BYTES: usize = 14;

/// The keys of one way.
pub(super) enum Cipher {
    /// Boxed, for it is three times as large and rare: nearly everybody offers the other.
    Counter(Box<Counter>),
    Galois {
        key: LessSafeKey,
        salt: [u8; NONCE_LEN],
    },
}

/// Keys of counter mode.
pub(super) struct Counter {
    pub(super) key: EncryptingKey,
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) authentication: hmac::Key,
}

impl Cipher {
    pub(super) fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        out: &mut Vec<u8>,
        from: usize,
        header_bytes: usize,
    ) -> Option<()> {
        let (header, payload) = out.get_mut(from..)?.split_at_mut_checked(header_bytes)?;
        match self {
            Self::Galois { key, salt } => {
                // RFC 7714 §8.1: two zeros, the source, the rollover counter and the sequence number.
                let nonce = nonce(
                    salt,
                    [[0; 2], halves(ssrc).0, halves(ssrc).1, pair(index, 32), pair(index, 16), pair(index, 0)],
                );
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload).ok()?;
                out.extend_from_slice(tag.as_ref());
            }
            Self::Counter(counter) => {
                counter.apply(ssrc, index, payload)?;
                let mut tag = hmac::Context::with_key(&counter.authentication);
                tag.update(header);
                tag.update(payload);
                // §4.2: the rollover counter is authenticated, and not sent.
                tag.update(&((index >> 16) as u32).to_be_bytes());
                out.extend_from_slice(tag.sign().as_ref().get(..HMAC_TAG_BYTES)?);
            }
        }
        Some(())
    }

    pub(super) fn seal_rtcp(&self, index: u32, out: &mut Vec<u8>) -> Option<()> {
        let word = (index | super::ENCRYPTED).to_be_bytes();
        let (header, body) = out.split_at_mut_checked(RTCP_HEADER_BYTES)?;
        let ssrc = source(header)?;
        match self {
            Self::Galois { key, salt } => {
                let aad = authenticated(header, word)?;
                let tag = key.seal_in_place_separate_tag(rtcp_nonce(salt, ssrc, index), aad, body).ok()?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&word);
            }
            Self::Counter(counter) => {
                counter.apply(ssrc, index.into(), body)?;
                out.extend_from_slice(&word);
                let tag = hmac::sign(&counter.authentication, out);
                out.extend_from_slice(tag.as_ref().get(..HMAC_TAG_BYTES)?);
            }
        }
        Some(())
    }

    /// The source, the number with its flag, and the packets without what SRTCP has added.
    pub(super) fn open_rtcp(&self, datagram: &[u8]) -> Option<(u32, u32, Vec<u8>)> {
        match self {
            Self::Galois { key, salt } => {
                let (sealed, word) = datagram.split_last_chunk::<INDEX_BYTES>()?;
                let number = encrypted(*word)?;
                let (header, _) = sealed.split_at_checked(RTCP_HEADER_BYTES)?;
                let ssrc = source(header)?;
                let mut plain = sealed.to_vec();
                let nonce = rtcp_nonce(salt, ssrc, number & !super::ENCRYPTED);
                let body = plain.get_mut(RTCP_HEADER_BYTES..)?;
                let bytes = key.open_in_place(nonce, authenticated(header, *word)?, body).ok()?.len();
                plain.truncate(RTCP_HEADER_BYTES + bytes);
                Some((ssrc, number, plain))
            }
            Self::Counter(counter) => {
                let (signed, tag) = datagram.split_last_chunk::<HMAC_TAG_BYTES>()?;
                let expected = hmac::sign(&counter.authentication, signed);
                verify_slices_are_equal(expected.as_ref().get(..HMAC_TAG_BYTES)?, tag).ok()?;
                let (sealed, word) = signed.split_last_chunk::<INDEX_BYTES>()?;
                let number = encrypted(*word)?;
                let ssrc = source(sealed)?;
                let mut plain = sealed.to_vec();
                let body = plain.get_mut(RTCP_HEADER_BYTES..)?;
                counter.apply(ssrc, (number & !super::ENCRYPTED).into(), body)?;
                Some((ssrc, number, plain))
            }
        }
    }
}

impl Counter {
    /// Encrypts, or decrypts (RFC 3711 §4.1.1): the salt with the source and the number of the packet in it, and two bytes that count blocks.
    fn apply(&self, ssrc: u32, index: u64, body: &mut [u8]) -> Option<()> {
        if body.is_empty() {
            return Some(());
        }
        let number = u128::from(ssrc) << 64 | u128::from(index) << 16;
        let context = EncryptionContext::Iv128(FixedLength::from((block(&self.salt) ^ number).to_be_bytes()));
        self.key.less_safe_encrypt(body, context).ok().map(drop)
    }
}

/// A salt and room for counting blocks.
pub(super) fn block(salt: &[u8; SALT_BYTES]) -> u128 {
    salt.iter().fold(0, |block, byte| block << 8 | u128::from(*byte)) << 16
}

/// RFC 7714 §9.1: two zeros, the source, two zeros and the number of the packet.
fn rtcp_nonce(salt: &[u8; NONCE_LEN], ssrc: u32, index: u32) -> Nonce {
    let ((s0, s1), (i0, i1)) = (halves(ssrc), halves(index));
    nonce(salt, [[0; 2], s0, s1, [0; 2], i0, i1])
}

fn nonce(salt: &[u8; NONCE_LEN], pairs: [[u8; 2]; NONCE_LEN / 2]) -> Nonce {
    let mut nonce = *salt;
    nonce.iter_mut().zip(pairs.as_flattened()).for_each(|(place, byte)| *place ^= byte);
    Nonce::assume_unique_for_key(nonce)
}

fn halves(number: u32) -> ([u8; 2], [u8; 2]) {
    (pair(number.into(), 16), pair(number.into(), 0))
}

fn pair(number: u64, shift: u32) -> [u8; 2] {
    ((number >> shift) as u16).to_be_bytes()
}

/// RFC 7714 §9.2: the header, and the number that stands at the end.
fn authenticated(header: &[u8], word: [u8; INDEX_BYTES]) -> Option<Aad<[u8; RTCP_HEADER_BYTES + INDEX_BYTES]>> {
    let mut data = [0; RTCP_HEADER_BYTES + INDEX_BYTES];
    let (front, back) = data.split_first_chunk_mut::<RTCP_HEADER_BYTES>()?;
    *front = *header.first_chunk()?;
    back.copy_from_slice(&word);
    Some(Aad::from(data))
}

/// Everybody encrypts RTCP: what is only signed is refused.
fn encrypted(word: [u8; INDEX_BYTES]) -> Option<u32> {
    Some(u32::from_be_bytes(word)).filter(|word| word & super::ENCRYPTED != 0)
}

fn source(rtcp: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*rtcp.get(4..)?.first_chunk()?))
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_128_GCM, UnboundKey};

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
    }

    fn galois() -> Cipher {
        let key: Vec<u8> = (0..16).collect();
        Cipher::Galois {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()),
            salt: hex("51756964 2070726f 2071756f").try_into().unwrap(),
        }
    }

    /// RFC 7714 §16.1.1.
    #[test]
    fn a_packet_is_sealed_as_the_standard_shows() {
        let header = hex("8040f17b 8041f8d3 5501a0b2");
        let mut packet = [&header[..], b"Gallia est omnis divisa in partes tres"].concat();
        galois().seal_rtp(0x5501_a0b2, 0xf17b, &mut packet, 0, 12).unwrap();
        let sealed = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
            51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
        assert_eq!(packet, hex(sealed));
    }

    /// A packet in front of it in the same buffer is none of its business.
    #[test]
    fn a_packet_is_sealed_behind_others() {
        let mut alone = vec![0x80; 50];
        let mut behind = [vec![1; 7], alone.clone()].concat();
        galois().seal_rtp(1, 2, &mut alone, 0, 12).unwrap();
        galois().seal_rtp(1, 2, &mut behind, 7, 12).unwrap();
        assert_eq!(behind[7..], alone);
        assert_eq!(galois().seal_rtp(1, 2, &mut behind, 0, 1000), None);
    }
}
