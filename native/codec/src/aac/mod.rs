//! MPEG-4 AAC: the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), the ADTS header (§1.A.2), and LATM with LOAS (§1.7).
//!
//! - `config`: AudioSpecificConfig, and both ways in which SBR and PS are signalled (§1.6.5, §1.6.6).
//! - `specific`: what the core coders say of themselves: GASpecificConfig (§4.4.1) with program_config_element (§4.4.1.1),
//!   and ELDSpecificConfig (§4.6.20).
//! - `adts`: what MPEG-TS and `.aac` files put in front of each access unit.
//! - `latm`: several access units and their configuration in one element, and the sync layer of MPEG-TS around it.

mod adts;
mod config;
pub mod latm;
mod specific;
#[cfg(test)]
mod tests;

pub use adts::{
    ADTS_HEADER_BYTES, AdtsHeader, AdtsWriter, MAX_ADTS_FRAME_BYTES, begins_with_program_config, parse_adts,
};
pub use config::{AudioSpecificConfig, MAX_ASC_BYTES};

/// `id_syn_ele` of a program_config_element (Table 4.85).
const ID_PCE: u32 = 5;

/// `samplingFrequencyIndex` (Table 1.18).
const SAMPLE_RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The index of a rate of the table.
fn sampling_frequency_index(sample_rate_hz: u32) -> Option<u8> {
    let index = SAMPLE_RATES_HZ.iter().position(|&rate| rate == sample_rate_hz)?;
    u8::try_from(index).ok()
}

/// `channelConfiguration` (Table 1.19) of a number of channels: the usual order of loudspeakers.
fn channel_configuration(channels: u8) -> Option<u8> {
    match channels {
        1..=6 => Some(channels),
        8 => Some(7),
        _ => None,
    }
}
