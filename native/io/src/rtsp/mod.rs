//! RTSP: the listener and the way of its packets, in and out.
//!
//! ```text
//! server ─▶ to_bus (times, order) ─▶ bus ─▶ packets, once a stream ─▶ from_bus ─▶ egress, by TCP
//!                                                                             └─▶ datagrams, by UDP
//! ```

// Datagrams and the client use the rest.
#![allow(dead_code)]

mod channels;
mod from_bus;
mod order;
mod packets;
mod server;
mod times;
mod to_bus;
mod tracks;

pub use arcly_wire::rtsp::{Limits, Users};
pub(crate) use channels::Channels;
pub(crate) use packets::Packets;
pub use server::{RtspListener, RtspOptions};
