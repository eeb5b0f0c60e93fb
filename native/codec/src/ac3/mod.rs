//! AC-3 and E-AC-3 (ETSI TS 102 366): the syncframe, and the dac3 and dec3 records.
//!
//! - `syncframe`: what a frame says in front of its sound (§4.3, §4.4), and `eac3` the same for Annex E.
//! - `dac3`, `dec3`: the configuration boxes of Annex F.

mod dac3;
mod dec3;
mod eac3;
mod syncframe;
#[cfg(test)]
mod tests;

pub use dac3::Ac3Config;
pub use dec3::{Eac3Config, IndependentSubstream, MAX_DEC3_BYTES};
pub use eac3::{StreamType, Substream};
pub use syncframe::{SyncFrame, syncframes};

/// `fscod` (Table 4.1).
const SAMPLE_RATES_HZ: [u32; 3] = [48_000, 44_100, 32_000];

/// Samples of an audio block; an AC-3 frame has six.
const BLOCK_SAMPLES: u32 = 256;

/// Channels of an `acmod` (Table 4.3), without the low frequency one.
fn acmod_channels(acmod: u8) -> u8 {
    match acmod {
        1 => 1,
        0 | 2 => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    }
}
