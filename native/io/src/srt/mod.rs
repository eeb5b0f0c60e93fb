//! SRT: the listener and the way of its frames, in both directions; and the other side, streams pulled from and pushed to others.
//!
//! One task owns the port and all its connections: a datagram costs a look at its destination, and what leaves for hundreds of viewers at
//! a time leaves in a few system calls.
//!
//! `server` ─ `port` ─ `connection` ─ `to_bus`, `from_bus`; a link keeps `pull` and `push` up, which speak through `call`.

mod alarm;
mod call;
mod connection;
mod from_bus;
mod joining;
mod options;
mod port;
mod pull;
mod push;
mod server;
mod timers;
mod to_bus;
mod url;

pub use arcly_wire::srt::{Bandwidth, KeySize, Limits, Passphrase, SrtOptions as Settings, Stats};
pub use options::SrtOptions;
pub use pull::{PullOptions, pull};
pub use push::{PushOptions, push};
pub use server::{ConnectionInfo, Role, SrtListener};
pub use url::SrtUrl;
