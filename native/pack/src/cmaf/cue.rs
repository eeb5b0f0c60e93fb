//! Cues of SCTE-35 as `EXT-X-DATERANGE` (RFC 8216bis §4.4.5.1).

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use arcly_codec::bits::BitReader;

use super::DateRange;
use crate::date::iso_8601;

/// Cues that are kept at a time; the oldest go first.
const CUES_MAX: usize = 256;

/// The cues of a stream that are within its window.
#[derive(Debug, Default)]
pub struct Cues {
    ranges: VecDeque<Arc<DateRange>>,
    /// The newest break of each event, oldest first.
    begun: VecDeque<Break>,
    commands: u64,
}

/// A break that has been told of.
#[derive(Debug)]
struct Break {
    event: u32,
    /// `ID` and `START-DATE`: those of its end are the same (RFC 8216bis §4.4.5.1.1).
    attributes: String,
    start_us: i64,
    /// Where it is over: what begins it before is a repeat. None where that is not known.
    end_us: Option<i64>,
    has_ended: bool,
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
    pub fn push(&mut self, section: &[u8], at_us: i64) {
        let mut end_us = at_us;
        let text = match Cue::parse(section) {
            Some(Cue::Out { event, duration }) => {
                end_us = at_us.saturating_add(duration.map_or(0, planned_us));
                self.begin(event, at_us, duration)
            }
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
        self.ranges.push_back(Arc::new(DateRange { start_us: at_us, end_us, text }));
        if self.ranges.len() > CUES_MAX {
            self.ranges.pop_front();
        }
    }

    /// `None` when it was said already: senders repeat a cue. Behind its end the same event is another break, and has another id: those of
    /// one id have one date (RFC 8216bis §4.4.5.1).
    fn begin(&mut self, event: u32, at_us: i64, duration: Option<u64>) -> Option<String> {
        let known = self.begun.iter().position(|known| known.event == event);
        let is_repeat = |known: &Break| known.end_us.is_none_or(|end_us| at_us < end_us);
        if known.and_then(|index| self.begun.get(index)).is_some_and(is_repeat) {
            return None;
        }
        let before = known.and_then(|index| self.begun.remove(index));
        let of_another = before.map_or_else(String::new, |_| format!("-{}", at_us / 1_000));
        let id = format!("splice-{event}{of_another}");
        let attributes = format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"{}\"", iso_8601(at_us));
        let planned_us = duration.map(planned_us).filter(|us| *us > 0);
        let mut text = attributes.clone();
        if let Some(ms) = planned_us.map(|us| us / 1_000) {
            let _ = write!(text, ",PLANNED-DURATION={}.{:03}", ms / 1000, ms % 1000);
        }
        text.push_str(",SCTE35-OUT=");
        let end_us = planned_us.map(|us| at_us.saturating_add(us));
        self.begun.push_back(Break { event, attributes, start_us: at_us, end_us, has_ended: false });
        if self.begun.len() > CUES_MAX {
            self.begun.pop_front();
        }
        Some(text)
    }

    /// The tag that completes that of the beginning.
    fn end(&mut self, event: u32, at_us: i64) -> Option<String> {
        let known = self.begun.iter_mut().find(|it| it.event == event && !it.has_ended)?;
        (known.has_ended, known.end_us) = (true, Some(at_us));
        let begun = self.ranges.iter_mut().find(|range| range.text.starts_with(&known.attributes));
        if let Some(begun) = begun {
            *begun = Arc::new(DateRange { end_us: at_us, start_us: begun.start_us, text: begun.text.clone() });
        }
        let ms = (at_us - known.start_us).max(0) / 1000;
        let (seconds, ms) = (ms / 1000, ms % 1000);
        Some(format!("{},DURATION={seconds}.{ms:03},SCTE35-IN=", known.attributes))
    }

    /// The tags, oldest first.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().map(|range| range.text.as_str())
    }

    pub(crate) fn date_ranges(&self) -> Arc<[Arc<DateRange>]> {
        self.ranges.iter().cloned().collect()
    }

    /// Lets go of what was over by that time: a player that comes within a break is told of it. A break that is not known to have ended, and of which nobody is told any more, may begin anew.
    pub fn forget_before(&mut self, us: i64) {
        for known in self.begun.iter_mut().filter(|known| known.start_us < us) {
            known.end_us.get_or_insert(us);
        }
        self.ranges.retain(|range| range.end_us >= us);
    }
}

/// A duration of 90 kHz, whole milliseconds as the tag has it.
fn planned_us(ticks: u64) -> i64 {
    i64::try_from(ticks / 90).unwrap_or(i64::MAX).saturating_mul(1_000)
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
        cues.forget_before(61_000_000);
        assert_eq!(cues.date_ranges().len(), 2);
        cues.forget_before(61_000_001);
        assert_eq!(cues.date_ranges().len(), 0);
    }

    /// It was forgotten when its beginning left the window: who came then heard of no break.
    #[test]
    fn a_break_is_told_of_until_it_is_over() {
        let mut cues = Cues::default();
        cues.push(&unhex(SPLICE_INSERT_SAMPLE), 1_000_000);
        cues.forget_before(61_293_000);
        assert_eq!(cues.date_ranges().len(), 1);
        cues.forget_before(61_293_001);
        assert_eq!(cues.date_ranges().len(), 0);
    }

    #[test]
    fn a_second_break_of_the_same_event_is_told_behind_the_first() {
        // Of 60.293 s by what it says, or of a length that nobody knows.
        let planned = unhex(SPLICE_INSERT_SAMPLE);
        let mut unplanned = planned.clone();
        unplanned[19] &= 0xDF; // duration_flag
        let mut end = planned.clone();
        end[19] &= 0x7F; // out_of_network_indicator
        let told = |cues: &Cues| cues.date_ranges().iter().map(|range| range.text.clone()).collect::<Vec<_>>();

        let mut cues = Cues::default();
        for at_us in [1_000_000, 1_000_000, 31_000_000, 61_292_000, 61_294_000, 61_294_000, 100_000_000] {
            cues.push(&planned, at_us);
        }
        cues.push(&end, 110_000_000);
        cues.push(&end, 110_000_000);
        cues.push(&planned, 109_000_000);
        let texts = told(&cues);
        assert_eq!(texts.len(), 3, "two breaks, and the end of one: {texts:?}");
        let second = "#EXT-X-DATERANGE:ID=\"splice-1207959695-61294\",START-DATE=\"1970-01-01T00:01:01.294Z\"";
        assert!(texts[0].contains("\"splice-1207959695\"") && texts[1].starts_with(second), "{texts:?}");
        assert!(texts[2].starts_with(&format!("{second},DURATION=48.706,SCTE35-IN=")), "{texts:?}");
        cues.push(&planned, 111_000_000);
        assert!(told(&cues)[3].contains("\"splice-1207959695-111000\""), "what has ended may begin anew");

        let mut cues = Cues::default();
        cues.push(&unplanned, 1_000_000);
        cues.push(&unplanned, 200_000_000);
        cues.forget_before(1_000_000);
        cues.push(&unplanned, 201_000_000);
        assert_eq!(told(&cues).len(), 1, "it may still run");
        cues.forget_before(190_000_000);
        cues.push(&unplanned, 1_000_000);
        assert!(told(&cues).is_empty(), "what was told before is not told again");
        cues.push(&unplanned, 210_000_000);
        assert!(told(&cues)[0].contains("\"splice-1207959695-210000\""), "nobody is told of the first any more");
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
