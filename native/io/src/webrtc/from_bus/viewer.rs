//! A viewer: a cursor in the packets of a stream.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use arcly_codec::Codec;
use arcly_wire::webrtc::{Lane, OutgoingPacket, Session, WebRtcError};

use super::feed::{Feed, Packet};
use crate::egress::Entry;

/// Chunks that one viewer is sent in one go; what is more follows after [`PACE`]. A key frame, or a GOP for somebody who joins, would
/// otherwise fall into the queue of the slowest router on the way at once. 64 packets in 5 ms are 120 Mbit/s.
pub(crate) const BURST_CHUNKS: usize = 4;

/// Packets that are put into the queue of a session before it is emptied: each takes 400 bytes there, and the room is never given back.
const CHUNK_PACKETS: usize = 16;

pub(crate) const PACE: Duration = Duration::from_millis(5);

/// What lies behind a viewer who joins is played so much faster: a GOP of 2 s in an eighth of a second. Sent under its own times a browser
/// would show it as slowly as it was made, and stay late for ever.
const CATCH_UP: i64 = 16;

/// One viewer.
pub(crate) struct Viewer {
    entry: Entry,
    _counted: arcly_bus::Viewer,
    /// The next packet; none until there is a key frame to begin with.
    cursor: Option<u64>,
    /// Behind the packets that were there when it came, and the time of the newest of them.
    joined: (u64, i64),
    /// What was answered for pictures and sound.
    codecs: [Option<Codec>; 2],
}

/// How far a viewer was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// It has all there is.
    Level,
    /// There is more than a chunk.
    More,
    /// It waits for a key frame.
    WaitsForKey,
    /// The stream has another codec than was answered.
    OtherCodec,
}

impl Viewer {
    pub(crate) fn new(entry: Entry, counted: arcly_bus::Viewer, codecs: [Option<Codec>; 2]) -> Self {
        Self { entry, _counted: counted, cursor: None, joined: (0, 0), codecs }
    }

    /// Whether somebody wants it to be ended.
    pub(crate) fn is_kicked(&self) -> bool {
        self.entry.0.is_kicked()
    }

    /// Whether it has been sent all there is.
    pub(crate) fn is_level(&self, feed: &Feed) -> bool {
        self.cursor == Some(feed.end())
    }

    /// Puts what it has not been sent into the queue of its session, one chunk of it.
    pub(crate) fn pump(&mut self, feed: &Feed, session: &mut Session, now: Instant) -> Result<Pumped, WebRtcError> {
        for (lane, answered) in [Lane::Video, Lane::Audio].into_iter().zip(self.codecs) {
            if answered.is_some() && feed.codec(lane).is_some_and(|codec| Some(codec) != answered) {
                return Ok(Pumped::OtherCodec);
            }
        }
        let Some(mut at) = self.cursor.or_else(|| self.join(feed)) else { return Ok(Pumped::WaitsForKey) };
        let (mut sent, mut bytes, mut frames) = (0, 0, 0);
        while at < feed.end() && sent < CHUNK_PACKETS {
            let Some(packet) = feed.packet(at) else {
                // It has been overtaken, by so many packets.
                let Some(entry) = feed.entry() else {
                    self.cursor = None;
                    return Ok(Pumped::WaitsForKey);
                };
                self.entry.0.dropped.fetch_add(1, Relaxed);
                at = entry.max(at + 1);
                continue;
            };
            if let Some(outgoing) = self.outgoing(feed, packet, at, now) {
                bytes += outgoing.payload.len() as u64;
                frames += u64::from(packet.marker || packet.lane == Lane::Audio);
                session.send(packet.lane, outgoing)?;
                sent += 1;
            }
            at += 1;
        }
        self.cursor = Some(at);
        let record = &self.entry.0;
        record.bytes.fetch_add(bytes, Relaxed);
        record.frames.fetch_add(frames, Relaxed);
        record.lag_frames.store(u64::from(at < feed.end()), Relaxed);
        Ok(if at < feed.end() { Pumped::More } else { Pumped::Level })
    }

    fn join(&mut self, feed: &Feed) -> Option<u64> {
        let entry = feed.entry()?;
        let newest = feed.end().checked_sub(1).and_then(|at| feed.packet(at));
        self.joined = (feed.end(), newest.map_or(0, |packet| packet.micros));
        Some(entry)
    }

    /// The packet under the times of this viewer. Old sound is not sent: pictures can be played faster, sound cannot.
    fn outgoing(&self, feed: &Feed, packet: &Packet, at: u64, now: Instant) -> Option<OutgoingPacket> {
        let (level, newest) = self.joined;
        let (mut timestamp, mut micros) = (packet.timestamp, packet.micros);
        let age = newest.saturating_sub(packet.micros);
        if at < level && age > 0 {
            if packet.lane == Lane::Audio {
                return None;
            }
            let skipped = age - age / CATCH_UP;
            // 9 ticks of 90 kHz are 100 µs.
            timestamp = timestamp.wrapping_add((skipped * 9 / 100) as u32);
            micros += skipped;
        }
        let wall = feed.moment(micros, now);
        Some(OutgoingPacket { timestamp, marker: packet.marker, payload: packet.payload.clone(), wall })
    }
}
