//! RTP (RFC 3550) and its payload formats: what RTSP, WebRTC and MPEG-TS over RTP share.
//!
//! ```text
//! datagram ─▶ Packet ─▶ Reorder ─▶ Depacketizer ─▶ access units ─▶ bus
//! bus ─▶ Packetizer ─▶ payloads, made once ─▶ Header of each viewer ─▶ datagram
//! ```
//!
//! - `packet`, `extension`: the packet (RFC 3550 §5.1) and its header extensions (RFC 8285).
//! - `counter`: sequence numbers and timestamps without their wraps.
//! - `payload`: one file a payload format, both ways.
//! - `format`: what a session description says of a format, and which codec configuration that is, both ways.
//!
//! No socket and no clock: the time is passed in where it is needed.
//!
//! | clause | state |
//! |---|---|
//! | RFC 3550 §5.1 packet | done: contributing sources, extension, padding |
//! | RFC 8285 header extensions | done: one-byte and two-byte form, both ways |
//! | RFC 6184 H.264 | written: single NAL unit, STAP-A, FU-A (`packetization-mode` 1), single NAL units (0). Read: these, and STAP-B, MTAP16, MTAP24, FU-B in the order of their packets |
//! | RFC 7798 H.265 | written: single NAL unit, AP, FU. Read: these, with order numbers or without. Not done: PACI |
//! | RFC 3640 AAC | written: `AAC-hbr`, one access unit or a fragment a packet. Read: every form of header, several access units, fragments, auxiliary data. Not done: interleaving |
//! | RFC 7587 Opus | done |

mod counter;
mod extension;
mod format;
mod limits;
mod packet;
mod payload;

pub use counter::{Sequences, Timestamps};
pub use extension::Extensions;
pub use format::{Encoding, Format, Parameters};
pub use limits::Limits;
pub use packet::{HEADER_BYTES, Header, Packet, is_rtcp};
pub use payload::{AccessUnit, Depacketizer, Packetizer, Payload};
