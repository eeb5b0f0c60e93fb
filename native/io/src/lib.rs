//! The only sockets and files: what drives the protocol machines, and what carries bytes between them and the bus.
//!
//! One folder a protocol, and in each the way of the data is a file name: `server` (or `client`) owns the socket,
//! `to_bus` carries frames from it to the bus, `from_bus` from the bus to it.
//!
//! Decisions are not made here: a listener puts *requests* into the host's [`Inbox`] and waits for the answer.

mod accept;
mod bell;
mod bug;
mod clock;
mod dial;
pub mod egress;
mod ended;
mod faults;
pub mod file;
mod follower;
pub mod hls;
pub mod http;
mod inbox;
mod keep;
mod link;
mod peer;
mod play;
mod publish;
mod read;
pub mod record;
pub mod rtmp;
pub mod rtsp;
mod runtime;
mod secret;
mod sending;
pub mod srt;
mod tls;
mod trust;
pub mod ts_udp;
mod udp;
#[cfg(target_os = "linux")]
mod watched;
pub mod webrtc;

pub use accept::ListenError;
pub use inbox::{Inbox, Notice};
pub use link::{Backoff, Link, LinkGuard, LinkState, LinkStatus};
pub use play::{PlayAsk, PlayDenial, PlayRequest};
pub use publish::{PublishAsk, PublishRequest, Refusal};
pub use runtime::Runtime;
pub use secret::Secret;
pub use tls::{TlsError, TlsIdentity};
pub use tokio::runtime::Handle;
pub use trust::TlsTrust;

/// For locks whose data are whole between any two statements, so that a panic elsewhere does not matter to them.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
