//! Where transport streams come from and go to: `udp://239.0.0.1:1234?iface=eth0`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use arcly_pack::mpegts::{CONSTANT_RATES_BPS, GROUP_BYTES, PACKET_BYTES};

use crate::udp::{Interface, Membership, MulticastOut, UdpOptions};

/// An address to listen on, a group to join, or somebody to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpUrl {
    /// `rtp://`.
    pub rtp: bool,
    /// An IP address or a name; empty for all addresses of this machine.
    pub host: String,
    /// Its port, never 0.
    pub port: u16,
    /// `iface`: the network interface for multicast, by its name or IPv4 address; empty for the one that the routes say.
    pub interface: String,
    /// `source`: the only sender that is heard.
    pub source: Option<IpAddr>,
    /// `program`: the `program_number` that is read; none for the first with media.
    pub program: Option<u16>,
    /// `ttl`: routers that multicast may pass, 1 to stay in the local network. Default 1.
    pub ttl: u8,
    /// `loop`: whether multicast reaches receivers on this machine. Default true.
    pub loopback: bool,
    /// `pkt_size`: bytes of transport packets in a datagram, default 1316.
    pub group_bytes: usize,
    /// `bitrate`: bits a second of a constant rate, filled up with null packets; none for as many as the media has.
    pub bit_rate: Option<u32>,
    /// `buffer_size`: bytes that the system may keep for us while we do not read. Default 2 MiB.
    pub buffer_bytes: usize,
}

/// The most that fits into a datagram of 1 500 bytes without fragments is 7 packets; no path carries more than 8 192 bytes.
const GROUP_PACKETS_MAX: usize = 43;

impl UdpUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("a URL begins with udp:// or rtp://")?;
        let rtp = match scheme.to_ascii_lowercase().as_str() {
            "udp" => false,
            "rtp" => true,
            other => return Err(format!("{other}:// is neither udp:// nor rtp://")),
        };
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        // `udp://@group:port` is how some players write that they listen.
        let address = address.trim_start_matches('@').trim_end_matches('/');
        let (host, port) = address.rsplit_once(':').ok_or("the URL has no port: udp://HOST:PORT")?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{port:?} is no port"))?;
        let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'));
        let host = host.ok_or("the [ of an IPv6 address has no ]")?.to_owned();
        let mut parsed = Self { rtp, host, port, ..Self::default() };
        query.split('&').filter(|pair| !pair.is_empty()).try_for_each(|pair| parsed.set(pair))?;
        parsed.check()?;
        Ok(parsed)
    }

    /// Takes one parameter, by our names and by those of FFmpeg.
    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "iface" | "localaddr" => value.clone_into(&mut self.interface),
            "source" | "sources" => self.source = Some(number(name, value)?),
            "program" => self.program = Some(number(name, value)?),
            "ttl" => self.ttl = number(name, value)?,
            "loop" => self.loopback = number::<u8>(name, value)? != 0,
            "pkt_size" => self.group_bytes = number(name, value)?,
            "bitrate" => self.bit_rate = Some(number(name, value)?),
            "buffer_size" => self.buffer_bytes = number(name, value)?,
            // Of FFmpeg, and of no meaning here.
            "reuse" | "fifo_size" | "overrun_nonfatal" | "timeout" => {}
            _ => {
                let known = "iface, source, program, ttl, loop, pkt_size, bitrate, buffer_size";
                return Err(format!("{name} is not known: {known} are"));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let packets = self.group_bytes / PACKET_BYTES;
        if !self.group_bytes.is_multiple_of(PACKET_BYTES) || !(1..=GROUP_PACKETS_MAX).contains(&packets) {
            let max = GROUP_PACKETS_MAX * PACKET_BYTES;
            return Err(format!("pkt_size is a multiple of {PACKET_BYTES}, up to {max}: {GROUP_BYTES} is usual"));
        }
        if self.bit_rate.is_some_and(|rate_bps| !CONSTANT_RATES_BPS.contains(&rate_bps)) {
            return Err("bitrate is 200000 to 200000000 bits a second".into());
        }
        let family = |ip: &IpAddr| ip.is_ipv4();
        match (self.group(), &self.source) {
            (Some(group), Some(source)) if family(&group) != family(source) => {
                Err("group and source are of two families of addresses".into())
            }
            _ => Ok(()),
        }
    }

    /// The multicast group, if it is one.
    pub(super) fn group(&self) -> Option<IpAddr> {
        self.host.parse().ok().filter(IpAddr::is_multicast)
    }

    /// How a socket is opened that hears it.
    pub(super) fn options_in(&self) -> UdpOptions {
        let interface = Interface::parse(&self.interface);
        let membership = self.group().map(|group| Membership { group, source: self.source, interface });
        UdpOptions {
            receive_buffer_bytes: self.buffer_bytes,
            coalesced: true,
            shared: membership.is_some(),
            membership,
            ..UdpOptions::default()
        }
    }

    /// How a socket is opened that sends there.
    pub(super) fn options_out(&self) -> UdpOptions {
        let interface = Interface::parse(&self.interface);
        let multicast_out = MulticastOut { interface, ttl: self.ttl, loopback: self.loopback };
        UdpOptions { multicast_out, ..UdpOptions::default() }
    }

    /// The address that its name stands for.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn resolve(&self) -> Result<SocketAddr, String> {
        if self.host.is_empty() {
            return Ok((Ipv6Addr::UNSPECIFIED, self.port).into());
        }
        let unknown = |error: &dyn fmt::Display| format!("{} is not known: {error}", self.host);
        let mut found =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(|error| unknown(&error))?;
        found.next().ok_or_else(|| unknown(&"it has no address"))
    }
}

impl Default for UdpUrl {
    fn default() -> Self {
        Self {
            rtp: false,
            host: String::new(),
            port: 0,
            interface: String::new(),
            source: None,
            program: None,
            ttl: 1,
            loopback: true,
            group_bytes: GROUP_BYTES,
            bit_rate: None,
            buffer_bytes: UdpOptions::default().receive_buffer_bytes,
        }
    }
}

impl fmt::Display for UdpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.rtp { "rtp" } else { "udp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}={value} is out of its range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_and_how() {
        let url = UdpUrl::parse("udp://@239.0.0.1:1234?iface=eth0&source=192.0.2.7&ttl=8&bitrate=6000000").unwrap();
        assert_eq!((url.rtp, url.host.as_str(), url.port, url.ttl), (false, "239.0.0.1", 1234, 8));
        assert_eq!((url.interface.as_str(), url.bit_rate), ("eth0", Some(6_000_000)));
        assert!(url.options_in().membership.is_some_and(|at| at.source == Some("192.0.2.7".parse().unwrap())));
        assert_eq!(url.to_string(), "udp://239.0.0.1:1234");
        let url = UdpUrl::parse("RTP://[ff15::7]:5004/?program=3&pkt_size=188&fifo_size=9").unwrap();
        assert_eq!((url.rtp, url.host.as_str(), url.program, url.group_bytes), (true, "ff15::7", Some(3), 188));
        assert_eq!(url.to_string(), "rtp://[ff15::7]:5004");
        let url = UdpUrl::parse("udp://:9000").unwrap();
        assert_eq!((url.host.as_str(), url.options_in().shared), ("", false));
    }

    #[test]
    fn what_is_no_url_is_refused_with_a_reason() {
        for url in [
            "",
            "udp://",
            "udp://h",
            "udp://h:0",
            "udp://h:70000",
            "udp://[::1:9",
            "http://h:1",
            "udp://h:1?iface",
            "udp://h:1?ttl=999",
            "udp://h:1?speed=9",
            "udp://h:1?pkt_size=1400",
            "udp://h:1?pkt_size=0",
            "udp://h:1?bitrate=5",
            "udp://239.0.0.1:1?source=::1",
        ] {
            let parsed = UdpUrl::parse(url);
            assert!(parsed.is_err() || url.ends_with("iface"), "{url}: {parsed:?}");
        }
    }
}
