//! Whoever publishes a stream, for as long as it does.

use std::{borrow::Cow, sync::Arc, task::Waker, time::Duration};

use crate::{BusError, Frame, Log, LogWriter, Track, TrackSet};

/// The publisher of a stream. Dropping it hands the stream back to whoever made it, who ends it or keeps it for a successor.
pub struct Publisher {
    /// Taken out only in `drop`.
    writer: Option<LogWriter>,
    log: Arc<Log>,
    hooks: Box<dyn PublisherHooks>,
    /// The tracks have changed and no frame has followed yet.
    tracks_are_news: bool,
    end_reason: Cow<'static, str>,
}

/// Told by a publisher what the engine must know. Called on the publisher's thread.
pub trait PublisherHooks: Send {
    /// The first frame under these tracks has been published.
    fn tracks_changed(&mut self, tracks: &Arc<TrackSet>);
    /// The GOP has outgrown the bounds of the log: joiners wait for the next key frame. Once in a GOP.
    fn gop_truncated(&mut self);
    /// The publisher is gone; `reason` is for people. Dropping `writer` ends the stream.
    fn ended(&mut self, reason: &str, writer: LogWriter);
}

/// No one listens, and the stream ends with its publisher.
impl PublisherHooks for () {
    fn tracks_changed(&mut self, _: &Arc<TrackSet>) {}
    fn gop_truncated(&mut self) {}
    fn ended(&mut self, _: &str, _: LogWriter) {}
}

impl Publisher {
    /// A publisher that goes on where `writer` is.
    pub fn new(writer: LogWriter, hooks: Box<dyn PublisherHooks>) -> Self {
        let log = writer.log().clone();
        let end_reason = Cow::Borrowed("the publisher is gone");
        Self { writer: Some(writer), log, hooks, tracks_are_news: false, end_reason }
    }

    /// The log that is written to.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The present tracks.
    pub fn tracks(&self) -> Arc<TrackSet> {
        self.writer.as_ref().map(|writer| writer.tracks().clone()).unwrap_or_default()
    }

    /// See [`LogWriter::set_tracks`].
    ///
    /// # Errors
    /// [`BusError::Closed`].
    pub fn set_tracks(&mut self, tracks: Vec<Track>) -> Result<(), BusError> {
        self.writer.as_mut().ok_or(BusError::Closed)?.set_tracks(tracks)?;
        self.tracks_are_news = true;
        Ok(())
    }

    /// Says that what it publishes comes from a new sender from now on; see [`LogWriter::resume`].
    pub fn resume(&mut self, pause: Duration) {
        if let Some(writer) = &mut self.writer {
            writer.resume(pause);
        }
    }

    /// See [`LogWriter::publish`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn publish(&mut self, frame: Frame) -> Result<(), BusError> {
        let published = self.writer.as_mut().ok_or(BusError::Closed)?.publish(frame)?;
        if std::mem::take(&mut self.tracks_are_news) {
            let tracks = self.tracks();
            self.hooks.tracks_changed(&tracks);
        }
        if published.gop_truncated {
            self.hooks.gop_truncated();
        }
        Ok(())
    }

    /// Wakes `waker` when readers ask for a key frame and when the stream is ended by somebody else: the two things that a
    /// publisher must learn while it has nothing to publish. Replaces the waker before.
    pub fn wake_on_request(&self, waker: Waker) {
        self.log.upstream.listen(waker);
    }

    /// Whether a reader has asked for a key frame since the last call.
    pub fn take_keyframe_request(&self) -> bool {
        self.log.upstream.take_keyframe_request()
    }

    /// Ends the publish and says why.
    pub fn end(mut self, reason: impl Into<Cow<'static, str>>) {
        self.end_reason = reason.into();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.hooks.ended(&self.end_reason, writer);
        }
    }
}
