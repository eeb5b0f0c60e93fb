//! `Track`.

use arcly_bus::{Language, TrackId};
use arcly_codec::{CodecConfig, DolbyVision};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    error::{from_codec, misuse},
    media,
};

/// See `_native.pyi`.
#[pyclass(frozen, eq, module = "arcly")]
#[derive(Clone, PartialEq)]
pub struct Track(pub arcly_bus::Track);

#[pymethods]
impl Track {
    #[new]
    #[pyo3(signature = (id, codec, config, *, language=None, dolby_vision=None))]
    fn new(id: u8, codec: &str, config: &[u8], language: Option<&str>, dolby_vision: Option<&[u8]>) -> PyResult<Self> {
        let config = CodecConfig::parse(media::codec(codec)?, Bytes::copy_from_slice(config)).map_err(from_codec)?;
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
