//! Cues of SCTE-35 as `EXT-X-DATERANGE` (RFC 8216bis §4.4.5.1).

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use arcly_codec::bits::BitReader;

use super::DateRange;
use crate::date::iso_8601;

/// Cues that are kept at a time; the oldest go first.
const CUES_MAX: usize = 256;

/// The cues of a stream that are within its window.
#[derive(Debug, Default)]
pub(crate) struct Cues {
    ranges: VecDeque<Arc<DateRange>>,
    /// Breaks that have begun: their ids and when they did.
    begun: VecDeque<(u32, i64)>,
    commands: u64,
}

/// What a section says (ANSI/SCTE 35 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cue {
    /// A break begins, and is planned to last so many ticks of 90 kHz.
    Out { event: u32, duration: Option<u64> },
    /// It ends.
    In { event: u32 },
    /// Something else.
    Command,
}

impl Cues {
    /// Takes a section whose time is `at_us`, since 1970.
    pub(crate) fn push(&mut self, section: &[u8], at_us: i64) {
        let text = match Cue::parse(section) {
            Some(Cue::Out { event, duration }) => self.begin(event, at_us, duration),
            Some(Cue::In { event }) => self.end(event, at_us),
            Some(Cue::Command) | None => {
                self.commands += 1;
                Some(format!(
                    "#EXT-X-DATERANGE:ID=\"cue-{}\",START-DATE=\"{}\",SCTE35-CMD=",
                    self.commands,
                    iso_8601(at_us)
                ))
            }
        };
        let Some(mut text) = text else { return };
        text.push_str("0x");
        for byte in section {
            let _ = write!(text, "{byte:02X}");
        }
        self.ranges.push_back(Arc::new(DateRange { start_us: at_us, text }));
        if self.ranges.len() > CUES_MAX {
            self.ranges.pop_front();
        }
    }

    /// `None` when it was said already: senders repeat a cue.
    fn begin(&mut self, event: u32, at_us: i64, duration: Option<u64>) -> Option<String> {
        if self.begun.iter().any(|(known, _)| *known == event) {
            return None;
        }
        self.begun.push_back((event, at_us));
        if self.begun.len() > CUES_MAX {
            self.begun.pop_front();
        }
        let mut text = format!("#EXT-X-DATERANGE:ID=\"splice-{event}\",START-DATE=\"{}\"", iso_8601(at_us));
        if let Some(ticks) = duration {
            let ms = ticks / 90;
            let _ = write!(text, ",PLANNED-DURATION={}.{:03}", ms / 1000, ms % 1000);
        }
        text.push_str(",SCTE35-OUT=");
        Some(text)
    }

    /// The tag that completes that of the beginning: the same id and the same date (§4.4.5.1.1).
    fn end(&mut self, event: u32, at_us: i64) -> Option<String> {
        let index = self.begun.iter().position(|(known, _)| *known == event)?;
        let (_, start_us) = self.begun.remove(index)?;
        let ms = (at_us - start_us).max(0) / 1000;
        let (start, seconds, ms) = (iso_8601(start_us), ms / 1000, ms % 1000);
        let id = format!("ID=\"splice-{event}\",START-DATE=\"{start}\"");
        Some(format!("#EXT-X-DATERANGE:{id},DURATION={seconds}.{ms:03},SCTE35-IN="))
    }

    pub(crate) fn date_ranges(&self) -> Arc<[Arc<DateRange>]> {
        self.ranges.iter().cloned().collect()
    }

    /// Lets go of what was before that time.
    pub(crate) fn forget_before(&mut self, us: i64) {
        while self.ranges.front().is_some_and(|range| range.start_us < us) {
            self.ranges.pop_front();
        }
    }
}

const SPLICE_INSERT: u32 = 5;
const TIME_SIGNAL: u32 = 6;
const SEGMENTATION_DESCRIPTOR: u32 = 2;

impl Cue {
    /// Reads a `splice_info_section`; `None` when it cannot be read.
    fn parse(section: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(section);
        bits.skip(32, "head").ok()?;
        if bits.flag("encrypted_packet").ok()? {
            return Some(Self::Command);
        }
        bits.skip(6 + 33 + 8 + 12 + 12, "head").ok()?;
        match bits.u(8, "splice_command_type").ok()? {
            SPLICE_INSERT => splice_insert(&mut bits),
            TIME_SIGNAL => time_signal(&mut bits),
            _ => Some(Self::Command),
        }
    }
}

/// §9.7.3.
fn splice_insert(bits: &mut BitReader<'_>) -> Option<Cue> {
    let event = bits.u(32, "splice_event_id").ok()?;
    if bits.flag("splice_event_cancel_indicator").ok()? {
        return Some(Cue::Command);
    }
    bits.skip(7, "reserved").ok()?;
    let is_out = bits.flag("out_of_network_indicator").ok()?;
    let is_of_program = bits.flag("program_splice_flag").ok()?;
    let has_duration = bits.flag("duration_flag").ok()?;
    let is_immediate = bits.flag("splice_immediate_flag").ok()?;
    bits.skip(4, "reserved").ok()?;
    if !is_out {
        return Some(Cue::In { event });
    }
    if is_of_program && !is_immediate {
        splice_time(bits)?;
    }
    let duration = if has_duration && is_of_program {
        bits.skip(1 + 6, "auto_return").ok()?;
        Some(u64::from(bits.u(1, "duration").ok()?) << 32 | u64::from(bits.u(32, "duration").ok()?))
    } else {
        None
    };
    Some(Cue::Out { event, duration })
}

/// §9.7.4, and the first segmentation descriptor behind it (§10.3.3).
fn time_signal(bits: &mut BitReader<'_>) -> Option<Cue> {
    splice_time(bits)?;
    bits.skip(16, "descriptor_loop_length").ok()?;
    if bits.u(8, "splice_descriptor_tag").ok()? != SEGMENTATION_DESCRIPTOR {
        return Some(Cue::Command);
    }
    bits.skip(8 + 32, "identifier").ok()?;
    let event = bits.u(32, "segmentation_event_id").ok()?;
    let is_cancelled = bits.flag("segmentation_event_cancel_indicator").ok()?;
    bits.skip(7, "reserved").ok()?;
    let is_of_program = bits.flag("program_segmentation_flag").ok()?;
    if is_cancelled || !is_of_program {
        return Some(Cue::Command);
    }
    let has_duration = bits.flag("segmentation_duration_flag").ok()?;
    bits.skip(6, "delivery").ok()?;
    let duration = if has_duration {
        Some(u64::from(bits.u(8, "duration").ok()?) << 32 | u64::from(bits.u(32, "duration").ok()?))
    } else {
        None
    };
    bits.skip(8, "segmentation_upid_type").ok()?;
    let upid_bytes = bits.u(8, "segmentation_upid_length").ok()?;
    for _ in 0..upid_bytes {
        bits.skip(8, "segmentation_upid").ok()?;
    }
    match bits.u(8, "segmentation_type_id").ok()? {
        // Break, advertisement, placement opportunity, block of advertisements: even numbers begin, odd ones end (table 23).
        0x22 | 0x30 | 0x32 | 0x34 | 0x36 | 0x44 | 0x46 => Some(Cue::Out { event, duration }),
        0x23 | 0x31 | 0x33 | 0x35 | 0x37 | 0x45 | 0x47 => Some(Cue::In { event }),
        _ => Some(Cue::Command),
    }
}

/// §9.8.1.
fn splice_time(bits: &mut BitReader<'_>) -> Option<()> {
    let rest = if bits.flag("time_specified_flag").ok()? { 6 + 33 } else { 7 };
    bits.skip(rest, "pts_time").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples of ANSI/SCTE 35 §14.1 and §14.2.
    const TIME_SIGNAL_SAMPLE: &str = "FC3034000000000000FFFFF00506FE72BD0050001E021C435545494800008E7FCF0001A599B00808000000002CA0A18A3402009AC9D17E";
    const SPLICE_INSERT_SAMPLE: &str =
        "FC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
    }

    #[test]
    fn samples_of_the_standard_begin_breaks() {
        let out = |event, duration| Some(Cue::Out { event, duration: Some(duration) });
        assert_eq!(Cue::parse(&unhex(TIME_SIGNAL_SAMPLE)), out(0x4800_008E, 0x01A5_99B0));
        assert_eq!(Cue::parse(&unhex(SPLICE_INSERT_SAMPLE)), out(0x4800_008F, 0x0052_CCF5));
    }

    #[test]
    fn a_break_that_ends_has_the_id_and_the_date_of_its_beginning() {
        let (mut cues, begin) = (Cues::default(), unhex(SPLICE_INSERT_SAMPLE));
        let mut end = begin.clone();
        end[19] &= 0x7F; // out_of_network_indicator
        cues.push(&begin, 1_000_000);
        cues.push(&begin, 1_200_000);
        cues.push(&end, 61_000_000);
        let texts: Vec<_> = cues.date_ranges().iter().map(|range| range.text.clone()).collect();
        assert_eq!(texts.len(), 2, "a repeated cue is said once: {texts:?}");
        let id = "#EXT-X-DATERANGE:ID=\"splice-1207959695\",START-DATE=\"1970-01-01T00:00:01.000Z\"";
        assert!(texts[0].starts_with(&format!("{id},PLANNED-DURATION=60.293,SCTE35-OUT=0xFC302F")), "{texts:?}");
        assert!(texts[1].starts_with(&format!("{id},DURATION=60.000,SCTE35-IN=0xFC302F")), "{texts:?}");
        cues.forget_before(2_000_000);
        assert_eq!(cues.date_ranges().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_handed_on() {
        let sample = unhex(TIME_SIGNAL_SAMPLE);
        for bytes in 0..sample.len() {
            let mut cues = Cues::default();
            cues.push(&sample[..bytes], 0);
            assert_eq!(cues.date_ranges().len(), 1);
        }
    }
}
