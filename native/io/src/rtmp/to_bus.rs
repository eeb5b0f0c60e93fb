//! Messages of one RTMP publish to frames of the bus.

use std::collections::HashSet;

use arcly_bus::{BusError, Publisher};
use arcly_pack::{
    Item,
    flv::{FlvDemuxer, FlvError, TagKind},
};
use arcly_wire::rtmp::{Media, MediaKind};

/// A publish is ended when its faults outweigh what is good: each broken message weighs as much as ten good ones, and a hundred may be
/// open. One damaged picture now and then is no reason to lose a stream, a flow of them is no stream.
const BROKEN_WEIGHT: u32 = 10;
const FAULT_MAX: u32 = 100 * BROKEN_WEIGHT;

/// What a publisher is told whose stream was ended by somebody else.
pub(crate) const ENDED_HERE: &str = "the stream was ended by the server";

pub(crate) struct ToBus {
    demuxer: FlvDemuxer,
    publisher: Publisher,
    frames: u64,
    /// Grows with broken messages and shrinks with good ones.
    fault: u32,
    /// What was complained about: each problem is said once in a publish.
    said: HashSet<String>,
    news: Vec<String>,
}

impl ToBus {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { demuxer: FlvDemuxer::new(), publisher, frames: 0, fault: 0, said: HashSet::new(), news: Vec::new() }
    }

    /// Publishes what the message holds. An error ends the publish and is its reason.
    pub(crate) fn media(&mut self, media: Media) -> Result<(), String> {
        let kind = match media.kind {
            MediaKind::Audio => TagKind::Audio,
            MediaKind::Video => TagKind::Video,
            MediaKind::Script => TagKind::Script,
        };
        match self.demuxer.push(kind, media.timestamp_ms, media.body) {
            Ok(()) => self.fault = self.fault.saturating_sub(1),
            Err(error) => self.complain(&error)?,
        }
        self.publish_items()
    }

    fn publish_items(&mut self) -> Result<(), String> {
        while let Some(item) = self.demuxer.poll() {
            self.frames += u64::from(matches!(item, Item::Frame(_)));
            match publish(&mut self.publisher, item) {
                Ok(()) => {}
                Err(BusError::Closed) => return Err(ENDED_HERE.into()),
                Err(error) => self.say(error.to_string()),
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
        std::mem::take(&mut self.news)
    }

    /// Ends the stream.
    pub(crate) fn end(mut self, reason: String) {
        // What still waited for a track; if that fails, the stream has ended already.
        self.demuxer.finish();
        drop(self.publish_items());
        self.publisher.end(reason);
    }

    fn complain(&mut self, error: &FlvError) -> Result<(), String> {
        match error {
            FlvError::Unsupported { .. } => self.say(format!("{error}: this track is left out")),
            _ => {
                self.fault += BROKEN_WEIGHT;
                self.say(format!("{error}: the message is left out"));
            }
        }
        if self.fault > FAULT_MAX {
            return Err(format!("too many broken messages, the last: {error}"));
        }
        Ok(())
    }

    fn say(&mut self, problem: String) {
        // An attacker could make many different texts: past a few, silence.
        if self.said.len() < 8 && self.said.insert(problem.clone()) {
            self.news.push(problem);
        }
    }
}

/// One item of the demuxer on its way to the bus.
pub(crate) fn publish(publisher: &mut Publisher, item: Item) -> Result<(), BusError> {
    match item {
        Item::Tracks(tracks) => publisher.set_tracks(tracks),
        Item::Frame(frame) => publisher.publish(frame),
        // Only the end of the publish ends the stream: encoders say this before a change of configuration too.
        Item::EndOfSequence => Ok(()),
    }
}
