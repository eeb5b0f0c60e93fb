//! When which connection wants to be looked at.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Deadlines of connections. One that has moved to later is found out when the earlier one is due: most move on with every packet.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Duration, u32)>>,
}

impl Timers {
    /// Wakes `id` at `due`, unless `armed` says that it is woken by then anyway.
    pub(super) fn arm(&mut self, id: u32, due: Option<Duration>, armed: &mut Option<Duration>) {
        let Some(due) = due else { return };
        if armed.is_none_or(|armed| due < armed) {
            self.heap.push(Reverse((due, id)));
            *armed = Some(due);
        }
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// Somebody whose deadline has come; whoever it is may be gone.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(Duration, u32)> {
        self.next().filter(|due| *due <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
