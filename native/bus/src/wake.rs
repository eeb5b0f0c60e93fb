//! Waking readers that wait, without work for each of them.
//!
//! Whoever drives readers (an event loop with a thousand subscriptions, a pump with a thousand sockets) registers **one**
//! slot with each stream. Before it sleeps it arms the slot, looks once more, and only then waits. A publisher pays one
//! load when no slot is armed, and one wake-up for each armed slot otherwise.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use crate::sync::{AtomicBool, Counted, Ordering, Shared, fence};

/// The slots of one stream.
pub(crate) struct WakeList {
    /// Whether any slot may be armed that wants every frame ...
    armed: AtomicBool,
    /// ... or that wants pictures only.
    armed_for_pictures: AtomicBool,
    /// Replaced as a whole when a slot comes or goes; read by the publisher without a lock.
    slots: Shared<Vec<Arc<Slot>>>,
    /// Held while `slots` is being replaced. Never by a publisher.
    registering: Mutex<()>,
}

struct Slot {
    armed: AtomicBool,
    pictures_only: bool,
    waker: Waker,
}

/// A registration for wake-ups of one stream; it ends when this is dropped.
pub struct WakeSlot {
    log: Arc<crate::Log>,
    slot: Arc<Slot>,
}

impl WakeList {
    pub(crate) fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            armed_for_pictures: AtomicBool::new(false),
            slots: Shared::new(Some(Counted::new(Vec::new()))),
            registering: Mutex::new(()),
        }
    }

    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<Slot>>)) {
        let _guard = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots.load_full().map(|slots| slots.to_vec()).unwrap_or_default();
        change(&mut slots);
        self.slots.store(Some(Counted::new(slots)));
    }

    /// Wakes every armed slot that wants it. Called by the publisher after a frame was published, and at the end of the stream; both a
    /// picture and the end are for all.
    pub(crate) fn wake(&self, is_for_all: bool) {
        // Pairs with the fence in `WakeSlot::arm`: either these loads see the arming, or the reader's second look sees the frame.
        fence(Ordering::SeqCst);
        let is_armed = |flag: &AtomicBool| flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::AcqRel);
        let (plain, for_pictures) = (is_armed(&self.armed), is_for_all && is_armed(&self.armed_for_pictures));
        if !plain && !for_pictures {
            return;
        }
        let Some(slots) = self.slots.load_full() else { return };
        let wanting = slots.iter().filter(|slot| is_for_all || !slot.pictures_only);
        for slot in wanting.filter(|slot| slot.armed.swap(false, Ordering::AcqRel)) {
            slot.waker.wake_by_ref();
        }
    }
}

impl WakeSlot {
    /// Registers `waker` with the stream of `log`. It is called from the publisher's thread: it must neither block nor
    /// take a lock that a reader holds while it publishes.
    pub fn new(log: &Arc<crate::Log>, waker: Waker) -> Self {
        Self::register(log, waker, false)
    }

    /// The same for whoever has nothing to do before the next picture: of a stream with video only its pictures wake, and the end.
    pub fn for_pictures(log: &Arc<crate::Log>, waker: Waker) -> Self {
        Self::register(log, waker, true)
    }

    fn register(log: &Arc<crate::Log>, waker: Waker, pictures_only: bool) -> Self {
        let slot = Arc::new(Slot { armed: AtomicBool::new(false), pictures_only, waker });
        log.wakes.replace(|slots| slots.push(slot.clone()));
        Self { log: log.clone(), slot }
    }

    /// Asks for one wake-up at the next frame or at the end. **Look again after this and before you wait**: what was
    /// published before the arming wakes nobody.
    pub fn arm(&self) {
        self.slot.armed.store(true, Ordering::Release);
        let wakes = &self.log.wakes;
        let flag = if self.slot.pictures_only { &wakes.armed_for_pictures } else { &wakes.armed };
        flag.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

impl Drop for WakeSlot {
    fn drop(&mut self) {
        self.log.wakes.replace(|slots| slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot)));
    }
}
