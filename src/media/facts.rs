//! What a configuration says, whatever the codec.

use arcly_codec::{Chroma, Codec, CodecConfig};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    buffer::with_bytes,
    error::{from_codec, misuse},
};

/// See `_native.pyi`.
#[pyclass(frozen, get_all, eq, module = "arcly.media")]
#[derive(Debug, Clone, PartialEq)]
pub struct CodecInfo {
    codec: &'static str,
    kind: &'static str,
    rfc6381: String,
    clock_rate_hz: u32,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate: Option<(u32, u32)>,
    sample_aspect_ratio: Option<(u32, u32)>,
    profile: Option<u8>,
    level: Option<u8>,
    high_tier: Option<bool>,
    bit_depth: Option<u8>,
    chroma: Option<&'static str>,
    colour: Option<(u8, u8, u8, bool)>,
    max_reorder_frames: Option<u8>,
    sample_rate_hz: Option<u32>,
    channels: Option<u8>,
    samples_per_frame: Option<u32>,
    bits_per_sample: Option<u8>,
}

impl CodecInfo {
    fn of(config: &CodecConfig) -> Self {
        let (video, audio) = (config.video(), config.audio());
        Self {
            codec: config.codec().name(),
            kind: config.kind().name(),
            rfc6381: config.rfc6381(),
            clock_rate_hz: config.clock_rate_hz(),
            width: video.as_ref().map(|info| info.width),
            height: video.as_ref().map(|info| info.height),
            frame_rate: video.as_ref().and_then(|info| info.frame_rate),
            sample_aspect_ratio: video.as_ref().and_then(|info| info.sample_aspect_ratio),
            profile: video.as_ref().map(|info| info.profile),
            level: video.as_ref().map(|info| info.level),
            high_tier: video.as_ref().map(|info| info.high_tier),
            bit_depth: video.as_ref().map(|info| info.bit_depth),
            chroma: video.as_ref().map(|info| chroma_name(info.chroma)),
            colour: video.as_ref().map(|info| {
                let colour = info.colour;
                (colour.primaries, colour.transfer, colour.matrix, colour.full_range)
            }),
            max_reorder_frames: video.and_then(|info| info.max_reorder_frames),
            sample_rate_hz: audio.map(|info| info.sample_rate_hz),
            channels: audio.map(|info| info.channels),
            samples_per_frame: audio.map(|info| info.samples_per_frame),
            bits_per_sample: audio.map(|info| info.bits_per_sample),
        }
    }
}

fn chroma_name(chroma: Chroma) -> &'static str {
    match chroma {
        Chroma::Monochrome => "4:0:0",
        Chroma::Yuv420 => "4:2:0",
        Chroma::Yuv422 => "4:2:2",
        Chroma::Yuv444 => "4:4:4",
    }
}

#[pymethods]
impl CodecInfo {
    fn __repr__(&self) -> String {
        let facts = match (self.width, self.height, self.sample_rate_hz, self.channels) {
            (Some(width), Some(height), ..) => format!(" {width}x{height}"),
            (_, _, Some(rate), Some(channels)) => format!(" {rate} Hz, {channels} channels"),
            _ => String::new(),
        };
        format!("<CodecInfo {} {}{facts}>", self.codec, self.rfc6381)
    }
}

/// A codec by its name.
pub fn codec(name: &str) -> PyResult<Codec> {
    name.parse().map_err(|_| {
        let known = Codec::ALL.map(Codec::name).join(", ");
        misuse(format!("unknown codec {name:?}; known are {known}"))
    })
}

/// See `_native.pyi`.
#[pyfunction]
#[pyo3(name = "inspect")]
pub fn inspect(codec_name: &str, config: &Bound<'_, PyAny>) -> PyResult<CodecInfo> {
    let record = with_bytes(config, Bytes::copy_from_slice)?;
    CodecConfig::parse(codec(codec_name)?, record).map(|config| CodecInfo::of(&config)).map_err(from_codec)
}

/// See `_native.pyi`.
#[pyfunction]
pub fn config_from_frame<'py>(codec_name: &str, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let codec = codec(codec_name)?;
    let frame = with_bytes(data, Bytes::copy_from_slice)?;
    let config = CodecConfig::from_frame(codec, frame).map_err(from_codec)?;
    Ok(PyBytes::new(data.py(), config.record()))
}
