//! Bytes to facts: what a codec configuration says about an elementary stream, and where the
//! units inside an access unit begin. Pure functions: no I/O, no clock, no state between calls.
//!
//! Every function that reads bytes of a peer returns a [`CodecError`] with the offset; none panics.

pub mod aac;
pub mod ac3;
pub mod amf;
pub mod annex_b;
pub mod av1;
mod bit_packer;
#[cfg(test)]
mod bit_writer;
pub mod bits;
mod config;
pub mod cursor;
pub mod data;
mod dolby_vision;
mod error;
mod facts;
pub mod flac;
pub mod h264;
pub mod h265;
pub mod h266;
mod in_band;
pub mod mpeg_audio;
pub mod nal;
pub mod opus;
pub mod pcm;
pub mod sei;
#[cfg(test)]
mod sweep;
pub mod vp8;
pub mod vp9;
mod vpcc;

pub use config::{Codec, CodecConfig, MediaKind};
pub use dolby_vision::DolbyVision;
pub use error::CodecError;
pub use facts::{AudioInfo, Chroma, Colour, ContentLight, DynamicRange, Hdr, MasteringDisplay, VideoInfo};
