//! A connection that is established: both directions of it.

mod group;
mod input;
mod output;
mod timers;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

pub use self::group::Shared;
use super::{
    SrtError, SrtOptions, Stats,
    crypto::Keys,
    limits::delay_ms,
    number,
    packet::{HEADER_BYTES, Position},
    rate::{LinkProbe, Meter, Pacer},
    receive::{Delivery, ReceiveBuffer},
    rtt::Rtt,
    send::SendBuffer,
    stats::Counters,
    tsbpd::Tsbpd,
};

/// Headers of IPv4 and UDP.
const LOWER_HEADERS_BYTES: u32 = 28;

/// Payload of a packet at most, where a packet of IP has 1500 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1456;

/// What a handshake has agreed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agreed {
    /// Our socket.
    pub(super) local_id: u32,
    /// The peer's.
    pub(super) peer_id: u32,
    /// The sequence number of our first packet.
    pub(super) sequence: u32,
    /// That of the peer's.
    pub(super) peer_sequence: u32,
    /// With which delay we deliver.
    pub(super) receive_delay: Duration,
    /// With which delay the peer delivers.
    pub(super) send_delay: Duration,
    pub(super) mtu: u32,
    pub(super) flow_window: u32,
    /// What our timestamps count from.
    pub(super) start: Duration,
    /// The timestamp of the peer's handshake packet that came just now.
    pub(super) peer_timestamp: u32,
    /// Of its library.
    pub(super) peer_version: u32,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer said so.
    ByPeer,
    /// We said so.
    ByUs,
    /// The peer was silent for [`Limits::idle_time`](super::Limits::idle_time).
    Idle,
    /// The peer could not process what it got.
    PeerError(u32),
    /// There were no random numbers for a new key.
    NoKey,
}

/// One connection. Feed it datagrams of its peer with [`handle_input`](Self::handle_input), then drain [`deliver`](Self::deliver) and
/// [`poll_output`](Self::poll_output), and call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so.
///
/// Every `now` counts from one fixed origin and never goes back.
#[derive(Debug)]
pub struct SrtConn {
    options: SrtOptions,
    agreed: Agreed,
    keys: Option<Keys>,
    send: SendBuffer,
    receive: ReceiveBuffer,
    tsbpd: Tsbpd,
    rtt: Rtt,
    input: Meter,
    arriving: Meter,
    probe: LinkProbe,
    pacer: Pacer,
    counters: Counters,
    /// Control packets that wait to be sent.
    control: VecDeque<Vec<u8>>,
    clocks: timers::Clocks,
    acks: output::Acks,
    message: u32,
    peer_flow_packets: u64,
    peer_link_packets_per_second: u64,
    last_received_us: u64,
    closed: Option<Closed>,
    link: group::Link,
}

impl SrtConn {
    pub(super) fn new(now: Duration, agreed: Agreed, options: SrtOptions, keys: Option<Keys>) -> Self {
        let (now_us, limits) = (micros(now), options.limits);
        let delay_us = micros(agreed.receive_delay);
        let (first, peer_first) = (number::first(agreed.sequence), number::first(agreed.peer_sequence));
        Self {
            keys,
            send: SendBuffer::new(first),
            receive: ReceiveBuffer::new(peer_first, limits.receive_packets),
            tsbpd: Tsbpd::new(now_us, agreed.peer_timestamp, delay_us),
            rtt: Rtt::default(),
            input: Meter::default(),
            arriving: Meter::default(),
            probe: LinkProbe::default(),
            pacer: Pacer::new(options.bandwidth, options.overhead_percent),
            counters: Counters::default(),
            control: VecDeque::new(),
            clocks: timers::Clocks::new(now_us),
            acks: output::Acks::new(peer_first),
            message: 1,
            peer_flow_packets: u64::from(agreed.flow_window.max(1)),
            peer_link_packets_per_second: 0,
            last_received_us: now_us,
            closed: None,
            link: group::Link::new(peer_first),
            options,
            agreed,
        }
    }

    /// It was decided on at this time; the handshake may have come long before.
    pub fn begin(&mut self, now: Duration) {
        self.last_received_us = micros(now);
        self.clocks = timers::Clocks::new(micros(now));
    }

    /// Our socket: the destination of what the peer sends.
    pub fn local_id(&self) -> u32 {
        self.agreed.local_id
    }

    /// The peer's socket.
    pub fn peer_id(&self) -> u32 {
        self.agreed.peer_id
    }

    /// The version of the peer's library: `major << 16 | minor << 8 | patch`.
    pub fn peer_version(&self) -> u32 {
        self.agreed.peer_version
    }

    /// Whether payloads are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.keys.is_some()
    }

    /// Why it is over; none while it is not. What it still has to say can be polled.
    pub fn closed(&self) -> Option<Closed> {
        self.closed
    }

    /// With which delay we deliver.
    pub fn receive_delay(&self) -> Duration {
        self.agreed.receive_delay
    }

    /// With which delay the peer delivers.
    pub fn send_delay(&self) -> Duration {
        self.agreed.send_delay
    }

    /// Bytes of one payload at most.
    pub fn payload_max(&self) -> usize {
        let headers = LOWER_HEADERS_BYTES + HEADER_BYTES as u32;
        let room = usize::try_from(self.agreed.mtu.saturating_sub(headers)).unwrap_or(0);
        let tag = self.keys.as_ref().map_or(0, Keys::tag_bytes);
        room.min(PAYLOAD_BYTES_MAX).saturating_sub(tag).max(1)
    }

    /// Sends one message; one that is longer than [`payload_max`](Self::payload_max) in several packets. False when there is no room: the
    /// peer does not take what we send. Nothing of it is sent then.
    pub fn send(&mut self, now: Duration, message: &Bytes) -> bool {
        let payload_max = self.payload_max();
        let packets = message.len().div_ceil(payload_max);
        if self.closed.is_some() || message.is_empty() {
            return false;
        }
        let now_us = micros(now);
        if self.send.len() + packets > self.options.limits.send_packets {
            self.drop_late(now_us);
            if self.send.len() + packets > self.options.limits.send_packets {
                self.counters.send_dropped_packets += packets as u64;
                self.counters.send_dropped_bytes += message.len() as u64;
                return false;
            }
        }
        for index in 0..packets {
            let end = message.len().min((index + 1) * payload_max);
            let position = match (index == 0, index + 1 == packets) {
                (true, true) => Position::Solo,
                (true, false) => Position::First,
                (false, true) => Position::Last,
                (false, false) => Position::Middle,
            };
            self.push(now_us, message.slice(index * payload_max..end), position);
        }
        self.message = if self.message == super::packet::MESSAGE_MASK { 1 } else { self.message + 1 };
        true
    }

    fn push(&mut self, now_us: u64, payload: Bytes, position: Position) {
        let Some(key) = self.next_key(now_us) else { return };
        self.input.count(now_us, payload.len());
        if self.send.len() == 0 {
            self.clocks.busy_since_us = Some(now_us);
        }
        self.send.push(now_us, payload, position, key, self.message);
    }

    /// Packets that [`send`](Self::send) would take now.
    pub fn room(&self) -> usize {
        self.options.limits.send_packets.saturating_sub(self.send.len())
    }

    /// Packets that [`send`](Self::send) has taken and the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.send.len()
    }

    /// The next packet whose time has come. When the peer is gone all that came of it is: nothing will fill the holes.
    pub fn deliver(&mut self, now: Duration) -> Option<Delivery<'_>> {
        if self.link.follows {
            return None;
        }
        let (now_us, may_drop) =
            if self.is_left() { (u64::MAX, true) } else { (micros(now), self.options.too_late_drop) };
        let (delivery, given_up) = self.receive.deliver(now_us, may_drop)?;
        self.counters.receive_dropped_packets += given_up;
        self.counters.delivered_packets += 1;
        self.counters.delivered_bytes += delivery.payload.len() as u64;
        Some(delivery)
    }

    /// Whether the peer is gone, and no other link brings what is missing.
    fn is_left(&self) -> bool {
        !self.link.is_member && self.closed.is_some_and(|closed| closed != Closed::ByUs)
    }

    /// Ends it; the peer is told.
    pub fn close(&mut self, now: Duration) {
        if self.closed.is_none() {
            self.closed = Some(Closed::ByUs);
            self.control.clear();
            self.push_control(micros(now), &super::packet::Control::Shutdown);
        }
    }

    /// Whether all that was to be sent was, and has arrived.
    pub fn is_drained(&self) -> bool {
        self.send.len() == 0
    }

    /// Payload held for the peer, in both directions. What is sent is shared with others.
    pub fn buffered_bytes(&self) -> usize {
        self.receive.bytes() + self.send.bytes() + self.control.iter().map(Vec::len).sum::<usize>()
    }

    /// How it is.
    pub fn stats(&self, now: Duration) -> Stats {
        let now_us = micros(now);
        let max = self.pacer.max(&self.input).unwrap_or(0);
        let payload = self.payload_max() as u64;
        let link = self.probe.packets_per_second().max(self.peer_link_packets_per_second);
        Stats {
            counters: self.counters,
            connected_ms: now_us.saturating_sub(micros(self.agreed.start)) / 1000,
            rtt_us: self.rtt.smoothed_us,
            rtt_variance_us: self.rtt.variance_us,
            link_bits_per_second: link * payload * 8,
            send_bits_per_second: self.input.bytes_per_second * 8,
            receive_bits_per_second: self.arriving.bytes_per_second * 8,
            max_bits_per_second: max.saturating_mul(8),
            send_period_us: (payload * 1_000_000).checked_div(max).unwrap_or(0),
            flow_window_packets: self.peer_flow_packets,
            flight_packets: self.send.in_flight(),
            send_buffer_packets: self.send.len() as u64,
            send_buffer_bytes: self.send.bytes() as u64,
            send_buffer_ms: self.send.span_us() / 1000,
            send_buffer_free_packets: self.options.limits.send_packets.saturating_sub(self.send.len()) as u64,
            send_latency_ms: u64::from(delay_ms(self.agreed.send_delay)),
            receive_buffer_packets: self.receive.packets() as u64,
            receive_buffer_bytes: self.receive.bytes() as u64,
            receive_buffer_ms: self.receive.span_us() / 1000,
            receive_buffer_free_packets: self.receive.free_packets() as u64,
            receive_missing_packets: self.receive.missing(),
            receive_latency_ms: u64::from(delay_ms(self.agreed.receive_delay)),
            mtu_bytes: u64::from(self.agreed.mtu),
            key_bits: self.keys.as_ref().map_or(0, |keys| keys.size().bytes() as u64 * 8),
        }
    }

    /// Our time as timestamps count it.
    fn timestamp(&self, now_us: u64) -> u32 {
        now_us.saturating_sub(micros(self.agreed.start)) as u32
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
