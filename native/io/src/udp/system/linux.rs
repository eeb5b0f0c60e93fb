//! Many datagrams a call, cut and joined by the kernel.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use super::{
    BATCH, Message,
    layout::{CONTROL_BYTES, Control, NAME_BYTES, Name, UDP_GRO, from_name, to_name, write_control},
};
use crate::udp::inbound::{Filled, Inbound};

/// Whether [`Message::segment_bytes`] can be obeyed.
pub(in crate::udp) const CAN_SEGMENT: bool = true;

/// The buffers that a call works on. Pointers in `headers` go into the others, so it stays where it is once they are set.
struct Batch {
    names: [Name; BATCH],
    controls: [[u8; CONTROL_BYTES]; BATCH],
    slices: [libc::iovec; BATCH],
    headers: [libc::mmsghdr; BATCH],
}

impl Batch {
    fn new() -> Self {
        // SAFETY: a header is numbers and pointers, for which all zeros (no buffers at all) is a value. Its padding is private
        // on some systems, so that it cannot be written as a literal.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        Self {
            names: [[0; NAME_BYTES]; BATCH],
            controls: [[0; CONTROL_BYTES]; BATCH],
            slices: [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH],
            headers: [header; BATCH],
        }
    }
}

/// Takes what is there, as far as there is room.
pub(in crate::udp) fn receive(socket: &impl AsFd, inbound: &mut Inbound) -> io::Result<()> {
    inbound.filled.clear();
    let mut batch = Batch::new();
    let Batch { names, controls, slices, headers } = &mut batch;
    let slots = inbound.memory.chunks_exact_mut(inbound.slot_bytes);
    let count = slots.len().min(BATCH);
    let parts = slots.zip(slices.iter_mut()).zip(names.iter_mut()).zip(controls.iter_mut());
    for ((((slot, slice), name), control), header) in parts.zip(headers.iter_mut()) {
        *slice = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        let header = &mut header.msg_hdr;
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = NAME_BYTES as u32;
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
    }
    let fd = socket.as_fd().as_raw_fd();
    let received = repeat(|| {
        // SAFETY: the descriptor is open as long as `socket` is borrowed. The first `count` headers, at most `BATCH`, point to a
        // name, a slice and a control buffer of their own with the sizes that they say, and each slice to a slot of its own of
        // `inbound.memory`; all of these are borrowed mutably until the call returns and not touched by anybody else meanwhile.
        unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT as _, ptr::null_mut()) }
    })?;
    for (slot, ((header, name), control)) in headers.iter().zip(&*names).zip(&*controls).take(received).enumerate() {
        let bytes = header.msg_len as usize;
        let header = &header.msg_hdr;
        let control = Control::parse(control.get(..header.msg_controllen as _).unwrap_or_default());
        inbound.overflowed = control.overflowed.unwrap_or(inbound.overflowed);
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            inbound.truncated += 1;
        } else if let Some(peer) = from_name(name) {
            let segment_bytes = control.segment_bytes.unwrap_or(bytes);
            inbound.filled.push(Filled { slot, bytes, segment_bytes, peer, local: control.local });
        }
    }
    Ok(())
}

/// Gives as many messages to the system as one call can; returns how many bytes of them it took. An error is about the first one.
pub(in crate::udp) fn send<'a>(
    socket: &impl AsFd,
    local: SocketAddr,
    messages: impl Iterator<Item = Message<'a>>,
) -> io::Result<usize> {
    let mut batch = Batch::new();
    let Batch { names, controls, slices, headers } = &mut batch;
    let parts = slices.iter_mut().zip(names.iter_mut()).zip(controls.iter_mut());
    let mut count = 0;
    for (((slice, name), control), (header, message)) in parts.zip(headers.iter_mut().zip(messages)) {
        // The kernel does not write to it, in spite of its type.
        *slice = libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        let header = &mut header.msg_hdr;
        header.msg_namelen = to_name(message.to, local.is_ipv6(), name) as _;
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_controllen = write_control(&message, control) as _;
        // Where there is none, the pointer must not be to nothing of no size: the kernel does not look at it then.
        header.msg_control = control.as_mut_ptr().cast();
        count += 1;
    }
    let fd = socket.as_fd().as_raw_fd();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let sent = repeat(|| {
        // SAFETY: the descriptor is open as long as `socket` is borrowed. The first `count` headers, at most `BATCH`, point to a
        // name, a slice and a control buffer of their own, each with at least the size that the header says, and each slice to
        // bytes that are borrowed for `'a`. The kernel only reads all of these, but for the lengths that it writes into `headers`,
        // which is borrowed mutably.
        unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, flags as _) }
    })?;
    Ok(slices.iter().take(sent).map(|slice| slice.iov_len).sum())
}

/// Calls again when a signal came in between.
fn repeat(mut call: impl FnMut() -> i32) -> io::Result<usize> {
    loop {
        if let Ok(done) = usize::try_from(call()) {
            return Ok(done);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether no device on the way can cut messages into datagrams (udp(7), `UDP_SEGMENT`).
pub(in crate::udp) fn lacks_segmentation(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ENOPROTOOPT | libc::EOPNOTSUPP))
}

/// Whether datagrams of this size cannot be cut from a message, because they need fragments.
pub(in crate::udp) fn refuses_segments(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE))
}

/// Turns on GRO; whether the system can.
pub(in crate::udp) fn coalesce(socket: &impl AsFd) -> bool {
    set_option(socket, libc::SOL_UDP, UDP_GRO, &1_i32.to_ne_bytes()).is_ok()
}

/// Has the kernel say how many datagrams it had to drop. It is a pity where it cannot.
pub(in crate::udp) fn count_overflows(socket: &impl AsFd) {
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &1_i32.to_ne_bytes());
}

/// Sends without checksums, with which the kernel refuses to cut messages.
#[cfg(test)]
pub(in crate::udp) fn leave_out_checksums(socket: &impl AsFd) {
    set_option(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, &1_i32.to_ne_bytes()).unwrap();
}

pub(in crate::udp) fn show_local_addresses(socket: &impl AsFd, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1_i32.to_ne_bytes())?;
    }
    // A socket of both families has a separate switch for the packets of IPv4.
    set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &1_i32.to_ne_bytes())
}

pub(in crate::udp) fn hear_own_groups_only(socket: &socket2::Socket, group: IpAddr) {
    let _ = if group.is_ipv4() { socket.set_multicast_all_v4(false) } else { socket.set_multicast_all_v6(false) };
}

pub(in crate::udp) fn interface_index(socket: &impl AsFd, name: &str) -> io::Result<u32> {
    rustix::net::netdevice::name_to_index(socket, name).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("there is no network interface {name}: {error}"))
    })
}

/// Sends IPv4 multicast by that interface.
pub(in crate::udp) fn send_by_interface(socket: &impl AsFd, index: u32) -> io::Result<()> {
    let any = Ipv4Addr::UNSPECIFIED;
    Ok(rustix::net::sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, index)?)
}

/// Joins a group for one sender (RFC 3678 §5.1.2).
pub(in crate::udp) fn join_source(socket: &impl AsFd, group: IpAddr, source: IpAddr, index: u32) -> io::Result<()> {
    const STORAGE_BYTES: usize = size_of::<libc::sockaddr_storage>();
    // `struct group_source_req`: a number, then two addresses, each aligned as a pointer is.
    let mut request = Vec::with_capacity(2 * STORAGE_BYTES + size_of::<usize>());
    request.extend(index.to_ne_bytes());
    request.resize(size_of::<usize>(), 0);
    for address in [group, source] {
        let mut name = [0; NAME_BYTES];
        to_name(SocketAddr::new(address, 0), false, &mut name);
        let end = request.len() + STORAGE_BYTES;
        request.extend(name);
        request.resize(end, 0);
    }
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    set_option(socket, level, libc::MCAST_JOIN_SOURCE_GROUP, &request)
}

fn set_option(socket: &impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as `socket` is borrowed; `value` is readable for the length that is said, until the
    // call returns, and the kernel only reads it. What it means is the kernel's to check.
    let result = unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as libc::socklen_t) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
