//! What is known of a frame without decoding it: the beginning of `uncompressed_header()` (§5.9.2).

use super::{
    obu::{OBU_FRAME, OBU_FRAME_HEADER, OBU_SEQUENCE_HEADER, Obu, obus},
    sequence::SequenceHeader,
};
use crate::{CodecError, bits::BitReader};

/// `frame_type` (§6.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// Needs no other frame, and none behind it needs one in front.
    Key,
    /// Needs other frames.
    Inter,
    /// Needs no other frame.
    IntraOnly,
    /// Needs other frames, but ones behind it none in front (a switch between qualities).
    Switch,
}

/// The beginning of a frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// A frame that was decoded before is shown: nothing else is said.
    pub show_existing_frame: bool,
    /// `frame_type`; that of a frame that was decoded before is not known here, and `Inter` stands for it.
    pub frame_type: FrameType,
    /// Whether the frame is shown.
    pub show_frame: bool,
    /// `refresh_frame_flags`: in which of eight places the frame is kept for others; 0 for one that nobody needs.
    pub refresh_frame_flags: u8,
}

impl FrameHeader {
    /// Reads the beginning of an OBU that is a frame or a frame header.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is cut off.
    pub fn parse(obu: &Obu<'_>, sequence: &SequenceHeader) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(obu.payload);
        let head = Head::read(&mut bits, sequence.reduced_still_picture_header)?;
        let refresh_frame_flags = match head {
            Head { show_existing_frame: true, .. } => 0,
            Head { frame_type: FrameType::Switch, .. } | Head { frame_type: FrameType::Key, show_frame: true, .. } => {
                0xff
            }
            _ => head.refresh_frame_flags(&mut bits, obu, sequence)?,
        };
        let Head { show_existing_frame, frame_type, show_frame } = head;
        Ok(Self { show_existing_frame, frame_type, show_frame, refresh_frame_flags })
    }
}

/// What comes first, and depends on nothing.
#[derive(Clone, Copy)]
struct Head {
    show_existing_frame: bool,
    frame_type: FrameType,
    show_frame: bool,
}

impl Head {
    fn read(bits: &mut BitReader<'_>, reduced_still_picture_header: bool) -> Result<Self, CodecError> {
        if reduced_still_picture_header {
            return Ok(Self { show_existing_frame: false, frame_type: FrameType::Key, show_frame: true });
        }
        if bits.flag("show_existing_frame")? {
            return Ok(Self { show_existing_frame: true, frame_type: FrameType::Inter, show_frame: true });
        }
        let frame_type = match bits.u(2, "frame_type")? {
            0 => FrameType::Key,
            1 => FrameType::Inter,
            2 => FrameType::IntraOnly,
            _ => FrameType::Switch,
        };
        Ok(Self { show_existing_frame: false, frame_type, show_frame: bits.flag("show_frame")? })
    }

    /// Goes on to `refresh_frame_flags`, of a frame that is neither a shown key frame nor a switch frame.
    fn refresh_frame_flags(
        self,
        bits: &mut BitReader<'_>,
        obu: &Obu<'_>,
        sequence: &SequenceHeader,
    ) -> Result<u8, CodecError> {
        match (self.show_frame, sequence.decoder_model) {
            (true, Some(model)) if !sequence.equal_picture_interval => {
                bits.skip(usize::from(model.frame_presentation_time_bits), "frame_presentation_time")?;
            }
            (true, _) => {}
            (false, _) => bits.skip(1, "showable_frame")?,
        }
        let error_resilient = bits.flag("error_resilient_mode")?;
        bits.skip(1, "disable_cdf_update")?;
        let screen_content = match sequence.force_screen_content_tools {
            2 => bits.flag("allow_screen_content_tools")?,
            forced => forced == 1,
        };
        if screen_content && sequence.force_integer_mv == 2 {
            bits.skip(1, "force_integer_mv")?;
        }
        bits.skip(usize::from(sequence.frame_id_bits), "current_frame_id")?;
        bits.skip(1, "frame_size_override_flag")?;
        bits.skip(usize::from(sequence.order_hint_bits), "order_hint")?;
        let is_intra = matches!(self.frame_type, FrameType::Key | FrameType::IntraOnly);
        if !is_intra && !error_resilient {
            bits.skip(3, "primary_ref_frame")?;
        }
        skip_buffer_removal_times(bits, obu, sequence)?;
        bits.u8(8, "refresh_frame_flags")
    }
}

/// `buffer_removal_time` of each operating point that the frame is in.
fn skip_buffer_removal_times(
    bits: &mut BitReader<'_>,
    obu: &Obu<'_>,
    sequence: &SequenceHeader,
) -> Result<(), CodecError> {
    let Some(model) = sequence.decoder_model else { return Ok(()) };
    if !bits.flag("buffer_removal_time_present_flag")? {
        return Ok(());
    }
    let is_in = |idc: u16| idc == 0 || (idc >> obu.temporal_id & 1 == 1 && idc >> (obu.spatial_id + 8) & 1 == 1);
    let points = sequence.operating_points.iter().filter(|point| point.decoder_model_present && is_in(point.idc));
    bits.skip(points.count() * usize::from(model.buffer_removal_time_bits), "buffer_removal_time")
}

/// Whether decoding can begin with this temporal unit: its first frame is a key frame that is shown (§7.6.2). The sequence
/// header that a random access point has besides may be in the configuration only; see
/// [`Canonical::with_sequence_header_of`](super::Canonical::with_sequence_header_of).
///
/// A key frame that is shown later ("forward") is no such point: decoding can begin there, but what is shown until then is
/// not there, and a reader that enters would wait for a picture.
///
/// A malformed temporal unit is none.
pub fn is_random_access(temporal_unit: &[u8]) -> bool {
    let mut reduced = false;
    for obu in obus(temporal_unit) {
        match obu {
            Ok(obu) if obu.kind == OBU_SEQUENCE_HEADER => reduced = is_reduced(&obu),
            Ok(obu) if is_frame(&obu) => return is_shown_key(&obu, reduced),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Whether other frames may need this temporal unit: one that nobody needs can be dropped without harm. `true` when in doubt.
pub fn is_reference(temporal_unit: &[u8], sequence: &SequenceHeader) -> bool {
    let needed = |obu: Result<Obu<'_>, CodecError>| match obu {
        Ok(obu) if is_frame(&obu) => FrameHeader::parse(&obu, sequence)
            .map_or(true, |header| header.refresh_frame_flags != 0 || header.show_existing_frame),
        Ok(obu) => obu.kind == OBU_SEQUENCE_HEADER,
        Err(_) => true,
    };
    obus(temporal_unit).any(needed)
}

pub(super) fn is_frame(obu: &Obu<'_>) -> bool {
    matches!(obu.kind, OBU_FRAME | OBU_FRAME_HEADER)
}

/// `reduced_still_picture_header` of a sequence header: the fifth bit.
pub(super) fn is_reduced(sequence_header: &Obu<'_>) -> bool {
    sequence_header.payload.first().is_some_and(|byte| byte & 0b1000 != 0)
}

pub(super) fn is_shown_key(frame: &Obu<'_>, reduced_still_picture_header: bool) -> bool {
    let head = Head::read(&mut BitReader::new(frame.payload), reduced_still_picture_header);
    head.is_ok_and(|head| head.frame_type == FrameType::Key && head.show_frame)
}
