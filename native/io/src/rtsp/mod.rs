//! RTSP: the listener and the way of its packets, in and out.
//!
//! ```text
//! server, datagrams ─▶ to_bus ─▶ bus ─▶ packets, once a stream ─▶ from_bus ─▶ egress, over the connection
//!                                                                        └─▶ outlet, by UDP
//! ```

mod channels;
mod datagrams;
mod from_bus;
mod outlet;
mod packets;
mod server;
mod to_bus;
mod tracks;

pub use arcly_wire::rtsp::{Limits, Users};
pub(crate) use channels::Channels;
pub(crate) use packets::Packets;
pub use server::{RtspListener, RtspOptions};
