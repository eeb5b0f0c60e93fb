//! Payloads in counter mode (SRT §6.1.2, §6.2.2).

use std::fmt;

use aws_lc_rs::{
    cipher::{AES_128, AES_192, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
};

use crate::srt::SrtError;

/// How long keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeySize {
    /// AES-128, the default of the draft.
    #[default]
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeySize {
    /// By its length in bytes: 16, 24 or 32.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }

    /// Its length in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// By the Encryption Field of a handshake (SRT §3.2.1, table 2), which is the length in units of 8 bytes.
    pub(crate) fn from_field(field: u16) -> Option<Self> {
        Self::from_bytes(usize::from(field) * 8)
    }

    pub(crate) fn field(self) -> u16 {
        (self.bytes() / 8) as u16
    }

    pub(super) fn of(key: &[u8]) -> Result<Self, SrtError> {
        Self::from_bytes(key.len()).ok_or_else(|| SrtError::malformed("key", key.len()))
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128 => &AES_128,
            Self::Aes192 => &AES_192,
            Self::Aes256 => &AES_256,
        }
    }

    pub(super) fn unbound(self, key: &[u8]) -> Result<UnboundCipherKey, SrtError> {
        Ok(UnboundCipherKey::new(self.algorithm(), key)?)
    }
}

/// Bytes of a salt (SRT §3.2.2).
pub(super) const SALT_BYTES: usize = 16;

/// A stream encrypting key and the salt that goes with it. Counter mode is its own inverse: the same both ways.
pub(super) struct Cipher {
    key: EncryptingKey,
    salt: [u8; SALT_BYTES],
}

impl Cipher {
    pub(super) fn new(key: &[u8], salt: [u8; SALT_BYTES]) -> Result<Self, SrtError> {
        Ok(Self { key: EncryptingKey::ctr(KeySize::of(key)?.unbound(key)?)?, salt })
    }

    /// Encrypts or decrypts the payload of the packet with this sequence number, of 31 bits.
    pub(super) fn apply(&self, sequence: u32, payload: &mut [u8]) -> Result<(), SrtError> {
        if payload.is_empty() {
            return Ok(());
        }
        let context = EncryptionContext::Iv128(FixedLength::from(self.counter(sequence)));
        self.key.less_safe_encrypt(payload, context)?;
        Ok(())
    }

    /// Ten bytes of salt, four of salt and sequence number, two that count blocks (SRT §6.1.2).
    fn counter(&self, sequence: u32) -> [u8; 16] {
        let mut counter = self.salt;
        let places = counter.iter_mut().skip(10);
        let bytes = sequence.to_be_bytes().into_iter().map(Some).chain([None, None]);
        places.zip(bytes).for_each(|(place, byte)| *place = byte.map_or(0, |byte| *place ^ byte));
        counter
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_the_salt_with_the_sequence_number_in_it_and_room_for_blocks() {
        let cipher = Cipher::new(&[7; 16], std::array::from_fn(|at| at as u8)).unwrap();
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ^ 0x12, 11 ^ 0x34, 12 ^ 0x56, 13 ^ 0x78, 0, 0];
        assert_eq!(cipher.counter(0x1234_5678), expected);
    }

    #[test]
    fn a_payload_comes_back_and_another_sequence_number_does_not() {
        for bytes in [16, 24, 32] {
            let cipher = Cipher::new(&vec![3; bytes], [9; 16]).unwrap();
            let mut payload = vec![0x47; 1316];
            cipher.apply(5, &mut payload).unwrap();
            let mut other = payload.clone();
            cipher.apply(5, &mut payload).unwrap();
            cipher.apply(6, &mut other).unwrap();
            assert!(payload.iter().all(|byte| *byte == 0x47) && other != payload);
        }
    }
}
