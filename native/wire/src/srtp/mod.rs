//! Secure RTP (RFC 3711): packets that nobody else can read or change. How keys are agreed upon is not its business: RTSP tells them
//! (`rtsp::keys`), WebRTC makes them in a handshake (`webrtc`).
//!
//! | clause | state |
//! |---|---|
//! | RFC 3711 §3.3 RTP, §3.4 RTCP | done, with MKI of one key; all packets of RTCP that we send are encrypted |
//! | RFC 3711 §3.3.1 index | done: sequence numbers are unwrapped for each source |
//! | RFC 3711 §3.3.2 replay | a window of 64 packets for each source, of RTP and of RTCP |
//! | RFC 3711 §4.1.1, §4.2, §4.3 transforms | AES in counter mode, HMAC-SHA1, keys derived once |
//! | RFC 3711 §9.2 lifetime of a key | behind 2⁴⁸ packets of RTP or 2³¹ of RTCP, of all sources together (of RTP of each alone where the caller numbers the packets, as WebRTC does), nothing more is sealed, and who sends ends the session: the next one has a new key |
//! | RFC 6188 AES-256 | done |
//! | RFC 7714 AES-GCM | done, of 128 and 256 bits |

mod cipher;
mod derive;
mod index;
mod key;
mod open;
mod seal;
mod suite;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::{
    key::Key,
    open::{Opener, RtcpOpener},
    seal::{Lifetime, Sealer},
    suite::{SALT_BYTES_MAX, Suite, TAG_BYTES_MAX},
};

/// Sources that are told apart under one key; past that no other is believed, or sealed.
const SOURCES_MAX: usize = 16;
/// What of a packet of RTCP is never encrypted: its first header and the source behind it.
const RTCP_HEADER_BYTES: usize = 8;
/// The number of a packet of RTCP, and whether it is encrypted (RFC 3711 §3.4).
const TRAILER_BYTES: usize = 4;
/// The bit in front of that number, which has 31.
const ENCRYPTED: u32 = 1 << 31;

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
    /// As many packets as one key is good for were sealed under it.
    Exhausted,
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
            Self::Exhausted => "a key has sealed as many packets as it may",
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
    let fixed = crate::rtp::HEADER_BYTES + 4 * usize::from(first & 0x0f);
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

/// Sequence number and source of an RTP packet.
fn identity(packet: &[u8]) -> Option<(u16, u32)> {
    let [_, _, s0, s1, _, _, _, _, r0, r1, r2, r3] = *packet.first_chunk::<12>()?;
    Some((u16::from_be_bytes([s0, s1]), u32::from_be_bytes([r0, r1, r2, r3])))
}

/// Source of a compound packet of RTCP.
fn rtcp_source(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*packet.get(4..)?.first_chunk()?))
}
