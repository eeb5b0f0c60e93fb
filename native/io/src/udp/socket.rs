//! The socket, for tasks.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{io::Interest, runtime::Handle};

use super::{Inbound, Outbound, UdpOptions, options, system};

/// A UDP socket. Any number of tasks may send by it, each with an [`Outbound`] of its own; one receives.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: tokio::net::UdpSocket,
    addr: SocketAddr,
    coalesced: bool,
    /// Datagrams up to this size can be given to the system many at a time, as far as we know; 0: none.
    segment_bytes_max: AtomicUsize,
    warnings: Vec<String>,
}

/// The system could not send the first message. What then?
enum Refusal {
    /// Its datagrams may pass one by one.
    Segmentation { segment_bytes_max: usize },
    /// Never.
    Message { bytes: usize, error: io::ErrorKind },
}

impl UdpSocket {
    /// Opens a socket at `addr` (port 0: any free one).
    ///
    /// # Errors
    /// The operating system's: the address cannot be had, or the interface or group of the options.
    pub(crate) fn bind(runtime: &Handle, addr: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let opened = options::open(addr, options)?;
        let _context = runtime.enter();
        let socket = tokio::net::UdpSocket::from_std(opened.socket.into())?;
        let segment_bytes_max = if options.segmented && system::CAN_SEGMENT { usize::MAX } else { 0 };
        Ok(Self {
            addr: socket.local_addr()?,
            socket,
            coalesced: opened.is_coalesced,
            segment_bytes_max: AtomicUsize::new(segment_bytes_max),
            warnings: opened.warnings,
        })
    }

    /// Has the system refuse to cut messages into datagrams.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn leave_out_checksums(&self) {
        system::leave_out_checksums(&self.socket);
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What could not be had as it was asked for, and what to do about it: for a person.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A buffer to receive into.
    pub(crate) fn inbound(&self) -> Inbound {
        Inbound::new(self.coalesced)
    }

    /// Waits for datagrams and takes all that are there, as far as there is room. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The operating system's. That a peer is unreachable is none: whoever is asked by many must not end for one.
    pub(crate) async fn receive(&self, inbound: &mut Inbound) -> io::Result<()> {
        self.socket.async_io(Interest::READABLE, || system::receive(&self.socket, inbound)).await
    }

    /// Takes what is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; else as [`Self::receive`].
    pub(crate) fn try_receive(&self, inbound: &mut Inbound) -> io::Result<()> {
        self.socket.try_io(Interest::READABLE, || system::receive(&self.socket, inbound))
    }

    /// Sends all that waits, as fast as the system takes it. What is refused is dropped, counted, and found in
    /// [`Outbound::take_error`]. When the future is dropped, the rest is still in `outbound`.
    ///
    /// # Errors
    /// The operating system's: the socket is of no use any more.
    pub(crate) async fn flush(&self, outbound: &mut Outbound) -> io::Result<()> {
        while !outbound.is_empty() {
            self.socket.async_io(Interest::WRITABLE, || self.send_some(outbound)).await?;
        }
        Ok(())
    }

    /// Sends what the system takes now; what it does not take stays in `outbound`. Whether it is empty then.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(crate) fn try_flush(&self, outbound: &mut Outbound) -> io::Result<bool> {
        while !outbound.is_empty() {
            match self.socket.try_io(Interest::WRITABLE, || self.send_some(outbound)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// One call to the system.
    fn send_some(&self, outbound: &mut Outbound) -> io::Result<()> {
        let segment_bytes_max = self.segment_bytes_max.load(Ordering::Relaxed);
        let error = match system::send(&self.socket, self.addr, outbound.messages(segment_bytes_max)) {
            Ok(bytes) => {
                outbound.advance(bytes);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => error,
        };
        match refusal(&error, outbound, segment_bytes_max) {
            Some(Refusal::Segmentation { segment_bytes_max }) => {
                self.segment_bytes_max.fetch_min(segment_bytes_max, Ordering::Relaxed);
            }
            Some(Refusal::Message { bytes, error }) => outbound.refuse_first(bytes, error),
            None => {}
        }
        Ok(())
    }
}

fn refusal(error: &io::Error, outbound: &Outbound, segment_bytes_max: usize) -> Option<Refusal> {
    let first = outbound.messages(segment_bytes_max).next()?;
    Some(match first.segment_bytes {
        // No device below can do it (EIO); this size is more than the path carries in one packet (EINVAL).
        Some(_) if system::lacks_segmentation(error) => Refusal::Segmentation { segment_bytes_max: 0 },
        Some(size) if system::refuses_segments(error) => {
            Refusal::Segmentation { segment_bytes_max: size.saturating_sub(1) }
        }
        _ => Refusal::Message { bytes: first.bytes.len(), error: error.kind() },
    })
}
