//! `EC3SpecificBox` (ETSI TS 102 366 §F.6), with the extension of ETSI TS 103 420 §C.3.

use bytes::Bytes;

use super::{
    BLOCK_SAMPLES, SAMPLE_RATES_HZ, acmod_channels,
    eac3::StreamType,
    syncframe::{SyncFrame, syncframes},
};
use crate::{AudioInfo, CodecError, bit_packer::BitPacker, bits::BitReader};

/// Largest record that is accepted: eight substreams of four bytes, and room for what may come to be behind them.
pub const MAX_DEC3_BYTES: usize = 256;
/// Three bits of `num_ind_sub`, which is one less.
const MAX_INDEPENDENT: usize = 8;
/// Thirteen bits of `data_rate`.
const MAX_DATA_RATE_KBPS: u32 = 0x1fff;
/// An access unit has six blocks of each substream (§F.5), and there are at most 8 independent and 8 dependent ones for each.
const MAX_SYNCFRAMES: usize = 6 * 72;

/// Channels of the bits of `chan_loc` (Table F.2), lowest bit first.
const LOCATION_CHANNELS: [u8; 9] = [2, 2, 1, 1, 2, 2, 2, 1, 1];
/// The place of the same bits in `chanmap` (Table E.5), 15 being the bit on top.
const LOCATION_IN_MAP: [u8; 9] = [10, 9, 8, 7, 6, 5, 4, 3, 1];

/// `EC3SpecificBox` (ETSI TS 102 366 §F.6): the record is the body of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eac3Config {
    /// The record itself.
    pub record: Bytes,
    /// What the record says about the sound of the first independent substream, with all that depends on it.
    pub info: AudioInfo,
    /// Bit rate in kbit/s; the highest when it varies.
    pub data_rate_kbps: u16,
    /// One to eight programmes.
    pub independent: Vec<IndependentSubstream>,
    /// `complexity_index_type_a`: objects are coded within (JOC), so many at most.
    pub joc_complexity: Option<u8>,
}

/// An independent substream, and where the channels of those that depend on it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndependentSubstream {
    /// `fscod`: 0 is 48, 1 is 44.1, 2 is 32 kHz; 3: half of a rate that the box does not say.
    pub fscod: u8,
    /// `bsid`: 16.
    pub bsid: u8,
    /// Whether it is an associated service, to be mixed to the main one.
    pub asvc: bool,
    /// `bsmod`: what the sound is for; 0 is the complete main service.
    pub bsmod: u8,
    /// `acmod`: which channels.
    pub acmod: u8,
    /// Whether there is a low frequency channel.
    pub lfe: bool,
    /// Dependent substreams: 0 to 15.
    pub dependent: u8,
    /// `chan_loc`: which channels these add. Bit 0 is Lc/Rc, then Lrs/Rrs, Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh, LFE2.
    pub locations: u16,
}

impl Eac3Config {
    /// Reads the record. Bytes behind it are kept and not judged.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn parse(record: Bytes) -> Result<Self, CodecError> {
        if record.len() > MAX_DEC3_BYTES {
            return Err(CodecError::LimitExceeded { limit: "bytes of dec3", max: MAX_DEC3_BYTES, seen: record.len() });
        }
        let mut bits = BitReader::new(&record);
        let data_rate_kbps = bits.u(13, "data_rate")? as u16;
        let count = bits.u(3, "num_ind_sub")? + 1;
        let independent = (0..count).map(|_| IndependentSubstream::read(&mut bits)).collect::<Result<Vec<_>, _>>()?;
        let first = independent.first().copied().unwrap_or_default();
        // The extension is behind what older readers know, and may be missing.
        let mut extension = bits.clone();
        let has_extension = extension.skip(7, "reserved").is_ok() && extension.flag("extension").unwrap_or(false);
        let joc_complexity = if has_extension { Some(extension.u8(8, "complexity_index_type_a")?) } else { None };
        Ok(Self { record, info: first.info()?, data_rate_kbps, independent, joc_complexity })
    }

    /// The configuration of a stream of one substream that has such frames.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a frame of AC-3, or of a dependent substream.
    pub fn from_syncframe(frame: &SyncFrame) -> Result<Self, CodecError> {
        let mut builder = Builder::default();
        builder.add(frame)?;
        builder.build()
    }

    /// The configuration of a stream that has such access units: one or more syncframes of all substreams.
    ///
    /// # Errors
    /// [`CodecError`] when a syncframe is malformed, one is AC-3, or a dependent one comes first.
    pub fn from_access_unit(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut builder = Builder::default();
        for frame in syncframes(bytes) {
            builder.add(&frame?.0)?;
        }
        builder.build()
    }

    /// The configuration of a stream that begins so: like [`Self::from_access_unit`], but what is cut off behind the first substream,
    /// or is none of the stream, ends it.
    ///
    /// # Errors
    /// [`CodecError`] when the first syncframe is malformed, AC-3, or a dependent one.
    pub fn from_beginning(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut builder = Builder::default();
        for frame in syncframes(bytes) {
            let added = frame.and_then(|(frame, _)| builder.add(&frame));
            if added.is_err() && !builder.independent.is_empty() {
                break;
            }
            added?;
        }
        builder.build()
    }

    /// Whether they differ in their bit rate at most, which varies from one access unit to the next.
    pub fn is_same_sound(&self, other: &Self) -> bool {
        let facts = |config: &Self| (config.info, config.joc_complexity);
        facts(self) == facts(other) && self.independent == other.independent
    }

    /// The `codecs` parameter of RFC 6381: the name of the sample entry.
    pub fn rfc6381(&self) -> String {
        "ec-3".to_owned()
    }
}

impl IndependentSubstream {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let fscod = bits.u8(2, "fscod")?;
        let bsid = bits.u8(5, "bsid")?;
        bits.skip(1, "reserved")?;
        let asvc = bits.flag("asvc")?;
        let bsmod = bits.u8(3, "bsmod")?;
        let acmod = bits.u8(3, "acmod")?;
        let lfe = bits.flag("lfeon")?;
        bits.skip(3, "reserved")?;
        let dependent = bits.u8(4, "num_dep_sub")?;
        let locations = if dependent > 0 { bits.u(9, "chan_loc")? as u16 } else { 0 };
        if dependent == 0 {
            bits.skip(1, "reserved")?;
        }
        Ok(Self { fscod, bsid, asvc, bsmod, acmod, lfe, dependent, locations })
    }

    fn write(&self, bits: &mut BitPacker) {
        bits.u(2, self.fscod.into());
        bits.u(5, self.bsid.into());
        bits.u(1, 0);
        bits.flag(self.asvc);
        bits.u(3, self.bsmod.into());
        bits.u(3, self.acmod.into());
        bits.flag(self.lfe);
        bits.u(3, 0);
        bits.u(4, self.dependent.into());
        if self.dependent > 0 {
            bits.u(9, self.locations.into());
        } else {
            bits.u(1, 0);
        }
    }

    fn info(&self) -> Result<AudioInfo, CodecError> {
        // Half rates are not in the box: 24 kHz is the one that is in use.
        let sample_rate_hz =
            if self.fscod == 3 { Some(24_000) } else { SAMPLE_RATES_HZ.get(usize::from(self.fscod)).copied() };
        let sample_rate_hz = sample_rate_hz.ok_or(CodecError::Malformed { what: "fscod", offset: 2 })?;
        let added = LOCATION_CHANNELS.iter().enumerate().filter(|(bit, _)| self.locations >> bit & 1 == 1);
        let added: u8 = added.map(|(_, channels)| channels).sum();
        let channels = acmod_channels(self.acmod) + u8::from(self.lfe) + added;
        Ok(AudioInfo { sample_rate_hz, channels, samples_per_frame: 6 * BLOCK_SAMPLES, bits_per_sample: 0 })
    }
}

/// Collects what the syncframes of an access unit say.
#[derive(Default)]
struct Builder {
    independent: Vec<IndependentSubstream>,
    joc_complexity: Option<u8>,
    /// Bits per second, of all first frames of substreams.
    bit_rate_bps: u64,
    frames: usize,
    /// Whether the independent substream in front has been seen before: short frames come several times.
    is_repeated: bool,
    half_rate_hz: Option<u32>,
}

impl Builder {
    fn add(&mut self, frame: &SyncFrame) -> Result<(), CodecError> {
        self.frames += 1;
        if self.frames > MAX_SYNCFRAMES {
            return Err(CodecError::LimitExceeded {
                limit: "syncframes of an access unit",
                max: MAX_SYNCFRAMES,
                seen: self.frames,
            });
        }
        let substream = frame.substream.ok_or(CodecError::Unsupported { what: "AC-3 within E-AC-3" })?;
        if substream.stream_type == StreamType::Dependent {
            self.add_dependent(substream.channel_map)?;
        } else {
            self.is_repeated = usize::from(substream.id) < self.independent.len();
            if !self.is_repeated {
                self.add_independent(frame)?;
            }
        }
        if !self.is_repeated {
            self.joc_complexity = self.joc_complexity.or(substream.joc_complexity);
            let bits = 8 * frame.frame_bytes as u64;
            self.bit_rate_bps += bits * u64::from(frame.sample_rate_hz) / u64::from(frame.samples);
        }
        Ok(())
    }

    fn add_independent(&mut self, frame: &SyncFrame) -> Result<(), CodecError> {
        if self.independent.len() == MAX_INDEPENDENT {
            let (max, seen) = (MAX_INDEPENDENT, MAX_INDEPENDENT + 1);
            return Err(CodecError::LimitExceeded { limit: "independent substreams", max, seen });
        }
        if frame.fscod == 3 {
            self.half_rate_hz = Some(frame.sample_rate_hz);
        }
        self.independent.push(IndependentSubstream {
            fscod: frame.fscod,
            bsid: frame.bsid,
            asvc: false,
            bsmod: frame.bsmod,
            acmod: frame.acmod,
            lfe: frame.lfe,
            dependent: 0,
            locations: 0,
        });
        Ok(())
    }

    fn add_dependent(&mut self, channel_map: Option<u16>) -> Result<(), CodecError> {
        let Some(parent) = self.independent.last_mut() else {
            return Err(CodecError::Unsupported { what: "E-AC-3 that begins with a dependent substream" });
        };
        if self.is_repeated || parent.dependent == 15 {
            return Ok(());
        }
        parent.dependent += 1;
        // Without a map the channels are those of `acmod`: the ones of the parent, in its place (§E.1.3.1.7).
        let map = channel_map.unwrap_or(0);
        for (bit, place) in LOCATION_IN_MAP.into_iter().enumerate() {
            parent.locations |= (map >> place & 1) << bit;
        }
        Ok(())
    }

    fn build(self) -> Result<Eac3Config, CodecError> {
        let count = self.independent.len().checked_sub(1).and_then(|last| u32::try_from(last).ok());
        let count = count.ok_or(CodecError::Malformed { what: "E-AC-3 access unit", offset: 0 })?;
        let data_rate_kbps = u32::try_from(self.bit_rate_bps / 1_000).unwrap_or(u32::MAX).min(MAX_DATA_RATE_KBPS);
        let mut bits = BitPacker::new();
        bits.u(13, data_rate_kbps);
        bits.u(3, count);
        self.independent.iter().for_each(|substream| substream.write(&mut bits));
        if let Some(complexity) = self.joc_complexity {
            bits.u(7, 0);
            bits.flag(true);
            bits.u(8, complexity.into());
        }
        let mut config = Eac3Config::parse(bits.finish())?;
        config.info.sample_rate_hz = self.half_rate_hz.unwrap_or(config.info.sample_rate_hz);
        Ok(config)
    }
}
