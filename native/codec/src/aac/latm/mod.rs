//! LATM, the multiplex of MPEG-4 audio, and LOAS, its sync layer in MPEG-TS (ISO/IEC 14496-3 §1.7).
//!
//! - `mux_config`: `StreamMuxConfig()` (§1.7.3.1), read and made.
//! - `element`: `AudioMuxElement()` (§1.7.3.2): access units, and the configuration in front of them or elsewhere.
//! - `loas`: `AudioSyncStream()` (§1.7.2): where the next element begins, from bytes that come in any pieces.
//!
//! One programme of one layer is what is in use (DVB, RTP), and what is supported.

mod element;
mod loas;
mod mux_config;
#[cfg(test)]
mod tests;

pub use element::{AudioMuxElement, LatmWriter, MAX_ELEMENT_BYTES};
pub use loas::{LOAS_HEADER_BYTES, LoasReader, MAX_LOAS_BYTES};
pub use mux_config::{FrameLength, StreamMuxConfig};
