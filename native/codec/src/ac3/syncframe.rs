//! The syncframe: synchronisation and bit stream information (ETSI TS 102 366 §4.3.1, §4.3.2).

use super::{BLOCK_SAMPLES, SAMPLE_RATES_HZ, acmod_channels, eac3, eac3::Substream};
use crate::{CodecError, bits::BitReader};

/// Bit rates in kbit/s by half of `frmsizecod` (Table 4.13).
pub(super) const BIT_RATES_KBPS: [u16; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

/// What a syncframe of AC-3 or E-AC-3 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncFrame {
    /// Bytes of the frame: the next one begins here.
    pub frame_bytes: usize,
    /// Sampling rate in Hz.
    pub sample_rate_hz: u32,
    /// Samples per channel: 1536, and for E-AC-3 also 256, 512 or 768.
    pub samples: u32,
    /// Channels of this frame, the low frequency one included: 1 to 6.
    pub channels: u8,
    /// `bsid`: 8 or less is AC-3 (9 and 10: at a half and a quarter of the rate), 11 to 16 is E-AC-3.
    pub bsid: u8,
    /// `bsmod`: what the sound is for; 0 is the complete main service.
    pub bsmod: u8,
    /// `acmod`: which channels.
    pub acmod: u8,
    /// Whether there is a low frequency channel.
    pub lfe: bool,
    /// `fscod`: 0 is 48, 1 is 44.1, 2 is 32 kHz; 3 with E-AC-3: half the rate.
    pub fscod: u8,
    /// `frmsizecod` of AC-3, 0 to 37; 0 with E-AC-3.
    pub frmsizecod: u8,
    /// What only E-AC-3 says.
    pub substream: Option<Substream>,
}

impl SyncFrame {
    /// Reads the beginning of a syncframe. `bytes` need not hold the whole frame; some tens of bytes do.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when this is no syncframe; [`CodecError::Unsupported`] for a newer `bsid`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut bits = BitReader::new(bytes);
        if bits.u(16, "AC-3 syncword")? != 0x0b77 {
            return Err(CodecError::Malformed { what: "AC-3 syncword", offset: 0 });
        }
        // Both kinds have `bsid` at the same place (§E.1.1).
        let mut ahead = bits.clone();
        ahead.skip(24, "bsid")?;
        match ahead.u8(5, "bsid")? {
            0..=10 => Self::parse_ac3(&mut bits),
            11..=16 => eac3::parse(&mut bits),
            _ => Err(CodecError::Unsupported { what: "bsid of AC-3: newer than 16" }),
        }
    }

    /// Whether this is E-AC-3.
    pub fn is_eac3(&self) -> bool {
        self.substream.is_some()
    }

    fn parse_ac3(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        bits.skip(16, "crc1")?;
        let start = bits.clone();
        let fscod = bits.u8(2, "fscod")?;
        let frmsizecod = bits.u8(6, "frmsizecod")?;
        let sample_rate_hz = SAMPLE_RATES_HZ.get(usize::from(fscod)).copied().ok_or(start.malformed("fscod"))?;
        let frame_bytes = frame_bytes(sample_rate_hz, frmsizecod).ok_or(start.malformed("frmsizecod"))?;
        let bsid = bits.u8(5, "bsid")?;
        let bsmod = bits.u8(3, "bsmod")?;
        let acmod = bits.u8(3, "acmod")?;
        let has_centre = acmod & 1 == 1 && acmod != 1;
        let mix_bits = [has_centre, acmod & 4 != 0, acmod == 2].into_iter().filter(|&is| is).count() * 2;
        bits.skip(mix_bits, "cmixlev, surmixlev and dsurmod")?;
        let lfe = bits.flag("lfeon")?;
        Ok(Self {
            frame_bytes,
            sample_rate_hz: sample_rate_hz >> bsid.saturating_sub(8),
            samples: 6 * BLOCK_SAMPLES,
            channels: acmod_channels(acmod) + u8::from(lfe),
            bsid,
            bsmod,
            acmod,
            lfe,
            fscod,
            frmsizecod,
            substream: None,
        })
    }
}

/// Table 4.13: frames of 1536 samples, in words of two bytes; at 44.1 kHz the odd code has a word more.
fn frame_bytes(sample_rate_hz: u32, frmsizecod: u8) -> Option<usize> {
    let bit_rate_kbps = u32::from(*BIT_RATES_KBPS.get(usize::from(frmsizecod / 2))?);
    let words = 1_000 * bit_rate_kbps * 96 / sample_rate_hz;
    let extra = if sample_rate_hz == 44_100 { u32::from(frmsizecod & 1) } else { 0 };
    usize::try_from(2 * (words + extra)).ok()
}

/// The syncframes that stand one behind the other in `bytes`. The last may be cut off; behind an error there is nothing.
pub fn syncframes(bytes: &[u8]) -> impl Iterator<Item = Result<(SyncFrame, &[u8]), CodecError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let parsed = SyncFrame::parse(rest).map_err(|error| error.shifted(offset));
        let (next, item) = match parsed {
            Ok(frame) => {
                let whole = rest.get(..frame.frame_bytes).unwrap_or(rest);
                (offset.saturating_add(frame.frame_bytes), Ok((frame, whole)))
            }
            Err(error) => (bytes.len(), Err(error)),
        };
        offset = next;
        Some(item)
    })
}
