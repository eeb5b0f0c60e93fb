//! Bytes on their way to a viewer, counted where they leave.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

use crate::hls::HlsOutput;

/// Characters of what a client calls itself that are kept.
const AGENT_CHARS_MAX: usize = 200;

/// Who asks for files. Segments are asked for without a session, so that caches keep them for all: whose they are is told by this.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) agent: String,
    id: u64,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, agent: &str) -> Self {
        let end = agent.char_indices().nth(AGENT_CHARS_MAX).map_or(agent.len(), |(end, _)| end);
        let agent = agent.get(..end).unwrap_or_default().to_owned();
        let mut hasher = DefaultHasher::new();
        (peer.ip(), &agent).hash(&mut hasher);
        Self { peer, agent, id: hasher.finish() }
    }

    /// The same for all connections of one player.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

/// What counts the bytes that leave for a client.
pub(crate) struct Counter {
    output: Arc<HlsOutput>,
    client: u64,
}

impl Counter {
    pub(crate) fn new(output: Arc<HlsOutput>, client: &Client) -> Self {
        Self { output, client: client.id() }
    }

    /// The stream of which they are.
    pub(crate) fn output(&self) -> &Arc<HlsOutput> {
        &self.output
    }

    /// So many bytes leave.
    pub(crate) fn add(&self, bytes: usize) {
        self.output.count_sent(self.client, bytes);
    }
}
