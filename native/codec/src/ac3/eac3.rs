//! Bit stream information of E-AC-3 (ETSI TS 102 366 §E.1.2.2, §E.1.3.1), up to the additional one, in which object audio is announced.

use super::{BLOCK_SAMPLES, SAMPLE_RATES_HZ, acmod_channels, syncframe::SyncFrame};
use crate::{CodecError, bits::BitReader};

/// `strmtyp` (§E.1.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamType {
    /// A programme of its own.
    Independent,
    /// More channels of the independent substream in front.
    Dependent,
    /// AC-3 that was converted; a programme of its own.
    Converted,
}

/// What only E-AC-3 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Substream {
    /// Independent, dependent or converted.
    pub stream_type: StreamType,
    /// `substreamid`: 0 to 7, counted for each type.
    pub id: u8,
    /// `chanmap` of a dependent substream (§E.1.3.1.8): a bit for each of sixteen places, the first one on top.
    pub channel_map: Option<u16>,
    /// `flag_ec3_extension_type_a` (ETSI TS 103 420 §8.3): objects are coded within (JOC), of this complexity.
    pub joc_complexity: Option<u8>,
}

/// Reads what follows the syncword.
pub(super) fn parse(bits: &mut BitReader<'_>) -> Result<SyncFrame, CodecError> {
    let start = bits.clone();
    let stream_type = match bits.u8(2, "strmtyp")? {
        0 => StreamType::Independent,
        1 => StreamType::Dependent,
        2 => StreamType::Converted,
        _ => return Err(start.malformed("strmtyp")),
    };
    let id = bits.u8(3, "substreamid")?;
    let frame_bytes = 2 * (bits.u(11, "frmsiz")? as usize + 1);
    let Rate { fscod, sample_rate_hz, blocks } = rate(bits)?;
    let acmod = bits.u8(3, "acmod")?;
    let lfe = bits.flag("lfeon")?;
    let bsid = bits.u8(5, "bsid")?;
    // A frame that ends within its own header: whoever followed its length would find the same frame again.
    if frame_bytes <= bits.offset() {
        return Err(start.malformed("frmsiz"));
    }
    let fields = Fields { stream_type, fscod, blocks, acmod, lfe };
    let rest = fields.read(bits)?;
    Ok(SyncFrame {
        frame_bytes,
        sample_rate_hz,
        samples: u32::from(blocks) * BLOCK_SAMPLES,
        channels: acmod_channels(acmod) + u8::from(lfe),
        bsid,
        bsmod: rest.bsmod,
        acmod,
        lfe,
        fscod,
        frmsizecod: 0,
        substream: Some(Substream {
            stream_type,
            id,
            channel_map: rest.channel_map,
            joc_complexity: rest.joc_complexity,
        }),
    })
}

struct Rate {
    fscod: u8,
    sample_rate_hz: u32,
    blocks: u8,
}

/// `fscod`, `fscod2` and `numblkscod` (§E.1.3.1.4, §E.1.3.1.5).
fn rate(bits: &mut BitReader<'_>) -> Result<Rate, CodecError> {
    let start = bits.clone();
    let fscod = bits.u8(2, "fscod")?;
    let code = bits.u8(2, "numblkscod")?;
    if fscod == 3 {
        // Half of the rates; always six blocks.
        let rate = SAMPLE_RATES_HZ.get(usize::from(code)).copied().ok_or(start.malformed("fscod2"))?;
        return Ok(Rate { fscod, sample_rate_hz: rate / 2, blocks: 6 });
    }
    let sample_rate_hz = SAMPLE_RATES_HZ.get(usize::from(fscod)).copied().ok_or(start.malformed("fscod"))?;
    let blocks = if code == 3 { 6 } else { code + 1 };
    Ok(Rate { fscod, sample_rate_hz, blocks })
}

/// What the presence of other fields depends on.
struct Fields {
    stream_type: StreamType,
    fscod: u8,
    blocks: u8,
    acmod: u8,
    lfe: bool,
}

#[derive(Default)]
struct Rest {
    bsmod: u8,
    channel_map: Option<u16>,
    joc_complexity: Option<u8>,
}

impl Fields {
    fn read(&self, bits: &mut BitReader<'_>) -> Result<Rest, CodecError> {
        let mut rest = Rest::default();
        for _ in 0..self.programmes() {
            bits.skip(5, "dialnorm")?;
            skip_if(bits, 8, "compr")?;
        }
        if self.stream_type == StreamType::Dependent && bits.flag("chanmape")? {
            rest.channel_map = u16::try_from(bits.u(16, "chanmap")?).ok();
        }
        if bits.flag("mixmdate")? {
            self.skip_mixing(bits)?;
        }
        if bits.flag("infomdate")? {
            rest.bsmod = self.read_informational(bits)?;
        }
        self.skip_conversion(bits)?;
        rest.joc_complexity = read_additional(bits)?;
        Ok(rest)
    }

    /// Two with dual mono (`acmod` 0), whose channels are two programmes.
    fn programmes(&self) -> usize {
        if self.acmod == 0 { 2 } else { 1 }
    }

    /// Mixing metadata (§E.1.2.2).
    fn skip_mixing(&self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        let has_centre = self.acmod & 1 == 1 && self.acmod > 2;
        let has_surround = self.acmod & 4 != 0;
        let level_bits = [(self.acmod > 2, 2), (has_centre, 6), (has_surround, 6)];
        bits.skip(level_bits.iter().filter(|level| level.0).map(|level| level.1).sum(), "mix levels")?;
        if self.lfe {
            skip_if(bits, 5, "lfemixlevcod")?;
        }
        if self.stream_type != StreamType::Independent {
            return Ok(());
        }
        for _ in 0..self.programmes() {
            skip_if(bits, 6, "pgmscl")?;
        }
        skip_if(bits, 6, "extpgmscl")?;
        match bits.u(2, "mixdef")? {
            0 => {}
            1 => bits.skip(5, "premixcmpsel")?,
            2 => bits.skip(12, "mixdata")?,
            _ => {
                let mix_bytes = bits.u(5, "mixdeflen")? as usize + 2;
                bits.skip(8 * mix_bytes, "mixdata")?;
            }
        }
        if self.acmod < 2 {
            for _ in 0..self.programmes() {
                skip_if(bits, 14, "paninfo")?;
            }
        }
        self.skip_block_mixing(bits)
    }

    fn skip_block_mixing(&self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        if !bits.flag("frmmixcfginfoe")? {
            return Ok(());
        }
        if self.blocks == 1 {
            return bits.skip(5, "blkmixcfginfo");
        }
        (0..self.blocks).try_for_each(|_| skip_if(bits, 5, "blkmixcfginfo"))
    }

    /// Informational metadata. Returns `bsmod`.
    fn read_informational(&self, bits: &mut BitReader<'_>) -> Result<u8, CodecError> {
        let bsmod = bits.u8(3, "bsmod")?;
        bits.skip(2, "copyrightb and origbs")?;
        match self.acmod {
            2 => bits.skip(4, "dsurmod and dheadphonmod")?,
            6.. => bits.skip(2, "dsurexmod")?,
            _ => {}
        }
        for _ in 0..self.programmes() {
            skip_if(bits, 8, "audprodi")?;
        }
        if self.fscod < 3 {
            bits.skip(1, "sourcefscod")?;
        }
        Ok(bsmod)
    }

    /// What helps to make AC-3 of it.
    fn skip_conversion(&self, bits: &mut BitReader<'_>) -> Result<(), CodecError> {
        match self.stream_type {
            StreamType::Independent if self.blocks != 6 => bits.skip(1, "convsync"),
            StreamType::Converted if self.blocks == 6 || bits.flag("blkid")? => bits.skip(6, "frmsizecod"),
            _ => Ok(()),
        }
    }
}

/// A flag, and `count` bits if it is set.
fn skip_if(bits: &mut BitReader<'_>, count: usize, what: &'static str) -> Result<(), CodecError> {
    if bits.flag(what)? { bits.skip(count, what) } else { Ok(()) }
}

/// `addbsi`. Returns `complexity_index_type_a` (ETSI TS 103 420 §8.3).
fn read_additional(bits: &mut BitReader<'_>) -> Result<Option<u8>, CodecError> {
    if !bits.flag("addbsie")? {
        return Ok(None);
    }
    let additional_bytes = bits.u(6, "addbsil")? as usize + 1;
    let mut additional = bits.clone();
    bits.skip(8 * additional_bytes, "addbsi")?;
    additional.skip(7, "addbsi")?;
    if additional_bytes < 2 || !additional.flag("flag_ec3_extension_type_a")? {
        return Ok(None);
    }
    additional.u8(8, "complexity_index_type_a").map(Some)
}
