//! The message streams of a connection, made by `createStream` (RTMP §7.2.1.3).

use std::collections::VecDeque;

use super::{
    super::{Media, PlayRequest, RtmpError},
    early::Early,
    timers::Activity,
};

/// Plays that may wait behind the one of a message stream.
const PLAYLIST_MAX: usize = 16;

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
    /// Of the present play: [`PlayRequest::reset`].
    resets: bool,
    /// What a play that is asked for was told of pausing, to be answered when it begins.
    early_pause: Option<bool>,
    /// What is to be played behind the present play (RTMP §7.2.2.1).
    playlist: VecDeque<PlayRequest>,
    /// Of a publish that is asked for.
    early: Early,
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
        // Nearly every connection has one, and there are thousands of them.
        self.streams.reserve_exact(1);
        self.streams.push(NetStream {
            id,
            state: Use::Idle,
            name: String::new(),
            resets: true,
            early_pause: None,
            playlist: VecDeque::new(),
            early: Early::default(),
        });
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
        stream.playlist = VecDeque::new();
        stream.early = Early::default();
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

    /// Begins to ask for a play.
    pub(super) fn occupy_play(&mut self, request: &PlayRequest) {
        self.occupy(request.stream_id, Use::PlayRequested, &request.stream);
        if let Some(stream) = self.find_mut(request.stream_id) {
            stream.resets = request.reset;
            stream.early_pause = None;
        }
    }

    /// Whether the present play took the place of the one before.
    pub(super) fn resets(&self, id: u32) -> bool {
        self.find(id).is_some_and(|stream| stream.resets)
    }

    /// Keeps the newest answer to `pause` until the play is decided.
    pub(super) fn hold_pause(&mut self, id: u32, paused: bool) {
        self.find_mut(id).into_iter().for_each(|stream| stream.early_pause = Some(paused));
    }

    pub(super) fn take_early_pause(&mut self, id: u32) -> Option<bool> {
        self.find_mut(id)?.early_pause.take()
    }

    /// Puts a play behind the present one of its stream; hands it back when nothing is played there. What the playlist has no room for
    /// is dropped, as what comes behind an endless stream would be.
    pub(super) fn enqueue(&mut self, request: PlayRequest) -> Option<PlayRequest> {
        let is_play = |stream: &NetStream| matches!(stream.state, Use::PlayRequested | Use::Playing);
        let Some(stream) = self.find_mut(request.stream_id).filter(|stream| is_play(stream)) else {
            return Some(request);
        };
        if stream.playlist.len() < PLAYLIST_MAX {
            stream.playlist.push_back(request);
        }
        None
    }

    /// The next of the playlist.
    pub(super) fn dequeue(&mut self, id: u32) -> Option<PlayRequest> {
        self.find_mut(id)?.playlist.pop_front()
    }

    /// Keeps media of a publish that is asked for until that is decided; drops any other.
    pub(super) fn hold(&mut self, media: Media) {
        let stream = self.find_mut(media.stream_id).filter(|stream| stream.state == Use::PublishRequested);
        if let Some(stream) = stream {
            stream.early.push(media);
        }
    }

    /// What was kept of a publish that is decided now.
    pub(super) fn take_early(&mut self, id: u32) -> Vec<Media> {
        self.find_mut(id).map(|stream| std::mem::take(&mut stream.early).into_media()).unwrap_or_default()
    }

    pub(super) fn early_bytes(&self) -> usize {
        self.streams.iter().map(|stream| stream.early.bytes()).sum()
    }

    /// Whether a publish waits for the decision.
    pub(super) fn is_asking(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == Use::PublishRequested)
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
