//! The ciphers: AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1) and in Galois counter mode (RFC 7714), where the packet lies.

use std::fmt;

use aws_lc_rs::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce},
    cipher::{EncryptingKey, EncryptionContext},
    constant_time::verify_slices_are_equal,
    hmac,
    iv::FixedLength,
};

use super::{ENCRYPTED, RTCP_HEADER_BYTES, SrtpError, TAG_BYTES_MAX, TRAILER_BYTES, rtcp_source};

/// The keys for RTP or RTCP of one way.
pub(super) enum Cipher {
    /// Boxed, for it is three times as large.
    Counter(Box<Counter>),
    Galois(Galois),
}

/// Keys of counter mode.
pub(super) struct Counter {
    pub(super) key: EncryptingKey,
    /// With two zeros behind it.
    pub(super) salt: u128,
    pub(super) authentication: hmac::Key,
    pub(super) tag_bytes: usize,
}

/// Keys of Galois counter mode.
pub(super) struct Galois {
    pub(super) key: LessSafeKey,
    pub(super) salt: [u8; NONCE_LEN],
}

impl Cipher {
    /// Seals the packet that stands in `out` from `from` on, behind a header of so many bytes. The name of the key stands in front of the
    /// tag in counter mode (RFC 3711 §3.1), and behind it in the other (RFC 7714 §8.2).
    pub(super) fn seal_rtp(
        &self,
        (ssrc, index): (u32, u64),
        out: &mut Vec<u8>,
        from: usize,
        header_bytes: usize,
        mki: &[u8],
    ) -> Result<(), SrtpError> {
        let packet = out.get_mut(from..).ok_or(SrtpError::Malformed)?;
        let (header, payload) = packet.split_at_mut_checked(header_bytes).ok_or(SrtpError::Malformed)?;
        match self {
            Self::Galois(galois) => {
                let tag =
                    galois.key.seal_in_place_separate_tag(galois.nonce(ssrc, index), Aad::from(&*header), payload)?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(mki);
            }
            Self::Counter(counter) => {
                counter.apply(ssrc, index, payload)?;
                let tag = counter.sign([packet, &rollover(index)]);
                out.extend_from_slice(mki);
                out.extend_from_slice(counter.cut(&tag));
            }
        }
        Ok(())
    }

    /// What is in a packet whose name of the key is ours. `index`: what the packet's number stands for.
    pub(super) fn open_rtp(
        &self,
        (ssrc, index): (u32, u64),
        packet: &[u8],
        header_bytes: usize,
        mki: &[u8],
    ) -> Result<Vec<u8>, SrtpError> {
        match self {
            Self::Galois(galois) => {
                let sealed = packet.strip_suffix(mki).ok_or(SrtpError::Forged)?;
                let (body, tag) = split_tag(sealed, TAG_BYTES_MAX)?;
                galois.open(galois.nonce(ssrc, index), &[], (body, header_bytes), tag)
            }
            Self::Counter(counter) => {
                let (signed, tag) = split_tag(packet, counter.tag_bytes)?;
                let body = signed.strip_suffix(mki).ok_or(SrtpError::Forged)?;
                counter.check([body, &rollover(index)], tag)?;
                let mut plain = body.to_vec();
                counter.apply(ssrc, index, plain.get_mut(header_bytes..).ok_or(SrtpError::Malformed)?)?;
                Ok(plain)
            }
        }
    }

    /// Seals the RTCP that stands in `out` from `from` on.
    pub(super) fn seal_rtcp(&self, index: u32, out: &mut Vec<u8>, from: usize, mki: &[u8]) -> Result<(), SrtpError> {
        let trailer = (index | ENCRYPTED).to_be_bytes();
        let packet = out.get_mut(from..).ok_or(SrtpError::Malformed)?;
        let (header, body) = packet.split_at_mut_checked(RTCP_HEADER_BYTES).ok_or(SrtpError::Malformed)?;
        let ssrc = rtcp_source(header).ok_or(SrtpError::Malformed)?;
        match self {
            Self::Galois(galois) => {
                let aad = Aad::from(with_trailer(header, trailer));
                let tag = galois.key.seal_in_place_separate_tag(galois.nonce(ssrc, index.into()), aad, body)?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&trailer);
                out.extend_from_slice(mki);
            }
            Self::Counter(counter) => {
                counter.apply(ssrc, index.into(), body)?;
                out.extend_from_slice(&trailer);
                let tag = counter.sign([out.get(from..).unwrap_or_default(), &[]]);
                out.extend_from_slice(mki);
                out.extend_from_slice(counter.cut(&tag));
            }
        }
        Ok(())
    }

    /// The source, the number and the packets without what was added.
    pub(super) fn open_rtcp(&self, packet: &[u8], mki: &[u8]) -> Result<(u32, u32, Vec<u8>), SrtpError> {
        match self {
            Self::Galois(galois) => galois.open_rtcp(packet, mki),
            Self::Counter(counter) => counter.open_rtcp(packet, mki),
        }
    }
}

impl Counter {
    /// Encrypts, or decrypts (§4.1.1): the salt with the source and the number of the packet in it, and two bytes that count blocks.
    fn apply(&self, ssrc: u32, index: u64, body: &mut [u8]) -> Result<(), SrtpError> {
        if body.is_empty() {
            return Ok(());
        }
        let number = self.salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        let context = EncryptionContext::Iv128(FixedLength::from(number.to_be_bytes()));
        self.key.less_safe_encrypt(body, context)?;
        Ok(())
    }

    fn sign(&self, parts: [&[u8]; 2]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.authentication);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    /// What of a tag is sent (§4.2.1).
    fn cut<'a>(&self, tag: &'a hmac::Tag) -> &'a [u8] {
        tag.as_ref().get(..self.tag_bytes).unwrap_or_default()
    }

    /// In constant time.
    fn check(&self, parts: [&[u8]; 2], tag: &[u8]) -> Result<(), SrtpError> {
        verify_slices_are_equal(self.cut(&self.sign(parts)), tag).map_err(|_| SrtpError::Forged)
    }

    fn open_rtcp(&self, packet: &[u8], mki: &[u8]) -> Result<(u32, u32, Vec<u8>), SrtpError> {
        let (front, tag) = split_tag(packet, self.tag_bytes)?;
        let signed = front.strip_suffix(mki).ok_or(SrtpError::Forged)?;
        self.check([signed, &[]], tag)?;
        let (body, trailer) = split_trailer(signed)?;
        let ssrc = rtcp_source(body).ok_or(SrtpError::Malformed)?;
        let (mut plain, index) = (body.to_vec(), trailer & !ENCRYPTED);
        // What is only signed is allowed (§3.4).
        if trailer & ENCRYPTED != 0 {
            self.apply(ssrc, index.into(), plain.get_mut(RTCP_HEADER_BYTES..).unwrap_or_default())?;
        }
        Ok((ssrc, index, plain))
    }
}

impl Galois {
    /// RFC 7714 §8.1, §9.1: two zeros, the source, and six bytes of the number of the packet; that of RTCP has two zeros in front.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let number = u128::from(ssrc) << 48 | u128::from(index & 0xffff_ffff_ffff);
        let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
        let mut nonce = self.salt;
        nonce.iter_mut().zip(bytes).for_each(|(place, byte)| *place ^= byte);
        Nonce::assume_unique_for_key(nonce)
    }

    /// The packet, opened while it is copied; what is authenticated is its header, with `behind`.
    fn open(
        &self,
        nonce: Nonce,
        behind: &[u8],
        (packet, header_bytes): (&[u8], usize),
        tag: &[u8],
    ) -> Result<Vec<u8>, SrtpError> {
        let (header, body) = packet.split_at_checked(header_bytes).ok_or(SrtpError::Malformed)?;
        let mut plain = vec![0; packet.len()];
        let (head, out) = plain.split_at_mut_checked(header_bytes).ok_or(SrtpError::Malformed)?;
        head.copy_from_slice(header);
        let opened = if behind.is_empty() {
            self.key.open_separate_gather(nonce, Aad::from(header), body, tag, out)
        } else {
            self.key.open_separate_gather(nonce, Aad::from([header, behind].concat()), body, tag, out)
        };
        opened.map_err(|_| SrtpError::Forged)?;
        Ok(plain)
    }

    fn open_rtcp(&self, packet: &[u8], mki: &[u8]) -> Result<(u32, u32, Vec<u8>), SrtpError> {
        let front = packet.strip_suffix(mki).ok_or(SrtpError::Forged)?;
        let (sealed, trailer) = split_trailer(front)?;
        let (body, tag) = split_tag(sealed, TAG_BYTES_MAX)?;
        let ssrc = rtcp_source(body).ok_or(SrtpError::Malformed)?;
        let index = trailer & !ENCRYPTED;
        // RFC 7714 §9.3: what is only signed is authenticated as a whole.
        let header_bytes = if trailer & ENCRYPTED != 0 { RTCP_HEADER_BYTES } else { body.len() };
        let nonce = self.nonce(ssrc, index.into());
        let plain = self.open(nonce, &trailer.to_be_bytes(), (body, header_bytes), tag)?;
        Ok((ssrc, index, plain))
    }
}

/// §4.2: how often the numbers have wrapped is authenticated, and not sent.
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §9.2: the header, and the number that stands at the end.
fn with_trailer(header: &[u8], trailer: [u8; TRAILER_BYTES]) -> [u8; RTCP_HEADER_BYTES + TRAILER_BYTES] {
    let mut data = [0; RTCP_HEADER_BYTES + TRAILER_BYTES];
    data.iter_mut().zip(header.iter().chain(&trailer)).for_each(|(place, byte)| *place = *byte);
    data
}

fn split_tag(packet: &[u8], tag_bytes: usize) -> Result<(&[u8], &[u8]), SrtpError> {
    let at = packet.len().checked_sub(tag_bytes).ok_or(SrtpError::Malformed)?;
    packet.split_at_checked(at).ok_or(SrtpError::Malformed)
}

fn split_trailer(packet: &[u8]) -> Result<(&[u8], u32), SrtpError> {
    let (front, trailer) = packet.split_last_chunk::<TRAILER_BYTES>().ok_or(SrtpError::Malformed)?;
    Ok((front, u32::from_be_bytes(*trailer)))
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}
