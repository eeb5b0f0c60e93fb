//! Where the time of the media is on the wall clock (RFC 8216 §4.3.2.6).

use std::{sync::Arc, time::Duration};

use super::micros_since_1970;
use crate::GroupClock;

/// The wall clock of the present timeline.
#[derive(Debug, Default)]
pub(super) struct Wall {
    now_us: Option<i64>,
    /// Microseconds from the time of the media to the time since 1970.
    offset_us: Option<i64>,
    /// It is no less: what comes is behind the end of what was before, whatever the clock says.
    least_us: i64,
    /// Somebody has been told: it stays so.
    is_told: bool,
    /// The date at which the newest segment ends.
    end_us: i64,
    group: Arc<GroupClock>,
}

impl Wall {
    /// That of a group.
    pub(super) fn of(group: Arc<GroupClock>) -> Self {
        Self { group, ..Self::default() }
    }

    /// It is so long after the beginning of 1970.
    pub(super) fn tell(&mut self, now: Duration) {
        self.now_us = Some(micros_since_1970(now));
    }

    /// A frame has come that is decoded at `us`. Frames may come in a burst at first: the one that was longest on its way came first.
    pub(super) fn note(&mut self, us: i64) {
        let Some(now_us) = self.now_us.filter(|_| !self.is_told) else { return };
        let offset_us = now_us.saturating_sub(us);
        let known_us = self.offset_us.unwrap_or_else(|| {
            self.least_us = self.end_us.saturating_sub(us);
            offset_us
        });
        self.offset_us = Some(known_us.min(offset_us).max(self.least_us));
    }

    /// What comes next does not continue what was before.
    pub(super) fn begin_anew(&mut self) {
        (self.offset_us, self.is_told) = (None, false);
    }

    /// A segment is complete whose first frame is decoded at `us`; its date, so that those of others are as far away as it lasts.
    pub(super) fn date(&mut self, us: i64, duration_us: i64) -> Option<i64> {
        if let Some(own_us) = self.offset_us
            && !std::mem::replace(&mut self.is_told, true)
        {
            self.offset_us = Some(self.group.agree(own_us).max(self.least_us));
        }
        let date_us = self.date_us(us)?;
        self.end_us = date_us.saturating_add(duration_us);
        Some(date_us)
    }

    /// The date of a time of the media.
    pub(super) fn date_us(&self, us: i64) -> Option<i64> {
        self.offset_us.map(|offset_us| us.saturating_add(offset_us))
    }
}
