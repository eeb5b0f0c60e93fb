//! Sample entries (ISO/IEC 14496-12 §8.5.2), read; what of QuickTime is found in the wild, too.

use arcly_codec::{
    Codec, CodecConfig, ContentLight, DolbyVision, Hdr, MasteringDisplay, MediaKind, aac::AudioSpecificConfig,
    h264::AvcConfig, h265::HevcConfig, h266::VvcConfig, nal::LateSets, opus::OpusConfig, pcm::PcmConfig,
};
use bytes::Bytes;

use super::{
    descriptor::{DecoderConfig, parse_esds},
    form::{Form, Waveform},
};
use crate::{
    PackError,
    mp4::read::{Body, malformed},
};

/// Sample entries of a track. Stops a track of thousands, each with its parameter sets.
const MAX_DESCRIPTIONS: usize = 64;
/// `SampleEntry`: reserved bytes and `data_reference_index`.
const SAMPLE_ENTRY_BYTES: usize = 8;
/// `VisualSampleEntry` in front of its boxes.
const VISUAL_ENTRY_BYTES: usize = SAMPLE_ENTRY_BYTES + 70;
/// `AudioSampleEntry` in front of its boxes; the versions 1 and 2 of QuickTime have more (QTFF: Sound Sample Description).
const AUDIO_ENTRY_BYTES: usize = SAMPLE_ENTRY_BYTES + 20;
const AUDIO_V1_BYTES: usize = AUDIO_ENTRY_BYTES + 16;
const AUDIO_V2_BYTES: usize = AUDIO_ENTRY_BYTES + 36;

/// What a sample entry says.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub codec: Codec,
    /// How samples become frames.
    pub form: Form,
    /// `None` when only the first samples say it: parameter sets that are in-band, MPEG audio.
    pub config: Option<CodecConfig>,
    /// Beside it.
    pub late_sets: LateSets,
    /// Of a waveform: bytes of a sample of all channels.
    pub waveform_bytes: Option<u32>,
    /// These two stand beside the record.
    pub dolby_vision: Option<DolbyVision>,
    pub hdr: Hdr,
}

impl Description {
    fn new(form: Form, config: CodecConfig) -> Self {
        let codec = config.codec();
        Self { config: Some(config), ..Self::pending(form, codec) }
    }

    fn pending(form: Form, codec: Codec) -> Self {
        let late_sets = LateSets::default();
        Self { codec, form, config: None, late_sets, waveform_bytes: None, dolby_vision: None, hdr: Hdr::default() }
    }

    /// Pictures or sound.
    pub fn kind(&self) -> Option<MediaKind> {
        Some(self.codec.kind())
    }
}

/// All entries of `stsd`. One that cannot be read takes the track with it. `timescale` is that of the track's times.
pub(super) fn parse_descriptions(stbl: &Body, timescale: u32) -> Result<Vec<Description>, PackError> {
    let (version, _, stsd) = stbl.require(b"stsd", "stbl without stsd")?.full("stsd")?;
    let entries = stsd.behind(4, "stsd entry_count")?;
    let mut descriptions = Vec::new();
    for child in entries.children() {
        let (kind, body) = child?;
        if descriptions.len() >= MAX_DESCRIPTIONS {
            let (max, seen) = (MAX_DESCRIPTIONS, descriptions.len() + 1);
            return Err(PackError::LimitExceeded { limit: "sample entries of a track", max, seen });
        }
        descriptions.push(parse_entry(&kind, &body, timescale, version)?);
    }
    if descriptions.is_empty() {
        return Err(malformed("stsd entry_count", stsd.offset));
    }
    Ok(descriptions)
}

fn parse_entry(kind: &[u8; 4], body: &Body, timescale: u32, stsd_version: u8) -> Result<Description, PackError> {
    let boxes = || body.behind(VISUAL_ENTRY_BYTES, "VisualSampleEntry");
    let description = match kind {
        b"encv" | b"enca" | b"drms" | b"drmi" => {
            return Err(PackError::Unsupported { what: "encrypted track in MP4" });
        }
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"vvc1" | b"vvi1" | b"dvh1" | b"dvhe" | b"dva1" | b"dvav" => {
            parse_nal_video(&boxes()?)?
        }
        b"av01" | b"dav1" => parse_video(body, b"av1C", 0, Codec::Av1)?,
        b"vp09" => parse_video(body, b"vpcC", 4, Codec::Vp9)?,
        b"vp08" => parse_video(body, b"vpcC", 4, Codec::Vp8)?,
        _ => return parse_audio(kind, body, timescale, stsd_version),
    };
    let boxes = boxes()?;
    Ok(Description { dolby_vision: parse_dolby_vision(&boxes)?, hdr: parse_hdr(&boxes)?, ..description })
}

/// The record decides, not the name of the entry: Dolby Vision has other names for the same thing.
fn parse_nal_video(boxes: &Body) -> Result<Description, PackError> {
    if let Some(record) = boxes.find(b"avcC")? {
        return parse_nal(&record, 4, Codec::H264, |record| {
            AvcConfig::parse(record).map(|config| CodecConfig::H264(config.into_canonical()))
        });
    }
    if let Some(record) = boxes.find(b"hvcC")? {
        return parse_nal(&record, 21, Codec::H265, |record| {
            HevcConfig::parse(record).map(|config| CodecConfig::H265(config.into_canonical()))
        });
    }
    if let Some(record) = boxes.find(b"vvcC")? {
        let record = record.behind(4, "vvcC")?;
        return parse_nal(&record, 0, Codec::H266, |record| {
            VvcConfig::parse(record).map(|config| CodecConfig::H266(config.into_canonical()))
        });
    }
    Err(malformed("video sample entry without avcC, hvcC or vvcC", boxes.offset))
}

/// One that breaks says nothing: the pictures are there all the same.
fn parse_dolby_vision(boxes: &Body) -> Result<Option<DolbyVision>, PackError> {
    for kind in [b"dvcC", b"dvvC", b"dvwC"] {
        if let Some(record) = boxes.find(kind)? {
            return Ok(DolbyVision::parse(&record.bytes).ok());
        }
    }
    Ok(None)
}

/// `mdcv` and `clli` (§12.1.6, §12.1.7), which are the bodies of the SEI messages; one that breaks says nothing.
fn parse_hdr(boxes: &Body) -> Result<Hdr, PackError> {
    let (mdcv, clli) = (boxes.find(b"mdcv")?, boxes.find(b"clli")?);
    Ok(Hdr {
        mastering: mdcv.and_then(|body| MasteringDisplay::parse(&body.bytes).ok()),
        content_light: clli.and_then(|body| ContentLight::parse(&body.bytes).ok()),
    })
}

/// `lengthSizeMinusOne` is in the two lowest bits of the byte at `length_at` (VVC: one bit higher).
fn parse_nal(
    record: &Body,
    length_at: usize,
    codec: Codec,
    parse: impl FnOnce(Bytes) -> Result<CodecConfig, arcly_codec::CodecError>,
) -> Result<Description, PackError> {
    let lengths = record.bytes.get(length_at).copied().ok_or(malformed("lengthSizeMinusOne", record.offset))?;
    let length_size = (if codec == Codec::H266 { lengths >> 1 } else { lengths } & 0b11) + 1;
    if length_size == 3 {
        return Err(malformed("lengthSizeMinusOne", record.offset));
    }
    let form = Form::Nal { length_size };
    match parse(Bytes::copy_from_slice(&record.bytes)) {
        Ok(config) => Ok(Description::new(form, config)),
        // A record without parameter sets is how avc3 and hev1 begin.
        Err(_) => Ok(Description::pending(form, codec)),
    }
}

fn parse_video(body: &Body, kind: &[u8; 4], skip: usize, codec: Codec) -> Result<Description, PackError> {
    let boxes = body.behind(VISUAL_ENTRY_BYTES, "VisualSampleEntry")?;
    let form = if codec == Codec::Av1 { Form::Av1 } else { Form::Vp };
    let Some(record) = boxes.find(kind)? else { return Ok(Description::pending(form, codec)) };
    let record = record.behind(skip, "codec configuration box")?;
    let mut fields = body.fields();
    fields.skip(SAMPLE_ENTRY_BYTES + 16, "VisualSampleEntry")?;
    let (width, height) =
        (fields.u16("VisualSampleEntry width")?.into(), fields.u16("VisualSampleEntry height")?.into());
    match CodecConfig::parse(codec, Bytes::copy_from_slice(&record.bytes)) {
        Ok(CodecConfig::Vp9(config)) => Ok(Description::new(form, CodecConfig::Vp9(config.with_size(width, height)))),
        Ok(CodecConfig::Vp8(config)) => Ok(Description::new(form, CodecConfig::Vp8(config.with_size(width, height)))),
        Ok(config) => Ok(Description::new(form, config)),
        Err(_) => Ok(Description::pending(form, codec)),
    }
}

/// What the fields of an audio entry say.
struct Sound {
    channels: u32,
    bits: u32,
    rate_hz: u32,
    /// `formatSpecificFlags` of version 2.
    flags: u32,
    /// The boxes behind the fields.
    boxes: Body,
}

impl Sound {
    fn parse(body: &Body, timescale: u32, stsd_version: u8) -> Result<Self, PackError> {
        let what = "AudioSampleEntry";
        let mut fields = body.fields();
        fields.skip(SAMPLE_ENTRY_BYTES, what)?;
        let version = fields.u16(what)?;
        fields.skip(6, what)?;
        let (channels, bits) = (u32::from(fields.u16(what)?), u32::from(fields.u16(what)?));
        fields.skip(4, what)?;
        // Rates that the 16 bits in front of the point cannot say are written as 0, and the times count samples.
        let rate_hz = Some(fields.u32(what)? >> 16).filter(|rate_hz| *rate_hz > 0).unwrap_or(timescale);
        match version {
            // `AudioSampleEntryV1`, which only an `stsd` of version 1 has (§12.2.3.2), and in it the rates that 16 bits cannot say.
            1 if stsd_version == 1 => {
                let boxes = body.behind(AUDIO_ENTRY_BYTES, what)?;
                let srat = boxes.find(b"srat")?.map(|srat| srat.full("srat")).transpose()?;
                let rate_hz = srat.map_or(Ok(rate_hz), |(_, _, srat)| srat.fields().u32("srat sampling_rate"))?;
                Ok(Self { channels, bits, rate_hz, flags: 0, boxes })
            }
            1 => Ok(Self { channels, bits, rate_hz, flags: 0, boxes: body.behind(AUDIO_V1_BYTES, what)? }),
            2 => {
                fields.skip(4, what)?;
                let rate_hz = f64::from_bits(fields.u64(what)?).clamp(0.0, 1e6) as u32;
                let channels = fields.u32(what)?;
                fields.skip(4, what)?;
                let (bits, flags) = (fields.u32(what)?, fields.u32(what)?);
                Ok(Self { channels, bits, rate_hz, flags, boxes: body.behind(AUDIO_V2_BYTES, what)? })
            }
            _ => Ok(Self { channels, bits, rate_hz, flags: 0, boxes: body.behind(AUDIO_ENTRY_BYTES, what)? }),
        }
    }

    /// The first box of that type, which QuickTime puts into `wave`.
    fn find(&self, kind: &[u8; 4]) -> Result<Option<Body>, PackError> {
        if let Some(found) = self.boxes.find(kind)? {
            return Ok(Some(found));
        }
        self.boxes.find(b"wave")?.map_or(Ok(None), |wave| wave.find(kind))
    }

    fn require(&self, kind: &[u8; 4], what: &'static str) -> Result<Body, PackError> {
        self.find(kind)?.ok_or(malformed(what, self.boxes.offset))
    }

    fn waveform(&self, codec: Codec, form: Form, bits: u32, stored_bits: u32) -> Result<Description, PackError> {
        let unsupported = PackError::Unsupported { what: "waveform in MP4" };
        let channels = u8::try_from(self.channels).ok().filter(|&channels| channels > 0);
        let (channels, bits) = (channels.ok_or(unsupported.clone())?, u8::try_from(bits).map_err(|_| unsupported)?);
        let record = PcmConfig::new(self.rate_hz, channels, bits)?.record;
        let config = CodecConfig::parse(codec, record)?;
        let waveform_bytes = Some(u32::from(channels) * (stored_bits / 8));
        Ok(Description { waveform_bytes, ..Description::new(form, config) })
    }
}

fn parse_audio(kind: &[u8; 4], body: &Body, timescale: u32, stsd_version: u8) -> Result<Description, PackError> {
    let foreign = PackError::Unsupported { what: "sample entry in MP4" };
    let known = [
        b"mp4a", b".mp3", b"ms\0U", b"Opus", b"fLaC", b"ac-3", b"ec-3", b"alaw", b"ulaw", b"ipcm", b"twos", b"sowt",
        b"in24", b"in32", b"lpcm", b"raw ",
    ];
    if !known.contains(&kind) {
        return Err(foreign);
    }
    let sound = Sound::parse(body, timescale, stsd_version)?;
    match kind {
        b"mp4a" => parse_mp4a(&sound),
        b".mp3" | b"ms\0U" => Ok(Description::pending(Form::MpegAudio, Codec::Mp3)),
        b"Opus" => {
            let dops = sound.require(b"dOps", "Opus without dOps")?;
            Ok(Description::new(Form::Raw, CodecConfig::Opus(OpusConfig::from_dops(&dops.bytes)?)))
        }
        b"fLaC" => record(&sound.require(b"dfLa", "fLaC without dfLa")?, 4, Codec::Flac),
        b"ac-3" => record(&sound.require(b"dac3", "ac-3 without dac3")?, 0, Codec::Ac3),
        b"ec-3" => record(&sound.require(b"dec3", "ec-3 without dec3")?, 0, Codec::Eac3),
        b"alaw" => sound.waveform(Codec::G711A, Form::Raw, 8, 8),
        b"ulaw" => sound.waveform(Codec::G711U, Form::Raw, 8, 8),
        _ => parse_pcm(kind, &sound),
    }
}

fn record(body: &Body, skip: usize, codec: Codec) -> Result<Description, PackError> {
    let record = body.behind(skip, "codec configuration box")?;
    Ok(Description::new(Form::Raw, CodecConfig::parse(codec, Bytes::copy_from_slice(&record.bytes))?))
}

fn parse_mp4a(sound: &Sound) -> Result<Description, PackError> {
    let (_, _, esds) = sound.require(b"esds", "mp4a without esds")?.full("esds")?;
    let shifted = |error| match error {
        PackError::Malformed { what, offset } => malformed(what, esds.offset.saturating_add(offset as u64)),
        other => other,
    };
    let DecoderConfig { object, specific } = parse_esds(&esds.bytes).map_err(shifted)?;
    match object {
        // MPEG-4, and MPEG-2 AAC Main, LC and SSR.
        0x40 | 0x66..=0x68 if !specific.is_empty() => {
            let config = AudioSpecificConfig::parse(Bytes::copy_from_slice(&specific))?;
            Ok(Description::new(Form::Raw, CodecConfig::Aac(config)))
        }
        0x66..=0x68 => {
            // The object type says the profile, the fields say the rest.
            let channels = u8::try_from(sound.channels).unwrap_or(0);
            let config = AudioSpecificConfig::new(object - 0x65, sound.rate_hz, channels)?;
            Ok(Description::new(Form::Raw, CodecConfig::Aac(config)))
        }
        0x69 | 0x6b => Ok(Description::pending(Form::MpegAudio, Codec::Mp3)),
        0xa5 => Ok(Description::pending(Form::Ac3, Codec::Ac3)),
        0xa6 => Ok(Description::pending(Form::Ac3, Codec::Eac3)),
        _ => Err(PackError::Unsupported { what: "objectTypeIndication in MP4" }),
    }
}

/// `ipcm` (ISO/IEC 23003-5 §5.1) and QuickTime's waveforms.
fn parse_pcm(kind: &[u8; 4], sound: &Sound) -> Result<Description, PackError> {
    let (bits, is_little) = match kind {
        b"ipcm" => {
            let (_, _, pcmc) = sound.require(b"pcmC", "ipcm without pcmC")?.full("pcmC")?;
            let mut fields = pcmc.fields();
            let format_flags = fields.u8("pcmC format_flags")?;
            (u32::from(fields.u8("pcmC PCM_sample_size")?), format_flags & 1 != 0)
        }
        b"twos" => (sound.bits, false),
        b"sowt" => (sound.bits, true),
        // Little-endian when `enda` says so (QTFF: Sound Sample Description Extensions).
        b"in24" | b"in32" => {
            let is_little = sound.find(b"enda")?.is_some_and(|enda| enda.bytes.last() == Some(&1));
            (if kind == b"in24" { 24 } else { 32 }, is_little)
        }
        // kAudioFormatFlagIsFloat, IsBigEndian, IsSignedInteger.
        b"lpcm" if sound.flags & 0b101 == 0b100 => (sound.bits, sound.flags & 0b010 == 0),
        b"raw " if sound.bits == 8 => (8, false),
        _ => return Err(PackError::Unsupported { what: "waveform in MP4" }),
    };
    let waveform = match (kind, bits) {
        (b"raw ", _) => Waveform::Unsigned8,
        (_, 8) => Waveform::Big,
        (_, 16 | 24 | 32) if is_little => Waveform::Little { bytes: (bits / 8) as u8 },
        (_, 16 | 24 | 32) => Waveform::Big,
        _ => return Err(PackError::Unsupported { what: "bits per PCM sample in MP4" }),
    };
    sound.waveform(Codec::Pcm, Form::Pcm(waveform), bits, bits)
}
