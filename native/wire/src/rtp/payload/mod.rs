//! Payload formats: access units in the form of the bus to the payloads of packets, and back.
//!
//! One file a format, both ways in it. [`Packetizer`] cuts an access unit once for all its viewers; each puts a header of its own
//! in front. [`Depacketizer`] puts access units together and never gives out one of which a part is missing.

mod aac;
mod ac3;
mod av1;
mod depacketizer;
mod fragments;
mod h264;
mod h265;
mod klv;
mod latm;
mod mpa;
mod mpa_robust;
mod mpegts;
mod nal;
mod opus;
mod packetizer;
mod partial;
mod vp8;
mod vp9;
mod waveform;

pub use depacketizer::{AccessUnit, Depacketizer};
pub use mpegts::{TS_PAYLOAD_BYTES, ts_packets};
pub use packetizer::{MIN_PAYLOAD_BYTES, Packetizer, Payload};
