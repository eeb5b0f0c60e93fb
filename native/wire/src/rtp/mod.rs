//! RTP (RFC 3550) and its payload formats: what RTSP, WebRTC and MPEG-TS over RTP share.
//!
//! ```text
//! datagram ─▶ Packet ─▶ Reorder ─▶ Depacketizer ─▶ access units ─▶ Sync, DecodingTimes ─▶ bus
//!             └──────────── Receiver ───────────┘
//! bus ─▶ Packetizer ─▶ payloads, made once ─▶ Header of each viewer ─▶ datagram
//! ```
//!
//! - `packet`, `extension`: the packet (RFC 3550 §5.1) and its header extensions (RFC 8285).
//! - `counter`: sequence numbers and timestamps without their wraps.
//! - `reorder`: packets in their order, and what is missing.
//! - `payload`: one file a payload format, both ways.
//! - `receiver`: source, order and access units of one track in one.
//! - `rtcp`, `reception`: reports and feedback; what a receiver counts for them.
//! - `sync`: one timeline for the tracks of a session; `decoding`: decoding times, which RTP does not carry.
//! - `format`: what a session description says of a format, and which codec configuration that is, both ways.
//!
//! No socket and no clock: the time is passed in where it is needed.
//!
//! | clause | state |
//! |---|---|
//! | RFC 3550 §5.1 packet | done: contributing sources, extension, padding |
//! | RFC 3550 §6, §A.3, §A.8 RTCP | done: SR, RR, SDES (the canonical name), BYE, APP, report blocks. The times of reports (§6.2) are the caller's |
//! | RFC 4585, 5104 feedback | done: generic NACK, PLI, FIR; REMB and transport-wide feedback of their drafts. Passed over: extended reports (RFC 3611) and the rest |
//! | RFC 8285 header extensions | done: one-byte and two-byte form, both ways |
//! | RFC 6184 H.264 | written: single NAL unit, STAP-A, FU-A (`packetization-mode` 1), single NAL units (0). Read: these, and STAP-B, MTAP16, MTAP24, FU-B in the order of their packets, and byte streams where a unit should be |
//! | RFC 7798 H.265 | written: single NAL unit, AP, FU. Read: these, with order numbers or without, and PACI, whose extensions are passed over |
//! | RFC 3640 AAC | written: `AAC-hbr`, one access unit or a fragment a packet. Read: every form of header, several access units, fragments, auxiliary data, interleaving |
//! | RFC 6416 AAC in LATM | written: with the configuration in each element. Read: with it or without, several access units, fragments |
//! | RFC 7587 Opus | done |
//! | RFC 7741 VP8 | done; written with a picture number of 15 bits, as one partition |
//! | RFC 9628 VP9 | written: non-flexible mode, one layer. Read: both modes; the layer frames of a picture become a superframe |
//! | AV1 (AOM, v1.0) | done: `Z`, `Y`, `W`, `N`. Not done: the dependency descriptor, so what follows a gap is believed again from the next temporal unit on |
//! | RFC 2250 MPEG audio | done: frames, fragments, several frames a packet. MPEG-TS: [`ts_packets`] |
//! | RFC 5219 MP3 in data units | read: whole units, fragments, interleaving |
//! | RFC 4184 AC-3, RFC 4598 E-AC-3 | done |
//! | RFC 3551 G.711, G.722, L16; RFC 3190 L24 | done |
//! | RFC 6597 KLV | done |

mod counter;
mod decoding;
mod extension;
mod format;
mod limits;
mod packet;
mod payload;
mod receiver;
mod reception;
mod reorder;
pub mod rtcp;
mod sync;

pub use counter::{Sequences, Timestamps};
pub use decoding::DecodingTimes;
pub use extension::Extensions;
pub use format::{Encoding, Format, Parameters};
pub use limits::Limits;
pub use packet::{HEADER_BYTES, Header, Packet, is_rtcp};
pub use payload::{AccessUnit, Depacketizer, MIN_PAYLOAD_BYTES, Packetizer, Payload, TS_PAYLOAD_BYTES, ts_packets};
pub use receiver::Receiver;
pub use reception::Reception;
pub use reorder::{Ordered, Reorder, ReorderCounts};
pub use sync::{Placed, Sync, SyncTrack};
