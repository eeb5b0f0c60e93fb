//! When a datagram arrived, by the kernel's clock: who reads a hundred sockets in turn comes late to most of them.

use std::{
    io::IoSliceMut,
    net::UdpSocket,
    os::fd::AsRawFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    cmsg_space,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};

/// A socket that never waits, and its datagrams with their age.
pub struct Receiver {
    pub socket: UdpSocket,
    control: Vec<u8>,
}

impl Receiver {
    pub fn new(socket: UdpSocket) -> Result<Self, String> {
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).map_err(|error| error.to_string())?;
        Ok(Self { socket, control: cmsg_space!(TimeSpec) })
    }

    /// The bytes of the next datagram, and for how long it has been there.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, Duration)> {
        let (descriptor, mut place) = (self.socket.as_raw_fd(), [IoSliceMut::new(buffer)]);
        let message = recvmsg::<()>(descriptor, &mut place, Some(&mut self.control), MsgFlags::empty()).ok()?;
        let arrived = message.cmsgs().ok()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(UNIX_EPOCH + Duration::from(time)),
            _ => None,
        });
        let age = arrived.and_then(|arrived| SystemTime::now().duration_since(arrived).ok());
        Some((message.bytes, age.unwrap_or_default()))
    }
}
