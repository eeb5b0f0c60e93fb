//! MPEG transport streams over UDP, and over RTP (RFC 2250 §2): unicast, multicast, one program or many.
//!
//! Nobody asks anybody: a sender sends, and whoever listens finds out by the media that it has begun and by silence that it has ended.
//!
//! - `url`: where, and how;
//! - `pull`: the socket that hears; `rtp`: headers taken off, order restored; `to_bus`: programs to streams;
//! - `push`: the socket that sends; `from_bus`: a stream to packets; `pace`: when each of them leaves.
//!
//! | clause | |
//! |---|---|
//! | packets of TS in UDP, seven at most in 1 500 bytes | done; other numbers, 192 and 204 bytes and partial packets are read too |
//! | RFC 2250 §2: RTP, payload type 33, 90 kHz | done; what is RTP is told by its bytes, also behind `udp://` |
//! | RFC 4607, RFC 3678: one source of a group | done |
//! | SMPTE ST 2022-1 (FEC), ST 2022-7 (two ways) | not done: FEC goes to ports of its own and is not in the way |

mod from_bus;
mod pace;
mod pull;
mod push;
mod rtp;
#[cfg(test)]
pub(crate) mod tests;
mod to_bus;
mod url;

pub use self::{
    pull::{PullOptions, pull},
    push::{PushOptions, push},
    url::UdpUrl,
};
