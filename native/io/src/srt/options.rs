//! How a listener behaves.

use std::time::Duration;

use arcly_wire::srt::{KeySize, Passphrase, SrtOptions as Settings};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct SrtOptions {
    /// Connections at a time, publishers and viewers. Default 4096.
    pub connections_max: usize,
    /// Those that wait for the host's decision. Default 256; more are told that there are too many.
    pub deciding_max: usize,
    /// How long the host may take to decide on a publish. Default 3 s, after which callers give up.
    pub decision_deadline: Duration,
    /// The length of keys that callers are asked for. Default none: they choose.
    pub key_size: Option<KeySize>,
    /// Latencies, bandwidth, bounds.
    pub settings: Settings,
    /// What publishers must know, where the host says nothing else of a stream. Default none: they send in the clear.
    pub publish_passphrase: Option<Passphrase>,
    /// What viewers must know. Default none.
    pub read_passphrase: Option<Passphrase>,
}

impl Default for SrtOptions {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            deciding_max: 256,
            decision_deadline: Duration::from_secs(3),
            key_size: None,
            settings: Settings::default(),
            publish_passphrase: None,
            read_passphrase: None,
        }
    }
}
