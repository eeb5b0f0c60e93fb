//! Payloads to access units.

use std::{collections::VecDeque, fmt::Debug};

use arcly_codec::{CodecConfig, CodecError};
use bytes::Bytes;

use super::{
    aac, ac3, av1, h264::H264, h265::H265, klv, latm, mpa, mpa_robust, nal::NalDepacketizer, opus, vp8, vp9, waveform,
};
use crate::rtp::{
    Limits, Packet,
    counter::Timestamps,
    format::{Encoding, Format},
};

/// One access unit in the form of the bus (`bus::Frame` says which that is).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// The bytes.
    pub payload: Bytes,
    /// Presentation time in ticks of [`Format::clock_rate_hz`], unrolled; from any beginning.
    pub timestamp: i64,
    /// A video access unit at which decoding can begin.
    pub is_key: bool,
    /// Something in front of this one is missing: an access unit, or what could have been one.
    pub follows_loss: bool,
    /// Its time has nothing to do with those in front: another source, or a sender that has begun anew.
    pub restarts: bool,
    /// The configuration that holds from here on, when it is another one than before.
    pub config: Option<Box<CodecConfig>>,
}

/// One payload format.
pub(super) trait Depacketize: Debug + Send {
    /// Takes the next packet. `is_after_gap`: some in front of it are missing.
    ///
    /// # Errors
    /// [`CodecError`] when the payload is malformed. What belongs to it has been given up then.
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError>;

    /// Ends what is being put together, since nothing follows.
    fn flush(&mut self, _out: &mut Output) {}

    /// Forgets what is being put together.
    fn reset(&mut self);

    /// Bytes that are held.
    fn buffered_bytes(&self) -> usize;
}

/// What a format gives out.
#[derive(Debug, Default)]
pub(super) struct Output {
    units: VecDeque<AccessUnit>,
    timestamps: Timestamps,
    config: Option<CodecConfig>,
    is_new_config: bool,
    follows_loss: bool,
    restarts: bool,
    lost_units: u64,
}

impl Output {
    /// The configuration that holds.
    pub(super) fn config(&self) -> Option<&CodecConfig> {
        self.config.as_ref()
    }

    /// Another configuration from the next access unit on.
    pub(super) fn set_config(&mut self, config: CodecConfig) {
        if self.config.as_ref() != Some(&config) {
            self.config = Some(config);
            self.is_new_config = true;
        }
    }

    /// Something is missing in front of the next access unit.
    pub(super) fn mark_loss(&mut self) {
        self.follows_loss = true;
    }

    /// An access unit is given up.
    pub(super) fn lose(&mut self) {
        self.follows_loss = true;
        self.lost_units += 1;
    }

    /// An access unit `ticks` behind the time of the packet in which it begins.
    pub(super) fn emit(&mut self, payload: Bytes, timestamp: u32, ticks: u32, is_key: bool) {
        let Some(config) = &self.config else { return self.lose() };
        let config = std::mem::take(&mut self.is_new_config).then(|| Box::new(config.clone()));
        self.units.push_back(AccessUnit {
            payload,
            timestamp: self.timestamps.unroll(timestamp.wrapping_add(ticks)),
            is_key,
            follows_loss: std::mem::take(&mut self.follows_loss),
            restarts: std::mem::take(&mut self.restarts),
            config,
        });
    }
}

/// Puts access units together from packets in their order; [`Reorder`](crate::rtp::Reorder) gives them in that.
#[derive(Debug)]
pub struct Depacketizer {
    format: Box<dyn Depacketize>,
    /// Some are missing in front of the next packet that has a payload.
    is_after_gap: bool,
    out: Output,
}

impl Depacketizer {
    /// A depacketizer of `format`, as the session description has it.
    ///
    /// # Errors
    /// [`CodecError`] for a format that says something which is malformed or unsupported.
    pub fn new(format: &Format, limits: Limits) -> Result<Self, CodecError> {
        let max = limits.access_unit_bytes;
        let config = format.config()?;
        let depacketize: Box<dyn Depacketize> = match format.encoding {
            Encoding::H264 => Box::new(NalDepacketizer::<H264>::new(max, format)),
            Encoding::H265 => Box::new(NalDepacketizer::<H265>::new(max, format)),
            Encoding::Mpeg4Generic => Box::new(aac::Depacketizer::new(format, config.as_ref(), max)?),
            Encoding::Vp8 => Box::new(vp8::Depacketizer::new(max)),
            Encoding::Vp9 => Box::new(vp9::Depacketizer::new(max)),
            Encoding::Av1 => Box::new(av1::Depacketizer::new(max)),
            Encoding::Mp4aLatm => Box::new(latm::Depacketizer::new(format, format.mux_config(), max)),
            Encoding::Opus => Box::new(opus::Depacketizer),
            Encoding::Mpa => Box::new(mpa::Depacketizer::new(format.clock_rate_hz)),
            Encoding::Ac3 => Box::new(ac3::Depacketizer::new(ac3::Kind::Ac3, format.clock_rate_hz, max)),
            Encoding::Eac3 => Box::new(ac3::Depacketizer::new(ac3::Kind::Eac3, format.clock_rate_hz, max)),
            Encoding::Pcma | Encoding::Pcmu | Encoding::G722 | Encoding::L16 | Encoding::L24 => {
                Box::new(waveform::Depacketizer::new(config.as_ref()))
            }
            Encoding::Klv => Box::new(klv::Depacketizer::new(max)),
            Encoding::MpaRobust => Box::new(mpa_robust::Depacketizer::new(format.clock_rate_hz)),
            Encoding::Mp2t => {
                return Err(CodecError::Unsupported { what: "access units of this RTP payload format" });
            }
        };
        let is_new_config = config.is_some();
        Ok(Self {
            format: depacketize,
            is_after_gap: false,
            out: Output { config, is_new_config, ..Output::default() },
        })
    }

    /// The configuration that holds: what the session description said, or what has come in-band since.
    pub fn config(&self) -> Option<&CodecConfig> {
        self.out.config()
    }

    /// Takes the next packet. `is_after_gap`: some in front of it are missing, and will not come any more. Then call
    /// [`Self::poll`] until it gives `None`.
    ///
    /// # Errors
    /// [`CodecError`] when the payload is malformed. The access unit that it belongs to is given up, and the next one is found.
    pub fn push(&mut self, packet: &Packet, is_after_gap: bool) -> Result<(), CodecError> {
        if is_after_gap {
            self.out.mark_loss();
        }
        self.is_after_gap |= is_after_gap;
        // What probes the network has no payload, and is no gap (padding alone, RFC 3550 §5.1).
        if packet.payload.is_empty() {
            return Ok(());
        }
        let is_after_gap = std::mem::take(&mut self.is_after_gap);
        self.format.push(packet, is_after_gap, &mut self.out)
    }

    /// Says that nothing follows: the last access unit is complete when it looks so. For streams that set no marker.
    pub fn flush(&mut self) {
        self.format.flush(&mut self.out);
    }

    /// Another source takes over: its times and its packets have nothing to do with those in front.
    pub fn reset(&mut self) {
        self.format.reset();
        self.is_after_gap = false;
        self.out.timestamps = Timestamps::default();
        (self.out.follows_loss, self.out.restarts) = (true, true);
    }

    /// The next access unit.
    pub fn poll(&mut self) -> Option<AccessUnit> {
        self.out.units.pop_front()
    }

    /// Access units that were given up, as far as they have been seen; those of which no packet came are not among them.
    pub fn lost_units(&self) -> u64 {
        self.out.lost_units
    }

    /// Bytes that are held of an access unit that is not complete.
    pub fn buffered_bytes(&self) -> usize {
        self.format.buffered_bytes()
    }
}
