//! Opus (RFC 6716, RFC 7845): the identification header and the packet.
//!
//! - `head`: `OpusHead` (RFC 7845 §5.1), the `dOps` box made of the same fields, and the channel configuration of MPEG-TS.
//! - `packet`: the table of contents (RFC 6716 §3.1), durations, the frames of a packet (§3.2) and what makes one malformed (§3.4).
//! - `control`: the control header in front of each packet in MPEG-TS.

mod control;
mod head;
mod packet;
#[cfg(test)]
mod tests;

pub use control::{ControlHeader, MAX_CONTROL_HEADER_BYTES};
pub use head::{MAX_HEAD_BYTES, OpusConfig};
pub use packet::{MAX_FRAME_BYTES, MAX_PACKET_SAMPLES, Packet, check_packet, packet_samples};

/// Ticks per second of all that is Opus, whatever the encoder was fed with (RFC 7845 §4).
pub const CLOCK_RATE_HZ: u32 = 48_000;
