//! The body of an answer: bytes that are there already, as most are, or a stream of them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::{Frame, SizeHint};

use super::given::Given;
use crate::{egress::Watch, hls::sent::Counter};

/// What hyper sends. Only what is made while it is sent has an allocation of its own.
pub(crate) struct Body {
    content: Content,
    counter: Option<Counter>,
    watch: Option<Watch>,
}

enum Content {
    /// Nothing, of which nobody says how long it is.
    Unsaid,
    /// All of it in one piece, until it is sent.
    One(Option<Bytes>),
    /// Pieces, of which the sum is known.
    Many {
        pieces: vec::IntoIter<Bytes>,
        left: u64,
    },
    Stream(BoxBody<Bytes, io::Error>),
}

impl Body {
    /// The body that a HEAD leaves out: its length is not said.
    pub(crate) const UNSAID: Self = Self { content: Content::Unsaid, counter: None, watch: None };

    /// Bytes that lie in one piece.
    pub(crate) fn one(bytes: Bytes) -> Self {
        let is_empty = bytes.is_empty();
        Self { content: Content::One(Some(bytes).filter(|_| !is_empty)), counter: None, watch: None }
    }

    /// Bytes that lie in several pieces.
    pub(crate) fn many(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { content: Content::Many { pieces: pieces.into_iter(), left }, counter: None, watch: None }
    }

    /// Bytes that come.
    pub(crate) fn stream(
        body: impl hyper::body::Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { content: Content::Stream(body.boxed()), counter: None, watch: None }
    }

    /// The same, and `counter` is told of what leaves.
    pub(crate) fn counted(self, counter: Counter) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// The same, of a viewer whom `watch` looks after where this is sent by a server that is not ours.
    pub(crate) fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// By what to see that the viewer is to be let go; none where there is nothing to look for.
    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take()
    }

    /// How many bytes it has, where that is known.
    pub(crate) fn exact_bytes(&self) -> Option<u64> {
        match &self.content {
            Content::Unsaid => None,
            Content::One(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Many { left, .. } => Some(*left),
            Content::Stream(body) => hyper::body::Body::size_hint(body).exact(),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Given;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Given>, io::Error>>> {
        let bytes = match &mut self.content {
            Content::Unsaid => None,
            Content::One(bytes) => bytes.take(),
            Content::Many { pieces, left } => {
                let piece = pieces.next();
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                piece
            }
            Content::Stream(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers.map_data(Given::new)))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => None,
            },
        };
        if let (Some(counter), Some(bytes)) = (&self.counter, &bytes) {
            counter.add(bytes.len());
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(Given::new(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Unsaid => false,
            Content::One(bytes) => bytes.is_none(),
            Content::Many { left, .. } => *left == 0,
            Content::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Stream(body) => body.size_hint(),
            _ => self.exact_bytes().map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}
