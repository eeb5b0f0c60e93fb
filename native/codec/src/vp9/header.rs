//! The uncompressed header of a frame (VP9 bitstream specification §6.2), up to the size.

use crate::{Chroma, CodecError, Colour, VideoInfo, bits::BitReader};

/// `CS_RGB` (§7.2.2).
const CS_RGB: u8 = 7;
/// Frames that one frame is predicted from (`REFS_PER_FRAME`).
const REFERENCES: usize = 3;

/// What the header of a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// `Profile`: 0 to 3. Odd ones have other chroma than 4:2:0, from 2 on samples have more than 8 bits.
    pub profile: u8,
    /// A frame that was decoded before is shown: nothing else is said.
    pub show_existing_frame: bool,
    /// Decoding can begin here.
    pub is_key: bool,
    /// Whether the frame is shown.
    pub show_frame: bool,
    /// Needs no other frame, though frames behind it may.
    pub intra_only: bool,
    /// `refresh_frame_flags`: in which of eight places the frame is kept for others; 0 for one that nobody needs.
    pub refresh_frame_flags: u8,
    /// What a key frame or an intra-only one says about the pictures; the level is 0.
    pub info: Option<VideoInfo>,
}

impl FrameHeader {
    /// Reads the header at the beginning of `frame`.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no header; [`CodecError::Unsupported`] for 4:4:0.
    pub fn parse(frame: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut BitReader::new(frame))
    }

    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        if bits.u(2, "frame_marker")? != 2 {
            return Err(CodecError::Malformed { what: "frame_marker", offset: 0 });
        }
        let profile = bits.u8(1, "profile_low_bit")? | bits.u8(1, "profile_high_bit")? << 1;
        if profile == 3 && bits.flag("reserved_zero")? {
            return Err(CodecError::Malformed { what: "profile", offset: 0 });
        }
        let show_existing_frame = bits.flag("show_existing_frame")?;
        let mut header = Self {
            profile,
            show_existing_frame,
            is_key: false,
            show_frame: true,
            intra_only: false,
            refresh_frame_flags: 0,
            info: None,
        };
        if !show_existing_frame {
            header.read_frame(bits)?;
        }
        Ok(header)
    }

    fn read_frame(&mut self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        self.is_key = !bits.flag("frame_type")?;
        self.show_frame = bits.flag("show_frame")?;
        let error_resilient = bits.flag("error_resilient_mode")?;
        if self.is_key {
            self.refresh_frame_flags = 0xff;
            sync_code(bits)?;
            let info = color_config(bits, self.profile)?;
            self.info = Some(frame_size(bits, info)?);
            return Ok(());
        }
        self.intra_only = !self.show_frame && bits.flag("intra_only")?;
        if !error_resilient {
            bits.skip(2, "reset_frame_context")?;
        }
        if !self.intra_only {
            self.refresh_frame_flags = bits.u8(8, "refresh_frame_flags")?;
            return Ok(());
        }
        sync_code(bits)?;
        // Profile 0 says nothing here: 8 bits, 4:2:0, BT.601.
        let info = if self.profile == 0 { profile_0(colour(1)) } else { color_config(bits, self.profile)? };
        self.refresh_frame_flags = bits.u8(8, "refresh_frame_flags")?;
        self.info = Some(frame_size(bits, info)?);
        Ok(())
    }
}

/// Width and height of a frame that says them itself; one that is predicted may have those of another frame.
pub(super) fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut bits = BitReader::new(frame);
    let header = FrameHeader::read(&mut bits).ok()?;
    let info = match header.info {
        None if !header.show_existing_frame => size_with_refs(&mut bits).ok()??,
        info => info?,
    };
    Some((info.width, info.height))
}

/// `frame_size_with_refs()`, behind what frames are predicted from.
fn size_with_refs(bits: &mut BitReader<'_>) -> Result<Option<VideoInfo>, CodecError> {
    for _ in 0..REFERENCES {
        bits.skip(4, "ref_frame_idx")?;
    }
    for _ in 0..REFERENCES {
        if bits.flag("found_ref")? {
            return Ok(None);
        }
    }
    frame_size(bits, VideoInfo::default()).map(Some)
}

fn sync_code(bits: &mut BitReader<'_>) -> Result<(), CodecError> {
    let start = bits.clone();
    if bits.u(24, "frame_sync_code")? == 0x49_8342 { Ok(()) } else { Err(start.malformed("frame_sync_code")) }
}

fn profile_0(colour: Colour) -> VideoInfo {
    VideoInfo { bit_depth: 8, colour, ..VideoInfo::default() }
}

/// `color_config()`.
fn color_config(bits: &mut BitReader<'_>, profile: u8) -> Result<VideoInfo, CodecError> {
    let bit_depth = match profile {
        0 | 1 => 8,
        _ => 10 + 2 * u8::from(bits.flag("ten_or_twelve_bit")?),
    };
    let start = bits.clone();
    let color_space = bits.u8(3, "color_space")?;
    let mut colour = colour(color_space);
    let says_chroma = profile & 1 == 1;
    let chroma = if color_space == CS_RGB {
        if !says_chroma {
            return Err(start.malformed("color_space"));
        }
        colour.full_range = true;
        bits.skip(1, "reserved_zero")?;
        Chroma::Yuv444
    } else {
        colour.full_range = bits.flag("color_range")?;
        if says_chroma { subsampling(bits)? } else { Chroma::Yuv420 }
    };
    Ok(VideoInfo { profile, bit_depth, chroma, colour, ..VideoInfo::default() })
}

fn subsampling(bits: &mut BitReader<'_>) -> Result<Chroma, CodecError> {
    let start = bits.clone();
    let (x, y) = (bits.flag("subsampling_x")?, bits.flag("subsampling_y")?);
    bits.skip(1, "reserved_zero")?;
    match (x, y) {
        (false, false) => Ok(Chroma::Yuv444),
        (true, false) => Ok(Chroma::Yuv422),
        (false, true) => Err(CodecError::Unsupported { what: "VP9 with chroma of half the lines (4:4:0)" }),
        (true, true) => Err(start.malformed("subsampling_x")),
    }
}

/// The code points of H.273 for `color_space` (§7.2.2): a matrix. Which primaries and which curve go with it is not said.
fn colour(color_space: u8) -> Colour {
    let matrix = match color_space {
        1 => 5,
        2 => 1,
        3 => 6,
        4 => 7,
        5 => 9,
        CS_RGB => 0,
        _ => 2,
    };
    Colour { matrix, ..Colour::default() }
}

/// `frame_size()`. What `render_size()` says behind it is how large to show it, which nobody does.
fn frame_size(bits: &mut BitReader<'_>, info: VideoInfo) -> Result<VideoInfo, CodecError> {
    let width = bits.u(16, "frame_width_minus_1")? + 1;
    let height = bits.u(16, "frame_height_minus_1")? + 1;
    Ok(VideoInfo { width, height, ..info })
}
