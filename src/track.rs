//! `Track`.

use std::hash::{Hash, Hasher};

use arcly_bus::{Language, TrackId};
use arcly_codec::{Codec, CodecConfig, DolbyVision};
use bytes::Bytes;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{
    error::{from_codec, misuse},
    media,
};

/// See `_native.pyi`.
#[pyclass(frozen, eq, hash, module = "arcly")]
#[derive(Clone, PartialEq)]
pub struct Track(pub arcly_bus::Track);

impl Hash for Track {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.id, self.0.config.record()).hash(state);
    }
}

/// What a track is made of beside its keyword arguments: id, codec and record.
type Positional<'py> = (u8, &'static str, Bound<'py, PyBytes>);

/// Largest width and height of VP9, which says either less one in 16 bits; VP8 has 14.
const SIZE_MAX: u32 = 1 << 16;

/// The same configuration with the size of the pictures, for those whose record has none.
fn with_size(config: CodecConfig, (width, height): (u32, u32)) -> PyResult<CodecConfig> {
    if ![width, height].iter().all(|pixels| (1..=SIZE_MAX).contains(pixels)) {
        return Err(misuse(format!("size: {width}x{height}")));
    }
    match config {
        CodecConfig::Vp8(config) => Ok(CodecConfig::Vp8(config.with_size(width, height))),
        CodecConfig::Vp9(config) => Ok(CodecConfig::Vp9(config.with_size(width, height))),
        _ => Err(misuse("size: that of VP8 and VP9 only; other records say it, or there is none")),
    }
}

#[pymethods]
impl Track {
    #[new]
    #[pyo3(signature = (id, codec, config, *, language=None, dolby_vision=None, size=None))]
    fn new(
        id: u8,
        codec: &str,
        config: &[u8],
        language: Option<&str>,
        dolby_vision: Option<&[u8]>,
        size: Option<(u32, u32)>,
    ) -> PyResult<Self> {
        let config = CodecConfig::parse(media::codec(codec)?, Bytes::copy_from_slice(config)).map_err(from_codec)?;
        let config = match size {
            Some(size) => with_size(config, size)?,
            None => config,
        };
        let dolby_vision = dolby_vision.map(DolbyVision::parse).transpose().map_err(from_codec)?;
        let language =
            language.map(|code| Language::new(code).ok_or_else(|| misuse("language: three letters of ISO 639-2")));
        let track = arcly_bus::Track::new(TrackId(id), config);
        Ok(Self(arcly_bus::Track { language: language.transpose()?, dolby_vision, ..track }))
    }

    #[getter]
    fn id(&self) -> u8 {
        self.0.id.0
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind().name()
    }

    #[getter]
    fn codec(&self) -> &'static str {
        self.0.config.codec().name()
    }

    #[getter]
    fn rfc6381(&self) -> String {
        self.0.rfc6381()
    }

    #[getter]
    fn clock_rate_hz(&self) -> u32 {
        self.0.clock_rate_hz
    }

    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.config.record())
    }

    #[getter]
    fn width(&self) -> Option<u32> {
        self.0.config.video().map(|info| info.width)
    }

    #[getter]
    fn height(&self) -> Option<u32> {
        self.0.config.video().map(|info| info.height)
    }

    #[getter]
    fn fps(&self) -> Option<f64> {
        self.0.config.video()?.frame_rate.map(|(num, den)| f64::from(num) / f64::from(den))
    }

    #[getter]
    fn reorder_frames(&self) -> Option<u8> {
        self.0.config.video()?.max_reorder_frames
    }

    #[getter]
    fn sample_rate_hz(&self) -> Option<u32> {
        self.0.config.audio().map(|info| info.sample_rate_hz)
    }

    #[getter]
    fn channels(&self) -> Option<u8> {
        self.0.config.audio().map(|info| info.channels)
    }

    #[getter]
    fn language(&self) -> Option<String> {
        self.0.language.map(|language| language.as_str().to_owned())
    }

    #[getter]
    fn dolby_vision<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.dolby_vision.map(|found| PyBytes::new(py, &found.record()))
    }

    /// Nothing in it changes, and not all of it can be said by arguments: HDR beside the record, half rates of E-AC-3.
    fn __copy__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __deepcopy__<'py>(this: PyRef<'py, Self>, _memo: &Bound<'_, PyAny>) -> PyRef<'py, Self> {
        this
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<(Positional<'py>, Bound<'py, PyDict>)> {
        let is_apart = matches!(self.0.config.codec(), Codec::Vp8 | Codec::Vp9);
        let size = self.0.config.video().filter(|info| is_apart && info.width > 0 && info.height > 0);
        let named = PyDict::new(py);
        named.set_item(intern!(py, "language"), self.language())?;
        named.set_item(intern!(py, "dolby_vision"), self.dolby_vision(py))?;
        named.set_item(intern!(py, "size"), size.map(|info| (info.width, info.height)))?;
        Ok(((self.id(), self.codec(), self.config(py)), named))
    }

    fn __str__(&self) -> String {
        let codec = self.codec();
        match (self.0.config.video(), self.sample_rate_hz()) {
            (Some(info), _) => format!("{codec} {}x{}", info.width, info.height),
            (_, Some(sample_rate_hz)) => format!("{codec} {sample_rate_hz} Hz"),
            _ => codec.to_owned(),
        }
    }

    fn __repr__(&self) -> String {
        format!("<Track {} {}>", self.id(), self.__str__())
    }
}
