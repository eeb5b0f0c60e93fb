//! VP9: the frame header, superframes, and the vpcC record.
//!
//! - `header`: the uncompressed header of a frame (VP9 bitstream specification §6.2).
//! - `superframe`: several frames in one (Annex B).
//! - `record`: `VPCodecConfigurationRecord` and the `codecs` parameter (VP Codec ISO Media File Format Binding).

mod header;
mod record;
mod superframe;
#[cfg(test)]
mod tests;

pub use header::FrameHeader;
pub use record::Vp9Config;
pub use superframe::{frames, is_key, is_reference, picture_size};
