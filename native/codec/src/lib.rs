//! Bytes to facts: what a codec configuration says about an elementary stream, and where the
//! units inside an access unit begin. Pure functions: no I/O, no clock, no state between calls.
//!
//! Every function that reads bytes of a peer returns a [`CodecError`] with the offset; none panics.

pub mod aac;
pub mod bits;
mod config;
mod error;
pub mod h264;
#[cfg(test)]
mod sweep;

pub use config::{Codec, CodecConfig, MediaKind};
pub use error::CodecError;
