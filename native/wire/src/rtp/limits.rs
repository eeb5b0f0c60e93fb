//! What one stream of packets may cost.

use std::time::Duration;

/// Bounds on what one source can make us keep or wait for.
///
/// A track holds at most [`access_unit_bytes`](Self::access_unit_bytes) twice (one that is put together, and its parameter sets
/// apart), plus [`reorder_packets`](Self::reorder_packets) packets, plus what came out of the last packet and was not polled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one access unit; 16 MiB, more than a key frame of any camera. Stops a source that begins a picture and never
    /// ends it. What is longer is dropped and counts as lost.
    pub access_unit_bytes: usize,
    /// Packets that wait for one that is missing; 512, a second of 5 Mbit/s. Stops a source that leaves a hole and sends on.
    pub reorder_packets: usize,
    /// How long packets wait for one that is missing; 200 ms, two round trips of a retransmission over a continent. Bounds the
    /// delay that a loss costs. With 0 nothing is waited for until the first one comes late, and then as long as by default.
    pub reorder_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { access_unit_bytes: 16 << 20, reorder_packets: 512, reorder_time: Duration::from_millis(200) }
    }
}
