//! WebRTC: one UDP port (and the same number on TCP) for all who publish by WHIP and watch by WHEP.
//!
//! ```text
//!            offer                 ┌──────────── Port, one task ────────────┐
//! host ──▶ WebRtcTransport ──▶ session ──▶ peers ◀── datagrams ── UDP, TCP  │
//!                                  │         │ to_bus ──▶ log of frames     │
//!                                  │         │ from_bus ◀── log of frames   │
//!                                  └────────────────────────────────────────┘
//! ```
//!
//! Signalling is HTTP and the host's: it decides who may, and then hands an offer over. What is answered here needs no lock and no task
//! of its own: all sessions live in one task, because a packet for a viewer costs less than to wake somebody else for it.
//!
//! - `transport`: what the host holds; `door`: how many may come in;
//! - `port`: the task, its sockets and timers; `peer`: one session in it; `tcp`: connections for those who are behind a wall;
//! - `from_bus`: a stream is cut into packets once (`feed`, of one log or of several: `apart`), a viewer is a cursor in them; `to_bus`: packets to frames.

mod door;
mod from_bus;
mod peer;
mod port;
mod tcp;
#[cfg(test)]
mod tests;
mod to_bus;
mod transport;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use arcly_wire::webrtc::{Answer, Limits, WebRtcError, can_carry};

pub use self::from_bus::{Apart, BFrames};
pub use self::transport::{Caller, OpenError, Prepared, WebRtcTransport};

/// How a transport behaves.
#[derive(Debug, Clone)]
pub struct WebRtcOptions {
    /// The addresses that peers are told to connect to, when the socket is bound to none in particular: public ones behind a NAT that
    /// passes the port on.
    pub hosts: Vec<IpAddr>,
    /// STUN servers that are asked under which address the UDP port is seen from outside; the first four. Peers are told that too.
    pub stun_servers: Vec<SocketAddr>,
    /// Sessions at a time. Default 10 000; each costs some 40 KiB.
    pub sessions_max: usize,
    /// Of these, those that are not connected yet. Default 1000. Stops offers that nobody follows up.
    pub unconnected_max: usize,
    /// Of these, those of one address, and of one address as many TCP connections on which no session has shown up yet. Default 64, for many
    /// may sit behind one.
    pub unconnected_per_address_max: usize,
    /// TCP connections at a time. Default 1000; 0 does without TCP.
    pub tcp_connections_max: usize,
    /// The least time between two requests for a key frame that are passed on to a publisher. Default 500 ms.
    pub key_frame_interval: Duration,
    /// How long viewers should keep pictures back, at least and at most (the playout-delay extension). Default: as they see fit.
    pub playout_delay: Option<(Duration, Duration)>,
    /// What one session may cost.
    pub limits: Limits,
}

impl Default for WebRtcOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            stun_servers: Vec::new(),
            sessions_max: 10_000,
            unconnected_max: 1000,
            unconnected_per_address_max: 64,
            tcp_connections_max: 1000,
            key_frame_interval: Duration::from_millis(500),
            playout_delay: None,
            limits: Limits::default(),
        }
    }
}
