//! RTMP: the listener and the way of its frames.

mod from_bus;
mod request;
mod server;
mod to_bus;

pub use arcly_wire::rtmp::Limits;
pub use request::{PublishRequest, Refusal};
pub use server::{RtmpListener, RtmpOptions};
