//! Streams and their viewers: each stream is cut once, and each viewer is sent what it has not been sent.

use std::{sync::Arc, time::Instant};

use arcly_bus::{Log, StreamKey};
use arcly_wire::webrtc::Lane;

use super::{PeerNumber, Port, calls::Call};
use crate::webrtc::{
    from_bus::{Apart, BFrames, Feed, PACE, Pumped, Viewer},
    peer::{End, Purpose, Turn},
};

/// Logs by their addresses: the feed holds them, so no others can have the same.
pub(in crate::webrtc) type FeedKey = (usize, usize);

/// A stream and who watches it.
pub(super) struct Feeding {
    key: StreamKey,
    feed: Feed,
    pub(super) viewers: Vec<PeerNumber>,
    /// Somebody is to be sent more then.
    pub(super) pace_at: Option<Instant>,
}

/// Bytes behind which what waits is given to the kernel, while more is being made: so it is still in the cache of the core, and a key frame
/// for hundreds of viewers needs no room for all of them at once.
const FLUSH_BYTES: usize = 256 << 10;

impl Port {
    /// The packets of a stream, from before its first viewer is connected: the GOP is there when it is.
    pub(super) fn feed(
        &mut self,
        stream: &StreamKey,
        log: &Arc<Log>,
        apart: &Apart,
        b_frames: BFrames,
        viewer: PeerNumber,
        now: Instant,
    ) -> FeedKey {
        let address = |log: &Arc<Log>| Arc::as_ptr(log) as usize;
        let key = (address(log), apart.sound.as_ref().map_or(0, address));
        let waker = self.waker(Call::Feed(key));
        let interval = self.key_frame_interval;
        let feeding = self.feeds.entry(key).or_insert_with(|| {
            let feed = Feed::new(log, apart, &waker, interval, b_frames);
            Feeding { key: stream.clone(), feed, viewers: Vec::new(), pace_at: None }
        });
        feeding.viewers.push(viewer);
        self.pass(key, now);
        key
    }

    /// Cuts what a stream has, and sends each viewer what it has not been sent.
    pub(super) fn pass(&mut self, key: FeedKey, now: Instant) {
        let Some(mut feeding) = self.feeds.remove(&key) else { return };
        feeding.pace_at = None;
        loop {
            feeding.feed.read(now);
            if feeding.feed.is_over() || !feeding.feed.arm() {
                break;
            }
        }
        for note in feeding.feed.take_notes() {
            self.inbox.warn(format!("{}: {note}", feeding.key));
        }
        let is_over = feeding.feed.is_over();
        let viewers = feeding.viewers.clone();
        self.feeds.insert(key, feeding);
        for viewer in viewers {
            if is_over {
                self.stream_over(viewer, key, now);
            } else {
                self.pump(viewer, now);
            }
            if self.outbox.udp.waiting_bytes() >= FLUSH_BYTES {
                // A socket that fails is noticed by whoever waits for it.
                let _ = self.socket.try_flush(&mut self.outbox.udp);
            }
        }
    }

    /// Tells a viewer who has just been taken in of streams that have ended meanwhile: nothing rings for those any more.
    pub(super) fn look_for_ends(&mut self, number: PeerNumber, now: Instant) {
        let Some(Purpose::Play(playing)) = self.peers.get(&number).map(|peer| &peer.purpose) else { return };
        let is_over = |key: &&FeedKey| self.feeds.get(*key).is_some_and(|feeding| feeding.feed.is_over());
        let over: Vec<_> = playing.feeds.iter().filter(is_over).copied().collect();
        over.into_iter().for_each(|key| self.stream_over(number, key, now));
    }

    /// A stream has ended: for its viewers all is over, for those of whom it was one rendition of several that rendition is.
    fn stream_over(&mut self, number: PeerNumber, key: FeedKey, now: Instant) {
        if let Some(Purpose::Play(playing)) = self.peers.get_mut(&number).map(|peer| &mut peer.purpose)
            && let Some(index) = playing.feeds.iter().position(|feed| *feed == key).filter(|index| *index > 0)
        {
            playing.feeds = playing.feeds.iter().copied().filter(|feed| *feed != key).collect();
            let left = playing.feeds.iter().filter_map(|key| self.feeds.get(key)).map(|feeding| &feeding.feed);
            if let Some(viewer) = &mut playing.viewer {
                viewer.lose_layer(index, &left.collect::<Vec<_>>(), now);
            }
            return self.leave(key, number);
        }
        self.end(number, &End::Stream("the stream has ended"), now);
    }

    /// Sends one viewer what it has not been sent.
    pub(super) fn pump(&mut self, number: PeerNumber, now: Instant) {
        let Some(peer) = self.peers.get_mut(&number).filter(|peer| peer.is_connected()) else { return };
        let Purpose::Play(playing) = &peer.purpose else { return };
        let keys = playing.feeds.clone();
        let feeds: Vec<_> = keys.iter().filter_map(|key| self.feeds.get(key)).map(|feeding| &feeding.feed).collect();
        let mut turn = Turn::default();
        let pumped = peer.pump(&feeds, &mut self.outbox, now, &mut turn);
        match pumped {
            Ok(Some(Pumped::More)) => {
                if let Some(feeding) = keys.first().and_then(|key| self.feeds.get_mut(key)) {
                    feeding.pace_at = Some(now + PACE);
                }
            }
            Ok(Some(Pumped::WaitsForKey(layer))) => self.request_key_frame_of(keys.get(layer), now),
            Ok(Some(Pumped::OtherCodec)) => turn.end = Some(End::Stream("the stream goes on in another codec")),
            Ok(Some(Pumped::Gained(Lane::Video))) => turn.end = Some(End::Stream("the stream has pictures now")),
            Ok(Some(Pumped::Gained(_))) => turn.end = Some(End::Stream("the stream has sound now")),
            // It is no viewer, or has been sent all.
            Ok(None) => return,
            Ok(Some(Pumped::Level)) if !turn.was_polled => return,
            Ok(Some(Pumped::Level)) => {}
            Err(error) => turn.end = Some(error.into()),
        }
        self.turned(number, turn, now);
    }

    pub(super) fn request_key_frame(&mut self, number: PeerNumber, now: Instant) {
        let Some(Purpose::Play(playing)) = self.peers.get(&number).map(|peer| &peer.purpose) else { return };
        let layer = playing.viewer.as_ref().map_or(0, Viewer::layer);
        self.request_key_frame_of(playing.feeds.get(layer).copied().as_ref(), now);
    }

    fn request_key_frame_of(&mut self, key: Option<&FeedKey>, now: Instant) {
        if let Some(feeding) = key.and_then(|key| self.feeds.get_mut(key)) {
            feeding.feed.request_key_frame(now);
        }
    }

    pub(super) fn leave(&mut self, key: FeedKey, number: PeerNumber) {
        if let Some(feeding) = self.feeds.get_mut(&key) {
            feeding.viewers.retain(|viewer| *viewer != number);
            if feeding.viewers.is_empty() {
                self.feeds.remove(&key);
            }
        }
    }
}
