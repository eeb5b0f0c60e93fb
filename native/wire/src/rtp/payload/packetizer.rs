//! Access units to payloads.

use std::fmt::Debug;

use arcly_codec::{CodecConfig, CodecError};
use bytes::BufMut;

use super::{aac, ac3, av1, h264::H264, h265::H265, klv, latm, mpa, nal::NalPacketizer, opus, vp8, vp9, waveform};
use crate::rtp::format::{Encoding, Format};

/// Smallest payload that a packetizer can be told to keep to: below, headers would be most of it.
pub const MIN_PAYLOAD_BYTES: usize = 64;

/// The payload of one packet, in two parts that follow each other: what the format puts in front, and bytes that mostly are a
/// piece of the access unit itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The payload header.
    pub head: &'a [u8],
    /// What is behind it.
    pub body: &'a [u8],
    /// The marker bit of the packet.
    pub marker: bool,
    /// Ticks of the format's clock from the time of the access unit to that of the packet: of waveforms that fill several.
    pub timestamp_offset: u32,
}

impl Payload<'_> {
    /// Bytes of both parts.
    #[expect(clippy::len_without_is_empty, reason = "no payload is empty")]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Writes both parts.
    pub fn write(&self, into: &mut impl BufMut) {
        into.put_slice(self.head);
        into.put_slice(self.body);
    }
}

/// Where payloads go.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Payload<'_>);

/// One payload format.
pub(super) trait Packetize: Debug + Send {
    /// Cuts an access unit in the form of the bus.
    fn packetize(&mut self, access_unit: &[u8], is_key: bool, sink: Sink<'_>) -> Result<(), CodecError>;

    /// Takes what the configuration changes.
    fn reconfigure(&mut self, _config: &CodecConfig) {}
}

/// Cuts access units in the form of the bus into payloads.
///
/// ```
/// # use arcly_codec::{CodecConfig, opus::OpusConfig};
/// # use arcly_wire::rtp::{Format, Header, Packetizer};
/// let config = CodecConfig::Opus(OpusConfig::new(2)?);
/// let mut packetizer = Packetizer::new(&Format::of(96, &config)?, &config, 1_200)?;
/// let (mut header, mut packets) = (Header { payload_type: 96, ssrc: 1, ..Header::default() }, Vec::new());
/// packetizer.packetize(&[0xfc, 1, 2, 3], false, &mut |payload| {
///     let mut packet = header.to_bytes().to_vec();
///     payload.write(&mut packet);
///     packets.push(packet);
///     header.sequence = header.sequence.wrapping_add(1);
/// })?;
/// assert_eq!(packets.len(), 1);
/// # Ok::<(), arcly_codec::CodecError>(())
/// ```
#[derive(Debug)]
pub struct Packetizer {
    format: Box<dyn Packetize>,
}

impl Packetizer {
    /// A packetizer of `format` for a stream of `config`. No payload is longer than `max_payload_bytes`, at least
    /// [`MIN_PAYLOAD_BYTES`], but where the format cannot cut: Opus, and H.264 in mode 0.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] when the format does not carry the configuration's codec.
    pub fn new(format: &Format, config: &CodecConfig, max_payload_bytes: usize) -> Result<Self, CodecError> {
        let max = max_payload_bytes.max(MIN_PAYLOAD_BYTES);
        let format: Box<dyn Packetize> = match (format.encoding, config) {
            (Encoding::H264, CodecConfig::H264(_)) => {
                Box::new(NalPacketizer::<H264>::new(config, max, format.is_single_nal_mode()))
            }
            (Encoding::H265, CodecConfig::H265(_)) => Box::new(NalPacketizer::<H265>::new(config, max, false)),
            (Encoding::Vp8, CodecConfig::Vp8(_)) => Box::new(vp8::Packetizer::new(max)),
            (Encoding::Vp9, CodecConfig::Vp9(_)) => Box::new(vp9::Packetizer::new(max)),
            (Encoding::Av1, CodecConfig::Av1(_)) => Box::new(av1::Packetizer::new(max)),
            (Encoding::Mpeg4Generic, CodecConfig::Aac(_)) => Box::new(aac::Packetizer::new(max)),
            (Encoding::Mp4aLatm, CodecConfig::Aac(config)) => Box::new(latm::Packetizer::new(config, max)),
            (Encoding::Opus, CodecConfig::Opus(_)) => Box::new(opus::Packetizer),
            (Encoding::Mpa, CodecConfig::Mp3(_) | CodecConfig::Mp2(_)) => Box::new(mpa::Packetizer::new(max)),
            (Encoding::Ac3, CodecConfig::Ac3(_)) => Box::new(ac3::Packetizer::new(ac3::Kind::Ac3, max)),
            (Encoding::Eac3, CodecConfig::Eac3(_)) => Box::new(ac3::Packetizer::new(ac3::Kind::Eac3, max)),
            (Encoding::Pcma, CodecConfig::G711A(_))
            | (Encoding::Pcmu, CodecConfig::G711U(_))
            | (Encoding::G722, CodecConfig::G722(_))
            | (Encoding::L16 | Encoding::L24, CodecConfig::Pcm(_)) => {
                Box::new(waveform::Packetizer::new(format, config, max))
            }
            (Encoding::Klv, CodecConfig::Klv(_)) => Box::new(klv::Packetizer::new(max)),
            _ => return Err(CodecError::Unsupported { what: "codec of this payload format" }),
        };
        Ok(Self { format })
    }

    /// Takes another configuration of the same codec, for the access units that follow. What counts in payload headers goes
    /// on counting.
    pub fn reconfigure(&mut self, config: &CodecConfig) {
        self.format.reconfigure(config);
    }

    /// Cuts one access unit (`bus::Frame` says what form it has) and gives its payloads to `sink` in their order. With
    /// `is_key` what a decoder needs to begin goes in front: parameter sets.
    ///
    /// # Errors
    /// [`CodecError`] when the access unit is malformed; `sink` may then have got some payloads of it.
    pub fn packetize(
        &mut self,
        access_unit: &[u8],
        is_key: bool,
        sink: &mut dyn FnMut(Payload<'_>),
    ) -> Result<(), CodecError> {
        self.format.packetize(access_unit, is_key, sink)
    }
}
