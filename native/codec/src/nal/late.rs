//! Picture parameter sets that come, or change, at pictures where decoding cannot begin.
//!
//! They may come with any access unit (H.264 §7.4.1.2.1, H.265 §7.4.2.4.4, H.266 §7.4.2.4.3) and hold for those behind it. A configuration
//! reaches viewers at a key picture, or breaks their timeline: so these stay in the payload, which reaches all of them.

use bytes::Bytes;

use super::{
    Canonical,
    record::{MAX_RECORD_BYTES, all_known, is_current, merge},
};
use crate::CodecError;

/// The picture parameter sets of a stream that its configuration does not say, or says otherwise.
#[derive(Debug, Clone, Default)]
pub struct LateSets {
    pps: Vec<Bytes>,
    /// They came without a picture: they go in front of the next one.
    is_due: bool,
}

/// The parameter sets of a configuration.
pub(crate) struct Known<'a> {
    pub vps: &'a [Bytes],
    pub sps: &'a [Bytes],
    pub pps: &'a [Bytes],
}

impl LateSets {
    /// Whether there is something to [`keep`](Self::keep): seldom.
    pub(crate) fn concern(&self, unit: &Canonical) -> bool {
        unit.has_parameter_sets() || !self.pps.is_empty()
    }

    /// Puts picture parameter sets back into the payload of an access unit for which the configuration stays. Whether it does; if not, the
    /// late sets are among those of the unit now, for the configuration that comes.
    pub(crate) fn keep<Id: PartialEq>(
        &mut self,
        known: &Known<'_>,
        unit: &mut Canonical,
        is_entry: bool,
        id: fn(&[u8]) -> Result<Id, CodecError>,
    ) -> bool {
        if is_entry && self.pps.is_empty() {
            return false;
        }
        let is_kept = all_known(known.vps, &unit.vps)
            && is_current(known.sps, &unit.sps)
            && (!is_entry || self.is_brought_by_entry(known, unit));
        let is_new = is_entry || !unit.pps.iter().all(|set| self.is_in_force(known, set, id));
        let news: &[Bytes] = if is_new { &unit.pps } else { &[] };
        let Ok(merged) = merge(&self.pps, news, id) else { return false };
        let is_small = merged.iter().map(Bytes::len).sum::<usize>() <= MAX_RECORD_BYTES;
        if !is_kept || !is_small {
            if !self.pps.is_empty() {
                unit.pps = merged;
            }
            *self = Self::default();
            return false;
        }
        (self.pps, self.is_due) = (merged, self.is_due || is_new);
        if self.is_due && !unit.payload.is_empty() {
            unit.put_in_front(&self.pps);
            self.pps.retain(|set| !known.pps.contains(set));
            self.is_due = false;
        }
        true
    }

    /// Whether an entry brings what it needs, and nothing that is new: then late sets in its payload are enough, also to go back to those of
    /// the configuration. One that relies on late sets needs a configuration with them, for those who begin there.
    fn is_brought_by_entry(&self, known: &Known<'_>, unit: &Canonical) -> bool {
        let is_known = |set: &Bytes| known.pps.contains(set) || self.pps.contains(set);
        let is_complete = !unit.pps.is_empty() || all_known(known.pps, &self.pps);
        is_complete && unit.pps.iter().all(is_known)
    }

    /// Whether decoders have this one, and no other under its id.
    fn is_in_force<Id: PartialEq>(
        &self,
        known: &Known<'_>,
        set: &Bytes,
        id: fn(&[u8]) -> Result<Id, CodecError>,
    ) -> bool {
        let is_same_id = |late: &Bytes| id(late).ok() == id(set).ok();
        self.pps.contains(set) || known.pps.contains(set) && !self.pps.iter().any(is_same_id)
    }
}
