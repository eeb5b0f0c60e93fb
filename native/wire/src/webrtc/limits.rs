//! What one session may cost.

use std::time::Duration;

/// Bounds on what one peer can make us keep or wait for. The defaults fit every browser and encoder known to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an offer or a fragment; 64 KiB (a browser's offer of everything has 10). Stops a text that is costly to read.
    pub offer_bytes: usize,
    /// Lines of an offer; 2048 (Chromium's have 300). Stops short lines, each of which becomes an object.
    pub offer_lines: usize,
    /// Media sections of an offer; 8. Stops sections that each become tracks and streams.
    pub media_sections: usize,
    /// Payload types of an offer in all; 256: there are 128 numbers. Each is compared with each of ours.
    pub payload_types: usize,
    /// Candidates of a peer, in its offer and in all its fragments; 32. The rest is passed over: who sends no checks needs none (RFC 8445
    /// §2.5), and a machine with many networks has more. Stops fragments without end.
    pub candidates: usize,
    /// Simulcast encodings of a publisher; 4.
    pub encodings: usize,
    /// From the offer to the end of the DTLS handshake; 20 s. Stops offers that nobody follows up, and handshakes that stop half-way.
    pub connect_time: Duration,
    /// Without a STUN check or media of the peer; 30 s, after which RFC 7675 §5.1 says that consent is gone. So long media are sent to an
    /// address at which nothing is heard of a viewer any more.
    pub silence: Duration,
    /// Bytes of a datagram; 2000, more than any path carries. Stops frames of TCP that claim 64 KiB.
    pub datagram_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            offer_bytes: 64 << 10,
            offer_lines: 2048,
            media_sections: 8,
            payload_types: 256,
            candidates: 32,
            encodings: 4,
            connect_time: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            datagram_bytes: 2000,
        }
    }
}
