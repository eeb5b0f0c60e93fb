//! Messages of one RTMP publish to frames of the bus.

use arcly_bus::{BusError, Publisher};
use arcly_pack::{
    Item,
    flv::{FlvDemuxer, FlvError, TagKind},
};
use arcly_wire::rtmp::{Media, MediaKind};

use crate::faults::{ENDED_HERE, Faults};

/// Broken messages that good ones have not made up for.
const BROKEN_MAX: u32 = 100;

pub(crate) struct ToBus {
    demuxer: FlvDemuxer,
    publisher: Publisher,
    frames: u64,
    faults: Faults,
}

impl ToBus {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { demuxer: FlvDemuxer::new(), publisher, frames: 0, faults: Faults::new("message", BROKEN_MAX) }
    }

    /// Publishes what the message holds. An error ends the publish and is its reason.
    pub(crate) fn media(&mut self, media: Media) -> Result<(), String> {
        let kind = match media.kind {
            MediaKind::Audio => TagKind::Audio,
            MediaKind::Video => TagKind::Video,
            MediaKind::Script => TagKind::Script,
        };
        match self.demuxer.push(kind, media.timestamp_ms, media.body) {
            Ok(()) => self.faults.good(),
            Err(error @ FlvError::Unsupported { .. }) => {
                self.faults.problems.tell(format!("{error}: this track is left out"));
            }
            Err(error) => self.faults.broken(&error.to_string())?,
        }
        self.publish_items()
    }

    fn publish_items(&mut self) -> Result<(), String> {
        while let Some(item) = self.demuxer.poll() {
            self.frames += u64::from(matches!(item, Item::Frame(_)));
            match publish(&mut self.publisher, item) {
                Ok(()) => {}
                Err(BusError::Closed) => return Err(ENDED_HERE.into()),
                Err(error) => self.faults.problems.tell(error.to_string()),
            }
        }
        Ok(())
    }

    /// Whether the stream was ended by somebody else.
    pub(crate) fn is_closed(&self) -> bool {
        self.publisher.log().is_closed()
    }

    /// Who watches the stream, in whatever way.
    pub(crate) fn viewers(&self) -> usize {
        usize::try_from(self.publisher.log().counters().viewers).unwrap_or(usize::MAX)
    }

    /// Frames published so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The stream, for another sender to go on with it. What still waited for a track is published.
    pub(crate) fn into_publisher(mut self) -> Publisher {
        self.demuxer.finish();
        drop(self.publish_items());
        self.publisher
    }

    /// Problems that were not told yet.
    pub(crate) fn problems(&mut self) -> Vec<String> {
        self.faults.problems.take()
    }

    /// Ends the stream.
    pub(crate) fn end(mut self, reason: String) {
        // What still waited for a track; if that fails, the stream has ended already.
        self.demuxer.finish();
        drop(self.publish_items());
        self.publisher.end(reason);
    }
}

/// One item of the demuxer on its way to the bus.
fn publish(publisher: &mut Publisher, item: Item) -> Result<(), BusError> {
    match item {
        Item::Tracks(tracks) => publisher.set_tracks(tracks),
        Item::Frame(frame) => publisher.publish(frame),
        // Only the end of the publish ends the stream: encoders say this before a change of configuration too.
        Item::EndOfSequence => Ok(()),
    }
}
