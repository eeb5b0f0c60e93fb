//! Descriptors of the system that a task waits at: the seam to tokio.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// A descriptor that a task can wait at until there is something to read.
///
/// # Errors
/// The operating system's: it has no room, or cannot wait at such a descriptor.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and is the same descriptor until it is dropped, which the `AsyncFd` that owns it does last.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}
