//! What a session description says of a stream of packets (RFC 8866 §6.6, §6.15: `a=rtpmap`, `a=fmtp`), and what that means.
//!
//! - `encoding`: the names of payload formats.
//! - `parameters`: the list of `a=fmtp`.
//! - `describe`: of a codec configuration, for those that we send.
//! - `config`: to a codec configuration, for those that come.

mod config;
mod describe;
mod encoding;
mod parameters;
#[cfg(test)]
mod tests;

use arcly_codec::{CodecConfig, CodecError, aac::latm::StreamMuxConfig};

pub use encoding::Encoding;
pub use parameters::Parameters;

/// Clock rates that are taken for real.
const CLOCK_RATES_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// How a stream of packets is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// The payload format.
    pub encoding: Encoding,
    /// Ticks per second of the timestamps. Not always the clock of the bus: see [`Self::ticks_of_bus`].
    pub clock_rate_hz: u32,
    /// Channels of a waveform, or what the description says of others: 2 for every Opus stream. 1 where it says nothing.
    pub channels: u8,
    /// `a=fmtp`.
    pub parameters: Parameters,
}

impl Format {
    /// Reads a format: `rtpmap` is what follows the payload type in `a=rtpmap`, `fmtp` the same of `a=fmtp`. The payload types
    /// of RFC 3551 §6 need no `rtpmap`.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a format that is not known here; [`CodecError::Malformed`] for numbers that are none.
    pub fn parse(payload_type: u8, rtpmap: Option<&str>, fmtp: Option<&str>) -> Result<Self, CodecError> {
        let fixed = fixed(payload_type);
        let unknown = CodecError::Unsupported { what: "RTP payload type without an rtpmap" };
        let rtpmap = rtpmap.map(str::trim).filter(|rtpmap| !rtpmap.is_empty()).or(fixed).ok_or(unknown)?;
        let mut fields = rtpmap.split('/');
        let encoding: Encoding = fields.next().unwrap_or_default().trim().parse()?;
        let malformed = |what| CodecError::Malformed { what, offset: 0 };
        let clock_rate_hz = match fields.next() {
            Some(rate) => rate.trim().parse().map_err(|_| malformed("clock rate of rtpmap"))?,
            // Left out by some cameras.
            None => encoding.usual_clock_rate_hz().ok_or(malformed("clock rate of rtpmap"))?,
        };
        if !CLOCK_RATES_HZ.contains(&clock_rate_hz) {
            return Err(malformed("clock rate of rtpmap"));
        }
        let channels = fields.next().map_or(Ok(1), |channels| channels.trim().parse());
        let channels = channels.ok().filter(|&channels| channels > 0).ok_or(malformed("channels of rtpmap"))?;
        let parameters = Parameters::parse(fmtp.unwrap_or_default());
        Ok(Self { payload_type, encoding, clock_rate_hz, channels, parameters })
    }

    /// The format in which a stream of `config` is sent.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when there is none.
    pub fn of(payload_type: u8, config: &CodecConfig) -> Result<Self, CodecError> {
        describe::describe(payload_type, config)
    }

    /// The configuration that the description holds; `None` when that comes in-band only.
    ///
    /// # Errors
    /// [`CodecError`] when it holds one that no stream can have, and that is never in-band.
    pub fn config(&self) -> Result<Option<CodecConfig>, CodecError> {
        config::config(self)
    }

    /// What follows the payload type in `a=rtpmap`.
    pub fn rtpmap(&self) -> String {
        let (name, rate) = (self.encoding.name(), self.clock_rate_hz);
        match self.channels {
            1 => format!("{name}/{rate}"),
            channels => format!("{name}/{rate}/{channels}"),
        }
    }

    /// What follows the payload type in `a=fmtp`; `None` when there is nothing to say.
    pub fn fmtp(&self) -> Option<String> {
        (!self.parameters.is_empty()).then(|| self.parameters.to_string())
    }

    /// The ticks of the format's clock that are `ticks` of a bus track with this configuration: RTP has 8000 for G.722, which
    /// samples at 16 000 (RFC 3551 §4.5.2), and 90 000 for MP3.
    pub fn ticks_of_bus(&self, ticks: i64, config: &CodecConfig) -> i64 {
        rescale(ticks, config.clock_rate_hz(), self.clock_rate_hz)
    }

    /// The other way round.
    pub fn ticks_to_bus(&self, ticks: i64, config: &CodecConfig) -> i64 {
        rescale(ticks, self.clock_rate_hz, config.clock_rate_hz())
    }

    /// Whether packets of the one can follow those of the other: all is the same but what `a=fmtp` says of the configuration.
    pub fn is_like(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.payload_type, it.encoding, it.clock_rate_hz, it.channels);
        of(self) == of(other)
    }

    /// `config` of LATM (RFC 6416 §7.4.1).
    pub(super) fn mux_config(&self) -> Option<StreamMuxConfig> {
        config::latm(self)
    }

    /// `packetization-mode` 0 of H.264: each NAL unit a packet (RFC 6184 §6.2).
    pub(super) fn is_single_nal_mode(&self) -> bool {
        self.parameters.number("packetization-mode").unwrap_or(0) == 0
    }
}

/// Ticks of one clock as ticks of another, rounded down.
pub(super) fn rescale(ticks: i64, from_hz: u32, to_hz: u32) -> i64 {
    if from_hz == to_hz {
        return ticks;
    }
    let scaled = i128::from(ticks) * i128::from(to_hz);
    let scaled = scaled.div_euclid(i128::from(from_hz.max(1)));
    i64::try_from(scaled).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

/// Payload types that mean the same everywhere (RFC 3551 Tables 4 and 5).
fn fixed(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        10 => "L16/44100/2",
        11 => "L16/44100",
        14 => "MPA/90000",
        33 => "MP2T/90000",
        _ => return None,
    })
}
