//! One datagram a call, with what every system knows.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use socket2::Socket;
use tokio::net::UdpSocket;

use super::Message;
use crate::{
    peer::canonical,
    udp::inbound::{Filled, Inbound},
};

/// Whether [`Message::segment_bytes`] can be obeyed.
pub(in crate::udp) const CAN_SEGMENT: bool = false;

/// Takes one datagram after the other, as far as there is room.
pub(in crate::udp) fn receive(socket: &UdpSocket, inbound: &mut Inbound) -> io::Result<()> {
    inbound.filled.clear();
    for (slot, place) in inbound.memory.chunks_exact_mut(inbound.slot_bytes).enumerate() {
        match socket.try_recv_from(place) {
            Ok((bytes, peer)) => {
                let peer = canonical(peer);
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

/// The number of the interface that has an address is not known here.
pub(crate) fn interface_of(_: Ipv4Addr) -> Option<u32> {
    None
}

pub(in crate::udp) fn send_by_interface(socket: &Socket, index: u32) -> io::Result<()> {
    // 0.0.0.n is interface n on BSD and Windows.
    socket.set_multicast_if_v4(&index.into())
}

pub(in crate::udp) fn join_source(_: &Socket, _: IpAddr, _: IpAddr, _: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "here one sender can be chosen in IPv4, by an interface's address"))
}

#[cfg(test)]
mod tests {
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
            let message = Message { to: (Ipv4Addr::LOCALHOST, port).into(), from: None, bytes, segment_bytes: None };
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
