//! A viewer: a cursor in the packets of a stream, or one in its pictures and one in its sound where the stream comes in renditions.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use arcly_wire::webrtc::{Lane, OutgoingPacket, WebRtcError};

use super::{
    feed::{Feed, PAYLOAD_BYTES, Packet},
    layers::Layers,
};
use crate::egress::Entry;

/// Packets that are put into the queue of a session before it is emptied: each takes 400 bytes there, and the room is never given back.
const CHUNK_PACKETS: usize = 16;

/// Chunks that one viewer is sent in one go at most; what is more follows after [`PACE`]. 64 packets in 5 ms are 120 Mbit/s.
const BURST_CHUNKS_MAX: u64 = 4;

pub(crate) const PACE: Duration = Duration::from_millis(5);

/// What lies behind a viewer who joins is played so much faster: a GOP of 2 s in an eighth of a second. Sent under its own times a browser
/// would show it as slowly as it was made, and stay late for ever.
const CATCH_UP: i64 = 16;

/// Chunks that a viewer of this stream is sent in one go: what is played in [`PACE`] when it is caught up with. A key frame, or a GOP for
/// somebody who joins, would otherwise fall into the queue of the slowest router on the way at once.
pub(crate) fn burst_chunks(feed: &Feed) -> u64 {
    let bytes = feed.bits_per_s() * CATCH_UP.unsigned_abs() * PACE.as_millis() as u64 / 8000;
    bytes.div_ceil(CHUNK_PACKETS as u64 * PAYLOAD_BYTES as u64).clamp(1, BURST_CHUNKS_MAX)
}

/// What a viewer of several renditions may want, above the rate of the best: sound, repetition, the error of the measure.
const WANT_PERCENT: u64 = 150;

/// Takes a packet for a viewer.
pub(crate) type Send<'a> = dyn FnMut(Lane, OutgoingPacket) -> Result<(), WebRtcError> + 'a;

/// What was said to the offer of a viewer, for pictures and sound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answered {
    pub(crate) codecs: [Option<Codec>; 2],
    /// They were asked for, and the stream had none.
    pub(crate) lacked: [bool; 2],
}

/// One viewer.
pub(crate) struct Viewer {
    entry: Entry,
    _counted: arcly_bus::Viewer,
    /// The next packet of the pictures, and of the sound unless that has a cursor of its own; none until there is a key frame to begin with.
    cursor: Option<u64>,
    /// The next packet of the sound, in the first rendition, once another one was sent; none while there is nothing in that.
    sound: Option<u64>,
    /// Behind the packets that were there when it came, and the time of the newest of them.
    joined: (u64, i64),
    answered: Answered,
    layers: Layers,
    /// The names of the renditions, as the list of viewers shows them.
    names: Vec<String>,
}

/// How far a viewer was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// It has all there is.
    Level,
    /// There is more than a chunk.
    More,
    /// It waits for a key frame of the rendition of that index.
    WaitsForKey(usize),
    /// The stream has another codec than was answered.
    OtherCodec,
    /// The stream has what was asked for and was not there: an answer is for good, and only another offer brings it.
    Gained(Lane),
}

impl Viewer {
    pub(crate) fn new(entry: Entry, counted: arcly_bus::Viewer, answered: Answered, names: Vec<String>) -> Self {
        let layers = Layers::new();
        Self { entry, _counted: counted, cursor: None, sound: None, joined: (0, 0), answered, layers, names }
    }

    /// Whether somebody wants it to be ended.
    pub(crate) fn is_kicked(&self) -> bool {
        self.entry.0.is_kicked()
    }

    /// Whether it has been sent all there is, and there is nothing to choose.
    pub(crate) fn is_level(&self, feeds: &[&Feed]) -> bool {
        let has_all = |feed: &Feed| self.cursor == Some(feed.end()) && !feed.has_other_sound();
        matches!(feeds, [feed] if has_all(feed) && self.sound.is_none())
    }

    /// What its path carries, in bits per second.
    pub(crate) fn estimate(&mut self, bits_per_s: u64) {
        self.layers.estimate(bits_per_s);
        self.entry.0.estimate_bps.store(bits_per_s, Relaxed);
    }

    /// The name of the rendition that it is sent, and what its path carries, in bits per second, as far as that is known.
    pub(crate) fn shown(&self) -> (String, u64) {
        let name = self.names.get(self.layers.current()).cloned().unwrap_or_default();
        (name, self.entry.0.estimate_bps.load(Relaxed))
    }

    /// The rendition that it is sent.
    pub(crate) fn layer(&self) -> usize {
        self.layers.current()
    }

    /// What it would take if its path carried it, and what its path is said to carry when that should be found out anew; both in bits
    /// per second.
    pub(crate) fn wants(&mut self, feeds: &[&Feed], now: Instant) -> (u64, Option<u64>) {
        let rates = self.rates(feeds);
        let best = rates.iter().copied().max().unwrap_or_default();
        (best.saturating_mul(WANT_PERCENT) / 100, self.layers.doubts(&rates, now))
    }

    /// The rendition of that index is gone; `feeds` are the others.
    pub(crate) fn lose_layer(&mut self, gone: usize, feeds: &[&Feed], now: Instant) {
        if gone < self.names.len() {
            self.names.remove(gone);
        }
        let was_current = self.layers.current() == gone;
        self.layers.lose(gone, feeds, now);
        if was_current {
            self.cursor = self.cursor.and(feeds.first().map(|feed| feed.end()));
        }
        self.show_layer();
    }

    /// Sends what it has not been sent, one chunk of it. `feeds` are the renditions, the first one that which was asked for.
    pub(crate) fn pump(&mut self, feeds: &[&Feed], now: Instant, send: &mut Send<'_>) -> Result<Pumped, WebRtcError> {
        let Some(base) = feeds.first().copied() else { return Ok(Pumped::Level) };
        let Answered { codecs, lacked } = self.answered;
        for (lane, (answered, lacked)) in [Lane::Video, Lane::Audio].into_iter().zip(codecs.into_iter().zip(lacked)) {
            match (base.codec(lane), answered) {
                (Some(codec), Some(answered)) if codec != answered => return Ok(Pumped::OtherCodec),
                (Some(_), None) if lacked => return Ok(Pumped::Gained(lane)),
                // The first rendition may never have pictures.
                (None, None) if lacked && lane == Lane::Video && feeds.iter().any(|feed| feed.has_video()) => {
                    return Ok(Pumped::Gained(lane));
                }
                _ => {}
            }
        }
        if codecs[1].is_some() && base.has_other_sound() {
            return Ok(Pumped::OtherCodec);
        }
        if feeds.len() > 1 {
            self.choose(feeds, now);
        }
        let Some(feed) = feeds.get(self.layers.current()).copied() else { return Ok(Pumped::Level) };
        let Some(at) = self.cursor.or_else(|| self.join(feed, base)) else {
            return Ok(Pumped::WaitsForKey(self.layers.current()));
        };
        if self.layers.current() > 0 && base.has_begun() {
            self.sound = self.sound.or(Some(base.end()));
        }
        let has_sound = self.layers.current() == 0 || feed.codec(Lane::Audio) == self.answered.codecs[1];
        let only = (self.sound.is_some() || !has_sound).then_some(Lane::Video);
        let Some(at) = self.walk(feed, at, only, now, send)? else {
            self.cursor = None;
            return Ok(Pumped::WaitsForKey(self.layers.current()));
        };
        self.cursor = Some(at);
        if let Some(sound) = self.sound {
            self.sound = self.walk(base, sound, Some(Lane::Audio), now, send)?.or(Some(base.end()));
        }
        let behind = at < feed.end() || self.sound.is_some_and(|sound| sound < base.end());
        self.entry.0.lag_frames.store(u64::from(behind), Relaxed);
        Ok(match self.layers.awaited() {
            _ if behind => Pumped::More,
            Some(layer) => Pumped::WaitsForKey(layer),
            None if !feed.has_begun() => Pumped::WaitsForKey(self.layers.current()),
            None => Pumped::Level,
        })
    }

    /// Changes to another rendition where its key frame has come.
    fn choose(&mut self, feeds: &[&Feed], now: Instant) {
        let rates = self.rates(feeds);
        let gone: Vec<_> = feeds.iter().map(|feed| !self.can_be_sent(feed, feeds)).collect();
        let is_gone = |index: usize| gone.get(index).copied().unwrap_or(true);
        let was = self.layers.current();
        if self.cursor.is_none() {
            return self.layers.begin(&rates, is_gone(was));
        }
        if let Some(key) = self.layers.turn(feeds, &rates, is_gone, now) {
            if was == 0 && feeds.first().is_some_and(|base| base.has_begun()) {
                self.sound = self.sound.or(self.cursor);
            }
            (self.cursor, self.joined) = (Some(key), (0, 0));
            self.show_layer();
        }
    }

    /// Of the renditions that can be sent.
    fn rates(&self, feeds: &[&Feed]) -> Vec<u64> {
        feeds.iter().map(|feed| if self.can_be_sent(feed, feeds) { feed.bits_per_s() } else { 0 }).collect()
    }

    /// In another codec than was answered none can be sent, and none that has stopped.
    fn can_be_sent(&self, feed: &Feed, feeds: &[&Feed]) -> bool {
        let has_stopped = || feeds.iter().any(|other| feed.has_stopped_beside(other));
        self.answered.codecs[0].is_some() && self.suits(feed) && !has_stopped()
    }

    /// Whether pictures are in the codec that was answered, if any was.
    fn suits(&self, feed: &Feed) -> bool {
        self.answered.codecs[0].is_none() || feed.codec(Lane::Video) == self.answered.codecs[0]
    }

    fn show_layer(&self) {
        if let Some(name) = self.names.get(self.layers.current()) {
            self.entry.0.set_layer(name);
        }
    }

    /// Sends a chunk, of one lane or of both, from `at` on; returns where to go on, or nothing when that is at the next key frame.
    fn walk(
        &mut self,
        feed: &Feed,
        mut at: u64,
        only: Option<Lane>,
        now: Instant,
        send: &mut Send<'_>,
    ) -> Result<Option<u64>, WebRtcError> {
        let (mut sent, mut bytes, mut frames) = (0, 0, 0);
        let pauses = self.layers.is_paused() || !self.suits(feed);
        while at < feed.end() && sent < CHUNK_PACKETS {
            let Some(packet) = feed.packet(at) else {
                // It has been overtaken, by so many packets.
                let Some(entry) = self.entry_of(feed) else { return Ok(None) };
                self.entry.0.dropped.fetch_add(1, Relaxed);
                at = entry.max(at + 1);
                continue;
            };
            // Messages go with the sound, of which each is sent once too.
            let is_meant = only.is_none_or(|only| (only == Lane::Video) == (packet.lane == Lane::Video));
            let is_paused = packet.lane == Lane::Video && pauses;
            if is_meant
                && !is_paused
                && self.takes(packet.lane)
                && let Some(outgoing) = self.outgoing(feed, packet, at, now)
            {
                bytes += outgoing.payload.len() as u64;
                frames += u64::from(packet.marker || packet.lane == Lane::Audio);
                send(packet.lane, outgoing)?;
                sent += 1;
            }
            at += 1;
        }
        self.entry.0.bytes.fetch_add(bytes, Relaxed);
        self.entry.0.frames.fetch_add(frames, Relaxed);
        Ok(Some(at))
    }

    /// Whether packets of a lane are sent to it: what was not answered would be counted, and go nowhere.
    fn takes(&self, lane: Lane) -> bool {
        let [video, audio] = self.answered.codecs;
        match lane {
            Lane::Video => video.is_some(),
            Lane::Audio => audio.is_some(),
            Lane::Data => true,
        }
    }

    /// Where it may begin: without pictures at what comes next, whatever that is.
    fn entry_of(&self, feed: &Feed) -> Option<u64> {
        if self.takes(Lane::Video) { feed.entry().or_else(|| feed.entry_at_sound()) } else { Some(feed.end()) }
    }

    fn join(&mut self, feed: &Feed, base: &Feed) -> Option<u64> {
        let entry = self.entry_of(feed)?;
        let newest = feed.end().checked_sub(1).and_then(|at| feed.packet(at));
        self.joined = (feed.end(), newest.map_or(0, |packet| packet.micros));
        if self.layers.current() > 0 {
            self.sound = base.has_begun().then(|| base.end());
        }
        self.show_layer();
        Some(entry)
    }

    /// The packet under the times of this viewer. Old sound is not sent: pictures can be played faster, sound cannot.
    fn outgoing(&mut self, feed: &Feed, packet: &Packet, at: u64, now: Instant) -> Option<OutgoingPacket> {
        let (level, newest) = self.joined;
        let (mut timestamp, mut micros) = (packet.timestamp, packet.micros);
        let age = newest.saturating_sub(packet.micros);
        // A message is of the moment: who comes later has not missed it.
        if packet.lane == Lane::Data && at < level && self.sound.is_none() {
            return None;
        }
        if packet.lane == Lane::Audio {
            if at < level && age > 0 && self.sound.is_none() {
                return None;
            }
        } else if packet.lane == Lane::Video {
            let skipped = if at < level && age > 0 { age - age / CATCH_UP } else { 0 };
            let later = skipped + self.layers.shift();
            // 9 ticks of 90 kHz are 100 µs.
            timestamp = timestamp.wrapping_add((later * 9 / 100) as u32);
            self.layers.sent(micros + later, now);
            // When it is to be seen its own clock says.
            micros += skipped;
        }
        let wall = feed.moment(micros, now);
        Some(OutgoingPacket { timestamp, marker: packet.marker, payload: packet.payload.clone(), wall })
    }
}
