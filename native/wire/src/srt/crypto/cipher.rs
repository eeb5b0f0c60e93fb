//! Payloads in counter mode (SRT §6.1.2, §6.2.2), and in Galois counter mode as libsrt has it since 1.5.4.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    cipher::{AES_128, AES_192, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
};

use crate::srt::{
    SrtError,
    packet::{DataHeader, HEADER_BYTES},
};

/// How payloads are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CipherMode {
    /// Counter mode: nobody can read them. What every peer knows.
    #[default]
    Ctr,
    /// Galois counter mode: nobody can change them either. Each packet has room for 16 bytes less. libsrt since 1.5.4.
    Gcm,
}

impl CipherMode {
    /// Bytes behind each payload, which show that it and its header are as they were sent.
    pub(crate) fn tag_bytes(self) -> usize {
        if self == Self::Gcm { 16 } else { 0 }
    }
}

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

/// A stream encrypting key and the salt that goes with it.
pub(super) struct Cipher {
    key: Key,
    salt: [u8; SALT_BYTES],
}

enum Key {
    /// Its own inverse: the same both ways.
    Ctr(Box<EncryptingKey>),
    Gcm(Box<LessSafeKey>),
}

impl Cipher {
    pub(super) fn new(mode: CipherMode, key: &[u8], salt: [u8; SALT_BYTES]) -> Result<Self, SrtError> {
        let size = KeySize::of(key)?;
        let key = match (mode, size) {
            (CipherMode::Ctr, _) => Key::Ctr(Box::new(EncryptingKey::ctr(size.unbound(key)?)?)),
            (CipherMode::Gcm, size) => {
                let algorithm = match size {
                    KeySize::Aes128 => &AES_128_GCM,
                    KeySize::Aes192 => &AES_192_GCM,
                    KeySize::Aes256 => &AES_256_GCM,
                };
                Key::Gcm(Box::new(LessSafeKey::new(UnboundKey::new(algorithm, key)?)))
            }
        };
        Ok(Self { key, salt })
    }

    /// Encrypts what stands in `out` from `from` on, the payload of the packet with this header.
    pub(super) fn seal(&self, header: &DataHeader, out: &mut Vec<u8>, from: usize) -> Result<(), SrtError> {
        let payload = out.get_mut(from..).unwrap_or_default();
        match &self.key {
            Key::Ctr(key) => self.count(key, header.sequence, payload),
            Key::Gcm(key) => {
                let tag =
                    key.seal_in_place_separate_tag(self.nonce(header.sequence), authenticated(header), payload)?;
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
        }
    }

    /// Decrypts the payload of the packet with this header.
    pub(super) fn open(&self, header: &DataHeader, payload: &mut Vec<u8>) -> Result<(), SrtError> {
        match &self.key {
            Key::Ctr(key) => self.count(key, header.sequence, payload),
            Key::Gcm(key) => {
                let bytes = key.open_in_place(self.nonce(header.sequence), authenticated(header), payload)?.len();
                payload.truncate(bytes);
                Ok(())
            }
        }
    }

    fn count(&self, key: &EncryptingKey, sequence: u32, payload: &mut [u8]) -> Result<(), SrtError> {
        if payload.is_empty() {
            return Ok(());
        }
        let context = EncryptionContext::Iv128(FixedLength::from(self.counter(sequence)));
        key.less_safe_encrypt(payload, context)?;
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

    /// The first twelve bytes of the salt, with the sequence number in the last four of them. A packet that is sent again is the same
    /// packet under the same key: the number is not used for anything else.
    fn nonce(&self, sequence: u32) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(self.salt).for_each(|(place, salt)| *place = salt);
        let number = sequence.to_be_bytes();
        nonce.iter_mut().skip(NONCE_LEN - number.len()).zip(number).for_each(|(place, byte)| *place ^= byte);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// The header, without the flag that a retransmission has.
fn authenticated(header: &DataHeader) -> Aad<[u8; HEADER_BYTES]> {
    Aad::from(DataHeader { is_retransmitted: false, ..*header }.to_bytes())
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srt::packet::{KeyFlag, Position};

    const HEADER: DataHeader = DataHeader {
        sequence: 5,
        position: Position::Solo,
        is_ordered: true,
        key: KeyFlag::Even,
        is_retransmitted: false,
        message: 7,
        timestamp: 1_000,
        destination: 99,
    };

    #[test]
    fn the_counter_is_the_salt_with_the_sequence_number_in_it_and_room_for_blocks() {
        let cipher = Cipher::new(CipherMode::Ctr, &[7; 16], std::array::from_fn(|at| at as u8)).unwrap();
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ^ 0x12, 11 ^ 0x34, 12 ^ 0x56, 13 ^ 0x78, 0, 0];
        assert_eq!(cipher.counter(0x1234_5678), expected);
    }

    #[test]
    fn the_nonce_is_the_salt_with_the_sequence_number_at_its_end() {
        let cipher = Cipher::new(CipherMode::Gcm, &[7; 16], std::array::from_fn(|at| at as u8)).unwrap();
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8 ^ 0x12, 9 ^ 0x34, 10 ^ 0x56, 11 ^ 0x78];
        assert_eq!(cipher.nonce(0x1234_5678).as_ref(), &expected);
    }

    #[test]
    fn a_payload_comes_back_and_another_sequence_number_does_not() {
        for (mode, bytes) in
            [CipherMode::Ctr, CipherMode::Gcm].into_iter().flat_map(|mode| [16, 24, 32].map(|it| (mode, it)))
        {
            let cipher = Cipher::new(mode, &vec![3; bytes], [9; 16]).unwrap();
            let mut payload = vec![0x47; 1316];
            cipher.seal(&HEADER, &mut payload, 0).unwrap();
            assert_eq!(payload.len(), 1316 + mode.tag_bytes());
            let mut other = payload.clone();
            cipher.open(&HEADER, &mut payload).unwrap();
            assert_eq!(payload, vec![0x47; 1316]);
            let opened = cipher.open(&DataHeader { sequence: 6, ..HEADER }, &mut other);
            assert!(opened.is_err() == (mode == CipherMode::Gcm) && other != payload);
        }
    }

    #[test]
    fn what_was_changed_on_its_way_is_noticed_and_what_was_sent_again_is_the_same() {
        let cipher = Cipher::new(CipherMode::Gcm, &[3; 16], [9; 16]).unwrap();
        let mut sealed = vec![0x47; 188];
        cipher.seal(&HEADER, &mut sealed, 0).unwrap();
        for at in [0, 187, 188, 203] {
            let mut torn = sealed.clone();
            torn[at] ^= 1;
            assert!(cipher.open(&HEADER, &mut torn).is_err(), "{at}");
        }
        assert!(cipher.open(&DataHeader { timestamp: 1_001, ..HEADER }, &mut sealed.clone()).is_err());
        assert!(cipher.open(&HEADER, &mut vec![0; 15]).is_err(), "shorter than a tag");
        let again = DataHeader { is_retransmitted: true, ..HEADER };
        let mut repeated = vec![0x47; 188];
        cipher.seal(&again, &mut repeated, 0).unwrap();
        assert_eq!(repeated, sealed);
        cipher.open(&again, &mut sealed).unwrap();
        assert_eq!(sealed, vec![0x47; 188]);
    }
}
