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
        let mut frames = Vec::new();
        while frames.len() < max {
            match inner.read(max - frames.len()) {
                Read::Frames(batch) => {
                    frames.extend(
                        batch.frames.iter().enumerate().filter_map(|(i, frame)| {
                            MediaFrame::new(frame, batch.tracks, i == 0 && batch.discontinuity)
                        }),
                    )
                }
                Read::Empty => break,
                // Told when there is nothing else to tell.
                Read::Ended | Read::Evicted if !frames.is_empty() => break,
                Read::Ended => {
                    self.ended.store(true, Ordering::Release);
                    break;
                }
                Read::Evicted => {
                    self.evicted.store(true, Ordering::Release);
                    self.ended.store(true, Ordering::Release);
                    break;
                }
            }
        }
        frames
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
