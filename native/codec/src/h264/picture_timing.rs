//! The clock time in a picture timing message (§D.1.3).

use super::PictureTiming;
use crate::{
    CodecError,
    bits::BitReader,
    sei::{ClockForm, Timecode, read_clock},
};

/// Reads the payload of a picture timing message as the VUI says that it is written: its first clock time. `None` when there
/// is none, or when it leaves out what is the same as in the picture before.
///
/// # Errors
/// [`CodecError::Malformed`].
pub fn timecode(payload: &[u8], form: PictureTiming) -> Result<Option<Timecode>, CodecError> {
    let mut bits = BitReader::new(payload);
    if let Some((removal_bits, output_bits)) = form.delay_bits {
        bits.skip(usize::from(removal_bits) + usize::from(output_bits), "cpb_removal_delay and dpb_output_delay")?;
    }
    if !form.has_pic_struct {
        return Ok(None);
    }
    let start = bits.clone();
    // Table D-1: NumClockTS.
    let clocks = match bits.u(4, "pic_struct")? {
        0..=2 => 1,
        3 | 4 | 7 => 2,
        5 | 6 | 8 => 3,
        _ => return Err(start.malformed("pic_struct")),
    };
    for _ in 0..clocks {
        if bits.flag("clock_timestamp_flag")? {
            return read_clock(&mut bits, ClockForm::H264);
        }
    }
    Ok(None)
}
