//! `MediaReader`: a media file as frames.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use arcly_bus::{Frame, TrackSet};
use arcly_io::file::{FileError, MediaReader as Reader};
use arcly_pack::{Item, container::Container};
use pyo3::prelude::*;

use crate::{
    buffer::with_bytes,
    file::from_file,
    frame::{KnownTracks, MediaFrame},
    lock, lock_attached,
    track::Track,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly.media")]
pub struct MediaReader {
    container: Container,
    state: Mutex<State>,
}

struct State {
    reader: Reader,
    tracks: Arc<TrackSet>,
    /// Said when the frames in front of it have been given out.
    failure: Option<FileError>,
}

impl State {
    /// Up to `max` frames and their tracks; fewer only at the end, and in front of a failure.
    fn read(&mut self, max: usize) -> Result<Vec<(Frame, Arc<TrackSet>)>, FileError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut frames = Vec::new();
        while frames.len() < max {
            match self.reader.next_item() {
                Ok(Some(Item::Tracks(tracks))) => {
                    let revision = self.tracks.revision.wrapping_add(1);
                    self.tracks = Arc::new(TrackSet { revision, tracks });
                }
                Ok(Some(Item::Frame(frame))) => frames.push((frame, self.tracks.clone())),
                Ok(Some(Item::EndOfSequence)) => {}
                Ok(None) => break,
                Err(error) if frames.is_empty() => return Err(error),
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        Ok(frames)
    }

    fn rewind(&mut self) -> Result<(), FileError> {
        self.failure = None;
        self.reader.rewind()
    }
}

#[pymethods]
impl MediaReader {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let reader = py.detach(|| Reader::open(&path)).map_err(from_file)?;
        let container = reader.container();
        Ok(Self { container, state: Mutex::new(State { reader, tracks: Arc::default(), failure: None }) })
    }

    #[pyo3(signature = (max_frames=256))]
    fn read(&self, py: Python<'_>, max_frames: usize) -> PyResult<Vec<MediaFrame>> {
        let frames = py.detach(|| lock(&self.state).read(max_frames)).map_err(from_file)?;
        let mut known = KnownTracks::default();
        frames.into_iter().map(|(frame, tracks)| Ok(MediaFrame::new(py, frame, known.of(py, &tracks)?))).collect()
    }

    fn rewind(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| lock(&self.state).rewind()).map_err(from_file)
    }

    #[getter]
    fn format(&self) -> &'static str {
        self.container.name()
    }

    #[getter]
    fn tracks(&self, py: Python<'_>) -> Vec<Track> {
        lock_attached(py, &self.state).tracks.tracks.iter().cloned().map(Track).collect()
    }

    #[getter]
    fn broken(&self, py: Python<'_>) -> u64 {
        lock_attached(py, &self.state).reader.left_out().count
    }

    #[getter]
    fn problem(&self, py: Python<'_>) -> Option<String> {
        lock_attached(py, &self.state).reader.left_out().last
    }
}

/// See `_native.pyi`.
#[pyfunction]
pub fn sniff(beginning: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    with_bytes(beginning, |bytes| Container::sniff(bytes).map(Container::name))
}
