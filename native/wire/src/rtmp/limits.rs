//! What one connection may cost.

use std::time::Duration;

/// Bounds on what one peer can make us keep or wait for. The defaults fit every encoder known to us.
///
/// A connection holds at most [`unfinished_bytes`](Self::unfinished_bytes), twice while a publish waits for the decision, plus what came
/// out of the last input and was not polled yet, plus about [`pending_output_bytes`](Self::pending_output_bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of one message; 16 MiB - 1, all that the 24-bit field can say. Stops one access unit
    /// from filling the memory. Memory follows the bytes that came, not the length announced.
    pub message_bytes: usize,
    /// Memory of all unfinished messages together; 32 MiB. Stops a peer that begins a message on
    /// every chunk stream and ends none.
    pub unfinished_bytes: usize,
    /// As `message_bytes`, until a publish is asked for; 64 KiB, more than any command has. Stops strangers.
    pub stranger_message_bytes: usize,
    /// As `unfinished_bytes`, until a publish is asked for; 256 KiB. Stops strangers in great number.
    pub stranger_unfinished_bytes: usize,
    /// Media that came while the host decides on its publish, unfinished messages included, from which on
    /// [`ServerConn::wants_input`](super::ServerConn::wants_input) asks to read no more; 256 KiB. Twice as much is an error, until a publish has
    /// been accepted. Stops strangers who do not wait for the answer.
    pub waiting_bytes: usize,
    /// Chunk streams in use; 64 (encoders use 3 to 6). Each keeps its last header: stops a peer that
    /// names all 65 597 of them.
    pub chunk_streams: usize,
    /// The chunk size that the peer may set; 16 777 215, where the specification says that all
    /// greater ones are equal. One chunk blocks the others for so long.
    pub chunk_bytes: usize,
    /// Nesting of AMF objects and arrays; 32. Stops a message of nested objects from exhausting
    /// the stack of a reader that recurses.
    pub amf_depth: usize,
    /// AMF values in one command; 1024 (`connect` has about 15). Stops one-byte values that each
    /// cost us tens.
    pub amf_values: usize,
    /// Length of one AMF string; 16 KiB (names with tokens are the longest real ones). Stops names
    /// that are copied into replies and logs.
    pub amf_string_bytes: usize,
    /// From the beginning to the end of the handshake; 10 s. Stops a peer that connects and says nothing, or
    /// sends a byte a minute.
    pub handshake_time: Duration,
    /// How long a connection may neither publish nor play nor ask for it, after the handshake or
    /// since it last did; 10 s. Stops a peer that holds a connection without a use.
    pub unused_time: Duration,
    /// Without any input at all; 30 s. Stops half-open connections: encoders send audio many times a second.
    pub idle_time: Duration,
    /// A viewer that says nothing for so long is pinged, and has [`idle_time`](Self::idle_time) to say something; 20 s. Viewers need
    /// not say anything; this finds those that are gone.
    pub ping_time: Duration,
    /// Message streams that exist at a time; 8. Stops `createStream` in a loop.
    pub streams: usize,
    /// Events not polled yet; 16 384, which reads of 64 KiB between polls cannot reach with media worth the name.
    /// Stops two-byte messages that each become an event of tens of bytes.
    pub pending_events: usize,
    /// Output not polled yet; 64 KiB. Stops a peer that asks (pings, commands) and never reads the
    /// answers, when the caller polls only what the socket takes.
    pub pending_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 0xff_ffff,
            unfinished_bytes: 32 << 20,
            stranger_message_bytes: 64 << 10,
            stranger_unfinished_bytes: 256 << 10,
            waiting_bytes: 256 << 10,
            chunk_streams: 64,
            chunk_bytes: 0xff_ffff,
            amf_depth: 32,
            amf_values: 1024,
            amf_string_bytes: 16 << 10,
            handshake_time: Duration::from_secs(10),
            unused_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(30),
            ping_time: Duration::from_secs(20),
            streams: 8,
            pending_events: 16_384,
            pending_output_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// What one body of AMF values may cost.
    pub fn amf(&self) -> arcly_codec::amf::Limits {
        arcly_codec::amf::Limits { depth: self.amf_depth, values: self.amf_values, string_bytes: self.amf_string_bytes }
    }

    /// What holds for a peer that has asked to publish and that nobody has let.
    pub(super) fn of_undecided(self) -> Self {
        Self { unfinished_bytes: self.unfinished_bytes.min(self.waiting_bytes.saturating_mul(2)), ..self }
    }

    /// What holds for a peer that has not asked to publish yet.
    pub(super) fn of_strangers(self) -> Self {
        Self {
            message_bytes: self.message_bytes.min(self.stranger_message_bytes),
            unfinished_bytes: self.unfinished_bytes.min(self.stranger_unfinished_bytes),
            ..self
        }
    }
}
