//! Parts and segments of one track, complete: never changed again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arcly_bus::Track;
use bytes::Bytes;

use crate::{
    held::{Away, Held, Movable},
    hls::key::Lock,
};

/// What a decoder is given before the first segment: a CMAF header (ISO/IEC 23000-19 §7.3.1).
#[derive(Debug)]
pub struct Init {
    /// The last part of its URI.
    pub name: String,
    /// `ftyp` and `moov`.
    pub data: Bytes,
    /// What it configures: the track as it was then.
    pub track: Track,
}

/// A Partial Segment (RFC 8216bis §4.4.4.9): one CMAF chunk.
#[derive(Debug)]
pub struct Part {
    /// The last part of its URI. Parts are numbered through, whichever segment they belong to: a hint at the next one is right even
    /// where nobody knows yet whether a segment ends in front of it.
    pub name: String,
    /// `moof` and `mdat`, and what stands in front of them.
    pub data: Bytes,
    /// How long it lasts.
    pub duration_us: i64,
    /// It contains a frame at which decoding can begin.
    pub independent: bool,
    /// There is no frame in it: the one in front of it lasts longer than a part may. The segment leaves it out. It is not announced as
    /// a gap (`GAP=YES`), since nothing is missing: players leave all of a segment out for one (hls.js 1.7 does).
    pub empty: bool,
}

/// A Media Segment: the parts of which it is made.
#[derive(Debug)]
pub struct Segment {
    /// Media Sequence Number (RFC 8216bis §3).
    pub sequence: u64,
    /// The last part of its URI.
    pub name: String,
    /// How many breaks of the timeline were in front of it: its Discontinuity Sequence Number (RFC 8216bis §6.2.1).
    pub epoch: u64,
    /// What its decoder is given first.
    pub init: Arc<Init>,
    /// Earliest presentation time in ticks of the track's clock.
    pub start: i64,
    /// What it lasts in ticks of the track's clock.
    pub duration: i64,
    /// What it lasts: the sum of its parts.
    pub duration_us: i64,
    /// Decoding time of its first frame.
    pub start_us: i64,
    /// Decoding can begin at its first frame.
    pub independent: bool,
    /// Number of its first part.
    pub first_part: u64,
    /// What a player fetches.
    pub bytes: usize,
    /// Frames in it.
    pub frames: u64,
    /// What it is encrypted with; none in the clear.
    pub(crate) lock: Option<Lock>,
    pub(super) content: Mutex<Content>,
}

/// Where the bytes of a segment are. It is all that ever changes of one, and its bytes stay the same.
#[derive(Debug)]
pub(super) enum Content {
    /// In memory, as its parts.
    Parts(Arc<[Arc<Part>]>),
    /// In memory in one piece, since it is encrypted as such; its parts beside it, as long as they are listed.
    Whole(Bytes, Arc<[Arc<Part>]>),
    /// Somewhere else.
    Away(Away),
}

impl Segment {
    /// Its parts, in their order; none when they are not in memory any more.
    pub fn parts(&self) -> Arc<[Arc<Part>]> {
        match &*self.lock_content() {
            Content::Parts(parts) | Content::Whole(_, parts) => parts.clone(),
            Content::Away(_) => Arc::default(),
        }
    }

    /// Bytes of memory: those of its parts too where it is not made of them.
    pub fn memory_bytes(&self) -> usize {
        match &*self.lock_content() {
            Content::Parts(parts) => parts_bytes(parts),
            Content::Whole(data, parts) => data.len() + parts_bytes(parts),
            Content::Away(_) => 0,
        }
    }

    /// Lets go of parts of which it is not made.
    pub(super) fn forget_parts(&self) {
        if let Content::Whole(_, parts) = &mut *self.lock_content() {
            *parts = Arc::default();
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
            Content::Parts(parts) => Held::Here(pieces(parts)),
            Content::Whole(data, _) => Held::Here(vec![data.clone()]),
            Content::Away(away) => Held::Away(away.clone()),
        }
    }

    fn move_away(&self, away: Away) {
        *self.lock_content() = Content::Away(away);
    }
}

/// The bytes of these parts.
pub(super) fn pieces(parts: &[Arc<Part>]) -> Vec<Bytes> {
    parts.iter().filter(|part| !part.empty).map(|part| part.data.clone()).collect()
}

fn parts_bytes(parts: &[Arc<Part>]) -> usize {
    parts.iter().map(|part| part.data.len()).sum()
}
