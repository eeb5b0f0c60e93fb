//! A task that pumps: woken by pictures, by who joins, by sockets and by the clock.

use std::{
    pin::Pin,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use arcly_bus::{Entry, Frame, Log, WakeSlot};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep_until, timeout},
};

use super::{flush::Due, joiner::Joiner, pump::Pump};
use crate::bell::Bell;

/// How often a worker that ends looks whether it may.
const DRAIN_LOOK: Duration = Duration::from_millis(100);

/// A task that pumps to a share of the viewers. It is woken by a log of frames or of packets.
pub(super) struct Worker<T: Entry = Frame> {
    pub(super) pump: Pump,
    pub(super) arriving: mpsc::UnboundedReceiver<Joiner>,
    bell: Arc<Bell>,
    pub(super) slot: WakeSlot<T>,
    /// One for all waits: to set a timer wakes the thread that drives them, and most waits end before it is due.
    timer: Pin<Box<Sleep>>,
}

/// Why a worker goes on.
pub(super) enum Event {
    /// The log has more, or it is time for something.
    Look,
    /// Somebody joins.
    Joiner(Joiner),
    /// Sockets can be written to, or are gone.
    Ready,
    /// Nobody will join any more, or the system fails us.
    Over,
}

impl<T: Entry> Worker<T> {
    /// Woken by what comes into `log`.
    pub(super) fn new(pump: Pump, arriving: mpsc::UnboundedReceiver<Joiner>, log: &Arc<Log<T>>) -> Self {
        let bell = Arc::new(Bell::default());
        let wake = if pump.wants_every_packet() { WakeSlot::new } else { WakeSlot::for_pictures };
        // Who watches goes before what is packaged.
        let slot = wake(log, Waker::from(bell.clone())).leading();
        let timer = Box::pin(sleep_until(Instant::now().into()));
        Self { pump, arriving, bell, slot, timer }
    }

    /// Writes what is due.
    pub(super) async fn work(&mut self) {
        while self.pump.due() == Due::Now {
            self.pump.pass().await;
        }
        self.pump.judge();
    }

    /// Waits for the next event, at most `until` then.
    pub(super) async fn next(&mut self, until: Option<Instant>) -> Event {
        let until = match (self.pump.due(), until) {
            (Due::Now, _) => return Event::Look,
            (Due::At(due), Some(until)) => Some(due.min(until)),
            (Due::At(due), None) => Some(due),
            (Due::Never, until) => until,
        };
        if let Some(until) = until.map(Into::into)
            && (self.timer.is_elapsed() || self.timer.deadline() > until)
        {
            self.timer.as_mut().reset(until);
        }
        let Pump { poller, ready, .. } = &mut self.pump;
        tokio::select! {
            () = self.bell.heard() => Event::Look,
            joiner = self.arriving.recv() => joiner.map_or(Event::Over, Event::Joiner),
            ready = poller.ready(ready) => if ready.is_ok() { Event::Ready } else { Event::Over },
            // Perhaps too early: then there is nothing to do yet.
            () = self.timer.as_mut(), if until.is_some() => Event::Look,
        }
    }

    /// The whole life of a helper: it reads the packets that the main worker makes.
    pub(super) async fn help(mut self) {
        while self.pump.look() {
            self.work().await;
            self.slot.arm();
            if self.pump.has_news() {
                continue;
            }
            match self.next(None).await {
                Event::Look => {}
                Event::Joiner(joiner) => self.pump.join(joiner),
                Event::Ready => self.pump.serve_ready(),
                Event::Over => break,
            }
        }
        self.drain().await;
    }

    /// Lets viewers have the rest of a stream that has ended.
    pub(super) async fn drain(self) {
        let Self { mut pump, mut arriving, slot, .. } = self;
        // Whoever comes behind it is not to wait for the slowest viewer.
        drop(slot);
        while let Ok(joiner) = arriving.try_recv() {
            pump.join(joiner);
        }
        pump.look();
        pump.finish();
        while !pump.is_drained() {
            let Pump { poller, ready, .. } = &mut pump;
            if matches!(timeout(DRAIN_LOOK, poller.ready(ready)).await, Ok(Err(_))) {
                // Nothing is told any more: to ask on would only spin.
                break;
            }
            pump.serve_ready();
        }
        pump.give_up();
    }
}
