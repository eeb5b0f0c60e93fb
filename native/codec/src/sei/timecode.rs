//! Clock times of pictures: the time code message (H.265 §D.2.27). That of H.264 stands in the picture timing message
//! (§D.1.3), which cannot be read without the parameter set: `h264::timecode`.

use std::fmt;

use crate::{CodecError, bits::BitReader};

/// The clock time of a picture (SMPTE ST 12-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timecode {
    /// 0 to 23.
    pub hours: u8,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// Number of the frame within the second.
    pub frames: u16,
    /// Whether frame numbers 0 and 1 are left out at nine minutes of ten, so that 29.97 frames a second keep the time.
    pub drop_frame: bool,
}

impl fmt::Display for Timecode {
    /// `01:02:03:04`; with drop frame `01:02:03;04`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.drop_frame { ';' } else { ':' };
        let Self { hours, minutes, seconds, frames, .. } = self;
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}{separator}{frames:02}")
    }
}

impl Timecode {
    /// Reads the payload of an H.265 time code message: its first clock time. `None` when there is none, or when it leaves
    /// out what is the same as in the picture before.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse_h265(payload: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut bits = BitReader::new(payload);
        for _ in 0..bits.u(2, "num_clock_ts")? {
            if bits.flag("clock_timestamp_flag")? {
                return read_clock(&mut bits, ClockForm::H265);
            }
        }
        Ok(None)
    }
}

/// What H.264 and H.265 write differently of a clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockForm {
    H264,
    H265,
}

/// From behind `clock_timestamp_flag` to `hours_value`. `None` when a part is left out.
pub(crate) fn read_clock(bits: &mut BitReader<'_>, form: ClockForm) -> Result<Option<Timecode>, CodecError> {
    const COUNTING_DROPS_0_AND_1: u8 = 4;
    let frame_bits = match form {
        ClockForm::H264 => {
            bits.skip(2, "ct_type")?;
            8
        }
        ClockForm::H265 => 9,
    };
    bits.skip(1, "units_field_based_flag")?;
    let counts_drop = bits.u8(5, "counting_type")? == COUNTING_DROPS_0_AND_1;
    let is_full = bits.flag("full_timestamp_flag")?;
    bits.skip(1, "discontinuity_flag")?;
    // Some encoders say only this, and say it of every picture.
    let drop_frame = bits.flag("cnt_dropped_flag")? || counts_drop;
    let start = bits.clone();
    let frames = u16::try_from(bits.u(frame_bits, "n_frames")?).map_err(|_| start.malformed("n_frames"))?;
    let mut part = |count, max, what| -> Result<Option<u8>, CodecError> {
        if !is_full && !bits.flag(what)? {
            return Ok(None);
        }
        let start = bits.clone();
        let value = bits.u8(count, what)?;
        if value > max { Err(start.malformed(what)) } else { Ok(Some(value)) }
    };
    let Some(seconds) = part(6, 59, "seconds_value")? else { return Ok(None) };
    let Some(minutes) = part(6, 59, "minutes_value")? else { return Ok(None) };
    let Some(hours) = part(5, 23, "hours_value")? else { return Ok(None) };
    Ok(Some(Timecode { hours, minutes, seconds, frames, drop_frame }))
}
