//! RTSP: the listener and the way of its packets, in and out.
//!
//! ```text
//! server ─▶ conn, datagrams ─▶ to_bus ─▶ bus ─▶ packets, once a stream ─▶ from_bus ─▶ egress, over the connection
//!                                                                        └─▶ outlet, by UDP
//! ```
//!
//! The other side: `crate::link` keeps `pull` and `push` up, which speak through `client`, and by UDP through `ears`.

mod channels;
mod client;
mod conn;
mod datagrams;
mod ears;
mod from_bus;
mod groups;
mod outlet;
mod pace;
mod packets;
mod pipe;
mod pull;
mod push;
mod sealed;
mod server;
mod source;
mod talk;
mod to_bus;
mod tracks;
mod tunnel;

pub use arcly_wire::{
    rtsp::{Limits, RtspUrl, Users},
    srtp::Suite,
};
pub(crate) use channels::Channels;
pub use groups::GroupRange;
pub(crate) use packets::Packets;
pub use pull::{PullOptions, pull};
pub use push::{PushOptions, push};
pub use server::{RtspListener, RtspOptions, Srtp};
pub use talk::Talk;
