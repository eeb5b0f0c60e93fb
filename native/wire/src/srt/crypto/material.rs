//! The key material message (SRT §3.2.2).

use super::{
    CipherMode, KeySize,
    cipher::SALT_BYTES,
    wrap::{OVERHEAD_BYTES, wrap},
};
use crate::srt::{SrtError, packet::KeyFlag};

/// Version 1, packet type 2 (key material), and the vendor's signature.
const HEAD: [u8; 3] = [0x12, 0x20, 0x29];
/// Cipher and authentication: AES-CTR without, and AES-GCM.
const CTR: [u8; 2] = [2, 0];
const GCM: [u8; 2] = [4, 1];
/// Stream encapsulation: MPEG-TS over SRT.
const TS_SRT: u8 = 2;
/// In front of the salt.
const FIXED_BYTES: usize = 16;

/// Why keys were not taken: the answer of one word (SRT §3.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmState {
    /// The peer encrypts, we did not ask for it.
    Unsecured,
    /// There is no passphrase here.
    NoSecret,
    /// The passphrase is another one.
    BadSecret,
}

impl KmState {
    pub(crate) fn to_word(self) -> u32 {
        match self {
            Self::Unsecured => 0,
            Self::NoSecret => 3,
            Self::BadSecret => 4,
        }
    }
}

/// A message that was read. Every length in it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// Which keys are in it: `Even`, `Odd` or `Both`.
    pub keys: KeyFlag,
    /// Of one key.
    pub size: KeySize,
    /// What they are for.
    pub mode: CipherMode,
    /// What the key encrypting key and the counters are made with.
    pub salt: [u8; SALT_BYTES],
    /// One or two keys, wrapped.
    pub wrapped: Vec<u8>,
}

impl KeyMaterial {
    /// Reads a message.
    ///
    /// # Errors
    /// [`SrtError::Malformed`] and [`SrtError::Unsupported`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SrtError> {
        let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
            return Err(SrtError::malformed("key material", bytes.len()));
        };
        let [v, sign0, sign1, kk, _, _, _, _, cipher, auth, _, _, _, _, salt_words, key_words] = *fixed;
        if [v, sign0, sign1] != HEAD {
            return Err(SrtError::malformed("key material signature", 0));
        }
        let mode = match [cipher, auth] {
            CTR => CipherMode::Ctr,
            GCM => CipherMode::Gcm,
            _ => return Err(SrtError::Unsupported { what: "cipher" }),
        };
        let keys = match kk & 3 {
            1 => KeyFlag::Even,
            2 => KeyFlag::Odd,
            3 => KeyFlag::Both,
            _ => return Err(SrtError::malformed("key material without keys", 3)),
        };
        let size = KeySize::from_bytes(usize::from(key_words) * 4);
        let size = size.ok_or_else(|| SrtError::malformed("key length", 15))?;
        let salt = rest.split_first_chunk::<SALT_BYTES>().filter(|_| usize::from(salt_words) * 4 == SALT_BYTES);
        let Some((salt, wrapped)) = salt else { return Err(SrtError::malformed("salt length", 14)) };
        if wrapped.len() != wrapped_bytes(keys, size) {
            return Err(SrtError::malformed("wrapped key", FIXED_BYTES + SALT_BYTES));
        }
        Ok(Self { keys, size, mode, salt: *salt, wrapped: wrapped.to_vec() })
    }

    /// Wraps `even` and `odd`, those that there are, by `kek`.
    pub(super) fn seal(
        mode: CipherMode,
        kek: &[u8],
        salt: [u8; SALT_BYTES],
        even: Option<&[u8]>,
        odd: Option<&[u8]>,
    ) -> Result<Self, SrtError> {
        let keys = match (even, odd) {
            (Some(_), Some(_)) => KeyFlag::Both,
            (None, Some(_)) => KeyFlag::Odd,
            _ => KeyFlag::Even,
        };
        let both = [even.unwrap_or_default(), odd.unwrap_or_default()].concat();
        Ok(Self { keys, size: KeySize::of(kek)?, mode, salt, wrapped: wrap(kek, &both)? })
    }

    /// As it stands in an extension or a packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kk = match self.keys {
            KeyFlag::Odd => 2,
            KeyFlag::Both => 3,
            KeyFlag::Even | KeyFlag::Clear => 1,
        };
        let key_words = (self.size.bytes() / 4) as u8;
        let [v, sign0, sign1] = HEAD;
        let [cipher, auth] = if self.mode == CipherMode::Gcm { GCM } else { CTR };
        let fixed = [v, sign0, sign1, kk, 0, 0, 0, 0, cipher, auth, TS_SRT, 0, 0, 0, (SALT_BYTES / 4) as u8, key_words];
        [&fixed[..], &self.salt, &self.wrapped].concat()
    }
}

fn wrapped_bytes(keys: KeyFlag, size: KeySize) -> usize {
    let count = if keys == KeyFlag::Both { 2 } else { 1 };
    OVERHEAD_BYTES + count * size.bytes()
}
