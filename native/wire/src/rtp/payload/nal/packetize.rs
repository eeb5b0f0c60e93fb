//! NAL units to payloads.

use std::marker::PhantomData;

use arcly_codec::{CodecConfig, CodecError, nal::nal_units};
use bytes::{BufMut, Bytes};

use super::NalFormat;
use crate::rtp::payload::packetizer::{Packetize, Payload, Sink};

/// Bytes of the length in front of each NAL unit of an aggregation.
const LENGTH_BYTES: usize = 2;

/// Cuts access units of one format: small NAL units together, large ones in fragments.
#[derive(Debug)]
pub(in crate::rtp::payload) struct NalPacketizer<F> {
    max_bytes: usize,
    /// Each NAL unit is a packet, however large (H.264, `packetization-mode` 0).
    is_single: bool,
    parameter_sets: Vec<Bytes>,
    /// They are others than before: the next access unit has them in front of it, whatever it is.
    owes_sets: bool,
    /// Where aggregations are put together.
    scratch: Vec<u8>,
    format: PhantomData<F>,
}

impl<F: NalFormat> NalPacketizer<F> {
    pub(in crate::rtp::payload) fn new(config: &CodecConfig, max_bytes: usize, is_single: bool) -> Self {
        let parameter_sets = F::parameter_sets(config);
        Self { max_bytes, is_single, parameter_sets, owes_sets: false, scratch: Vec::new(), format: PhantomData }
    }
}

impl<F: NalFormat> Packetize for NalPacketizer<F> {
    fn packetize(&mut self, access_unit: &[u8], is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let has_sets = std::mem::take(&mut self.owes_sets) || is_key;
        let sets = if has_sets { self.parameter_sets.as_slice() } else { &[] };
        let mut cutter = Cutter::<F>::new(self.max_bytes, self.is_single, &mut self.scratch, sink);
        sets.iter().for_each(|set| cutter.push(set));
        for nal in nal_units(access_unit, 4) {
            cutter.push(nal?);
        }
        cutter.flush(true);
        Ok(())
    }

    fn reconfigure(&mut self, config: &CodecConfig) {
        let sets = F::parameter_sets(config);
        self.owes_sets |= sets != self.parameter_sets;
        self.parameter_sets = sets;
    }
}

/// Cuts one access unit.
struct Cutter<'a, 'b, F> {
    max_bytes: usize,
    is_single: bool,
    scratch: &'a mut Vec<u8>,
    sink: Sink<'a>,
    /// NAL units that wait: for others to be aggregated with, and to know whether they are the last ones.
    waiting: Vec<&'b [u8]>,
    /// What an aggregation of them would have.
    waiting_bytes: usize,
    format: PhantomData<F>,
}

impl<'a, 'b, F: NalFormat> Cutter<'a, 'b, F> {
    fn new(max_bytes: usize, is_single: bool, scratch: &'a mut Vec<u8>, sink: Sink<'a>) -> Self {
        Self { max_bytes, is_single, scratch, sink, waiting: Vec::new(), waiting_bytes: 0, format: PhantomData }
    }

    fn push(&mut self, nal: &'b [u8]) {
        // Its type could not be told.
        if nal.len() < F::HEADER_BYTES {
            return;
        }
        let bytes = LENGTH_BYTES + nal.len();
        let has_room = !self.is_single && self.waiting_bytes + bytes <= self.max_bytes;
        if !self.waiting.is_empty() && !has_room {
            self.flush(false);
        }
        if self.waiting.is_empty() {
            self.waiting_bytes = F::HEADER_BYTES;
        }
        self.waiting.push(nal);
        self.waiting_bytes += bytes;
    }

    /// Sends what waits.
    fn flush(&mut self, is_last: bool) {
        match *self.waiting.as_slice() {
            [] => {}
            [nal] if nal.len() <= self.max_bytes || self.is_single => self.send(&[], nal, is_last),
            [nal] => self.fragment(nal, is_last),
            _ => self.aggregate(is_last),
        }
        self.waiting.clear();
    }

    fn aggregate(&mut self, is_last: bool) {
        self.scratch.clear();
        for nal in &self.waiting {
            // No longer than a packet.
            self.scratch.put_u16(nal.len() as u16);
            self.scratch.put_slice(nal);
        }
        let (head, head_bytes) = F::aggregation_head(&self.waiting);
        let head = head.get(..head_bytes).unwrap_or_default();
        (self.sink)(Payload { head, body: self.scratch, marker: is_last, timestamp_offset: 0 });
    }

    /// The header of the NAL unit goes into the head of each fragment (RFC 6184 §5.8, RFC 7798 §4.4.3).
    fn fragment(&mut self, nal: &[u8], is_last: bool) {
        let (_, head_bytes) = F::fragment_head(nal, true, false);
        let body = nal.get(F::HEADER_BYTES..).unwrap_or_default();
        let mut fragments = body.chunks(self.max_bytes - head_bytes).peekable();
        let mut is_first = true;
        while let Some(fragment) = fragments.next() {
            let ends = fragments.peek().is_none();
            let (head, head_bytes) = F::fragment_head(nal, std::mem::take(&mut is_first), ends);
            self.send(head.get(..head_bytes).unwrap_or_default(), fragment, is_last && ends);
        }
    }

    fn send(&mut self, head: &[u8], body: &[u8], marker: bool) {
        (self.sink)(Payload { head, body, marker, timestamp_offset: 0 });
    }
}
