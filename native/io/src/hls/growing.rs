//! A segment in the making as the body of a response: each part is sent when it is there.

use std::{
    collections::VecDeque,
    io,
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
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More is being made.
    Growing,
    Whole,
    /// It has left the memory, or the window, before all of it was sent: that must not look like its end, or caches keep it so.
    Lost,
}

impl Growing {
    /// The segment of that name, of which there are `pieces`.
    pub(crate) fn new(track: Track, name: &str, pieces: Vec<Bytes>) -> Self {
        let seen = pieces.len();
        Self { name: name.to_owned(), next: Some(next(track)), pieces: pieces.into(), seen, state: State::Growing }
    }

    fn look(&mut self, view: &TrackView) {
        let (pieces, state) = match view.find(&self.name) {
            Found::Whole(pieces) => (pieces, State::Whole),
            Found::Growing(pieces) => (pieces, State::Growing),
            Found::Away(_) | Found::Coming | Found::Nothing => (Vec::new(), State::Lost),
        };
        let known = self.seen;
        self.seen = pieces.len();
        self.pieces.extend(pieces.into_iter().skip(known));
        self.state = state;
    }
}

fn next(mut track: Track) -> Next {
    // What was there before is known; what came in between counts as changed.
    Box::pin(async move { track.changed().await.is_ok().then_some(track) })
}

impl Body for Growing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let waiting = match (self.state, self.next.as_mut()) {
                (State::Whole, _) => return Poll::Ready(None),
                (State::Growing, Some(waiting)) => waiting,
                (State::Lost, _) | (State::Growing, None) => {
                    return Poll::Ready(Some(Err(io::Error::other("the rest of the segment is gone"))));
                }
            };
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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use arcly_bus::{Frame as MediaFrame, FrameFlags, LogBounds, LogWriter, Publisher, Track, TrackId};
    use arcly_codec::{Codec, CodecConfig};
    use arcly_pack::cmaf::CmafConfig;
    use std::task::Waker;
    use tokio::runtime::Handle;

    use super::*;
    use crate::{
        Inbox,
        hls::{PackageConfig, package},
    };

    const SOUND: TrackId = TrackId(0);

    fn publish(publisher: &mut Publisher, frames: std::ops::Range<i64>) {
        for n in frames {
            let (pts, payload) = (n * 1024, vec![0x21; 100].into());
            let frame = MediaFrame { track: SOUND, flags: FrameFlags::NONE, pts, dts: pts, duration: 1024, payload };
            publisher.publish(frame).unwrap();
        }
    }

    /// Found by reading: a segment that left the window before it was sent ended as if this were all of it, and caches kept that.
    #[tokio::test]
    async fn a_segment_that_is_lost_on_the_way_does_not_end_as_if_it_were_whole() {
        let mut publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
        let sound = CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap();
        publisher.set_tracks(vec![Track::new(SOUND, sound)]).unwrap();
        let config = PackageConfig { cmaf: Some(CmafConfig::default()), ..PackageConfig::default() };
        let inbox = Inbox::new(Waker::noop().clone());
        let output = package(&Handle::current(), publisher.log(), config, "live/cam".into(), "s", inbox);
        publish(&mut publisher, 0..100);
        output.first_cmaf_view(Duration::from_secs(10)).await.unwrap();
        let mut body = Growing::new(output.track("a0").unwrap(), "left.m4s", vec![Bytes::from_static(b"part")]);
        let mut next = async || poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert_eq!(next().await.unwrap().unwrap().into_data().unwrap(), "part");
        publish(&mut publisher, 100..200);
        assert!(next().await.is_some_and(|piece| piece.is_err()));
    }
}
