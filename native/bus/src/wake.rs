//! Waking readers that wait, without work for each of them.
//!
//! Whoever drives readers (an event loop with a thousand subscriptions, a pump with a thousand sockets) registers **one**
//! slot with each stream. Before it sleeps it arms the slot, looks once more, and only then waits. A publisher pays one
//! load of each kind when no slot is armed, and one wake-up for each armed slot otherwise.
//!
//! Two tasks that wake for the same picture cost more than their work: the second has a thread woken for it. So a slot may come
//! [behind](WakeSlot::behind) those that [lead](WakeSlot::leading): whom the publisher has woken wakes it when it has done its own work.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use crate::{
    Entry, Frame, Log,
    sync::{AtomicBool, AtomicU32, Counted, Ordering, Shared, fence},
};

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
    /// There is something for a slot [`Order::Behind`], and it has not been woken yet.
    owed: AtomicBool,
    wants: Wants,
    order: Order,
    waker: Waker,
}

/// When a slot is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// At once.
    Any,
    /// At once, and passes on what it owes to those behind.
    Leading,
    /// When one that leads and was woken for the same frame arms again; at once where there is none.
    Behind,
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
pub struct WakeSlot<T: Entry = Frame> {
    log: Arc<Log<T>>,
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
        let wanting = |slot: &&Arc<Slot>| slot.wants as u32 & wanted_by != 0;
        // Owed before a leader is woken, so that it finds that when it arms.
        let behind = slots.iter().filter(|slot| slot.order == Order::Behind).filter(wanting);
        behind.filter(|slot| slot.disarm()).for_each(|slot| slot.owe());
        let ahead = slots.iter().filter(|slot| slot.order != Order::Behind).filter(wanting);
        let mut has_leader = false;
        for slot in ahead.filter(|slot| slot.disarm()) {
            has_leader |= slot.order == Order::Leading;
            slot.waker.wake_by_ref();
        }
        if !has_leader {
            pay(&slots);
        }
    }
}

/// Wakes those behind for whom there is something.
fn pay(slots: &[Arc<Slot>]) {
    let behind = slots.iter().filter(|slot| slot.order == Order::Behind);
    behind.filter(|slot| slot.owed.swap(false, Ordering::AcqRel)).for_each(|slot| slot.waker.wake_by_ref());
}

impl Slot {
    fn new(wants: Wants, order: Order, waker: Waker) -> Self {
        Self { armed: AtomicBool::new(false), owed: AtomicBool::new(false), wants, order, waker }
    }

    /// To be woken by a leader. An exchange: a leader that arms in this moment takes either all of it or nothing.
    fn owe(&self) {
        self.owed.swap(true, Ordering::AcqRel);
    }

    /// Whether it was armed, which it is no longer.
    fn disarm(&self) -> bool {
        self.armed.swap(false, Ordering::AcqRel)
    }
}

impl<T: Entry> WakeSlot<T> {
    /// Registers `waker` with the stream of `log`. It is called from the publisher's thread: it must neither block nor
    /// take a lock that a reader holds while it publishes.
    pub fn new(log: &Arc<Log<T>>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Everything)
    }

    /// The same for whoever has nothing to do before the next picture: of a stream with video only its pictures wake, and the
    /// end; and all frames where sixteen have come without a picture, so that sound does not wait for pictures that have ceased.
    pub fn for_pictures(log: &Arc<Log<T>>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Pictures)
    }

    /// The same for whoever has nothing to do before the next frame at which readers may begin. It is also woken once in
    /// [`crate::CHUNK_FRAMES`] frames at least, and for every eighth of the bytes that the log keeps: nothing is lost by waiting so long.
    pub fn for_entries(log: &Arc<Log<T>>, waker: Waker) -> Self {
        Self::register(log, waker, Wants::Entries)
    }

    fn register(log: &Arc<Log<T>>, waker: Waker, wants: Wants) -> Self {
        Self::enter(log.clone(), Slot::new(wants, Order::Any, waker))
    }

    /// The same slot, which leads: those [behind](Self::behind) are not woken for a frame for which this one is, but by it, when it
    /// [arms](Self::arm) again or is dropped. So it must do the one or the other soon: whoever waits for a peer cannot lead.
    #[must_use]
    pub fn leading(self) -> Self {
        self.ordered(Order::Leading)
    }

    /// The same slot, which is woken behind those that [lead](Self::leading), and at once where none of them is woken.
    #[must_use]
    pub fn behind(self) -> Self {
        self.ordered(Order::Behind)
    }

    fn ordered(self, order: Order) -> Self {
        Self::enter(self.log.clone(), Slot::new(self.slot.wants, order, self.slot.waker.clone()))
    }

    fn enter(log: Arc<Log<T>>, slot: Slot) -> Self {
        let slot = Arc::new(slot);
        log.wakes.replace(|slots| slots.push(slot.clone()));
        Self { log, slot }
    }

    /// Wakes those behind, if this one leads.
    fn pass_on(&self) {
        if self.slot.order == Order::Leading
            && let Some(slots) = self.log.wakes.slots.load_full()
        {
            pay(&slots);
        }
    }

    /// Asks for one wake-up at the next frame or at the end. **Look again after this and before you wait**: what was
    /// published before the arming wakes nobody.
    pub fn arm(&self) {
        self.slot.armed.store(true, Ordering::Release);
        self.log.wakes.armed.fetch_or(self.slot.wants as u32, Ordering::Release);
        fence(Ordering::SeqCst);
        self.pass_on();
    }
}

impl<T: Entry> Drop for WakeSlot<T> {
    fn drop(&mut self) {
        self.log.wakes.replace(|slots| slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot)));
        self.pass_on();
    }
}
