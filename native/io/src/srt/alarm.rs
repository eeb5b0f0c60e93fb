//! The clock of whoever delivers at an exact time.
//!
//! Tokio's timers know whole milliseconds, and round up twice: a viewer would see both. The system's own are exact.

use std::{io, time::Duration};

use tokio::time::Instant;

/// Wakes are told apart no finer: what is due at nearly the same time has one.
pub(super) const GRAIN: Duration = Duration::from_micros(250);

/// Wakes one task at a time that is moved again and again.
pub(super) struct Alarm {
    started: Instant,
    /// When it rings, counted from `started`; none when it does not.
    due: Option<Duration>,
    clock: clock::Clock,
}

impl Alarm {
    /// Times count from `started`.
    ///
    /// # Errors
    /// The operating system's, when it has no more timers or descriptors.
    pub(super) fn new(started: Instant) -> io::Result<Self> {
        Ok(Self { started, due: None, clock: clock::Clock::new()? })
    }

    /// Has it ring at `due` or up to `grain` later, and not before.
    pub(super) fn set(&mut self, due: Duration, grain: Duration) {
        let due = round_up(due, grain);
        if self.due != Some(due) {
            self.due = Some(due);
            self.clock.set(self.started + due);
        }
    }

    /// Waits until it rings. Nothing is lost when the future is dropped.
    pub(super) async fn ring(&mut self) {
        self.clock.ring().await;
        self.due = None;
    }
}

/// The next multiple of `grain`, which is not 0.
pub(super) fn round_up(due: Duration, grain: Duration) -> Duration {
    let nanos = due.as_nanos().next_multiple_of(grain.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(target_os = "linux")]
mod clock {
    use std::{io, os::fd::OwnedFd, time::Duration};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::{io::unix::AsyncFd, time::Instant};

    use crate::watched::watched;

    /// A timer of the system (timerfd_create(2)).
    pub(super) struct Clock(AsyncFd<OwnedFd>);

    const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    /// To set it to no time at all would stop it.
    const SOONEST: Duration = Duration::from_nanos(1);

    impl Clock {
        pub(super) fn new() -> io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            Ok(Self(watched(timer)?))
        }

        pub(super) fn set(&mut self, due: Instant) {
            let left = due.saturating_duration_since(Instant::now()).max(SOONEST);
            let value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            // It fails for descriptors that are no timers, and times that are none.
            let _ = timerfd_settime(
                self.0.get_ref(),
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval: NEVER, it_value: value },
            );
        }

        pub(super) async fn ring(&mut self) {
            let mut rings = [0; 8];
            loop {
                // It fails when the runtime is shutting down.
                let Ok(mut guard) = self.0.readable().await else { return std::future::pending().await };
                // Where there is nothing to read it was moved after it had rung.
                let is_ringing = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut rings)?)).is_ok();
                if is_ringing {
                    // Nothing more can be there until it is set again: one look less.
                    guard.clear_ready();
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod clock {
    use std::{future::Future, io, pin::Pin};

    use tokio::time::{Instant, Sleep, sleep_until};

    /// A timer of the runtime.
    pub(super) struct Clock(Pin<Box<Sleep>>);

    impl Clock {
        #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(sleep_until(Instant::now()))))
        }

        pub(super) fn set(&mut self, due: Instant) {
            self.0.as_mut().reset(due);
        }

        pub(super) async fn ring(&mut self) {
            self.0.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_time_and_again_when_it_was_moved() {
        let started = Instant::now();
        let mut alarm = Alarm::new(started).unwrap();
        for due_ms in [20, 5, 30, 30] {
            let due = Duration::from_millis(due_ms);
            alarm.set(Duration::from_secs(60), GRAIN);
            alarm.set(due, GRAIN);
            alarm.ring().await;
            assert!(started.elapsed() >= due);
        }
    }

    #[test]
    fn nearly_the_same_time_is_the_same_and_never_is_never() {
        let rounded = |micros| round_up(Duration::from_micros(micros), GRAIN).as_micros();
        assert_eq!([rounded(0), rounded(1), rounded(250), rounded(251)], [0, 250, 250, 500]);
        assert!(round_up(Duration::MAX, GRAIN) > Duration::from_secs(1 << 33));
    }
}
