//! `OpusHead` (RFC 7845 §5.1), the `dOps` box, and the channel configuration code of MPEG-TS.

use bytes::{BufMut, Bytes, BytesMut};

use super::CLOCK_RATE_HZ;
use crate::{AudioInfo, CodecError};

/// Bytes of a header without a channel mapping table.
const SHORT_HEAD_BYTES: usize = 19;
/// Longest header: a mapping table of 255 channels.
pub const MAX_HEAD_BYTES: usize = SHORT_HEAD_BYTES + 2 + 255;
const MAGIC: &[u8; 8] = b"OpusHead";

/// Channels that decoders skip at the start by default: 80 ms, what RFC 7845 §5.1 recommends when nothing is known.
const DEFAULT_PRE_SKIP: u16 = 3_840;

/// Mapping family 1 (RFC 7845 §5.1.1.2), by number of channels: streams, coupled streams, and the channel of each output in Vorbis order.
const VORBIS_LAYOUTS: [(u8, u8, &[u8]); 8] = [
    (1, 0, &[0]),
    (1, 1, &[0, 1]),
    (2, 1, &[0, 2, 1]),
    (2, 2, &[0, 1, 2, 3]),
    (3, 2, &[0, 4, 1, 2, 3]),
    (4, 2, &[0, 4, 1, 2, 3, 5]),
    (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
    (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
];

/// `OpusHead` (RFC 7845 §5.1): the record is the whole header with its magic signature, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound. The rate is always 48 000.
    pub info: AudioInfo,
    /// Samples at 48 kHz that the decoder drops from the beginning.
    pub pre_skip: u16,
    /// Sampling rate of what the encoder was given, in Hz; 0 when unknown. Not the rate of anything here.
    pub input_sample_rate_hz: u32,
    /// Gain to apply, in 1/256 dB.
    pub output_gain: i16,
    /// `mapping_family`: 0 mono or stereo, 1 Vorbis order, 255 no meaning.
    pub mapping_family: u8,
    /// Opus streams in a packet.
    pub streams: u8,
    /// Of these, the ones that are stereo: the first ones.
    pub coupled_streams: u8,
    /// For each output channel the decoded channel that it takes; 255 is silence.
    pub mapping: Vec<u8>,
}

impl OpusConfig {
    /// Reads the record. Bytes behind the header are an error only when they make it longer than any header can be.
    ///
    /// # Errors
    /// [`CodecError`] when the header is malformed or of an unknown major version (RFC 7845 §5.1).
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_HEAD_BYTES {
            return Err(CodecError::LimitExceeded {
                limit: "bytes of an OpusHead",
                max: MAX_HEAD_BYTES,
                seen: record.len(),
            });
        }
        let Some((head, table)) = record.split_first_chunk::<SHORT_HEAD_BYTES>() else {
            return Err(CodecError::Malformed { what: "OpusHead", offset: record.len() });
        };
        let [magic @ .., version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family] = *head;
        if &magic != MAGIC {
            return Err(CodecError::Malformed { what: "OpusHead signature", offset: 0 });
        }
        // The upper four bits are the incompatible ones.
        if version & 0xf0 != 0 {
            return Err(CodecError::Unsupported { what: "version of OpusHead" });
        }
        let mapping = Mapping::read(family, channels, table)?;
        Ok(Self {
            info: info(channels),
            pre_skip: u16::from_le_bytes([s0, s1]),
            input_sample_rate_hz: u32::from_le_bytes([r0, r1, r2, r3]),
            output_gain: i16::from_le_bytes([g0, g1]),
            mapping_family: family,
            streams: mapping.streams,
            coupled_streams: mapping.coupled,
            mapping: mapping.table,
            record,
        })
    }

    /// The configuration of an encoder that said no more than its number of channels (RTP: RFC 7587; MPEG-TS): mapping
    /// family 0 up to two, family 1 up to eight.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for other numbers of channels.
    pub fn new(channels: u8) -> Result<Self, CodecError> {
        let layout = channels.checked_sub(1).and_then(|index| VORBIS_LAYOUTS.get(usize::from(index)));
        let (streams, coupled, table) = *layout.ok_or(CodecError::Unsupported { what: "number of Opus channels" })?;
        let family = u8::from(channels > 2);
        Self::build(channels, family, &Mapping { streams, coupled, table: table.to_vec() })
    }

    /// The configuration of an MPEG-TS `channel_config_code`: 1 to 8 in Vorbis order, 0 for two independent channels.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for codes with an explicit mapping.
    pub fn from_channel_config_code(code: u8) -> Result<Self, CodecError> {
        match code {
            // Dual mono: without a meaning of "left" and "right", hence family 255.
            0 => Self::build(2, 255, &Mapping { streams: 1, coupled: 1, table: vec![0, 1] }),
            1..=8 => Self::new(code),
            _ => Err(CodecError::Unsupported { what: "channel_config_code of Opus in MPEG-TS" }),
        }
    }

    /// The `channel_config_code` of MPEG-TS; `None` when only an explicit mapping could say it.
    pub fn channel_config_code(&self) -> Option<u8> {
        let same = |code: &u8| {
            Self::from_channel_config_code(*code).is_ok_and(|other| {
                // Families 0 and 1 mean the same for one and two channels.
                (other.mapping_family == 255) == (self.mapping_family == 255)
                    && (other.streams, other.coupled_streams) == (self.streams, self.coupled_streams)
                    && other.mapping == self.mapping
            })
        };
        (0..=8).find(same)
    }

    /// Reads the body of a `dOps` box (Encapsulation of Opus in ISO Base Media File Format §4.3.2): the same fields
    /// big-endian, behind version 0 and without the signature.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_dops(body: &[u8]) -> Result<Self, CodecError> {
        let Some((head, table)) = body.split_first_chunk::<11>() else {
            return Err(CodecError::Malformed { what: "dOps", offset: body.len() });
        };
        let [version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family] = *head;
        if version != 0 {
            return Err(CodecError::Unsupported { what: "version of dOps" });
        }
        let mut record = BytesMut::with_capacity(body.len() + 8);
        record.put_slice(MAGIC);
        record.put_slice(&[1, channels, s1, s0, r3, r2, r1, r0, g1, g0, family]);
        record.put_slice(table);
        // The signature is eight bytes longer than nothing.
        Self::parse(record.freeze()).map_err(|error| match error {
            CodecError::Malformed { what, offset } => CodecError::Malformed { what, offset: offset.saturating_sub(8) },
            other => other,
        })
    }

    /// The body of the `dOps` box of this configuration.
    pub fn dops(&self) -> Bytes {
        let mut body = BytesMut::new();
        body.put_slice(&[0, self.info.channels]);
        body.put_u16(self.pre_skip);
        body.put_u32(self.input_sample_rate_hz);
        body.put_i16(self.output_gain);
        body.put_u8(self.mapping_family);
        self.put_table(&mut body);
        body.freeze()
    }

    /// The `codecs` parameter of RFC 6381: the sample entry's name in lower case, which every player takes (`Opus`, the
    /// name in the file, is refused by some).
    pub fn rfc6381(&self) -> String {
        "opus".to_owned()
    }

    fn build(channels: u8, family: u8, mapping: &Mapping) -> Result<Self, CodecError> {
        let mut record = BytesMut::with_capacity(SHORT_HEAD_BYTES);
        record.put_slice(MAGIC);
        record.put_slice(&[1, channels]);
        record.put_u16_le(DEFAULT_PRE_SKIP);
        record.put_u32_le(CLOCK_RATE_HZ);
        record.put_u16_le(0);
        record.put_u8(family);
        if family != 0 {
            record.put_slice(&[mapping.streams, mapping.coupled]);
            record.put_slice(&mapping.table);
        }
        Self::parse(record.freeze())
    }

    fn put_table(&self, body: &mut BytesMut) {
        if self.mapping_family != 0 {
            body.put_slice(&[self.streams, self.coupled_streams]);
            body.put_slice(&self.mapping);
        }
    }
}

/// Which decoded channel goes where (RFC 7845 §5.1.1).
struct Mapping {
    streams: u8,
    coupled: u8,
    table: Vec<u8>,
}

impl Mapping {
    fn read(family: u8, channels: u8, table: &[u8]) -> Result<Self, CodecError> {
        let bad_channels = CodecError::Malformed { what: "output channel count", offset: 9 };
        let fits = match family {
            0 => (1..=2).contains(&channels),
            1 => (1..=8).contains(&channels),
            _ => channels > 0,
        };
        if !fits {
            return Err(bad_channels);
        }
        if family == 0 {
            return Ok(Self { streams: 1, coupled: channels - 1, table: (0..channels).collect() });
        }
        Self::read_table(channels, table)
    }

    /// The table of all families but 0. Unknown ones have it too (RFC 7845 §5.1.1).
    fn read_table(channels: u8, bytes: &[u8]) -> Result<Self, CodecError> {
        let malformed = |what, at| CodecError::Malformed { what, offset: SHORT_HEAD_BYTES + at };
        let &[streams, coupled, ref rest @ ..] = bytes else { return Err(malformed("stream count", bytes.len())) };
        if streams == 0 {
            return Err(malformed("stream count", 0));
        }
        let decoded = streams.checked_add(coupled).filter(|_| coupled <= streams);
        let decoded = decoded.ok_or(malformed("coupled stream count", 1))?;
        let table = rest.get(..usize::from(channels)).ok_or(malformed("channel mapping", bytes.len()))?;
        if let Some(at) = table.iter().position(|&channel| channel >= decoded && channel != 255) {
            return Err(malformed("channel mapping", 2 + at));
        }
        Ok(Self { streams, coupled, table: table.to_vec() })
    }
}

fn info(channels: u8) -> AudioInfo {
    // Frames vary in length from packet to packet.
    AudioInfo { sample_rate_hz: CLOCK_RATE_HZ, channels, samples_per_frame: 0, bits_per_sample: 0 }
}
