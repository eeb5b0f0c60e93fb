//! The segment in the making.

use std::sync::Arc;

use arcly_bus::Frame;
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{Part, segment::Content, timeline::Place};
use crate::{PackError, hls::key::Lock};

/// The segment in the making, as far as it is cut into parts.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) place: Place,
    pub(super) start_dts: i64,
    pub(super) start_us: i64,
    /// Of the first part.
    pub(super) start_pts: Option<i64>,
    pub(super) first_part: u64,
    pub(super) independent: bool,
    pub(super) parts: Vec<Arc<Part>>,
    pub(super) lock: Option<Lock>,
    /// Of an encrypted segment: its parts before they were encrypted.
    pub(super) plain: Vec<Bytes>,
    pub(super) duration_us: i64,
    pub(super) end_dts: i64,
    pub(super) bytes: usize,
    pub(super) frames: u64,
}

impl OpenSegment {
    pub(super) fn new(
        frame: &Frame,
        start_us: i64,
        place: Place,
        first_part: u64,
        kind: MediaKind,
        lock: Option<Lock>,
    ) -> Self {
        Self {
            place,
            start_dts: frame.dts,
            start_us,
            start_pts: None,
            first_part,
            independent: kind != MediaKind::Video || frame.is_key(),
            parts: Vec::new(),
            lock,
            plain: Vec::new(),
            duration_us: 0,
            end_dts: frame.dts,
            bytes: 0,
            frames: 0,
        }
    }

    pub(super) fn add(&mut self, part: Part) {
        self.duration_us += part.duration_us;
        self.bytes += if part.empty { 0 } else { part.data.len() };
        self.parts.push(Arc::new(part));
    }

    /// A part as it goes out; an `empty` one is nothing of the segment.
    pub(super) fn encrypt(&mut self, data: Bytes, empty: bool) -> Result<Bytes, PackError> {
        let Some(lock) = &self.lock else { return Ok(data) };
        let encrypted = lock.encrypt(std::slice::from_ref(&data));
        self.plain.extend(Some(data).filter(|_| !empty));
        encrypted
    }

    /// The end of its parts as they are announced: where the last frame lasts longer than a part may, some of it is left to the next part.
    pub(super) fn announced_us(&self) -> i64 {
        self.start_us.saturating_add(self.duration_us)
    }

    /// All of it, as it goes out, and how many bytes that are.
    pub(super) fn content(&mut self) -> Result<(usize, Content), PackError> {
        let parts = std::mem::take(&mut self.parts).into();
        let Some(lock) = &self.lock else { return Ok((self.bytes, Content::Parts(parts))) };
        let whole = lock.encrypt(&std::mem::take(&mut self.plain))?;
        Ok((whole.len(), Content::Whole(whole, parts)))
    }

    /// Microseconds from 1970 to its beginning.
    pub(super) fn program_us(&self) -> i64 {
        self.start_us.saturating_add(self.place.wall_offset_us)
    }
}
