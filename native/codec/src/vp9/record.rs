//! `VPCodecConfigurationRecord` of VP9.

use bytes::Bytes;

use super::{
    header::FrameHeader,
    superframe::{frames, picture_size},
};
use crate::{CodecError, VideoInfo, vpcc};

/// Frames per second that are taken for granted where nobody says it.
const ASSUMED_FRAME_RATE: (u32, u32) = (30, 1);

/// Levels (VP9 Levels, webmproject.org): ten times the number, most luma samples a second, most luma samples of a picture.
const LEVELS: [(u8, u64, u64); 14] = [
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
    (60, 1_176_502_272, 35_651_584),
    (61, 2_353_004_544, 35_651_584),
    (62, 4_706_009_088, 35_651_584),
];

/// `VPCodecConfigurationRecord` (VP Codec ISO Media File Format Binding), without the version and flags of its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vp9Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the pictures. The size is not in a record: it is 0 unless a key frame said it.
    pub info: VideoInfo,
}

impl Vp9Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        Ok(Self { info: vpcc::parse(&record)?, record })
    }

    /// The configuration of a stream that has this key frame or superframe, and so many frames a second (numerator and
    /// denominator), of which the level is reckoned; 30 when unknown.
    ///
    /// # Errors
    /// [`CodecError`] when it is malformed, or does not begin with a key frame.
    pub fn from_frame(payload: &[u8], frame_rate: Option<(u32, u32)>) -> Result<Self, CodecError> {
        let first = frames(payload).next().unwrap_or_default();
        let header = FrameHeader::parse(first)?;
        let info = header.info.filter(|_| header.is_key);
        let mut info =
            info.ok_or(CodecError::Unsupported { what: "VP9 configuration of a frame that is no key frame" })?;
        (info.width, info.height) = picture_size(payload).unwrap_or((info.width, info.height));
        info.max_reorder_frames = Some(0);
        info.level = level(info.width, info.height, frame_rate.unwrap_or(ASSUMED_FRAME_RATE));
        info.frame_rate = frame_rate.filter(|&(numerator, denominator)| numerator > 0 && denominator > 0);
        Ok(Self { record: vpcc::build(&info), info })
    }

    /// The same configuration with the size that the first key frame says, since a record has none.
    #[must_use]
    pub fn with_size(mut self, width: u32, height: u32) -> Self {
        (self.info.width, self.info.height) = (width, height);
        self
    }

    /// `vp09.PP.LL.DD`, and `.CC.cp.tc.mc.FF` behind it when one of these is not the default.
    pub fn rfc6381(&self) -> String {
        vpcc::rfc6381(&self.record, &self.info)
    }
}

/// The lowest level that allows it; the highest when none does.
fn level(width: u32, height: u32, (numerator, denominator): (u32, u32)) -> u8 {
    let picture = u64::from(width) * u64::from(height);
    let per_second = picture.saturating_mul(u64::from(numerator)).checked_div(u64::from(denominator)).unwrap_or(0);
    let allows = |&(_, most_per_second, most): &(u8, u64, u64)| per_second <= most_per_second && picture <= most;
    LEVELS.iter().find(|level| allows(level)).or(LEVELS.last()).map_or(0, |&(level, ..)| level)
}
