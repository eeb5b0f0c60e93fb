//! A segment in the making as the body of a response: each part is sent when it is there.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arcly_pack::cmaf::{Found, TrackView};
use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::watch;

type Track = watch::Receiver<Arc<TrackView>>;

/// The next view of the track, and how to wait for the one behind it; none when there will be none.
type Next = Pin<Box<dyn Future<Output = Option<Track>> + Send + Sync>>;

/// The parts of one segment, until it is complete.
pub(crate) struct Growing {
    name: String,
    next: Option<Next>,
    /// Not sent yet.
    pieces: VecDeque<Bytes>,
    /// Pieces that were there when it was looked last.
    seen: usize,
    is_whole: bool,
}

impl Growing {
    /// The segment of that name, of which there are `pieces`.
    pub(crate) fn new(track: Track, name: &str, pieces: Vec<Bytes>) -> Self {
        let seen = pieces.len();
        Self { name: name.to_owned(), next: Some(next(track)), pieces: pieces.into(), seen, is_whole: false }
    }

    fn look(&mut self, view: &TrackView) {
        let (pieces, is_whole) = match view.find(&self.name) {
            Found::Whole(pieces) => (pieces, true),
            Found::Growing(pieces) => (pieces, false),
            // So slow that it has left the memory, or the window.
            Found::Away(_) | Found::Coming | Found::Nothing => (Vec::new(), true),
        };
        let known = self.seen;
        self.seen = pieces.len();
        self.pieces.extend(pieces.into_iter().skip(known));
        self.is_whole = is_whole;
    }
}

fn next(mut track: Track) -> Next {
    // What was there before is known; what came in between counts as changed.
    Box::pin(async move { track.changed().await.is_ok().then_some(track) })
}

impl Body for Growing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.is_whole {
                return Poll::Ready(None);
            }
            let Some(waiting) = self.next.as_mut() else { return Poll::Ready(None) };
            let track = ready!(waiting.as_mut().poll(context));
            self.next = None;
            if let Some(mut track) = track {
                let view = track.borrow_and_update().clone();
                self.look(&view);
                self.next = Some(next(track));
            }
        }
    }
}
