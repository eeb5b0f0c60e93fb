//! Encryption (SRT §6): key material, the keys of a connection, and payloads.
//!
//! Everything cryptographic is done by aws-lc: block cipher, counter modes, PBKDF2, HMAC, random numbers, comparison in constant time.
//! Only the order of block operations of a key wrap (RFC 3394 §2.2) is here, because that library wraps with two of the three key sizes.

mod cipher;
mod keys;
mod material;
mod wrap;

pub use cipher::{CipherMode, KeySize};
pub(crate) use keys::{Keys, Refresh};
pub use material::{KeyMaterial, KmState};

use std::fmt;

/// A passphrase: 10 to 79 bytes, as libsrt's documentation of SRTO_PASSPHRASE demands. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Box<str>);

impl Passphrase {
    /// Bytes at least.
    pub const BYTES_MIN: usize = 10;
    /// Bytes at most.
    pub const BYTES_MAX: usize = 79;

    /// Takes a text; none when it is too short or too long.
    pub fn new(text: &str) -> Option<Self> {
        (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
