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
pub(super) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(super) use portable::*;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        mem::MaybeUninit,
        net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
        os::fd::{AsFd, AsRawFd},
        ptr,
    };

    use super::{BATCH, Message};
    use crate::udp::inbound::{Filled, Inbound};

    /// Whether [`Message::segment_bytes`] can be obeyed.
    pub(in crate::udp) const CAN_SEGMENT: bool = true;

    // linux/udp.h, asm-generic/socket.h
    const UDP_SEGMENT: i32 = 103;
    const UDP_GRO: i32 = 104;

    /// Bytes of the largest socket address here, `sockaddr_in6`.
    const NAME_BYTES: usize = 28;
    type Name = [u8; NAME_BYTES];

    /// Room for the control messages of one message: segment size, overflow count, and an address of IPv4 or IPv6.
    const CONTROL_BYTES: usize = 128;

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
        for (slot, ((header, name), control)) in headers.iter().zip(&*names).zip(&*controls).take(received).enumerate()
        {
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
        let result =
            unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as libc::socklen_t) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Writes `sockaddr_in` or `sockaddr_in6` as the kernel reads it, and returns its length.
    fn to_name(address: SocketAddr, as_v6: bool, out: &mut Name) -> usize {
        let mut writer = Writer { out: out.as_mut_slice(), at: 0 };
        match address {
            SocketAddr::V4(address) if !as_v6 => {
                writer.put(&(libc::AF_INET as u16).to_ne_bytes());
                writer.put(&address.port().to_be_bytes());
                writer.put(&address.ip().octets());
                writer.put(&[0; 8]);
            }
            _ => {
                let (ip, flow, scope) = match address {
                    SocketAddr::V4(address) => (address.ip().to_ipv6_mapped(), 0, 0),
                    SocketAddr::V6(address) => (*address.ip(), address.flowinfo(), address.scope_id()),
                };
                writer.put(&(libc::AF_INET6 as u16).to_ne_bytes());
                writer.put(&address.port().to_be_bytes());
                writer.put(&flow.to_be_bytes());
                writer.put(&ip.octets());
                writer.put(&scope.to_ne_bytes());
            }
        }
        writer.at
    }

    /// Reads what the kernel wrote.
    fn from_name(name: &Name) -> Option<SocketAddr> {
        let family = i32::from(u16::from_ne_bytes(*name.first_chunk()?));
        let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
        match family {
            libc::AF_INET => Some((Ipv4Addr::from(*name.get(4..)?.first_chunk::<4>()?), port).into()),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(*name.get(8..)?.first_chunk::<16>()?);
                let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
                // IPv4 through a socket of both families.
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => (ip, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, scope).into(),
                })
            }
            _ => None,
        }
    }

    /// Bytes of `struct cmsghdr`: a length, a level, a type.
    const HEADER_BYTES: usize = size_of::<usize>() + 8;

    /// What the kernel says about a message that came.
    #[derive(Default)]
    struct Control {
        segment_bytes: Option<usize>,
        overflowed: Option<u32>,
        local: Option<IpAddr>,
    }

    impl Control {
        /// Reads control messages (cmsg(3)): a header, data, and room up to the next multiple of the size of a pointer.
        fn parse(mut bytes: &[u8]) -> Self {
            let mut control = Self::default();
            while let Some((length, level, kind)) = header(bytes) {
                let Some(data) = bytes.get(HEADER_BYTES..length) else { break };
                control.take(level, kind, data);
                bytes = bytes.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
            }
            control
        }

        fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
            let number = data.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
            match (level, kind) {
                (libc::SOL_UDP, UDP_GRO) => self.segment_bytes = number.map(|number| number as usize),
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.overflowed = number,
                // `struct in_pktinfo`: interface, the address of ours, the one in the packet.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let address = data.get(8..).and_then(<[u8]>::first_chunk::<4>);
                    self.local = address.map(|address| Ipv4Addr::from(*address).into());
                }
                // `struct in6_pktinfo`: the address in the packet, interface.
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let address = data.first_chunk::<16>();
                    self.local = address.map(|address| IpAddr::from(Ipv6Addr::from(*address)).to_canonical());
                }
                _ => {}
            }
        }
    }

    /// Length, level and type of the control message at the beginning.
    fn header(bytes: &[u8]) -> Option<(usize, i32, i32)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (level, rest) = rest.split_first_chunk()?;
        let kind = rest.first_chunk()?;
        Some((usize::from_ne_bytes(*length), i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)))
    }

    /// Writes what the kernel is to know about a message, and returns its length.
    fn write_control(message: &Message<'_>, out: &mut [u8; CONTROL_BYTES]) -> usize {
        let mut writer = Writer { out: out.as_mut_slice(), at: 0 };
        if let Some(segment_bytes) = message.segment_bytes {
            writer.control(libc::SOL_UDP, UDP_SEGMENT, &(segment_bytes as u16).to_ne_bytes());
        }
        match message.from.map(|from| from.to_canonical()) {
            Some(IpAddr::V4(from)) => {
                let mut info = [0; 12];
                Writer { out: &mut info, at: 4 }.put(&from.octets());
                writer.control(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(from)) => {
                let mut info = [0; 20];
                Writer { out: &mut info, at: 0 }.put(&from.octets());
                writer.control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        writer.at
    }

    /// Puts bytes one behind the other. What does not fit is left out: all that is written here has room, as the tests show.
    struct Writer<'a> {
        out: &'a mut [u8],
        at: usize,
    }

    impl Writer<'_> {
        fn put(&mut self, bytes: &[u8]) {
            let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) else { return };
            place.copy_from_slice(bytes);
            self.at += bytes.len();
        }

        fn control(&mut self, level: i32, kind: i32, data: &[u8]) {
            self.put(&(HEADER_BYTES + data.len()).to_ne_bytes());
            self.put(&level.to_ne_bytes());
            self.put(&kind.to_ne_bytes());
            self.put(data);
            self.at = self.at.next_multiple_of(size_of::<usize>());
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn addresses_are_written_and_read_as_the_kernel_has_them() {
            for (text, as_v6) in [("192.0.2.1:80", false), ("192.0.2.1:80", true), ("[2001:db8::1%7]:443", true)] {
                let address: SocketAddr = text.parse().unwrap();
                let mut name = [0; NAME_BYTES];
                assert_eq!(to_name(address, as_v6, &mut name), if as_v6 { 28 } else { 16 });
                assert_eq!(from_name(&name), Some(address), "{text}");
            }
            assert_eq!(from_name(&[0xFF; NAME_BYTES]), None);
        }

        #[test]
        fn control_messages_have_room_and_are_read_back() {
            let bytes = &[0; 3000];
            for from in ["192.0.2.1", "2001:db8::1"] {
                let from = Some(from.parse().unwrap());
                let to = "192.0.2.2:80".parse().unwrap();
                let mut control = [0; CONTROL_BYTES];
                let length = write_control(&Message { to, from, bytes, segment_bytes: Some(1316) }, &mut control);
                assert!(length < CONTROL_BYTES);
                let (first, ..) = header(&control).unwrap();
                let second = header(&control[first.next_multiple_of(size_of::<usize>())..]).unwrap();
                assert_eq!(first.next_multiple_of(size_of::<usize>()) + second.0.next_multiple_of(8), length);
            }
        }

        #[test]
        fn broken_control_messages_are_passed_over() {
            for bytes in [&[0xFF; 40][..], &[0; 40], &[1; 7], &[]] {
                assert!(Control::parse(bytes).local.is_none());
            }
        }
    }
}

// Tested on Linux too, where it is not used.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code))]
mod portable {
    use std::{
        io,
        net::{IpAddr, SocketAddr},
    };

    use socket2::Socket;
    use tokio::net::UdpSocket;

    use super::Message;
    use crate::udp::inbound::{Filled, Inbound};

    /// Whether [`Message::segment_bytes`] can be obeyed.
    pub(in crate::udp) const CAN_SEGMENT: bool = false;

    /// Takes one datagram after the other, as far as there is room.
    pub(in crate::udp) fn receive(socket: &UdpSocket, inbound: &mut Inbound) -> io::Result<()> {
        inbound.filled.clear();
        for (slot, place) in inbound.memory.chunks_exact_mut(inbound.slot_bytes).enumerate() {
            match socket.try_recv_from(place) {
                Ok((bytes, peer)) => {
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    inbound.filled.push(Filled { slot, bytes, segment_bytes: bytes, peer, local: None });
                }
                // An earlier datagram found nobody (Windows): not news of this one.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(_) if !inbound.filled.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends one message; returns how many bytes that were.
    pub(in crate::udp) fn send<'a>(
        socket: &UdpSocket,
        local: SocketAddr,
        mut messages: impl Iterator<Item = Message<'a>>,
    ) -> io::Result<usize> {
        let Some(message) = messages.next() else { return Ok(0) };
        let to = match message.to.ip() {
            IpAddr::V4(ip) if local.is_ipv6() => (ip.to_ipv6_mapped(), message.to.port()).into(),
            _ => message.to,
        };
        socket.try_send_to(message.bytes, to)
    }

    pub(in crate::udp) fn lacks_segmentation(_: &io::Error) -> bool {
        false
    }

    pub(in crate::udp) fn refuses_segments(_: &io::Error) -> bool {
        false
    }

    pub(in crate::udp) fn coalesce(_: &Socket) -> bool {
        false
    }

    pub(in crate::udp) fn count_overflows(_: &Socket) {}

    pub(in crate::udp) fn show_local_addresses(_: &Socket, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::udp) fn hear_own_groups_only(_: &Socket, _: IpAddr) {}

    pub(in crate::udp) fn interface_index(_: &Socket, name: &str) -> io::Result<u32> {
        name.parse().map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "here an interface is given by its number"))
    }

    pub(in crate::udp) fn send_by_interface(socket: &Socket, index: u32) -> io::Result<()> {
        // 0.0.0.n is interface n on BSD and Windows.
        socket.set_multicast_if_v4(&index.into())
    }

    pub(in crate::udp) fn join_source(_: &Socket, _: IpAddr, _: IpAddr, _: u32) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "here one sender can be chosen in IPv4, by an interface's address",
        ))
    }
    #[cfg(test)]
    mod tests {
        use std::net::Ipv4Addr;

        use super::*;

        #[tokio::test]
        async fn datagrams_pass_one_by_one() {
            let to = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let from = UdpSocket::bind("[::]:0").await.unwrap();
            let port = to.local_addr().unwrap().port();
            let mut inbound = Inbound::new(false);
            assert_eq!(receive(&to, &mut inbound).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            from.writable().await.unwrap();
            for bytes in [&b"one"[..], b"two"] {
                let message =
                    Message { to: (Ipv4Addr::LOCALHOST, port).into(), from: None, bytes, segment_bytes: None };
                assert_eq!(send(&from, from.local_addr().unwrap(), [message; 2].into_iter()).unwrap(), 3);
            }
            to.readable().await.unwrap();
            receive(&to, &mut inbound).unwrap();
            let received: Vec<_> = inbound.datagrams().map(|datagram| datagram.bytes.to_vec()).collect();
            assert_eq!(received, [b"one", b"two"]);
            let peer = inbound.datagrams().next().unwrap().peer;
            assert_eq!(peer, (Ipv4Addr::LOCALHOST, from.local_addr().unwrap().port()).into());
        }
    }
}
