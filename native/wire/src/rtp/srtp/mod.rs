//! Secure RTP (RFC 3711): packets that nobody else can read or change. How keys are agreed upon is not its business.
//!
//! | clause | state |
//! |---|---|
//! | RFC 3711 §3.3 RTP, §3.4 RTCP | done, with MKI of one key; all packets of RTCP are encrypted |
//! | RFC 3711 §3.3.1 index | done: sequence numbers are unwrapped for each source |
//! | RFC 3711 §3.3.2 replay | a window of 64 packets for each source |
//! | RFC 3711 §4.1.1, §4.2, §4.3 transforms | AES in counter mode, HMAC-SHA1, keys derived once |
//! | RFC 6188 AES-256 | done |
//! | RFC 7714 AES-GCM | not done |

mod derive;
mod index;
mod open;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::rand;

pub use self::{open::Opener, seal::Sealer};

/// Bytes of a salt.
pub const SALT_BYTES: usize = 14;
/// Sources that are told apart under one key; past that no other is believed.
const SOURCES_MAX: usize = 16;

/// How packets are encrypted and signed; the names are those of RFC 4568 §6.2 and RFC 6188 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: what everybody knows.
    #[default]
    Aes128Tag80,
    /// `AES_CM_128_HMAC_SHA1_32`: shorter tags on RTP, not on RTCP.
    Aes128Tag32,
    /// `AES_256_CM_HMAC_SHA1_80`.
    Aes256Tag80,
    /// `AES_256_CM_HMAC_SHA1_32`.
    Aes256Tag32,
}

impl Suite {
    /// All of them, best known first.
    pub const ALL: [Self; 4] = [Self::Aes128Tag80, Self::Aes128Tag32, Self::Aes256Tag80, Self::Aes256Tag32];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256Tag32 => "AES_256_CM_HMAC_SHA1_32",
        }
    }

    /// Bytes of a master key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes128Tag32 => 16,
            Self::Aes256Tag80 | Self::Aes256Tag32 => 32,
        }
    }

    /// Bytes of the tag of an RTP packet.
    pub fn tag_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes256Tag80 => RTCP_TAG_BYTES,
            Self::Aes128Tag32 | Self::Aes256Tag32 => 4,
        }
    }
}

/// Bytes of the tag of an RTCP packet, with every suite (RFC 4568 §6.2).
const RTCP_TAG_BYTES: usize = 10;

/// A master key with its salt, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    suite: Suite,
    key: Vec<u8>,
    salt: [u8; SALT_BYTES],
    /// Stands in each packet, so that a receiver of many keys finds the right one (RFC 3711 §3.1); mostly empty.
    mki: Vec<u8>,
}

impl Key {
    /// A key that nobody knows.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the system has no random numbers.
    pub fn random(suite: Suite) -> Result<Self, SrtpError> {
        let mut both = vec![0; suite.key_bytes() + SALT_BYTES];
        rand::fill(&mut both).map_err(|_| SrtpError::Failed)?;
        Self::new(suite, &both)
    }

    /// A key that was agreed upon: the key itself, then its salt.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`] for another length than the suite has.
    pub fn new(suite: Suite, both: &[u8]) -> Result<Self, SrtpError> {
        let (key, salt) = both.split_at_checked(suite.key_bytes()).ok_or(SrtpError::Malformed)?;
        let salt = salt.try_into().map_err(|_| SrtpError::Malformed)?;
        Ok(Self { suite, key: key.to_vec(), salt, mki: Vec::new() })
    }

    /// With a name of its own in each packet.
    #[must_use]
    pub fn with_mki(self, mki: Vec<u8>) -> Self {
        Self { mki, ..self }
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
}

/// Without the key: it would end in a log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Why a packet or key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpError {
    /// It is too short, or no packet at all.
    Malformed,
    /// It was made without the key, or changed on its way.
    Forged,
    /// It came before, or is too old to be sure that it did not.
    Replayed,
    /// As many sources as are told apart have sent before.
    TooManySources,
    /// The library refuses.
    Failed,
}

impl fmt::Display for SrtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "what should be an encrypted packet is none",
            Self::Forged => "an encrypted packet was made with another key, or changed on its way",
            Self::Replayed => "an encrypted packet came twice",
            Self::TooManySources => "too many sources under one key",
            Self::Failed => "the cryptographic library failed",
        })
    }
}

impl std::error::Error for SrtpError {}

impl From<aws_lc_rs::error::Unspecified> for SrtpError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Failed
    }
}

/// Bytes of the header of an RTP packet: with its contributing sources and its extension (RFC 3550 §5.1). Only what is behind is encrypted.
fn header_bytes(packet: &[u8]) -> Option<usize> {
    let [first, _, rest @ ..] = packet else { return None };
    let fixed = super::HEADER_BYTES + 4 * usize::from(first & 0x0f);
    if first >> 6 != 2 || rest.len() + 2 < fixed {
        return None;
    }
    if first & 0x10 == 0 {
        return Some(fixed);
    }
    let [_, _, high, low] = *packet.get(fixed..)?.first_chunk::<4>()?;
    let whole = fixed + 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    (whole <= packet.len()).then_some(whole)
}

/// Sequence number and source.
fn identity(packet: &[u8]) -> Option<(u16, u32)> {
    let [_, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = *packet.first_chunk::<12>()?;
    Some((u16::from_be_bytes([s0, s1]), u32::from_be_bytes([r0, r1, r2, r3])))
}
