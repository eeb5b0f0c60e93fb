//! Which viewers can be written to again, or are gone: the seam to epoll, and what stands in for it elsewhere.

use std::{io, net::TcpStream};

/// What has happened to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// What it was added by.
    pub(crate) token: u64,
    /// It has been reset or closed both ways.
    pub(crate) is_gone: bool,
    /// It has something to read, where somebody listens.
    pub(crate) is_readable: bool,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::Poller;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Poller;

#[cfg(target_os = "linux")]
mod linux {
    use std::{mem::MaybeUninit, os::fd::OwnedFd};

    use rustix::{
        event::{
            Timespec,
            epoll::{self, CreateFlags, Event, EventData, EventFlags},
        },
        io::Errno,
    };
    use tokio::io::unix::AsyncFd;

    use super::{Ready, TcpStream, io};
    use crate::watched::watched;

    /// Events taken at once.
    const BATCH: usize = 256;

    /// One edge-triggered set. A socket is added once and leaves with its viewer: no system call for a stall. Only of
    /// viewers who are listened to (WebSocket) anybody asks whether something can be read: what others send wakes nobody.
    pub(crate) struct Poller {
        set: AsyncFd<OwnedFd>,
    }

    impl Poller {
        pub(crate) fn new() -> io::Result<Self> {
            let set = epoll::create(CreateFlags::CLOEXEC)?;
            Ok(Self { set: watched(set)? })
        }

        pub(crate) fn add(&self, socket: &TcpStream, token: u64, listens: bool) -> io::Result<()> {
            // Not RDHUP: who closes its half after the request may still read. Who is gone answers the next write with a reset, and where
            // there is none to write it is looked for (`Viewer::judge`).
            let input = if listens { EventFlags::IN } else { EventFlags::empty() };
            let flags = EventFlags::OUT | EventFlags::ET | input;
            Ok(epoll::add(self.set.get_ref(), socket, EventData::new_u64(token), flags)?)
        }

        /// A socket of RTMP is also in the hands of who reads from it, so to close ours would leave it in the set, in the way of the next.
        pub(crate) fn remove(&self, socket: &TcpStream, _: u64) {
            let _ = epoll::delete(self.set.get_ref(), socket);
        }

        /// Waits until something has happened, and appends all that has. Nothing is lost when the future is dropped.
        pub(crate) async fn ready(&mut self, out: &mut Vec<Ready>) -> io::Result<()> {
            let mut guard = self.set.readable().await?;
            while take(guard.get_inner(), out)? == BATCH {}
            guard.clear_ready();
            Ok(())
        }
    }

    /// Appends what has happened, at most [`BATCH`]; how many that were.
    fn take(set: &OwnedFd, out: &mut Vec<Ready>) -> io::Result<usize> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        let events = loop {
            match epoll::wait(set, &mut events[..], Some(&at_once)) {
                Ok((events, _)) => break events,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        out.extend(events.iter().map(|event| {
            let flags = event.flags;
            let is_gone = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            Ready { token: event.data.u64(), is_gone, is_readable: flags.contains(EventFlags::IN) }
        }));
        Ok(events.len())
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::{sync::Mutex, time::Duration};

    use super::{Ready, TcpStream, io};

    /// How often all are tried.
    const EVERY: Duration = Duration::from_millis(10);

    /// Says of all sockets now and then that they can be written to. Who cannot be finds out by a write that takes nothing.
    pub(crate) struct Poller {
        tokens: Mutex<Vec<u64>>,
    }

    impl Poller {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { tokens: Mutex::default() })
        }

        pub(crate) fn add(&self, _: &TcpStream, token: u64, _: bool) -> io::Result<()> {
            self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(token);
            Ok(())
        }

        pub(crate) fn remove(&self, _: &TcpStream, token: u64) {
            self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|&known| known != token);
        }

        pub(crate) async fn ready(&mut self, out: &mut Vec<Ready>) -> io::Result<()> {
            tokio::time::sleep(EVERY).await;
            let tokens = self.tokens.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            out.extend(tokens.iter().map(|&token| Ready { token, is_gone: false, is_readable: true }));
            Ok(())
        }
    }
}
