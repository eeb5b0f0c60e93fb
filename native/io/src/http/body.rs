//! The body of an answer: bytes that are there already, as most are, or a stream of them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::{Frame, SizeHint};

use super::given::Given;
use crate::{egress::Watch, hls::sent::Counter};

/// What hyper sends. Only what is made while it is sent has an allocation of its own.
pub(crate) struct Body {
    content: Content,
    /// What is left of the newest piece.
    rest: Bytes,
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
    pub(crate) const UNSAID: Self = Self::of(Content::Unsaid);

    const fn of(content: Content) -> Self {
        Self { content, rest: Bytes::new(), counter: None, watch: None }
    }

    /// Bytes that lie in one piece.
    pub(crate) fn one(bytes: Bytes) -> Self {
        let is_empty = bytes.is_empty();
        Self::of(Content::One(Some(bytes).filter(|_| !is_empty)))
    }

    /// Bytes that lie in several pieces.
    pub(crate) fn many(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::of(Content::Many { pieces: pieces.into_iter(), left })
    }

    /// Bytes that come.
    pub(crate) fn stream(
        body: impl hyper::body::Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Content::Stream(body.boxed()))
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
        let left = match &self.content {
            Content::Unsaid => None,
            Content::One(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Many { left, .. } => Some(*left),
            Content::Stream(body) => hyper::body::Body::size_hint(body).exact(),
        };
        left.map(|left| left + self.rest.len() as u64)
    }
}

impl Content {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match self {
            Self::Unsaid => None,
            Self::One(bytes) => bytes.take(),
            Self::Many { pieces, left } => {
                let piece = pieces.next();
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                piece
            }
            Self::Stream(body) => return hyper::body::Body::poll_frame(Pin::new(body), context),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl hyper::body::Body for Body {
    type Data = Given;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Given>, io::Error>>> {
        if self.rest.is_empty() {
            match ready!(self.content.poll_piece(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(trailers)) => {
                    return Poll::Ready(Some(Ok(trailers.map_data(|mut bytes| Given::next(&mut bytes)))));
                }
                None => return Poll::Ready(None),
            }
        }
        let given = Given::next(&mut self.rest);
        if let Some(counter) = &self.counter {
            counter.add(given.remaining());
        }
        Poll::Ready(Some(Ok(Frame::data(given))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.content {
                Content::Unsaid => false,
                Content::One(bytes) => bytes.is_none(),
                Content::Many { left, .. } => *left == 0,
                Content::Stream(body) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        self.exact_bytes().map(SizeHint::with_exact).unwrap_or_default()
    }
}
