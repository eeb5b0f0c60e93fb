//! What one connection may cost.

use std::time::Duration;

/// Bounds on what one peer can make us keep or wait for. The defaults fit every camera and player known to us.
///
/// A connection holds at most one unfinished message ([`header_bytes`](Self::header_bytes) and [`body_bytes`](Self::body_bytes), or one
/// interleaved packet of 64 KiB), what came out of the last input and was not polled yet, and about
/// [`pending_output_bytes`](Self::pending_output_bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The start line and all headers of one message; 16 KiB. Stops a peer that sends a header without an end.
    pub header_bytes: usize,
    /// Headers of one message; 64 (real ones have about 10). Stops thousands of short ones that each cost us tens of bytes.
    pub headers: usize,
    /// The body of one message; 64 KiB, ten times the longest description known to us. Stops a `Content-Length` of 4 GB.
    pub body_bytes: usize,
    /// Bytes between messages that are passed over, since the last message; 64 KiB. Stops a peer that speaks something else.
    pub garbage_bytes: usize,
    /// Tracks of a session; 16. Stops a description of thousands.
    pub medias: usize,
    /// What came while the host decides on a request; 256 KiB. Stops a peer that does not wait for the answer.
    pub waiting_bytes: usize,
    /// Events not polled yet; 16 384. Stops four-byte packets that each become an event of tens of bytes.
    pub pending_events: usize,
    /// Output not polled yet; 64 KiB. Stops a peer that asks and never reads the answers.
    pub pending_output_bytes: usize,
    /// How long a connection may neither publish nor play nor ask for it; 15 s. Stops a peer that holds a connection without a use.
    pub unused_time: Duration,
    /// How long a session lives without a sign of life, as it is told to the peer (RFC 2326 §12.37); 60 s, the default of the clause.
    pub session_time: Duration,
    /// How long a publisher may send nothing; 10 s. Stops one that is gone and has not said so from keeping its name.
    pub media_time: Duration,
    /// How many refusals for want of credentials one connection may collect; 8. Stops one that tries passwords.
    pub challenges: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 << 10,
            headers: 64,
            body_bytes: 64 << 10,
            garbage_bytes: 64 << 10,
            medias: 16,
            waiting_bytes: 256 << 10,
            pending_events: 16_384,
            pending_output_bytes: 64 << 10,
            unused_time: Duration::from_secs(15),
            session_time: Duration::from_secs(60),
            media_time: Duration::from_secs(10),
            challenges: 8,
        }
    }
}
