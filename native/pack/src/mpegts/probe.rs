//! A transport stream reader for the tests that trusts nothing: a subset of ETSI TR 101 290, and a demultiplexer.
//!
//! It shares no code with the muxer, CRC included.

use std::collections::HashMap;

use arcly_bus::{Frame, Track};
use arcly_codec::{
    CodecConfig,
    aac::parse_adts,
    h264::{AvcConfig, nal_units},
};

/// A PES packet and what was around it.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) pid: u16,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) random_access: bool,
    /// Adaptation field bytes of its packets.
    pub(crate) stuffed: usize,
    /// Behind the PES header.
    pub(crate) data: Vec<u8>,
}

/// Reads packets one after the other and asserts what must hold at each.
#[derive(Default)]
pub(crate) struct Probe {
    counters: HashMap<u16, u8>,
    pub(crate) programs: Vec<Program>,
    pub(crate) units: Vec<Unit>,
    /// PES packets that are not complete yet.
    open: HashMap<u16, Vec<u8>>,
    about: HashMap<u16, (bool, usize)>,
    /// Every PCR: its base and whether it begins a new time base.
    pub(crate) pcrs: Vec<(i64, bool)>,
    newest_dts: HashMap<u16, i64>,
    tables: HashMap<u16, Table>,
    /// A late access unit is no fault of the muxer's in this stream.
    tolerates_late_units: bool,
    /// Nor is one whose predecessor came later than itself.
    tolerates_any_order: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) version: u8,
    pub(crate) pcr_pid: u16,
    /// PID, stream type, descriptors.
    pub(crate) streams: Vec<(u16, u8, Vec<u8>)>,
}

#[derive(Default)]
struct Table {
    is_new: bool,
    newest_pcr: Option<i64>,
}

pub(crate) const WRAP: i64 = 1 << 33;

/// `a - b` of two 33-bit times.
pub(crate) fn difference(a: i64, b: i64) -> i64 {
    (a - b + WRAP / 2).rem_euclid(WRAP) - WRAP / 2
}

impl Probe {
    /// For tracks further apart than the mux delay.
    pub(crate) fn for_late_units() -> Self {
        Self { tolerates_late_units: true, ..Self::default() }
    }

    /// For times without any order.
    pub(crate) fn for_hostile_times() -> Self {
        Self { tolerates_late_units: true, tolerates_any_order: true, ..Self::default() }
    }

    pub(crate) fn read(ts: &[u8]) -> Self {
        let mut probe = Self::default();
        probe.feed(ts);
        probe.finish();
        probe
    }

    pub(crate) fn feed(&mut self, ts: &[u8]) {
        assert_eq!(ts.len() % 188, 0, "whole packets");
        ts.chunks(188).for_each(|packet| self.packet(packet));
    }

    /// A segment: begins with PAT, PMT, and a clock reference before or in the first access unit.
    pub(crate) fn feed_segment(&mut self, ts: &[u8]) {
        let pid = |index: usize| u16::from_be_bytes([ts[index * 188 + 1] & 0x1F, ts[index * 188 + 2]]);
        assert_eq!((pid(0), pid(1)), (0, 0x1000), "a segment begins with PAT and PMT");
        assert_eq!(ts[2 * 188 + 3] & 0x20, 0x20, "then comes an adaptation field");
        assert_eq!(ts[2 * 188 + 5] & 0x10, 0x10, "with a clock reference");
        self.feed(ts);
    }

    /// All PES packets are complete.
    pub(crate) fn finish(&mut self) {
        let pids: Vec<u16> = self.open.keys().copied().collect();
        pids.into_iter().for_each(|pid| self.close_unit(pid));
    }

    pub(crate) fn of(&self, pid: u16) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.pid == pid)
    }

    fn packet(&mut self, packet: &[u8]) {
        assert_eq!(packet[0], 0x47, "sync byte");
        assert_eq!(packet[1] & 0x80, 0, "transport_error_indicator");
        assert_eq!(packet[3] & 0xC0, 0, "transport_scrambling_control");
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        assert!(has_field || has_payload);
        self.count(pid, packet[3] & 0x0F, has_payload);
        let field_bytes = if has_field { 1 + usize::from(packet[4]) } else { 0 };
        assert!(if has_payload { field_bytes <= 183 } else { field_bytes == 184 }, "adaptation_field_length");
        let (field, payload) = packet[4..].split_at(field_bytes);
        let random_access = self.adaptation(pid, field.get(1..).unwrap_or_default());
        if has_payload {
            self.payload(pid, packet[1] & 0x40 != 0, random_access, field_bytes, payload);
        }
    }

    fn count(&mut self, pid: u16, counter: u8, has_payload: bool) {
        let expected = self.counters.get(&pid).map(|newest| (newest + u8::from(has_payload)) & 0x0F);
        assert_eq!(counter, expected.unwrap_or(counter), "continuity_counter of PID {pid:#x}");
        self.counters.insert(pid, counter);
    }

    fn adaptation(&mut self, pid: u16, field: &[u8]) -> bool {
        let Some((flags, rest)) = field.split_first() else { return false };
        assert_eq!(flags & 0x2F, 0, "no priority, OPCR, splice, private data or extension");
        let (pcr, stuffing) = rest.split_at(if flags & 0x10 != 0 { 6 } else { 0 });
        assert!(stuffing.iter().all(|byte| *byte == 0xFF), "stuffing bytes");
        if !pcr.is_empty() {
            self.clock_reference(pid, pcr, flags & 0x80 != 0);
        } else {
            assert_eq!(flags & 0x80, 0, "a discontinuity comes with its clock reference");
        }
        flags & 0x40 != 0
    }

    fn clock_reference(&mut self, pid: u16, field: &[u8], discontinuity: bool) {
        assert_eq!(Some(pid), self.programs.last().map(|program| program.pcr_pid), "PCR_PID");
        let bits = field.iter().fold(0_i64, |bits, byte| bits << 8 | i64::from(*byte));
        assert_eq!(bits & 0x7FFF, 0x7E00, "reserved bits and extension");
        let base = bits >> 15;
        if discontinuity {
            assert!(!self.pcrs.is_empty(), "a first time base is no discontinuity");
            self.newest_dts.clear();
            self.tables.values_mut().for_each(|table| table.newest_pcr = None);
        } else if let Some((newest, _)) = self.pcrs.last() {
            let step = difference(base, *newest);
            assert!(0 < step && step <= 3600, "PCR step {step} to {base}");
        }
        self.pcrs.push((base, discontinuity));
        for (pid, table) in &mut self.tables {
            if std::mem::take(&mut table.is_new) {
                table.newest_pcr = Some(base);
            }
            let age = table.newest_pcr.map(|written| difference(base, written));
            assert!(age.is_some_and(|age| age <= 9000), "table {pid:#x} is {age:?} old");
        }
    }

    fn payload(&mut self, pid: u16, start: bool, random_access: bool, stuffed: usize, payload: &[u8]) {
        if pid == 0 || pid == 0x1000 {
            assert!(start && payload[0] == 0, "pointer_field");
            self.section(pid, &payload[1..]);
            return;
        }
        let program = self.programs.last().expect("tables come first");
        assert!(program.streams.iter().any(|(known, ..)| *known == pid), "PID {pid:#x} is in the PMT");
        if start {
            self.close_unit(pid);
            self.open.insert(pid, Vec::new());
            self.about.insert(pid, (random_access, 0));
        }
        self.open.get_mut(&pid).expect("a unit has begun").extend_from_slice(payload);
        self.about.get_mut(&pid).unwrap().1 += stuffed;
        if start {
            self.check_times(pid);
        }
    }

    fn section(&mut self, pid: u16, body: &[u8]) {
        let length = usize::from(u16::from_be_bytes([body[1] & 0x0F, body[2]]));
        let (section, stuffing) = body.split_at(3 + length);
        assert_eq!(section[1] & 0xF0, 0xB0, "section_syntax_indicator and reserved bits");
        assert_eq!(reference_crc_32(section), 0, "CRC_32");
        assert!(stuffing.iter().all(|byte| *byte == 0xFF));
        assert_eq!((section[5] & 1, section[6], section[7]), (1, 0, 0), "current, the only section");
        self.tables.entry(pid).or_default().is_new = true;
        match (pid, section[0]) {
            (0, 0x00) => assert_eq!(section[8..12], [0, 1, 0xF0, 0x00], "program 1 at 0x1000"),
            (0x1000, 0x02) => self.program_map(section),
            other => panic!("table {other:?}"),
        }
    }

    fn program_map(&mut self, section: &[u8]) {
        assert_eq!(section[3..5], [0, 1], "program_number");
        let pcr_pid = u16::from_be_bytes([section[8] & 0x1F, section[9]]);
        assert_eq!(section[10..12], [0xF0, 0], "program_info_length");
        let mut rest = &section[12..section.len() - 4];
        let mut streams = Vec::new();
        while let [stream_type, high, low, 0xF0, bytes, descriptors @ ..] = rest {
            let (descriptors, behind) = descriptors.split_at(usize::from(*bytes));
            streams.push((u16::from_be_bytes([high & 0x1F, *low]), *stream_type, descriptors.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty());
        let program = Program { version: section[5] >> 1 & 0x1F, pcr_pid, streams };
        let newest = self.programs.last();
        if let Some(newest) = newest.filter(|newest| newest.version == program.version) {
            assert_eq!(*newest, program, "a change has a new version");
        } else {
            self.programs.push(program);
        }
    }

    /// At the first packet of a unit: its times, against the clock and its predecessor.
    fn check_times(&mut self, pid: u16) {
        let (pts, dts, _) = pes(&self.open[&pid]);
        let lead = difference(pts, dts);
        assert!(lead >= 0 || self.tolerates_any_order, "PTS {pts} before DTS {dts}");
        let (pcr, _) = self.pcrs.last().expect("a clock reference comes first");
        let ahead = difference(dts, *pcr);
        assert!((1..=90_000).contains(&ahead) || self.tolerates_late_units, "DTS {dts} is {ahead} ahead of PCR {pcr}");
        if let Some(newest) = self.newest_dts.insert(pid, dts) {
            assert!(difference(dts, newest) > 0 || self.tolerates_any_order, "DTS {dts} behind {newest}");
        }
    }

    fn close_unit(&mut self, pid: u16) {
        let Some(bytes) = self.open.remove(&pid) else { return };
        let (pts, dts, header) = pes(&bytes);
        let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        match bytes[3] {
            0xE0..=0xEF => assert_eq!(length, 0),
            0xC0..=0xDF => assert_eq!(length, bytes.len() - 6, "PES_packet_length"),
            other => panic!("stream_id {other:#x}"),
        }
        let (random_access, stuffed) = self.about[&pid];
        self.units.push(Unit { pid, pts, dts, random_access, stuffed, data: bytes[header..].to_vec() });
    }
}

/// PTS, DTS, and where the content begins.
fn pes(bytes: &[u8]) -> (i64, i64, usize) {
    assert_eq!(bytes[..3], [0, 0, 1], "packet_start_code_prefix");
    assert_eq!(bytes[6], 0x84, "data_alignment_indicator and nothing else");
    let header = 9 + usize::from(bytes[8]);
    match (bytes[7], header) {
        (0x80, 14) => {
            let pts = time(&bytes[9..14], 2);
            (pts, pts, header)
        }
        (0xC0, 19) => {
            let (pts, dts) = (time(&bytes[9..14], 3), time(&bytes[14..19], 1));
            assert_ne!(pts, dts, "a DTS equal to the PTS is left out");
            (pts, dts, header)
        }
        other => panic!("PTS_DTS_flags and header length {other:?}"),
    }
}

fn time(field: &[u8], prefix: u8) -> i64 {
    assert_eq!((field[0] >> 4, field[0] & 1, field[2] & 1, field[4] & 1), (prefix, 1, 1, 1), "marker bits");
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|index| i64::from(field[index]));
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

/// The division of Annex A, one bit of a long number at a time.
fn reference_crc_32(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        let feedback = (register >> 31) as u8 ^ bit;
        register <<= 1;
        if feedback == 1 {
            register ^= 0x04C1_1DB7;
        }
    }
    register
}

/// Asserts that `unit` is `frame` of `track`, bit for bit, with its times.
pub(crate) fn assert_carries(unit: &Unit, track: &Track, frame: &Frame) {
    let rate = i128::from(track.clock_rate_hz);
    let expected =
        |ticks: i64| ((i128::from(ticks) * 180_000 + rate).div_euclid(2 * rate) + 90_000).rem_euclid(WRAP.into());
    assert_eq!(i128::from(unit.dts), expected(frame.dts), "DTS of {:?} {}", frame.track, frame.dts);
    assert_eq!(i128::from(unit.pts), expected(frame.pts.max(frame.dts)), "PTS of {:?} {}", frame.track, frame.pts);
    match &track.config {
        CodecConfig::H264(avc) => assert!(unit.data == annex_b(avc, frame), "access unit at {}", frame.dts),
        CodecConfig::Aac(aac) => {
            let header = parse_adts(&unit.data).unwrap();
            let said = (header.object_type, header.sample_rate_hz, header.channels, header.frame_bytes);
            assert_eq!(said, (aac.object_type, aac.sample_rate_hz, aac.channels, unit.data.len()));
            assert!(unit.data[header.header_bytes..] == frame.payload, "access unit at {}", frame.dts);
        }
        other => panic!("{other:?}"),
    }
}

fn annex_b(avc: &AvcConfig, frame: &Frame) -> Vec<u8> {
    let sets: Vec<&[u8]> = avc.sps.iter().chain(&avc.pps).map(AsRef::as_ref).collect();
    let nals: Vec<&[u8]> = nal_units(&frame.payload, 4).map(Result::unwrap).collect();
    let delimiter: &[u8] = &[9, 0xF0];
    let sets = if frame.is_key() { &sets[..] } else { &[] };
    [&[delimiter], sets, &nals].concat().iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
}
