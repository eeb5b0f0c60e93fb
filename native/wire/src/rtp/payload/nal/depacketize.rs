//! Which NAL units belong together, and which are to be believed.

use arcly_codec::{
    CodecError,
    nal::{Canonical, LateSets, MAX_PARAMETER_SETS},
};

use super::{NalBuffer, NalFormat};
use crate::rtp::{
    Packet,
    format::Format,
    payload::depacketizer::{Depacketize, Output},
};

/// Puts access units of one format together.
#[derive(Debug)]
pub(in crate::rtp::payload) struct NalDepacketizer<F> {
    format: F,
    buffer: NalBuffer,
    /// Time of the access unit that is being put together, or of the last one.
    timestamp: Option<u32>,
    /// A part of it is missing or malformed: what still comes of it is dropped.
    is_damaged: bool,
    /// The first packet of it came behind a gap, so its first slice must be the first of a picture.
    must_begin: bool,
    /// The access unit of this time was ended by its marker.
    is_ended: bool,
    /// The stream has markers: without one an access unit has no end.
    has_markers: bool,
    /// Markers have been seen within a picture (encoders that set one on each slice): only another time ends an access unit.
    ignores_markers: bool,
    /// Parameter sets that came when there was no configuration yet, and do not make one.
    waiting_sets: Canonical,
    /// Beside the configuration.
    late_sets: LateSets,
}

impl<F: NalFormat> NalDepacketizer<F> {
    pub(in crate::rtp::payload) fn new(max_bytes: usize, format: &Format) -> Self {
        Self {
            format: F::new(format),
            buffer: NalBuffer::new(F::is_unit, F::is_first_slice, max_bytes),
            timestamp: None,
            is_damaged: false,
            must_begin: false,
            is_ended: false,
            has_markers: false,
            ignores_markers: false,
            waiting_sets: Canonical::default(),
            late_sets: LateSets::default(),
        }
    }

    /// What this packet says about the access unit in front of it, and the one that it belongs to.
    fn begin_packet(&mut self, timestamp: u32, is_after_gap: bool, out: &mut Output) {
        if self.timestamp != Some(timestamp) {
            // Its last packets may be among the missing ones, unless it has been ended.
            self.is_damaged |= is_after_gap && !self.is_ended && self.timestamp.is_some();
            self.finish(out);
            // Whoever joins a stream may come in the middle of a picture.
            self.must_begin = is_after_gap || self.timestamp.is_none();
            self.timestamp = Some(timestamp);
            (self.is_damaged, self.is_ended) = (false, false);
        } else if is_after_gap {
            let begins = self.is_ended && self.buffer.is_empty();
            self.is_damaged |= !begins;
            self.must_begin |= begins;
        }
    }

    /// Reads the payload of a packet of the access unit that is open.
    fn read(&mut self, payload: &[u8], out: &mut Output) -> Result<(), CodecError> {
        if self.is_damaged {
            return Ok(());
        }
        let continues = self.is_ended && self.buffer.is_empty();
        if let Err(error) = self.format.read(payload, &mut self.buffer) {
            // The rest of a NAL unit whose beginning is lost is no fault of the sender.
            let is_rest = self.must_begin && self.buffer.is_empty();
            self.damage();
            return if is_rest { Ok(()) } else { Err(error) };
        }
        if self.buffer.begins_within_picture() {
            // A slice that continues the picture which a marker has ended: from now on markers mean nothing.
            self.ignores_markers |= continues && !self.must_begin;
            if self.must_begin || self.ignores_markers {
                self.damage();
                out.mark_loss();
            }
        }
        Ok(())
    }

    /// Gives up the access unit that is open.
    fn damage(&mut self) {
        self.is_damaged = true;
        self.buffer.clear();
    }

    /// Ends the access unit that is open.
    fn finish(&mut self, out: &mut Output) {
        let is_torn = self.is_damaged || self.buffer.has_open_fragments();
        if is_torn {
            self.buffer.clear();
            out.lose();
        } else if !self.buffer.is_empty() {
            self.emit(out);
        }
        (self.is_damaged, self.must_begin) = (false, false);
    }

    fn emit(&mut self, out: &mut Output) {
        let is_picture = self.buffer.has_slice();
        let Ok(mut canonical) = F::to_canonical(self.buffer.take()) else { return out.lose() };
        if !is_picture {
            canonical.payload.clear();
        }
        self.take_parameter_sets(&mut canonical, out);
        if is_picture && let Some(timestamp) = self.timestamp {
            let is_key = F::is_key(&canonical);
            out.emit(canonical.payload, timestamp, 0, is_key);
        }
    }

    /// In-band parameter sets. Malformed ones change nothing: a decoder would not take them either.
    fn take_parameter_sets(&mut self, sets: &mut Canonical, out: &mut Output) {
        if let Some(config) = out.config() {
            if !F::keeps_sets(config, &mut self.late_sets, sets)
                && let Ok(Some(config)) = F::merge(out.config(), sets)
            {
                out.set_config(config);
            }
            return;
        }
        if !sets.has_parameter_sets() {
            return;
        }
        let waiting = &mut self.waiting_sets;
        let kinds = [(&mut waiting.vps, &sets.vps), (&mut waiting.sps, &sets.sps), (&mut waiting.pps, &sets.pps)];
        for (waiting, new) in kinds {
            new.iter().filter(|set| !waiting.contains(set)).cloned().collect::<Vec<_>>().into_iter().for_each(|set| {
                if waiting.len() < MAX_PARAMETER_SETS {
                    waiting.push(set);
                }
            });
        }
        if let Ok(Some(config)) = F::merge(None, &self.waiting_sets) {
            self.waiting_sets = Canonical::default();
            out.set_config(config);
        }
    }
}

impl<F: NalFormat> Depacketize for NalDepacketizer<F> {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        self.begin_packet(packet.header.timestamp, is_after_gap, out);
        let read = self.read(&packet.payload, out);
        self.is_ended = false;
        // A marker behind parameter sets alone (encoders that set one on each NAL unit), or within a NAL unit (on each packet), ends nothing.
        let ends = self.is_damaged || self.buffer.has_slice() && !self.buffer.has_open_fragments();
        if packet.header.marker && !self.ignores_markers && ends {
            self.finish(out);
            (self.is_ended, self.has_markers) = (true, true);
        }
        read
    }

    fn flush(&mut self, out: &mut Output) {
        self.is_damaged |= self.has_markers && !self.ignores_markers && !self.buffer.is_empty();
        self.finish(out);
        self.is_ended = true;
    }

    fn reset(&mut self) {
        self.buffer.clear();
        (self.timestamp, self.is_damaged, self.must_begin, self.is_ended) = (None, false, false, false);
        self.ignores_markers = false;
    }

    fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }
}
