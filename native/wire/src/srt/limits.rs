//! What one connection may cost, and how it behaves.

use std::time::Duration;

use super::{Bandwidth, CipherMode, KeySize};

/// Bounds on what one peer can make us keep or wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets that wait for their time or for what is missing in front of them; 8192, as with libsrt: 8 s of 10 Mbit/s. Stops a peer
    /// that never sends the first one.
    pub receive_packets: usize,
    /// Packets kept until the peer has acknowledged them; 8192. Stops a viewer that is gone. Payloads are shared between viewers.
    pub send_packets: usize,
    /// Without any packet of the peer; 5 s, as with libsrt: peers send a keep-alive each second. Stops those that vanished.
    pub idle_time: Duration,
    /// From the first packet of a caller to the end of the handshake; 3 s, as with libsrt.
    pub connect_time: Duration,
    /// Control packets that wait to be sent; 64. Stops a peer that makes us answer faster than anybody takes the answers.
    pub pending_control: usize,
    /// Key material that costs a derivation (2048 rounds), at most once in so long; 1 s. Stops a peer that has us derive keys.
    pub derivation_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            receive_packets: 8192,
            send_packets: 8192,
            idle_time: Duration::from_secs(5),
            connect_time: Duration::from_secs(3),
            pending_control: 64,
            derivation_time: Duration::from_secs(1),
        }
    }
}

/// What is agreed on at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtOptions {
    /// With which delay what comes is delivered at least; the peer may ask for more. Default 120 ms (SRT §4.5.1).
    pub receive_latency: Duration,
    /// With which delay the peer has to deliver at least what it gets; it may want more. Default 0.
    pub send_latency: Duration,
    /// The key that a caller makes, unless the listener asks for a longer one. Default AES-128.
    pub key_size: KeySize,
    /// How a caller encrypts; a listener does as its callers. Default counter mode.
    pub cipher: CipherMode,
    /// How fast packets leave at most.
    pub bandwidth: Bandwidth,
    /// What retransmissions may add to the input, in percent, where the bandwidth follows that. Default 25.
    pub overhead_percent: u32,
    /// What would be too late is dropped, on both sides. Default true; without it a loss stops everything until it is repaired.
    pub too_late_drop: bool,
    /// Packets sent with one key; 2^25 (SRT §6.1.6).
    pub key_refresh_packets: u64,
    /// Packets before its use in which a key is announced; 4000.
    pub key_announce_packets: u64,
    /// Bounds.
    pub limits: Limits,
}

impl Default for SrtOptions {
    fn default() -> Self {
        Self {
            receive_latency: Duration::from_millis(120),
            send_latency: Duration::ZERO,
            key_size: KeySize::Aes128,
            cipher: CipherMode::Ctr,
            bandwidth: Bandwidth::default(),
            overhead_percent: 25,
            too_late_drop: true,
            key_refresh_packets: 1 << 25,
            key_announce_packets: 4000,
            limits: Limits::default(),
        }
    }
}

impl SrtOptions {
    pub(super) fn refresh(&self) -> super::crypto::Refresh {
        let period = self.key_refresh_packets.clamp(16, 1 << 30);
        super::crypto::Refresh { period, announce: self.key_announce_packets.clamp(1, period / 2 - 1) }
    }
}

/// A delay as it stands in a handshake.
pub(super) fn delay_ms(latency: Duration) -> u16 {
    u16::try_from(latency.as_millis()).unwrap_or(u16::MAX)
}
