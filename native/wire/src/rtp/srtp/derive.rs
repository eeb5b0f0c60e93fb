//! The keys of a session, and what is done with them (RFC 3711 §4).

use aws_lc_rs::{
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time::verify_slices_are_equal,
    hmac,
    iv::FixedLength,
};

use super::{Key, SALT_BYTES, SrtpError, Suite};

/// What keys are derived for (§4.3.2): encryption, authentication and salt of RTP, and the same of RTCP.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Rtp = 0,
    Rtcp = 3,
}

/// Bytes of a key of HMAC-SHA1 (§5.2).
const AUTH_KEY_BYTES: usize = 20;

/// The keys for one of the two.
pub(super) struct SessionKeys {
    cipher: EncryptingKey,
    auth: hmac::Key,
    salt: [u8; SALT_BYTES],
}

impl SessionKeys {
    pub(super) fn derive(master: &Key, purpose: Use) -> Result<Self, SrtpError> {
        let prf = cipher(master.suite, &master.key)?;
        let first = purpose as u8;
        let mut key = vec![0; master.suite.key_bytes()];
        let (mut auth, mut salt) = ([0; AUTH_KEY_BYTES], [0; SALT_BYTES]);
        for (label, out) in [(first, &mut key[..]), (first + 1, &mut auth[..]), (first + 2, &mut salt[..])] {
            // The rate of derivation is 0, so that the label alone is put into the salt (§4.3.1).
            let mut iv = [0; 16];
            iv.iter_mut().zip(master.salt).for_each(|(to, from)| *to = from);
            if let Some(byte) = iv.get_mut(7) {
                *byte ^= label;
            }
            run(&prf, iv, out)?;
        }
        let auth = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
        Ok(Self { cipher: cipher(master.suite, &key)?, auth, salt })
    }

    /// Encrypts or decrypts, which is the same in counter mode (§4.1.1).
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SrtpError> {
        let mut iv = [0; 16];
        iv.iter_mut().zip(self.salt).for_each(|(to, from)| *to = from);
        let number = u128::from_be_bytes(iv) ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
        run(&self.cipher, number.to_be_bytes(), data)
    }

    /// The tag over these parts, of which the first bytes count (§4.2.1).
    pub(super) fn sign(&self, parts: [&[u8]; 2]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.auth);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    /// Whether the tag is right; in constant time.
    pub(super) fn check(&self, parts: [&[u8]; 2], tag: &[u8]) -> Result<(), SrtpError> {
        let signed = self.sign(parts);
        let right = signed.as_ref().get(..tag.len()).ok_or(SrtpError::Malformed)?;
        verify_slices_are_equal(right, tag).map_err(|_| SrtpError::Forged)
    }
}

fn cipher(suite: Suite, key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if suite.key_bytes() == 32 { &AES_256 } else { &AES_128 };
    Ok(EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key)?)?)
}

fn run(cipher: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Result<(), SrtpError> {
    cipher.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv)))?;
    Ok(())
}
