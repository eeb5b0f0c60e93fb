//! A unit whose first fragment tells how large it is, and what of it has come.

use bytes::{Bytes, BytesMut};

use super::depacketizer::Output;

/// The unit that is being put together, if there is one.
#[derive(Debug, Default)]
pub(super) struct Partial(Option<Unit>);

/// Such a unit.
#[derive(Debug)]
pub(super) struct Unit {
    bytes: BytesMut,
    /// Of the whole.
    pub(super) size: usize,
    pub(super) timestamp: u32,
}

/// What became of a fragment.
pub(super) enum Added {
    /// More has to come.
    Open,
    /// It was the last one of this unit, which has this time.
    Whole(Bytes, u32),
}

impl Partial {
    /// Takes the first fragment.
    pub(super) fn begin(&mut self, fragment: &[u8], size: usize, timestamp: u32) {
        self.0 = Some(Unit { bytes: BytesMut::from(fragment), size, timestamp });
    }

    /// Of what fragments are awaited.
    pub(super) fn unit(&self) -> Option<&Unit> {
        self.0.as_ref()
    }

    /// Takes another fragment; none when it does not fit.
    pub(super) fn add(&mut self, fragment: &[u8]) -> Option<Added> {
        let unit = self.0.as_mut().filter(|unit| unit.bytes.len() + fragment.len() <= unit.size)?;
        unit.bytes.extend_from_slice(fragment);
        if unit.bytes.len() < unit.size {
            return Some(Added::Open);
        }
        let Unit { bytes, timestamp, .. } = self.0.take()?;
        Some(Added::Whole(bytes.freeze(), timestamp))
    }

    /// Gives up what is there, if something is: it is lost.
    pub(super) fn give_up(&mut self, out: &mut Output) {
        if self.0.take().is_some() {
            out.lose();
        }
    }

    /// Bytes that have come.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |unit| unit.bytes.len())
    }
}
