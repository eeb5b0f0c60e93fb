//! Payload formats: access units in the form of the bus to the payloads of packets, and back.
//!
//! One file a format, both ways in it. [`Packetizer`] cuts an access unit once for all its viewers; each puts a header of its own
//! in front. [`Depacketizer`] puts access units together and never gives out one of which a part is missing.

mod aac;
mod depacketizer;
mod h264;
mod h265;
mod nal;
mod opus;
mod packetizer;

pub use depacketizer::{AccessUnit, Depacketizer};
pub use packetizer::{Packetizer, Payload};
