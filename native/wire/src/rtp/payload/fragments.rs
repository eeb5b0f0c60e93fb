//! An access unit that is one run of bytes, in fragments: packets of one time, the last of which has the marker.

use arcly_codec::CodecError;
use bytes::{Bytes, BytesMut};

use super::depacketizer::Output;
use crate::rtp::Packet;

/// What is known of the access unit of the current time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of it has come, or it has been given out.
    Empty,
    /// All of it has come so far.
    Open,
    /// A part of it is missing: what still comes is passed over.
    Damaged,
}

/// Puts the fragments of access units together.
#[derive(Debug)]
pub(super) struct Fragments {
    bytes: BytesMut,
    timestamp: Option<u32>,
    state: State,
    /// The stream has markers: without one an access unit has no end.
    has_markers: bool,
    max_bytes: usize,
}

/// An access unit, and its time.
pub(super) type Whole = (Bytes, u32);

impl Fragments {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { bytes: BytesMut::new(), timestamp: None, state: State::Empty, has_markers: false, max_bytes }
    }

    /// To be called with each packet first. Gives the access unit in front of it, when that had no marker and nothing of it
    /// is missing.
    pub(super) fn turn(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Option<Whole> {
        let timestamp = packet.header.timestamp;
        let is_same = self.timestamp == Some(timestamp);
        let before = self.timestamp.replace(timestamp);
        match self.state {
            State::Open if is_after_gap => {
                self.damage(out);
                if !is_same {
                    self.state = State::Empty;
                }
                None
            }
            State::Open if !is_same => self.take().zip(before),
            State::Damaged if !is_same => {
                self.state = State::Empty;
                None
            }
            _ => None,
        }
    }

    /// Whether the next fragment must be the first one.
    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether something is there.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Takes a fragment. `begins`: it is the first of its access unit. Gives the access unit, when it is the last one.
    ///
    /// # Errors
    /// [`CodecError::LimitExceeded`].
    pub(super) fn push(
        &mut self,
        fragment: &[u8],
        begins: bool,
        ends: bool,
        out: &mut Output,
    ) -> Result<Option<Whole>, CodecError> {
        match (self.state, begins) {
            (State::Empty | State::Damaged, true) => self.state = State::Open,
            (State::Empty, false) => self.damage(out),
            (State::Open, true) => {
                // The end of the one in front never came, though no packet is missing.
                self.bytes.clear();
                out.lose();
            }
            (State::Open | State::Damaged, false) => {}
        }
        if self.state == State::Open {
            self.append(fragment, out)?;
        }
        if !ends {
            return Ok(None);
        }
        self.has_markers = true;
        let whole = if self.state == State::Open { self.take().zip(self.timestamp) } else { None };
        self.state = State::Empty;
        Ok(whole)
    }

    /// Bytes that have come.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives up what is there.
    pub(super) fn damage(&mut self, out: &mut Output) {
        self.bytes.clear();
        self.state = State::Damaged;
        out.lose();
    }

    /// What is there, when nothing follows.
    pub(super) fn flush(&mut self, out: &mut Output) -> Option<Whole> {
        match self.state {
            State::Open if self.has_markers => {
                self.damage(out);
                None
            }
            State::Open => self.take().zip(self.timestamp),
            _ => None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        (self.timestamp, self.state) = (None, State::Empty);
    }

    fn append(&mut self, fragment: &[u8], out: &mut Output) -> Result<(), CodecError> {
        let seen = self.bytes.len() + fragment.len();
        if seen > self.max_bytes {
            self.damage(out);
            return Err(CodecError::LimitExceeded { limit: "bytes of an access unit", max: self.max_bytes, seen });
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }

    fn take(&mut self) -> Option<Bytes> {
        self.state = State::Empty;
        let bytes = self.bytes.split().freeze();
        (!bytes.is_empty()).then_some(bytes)
    }
}
