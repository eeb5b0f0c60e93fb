//! The primitives of the log, or loom's versions of them under `--cfg loom`.

#[cfg(not(loom))]
pub(crate) use real::*;

#[cfg(loom)]
pub(crate) use modelled::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

    /// A counted pointer whose last drop the model checker must see.
    pub(crate) use std::sync::Arc as Counted;

    /// A shared pointer that is replaced as a whole and read without a lock.
    pub(crate) type Shared<T> = arc_swap::ArcSwapOption<T>;

    /// Tells loom who touches a slot; nothing at all in a real build.
    pub(crate) struct Access;

    impl Access {
        pub(crate) fn new() -> Self {
            Self
        }
        #[inline(always)]
        pub(crate) fn write(&self) {}
        #[inline(always)]
        pub(crate) fn read(&self) {}
    }
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::sync::Arc as Counted;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

    /// The contract of `ArcSwapOption` (each operation atomic) by the plainest means that loom knows.
    pub(crate) struct Shared<T>(loom::sync::Mutex<Option<Counted<T>>>);

    impl<T> Shared<T> {
        pub(crate) fn empty() -> Self {
            Self(loom::sync::Mutex::new(None))
        }
        pub(crate) fn new(value: Option<Counted<T>>) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub(crate) fn store(&self, value: Option<Counted<T>>) {
            if let Ok(mut slot) = self.0.lock() {
                *slot = value;
            }
        }
        pub(crate) fn load_full(&self) -> Option<Counted<T>> {
            self.0.lock().ok().and_then(|slot| slot.clone())
        }
    }

    /// A cell that loom watches for a read that races a write.
    pub(crate) struct Access(loom::cell::UnsafeCell<()>);

    impl Access {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }
        pub(crate) fn write(&self) {
            self.0.with_mut(|_| ());
        }
        pub(crate) fn read(&self) {
            self.0.with(|_| ());
        }
    }
}
