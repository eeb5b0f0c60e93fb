//! The transport stream of one publisher to frames of the bus.

use std::{net::SocketAddr, sync::Arc};

use arcly_bus::{BusError, Publisher};
use arcly_pack::{
    Item,
    container::{Container, ContainerDemuxer},
};

use crate::{
    Inbox,
    faults::{ENDED_HERE, Problems},
};

pub(super) struct ToBus {
    demuxer: ContainerDemuxer,
    publisher: Publisher,
    frames: u64,
    peer: SocketAddr,
    inbox: Arc<Inbox>,
    problems: Problems,
}

impl ToBus {
    pub(super) fn new(publisher: Publisher, peer: SocketAddr, inbox: Arc<Inbox>) -> Self {
        let demuxer = ContainerDemuxer::new(Container::MpegTs, None);
        Self { demuxer, publisher, frames: 0, peer, inbox, problems: Problems::default() }
    }

    /// Takes the payload of a packet. An error ends the publish and is its reason.
    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), String> {
        self.demuxer.push(payload).map_err(|error| error.to_string())?;
        self.publish()
    }

    fn publish(&mut self) -> Result<(), String> {
        while let Some(item) = self.demuxer.poll() {
            let outcome = match item {
                Item::Tracks(tracks) => self.publisher.set_tracks(tracks),
                Item::Frame(frame) => {
                    self.frames += 1;
                    self.publisher.publish(frame)
                }
                Item::EndOfSequence => Ok(()),
            };
            match outcome {
                Ok(()) => {}
                Err(BusError::Closed) => return Err(ENDED_HERE.into()),
                Err(error) => self.problems.tell(error.to_string()),
            }
        }
        self.problems.take().iter().for_each(|problem| self.inbox.warn(format!("{}: {problem}", self.peer)));
        Ok(())
    }

    /// Frames published so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Publishes what was incomplete, and leaves the stream to its next sender.
    pub(super) fn into_publisher(mut self) -> Publisher {
        self.finish();
        self.publisher
    }

    /// Whether the stream was ended by somebody else.
    pub(super) fn is_closed(&self) -> bool {
        self.publisher.log().is_closed()
    }

    fn finish(&mut self) {
        // What is wrong with the rest of it is no news: it was cut off.
        let _ = self.demuxer.finish();
        let _ = self.publish();
    }

    /// Ends the stream.
    pub(super) fn end(mut self, reason: String) {
        self.finish();
        self.publisher.end(reason);
    }
}
