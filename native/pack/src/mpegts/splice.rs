//! When a splice is (ANSI/SCTE 35 §9.6).

use arcly_codec::bits::BitReader;

use super::crc::crc_32;

/// `table_id` of a `splice_info_section`.
const TABLE_SPLICE_INFO: u8 = 0xFC;
const SPLICE_INSERT: u32 = 5;
const TIME_SIGNAL: u32 = 6;

/// What a `splice_info_section` says of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splice {
    /// `pts_adjustment`: 33 bits of 90 kHz.
    pub pts_adjustment: i64,
    /// `pts_time` of the command, without the adjustment, when it has one for the whole program.
    pub pts_time: Option<i64>,
}

impl Splice {
    /// Reads a section; `None` when it is none of SCTE 35, has another length than it says, or its CRC is wrong.
    pub fn parse(section: &[u8]) -> Option<Self> {
        let &[TABLE_SPLICE_INFO, high, low, ..] = section else { return None };
        let bytes = usize::from(u16::from_be_bytes([high & 0x0F, low])) + 3;
        let is_whole = bytes == section.len() && crc_32(section) == 0;
        let mut bits = BitReader::new(section.split_last_chunk::<4>()?.0);
        if !is_whole || bits.skip(32, "splice_info_section").is_err() {
            return None;
        }
        let is_encrypted = bits.flag("encrypted_packet").ok()?;
        bits.skip(6, "encryption_algorithm").ok()?;
        let pts_adjustment = time(&mut bits)?;
        bits.skip(8 + 12 + 12, "cw_index, tier, splice_command_length").ok()?;
        let pts_time = if is_encrypted { None } else { command_time(&mut bits) };
        Some(Self { pts_adjustment, pts_time })
    }
}

fn command_time(bits: &mut BitReader<'_>) -> Option<i64> {
    match bits.u(8, "splice_command_type").ok()? {
        TIME_SIGNAL => splice_time(bits),
        SPLICE_INSERT => {
            bits.skip(32, "splice_event_id").ok()?;
            let is_cancelled = bits.flag("splice_event_cancel_indicator").ok()?;
            bits.skip(7 + 1, "out_of_network_indicator").ok()?;
            let is_of_program = bits.flag("program_splice_flag").ok()?;
            bits.skip(1, "duration_flag").ok()?;
            let is_immediate = bits.flag("splice_immediate_flag").ok()?;
            bits.skip(4, "event_id_compliance_flag").ok()?;
            (!is_cancelled && is_of_program && !is_immediate).then(|| splice_time(bits)).flatten()
        }
        _ => None,
    }
}

fn splice_time(bits: &mut BitReader<'_>) -> Option<i64> {
    if !bits.flag("time_specified_flag").ok()? {
        return None;
    }
    bits.skip(6, "reserved").ok()?;
    time(bits)
}

fn time(bits: &mut BitReader<'_>) -> Option<i64> {
    let high = bits.u(1, "highest bit of a time").ok()?;
    let low = bits.u(32, "time").ok()?;
    Some(i64::from(high) << 32 | i64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first sample of SCTE 35 §14: `time_signal` at 0x072BD0050.
    const TIME_SIGNAL_SAMPLE: &str = "FC3034000000000000FFFFF00506FE72BD0050001E021C435545494800008E7FCF0001A599B00808000000002CA0A18A3402009AC9D17E";
    /// The second one: `splice_insert` at 0x07369C02E.
    const SPLICE_INSERT_SAMPLE: &str =
        "FC302F000000000000FFFFF014054800008F7FEFFE7369C02EFE0052CCF500000000000A0008435545490000013562DBA30A";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
    }

    #[test]
    fn samples_of_the_standard_say_their_times() {
        for (sample, pts_time) in [(TIME_SIGNAL_SAMPLE, 0x0_72BD_0050), (SPLICE_INSERT_SAMPLE, 0x0_7369_C02E)] {
            assert_eq!(Splice::parse(&unhex(sample)), Some(Splice { pts_adjustment: 0, pts_time: Some(pts_time) }));
        }
    }

    /// Its CRC is right: readers of the transport stream would have waited for the rest, and taken other packets for it.
    #[test]
    fn a_section_that_says_another_length_is_none() {
        for length in [0, 46, 48, 4_095_u16] {
            let mut section = unhex(SPLICE_INSERT_SAMPLE);
            section[1..3].copy_from_slice(&(0x3000 | length).to_be_bytes());
            let body = section.len() - 4;
            let crc = crc_32(&section[..body]);
            section[body..].copy_from_slice(&crc.to_be_bytes());
            assert_eq!(Splice::parse(&section), None, "{length}");
        }
    }

    /// Its CRC was its time, and became another one when the section was moved.
    #[test]
    fn a_command_that_is_cut_off_takes_no_time_of_the_crc() {
        let mut section = unhex(SPLICE_INSERT_SAMPLE)[..21].to_vec();
        section[2] = 22;
        section.extend(crc_32(&section).to_be_bytes());
        assert_eq!(Splice::parse(&section), Some(Splice { pts_adjustment: 0, pts_time: None }));
    }

    #[test]
    fn truncated_and_broken_sections_are_none() {
        let sample = unhex(SPLICE_INSERT_SAMPLE);
        (0..sample.len()).for_each(|bytes| assert_eq!(Splice::parse(&sample[..bytes]), None));
        for at in 0..sample.len() {
            let mut broken = sample.clone();
            broken[at] ^= 0x10;
            assert_eq!(Splice::parse(&broken), None);
        }
    }
}
