//! Views of what was made.

use std::sync::Arc;

use arcly_codec::Codec;

use super::CmafPackager;
use crate::{
    cmaf::{CmafView, lane::Lane, view::Told},
    gate::PATIENCE_SEGMENTS,
};

impl CmafPackager {
    /// Makes views of what is new; false when nothing is, or nothing can be shown yet.
    pub(super) fn renew_view(&mut self) -> bool {
        let Some(target_duration_s) = self.target_duration_s else { return false };
        if !self.lanes.iter().any(|lane| lane.is_new) || !self.is_complete() {
            return false;
        }
        let shown = self.lanes.iter_mut().filter(|lane| lane.window.newest().is_some());
        shown.for_each(|lane| lane.pace.publish());
        let lanes: Vec<&Lane> = self.lanes.iter().filter(|lane| lane.window.longest_us().is_some()).collect();
        let epochs = self.timelines.shared();
        let reports: Vec<_> = lanes.iter().map(|lane| lane.report()).collect();
        let mut views = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let known = self.views.iter().find(|view| view.name == lane.name);
            if let Some(known) = known.filter(|_| !lane.is_new) {
                views.push(known.clone());
                continue;
            }
            let reports = reports.iter().filter(|report| report.name != lane.name).cloned().collect();
            let (ended, is_event, epoch) = (self.ended, self.config.is_event, self.timelines.number());
            let date_ranges = self.cues.date_ranges();
            let epochs = epochs.clone();
            let told = Told { target_duration_s, epoch, epochs, ended, is_event, reports, date_ranges };
            views.push(Arc::new(lane.view(told)));
        }
        self.lanes.iter_mut().for_each(|lane| lane.is_new = false);
        self.views = views;
        self.forget_epochs();
        self.view = Some(Arc::new(self.snapshot(target_duration_s)));
        true
    }

    fn snapshot(&self, target_duration_s: u64) -> CmafView {
        let has = |codec| self.events.iter().any(|track| track.config.codec() == codec);
        CmafView {
            tracks: self.views.clone(),
            epochs: self.timelines.shared(),
            target_duration_s,
            ended: self.ended,
            is_event: self.config.is_event,
            start_us: self.start_us.unwrap_or(0),
            made_us: self.now_us,
            has_id3: has(Codec::Id3),
            has_scte35: has(Codec::Scte35),
        }
    }

    /// Whether every track has a segment, or has been waited for long enough: a player reads once which tracks there are.
    fn is_complete(&self) -> bool {
        let has_all = self.lanes.iter().all(|lane| lane.window.longest_us().is_some());
        let has_any = self.lanes.iter().any(|lane| lane.window.longest_us().is_some());
        has_any && (has_all || self.ended || self.view.is_some() || self.lead_segments >= PATIENCE_SEGMENTS)
    }

    /// Lets go of timelines that no segment is of, and of cues that are over.
    fn forget_epochs(&mut self) {
        let oldest = self.views.iter().filter_map(|view| view.listed().first()).map(|segment| segment.epoch).min();
        let Some(oldest) = oldest else { return };
        self.timelines.forget_before(oldest);
        let begins = self.views.iter().filter_map(|view| {
            let first = view.listed().first()?;
            Some(view.program_us(first.epoch, first.start_us))
        });
        let begins = begins.min().unwrap_or(0);
        self.cues.forget_before(begins);
    }
}
