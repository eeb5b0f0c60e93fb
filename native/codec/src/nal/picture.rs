//! Sizes of pictures, bounded, and what cropping leaves of them.

use crate::{Chroma, CodecError, bits::BitReader};

/// Largest width and height in luma samples: about what level 6.2 of H.264 and H.265 allows (H.264 §A.3.1: √(8 × 139 264) =
/// 1 055 macroblocks; H.265 §A.4.1: √(8 × 35 651 584) = 16 888 samples). What asks for more wants to make a reader of ours
/// allocate.
pub const MAX_DIMENSION: u32 = 16_384;

/// A side within [`MAX_DIMENSION`] and not 0.
pub(crate) fn side(samples: u64) -> Result<u32, CodecError> {
    let fits = u32::try_from(samples).ok().filter(|&samples| samples <= MAX_DIMENSION);
    match fits {
        Some(0) => Err(CodecError::Malformed { what: "width or height of the picture", offset: 0 }),
        Some(samples) => Ok(samples),
        None => Err(CodecError::LimitExceeded {
            limit: "width or height of the picture",
            max: MAX_DIMENSION as usize,
            seen: usize::try_from(samples).unwrap_or(usize::MAX),
        }),
    }
}

/// A flag and, if it is set, four offsets (left, right, top, bottom): the sums of the horizontal and of the vertical ones.
pub(crate) fn window(bits: &mut BitReader<'_>, what: &'static str) -> Result<(u64, u64), CodecError> {
    if !bits.flag(what)? {
        return Ok((0, 0));
    }
    let mut offset = || bits.ue(what).map(u64::from);
    let horizontal = offset()? + offset()?;
    let vertical = offset()? + offset()?;
    Ok((horizontal, vertical))
}

/// What cropping leaves of a side; `None` when that is nothing.
pub(crate) fn cropped(side: u32, crop: u64, unit: u32) -> Option<u32> {
    let crop = crop.checked_mul(u64::from(unit)).and_then(|crop| u32::try_from(crop).ok())?;
    side.checked_sub(crop).filter(|&left| left > 0)
}

impl Chroma {
    /// Of a `chroma_format_idc` of 0 to 3 (H.264 Table 6-1).
    pub(crate) fn from_idc(chroma_format_idc: u8) -> Self {
        match chroma_format_idc {
            0 => Self::Monochrome,
            1 => Self::Yuv420,
            2 => Self::Yuv422,
            _ => Self::Yuv444,
        }
    }

    /// The `chroma_format_idc`.
    pub fn idc(self) -> u8 {
        match self {
            Self::Monochrome => 0,
            Self::Yuv420 => 1,
            Self::Yuv422 => 2,
            Self::Yuv444 => 3,
        }
    }

    /// `SubWidthC` and `SubHeightC` (H.264 Table 6-1), 1 without chroma: luma samples of a unit of cropping in a frame.
    pub(crate) fn crop_unit(self) -> (u32, u32) {
        match self {
            Self::Yuv420 => (2, 2),
            Self::Yuv422 => (2, 1),
            Self::Monochrome | Self::Yuv444 => (1, 1),
        }
    }
}
