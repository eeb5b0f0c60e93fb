//! UDP: one socket, many datagrams in one system call, both ways. What SRT, RTP and transport streams stand on.
//!
//! ```text
//! kernel ──recvmmsg, GRO──▶ Inbound ──▶ datagrams, borrowed      Outbound ──sendmmsg, GSO──▶ kernel
//! ```
//!
//! What costs is the number of datagrams that pass through the kernel one by one (about 4 µs each): so many are taken in one call, and
//! those of equal size to one destination pass through it as one (`UDP_SEGMENT`, `UDP_GRO`; a third of the cost).
//!
//! - `socket`: the socket, for tasks; `options`: what is set on it, multicast too;
//! - `inbound`: what one call has received; `outbound`: what is to be sent, and the queue of what could not be yet;
//! - `system`: the seam to the operating system, and what stands in for it elsewhere.

mod inbound;
mod options;
mod outbound;
mod socket;
mod system;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    inbound::Inbound,
    options::{Interface, Membership, MulticastOut, UdpOptions},
    outbound::Outbound,
    socket::UdpSocket,
    system::interface_of,
};

/// The largest payload of a datagram over IPv4 (RFC 768, RFC 791 §3.1).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;
