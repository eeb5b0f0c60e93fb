//! Runs of segments without a break, and where each is on the wall clock.

use std::{collections::VecDeque, sync::Arc};

use super::Epoch;
use crate::GroupClock;

/// Where in the stream a segment begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) epoch: u64,
    /// Microseconds from the time of the media to the time since 1970.
    pub(super) wall_offset_us: i64,
}

/// The timelines of a stream, of which the last is the present one.
#[derive(Debug, Default)]
pub(super) struct Timelines {
    /// Number of the present one.
    number: u64,
    /// Those of which there are segments, oldest first.
    epochs: VecDeque<Epoch>,
    /// The next one goes on where the one before it ended.
    goes_on: bool,
    group: Arc<GroupClock>,
    /// In the group, once players are told of it.
    seat: Option<Arc<()>>,
}

/// Breaks of other renditions that are taken over at a time; the rest comes with the next ones. Stops one that breaks at every frame from
/// filling the playlists of all: each is a line of theirs.
const FOLLOWED_MAX: u64 = 16;

impl Timelines {
    /// With the wall clock of a group, and its breaks.
    pub(super) fn of(group: Arc<GroupClock>) -> Self {
        Self { group, ..Self::default() }
    }

    /// Breaks so far.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What comes next does not continue what was before.
    pub(super) fn end(&mut self) {
        self.number = self.common().max(self.number + 1);
        self.group.note_breaks(self.number);
    }

    /// As [`Self::end`], but time goes on as it did.
    pub(super) fn end_in_time(&mut self) {
        self.end();
        self.goes_on = true;
    }

    /// Whether other renditions had breaks that this one has not: players look for their sound under the number of their pictures.
    pub(super) fn is_behind(&self) -> bool {
        self.common() > self.number
    }

    /// The number that all renditions should have, or one on the way there.
    fn common(&self) -> u64 {
        self.group.breaks().clamp(self.number, self.number.saturating_add(FOLLOWED_MAX))
    }

    /// Those that something is of, oldest first.
    pub(super) fn shared(&self) -> Arc<[Epoch]> {
        self.epochs.iter().copied().collect()
    }

    /// Microseconds from 1970 to the beginning of the stream.
    pub(super) fn start_us(&self) -> Option<i64> {
        self.epochs.front().map(|epoch| epoch.start_us.saturating_add(epoch.wall_offset_us))
    }

    /// Microseconds from the time of the media to the time since 1970, of the newest timeline.
    pub(super) fn wall_offset_us(&self) -> Option<i64> {
        self.epochs.back().map(|epoch| epoch.wall_offset_us)
    }

    /// Players are told of the wall clock from now on: it stays as it is.
    pub(super) fn settle(&mut self) {
        // Behind a break it hangs on what was in front of it, which is over.
        if let (1, Some(epoch)) = (self.epochs.len(), self.epochs.back_mut()) {
            epoch.wall_offset_us = self.group.join(epoch.wall_offset_us);
        }
        self.seat.get_or_insert_with(|| self.group.seat());
    }

    /// Where a segment would be that begins at `us`, where it is `now_us`; a timeline begins with it if there is none. Where one ends,
    /// `ends` says: its number, and the time of the media of each track. While `is_open`, nobody has been told of the wall clock.
    pub(super) fn place(
        &mut self,
        (us, now_us): (i64, i64),
        ends: impl Iterator<Item = (u64, i64)>,
        is_open: bool,
    ) -> Place {
        let offset_us = now_us.saturating_sub(us);
        match self.epochs.back_mut().filter(|epoch| epoch.number == self.number) {
            // Frames may come in a burst at first: the one that was longest on its way came first. No playlist has said it yet.
            Some(epoch) if is_open => {
                epoch.wall_offset_us = epoch.wall_offset_us.min(offset_us);
                epoch.start_us = epoch.start_us.min(us);
            }
            Some(_) => {}
            None => {
                if self.epochs.is_empty() {
                    self.number = self.group.breaks().max(self.number);
                }
                // Behind the end of the one before, whatever the clock says.
                let newest = self.epochs.back().map_or((0, 0), |epoch| (epoch.number, epoch.wall_offset_us));
                let ends = ends.filter(|(epoch, _)| *epoch == newest.0);
                let end_us = ends.map(|(_, us)| us.saturating_add(newest.1)).max().unwrap_or(0);
                let least_us = end_us.saturating_sub(us);
                let own_us = offset_us.max(least_us);
                let wall_offset_us = if std::mem::take(&mut self.goes_on) {
                    newest.1
                } else if is_open {
                    own_us
                } else {
                    self.group.agree(own_us).max(least_us)
                };
                self.epochs.push_back(Epoch { number: self.number, start_us: us, wall_offset_us });
            }
        }
        Place { epoch: self.number, wall_offset_us: self.wall_offset_us().unwrap_or(0) }
    }

    /// Lets go of those before `oldest`, the present one excepted.
    pub(super) fn forget_before(&mut self, oldest: u64) {
        while self.epochs.len() > 1 && self.epochs.front().is_some_and(|epoch| epoch.number < oldest) {
            self.epochs.pop_front();
        }
    }
}
