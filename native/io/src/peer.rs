//! Addresses of peers, with the zone that a link-local one of IPv6 is nothing without (RFC 4007 §6).

use std::net::{IpAddr, SocketAddr};

/// The address as it is: a socket of both families shows IPv4 peers as `::ffff:192.0.2.1`.
pub(crate) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, peer.port()).into(),
        IpAddr::V6(_) => peer,
    }
}

/// Another port of the same host.
pub(crate) fn at_port(mut peer: SocketAddr, port: u16) -> SocketAddr {
    peer.set_port(port);
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_kept_and_mapped_addresses_are_those_of_ipv4() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (peer, shown) in [("[fe80::1%3]:554", "[fe80::1%3]:80"), ("[::ffff:192.0.2.1]:554", "192.0.2.1:80")] {
            assert_eq!(at_port(canonical(addr(peer)), 80), addr(shown));
        }
    }
}
