//! FLAC (RFC 9639): the metadata blocks that are its configuration, and the frame header.

mod frame;
mod stream_info;
#[cfg(test)]
mod tests;

pub use frame::{FrameHeader, MAX_FRAME_HEADER_BYTES};
pub use stream_info::{FlacConfig, MAX_RECORD_BYTES, STREAM_INFO_BYTES};
