//! Packets of a publisher to frames of the bus: put into order, put together, put onto one clock.

mod messages;
mod rungs;
mod start;
mod track;

use std::time::{Duration, Instant};

use arcly_bus::{BusError, Publisher, Track, TrackId};
use arcly_codec::MediaKind;
use arcly_wire::{
    rtp::Sync,
    webrtc::{ArrivedPacket, TrackKey},
};
use bytes::Bytes;

use self::{messages::Messages, start::Start, track::Incoming};
use crate::faults::{ENDED_HERE, Problems};

/// The least time between two requests for a key frame: a publisher needs a round trip and an encoder to answer one.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// A key frame is asked for when the last one is older than this: browsers send none unasked, and players of HLS, recordings and joiners
/// begin at one.
const KEY_FRAME_EVERY: Duration = Duration::from_secs(2);

/// Encodings that one publisher may send, of pictures and of sound.
const TRACKS_MAX: usize = 8;

pub(super) use self::rungs::Rungs;

/// One stream of a publisher.
struct ToBus {
    publisher: Publisher,
    tracks: Vec<Incoming>,
    sync: Sync,
    /// Of those who may send some.
    messages: Option<Messages>,
    start: Start,
    /// When media could flow for the first time: times of the stream begin there.
    connected: Option<Instant>,
    asked_at: Option<Instant>,
    key_at: Option<Instant>,
    /// Somebody asked while nobody could be asked.
    wants_key: bool,
    ended: Option<&'static str>,
    problems: Problems,
}

impl ToBus {
    fn new(publisher: Publisher, has_messages: bool) -> Self {
        Self {
            publisher,
            tracks: Vec::new(),
            sync: Sync::new(),
            messages: has_messages.then(Messages::default),
            start: Start::default(),
            connected: None,
            asked_at: None,
            key_at: None,
            wants_key: false,
            ended: None,
            problems: Problems::default(),
        }
    }

    /// Media may come from now on.
    fn connected(&mut self, now: Instant) {
        self.connected.get_or_insert(now);
        self.sync.begin(now);
    }

    /// Takes a packet.
    fn packet(&mut self, packet: ArrivedPacket, now: Instant) {
        let Some(index) = self.track_of(&packet, now) else { return };
        let Some(track) = self.tracks.get_mut(index) else { return };
        if let Err(error) = track.push(packet, &mut self.sync, now) {
            self.problems.tell(format!("{error}: it is left out"));
        }
        self.publish(now);
    }

    /// Takes a message. It goes with the pictures and sound that have come before.
    fn message(&mut self, message: Bytes, now: Instant) {
        let elapsed = now.saturating_duration_since(self.begun(now));
        let Some(messages) = &mut self.messages else { return };
        let frame = messages.frame(message, elapsed);
        if messages.is_first() && self.tracks.is_empty() {
            self.start.set_tracks(self.bus_tracks());
        }
        self.start.push(frame, now);
        self.start.open(false, now);
        self.release();
    }

    /// The track of a packet: by its encoding, and by its codec, which a publisher may change.
    fn track_of(&mut self, packet: &ArrivedPacket, now: Instant) -> Option<usize> {
        if let Some(index) = self.tracks.iter().position(|track| track.key == packet.track) {
            let track = self.tracks.get_mut(index)?;
            if track.codec != packet.codec {
                *track = Incoming::new(track.id, packet, Some(track.sync), &mut self.sync, now).ok()?;
            }
            return Some(index);
        }
        // Each encoding of simulcast has a stream; one that was not announced has none.
        let is_other_rendition = |track: &Incoming| track.kind() == packet.codec.kind() && packet.track.rid().is_some();
        if self.tracks.len() >= TRACKS_MAX || self.tracks.iter().any(is_other_rendition) {
            return None;
        }
        match Incoming::new(self.id(packet.codec.kind()), packet, None, &mut self.sync, now) {
            Ok(track) => self.tracks.push(track),
            Err(error) => {
                self.problems.tell(format!("{} cannot be taken: {error}", packet.codec.name()));
                return None;
            }
        }
        Some(self.tracks.len() - 1)
    }

    /// By convention 0 is the first track of pictures and 1 the first of sound, whichever comes first.
    fn id(&self, kind: MediaKind) -> TrackId {
        let usual = TrackId(u8::from(kind == MediaKind::Audio));
        let is_taken = |id| self.tracks.iter().any(|track| track.id == id);
        if is_taken(usual) { TrackId(2 + self.tracks.len() as u8) } else { usual }
    }

    fn begun(&self, now: Instant) -> Instant {
        self.connected.unwrap_or(now)
    }

    /// Publishes what is whole.
    fn publish(&mut self, now: Instant) {
        let mut changed = false;
        let mut frames = Vec::new();
        for track in &mut self.tracks {
            changed |= track.take_units(now, &mut self.sync, &mut frames);
        }
        self.wants_key |= self.tracks.iter().any(|track| track.waits_for_key());
        if changed {
            self.start.set_tracks(self.bus_tracks());
        }
        // Sound and pictures of one stream: more are not told apart when a connection begins.
        let known = |kind| self.tracks.iter().any(|track| track.kind() == kind && track.config().is_some());
        let is_whole = known(MediaKind::Video) && known(MediaKind::Audio);
        for frame in frames {
            if frame.is_key() {
                self.key_at = Some(now);
            }
            self.start.push(frame, now);
        }
        self.start.open(is_whole, now);
        self.release();
    }

    fn release(&mut self) {
        while let Some(tracks) = self.start.take_tracks() {
            self.note(|publisher| publisher.set_tracks(tracks));
        }
        while let Some(frame) = self.start.take_frame() {
            self.note(|publisher| publisher.publish(frame));
        }
    }

    fn note(&mut self, publish: impl FnOnce(&mut Publisher) -> Result<(), BusError>) {
        match publish(&mut self.publisher) {
            Ok(()) => {}
            Err(BusError::Closed) => self.ended = Some(ENDED_HERE),
            Err(error) => self.problems.tell(error.to_string()),
        }
    }

    fn bus_tracks(&self) -> Vec<Track> {
        let track = |track: &Incoming| Some(Track::new(track.id, track.config()?.clone()));
        let mut tracks: Vec<_> = self.tracks.iter().filter_map(track).collect();
        tracks.extend(self.messages.as_ref().map(Messages::track));
        tracks.sort_unstable_by_key(|track| track.id);
        tracks
    }

    /// The encodings of which a key frame is needed, when it is time to ask.
    fn take_key_frame_wishes(&mut self, now: Instant) -> Vec<TrackKey> {
        let is_old = self.key_at.is_some_and(|key| now.saturating_duration_since(key) >= KEY_FRAME_EVERY);
        self.wants_key |= self.publisher.take_keyframe_request() || is_old;
        let may_ask = self.asked_at.is_none_or(|asked| now.saturating_duration_since(asked) >= KEY_FRAME_INTERVAL);
        if !self.wants_key || !may_ask || self.connected.is_none() {
            return Vec::new();
        }
        (self.asked_at, self.wants_key) = (Some(now), false);
        self.tracks.iter().filter(|track| track.kind() == MediaKind::Video).map(|track| track.key).collect()
    }

    /// When something is due though nothing comes: a hole is given up, or the beginning is not waited for any longer.
    fn due(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(Incoming::due).chain(self.start.due()).min()
    }

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.tracks.iter_mut().for_each(|track| track.handle_timeout(now));
            self.publish(now);
        }
    }

    /// Why the publish is to end, when somebody else has ended its stream.
    fn ended(&self) -> Option<&'static str> {
        self.ended.or(self.publisher.log().is_closed().then_some(ENDED_HERE))
    }

    /// Problems that were not told yet.
    fn take_problems(&mut self) -> Vec<String> {
        self.problems.take()
    }

    /// Ends the stream.
    fn end(mut self, reason: String) {
        // What waited for a second track that never came.
        self.start.give_up();
        self.release();
        self.publisher.end(reason);
    }
}

#[cfg(test)]
mod tests;
