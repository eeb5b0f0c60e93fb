//! From a master key to the keys of a session (RFC 3711 §4.3).

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, NONCE_LEN, UnboundKey},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};

use super::{
    Key, SALT_BYTES_MAX, SrtpError,
    cipher::{Cipher, Counter, Galois},
};

/// What keys are derived for: the first of three labels (§4.3.2), of the key, the authentication and the salt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    Rtp = 0,
    Rtcp = 3,
}

/// Bytes of a key of HMAC-SHA1 (§5.2).
const AUTH_KEY_BYTES: usize = 20;

/// The cipher for one of the two.
pub(super) fn cipher(master: &Key, purpose: Use) -> Result<Cipher, SrtpError> {
    let (suite, label) = (master.suite(), purpose as u8);
    let derivation = Derivation::new(master)?;
    let mut key = vec![0; suite.key_bytes()];
    derivation.fill(label, &mut key)?;
    if suite.is_gcm() {
        let algorithm = if suite.key_bytes() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let mut salt = [0; NONCE_LEN];
        derivation.fill(label + 2, &mut salt)?;
        return Ok(Cipher::Galois(Galois { key: LessSafeKey::new(UnboundKey::new(algorithm, &key)?), salt }));
    }
    let (mut auth, mut salt) = ([0; AUTH_KEY_BYTES], [0; SALT_BYTES_MAX]);
    derivation.fill(label + 1, &mut auth)?;
    derivation.fill(label + 2, &mut salt)?;
    let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
    let tag_bytes = if label == Use::Rtp as u8 { suite.tag_bytes() } else { suite.rtcp_tag_bytes() };
    Ok(Cipher::Counter(Box::new(Counter { key: counter_key(&key)?, salt: block(&salt), authentication, tag_bytes })))
}

/// The pseudo-random function of §4.3.3: the key stream of AES at the salt with the label in it.
struct Derivation {
    key: EncryptingKey,
    salt: u128,
}

impl Derivation {
    fn new(master: &Key) -> Result<Self, SrtpError> {
        Ok(Self { key: counter_key(master.key())?, salt: block(master.salt()) })
    }

    fn fill(&self, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        // §4.3.1: the label stands in front of 48 bits for the number of a packet, which are 0 where keys are derived but once.
        let begin = self.salt ^ u128::from(label) << (48 + 16);
        let context = EncryptionContext::Iv128(FixedLength::from(begin.to_be_bytes()));
        self.key.less_safe_encrypt(out, context)?;
        Ok(())
    }
}

fn counter_key(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    Ok(EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key)?)?)
}

/// A salt with room for counting blocks behind it. One of twelve bytes has two zeros behind it (RFC 7714 §11).
fn block(salt: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::bytes, *};
    use crate::srtp::Suite;

    /// RFC 3711 §B.3.
    #[test]
    fn keys_are_derived_as_the_standard_shows() {
        let master = bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let derivation = Derivation::new(&Key::new(Suite::Aes128Tag80, &master).unwrap()).unwrap();
        for (label, expected) in [
            (0, "C61E7A93744F39EE10734AFE3FF7A087"),
            (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
            (2, "30CBBC08863D8C85D49DB34A9AE1"),
        ] {
            let expected = bytes(expected);
            let mut key = vec![0; expected.len()];
            derivation.fill(label, &mut key).unwrap();
            assert_eq!(key, expected);
        }
    }

    /// RFC 6188 §7.2: a master key of 256 bits.
    #[test]
    fn long_keys_are_derived_as_the_standard_shows() {
        let master = bytes(
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6
            3b04803de51ee7c96423ab5b78d2",
        );
        let derivation = Derivation::new(&Key::new(Suite::Aes256Tag80, &master).unwrap()).unwrap();
        let mut salt = [0; 14];
        derivation.fill(2, &mut salt).unwrap();
        assert_eq!(salt[..], bytes("fa31791685ca444a9e07c6c64e93"));
    }
}
