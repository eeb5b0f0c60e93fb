//! Master keys.

use std::fmt;

use aws_lc_rs::rand;

use super::{SrtpError, Suite};

/// A master key with its salt, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    suite: Suite,
    key: Vec<u8>,
    salt: Vec<u8>,
    /// Stands in each packet, so that a receiver of many keys finds the right one (RFC 3711 §3.1); mostly empty.
    mki: Vec<u8>,
}

/// What is freed is not cleared, and may be read when it is used again.
impl Drop for Key {
    fn drop(&mut self) {
        for secret in [&mut self.key, &mut self.salt] {
            secret.fill(0);
            // Nobody reads it: without this the compiler may leave the zeros out.
            std::hint::black_box(secret);
        }
    }
}

impl Key {
    /// A key that nobody knows.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the system has no random numbers.
    pub fn random(suite: Suite) -> Result<Self, SrtpError> {
        let mut both = vec![0; suite.key_bytes() + suite.salt_bytes()];
        rand::fill(&mut both).map_err(|_| SrtpError::Failed)?;
        Self::new(suite, &both)
    }

    /// A key that was agreed upon: the key itself, then its salt.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`] for another length than the suite has.
    pub fn new(suite: Suite, both: &[u8]) -> Result<Self, SrtpError> {
        let (key, salt) = both.split_at_checked(suite.key_bytes()).ok_or(SrtpError::Malformed)?;
        if salt.len() != suite.salt_bytes() {
            return Err(SrtpError::Malformed);
        }
        Ok(Self { suite, key: key.to_vec(), salt: salt.to_vec(), mki: Vec::new() })
    }

    /// With a name of its own in each packet.
    #[must_use]
    pub fn with_mki(mut self, mki: Vec<u8>) -> Self {
        self.mki = mki;
        self
    }

    /// How it is used.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The key itself, then its salt.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.key.as_slice(), &self.salt].concat()
    }

    /// Its name in packets.
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }
}

/// Without the key: it would end in a log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("suite", &self.suite).finish_non_exhaustive()
    }
}
