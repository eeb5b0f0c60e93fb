//! MPEG-2 transport streams (ISO/IEC 13818-1 = ITU-T H.222.0), written and read.
//!
//! - `mux`: frames of the bus to packets; one program.
//! - `demux`: packets, in pieces of any size and however damaged, to frames of the bus.
//! - `rate`: the same at a constant bit rate.
//! - `crc`, `splice`: sections, for both.
//!
//! Clauses without another name are of ISO/IEC 13818-1.

mod crc;
mod demux;
mod mux;
#[cfg(test)]
pub(crate) mod probe;
mod rate;
mod splice;
#[cfg(test)]
mod tests;

/// Of the muxer and the demuxer; on its own for the fuzzing of it.
#[doc(hidden)]
pub use self::splice::Splice;
pub use self::{
    demux::{ProgramInfo, StreamInfo, TsDemuxer, TsLimits, TsOptions, TsStats, UnreadStream},
    mux::{GROUP_BYTES, MAX_TRACKS, PacketBuffer, PacketGroups, TS_EPOCH_90K, TsMuxer},
    rate::{CONSTANT_RATES_BPS, ConstantRateMuxer, ConstantRateStats, SMOOTHING_BUFFER},
};

/// Bytes of a transport packet (§2.4.3.2).
pub const PACKET_BYTES: usize = 188;

/// Bytes of the header of a packet.
const HEADER_BYTES: usize = 4;

/// Bytes of a packet behind its header.
const BODY_BYTES: usize = PACKET_BYTES - HEADER_BYTES;

/// PTS, DTS and the base of a PCR are counted modulo 2^33 (§2.4.3.5, §2.4.3.7).
const TIME_BITS: u32 = 33;
