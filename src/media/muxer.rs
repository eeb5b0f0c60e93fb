//! `Muxer`: frames to the bytes of a container.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arcly_bus::{Track as NativeTrack, TrackSet};
use arcly_pack::{
    PackError,
    container::{Container, ContainerMuxer, MuxOptions},
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    arguments::seconds,
    frame::MediaFrame,
    lock,
    media::{container, from_pack, work_on},
    session::check_ids,
    track::Track,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly.media")]
pub struct Muxer {
    container: Container,
    options: MuxOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None before the first tracks.
    muxer: Option<ContainerMuxer>,
    out: Vec<u8>,
}

impl State {
    /// What the next call may have to write besides its own.
    fn waiting_bytes(&self) -> usize {
        self.muxer.as_ref().map_or(0, ContainerMuxer::waiting_bytes)
    }

    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = PyBytes::new(py, &self.out);
        self.out.clear();
        bytes
    }

    /// Begins with these tracks, or goes over to them.
    fn configure(&mut self, container: Container, options: MuxOptions, tracks: Arc<TrackSet>) -> Result<(), PackError> {
        if let Some(muxer) = &mut self.muxer {
            return muxer.reconfigure(tracks, &mut self.out);
        }
        self.muxer = Some(ContainerMuxer::new(container, tracks, options)?);
        Ok(())
    }

    fn set_tracks(
        &mut self,
        container: Container,
        options: MuxOptions,
        tracks: Vec<NativeTrack>,
    ) -> Result<(), PackError> {
        let revision = self.muxer.as_ref().map_or(1, |muxer| muxer.tracks().revision.wrapping_add(1));
        self.configure(container, options, Arc::new(TrackSet { revision, tracks }))
    }

    fn write(&mut self, container: Container, options: MuxOptions, frame: &MediaFrame) -> Result<(), PackError> {
        if !self.muxer.as_ref().is_some_and(|muxer| writes(muxer, frame.track_set())) {
            self.configure(container, options, frame.track_set().clone())?;
        }
        self.muxer.as_mut().map_or(Ok(()), |muxer| muxer.write(&frame.frame, &mut self.out))
    }

    fn finish(&mut self) -> Result<(), PackError> {
        self.muxer.as_mut().map_or(Ok(()), |muxer| muxer.finish(&mut self.out))
    }
}

fn writes(muxer: &ContainerMuxer, tracks: &Arc<TrackSet>) -> bool {
    Arc::ptr_eq(muxer.tracks(), tracks) || muxer.tracks().tracks == tracks.tracks
}

#[pymethods]
impl Muxer {
    #[new]
    #[pyo3(signature = (format, *, fragment_s=1.0, bitrate_bps=None))]
    fn new(format: &str, fragment_s: f64, bitrate_bps: Option<u32>) -> PyResult<Self> {
        let fragment = seconds(fragment_s)?.min(Duration::from_secs(3600));
        let options = MuxOptions { fragment, constant_bit_rate: bitrate_bps };
        options.check(container(format)?).map_err(from_pack)?;
        Ok(Self { container: container(format)?, options, state: Mutex::default() })
    }

    fn set_tracks<'py>(&self, py: Python<'py>, tracks: Vec<PyRef<'py, Track>>) -> PyResult<Bound<'py, PyBytes>> {
        let mut tracks: Vec<_> = tracks.iter().map(|track| track.0.clone()).collect();
        check_ids(&tracks)?;
        // As those of frames are, with which they are compared.
        tracks.sort_by_key(|track| track.id);
        let bytes = lock(&self.state).waiting_bytes();
        let configured = work_on(py, bytes, || lock(&self.state).set_tracks(self.container, self.options, tracks));
        let bytes = lock(&self.state).take(py);
        configured.map(|()| bytes).map_err(from_pack)
    }

    fn write<'py>(&self, py: Python<'py>, frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let frame = MediaFrame::of(frame)?;
        let frame = frame.get();
        let bytes = frame.frame.payload.len() + lock(&self.state).waiting_bytes();
        let written = work_on(py, bytes, || lock(&self.state).write(self.container, self.options, frame));
        let bytes = lock(&self.state).take(py);
        written.map(|()| bytes).map_err(from_pack)
    }

    fn needs_new_file(&self, frame: &Bound<'_, PyAny>) -> PyResult<bool> {
        let tracks = MediaFrame::tracks_of(frame)?;
        let state = lock(&self.state);
        let muxer = state.muxer.as_ref();
        Ok(muxer.is_some_and(|muxer| !writes(muxer, &tracks) && muxer.needs_new_file(&tracks)))
    }

    #[getter]
    fn overrun_frames(&self) -> u64 {
        lock(&self.state).muxer.as_ref().map_or(0, ContainerMuxer::overrun_frames)
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = lock(&self.state).waiting_bytes();
        let finished = work_on(py, bytes, || lock(&self.state).finish());
        let bytes = lock(&self.state).take(py);
        finished.map(|()| bytes).map_err(from_pack)
    }
}
