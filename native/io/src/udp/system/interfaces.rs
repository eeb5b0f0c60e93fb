//! Which interface has an address, as the kernel tells it (rtnetlink(7)).

use std::{iter::from_fn, net::Ipv4Addr};

use rustix::{
    io,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
};

/// What a message begins with: `nlmsghdr`, then `ifaddrmsg`.
const HEADER_BYTES: usize = 16;
const ADDRESS_BYTES: usize = 8;
/// What an attribute begins with: its length, then its kind.
const ATTRIBUTE_BYTES: usize = 4;
/// The kernel gives no more at once.
const ANSWER_BYTES: usize = 32 << 10;

/// The number of the interface that has this address; none where none is found.
pub(crate) fn interface_of(address: Ipv4Addr) -> Option<u32> {
    find(address).ok().flatten()
}

fn find(address: Ipv4Addr) -> io::Result<Option<u32>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES];
    loop {
        // What was asked for is there: the kernel answers at once.
        let (_, bytes) = recv(&socket, &mut *answer, RecvFlags::DONTWAIT)?;
        for message in pieces(answer.get(..bytes).unwrap_or_default(), |header| u32_at(header, 0)) {
            match u16_at(message, 4) {
                Some(libc::RTM_NEWADDR) if is_of(message, address) => return Ok(u32_at(message, HEADER_BYTES + 4)),
                Some(libc::RTM_NEWADDR) => {}
                // The end, or an error.
                _ => return Ok(None),
            }
        }
    }
}

/// All addresses of IPv4.
fn request() -> Vec<u8> {
    let bytes = HEADER_BYTES + ADDRESS_BYTES;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = (bytes as u32).to_ne_bytes().to_vec();
    request.extend([libc::RTM_GETADDR.to_ne_bytes(), flags.to_ne_bytes()].as_flattened());
    // Neither a number nor a port.
    request.extend([0; 8]);
    request.push(libc::AF_INET as u8);
    request.resize(bytes, 0);
    request
}

fn is_of(message: &[u8], address: Ipv4Addr) -> bool {
    let attributes = message.get(HEADER_BYTES + ADDRESS_BYTES..).unwrap_or_default();
    pieces(attributes, |attribute| u16_at(attribute, 0).map(u32::from)).any(|attribute| {
        u16_at(attribute, 2) == Some(libc::IFA_LOCAL) && attribute.get(ATTRIBUTE_BYTES..) == Some(&address.octets())
    })
}

/// Pieces that say how long they are, each at a multiple of four bytes.
fn pieces(mut bytes: &[u8], length: impl Fn(&[u8]) -> Option<u32>) -> impl Iterator<Item = &[u8]> {
    from_fn(move || {
        let length = length(bytes).filter(|length| *length >= ATTRIBUTE_BYTES as u32)? as usize;
        let piece = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_its_interface() {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let loopback = rustix::net::netdevice::name_to_index(&socket, "lo").unwrap();
        assert_eq!(interface_of(Ipv4Addr::LOCALHOST), Some(loopback));
        assert_eq!(interface_of(Ipv4Addr::new(192, 0, 2, 1)), None);
    }
}
