//! Socket addresses and control messages, as bytes in the order that Linux has them in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Message;

// linux/udp.h, asm-generic/socket.h
const UDP_SEGMENT: i32 = 103;
pub(super) const UDP_GRO: i32 = 104;

/// Bytes of the largest socket address here, `sockaddr_in6`.
pub(super) const NAME_BYTES: usize = 28;
pub(super) type Name = [u8; NAME_BYTES];

/// Room for the control messages of one message: segment size, overflow count, and an address of IPv4 or IPv6.
pub(super) const CONTROL_BYTES: usize = 128;

/// Writes `sockaddr_in` or `sockaddr_in6` as the kernel reads it, and returns its length.
pub(super) fn to_name(address: SocketAddr, as_v6: bool, out: &mut Name) -> usize {
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
pub(super) fn from_name(name: &Name) -> Option<SocketAddr> {
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
pub(super) struct Control {
    pub(super) segment_bytes: Option<usize>,
    pub(super) overflowed: Option<u32>,
    pub(super) local: Option<IpAddr>,
}

impl Control {
    /// Reads control messages (cmsg(3)): a header, data, and room up to the next multiple of the size of a pointer.
    pub(super) fn parse(mut bytes: &[u8]) -> Self {
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
pub(super) fn write_control(message: &Message<'_>, out: &mut [u8; CONTROL_BYTES]) -> usize {
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
