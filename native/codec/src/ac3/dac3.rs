//! `AC3SpecificBox` (ETSI TS 102 366 §F.4).

use bytes::Bytes;

use super::{
    BLOCK_SAMPLES, SAMPLE_RATES_HZ, acmod_channels,
    syncframe::{BIT_RATES_KBPS, SyncFrame},
};
use crate::{AudioInfo, CodecError, bit_packer::BitPacker, bits::BitReader};

/// Bytes of the record.
const DAC3_BYTES: usize = 3;

/// `AC3SpecificBox` (ETSI TS 102 366 §F.4): the record is the body of the box, three bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ac3Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound.
    pub info: AudioInfo,
    /// `bsid`: 8 or less; 9 and 10 are at a half and a quarter of the rate.
    pub bsid: u8,
    /// `bsmod`: what the sound is for; 0 is the complete main service.
    pub bsmod: u8,
    /// `acmod`: which channels.
    pub acmod: u8,
    /// Whether there is a low frequency channel.
    pub lfe: bool,
    /// Bit rate in kbit/s.
    pub bit_rate_kbps: u16,
}

impl Ac3Config {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CodecError::Malformed`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() != DAC3_BYTES {
            return Err(CodecError::Malformed { what: "dac3", offset: record.len().min(DAC3_BYTES) });
        }
        let mut bits = BitReader::new(&record);
        let fscod = bits.u8(2, "fscod")?;
        let rate = SAMPLE_RATES_HZ.get(usize::from(fscod)).copied();
        let rate = rate.ok_or(CodecError::Malformed { what: "fscod", offset: 0 })?;
        let bsid = bits.u8(5, "bsid")?;
        if bsid > 10 {
            return Err(CodecError::Malformed { what: "bsid", offset: 0 });
        }
        let bsmod = bits.u8(3, "bsmod")?;
        let acmod = bits.u8(3, "acmod")?;
        let lfe = bits.flag("lfeon")?;
        let code = bits.clone();
        let bit_rate_kbps = BIT_RATES_KBPS.get(usize::from(bits.u8(5, "bit_rate_code")?)).copied();
        let bit_rate_kbps = bit_rate_kbps.ok_or(code.malformed("bit_rate_code"))?;
        let info = AudioInfo {
            sample_rate_hz: rate >> bsid.saturating_sub(8),
            channels: acmod_channels(acmod) + u8::from(lfe),
            samples_per_frame: 6 * BLOCK_SAMPLES,
            bits_per_sample: 0,
        };
        Ok(Self { record, info, bsid, bsmod, acmod, lfe, bit_rate_kbps })
    }

    /// The configuration of a stream that has such frames.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a frame of E-AC-3.
    pub fn from_syncframe(frame: &SyncFrame) -> Result<Self, CodecError> {
        if frame.is_eac3() {
            return Err(CodecError::Unsupported { what: "dac3 of E-AC-3" });
        }
        let mut bits = BitPacker::new();
        bits.u(2, frame.fscod.into());
        bits.u(5, frame.bsid.into());
        bits.u(3, frame.bsmod.into());
        bits.u(3, frame.acmod.into());
        bits.flag(frame.lfe);
        bits.u(5, u32::from(frame.frmsizecod / 2));
        bits.u(5, 0);
        Self::parse(bits.finish())
    }

    /// The `codecs` parameter of RFC 6381: the name of the sample entry.
    pub fn rfc6381(&self) -> String {
        "ac-3".to_owned()
    }
}
