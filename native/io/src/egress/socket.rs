//! The seam to the sockets of viewers: one write of many slices that never blocks, and a bound to what the kernel keeps.

use std::{
    io::{self, IoSlice},
    net::TcpStream,
    os::fd::AsFd,
};

/// Writes as much as the socket takes now; [`io::ErrorKind::WouldBlock`] when it takes nothing.
#[cfg(target_os = "linux")]
pub(crate) fn send(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
    // NOSIGNAL: in whose process we are, we do not know; SIGPIPE may kill it.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        let sent = match slices {
            // The kernel need not fetch a list to find one slice in it.
            [one] => send(socket, one, flags),
            many => sendmsg(socket, many, &mut SendAncillaryBuffer::default(), flags),
        };
        match sent {
            Err(rustix::io::Errno::INTR) => {}
            sent => return sent.map_err(Into::into),
        }
    }
}

/// Writes as much as the socket takes now; [`io::ErrorKind::WouldBlock`] when it takes nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send(mut socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    use std::io::Write;
    socket.write_vectored(slices)
}

/// Reads what has come; [`io::ErrorKind::WouldBlock`] when nothing has, 0 when nothing more will.
pub(crate) fn receive(mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    use std::io::Read;
    loop {
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Whether the peer will say nothing more (it has closed its half, or all), however much of what it has said was never read.
#[cfg(target_os = "linux")]
pub(crate) fn has_hung_up(socket: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(socket, PollFlags::RDHUP)], Some(&at_once)).is_ok_and(|told| told > 0)
}

/// The same, of a peer of whom nothing is left to read.
#[cfg(not(target_os = "linux"))]
pub(crate) fn has_hung_up(socket: &TcpStream) -> bool {
    match socket.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

/// Bounds the bytes that the kernel keeps for a peer and has not sent yet (tcp(7), `TCP_NOTSENT_LOWAT`). What is in flight is not
/// bounded by it, so it costs no throughput on long ways, as a smaller send buffer would.
#[cfg(target_os = "linux")]
pub(crate) fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

/// Has the socket count as readable when so many bytes have come (socket(7), `SO_RCVLOWAT`); at once, when they have come already.
#[cfg(target_os = "linux")]
pub(crate) fn wait_for(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

#[cfg(target_os = "linux")]
fn set_option(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let size = size_of::<u32>() as libc::socklen_t;
    let value = std::ptr::from_ref(&value).cast();
    // SAFETY: the descriptor is open as long as `socket` is borrowed; `value` points to the `size` bytes of a number that lives until the
    // call returns, and the kernel only reads them. No safe wrapper of our dependencies knows these options.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value, size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Elsewhere a socket that has any bytes is readable.
#[cfg(not(target_os = "linux"))]
pub(crate) fn wait_for(_: &impl AsFd, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bounds the send buffer instead, where there is no such option that we know how to set.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bound_unsent(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    socket2::SockRef::from(socket).set_send_buffer_size(bytes as usize)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;

    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Whoever waits for pictures and finds that none come reads what has come meanwhile.
    #[tokio::test]
    async fn bytes_that_were_too_few_are_read_when_they_suffice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _): (TcpStream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 200];
        // A read that takes all there is has the next one wait for the kernel.
        peer.write_all(&[6]).unwrap();
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 1);
        wait_for(&socket, 100).unwrap();
        peer.write_all(&[7; 40]).unwrap();
        peer.write_all(&[7; 60]).unwrap();
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 100, "woken once there are enough, for all of them");
        peer.write_all(&[8; 40]).unwrap();
        wait_for(&socket, 1).unwrap();
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 40);
    }
}
