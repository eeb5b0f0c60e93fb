//! What is set on a socket.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::system;

/// How a socket behaves.
#[derive(Debug, Clone)]
pub(crate) struct UdpOptions {
    /// Bytes that the kernel may keep for us while we do not read. Default 2 MiB: 0.3 s of 50 Mbit/s.
    pub(crate) receive_buffer_bytes: usize,
    /// Bytes that the kernel may keep while the network does not take them. Default 2 MiB.
    pub(crate) send_buffer_bytes: usize,
    /// Take many datagrams of one peer as one (GRO), at 1 MiB of memory for the buffer. For listeners; default false.
    pub(crate) coalesced: bool,
    /// Give many datagrams of equal size to one destination as one (GSO). Default true.
    pub(crate) segmented: bool,
    /// Say to which address of ours each datagram was sent. Default false.
    pub(crate) local_addresses: bool,
    /// Let others listen on the same address and port too, as receivers of multicast do. Default false.
    pub(crate) shared: bool,
    /// The group to receive. Default none.
    pub(crate) membership: Option<Membership>,
    /// How datagrams to groups leave. Default: the system's way.
    pub(crate) multicast_out: MulticastOut,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            receive_buffer_bytes: 2 << 20,
            send_buffer_bytes: 2 << 20,
            coalesced: false,
            segmented: true,
            local_addresses: false,
            shared: false,
            membership: None,
            multicast_out: MulticastOut::default(),
        }
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Interface {
    /// The one that the routes say.
    #[default]
    Routed,
    /// By its name: `eth0`.
    Name(String),
    /// By an address that it has. IPv4 only.
    Address(Ipv4Addr),
}

impl Interface {
    /// Reads a name or an IPv4 address.
    pub(crate) fn parse(text: &str) -> Self {
        match text.parse() {
            _ if text.is_empty() => Self::Routed,
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routed => f.write_str("the default interface"),
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A multicast group that is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The group.
    pub(crate) group: IpAddr,
    /// The only sender to hear (source-specific multicast, RFC 4607); none: any.
    pub(crate) source: Option<IpAddr>,
    /// Where it comes in.
    pub(crate) interface: Interface,
}

/// How datagrams to multicast groups leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MulticastOut {
    /// By which interface.
    pub(crate) interface: Interface,
    /// Routers that they may pass, itself included: 1 stays in the local network. Default 1, as RFC 1112 §6.1 has it.
    pub(crate) ttl: u8,
    /// Whether receivers on this machine get them too. Default true.
    pub(crate) loopback: bool,
}

impl Default for MulticastOut {
    fn default() -> Self {
        Self { interface: Interface::Routed, ttl: 1, loopback: true }
    }
}

/// A socket, and what could not be had.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) is_coalesced: bool,
    pub(super) warnings: Vec<String>,
}

pub(super) fn open(addr: SocketAddr, options: &UdpOptions) -> io::Result<Opened> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        // `[::]` hears IPv4 too.
        socket.set_only_v6(false)?;
    }
    if options.shared {
        socket.set_reuse_address(true)?;
    }
    let warnings = size_buffers(&socket, options)?;
    let is_coalesced = options.coalesced && system::coalesce(&socket);
    system::count_overflows(&socket);
    if options.local_addresses {
        system::show_local_addresses(&socket, addr)?;
    }
    socket.bind(&addr.into())?;
    if let Some(membership) = &options.membership {
        join(&socket, membership)?;
    }
    if options.multicast_out != MulticastOut::default() {
        direct(&socket, addr, &options.multicast_out)?;
    }
    Ok(Opened { socket, is_coalesced, warnings })
}

/// Asks for buffers; the kernel gives what its administrator allows, without a word.
fn size_buffers(socket: &Socket, options: &UdpOptions) -> io::Result<Vec<String>> {
    socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
    socket.set_send_buffer_size(options.send_buffer_bytes)?;
    let wishes = [
        ("receive", socket.recv_buffer_size()?, options.receive_buffer_bytes, "rmem_max"),
        ("send", socket.send_buffer_size()?, options.send_buffer_bytes, "wmem_max"),
    ];
    let is_less = |(_, got, asked, _): &(_, usize, usize, _)| got < asked;
    let warning = |(name, got, asked, limit)| {
        format!(
            "the system allows a {name} buffer of {} KiB, not {} KiB: datagrams may be lost in bursts (sysctl net.core.{limit})",
            got / 1024,
            asked / 1024,
        )
    };
    Ok(wishes.into_iter().filter(is_less).map(warning).collect())
}

fn join(socket: &Socket, Membership { group, source, interface }: &Membership) -> io::Result<()> {
    match (group, source) {
        (IpAddr::V4(group), None) => socket.join_multicast_v4_n(group, &index_or_address(socket, interface)?)?,
        (IpAddr::V6(group), None) => socket.join_multicast_v6(group, index(socket, interface)?)?,
        (IpAddr::V4(group), Some(IpAddr::V4(source))) if !matches!(interface, Interface::Name(_)) => {
            let address = if let Interface::Address(address) = interface { *address } else { Ipv4Addr::UNSPECIFIED };
            socket.join_ssm_v4(source, group, &address)?;
        }
        (group, Some(source)) => system::join_source(socket, *group, *source, index(socket, interface)?)?,
    }
    // Else a group that somebody else on this machine has joined is heard here as well (ip(7), IP_MULTICAST_ALL).
    system::hear_own_groups_only(socket, *group);
    Ok(())
}

fn direct(socket: &Socket, addr: SocketAddr, out: &MulticastOut) -> io::Result<()> {
    if addr.is_ipv6() {
        socket.set_multicast_hops_v6(u32::from(out.ttl))?;
        socket.set_multicast_loop_v6(out.loopback)?;
        if addr.ip().is_unspecified() {
            // Groups of IPv4 have limits of their own (Linux: ip(7)); a system may not know them at a socket of both families.
            let _ = socket.set_multicast_ttl_v4(u32::from(out.ttl));
            let _ = socket.set_multicast_loop_v4(out.loopback);
        }
        return match index(socket, &out.interface)? {
            0 => Ok(()),
            index => socket.set_multicast_if_v6(index),
        };
    }
    socket.set_multicast_ttl_v4(u32::from(out.ttl))?;
    socket.set_multicast_loop_v4(out.loopback)?;
    match &out.interface {
        Interface::Routed => Ok(()),
        Interface::Address(address) => socket.set_multicast_if_v4(address),
        Interface::Name(name) => system::send_by_interface(socket, system::interface_index(socket, name)?),
    }
}

fn index_or_address(socket: &Socket, interface: &Interface) -> io::Result<InterfaceIndexOrAddress> {
    Ok(match interface {
        Interface::Address(address) => InterfaceIndexOrAddress::Address(*address),
        interface => InterfaceIndexOrAddress::Index(index(socket, interface)?),
    })
}

/// The number of an interface; 0 stands for the one that the routes say.
fn index(socket: &Socket, interface: &Interface) -> io::Result<u32> {
    match interface {
        Interface::Routed => Ok(0),
        Interface::Name(name) => system::interface_index(socket, name),
        Interface::Address(_) => {
            let text = "here an interface is given by its name, not by an address";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}
