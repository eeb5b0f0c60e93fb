//! Holding frames back until all tracks are there, so that a stream does not begin with a change of its tracks.

use std::collections::VecDeque;

use arcly_bus::Track;
use arcly_codec::MediaKind;

use crate::Item;

/// Frames that wait at most: about a second of pictures with their sound.
const HELD_FRAMES_MAX: usize = 150;
/// Their bytes.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Items at the beginning of a stream. Opened once, for good.
#[derive(Debug, Default)]
pub(super) struct Holdback {
    is_open: bool,
    tracks: Vec<Track>,
    frames: VecDeque<Item>,
    bytes: usize,
}

impl Holdback {
    /// Whether nothing is held any more: then items need not come this way.
    pub(super) fn is_open(&self) -> bool {
        self.is_open && self.frames.is_empty()
    }

    /// Takes an item. `expected`: how many tracks of pictures and sound there will be, as the container says now.
    pub(super) fn push(&mut self, item: Item, expected: usize) {
        match item {
            Item::Tracks(tracks) if !self.is_open => {
                self.tracks = tracks;
                let is_media = |track: &&Track| track.kind() != MediaKind::Data;
                if self.tracks.iter().filter(is_media).count() >= expected {
                    self.open();
                }
            }
            Item::Frame(frame) if !self.is_open => {
                self.bytes += frame.payload.len();
                self.frames.push_back(Item::Frame(frame));
                if self.frames.len() > HELD_FRAMES_MAX || self.bytes > HELD_BYTES_MAX {
                    self.open();
                }
            }
            item => self.frames.push_back(item),
        }
    }

    /// Lets everything through, in its order behind the tracks that are known.
    pub(super) fn open(&mut self) {
        if !std::mem::replace(&mut self.is_open, true) && !self.tracks.is_empty() {
            self.frames.push_front(Item::Tracks(std::mem::take(&mut self.tracks)));
        }
    }

    /// The next item that is let through.
    pub(super) fn poll(&mut self) -> Option<Item> {
        if self.is_open { self.frames.pop_front() } else { None }
    }

    /// Bytes of frames that are held.
    pub(super) fn buffered_bytes(&self) -> usize {
        if self.is_open { 0 } else { self.bytes }
    }
}
