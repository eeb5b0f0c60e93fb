//! From the handshake to the keys of a session (RFC 5764 §4.2, RFC 3711 §4.3).

use std::fmt;

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use str0m::crypto::dtls::SrtpProfile;

use super::cipher::{Cipher, Counter, SALT_BYTES, block};

/// What keys are for: the first of the three labels of RFC 3711 §4.3.2 (key, authentication, salt).
pub(super) const RTP: u8 = 0;
pub(super) const RTCP: u8 = 3;

const AUTHENTICATION_BYTES: usize = 20;

/// Whose packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Peer,
}

/// What the handshake has agreed on.
pub(crate) struct Keys {
    profile: SrtpProfile,
    /// The keys of the client and of the server, then their salts.
    material: Vec<u8>,
    is_client: bool,
}

impl Keys {
    /// `is_client`: whether we have begun the handshake.
    pub(crate) fn new(profile: SrtpProfile, material: &[u8], is_client: bool) -> Self {
        Self { profile, material: material.to_vec(), is_client }
    }

    /// The cipher for packets of one side; `None` for a profile that is none of ours.
    pub(super) fn cipher(&self, label: u8, side: Side) -> Option<Cipher> {
        let (key_bytes, salt_bytes) = match self.profile {
            SrtpProfile::AES128_CM_SHA1_80 => (16, SALT_BYTES),
            SrtpProfile::AEAD_AES_128_GCM => (16, NONCE_LEN),
            SrtpProfile::AEAD_AES_256_GCM => (32, NONCE_LEN),
            _ => return None,
        };
        let second = usize::from(self.is_client != (side == Side::Ours));
        let key = self.material.get(second * key_bytes..)?.get(..key_bytes)?;
        let salt = self.material.get(2 * key_bytes + second * salt_bytes..)?.get(..salt_bytes)?;
        let derived = |label, bytes| derive(key, salt, label, bytes);
        if self.profile == SrtpProfile::AES128_CM_SHA1_80 {
            return Some(Cipher::Counter(Box::new(Counter {
                key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &derived(label, key_bytes)?).ok()?).ok()?,
                authentication: hmac::Key::new(
                    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    &derived(label + 1, AUTHENTICATION_BYTES)?,
                ),
                salt: derived(label + 2, SALT_BYTES)?.try_into().ok()?,
            })));
        }
        let algorithm = if key_bytes == 16 { &AES_128_GCM } else { &AES_256_GCM };
        Some(Cipher::Galois {
            key: LessSafeKey::new(UnboundKey::new(algorithm, &derived(label, key_bytes)?).ok()?),
            salt: derived(label + 2, NONCE_LEN)?.try_into().ok()?,
        })
    }
}

/// The pseudo-random function of RFC 3711 §4.3.3: the key stream of AES at the salt with the label in it. A salt of twelve bytes has two
/// zeros behind it (RFC 7714 §11).
fn derive(key: &[u8], salt: &[u8], label: u8, bytes: usize) -> Option<Vec<u8>> {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let cipher = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let mut whole = [0; SALT_BYTES];
    whole.get_mut(..salt.len())?.copy_from_slice(salt);
    // §4.3.1: the label stands in front of 48 bits for the number of a packet, which are 0 where keys are derived but once.
    let begin = block(&whole) ^ u128::from(label) << (48 + 16);
    let mut stream = vec![0; bytes];
    cipher.less_safe_encrypt(&mut stream, EncryptionContext::Iv128(FixedLength::from(begin.to_be_bytes()))).ok()?;
    Some(stream)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 3711 B.3.
    #[test]
    fn keys_are_derived_as_the_standard_shows() {
        let (key, salt) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
        assert_eq!(derive(&key, &salt, 0, 16).unwrap(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derive(&key, &salt, 2, 14).unwrap(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derive(&key, &salt, 1, 20).unwrap(), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn too_little_material_makes_no_keys() {
        for bytes in 0..60 {
            let keys = Keys::new(SrtpProfile::AES128_CM_SHA1_80, &vec![1; bytes], false);
            assert!(keys.cipher(RTP, Side::Peer).is_none() || keys.cipher(RTP, Side::Ours).is_none(), "{bytes}");
        }
    }
}
