//! The message streams of a connection, made by `createStream` (RTMP §7.2.1.3).

use super::{super::RtmpError, timers::Activity};

/// What a message stream is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Idle,
    PublishRequested,
    Publishing,
    PlayRequested,
    Playing,
}

/// What came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Nothing,
    Publish,
    Play,
}

#[derive(Debug)]
struct NetStream {
    id: u32,
    state: Use,
    /// As in the command that began the use.
    name: String,
}

/// All message streams, few enough to be searched one by one.
#[derive(Debug)]
pub(super) struct NetStreams {
    streams: Vec<NetStream>,
    max: usize,
}

impl NetStreams {
    pub(super) fn new(max: usize) -> Self {
        Self { streams: Vec::new(), max }
    }

    /// Makes a stream with the smallest free number from 1 (0 is the connection itself).
    pub(super) fn create(&mut self) -> Result<u32, RtmpError> {
        if self.streams.len() >= self.max {
            return Err(RtmpError::limit("streams", self.max, self.streams.len().saturating_add(1)));
        }
        let id = (1..=u32::MAX).find(|id| self.find(*id).is_none()).unwrap_or(u32::MAX);
        self.streams.push(NetStream { id, state: Use::Idle, name: String::new() });
        Ok(id)
    }

    /// Removes a stream.
    pub(super) fn delete(&mut self, id: u32) -> Ended {
        let ended = self.release(id);
        self.streams.retain(|stream| stream.id != id);
        ended
    }

    /// Ends the use of a stream, accepted or not.
    pub(super) fn release(&mut self, id: u32) -> Ended {
        let Some(stream) = self.find_mut(id) else { return Ended::Nothing };
        match std::mem::replace(&mut stream.state, Use::Idle) {
            Use::Idle => Ended::Nothing,
            Use::PublishRequested | Use::Publishing => Ended::Publish,
            Use::PlayRequested | Use::Playing => Ended::Play,
        }
    }

    /// Begins a use; false when there is no such stream.
    pub(super) fn occupy(&mut self, id: u32, state: Use, name: &str) -> bool {
        let Some(stream) = self.find_mut(id) else { return false };
        stream.state = state;
        name.clone_into(&mut stream.name);
        true
    }

    /// From one state to another; false, and nothing changed, when the stream is not in `from`.
    pub(super) fn change(&mut self, id: u32, from: Use, to: Use) -> bool {
        let Some(stream) = self.find_mut(id).filter(|stream| stream.state == from) else { return false };
        stream.state = to;
        true
    }

    pub(super) fn is(&self, id: u32, state: Use) -> bool {
        self.find(id).is_some_and(|stream| stream.state == state)
    }

    pub(super) fn exists(&self, id: u32) -> bool {
        self.find(id).is_some()
    }

    /// The publish that began under `name`.
    pub(super) fn publish_named(&self, name: &str) -> Option<u32> {
        let is_publish = |state| matches!(state, Use::PublishRequested | Use::Publishing);
        self.streams.iter().find(|stream| is_publish(stream.state) && stream.name == name).map(|stream| stream.id)
    }

    pub(super) fn activity(&self) -> Activity {
        let mut activity = Activity::None;
        for stream in &self.streams {
            match stream.state {
                Use::Idle => {}
                Use::Playing => activity = Activity::Watches,
                _ => return Activity::Sends,
            }
        }
        activity
    }

    fn find(&self, id: u32) -> Option<&NetStream> {
        self.streams.iter().find(|stream| stream.id == id)
    }

    fn find_mut(&mut self, id: u32) -> Option<&mut NetStream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }
}
