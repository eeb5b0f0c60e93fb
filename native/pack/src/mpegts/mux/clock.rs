//! The system time clock of a program: when which PCR is written (ISO/IEC 13818-1 §2.4.2.2, §2.7.2).

use super::packet::Pcr;

/// The program's clock, driven by the decoding times of its access units.
///
/// A reference is the latest decoding time so far minus [`MUX_DELAY_90K`]: it never runs backwards, however
/// slightly out of order the tracks come.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The latest decoding time of the present time base; `None` before its first access unit.
    latest_dts_90k: Option<i64>,
    /// The newest reference of the present time base.
    newest_pcr_90k: Option<i64>,
    /// The next reference must come at the next access unit, of whatever track.
    due: bool,
    /// There was another time base before this one, and no reference of this one yet.
    restarted: bool,
}

/// Between the clock reference in front of an access unit and its decoding time.
///
/// It is how long a decoder holds an access unit back, and so how far the tracks may be apart before a late one misses
/// its decoding time. The standard's decoder holds nothing longer than 1 s (§2.4.2.6).
pub(super) const MUX_DELAY_90K: i64 = 63_000;

/// The most between two references, in their own time. The standard allows 100 ms (§2.7.2), DVB recommends 40 ms
/// (ETSI TS 101 154), which is what analysers alarm at (ETSI TR 101 290 §5.2.2).
pub(super) const PCR_INTERVAL_90K: i64 = 3_600;

/// The most that is filled with references. A publisher that jumps into the future at every frame could otherwise make
/// megabytes of them; at this limit it is 94 KB a jump.
pub(super) const JUMP_90K: i64 = 900_000;

impl Clock {
    /// Whether an access unit at `dts_90k` cannot belong to the present time base: `previous_dts_90k` of the same
    /// track is not before it, or it is further from the clock, either way, than is worth filling.
    pub(super) fn breaks_at(&self, dts_90k: i64, previous_dts_90k: Option<i64>) -> bool {
        let far = self.latest_dts_90k.is_some_and(|latest| (dts_90k - latest).abs() > JUMP_90K);
        far || previous_dts_90k.is_some_and(|previous| dts_90k <= previous)
    }

    /// Begins a new time base.
    pub(super) fn restart(&mut self) {
        *self = Self { restarted: true, ..Self::default() };
    }

    /// Makes a reference come at the next access unit, of whatever track.
    pub(super) fn make_due(&mut self) {
        self.due = true;
    }

    /// Moves on to an access unit; [`Self::next_filler`] and [`Self::next_carried`] then say what to write.
    pub(super) fn advance(&mut self, dts_90k: i64) {
        self.latest_dts_90k = Some(self.latest_dts_90k.map_or(dts_90k, |latest| latest.max(dts_90k)));
    }

    /// The next reference that needs a packet of its own in front of the access unit. `carried` says that the access
    /// unit carries one itself.
    pub(super) fn next_filler(&mut self, carried: bool) -> Option<Pcr> {
        let now = self.now()?;
        match self.newest_pcr_90k {
            Some(newest) if now - newest > PCR_INTERVAL_90K => Some(self.emit(newest + PCR_INTERVAL_90K)),
            Some(newest) if self.due && !carried => Some(self.emit(now.max(newest + 1))),
            None if !carried => Some(self.emit(now)),
            _ => None,
        }
    }

    /// The reference that the access unit carries. None when an access unit of another track was later already.
    pub(super) fn next_carried(&mut self) -> Option<Pcr> {
        let now = self.now()?;
        match self.newest_pcr_90k {
            Some(newest) if now > newest || self.due => Some(self.emit(now.max(newest + 1))),
            Some(_) => None,
            None => Some(self.emit(now)),
        }
    }

    /// Moves on to an access unit that is the latest, and carries the reference that is next without one between: that one.
    #[inline(always)]
    pub(super) fn next_in_step(&mut self, dts_90k: i64) -> Option<Pcr> {
        let (latest, newest, now) = (self.latest_dts_90k?, self.newest_pcr_90k?, dts_90k - MUX_DELAY_90K);
        let in_step = latest <= dts_90k && newest < now && now <= newest + PCR_INTERVAL_90K && !self.due;
        if !in_step {
            return None;
        }
        (self.latest_dts_90k, self.newest_pcr_90k) = (Some(dts_90k), Some(now));
        Some(Pcr { base_90k: now, discontinuity: false })
    }

    /// The reference that the newest access unit calls for.
    pub(super) fn now(&self) -> Option<i64> {
        self.latest_dts_90k.map(|latest| latest - MUX_DELAY_90K)
    }

    fn emit(&mut self, base_90k: i64) -> Pcr {
        let pcr = Pcr { base_90k, discontinuity: self.restarted };
        self.newest_pcr_90k = Some(base_90k);
        (self.due, self.restarted) = (false, false);
        pcr
    }
}
