//! Bytes on their way to a viewer, counted where they leave.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::{hls::HlsOutput, http::response::Body};

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

/// A body that counts what is taken from it.
pub(crate) struct Counted {
    body: Body,
    output: Arc<HlsOutput>,
    client: u64,
}

impl Counted {
    pub(crate) fn new(body: Body, output: Arc<HlsOutput>, client: &Client) -> Self {
        Self { body, output, client: client.id() }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            self.output.count_sent(self.client, data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
