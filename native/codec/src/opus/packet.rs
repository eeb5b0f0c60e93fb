//! The Opus packet (RFC 6716 §3): its duration, its frames, and when it is malformed.

use crate::CodecError;

/// Longest packet: 120 ms at 48 kHz (RFC 6716 §3.2.5, R5).
pub const MAX_PACKET_SAMPLES: u32 = 5_760;
/// Largest frame (RFC 6716 §3.2.1, R2).
pub const MAX_FRAME_BYTES: usize = 1_275;

/// Samples of a packet at 48 kHz, from its table of contents and, for code 3, its frame count. Nothing else is looked at,
/// so that it holds for packets of several streams too: all last equally long (RFC 7845 §5.1.1).
///
/// # Errors
/// [`CodecError::Malformed`] for an empty packet, a count that is missing or 0, and more than [`MAX_PACKET_SAMPLES`].
pub fn packet_samples(packet: &[u8]) -> Result<u32, CodecError> {
    let malformed = |what, offset| CodecError::Malformed { what, offset };
    let toc = *packet.first().ok_or(malformed("Opus TOC", 0))?;
    let frames = match toc & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).ok_or(malformed("Opus frame count", 1))? & 0x3f,
    };
    let samples = u32::from(frames) * frame_samples(toc);
    // R5, and R6: at least one.
    if samples == 0 || samples > MAX_PACKET_SAMPLES {
        return Err(malformed("Opus frame count", 1));
    }
    Ok(samples)
}

/// Samples of one frame at 48 kHz (RFC 6716 Table 2).
fn frame_samples(toc: u8) -> u32 {
    let (config, step) = (toc >> 3, u32::from(toc >> 3 & 0b11));
    match config {
        // SILK: 10, 20, 40, 60 ms.
        0..12 if step == 3 => 2_880,
        0..12 => 480 << step,
        // Hybrid: 10 or 20 ms.
        12..16 => 480 << (step & 1),
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 120 << step,
    }
}

/// Judges a packet of `streams` streams: all but the last are self-delimited (RFC 7845 §5.1.1, RFC 6716 Appendix B), and
/// all last equally long.
///
/// # Errors
/// [`CodecError::Malformed`] with the place at which one of the rules of RFC 6716 §3.4 is broken.
pub fn check_packet(packet: &[u8], streams: u8) -> Result<u32, CodecError> {
    let samples = packet_samples(packet)?;
    let mut offset = 0;
    for remaining in (0..streams).rev() {
        let rest = packet.get(offset..).unwrap_or_default();
        let form = if remaining > 0 { Form::SelfDelimited } else { Form::Alone };
        let parsed = Packet::read(rest, form).map_err(|error| error.shifted(offset))?;
        if parsed.samples != samples {
            return Err(CodecError::Malformed { what: "duration of an Opus stream", offset });
        }
        offset += parsed.bytes;
    }
    Ok(samples)
}

/// What a packet of one stream consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The configuration number of the table of contents (RFC 6716 Table 2), 0 to 31.
    pub config: u8,
    /// Whether the stream is stereo.
    pub stereo: bool,
    /// Samples at 48 kHz.
    pub samples: u32,
    /// The frames, 1 to 48; one may be empty (a lost frame, or silence).
    pub frames: Vec<&'a [u8]>,
    /// Bytes of the packet, padding included.
    pub bytes: usize,
}

/// Whether something follows a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The packet ends where the bytes do.
    Alone,
    /// The length of the last frame is written too (RFC 6716 Appendix B).
    SelfDelimited,
}

impl<'a> Packet<'a> {
    /// Reads a packet that fills `bytes` (RFC 6716 §3.2).
    ///
    /// # Errors
    /// [`CodecError::Malformed`] with the place at which one of the rules of RFC 6716 §3.4 is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Self::read(bytes, Form::Alone)
    }

    /// Reads a packet at the beginning of `bytes` that says where it ends (RFC 6716 Appendix B).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_self_delimited(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Self::read(bytes, Form::SelfDelimited)
    }

    fn read(bytes: &'a [u8], form: Form) -> Result<Self, CodecError> {
        let samples = packet_samples(bytes)?;
        let toc = bytes.first().copied().unwrap_or_default();
        let mut body = Body { bytes, offset: 1, end: bytes.len() };
        let lengths = match toc & 0b11 {
            0 => body.equal_lengths(1, form)?,
            1 => body.equal_lengths(2, form)?,
            2 => body.written_lengths(2, form)?,
            _ => body.counted_lengths(form)?,
        };
        let frames = lengths.into_iter().map(|length| body.frame(length)).collect::<Result<_, _>>()?;
        // Padding stands behind the frames; as many bytes were kept free at the end.
        let bytes = if form == Form::Alone { bytes.len() } else { body.offset + (bytes.len() - body.end) };
        Ok(Self { config: toc >> 3, stereo: toc & 0b100 != 0, samples, frames, bytes })
    }
}

/// What stands behind the table of contents.
struct Body<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// Where the frames end at the latest: as many bytes before the end as there is padding.
    end: usize,
}

impl<'a> Body<'a> {
    fn malformed(&self, what: &'static str) -> CodecError {
        CodecError::Malformed { what, offset: self.offset }
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(..self.end).unwrap_or_default().get(self.offset).ok_or(self.malformed(what))?;
        self.offset += 1;
        Ok(byte)
    }

    fn frame(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.offset.checked_add(length).filter(|&end| end <= self.end);
        let end = end.ok_or(self.malformed("Opus frame"))?;
        let frame = self.bytes.get(self.offset..end).unwrap_or_default();
        self.offset = end;
        Ok(frame)
    }

    /// A frame length in one or two bytes (RFC 6716 §3.2.1).
    fn length(&mut self) -> Result<usize, CodecError> {
        let first = usize::from(self.byte("Opus frame length")?);
        if first < 252 {
            return Ok(first);
        }
        Ok(4 * usize::from(self.byte("Opus frame length")?) + first)
    }

    /// `count` frames that share what is there, or that have the one length that is written.
    fn equal_lengths(&mut self, count: usize, form: Form) -> Result<Vec<usize>, CodecError> {
        let length = match form {
            Form::SelfDelimited => self.length()?,
            Form::Alone => {
                let rest = self.end.saturating_sub(self.offset);
                // R3 for two frames, R6 for more.
                if !rest.is_multiple_of(count) {
                    return Err(self.malformed("Opus frames of equal length"));
                }
                rest / count
            }
        };
        self.check_length(length)?;
        Ok(vec![length; count])
    }

    /// `count` frames whose lengths are written, that of the last one only in a self-delimited packet.
    fn written_lengths(&mut self, count: usize, form: Form) -> Result<Vec<usize>, CodecError> {
        let written = if form == Form::SelfDelimited { count } else { count - 1 };
        let mut lengths = (0..written).map(|_| self.length()).collect::<Result<Vec<_>, _>>()?;
        if form == Form::Alone {
            let sum: usize = lengths.iter().sum();
            let rest = self.end.checked_sub(self.offset).and_then(|bytes| bytes.checked_sub(sum));
            // R4, and R7: what is said fits.
            let last = rest.ok_or(self.malformed("Opus frame length"))?;
            self.check_length(last)?;
            lengths.push(last);
        }
        Ok(lengths)
    }

    /// Code 3 (RFC 6716 §3.2.5): a count, padding, and lengths that are equal or written.
    fn counted_lengths(&mut self, form: Form) -> Result<Vec<usize>, CodecError> {
        let count_byte = self.byte("Opus frame count")?;
        // At least one, at most 48: `packet_samples` has looked.
        let count = usize::from(count_byte & 0x3f).max(1);
        let padding = if count_byte & 0x40 != 0 { self.padding()? } else { 0 };
        self.end =
            self.end.checked_sub(padding).filter(|&end| end >= self.offset).ok_or(self.malformed("Opus padding"))?;
        if count_byte & 0x80 != 0 { self.written_lengths(count, form) } else { self.equal_lengths(count, form) }
    }

    /// Bytes of padding: 255 is 254 and more to come.
    fn padding(&mut self) -> Result<usize, CodecError> {
        let mut padding = 0_usize;
        loop {
            match self.byte("Opus padding")? {
                255 => padding += 254,
                last => return Ok(padding + usize::from(last)),
            }
        }
    }

    fn check_length(&self, length: usize) -> Result<(), CodecError> {
        // R2.
        if length > MAX_FRAME_BYTES { Err(self.malformed("Opus frame length")) } else { Ok(()) }
    }
}
