//! A segment while it is filled, and when it is complete.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arcly_bus::Frame;
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{cut::Candidate, key::Lock};
use crate::{
    PackError,
    held::{Away, Held, Movable},
    mpegts::PacketBuffer,
};

/// A complete segment: never changed again.
#[derive(Debug)]
pub(super) struct Segment {
    /// Media Sequence Number (RFC 8216 §3).
    pub(super) sequence: u64,
    /// The last part of its URI.
    pub(super) name: String,
    /// What a player fetches.
    pub(super) bytes: usize,
    pub(super) duration_us: i64,
    /// When it begins, in microseconds since 1970, where the packager was told the time.
    pub(super) date_us: Option<i64>,
    /// Timestamps or tracks break in front of it.
    pub(super) discontinuity: bool,
    /// Decoding can begin here.
    pub(super) independent: bool,
    pub(super) pictures: u64,
    /// What it is encrypted with.
    pub(super) lock: Option<Lock>,
    content: Mutex<Content>,
}

/// Where its bytes are. It is all that ever changes of one, and its bytes stay the same.
#[derive(Debug)]
enum Content {
    /// In memory: with the rest of their allocation so many.
    Here(Bytes, usize),
    /// Somewhere else.
    Away(Away),
}

impl Segment {
    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        match &*self.lock_content() {
            Content::Here(_, bytes) => *bytes,
            Content::Away(_) => 0,
        }
    }

    fn lock_content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Movable for Segment {
    fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> Held {
        match &*self.lock_content() {
            Content::Here(data, _) => Held::Here(vec![data.clone()]),
            Content::Away(away) => Held::Away(away.clone()),
        }
    }

    fn move_away(&self, away: Away) {
        *self.lock_content() = Content::Away(away);
    }
}

/// The segment that is being filled.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) packets: PacketBuffer,
    /// Decoding time of the first frame.
    pub(super) start_us: i64,
    /// The end of the frame that ends last.
    pub(super) end_us: i64,
    pub(super) discontinuity: bool,
    /// The first frame is marked as a discontinuity by the bus.
    pub(super) begins_at_mark: bool,
    pub(super) pictures: u64,
    pub(super) sounds: u64,
    /// The first picture, if there is one, is not a key picture.
    pub(super) begins_undecodable: bool,
}

impl OpenSegment {
    /// A segment that begins with `first`. `packets` are what stands in front of it.
    pub(super) fn new(first: &Candidate<'_>, discontinuity: bool, packets: PacketBuffer) -> Self {
        Self {
            packets,
            start_us: first.dts_us,
            end_us: first.dts_us,
            discontinuity,
            begins_at_mark: first.frame.is_discontinuity(),
            pictures: 0,
            sounds: 0,
            begins_undecodable: false,
        }
    }

    /// Takes note of a frame that is in `packets` now.
    pub(super) fn count(&mut self, frame: &Frame, kind: MediaKind, end_us: i64) {
        self.end_us = self.end_us.max(end_us);
        self.begins_undecodable |= kind == MediaKind::Video && self.pictures == 0 && !frame.is_key();
        match kind {
            MediaKind::Video => self.pictures += 1,
            MediaKind::Audio | MediaKind::Data => self.sounds += 1,
        }
    }

    /// Frames of that kind in the segment.
    pub(super) fn frames(&self, kind: MediaKind) -> u64 {
        match kind {
            MediaKind::Video => self.pictures,
            MediaKind::Audio | MediaKind::Data => self.sounds,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pictures == 0 && self.sounds == 0
    }

    /// The complete segment, which lasts until `end_us`.
    pub(super) fn complete(
        self,
        sequence: u64,
        name: String,
        end_us: i64,
        lock: Option<Lock>,
    ) -> Result<Segment, PackError> {
        // Seldom: a segment much smaller than the one before it, for whose size the memory was reserved, or one that has
        // just outgrown it.
        let mut bytes = self.packets.into_vec();
        if bytes.len() < bytes.capacity() / 4 * 3 {
            bytes.shrink_to_fit();
        }
        let capacity = bytes.capacity();
        let plain = Bytes::from(bytes);
        let (memory_bytes, data) = match &lock {
            Some(lock) => lock.encrypt(&[plain]).map(|data| (data.len(), data))?,
            None => (capacity, plain),
        };
        Ok(Segment {
            sequence,
            name,
            bytes: data.len(),
            content: Mutex::new(Content::Here(data, memory_bytes)),
            duration_us: end_us - self.start_us,
            date_us: None,
            discontinuity: self.discontinuity,
            independent: !self.begins_undecodable,
            pictures: self.pictures,
            lock,
        })
    }
}
