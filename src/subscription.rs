//! `Cursor`: the native half of a subscription.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use arcly_bus::{Log, Read, SubscriptionOptions, WakeSlot};
use pyo3::prelude::*;

use crate::{frame::MediaFrame, hub::WakeToken, lock};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct Cursor {
    pub(crate) inner: Mutex<arcly_bus::Subscription>,
    slot: Option<WakeSlot>,
    ended: AtomicBool,
    evicted: AtomicBool,
}

impl Cursor {
    pub fn new(log: &std::sync::Arc<Log>, options: SubscriptionOptions, token: Option<&WakeToken>) -> Self {
        Self {
            inner: Mutex::new(log.subscribe_with(options)),
            slot: token.map(|token| WakeSlot::new(log, token.waker())),
            ended: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
        }
    }
}

#[pymethods]
impl Cursor {
    fn drain(&self, max: usize) -> Vec<MediaFrame> {
        let mut inner = lock(&self.inner);
        match inner.read(max) {
            Read::Frames(batch) => batch
                .frames
                .iter()
                .enumerate()
                .filter_map(|(i, frame)| MediaFrame::new(frame, batch.tracks, i == 0 && batch.discontinuity))
                .collect(),
            Read::Empty => Vec::new(),
            Read::Ended => {
                self.ended.store(true, Ordering::Release);
                Vec::new()
            }
            Read::Evicted => {
                self.evicted.store(true, Ordering::Release);
                self.ended.store(true, Ordering::Release);
                Vec::new()
            }
        }
    }

    fn arm(&self) {
        if let Some(slot) = &self.slot {
            slot.arm();
        }
    }

    #[getter]
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    #[getter]
    fn evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    #[getter]
    fn missed(&self) -> u64 {
        lock(&self.inner).missed()
    }
}
