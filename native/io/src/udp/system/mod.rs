//! The seam to the operating system: `recvmmsg` and `sendmmsg` with what Linux knows besides, one datagram a call elsewhere.

use std::net::{IpAddr, SocketAddr};

/// Messages in one call at most.
pub(super) const BATCH: usize = 32;

/// What is sent to one destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
    /// Where it is cut into datagrams of this size, the last one shorter.
    pub(super) segment_bytes: Option<usize>,
}

#[cfg(target_os = "linux")]
mod interfaces;
#[cfg(target_os = "linux")]
mod layout;
#[cfg(target_os = "linux")]
mod linux;
// Tested on Linux too, where it is not used.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code))]
mod portable;

#[cfg(target_os = "linux")]
pub(crate) use interfaces::interface_of;
#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::interface_of;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::*;
