//! A chunk: up to [`CHUNK_FRAMES`] frames of one track set, appended by one writer and read by many.
//!
//! This file holds the crate's only `unsafe`. The whole proof rests on one rule: **the slots below the
//! published length never change again, those at or above it are touched by the writer alone.** The length is
//! stored with `Release` after the slot is written and read with `Acquire` before a slot is looked at.

use std::{cell::UnsafeCell, mem::MaybeUninit, sync::Arc};

use crate::{
    TrackSet,
    sync::{Access, AtomicU32, Counted, Ordering},
};

/// Frames in a full chunk.
#[cfg(not(loom))]
pub const CHUNK_FRAMES: usize = 128;
/// Frames in a full chunk, few enough for a model checker.
#[cfg(loom)]
pub const CHUNK_FRAMES: usize = 2;

/// Set in [`Chunk::state`] once the next chunk can be found in the log's table.
const SEALED: u32 = 1 << 31;

pub(crate) struct Chunk<T> {
    /// Counts the chunks of a log from 0.
    pub(crate) number: u64,
    /// How many frames the log had published before this chunk's first.
    pub(crate) first: u64,
    /// The tracks of every frame in here.
    pub(crate) tracks: Arc<TrackSet>,
    /// Published length, and [`SEALED`].
    state: AtomicU32,
    slots: [Slot<T>; CHUNK_FRAMES],
    access: [Access; CHUNK_FRAMES],
}

/// Same size and layout as an entry, so that a run of slots is a run of entries.
#[repr(transparent)]
struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: the entries are Send and Sync; the slots are shared under the rule in the module's first lines, which makes every
// access to a slot either the writer's alone or a read of what never changes.
unsafe impl<T: Send + Sync> Sync for Chunk<T> {}

impl<T> Chunk<T> {
    pub(crate) fn new(number: u64, first: u64, tracks: Arc<TrackSet>) -> Self {
        Self {
            number,
            first,
            tracks,
            state: AtomicU32::new(0),
            slots: std::array::from_fn(|_| Slot(UnsafeCell::new(MaybeUninit::uninit()))),
            access: std::array::from_fn(|_| Access::new()),
        }
    }

    /// How many frames are published by now, and whether no more will be. What is below the length may be read from here on.
    #[inline]
    fn published(&self) -> (usize, bool) {
        let state = self.state.load(Ordering::Acquire);
        ((state & !SEALED) as usize, state & SEALED != 0)
    }

    /// Declares that nothing will be added. Call after the next chunk was put in the table.
    pub(crate) fn seal(&self) {
        self.state.fetch_or(SEALED, Ordering::Release);
    }
}

/// A place in a chunk, and how far the chunk was seen to be published: `index <= len`, and `len` never exceeds the published length.
pub(crate) struct Cursor<T> {
    chunk: Counted<Chunk<T>>,
    index: usize,
    len: usize,
}

/// What a look ahead of a cursor finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Frames.
    Frames,
    /// None yet.
    Nothing,
    /// No frame will be added: the next chunk is in the table, or was and has been dropped.
    End,
}

impl<T> Cursor<T> {
    /// In front of frame `index` of `chunk`, or behind the last one when there are fewer.
    pub(crate) fn new(chunk: Counted<Chunk<T>>, index: usize) -> Self {
        let (len, _) = chunk.published();
        Self { chunk, index: index.min(len), len }
    }

    /// Behind what `chunk` has by now.
    pub(crate) fn behind(chunk: Counted<Chunk<T>>) -> Self {
        Self::new(chunk, usize::MAX)
    }

    #[inline]
    pub(crate) fn chunk(&self) -> &Chunk<T> {
        &self.chunk
    }

    /// Frames that the log has published before this place.
    pub(crate) fn position(&self) -> u64 {
        self.chunk.first + self.index as u64
    }

    /// How far in front frame `index` of the chunk is; none when it has been passed.
    pub(crate) fn distance(&self, index: usize) -> Option<usize> {
        index.checked_sub(self.index)
    }

    /// Looks how far the chunk is published by now.
    #[inline]
    pub(crate) fn look(&mut self) -> Ahead {
        let (len, sealed) = self.chunk.published();
        self.len = len;
        match (self.index < len, sealed) {
            (true, _) => Ahead::Frames,
            (false, false) => Ahead::Nothing,
            (false, true) => Ahead::End,
        }
    }

    /// The frames that the last look has seen.
    pub(crate) fn ahead(&self) -> &[T] {
        // SAFETY: `index <= len`, see `Cursor`.
        unsafe { self.frames(self.index, self.len) }
    }

    /// At most `max` of them, and their tracks. The cursor is behind them then.
    #[inline]
    pub(crate) fn take(&mut self, max: usize) -> (&[T], &Arc<TrackSet>) {
        let start = self.index;
        self.index += max.min(self.len - start);
        // SAFETY: `start <= index <= len`, see `Cursor`: at most what was between them was added.
        let frames = unsafe { self.frames(start, self.index) };
        (frames, &self.chunk.tracks)
    }

    /// # Safety
    /// `start <= end <= self.len`.
    #[inline]
    unsafe fn frames(&self, start: usize, end: usize) -> &[T] {
        self.chunk.access.iter().take(end).skip(start).for_each(Access::read);
        // SAFETY: the slots below `len` were initialised before their number was stored with Release, which the Acquire load of
        // the look that saw it has seen, and there are at least `len` slots; no one writes them again while `chunk` lives, which
        // the result cannot outlive; `Slot` is transparent over an entry.
        unsafe { std::slice::from_raw_parts(self.chunk.slots.as_ptr().add(start).cast::<T>(), end - start) }
    }
}

/// The right to append to a chunk: there is one per chunk, and it is not `Clone`.
pub(crate) struct ChunkWriter<T> {
    chunk: Counted<Chunk<T>>,
    len: usize,
}

impl<T> ChunkWriter<T> {
    pub(crate) fn new(number: u64, first: u64, tracks: Arc<TrackSet>) -> Self {
        Self { chunk: Counted::new(Chunk::new(number, first, tracks)), len: 0 }
    }

    pub(crate) fn chunk(&self) -> &Counted<Chunk<T>> {
        &self.chunk
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == CHUNK_FRAMES
    }

    /// Appends and publishes `entry`; hands it back when the chunk is full.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
        let Some(slot) = self.chunk.slots.get(self.len) else { return Err(entry) };
        if let Some(access) = self.chunk.access.get(self.len) {
            access.write();
        }
        // SAFETY: slot `self.len` is not below the published length, so no reader looks at it, and this writer is the only
        // one of its chunk (`&mut self`, not Clone). It holds nothing yet, so nothing is leaked by writing over it.
        unsafe { (*slot.0.get()).write(entry) };
        self.len += 1;
        self.chunk.state.store(self.len as u32, Ordering::Release);
        Ok(())
    }
}

impl<T> Drop for Chunk<T> {
    fn drop(&mut self) {
        let (len, _) = self.published();
        for (slot, access) in self.slots.iter_mut().zip(&self.access).take(len) {
            access.write();
            // SAFETY: `&mut self`: no reader is left. The slots below `len` are initialised and dropped once, here.
            unsafe { slot.0.get_mut().assume_init_drop() };
        }
    }
}
