//! What is counted: the set that libsrt shows, under names of ours with their units.

/// Since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Data packets sent, retransmissions among them.
    pub sent_packets: u64,
    /// Payload of those.
    pub sent_bytes: u64,
    /// Data packets sent for the first time.
    pub sent_unique_packets: u64,
    /// Payload of those.
    pub sent_unique_bytes: u64,
    /// Data packets sent again.
    pub retransmitted_packets: u64,
    /// Payload of those.
    pub retransmitted_bytes: u64,
    /// Packets that the peer reported as lost, each time that it did.
    pub send_lost_packets: u64,
    /// Packets of ours that were dropped because they would have been too late.
    pub send_dropped_packets: u64,
    /// Payload of those.
    pub send_dropped_bytes: u64,
    /// Microseconds in which there was something to send.
    pub send_busy_us: u64,
    /// Data packets that have come, of every kind.
    pub received_packets: u64,
    /// Payload of those.
    pub received_bytes: u64,
    /// Those that were new.
    pub received_unique_packets: u64,
    /// Payload of those.
    pub received_unique_bytes: u64,
    /// Those with the mark of a retransmission.
    pub received_retransmitted_packets: u64,
    /// Packets whose absence was seen.
    pub receive_lost_packets: u64,
    /// Packets that were given up because their time had come.
    pub receive_dropped_packets: u64,
    /// Packets that came behind that.
    pub belated_packets: u64,
    /// Packets that had come already.
    pub duplicate_packets: u64,
    /// Packets too far ahead to be kept.
    pub stray_packets: u64,
    /// Packets that could not be decrypted, or were not encrypted and should have been.
    pub undecrypted_packets: u64,
    /// Payload of those.
    pub undecrypted_bytes: u64,
    /// Packets that came before one with a lower number.
    pub reordered_packets: u64,
    /// Packets delivered to the application.
    pub delivered_packets: u64,
    /// Payload of those.
    pub delivered_bytes: u64,
    /// Acknowledgements sent, light ones too.
    pub sent_acks: u64,
    /// Acknowledgements received.
    pub received_acks: u64,
    /// Answers to acknowledgements sent.
    pub sent_ack_acks: u64,
    /// Answers to acknowledgements received.
    pub received_ack_acks: u64,
    /// Loss reports sent.
    pub sent_naks: u64,
    /// Loss reports received.
    pub received_naks: u64,
    /// Drop requests sent.
    pub sent_drop_requests: u64,
    /// Drop requests received.
    pub received_drop_requests: u64,
    /// Keys that were changed, ours and the peer's.
    pub key_refreshes: u64,
    /// Datagrams of this connection that were malformed.
    pub malformed_packets: u64,
}

/// A connection as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// What has happened.
    pub counters: Counters,
    /// How long it is connected.
    pub connected_ms: u64,
    /// Smoothed round trip.
    pub rtt_us: u64,
    /// Its variance.
    pub rtt_variance_us: u64,
    /// What the link could carry, as its receiver estimates: ours where we receive, else the peer's.
    pub link_bits_per_second: u64,
    /// Payload that is sent.
    pub send_bits_per_second: u64,
    /// Payload that comes.
    pub receive_bits_per_second: u64,
    /// What may be sent at most, everything counted; 0 where there is no bound yet.
    pub max_bits_per_second: u64,
    /// The least time between two packets.
    pub send_period_us: u64,
    /// Packets that may be on their way.
    pub flow_window_packets: u64,
    /// Packets that are.
    pub flight_packets: u64,
    /// Packets in the send buffer.
    pub send_buffer_packets: u64,
    /// Their payload.
    pub send_buffer_bytes: u64,
    /// From its oldest to its newest.
    pub send_buffer_ms: u64,
    /// Free places in it.
    pub send_buffer_free_packets: u64,
    /// The delay with which the peer delivers.
    pub send_latency_ms: u64,
    /// Packets in the receive buffer.
    pub receive_buffer_packets: u64,
    /// Their payload.
    pub receive_buffer_bytes: u64,
    /// From its first to its last.
    pub receive_buffer_ms: u64,
    /// Free places in it.
    pub receive_buffer_free_packets: u64,
    /// Packets that are missing now.
    pub receive_missing_packets: u64,
    /// The delay with which we deliver.
    pub receive_latency_ms: u64,
    /// Bytes of the largest IP packet.
    pub mtu_bytes: u64,
    /// Bits of the key; 0 in the clear.
    pub key_bits: u64,
}

macro_rules! named {
    ($from:expr, $($field:ident),+ $(,)?) => { [$((stringify!($field), $from.$field)),+] };
}

impl Stats {
    /// All of them by name, counters first.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counters = named!(
            self.counters,
            sent_packets,
            sent_bytes,
            sent_unique_packets,
            sent_unique_bytes,
            retransmitted_packets,
            retransmitted_bytes,
            send_lost_packets,
            send_dropped_packets,
            send_dropped_bytes,
            send_busy_us,
            received_packets,
            received_bytes,
            received_unique_packets,
            received_unique_bytes,
            received_retransmitted_packets,
            receive_lost_packets,
            receive_dropped_packets,
            belated_packets,
            duplicate_packets,
            stray_packets,
            undecrypted_packets,
            undecrypted_bytes,
            reordered_packets,
            delivered_packets,
            delivered_bytes,
            sent_acks,
            received_acks,
            sent_ack_acks,
            received_ack_acks,
            sent_naks,
            received_naks,
            sent_drop_requests,
            received_drop_requests,
            key_refreshes,
            malformed_packets,
        );
        let gauges = named!(
            self,
            connected_ms,
            rtt_us,
            rtt_variance_us,
            link_bits_per_second,
            send_bits_per_second,
            receive_bits_per_second,
            max_bits_per_second,
            send_period_us,
            flow_window_packets,
            flight_packets,
            send_buffer_packets,
            send_buffer_bytes,
            send_buffer_ms,
            send_buffer_free_packets,
            send_latency_ms,
            receive_buffer_packets,
            receive_buffer_bytes,
            receive_buffer_ms,
            receive_buffer_free_packets,
            receive_missing_packets,
            receive_latency_ms,
            mtu_bytes,
            key_bits,
        );
        counters.into_iter().chain(gauges)
    }
}
