//! RTMP: the listener and the way of its frames; and the other side, streams pulled from and pushed to other servers.
//!
//! `server` ─ `to_bus`, `from_bus`; `crate::link` keeps `pull` and `push` up, which speak through `client`.

mod carry;
mod client;
mod from_bus;
mod place;
mod pull;
mod push;
mod server;
#[cfg(test)]
pub(crate) mod tests;
mod to_bus;
mod url;

pub use arcly_wire::rtmp::Limits;
pub use pull::{PullOptions, pull};
pub use push::{PushOptions, push};
pub use server::{RtmpListener, RtmpOptions};
pub use url::RemoteUrl;
