//! A chunk: up to [`CHUNK_FRAMES`] frames of one track set, appended by one writer and read by many.
//!
//! This file holds the crate's only `unsafe`. The whole proof rests on one rule: **the slots below the
//! published length never change again, those at or above it are touched by the writer alone.** The length is
//! stored with `Release` after the slot is written and read with `Acquire` before a slot is looked at.

use std::{cell::UnsafeCell, mem::MaybeUninit, sync::Arc};

use crate::{
    Frame, TrackSet,
    sync::{Access, AtomicU32, Counted, Ordering},
};

/// Frames in a full chunk.
#[cfg(not(loom))]
pub const CHUNK_FRAMES: usize = 64;
/// Frames in a full chunk, few enough for a model checker.
#[cfg(loom)]
pub const CHUNK_FRAMES: usize = 2;

/// Set in [`Chunk::state`] once the next chunk can be found in the log's table.
const SEALED: u32 = 1 << 31;

pub(crate) struct Chunk {
    /// Counts the chunks of a log from 0.
    pub(crate) number: u64,
    /// How many frames the log had published before this chunk's first.
    pub(crate) first: u64,
    /// The tracks of every frame in here.
    pub(crate) tracks: Arc<TrackSet>,
    /// Published length, and [`SEALED`].
    state: AtomicU32,
    slots: [Slot; CHUNK_FRAMES],
    access: [Access; CHUNK_FRAMES],
}

/// Same size and layout as a `Frame`, so that a run of slots is a run of frames.
#[repr(transparent)]
struct Slot(UnsafeCell<MaybeUninit<Frame>>);

/// What a reader finds at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Published {
    pub(crate) len: usize,
    /// No frame will be added, and the next chunk is in the table or has been and was dropped.
    pub(crate) sealed: bool,
}

// SAFETY: `Frame` is Send and Sync; the slots are shared under the rule in the module's first lines, which makes every
// access to a slot either the writer's alone or a read of what never changes.
unsafe impl Sync for Chunk {}

impl Chunk {
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

    /// What is published by now. Everything below `len` may be read from here on.
    pub(crate) fn published(&self) -> Published {
        let state = self.state.load(Ordering::Acquire);
        Published { len: (state & !SEALED) as usize, sealed: state & SEALED != 0 }
    }

    /// The published frames from `start` on; empty when `start` is beyond them.
    pub(crate) fn frames_from(&self, start: usize) -> &[Frame] {
        let len = self.published().len;
        let slots = self.slots.get(start..len).unwrap_or_default();
        self.access.iter().take(len).skip(start).for_each(Access::read);
        // SAFETY: the slots below `len` were initialised before `len` was stored with Release, which the Acquire load in
        // `published` has seen; no one writes them again while `self` lives; `Slot` is transparent over `Frame`.
        unsafe { std::slice::from_raw_parts(slots.as_ptr().cast::<Frame>(), slots.len()) }
    }

    /// Declares that nothing will be added. Call after the next chunk was put in the table.
    pub(crate) fn seal(&self) {
        self.state.fetch_or(SEALED, Ordering::Release);
    }
}

/// The right to append to a chunk: there is one per chunk, and it is not `Clone`.
pub(crate) struct ChunkWriter {
    chunk: Counted<Chunk>,
    len: usize,
}

impl ChunkWriter {
    pub(crate) fn new(number: u64, first: u64, tracks: Arc<TrackSet>) -> Self {
        Self { chunk: Counted::new(Chunk::new(number, first, tracks)), len: 0 }
    }

    pub(crate) fn chunk(&self) -> &Counted<Chunk> {
        &self.chunk
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == CHUNK_FRAMES
    }

    /// Appends and publishes `frame`; hands it back when the chunk is full.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        let Some(slot) = self.chunk.slots.get(self.len) else { return Err(frame) };
        if let Some(access) = self.chunk.access.get(self.len) {
            access.write();
        }
        // SAFETY: slot `self.len` is not below the published length, so no reader looks at it, and this writer is the only
        // one of its chunk (`&mut self`, not Clone). It holds nothing yet, so nothing is leaked by writing over it.
        unsafe { (*slot.0.get()).write(frame) };
        self.len += 1;
        self.chunk.state.store(self.len as u32, Ordering::Release);
        Ok(())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let len = self.published().len;
        for (slot, access) in self.slots.iter_mut().zip(&self.access).take(len) {
            access.write();
            // SAFETY: `&mut self`: no reader is left. The slots below `len` are initialised and dropped once, here.
            unsafe { slot.0.get_mut().assume_init_drop() };
        }
    }
}
