//! The metadata blocks of a stream (RFC 9639 §8), of which only STREAMINFO configures anything.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{AudioInfo, CodecError, bits::BitReader};

/// Bytes of the STREAMINFO block without its header.
pub const STREAM_INFO_BYTES: usize = 34;
/// Largest record that is accepted. Behind STREAMINFO there may be anything, pictures of the album among it; nothing live has
/// more than some tags.
pub const MAX_RECORD_BYTES: usize = 65_536;
/// Bytes of a metadata block header.
const BLOCK_HEADER_BYTES: usize = 4;
const LAST_BLOCK: u8 = 0x80;
const STREAM_INFO: u8 = 0;
/// Values of "metadata block type" that can be mistaken for a frame's sync code (RFC 9639 §8.1).
const FORBIDDEN_BLOCK: u8 = 127;

/// The metadata blocks of a stream (RFC 9639 §8), STREAMINFO first, each with its header: the record is the body of `dfLa`
/// behind version and flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlacConfig {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound. `samples_per_frame` is 0 when blocks differ in size.
    pub info: AudioInfo,
    /// Samples of the smallest block, but for the last one of the stream: 16 to 65 535.
    pub min_block_samples: u32,
    /// Samples of the largest block.
    pub max_block_samples: u32,
    /// Bytes of the largest frame; 0 when unknown.
    pub max_frame_bytes: u32,
}

impl FlacConfig {
    /// Reads the record: metadata blocks up to the last one. Bytes behind that are an error.
    ///
    /// # Errors
    /// [`CodecError`] when the blocks do not add up, or STREAMINFO is malformed.
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(CodecError::LimitExceeded {
                limit: "bytes of FLAC metadata",
                max: MAX_RECORD_BYTES,
                seen: record.len(),
            });
        }
        let end = blocks_end(&record)?;
        if end != record.len() {
            return Err(CodecError::Malformed { what: "last FLAC metadata block", offset: end });
        }
        Self::read(record)
    }

    /// Reads the beginning of a `.flac` file or of a stream that has its form: the signature `fLaC`, then metadata blocks.
    /// Returns the configuration and where the frames begin. Other blocks than STREAMINFO are left out.
    ///
    /// # Errors
    /// [`CodecError`] when the signature is missing, the blocks do not add up, or STREAMINFO is malformed.
    pub fn from_stream(bytes: &[u8]) -> Result<(Self, usize), CodecError> {
        let signature = CodecError::Malformed { what: "FLAC signature", offset: 0 };
        let blocks = bytes.strip_prefix(b"fLaC").ok_or(signature)?;
        let end = blocks_end(blocks).map_err(|error| error.shifted(4))?;
        let stream_info = blocks.get(BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + STREAM_INFO_BYTES).unwrap_or_default();
        Ok((Self::from_stream_info(stream_info).map_err(|error| error.shifted(8))?, 4 + end))
    }

    /// The configuration of the body of a STREAMINFO block.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when it is not [`STREAM_INFO_BYTES`] long, or contradicts RFC 9639 §8.2.
    pub fn from_stream_info(body: &[u8]) -> Result<Self, CodecError> {
        if body.len() != STREAM_INFO_BYTES {
            return Err(CodecError::Malformed { what: "STREAMINFO", offset: body.len().min(STREAM_INFO_BYTES) });
        }
        let mut record = BytesMut::with_capacity(BLOCK_HEADER_BYTES + STREAM_INFO_BYTES);
        record.put_slice(&[LAST_BLOCK | STREAM_INFO, 0, 0, STREAM_INFO_BYTES as u8]);
        record.put_slice(body);
        Self::read(record.freeze()).map_err(|error| match error {
            CodecError::Malformed { what, offset } => {
                CodecError::Malformed { what, offset: offset.saturating_sub(BLOCK_HEADER_BYTES) }
            }
            other => other,
        })
    }

    /// The body of the STREAMINFO block.
    pub fn stream_info(&self) -> &[u8] {
        self.record.get(BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + STREAM_INFO_BYTES).unwrap_or_default()
    }

    /// The `codecs` parameter of RFC 6381: `flac`, which every player takes (`fLaC`, the name in the file, is refused by some).
    pub fn rfc6381(&self) -> String {
        "flac".to_owned()
    }

    /// Reads a record whose blocks add up.
    fn read(record: Bytes) -> Result<Self, CodecError> {
        // The offsets of errors count from the beginning of the record.
        let mut bits = BitReader::new(&record);
        bits.skip(8 * BLOCK_HEADER_BYTES, "STREAMINFO")?;
        let start = bits.clone();
        let min_block_samples = bits.u(16, "minimum block size")?;
        let max_block_samples = bits.u(16, "maximum block size")?;
        if min_block_samples < 16 || min_block_samples > max_block_samples {
            return Err(start.malformed("block sizes of STREAMINFO"));
        }
        bits.skip(24, "minimum frame size")?;
        let max_frame_bytes = bits.u(24, "maximum frame size")?;
        let rate = bits.clone();
        let sample_rate_hz = bits.u(20, "sampling rate of STREAMINFO")?;
        // 0 is for data that is not sound; nothing can be timed by it.
        if sample_rate_hz == 0 {
            return Err(rate.malformed("sampling rate of STREAMINFO"));
        }
        let channels = bits.u8(3, "channels of STREAMINFO")? + 1;
        let depth = bits.clone();
        let bits_per_sample = bits.u8(5, "bits per sample of STREAMINFO")? + 1;
        if bits_per_sample < 4 {
            return Err(depth.malformed("bits per sample of STREAMINFO"));
        }
        bits.skip(36 + 128, "STREAMINFO")?;
        let samples_per_frame = if min_block_samples == max_block_samples { max_block_samples } else { 0 };
        let info = AudioInfo { sample_rate_hz, channels, samples_per_frame, bits_per_sample };
        Ok(Self { record, info, min_block_samples, max_block_samples, max_frame_bytes })
    }
}

/// Where the last metadata block ends. The first one must be STREAMINFO.
fn blocks_end(bytes: &[u8]) -> Result<usize, CodecError> {
    let mut offset = 0;
    loop {
        let malformed = |what| CodecError::Malformed { what, offset };
        let header = bytes.get(offset..).and_then(|rest| rest.first_chunk::<BLOCK_HEADER_BYTES>());
        let &[kind, l0, l1, l2] = header.ok_or(malformed("FLAC metadata block header"))?;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let is_stream_info = kind & !LAST_BLOCK == STREAM_INFO;
        if is_stream_info != (offset == 0) || kind & !LAST_BLOCK == FORBIDDEN_BLOCK {
            return Err(malformed("FLAC metadata block type"));
        }
        if is_stream_info && length != STREAM_INFO_BYTES {
            return Err(malformed("length of STREAMINFO"));
        }
        let end = offset + BLOCK_HEADER_BYTES + length;
        if end > bytes.len() {
            return Err(malformed("FLAC metadata block"));
        }
        if kind & LAST_BLOCK != 0 {
            return Ok(end);
        }
        offset = end;
    }
}
