//! The time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since the beginning of 1970; zero where the clock of the machine is before it.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(crate) fn unix_ms() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}
