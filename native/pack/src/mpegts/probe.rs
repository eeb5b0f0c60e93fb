//! A transport stream reader for the tests that trusts nothing: a subset of ETSI TR 101 290, and a demultiplexer.
//!
//! It shares no code with the muxer or the demuxer, CRC included. What it finds wrong it lists; most tests then fail.

use std::collections::{BTreeSet, HashMap};

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

/// What can be wrong; numbers are those of ETSI TR 101 290 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// 1.2
    SyncByte,
    /// 1.3, 1.5: no table, or an old one.
    Tables,
    /// 1.4
    Continuity,
    /// 1.6: a PID that no table names.
    Pid,
    /// 2.1
    TransportError,
    /// 2.2
    Crc,
    /// 2.3: more than 40 ms between two references, or none in front of an access unit.
    ClockInterval,
    /// 2.3: a reference that runs backwards, or a discontinuity without reason.
    ClockJump,
    /// 2.4: a reference that is not where its byte is.
    ClockAccuracy,
    /// 2.5: a time that is missing, or in no order.
    Times,
    /// An access unit that comes behind its decoding time, or a second and more before it.
    Buffer,
    /// Header, adaptation field, stuffing: bits that the standard fixes.
    Syntax,
    /// The header or the length of a PES packet.
    Pes,
    /// The content of a table.
    Map,
}

/// Reads packets one after the other.
#[derive(Default)]
pub(crate) struct Probe {
    counters: HashMap<u16, u8>,
    pub(crate) programs: Vec<Program>,
    pub(crate) units: Vec<Unit>,
    /// Sections of SCTE 35: PID and bytes.
    pub(crate) sections: Vec<(u16, Vec<u8>)>,
    /// PES packets that are not complete yet.
    open: HashMap<u16, Vec<u8>>,
    open_sections: HashMap<u16, Vec<u8>>,
    about: HashMap<u16, (bool, usize)>,
    /// Every PCR: its base and whether it begins a new time base.
    pub(crate) pcrs: Vec<(i64, bool)>,
    newest_dts: HashMap<u16, i64>,
    tables: HashMap<u16, Table>,
    /// A late access unit is no fault of the muxer's in this stream.
    tolerates_late_units: bool,
    /// Nor is one whose predecessor came later than itself.
    tolerates_any_order: bool,
    /// Bits a second of a constant-rate stream; 0 for others.
    rate_bps: u64,
    /// The first reference of the time base in 27 MHz, and its packet.
    rate_anchor: Option<(i64, u64)>,
    packets: u64,
    pub(crate) null_packets: u64,
    findings: Vec<(u64, Finding, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) version: u8,
    pub(crate) pcr_pid: u16,
    pub(crate) descriptors: Vec<u8>,
    /// PID, stream type, descriptors.
    pub(crate) streams: Vec<(u16, u8, Vec<u8>)>,
}

#[derive(Default)]
struct Table {
    is_new: bool,
    newest_pcr: Option<i64>,
}

pub(crate) const WRAP: i64 = 1 << 33;
const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const NULL_PID: u16 = 0x1FFF;
const SCTE_35: u8 = 0x86;

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

    /// For a stream of a constant rate: each reference must be where its byte is.
    pub(crate) fn for_constant_rate(rate_bps: u64) -> Self {
        Self::default().at_constant_rate(rate_bps)
    }

    /// The same besides what is asked already.
    pub(crate) fn at_constant_rate(self, rate_bps: u64) -> Self {
        Self { rate_bps, ..self }
    }

    pub(crate) fn read(ts: &[u8]) -> Self {
        let mut probe = Self::default();
        probe.feed(ts);
        probe.finish();
        probe
    }

    /// What is wrong with a stream.
    pub(crate) fn judge(mut self, ts: &[u8]) -> BTreeSet<Finding> {
        self.feed(ts);
        self.close_all();
        self.findings.iter().map(|(_, finding, _)| *finding).collect()
    }

    pub(crate) fn feed(&mut self, ts: &[u8]) {
        self.expect(ts.len().is_multiple_of(188), Finding::SyncByte, || "whole packets".into());
        for packet in ts.chunks_exact(188) {
            self.packet(packet);
            self.packets += 1;
        }
    }

    /// A segment: begins with PAT, PMT, and a clock reference before or in the first access unit.
    pub(crate) fn feed_segment(&mut self, ts: &[u8]) {
        let pid = |index: usize| u16::from_be_bytes([ts[index * 188 + 1] & 0x1F, ts[index * 188 + 2]]);
        assert_eq!((pid(0), pid(1)), (0, 0x1000), "a segment begins with PAT and PMT");
        assert_eq!(ts[2 * 188 + 3] & 0x20, 0x20, "then comes an adaptation field");
        assert_eq!(ts[2 * 188 + 5] & 0x10, 0x10, "with a clock reference");
        self.feed(ts);
    }

    /// All PES packets are complete, and nothing was wrong.
    pub(crate) fn finish(&mut self) {
        self.close_all();
        assert!(self.findings.is_empty(), "{:#?}", &self.findings[..self.findings.len().min(5)]);
    }

    fn close_all(&mut self) {
        let pids: Vec<u16> = self.open.keys().copied().collect();
        pids.into_iter().for_each(|pid| self.close_unit(pid));
    }

    pub(crate) fn of(&self, pid: u16) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.pid == pid)
    }

    fn expect(&mut self, holds: bool, finding: Finding, what: impl FnOnce() -> String) -> bool {
        if !holds {
            self.findings.push((self.packets, finding, what()));
        }
        holds
    }

    fn fail(&mut self, finding: Finding, what: String) {
        self.findings.push((self.packets, finding, what));
    }

    fn packet(&mut self, packet: &[u8]) {
        self.expect(packet[0] == 0x47, Finding::SyncByte, || "sync byte".into());
        self.expect(packet[1] & 0x80 == 0, Finding::TransportError, || "transport_error_indicator".into());
        self.expect(packet[3] & 0xC0 == 0, Finding::Syntax, || "transport_scrambling_control".into());
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        if pid == NULL_PID {
            self.null_packets += 1;
            return;
        }
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        self.expect(has_field || has_payload, Finding::Syntax, || "adaptation_field_control".into());
        self.count(pid, packet[3] & 0x0F, has_payload);
        let field_bytes = if has_field { 1 + usize::from(packet[4]) } else { 0 };
        let fits = if has_payload { field_bytes <= 183 } else { field_bytes == 184 };
        if !self.expect(fits, Finding::Syntax, || format!("adaptation_field_length of {pid:#x}")) {
            return;
        }
        let (field, payload) = packet[4..].split_at(field_bytes);
        let random_access = self.adaptation(pid, field.get(1..).unwrap_or_default());
        if has_payload {
            self.payload(pid, packet[1] & 0x40 != 0, random_access, field_bytes, payload);
        }
    }

    fn count(&mut self, pid: u16, counter: u8, has_payload: bool) {
        let expected = self.counters.get(&pid).map(|newest| (newest + u8::from(has_payload)) & 0x0F);
        let holds = counter == expected.unwrap_or(counter);
        self.expect(holds, Finding::Continuity, || format!("continuity_counter of {pid:#x}"));
        self.counters.insert(pid, counter);
    }

    fn adaptation(&mut self, pid: u16, field: &[u8]) -> bool {
        let Some((flags, rest)) = field.split_first() else { return false };
        let plain = "priority, OPCR, splice, private data or extension";
        self.expect(flags & 0x2F == 0, Finding::Syntax, || plain.into());
        let pcr_bytes = if flags & 0x10 != 0 { 6 } else { 0 };
        let Some((pcr, stuffing)) = rest.split_at_checked(pcr_bytes) else {
            self.expect(false, Finding::Syntax, || "a reference that does not fit".into());
            return false;
        };
        self.expect(stuffing.iter().all(|byte| *byte == 0xFF), Finding::Syntax, || "stuffing bytes".into());
        if !pcr.is_empty() {
            self.clock_reference(pid, pcr, flags & 0x80 != 0);
        } else {
            let lone = "a discontinuity comes with its clock reference";
            self.expect(flags & 0x80 == 0, Finding::ClockJump, || lone.into());
        }
        flags & 0x40 != 0
    }

    fn clock_reference(&mut self, pid: u16, field: &[u8], discontinuity: bool) {
        let named = self.programs.last().map(|program| program.pcr_pid);
        self.expect(Some(pid) == named, Finding::Map, || format!("PCR_PID {named:?}, not {pid:#x}"));
        let bits = field.iter().fold(0_i64, |bits, byte| bits << 8 | i64::from(*byte));
        self.expect(bits & 0x7E00 == 0x7E00 && bits & 0x1FF < 300, Finding::Syntax, || "PCR fields".into());
        let (base, extension) = (bits >> 15, bits & 0x1FF);
        self.expect(extension == 0 || self.rate_bps > 0, Finding::Syntax, || "PCR extension".into());
        self.check_accuracy(base * 300 + extension, discontinuity);
        if discontinuity {
            self.expect(!self.pcrs.is_empty(), Finding::ClockJump, || "a first time base is no discontinuity".into());
            self.newest_dts.clear();
            self.tables.values_mut().for_each(|table| table.newest_pcr = None);
        } else if let Some((newest, _)) = self.pcrs.last() {
            let step = difference(base, *newest);
            self.expect(0 < step && step <= 9_000, Finding::ClockJump, || format!("PCR step {step} to {base}"));
            self.expect(step <= 3_600, Finding::ClockInterval, || format!("PCR step {step} to {base}"));
        }
        self.pcrs.push((base, discontinuity));
        self.check_table_age(base);
    }

    /// 500 ns (§2.4.2.2).
    fn check_accuracy(&mut self, pcr: i64, discontinuity: bool) {
        if self.rate_bps == 0 {
            return;
        }
        let Some((anchor, packet)) = self.rate_anchor.filter(|_| !discontinuity) else {
            self.rate_anchor = Some((pcr, self.packets));
            return;
        };
        let bits = u128::from(self.packets - packet) * 188 * 8;
        let expected = i64::try_from(bits * 27_000_000 / u128::from(self.rate_bps)).unwrap();
        let wrap = WRAP * 300;
        let error = (pcr - anchor - expected + wrap / 2).rem_euclid(wrap) - wrap / 2;
        self.expect(error.abs() <= 13, Finding::ClockAccuracy, || format!("{error} ticks of 27 MHz off"));
    }

    fn check_table_age(&mut self, base: i64) {
        let mut old = Vec::new();
        for (pid, table) in &mut self.tables {
            if std::mem::take(&mut table.is_new) {
                table.newest_pcr = Some(base);
            }
            let age = table.newest_pcr.map(|written| difference(base, written));
            if age.is_none_or(|age| age > 9_000) {
                old.push(format!("table {pid:#x} is {age:?} old"));
            }
        }
        old.into_iter().for_each(|what| self.fail(Finding::Tables, what));
    }

    fn payload(&mut self, pid: u16, start: bool, random_access: bool, stuffed: usize, payload: &[u8]) {
        if pid == PAT_PID || pid == PMT_PID {
            return self.section_part(pid, start, payload);
        }
        let Some(program) = self.programs.last() else {
            self.expect(false, Finding::Tables, || "tables come first".into());
            return;
        };
        match program.streams.iter().find(|(known, ..)| *known == pid) {
            None => self.fail(Finding::Pid, format!("{pid:#x} is not in the PMT")),
            Some((_, SCTE_35, _)) => self.section_part(pid, start, payload),
            Some(_) => self.pes_part(pid, start, random_access, stuffed, payload),
        }
    }

    fn pes_part(&mut self, pid: u16, start: bool, random_access: bool, stuffed: usize, payload: &[u8]) {
        if start {
            self.close_unit(pid);
            self.open.insert(pid, Vec::new());
            self.about.insert(pid, (random_access, 0));
        }
        let Some(open) = self.open.get_mut(&pid) else {
            self.expect(false, Finding::Pes, || "a PES packet without a beginning".into());
            return;
        };
        open.extend_from_slice(payload);
        self.about.entry(pid).or_default().1 += stuffed;
        if start {
            self.check_times(pid);
        }
    }

    /// One section a packet begins, behind a pointer of 0; the rest of its last packet is stuffing.
    fn section_part(&mut self, pid: u16, start: bool, payload: &[u8]) {
        let bytes = if start {
            self.expect(payload[0] == 0, Finding::Syntax, || "pointer_field".into());
            payload[1..].to_vec()
        } else {
            [self.open_sections.remove(&pid).unwrap_or_default(), payload.to_vec()].concat()
        };
        let Some(&[_, high, low]) = bytes.first_chunk::<3>() else { return };
        let length = 3 + usize::from(u16::from_be_bytes([high & 0x0F, low]));
        let Some((section, stuffing)) = bytes.split_at_checked(length) else {
            self.open_sections.insert(pid, bytes);
            return;
        };
        self.expect(stuffing.iter().all(|byte| *byte == 0xFF), Finding::Syntax, || "section stuffing".into());
        if self.expect(reference_crc_32(section) == 0, Finding::Crc, || format!("CRC_32 of {pid:#x}")) {
            self.section(pid, section);
        }
    }

    fn section(&mut self, pid: u16, section: &[u8]) {
        if pid != PAT_PID && pid != PMT_PID {
            self.expect(section[0] == 0xFC && section[1] & 0xC0 == 0, Finding::Map, || "splice_info_section".into());
            return self.sections.push((pid, section.to_vec()));
        }
        self.expect(section[1] & 0xF0 == 0xB0, Finding::Syntax, || "section_syntax_indicator".into());
        let is_only = (section[5] & 1, section[6], section[7]) == (1, 0, 0);
        self.expect(is_only, Finding::Map, || "current, the only section".into());
        self.tables.entry(pid).or_default().is_new = true;
        match (pid, section[0]) {
            (PAT_PID, 0x00) => {
                self.expect(section[8..12] == [0, 1, 0xF0, 0x00], Finding::Map, || "program 1 at 0x1000".into());
            }
            (PMT_PID, 0x02) => self.program_map(section),
            other => self.fail(Finding::Map, format!("table {other:?}")),
        }
    }

    fn program_map(&mut self, section: &[u8]) {
        self.expect(section[3..5] == [0, 1], Finding::Map, || "program_number".into());
        let pcr_pid = u16::from_be_bytes([section[8] & 0x1F, section[9]]);
        let mut rest = &section[10..section.len() - 4];
        let descriptors = self.descriptors(&mut rest);
        let mut streams = Vec::new();
        while let [stream_type, high, low, behind @ ..] = rest {
            rest = behind;
            streams.push((u16::from_be_bytes([high & 0x1F, *low]), *stream_type, self.descriptors(&mut rest)));
        }
        self.expect(rest.is_empty(), Finding::Map, || "the end of the map".into());
        let program = Program { version: section[5] >> 1 & 0x1F, pcr_pid, descriptors, streams };
        let newest = self.programs.last();
        if let Some(newest) = newest.filter(|newest| newest.version == program.version) {
            let is_same = *newest == program;
            self.expect(is_same, Finding::Map, || "a change has a new version".into());
        } else {
            self.programs.push(program);
        }
    }

    fn descriptors(&mut self, rest: &mut &[u8]) -> Vec<u8> {
        let [high, low, behind @ ..] = *rest else { return Vec::new() };
        let length = usize::from(u16::from_be_bytes([high & 0x03, *low]));
        let fits = high & 0xFC == 0xF0 && length <= behind.len();
        self.expect(fits, Finding::Map, || "length of descriptors".into());
        let (descriptors, behind) = behind.split_at(length.min(behind.len()));
        *rest = behind;
        descriptors.to_vec()
    }

    /// At the first packet of a unit: its times, against the clock and its predecessor.
    fn check_times(&mut self, pid: u16) {
        let Some((pts, dts, _)) = self.pes(pid) else { return };
        let lead = difference(pts, dts);
        self.expect(lead >= 0 || self.tolerates_any_order, Finding::Times, || format!("PTS {pts} before DTS {dts}"));
        let Some((pcr, _)) = self.pcrs.last().copied() else {
            self.expect(false, Finding::ClockInterval, || "a clock reference comes first".into());
            return;
        };
        let ahead = difference(dts, pcr);
        let is_held = (1..=90_000).contains(&ahead) || self.tolerates_late_units;
        self.expect(is_held, Finding::Buffer, || format!("DTS {dts} is {ahead} ahead of PCR {pcr}"));
        if let Some(newest) = self.newest_dts.insert(pid, dts) {
            let in_order = difference(dts, newest) > 0 || self.tolerates_any_order;
            self.expect(in_order, Finding::Times, || format!("DTS {dts} behind {newest}"));
        }
    }

    fn close_unit(&mut self, pid: u16) {
        let parsed = self.pes(pid);
        let Some(bytes) = self.open.remove(&pid) else { return };
        let Some((pts, dts, header)) = parsed else { return };
        let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        let is_known = matches!(bytes[3], 0xE0..=0xEF | 0xC0..=0xDF | 0xBD);
        self.expect(is_known, Finding::Pes, || format!("stream_id {:#x}", bytes[3]));
        let is_unbounded = matches!(bytes[3], 0xE0..=0xEF) && length == 0;
        let holds = is_unbounded || length == bytes.len() - 6;
        self.expect(holds, Finding::Pes, || format!("PES_packet_length {length} of {}", bytes.len()));
        let (random_access, stuffed) = self.about[&pid];
        self.units.push(Unit { pid, pts, dts, random_access, stuffed, data: bytes[header..].to_vec() });
    }

    /// PTS, DTS, and where the content begins.
    fn pes(&mut self, pid: u16) -> Option<(i64, i64, usize)> {
        let bytes = self.open.get(&pid)?;
        let parsed = pes(bytes);
        self.expect(parsed.is_some(), Finding::Pes, || format!("PES header of {pid:#x}"));
        parsed
    }
}

/// PTS, DTS, and where the content begins, of a header with nothing else.
fn pes(bytes: &[u8]) -> Option<(i64, i64, usize)> {
    let header = 9 + usize::from(*bytes.get(8)?);
    // The prefix, and data_alignment_indicator and nothing else.
    if bytes[..3] != [0, 0, 1] || bytes[6] != 0x84 {
        return None;
    }
    match (bytes[7], header) {
        (0x80, 14) => time(bytes.get(9..14)?, 2).map(|pts| (pts, pts, header)),
        (0xC0, 19) => {
            let (pts, dts) = (time(bytes.get(9..14)?, 3)?, time(bytes.get(14..19)?, 1)?);
            // A DTS equal to the PTS is left out.
            (pts != dts).then_some((pts, dts, header))
        }
        _ => None,
    }
}

/// `None` when the prefix or a marker bit is wrong.
fn time(field: &[u8], prefix: u8) -> Option<i64> {
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|index| i64::from(field[index]));
    let is_marked = (field[0] >> 4, field[0] & 1, field[2] & 1, field[4] & 1) == (prefix, 1, 1, 1);
    is_marked.then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
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
        _ => assert!(unit.data == frame.payload, "access unit at {}", frame.dts),
    }
}

fn annex_b(avc: &AvcConfig, frame: &Frame) -> Vec<u8> {
    let sets: Vec<&[u8]> = avc.sps.iter().chain(&avc.pps).map(AsRef::as_ref).collect();
    let nals: Vec<&[u8]> = nal_units(&frame.payload, 4).map(Result::unwrap).collect();
    let delimiter: &[u8] = &[9, 0xF0];
    let sets = if frame.is_key() { &sets[..] } else { &[] };
    [&[delimiter], sets, &nals].concat().iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
}
