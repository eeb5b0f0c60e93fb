//! Everything that leaves over TCP as one endless stream: muxed once per stream and format, written to any number of viewers.
//!
//! ```text
//! log of frames ──▶ PacketWriter ──▶ log of packets ──▶ Pump ──▶ socket, socket, socket …
//!                   (once a format)  (bytes, shared)    a viewer = a cursor, an offset and a socket
//! ```
//!
//! A viewer owns no task and no buffer: what is sent lies in the log of packets, and a partial write leaves its cursor in mid-packet. A
//! pump walks its viewers in one pass per picture (see `flush`), each with one system call from one list of slices. Measured: the number
//! of writes is what costs (6 µs each), not their scheduling; and a task for each viewer costs half as much again.
//!
//! - `format`: frames to the bytes of a container; `framing`: what lies around them (HTTP chunks, WebSocket messages, or nothing);
//! - `packet`, `packets`: a packet, and the log of them with what fills it;
//! - `pump`, `viewer`, `flush`: the passes, one socket, and when a pass is due; `joiner`: who comes to be written to;
//! - `poll`, `socket`: the two seams to the operating system;
//! - `line`, `ears`, `tidings`: what viewers say, by way of a task that reads (RTMP) or heard by the pump (WebSocket); that there is some;
//! - `channel`: the life of one stream in one format; `worker`: a task that pumps; `list`: who watches; `body`: the same packets for TLS and HTTP/2.

mod body;
mod channel;
mod ears;
mod flush;
mod format;
mod framing;
mod joiner;
mod line;
mod list;
mod packet;
mod packets;
mod patience;
mod poll;
mod pump;
mod socket;
#[cfg(test)]
pub(crate) mod tests;
mod tidings;
mod viewer;
mod worker;

use std::time::Duration;

pub(crate) use self::{
    body::{PacketBody, Watch},
    channel::{PlayError, Reader, Ticket},
    format::{Format, Headers},
    framing::Framing,
    joiner::Head,
    line::{Line, Wants},
    list::{Entry, List},
    packet::{Draft, Packet},
    packets::PacketLog,
    patience::Patience,
    socket::{bound_unsent, wait_for},
    viewer::End as ViewerEnd,
};
pub use self::{
    channel::Egress,
    format::Container,
    list::{ViewerId, ViewerInfo, Watcher},
};

/// How streams leave.
#[derive(Debug, Clone, Copy)]
pub struct EgressOptions {
    /// Viewers at a time, of all streams. Default 10 000.
    pub viewers_max: usize,
    /// Every packet leaves at once, sound too: twice the writes, for players that mind 30 ms of sound. Default false.
    pub every_packet: bool,
    /// Pictures that come within so long leave together, always: fewer writes, later pictures. Default none.
    pub merge: Duration,
    /// How long pictures may wait so that several leave in one write, when writing each would take too large a part of the time. Default
    /// 100 ms: a write per picture until a pass takes a quarter of the time between two pictures, which is some 500 viewers of 30 pictures
    /// a second on one core; above it, merging halves the cost, and 100 ms are less than any player buffers.
    pub merge_max: Duration,
    /// How far a viewer may be behind before it is moved to the newest key frame. Default 5 s.
    pub behind_max: Duration,
    /// How long a viewer may accept nothing before it is evicted. Default 20 s.
    pub stall_max: Duration,
    /// Unsent bytes that the kernel may hold for a viewer. Default 64 KiB. Without a bound it keeps megabytes, and a viewer that is gone is
    /// not seen to be slow for many seconds.
    pub unsent_max: u32,
    /// How long a format is kept up after its last viewer. Default 10 s: who comes back finds it there.
    pub linger: Duration,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            viewers_max: 10_000,
            every_packet: false,
            merge: Duration::ZERO,
            merge_max: Duration::from_millis(100),
            behind_max: Duration::from_secs(5),
            stall_max: Duration::from_secs(20),
            unsent_max: 64 << 10,
            linger: Duration::from_secs(10),
        }
    }
}
