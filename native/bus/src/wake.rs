//! Waking readers that wait, without work for each of them.
//!
//! Whoever drives readers (an event loop with a thousand subscriptions, a pump with a thousand sockets) registers **one**
//! slot with each stream. Before it sleeps it arms the slot, looks once more, and only then waits. A publisher pays one
//! load of each kind when no slot is armed, and one wake-up for each armed slot otherwise.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use crate::sync::{AtomicBool, AtomicU32, Counted, Ordering, Shared, fence};

/// The slots of one stream.
pub(crate) struct WakeList {
    /// What armed slots may want: bits of [`Wants`]. One word, so that a publisher for whom nobody waits looks once.
    armed: AtomicU32,
    /// Replaced as a whole when a slot comes or goes; read by the publisher without a lock.
    slots: Shared<Vec<Arc<Slot>>>,
    /// Held while `slots` is being replaced. Never by a publisher.
    registering: Mutex<()>,
}

struct Slot {
    armed: AtomicBool,
    wants: Wants,
    waker: Waker,
}

/// What a slot is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Everything = 0b001,
    Pictures = 0b010,
    Entries = 0b100,
}

/// What was published, for those who wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    /// A picture, or a frame of a stream without pictures or whose pictures fail to come.
    pub(crate) is_picture: bool,
    /// A frame at which readers may begin, or the first one of a chunk.
    pub(crate) is_entry: bool,
}

impl News {
    /// The stream has ended: everybody wants to know.
    pub(crate) const END: Self = Self { is_picture: true, is_entry: true };

    /// The bits of those who want it.
    #[inline]
    fn wanted_by(self) -> u32 {
        let bit = |is_so, wants: Wants| if is_so { wants as u32 } else { 0 };
        Wants::Everything as u32 | bit(self.is_picture, Wants::Pictures) | bit(self.is_entry, Wants::Entries)
    }
}

/// A registration for wake-ups of one stream; it ends when this is dropped.
pub struct WakeSlot {
    log: Arc<crate::Log>,
    slot: Arc<Slot>,
}

impl WakeList {
    pub(crate) fn new() -> Self {
        Self {
            armed: AtomicU32::new(0),
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

    /// Wakes every armed slot that wants it. Called by the publisher after a frame was published, and at the end of the stream.
    #[inline]
    pub(crate) fn wake(&self, news: News) {
        // Pairs with the fence in `WakeSlot::arm`: either this load sees the arming, or the reader's second look sees the frame.
        fence(Ordering::SeqCst);
        let wanted_by = news.wanted_by();
        if self.armed.load(Ordering::Relaxed) & wanted_by != 0 {
            self.wake_armed(wanted_by);
        }
    }

    #[inline(never)]
    fn wake_armed(&self, wanted_by: u32) {
        // Taken down before the slots are looked at: who arms from here on is looked at by the next.
        self.armed.fetch_and(!wanted_by, Ordering::AcqRel);
        let Some(slots) = self.slots.load_full() else { return };
        let wanting = slots.iter().filter(|slot| slot.wants as u32 & wanted_by != 0);
        for slot in wanting.filter(|slot| slot.armed.swap(false, Ordering::AcqRel)) {
            slot.waker.wake_by_ref();
        }
    }
}

impl WakeSlot {
    /// Registers `waker` with the stream of `log`. It is called from the publisher's thread: it must neither block nor
    /// take a lock that a reader holds while it publishes.
    pub fn new(log: &Arc<crate::Log>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Everything)
    }

    /// The same for whoever has nothing to do before the next picture: of a stream with video only its pictures wake, and the
    /// end; and all frames where sixteen have come without a picture, so that sound does not wait for pictures that have ceased.
    pub fn for_pictures(log: &Arc<crate::Log>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Pictures)
    }

    /// The same for whoever has nothing to do before the next frame at which readers may begin. It is also woken once in
    /// [`crate::CHUNK_FRAMES`] frames at least, and for every eighth of the bytes that the log keeps: nothing is lost by waiting so long.
    pub fn for_entries(log: &Arc<crate::Log>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Entries)
    }

    fn register(log: &Arc<crate::Log>, waker: Waker, wants: Wants) -> Self {
        let slot = Arc::new(Slot { armed: AtomicBool::new(false), wants, waker });
        log.wakes.replace(|slots| slots.push(slot.clone()));
        Self { log: log.clone(), slot }
    }

    /// Asks for one wake-up at the next frame or at the end. **Look again after this and before you wait**: what was
    /// published before the arming wakes nobody.
    pub fn arm(&self) {
        self.slot.armed.store(true, Ordering::Release);
        self.log.wakes.armed.fetch_or(self.slot.wants as u32, Ordering::Release);
        fence(Ordering::SeqCst);
    }
}

impl Drop for WakeSlot {
    fn drop(&mut self) {
        self.log.wakes.replace(|slots| slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot)));
    }
}
