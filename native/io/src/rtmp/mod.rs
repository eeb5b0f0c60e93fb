//! RTMP: the listener and the way of its frames; and the other side, streams pulled from and pushed to other servers.
//!
//! `server` ─ `request` ─ `to_bus`, `from_bus`; `link` keeps `pull` and `push` up, which speak through `client`.

mod carry;
mod client;
mod from_bus;
mod link;
mod pull;
mod push;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod to_bus;
mod url;

pub use arcly_wire::rtmp::Limits;
pub use link::{Backoff, Link, LinkState, LinkStatus};
pub use pull::{Pull, PullOptions};
pub use push::{Push, PushOptions};
pub use request::{PublishRequest, Refusal};
pub use server::{RtmpListener, RtmpOptions};
pub use url::RemoteUrl;
