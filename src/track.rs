//! `Track`.

use arcly_bus::TrackId;
use arcly_codec::{Codec, CodecConfig, MediaKind};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};

use crate::error::{from_codec, misuse};

/// See `_native.pyi`.
#[pyclass(frozen, eq, module = "arcly")]
#[derive(Clone, PartialEq)]
pub struct Track(pub arcly_bus::Track);

#[pymethods]
impl Track {
    #[new]
    #[pyo3(signature = (id, codec, config))]
    fn new(id: u8, codec: &str, config: &[u8]) -> PyResult<Self> {
        let codec = match codec.to_ascii_uppercase().as_str() {
            "H264" => Codec::H264,
            "AAC" => Codec::Aac,
            other => return Err(misuse(format!("unknown codec {other:?}; known are H264 and AAC"))),
        };
        let config = CodecConfig::parse(codec, Bytes::copy_from_slice(config)).map_err(from_codec)?;
        Ok(Self(arcly_bus::Track::new(TrackId(id), config)))
    }

    #[getter]
    fn id(&self) -> u8 {
        self.0.id.0
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.kind() {
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        }
    }

    #[getter]
    fn codec(&self) -> &'static str {
        self.0.config.codec().name()
    }

    #[getter]
    fn rfc6381(&self) -> String {
        self.0.config.rfc6381()
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
        self.picture().map(|info| info.width)
    }

    #[getter]
    fn height(&self) -> Option<u32> {
        self.picture().map(|info| info.height)
    }

    #[getter]
    fn fps(&self) -> Option<f64> {
        self.picture()?.frame_rate.map(|(num, den)| f64::from(num) / f64::from(den))
    }

    #[getter]
    fn sample_rate_hz(&self) -> Option<u32> {
        match &self.0.config {
            CodecConfig::Aac(config) => Some(config.output_rate_hz),
            _ => None,
        }
    }

    #[getter]
    fn channels(&self) -> Option<u8> {
        match &self.0.config {
            CodecConfig::Aac(config) => Some(config.channels),
            _ => None,
        }
    }

    fn __str__(&self) -> String {
        let codec = self.codec();
        match (self.picture(), self.sample_rate_hz()) {
            (Some(info), _) => format!("{codec} {}x{}", info.width, info.height),
            (_, Some(sample_rate_hz)) => format!("{codec} {sample_rate_hz} Hz"),
            _ => codec.to_owned(),
        }
    }

    fn __repr__(&self) -> String {
        format!("<Track {} {}>", self.id(), self.__str__())
    }
}

impl Track {
    fn picture(&self) -> Option<&arcly_codec::h264::SpsInfo> {
        match &self.0.config {
            CodecConfig::H264(config) => Some(&config.info),
            _ => None,
        }
    }
}
