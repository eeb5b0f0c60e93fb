//! `Demuxer`: a container on its way into a stream, its bytes received in native memory.

use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    ffi::c_int,
    slice,
    sync::{Arc, Mutex},
};

use arcly_bus::{Frame, Track, TrackSet};
use arcly_pack::{Item, container::ContainerDemuxer};
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyList, PyMemoryView},
};

use crate::{
    buffer::{Lent, export, with_bytes},
    error::{LimitExceededError, from_bus, misuse},
    frame::{KnownTracks, MediaFrame},
    lock,
    media::{GIL_FREE_BYTES, container, from_pack},
    session::PublishSession,
    track,
};

/// Bytes that one receive may bring.
const RECEIVE_BYTES: usize = 64 << 10;

/// Items that may wait to be taken: a caller that never takes any must not fill the memory.
const ITEMS_MAX: usize = 64 << 10;

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly.media")]
pub struct Demuxer {
    receive: Receive,
    state: Mutex<State>,
}

/// Memory into which sockets receive. It never moves.
struct Receive(Box<[UnsafeCell<u8>]>);

// SAFETY: Rust reads it only in `Demuxer::buffer_updated`, with the GIL held; whoever writes does so through an exported buffer
// before it calls that, as asyncio.BufferedProtocol demands.
unsafe impl Sync for Receive {}

struct State {
    demuxer: ContainerDemuxer,
    tracks: Arc<TrackSet>,
    waiting: VecDeque<Item>,
}

/// An item, tracks told apart from frames.
enum Popped {
    Tracks(Vec<Track>),
    Frame(Frame),
}

impl State {
    fn feed(&mut self, bytes: &[u8]) -> PyResult<()> {
        // A caller who goes on all the same is not given more room.
        self.check_room()?;
        let pushed = self.demuxer.push(bytes);
        self.collect();
        pushed.map_err(from_pack)
    }

    fn collect(&mut self) {
        self.waiting.extend(std::iter::from_fn(|| self.demuxer.poll()));
    }

    /// Looks whether items wait that should have been taken. What is handed out by the call that reads it does not wait.
    fn check_room(&self) -> PyResult<()> {
        if self.waiting.len() > ITEMS_MAX {
            return Err(LimitExceededError::new_err(format!("{ITEMS_MAX} items wait to be taken")));
        }
        Ok(())
    }

    /// The next item; tracks become the ones of the frames that follow.
    fn pop(&mut self) -> Option<Popped> {
        loop {
            match self.waiting.pop_front()? {
                Item::Tracks(tracks) => {
                    let revision = self.tracks.revision.wrapping_add(1);
                    self.tracks = Arc::new(TrackSet { revision, tracks: tracks.clone() });
                    return Some(Popped::Tracks(tracks));
                }
                Item::Frame(frame) => return Some(Popped::Frame(frame)),
                Item::EndOfSequence => {}
            }
        }
    }
}

impl Demuxer {
    fn pop(&self) -> Option<(Popped, Arc<TrackSet>)> {
        let mut state = lock(&self.state);
        let popped = state.pop()?;
        Some((popped, state.tracks.clone()))
    }

    fn send_to_native(&self, session: &PublishSession) -> PyResult<usize> {
        let mut frames = 0;
        while let Some((popped, _)) = self.pop() {
            match popped {
                Popped::Tracks(tracks) => session.replace_tracks(tracks).map_err(from_bus)?,
                Popped::Frame(frame) => {
                    session.publish_shared(frame).map_err(from_bus)?;
                    frames += 1;
                }
            }
        }
        Ok(frames)
    }

    fn send_to_foreign(&self, sink: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (py, mut frames, mut known) = (sink.py(), 0, KnownTracks::default());
        while let Some((popped, tracks)) = self.pop() {
            match popped {
                Popped::Tracks(tracks) => drop(sink.call_method1(intern!(py, "set_tracks"), (list(py, tracks)?,))?),
                Popped::Frame(frame) => {
                    let frame = MediaFrame::new(py, frame, known.of(py, &tracks)?);
                    sink.call_method1(intern!(py, "send"), (frame,))?;
                    frames += 1;
                }
            }
        }
        Ok(frames)
    }

    /// All frames that wait.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<MediaFrame>> {
        let (mut frames, mut known) = (Vec::new(), KnownTracks::default());
        while let Some((popped, tracks)) = self.pop() {
            if let Popped::Frame(frame) = popped {
                frames.push(MediaFrame::new(py, frame, known.of(py, &tracks)?));
            }
        }
        Ok(frames)
    }
}

fn list(py: Python<'_>, tracks: Vec<Track>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, tracks.into_iter().map(track::Track))
}

#[pymethods]
impl Demuxer {
    #[new]
    #[pyo3(signature = (format, *, program=None))]
    fn new(format: &str, program: Option<u16>) -> PyResult<Self> {
        let demuxer = ContainerDemuxer::new(container(format)?, program);
        let receive = Receive((0..RECEIVE_BYTES).map(|_| UnsafeCell::new(0)).collect());
        let state = State { demuxer, tracks: Arc::default(), waiting: VecDeque::new() };
        Ok(Self { receive, state: Mutex::new(state) })
    }

    fn feed(&self, data: &Bound<'_, PyAny>) -> PyResult<Vec<MediaFrame>> {
        match data.cast_exact::<PyBytes>() {
            // Nobody can change them, so nobody has to be kept from it.
            Ok(bytes) if bytes.as_bytes().len() >= GIL_FREE_BYTES => {
                let bytes = bytes.as_bytes();
                data.py().detach(|| lock(&self.state).feed(bytes))?;
            }
            _ => match with_bytes(data, |bytes| (bytes.len() >= GIL_FREE_BYTES).then(|| bytes.to_vec()))? {
                Some(copy) => data.py().detach(|| lock(&self.state).feed(&copy))?,
                None => with_bytes(data, |bytes| lock(&self.state).feed(bytes))??,
            },
        }
        self.take(data.py())
    }

    fn finish(&self, py: Python<'_>) -> PyResult<Vec<MediaFrame>> {
        let finished = {
            let mut state = lock(&self.state);
            let finished = state.demuxer.finish();
            state.collect();
            finished
        };
        finished.map_err(from_pack)?;
        self.take(py)
    }

    #[pyo3(signature = (sizehint=None))]
    fn get_buffer(slf: Bound<'_, Self>, sizehint: Option<isize>) -> PyResult<Bound<'_, PyMemoryView>> {
        let _ = sizehint;
        PyMemoryView::from(&slf)
    }

    fn buffer_updated(&self, count: usize) -> PyResult<()> {
        if count > RECEIVE_BYTES {
            return Err(misuse(format!("{count} bytes do not fit into the buffer")));
        }
        let start = self.receive.0.as_ptr().cast::<u8>();
        // SAFETY: `count` is within the memory, which is initialised. The GIL is held, so no Python thread writes to it now; see
        // `Receive` for others.
        let bytes = unsafe { slice::from_raw_parts(start, count) };
        let mut state = lock(&self.state);
        state.feed(bytes)?;
        state.check_room()
    }

    fn send_to(&self, sink: &Bound<'_, PyAny>) -> PyResult<usize> {
        match sink.cast::<PublishSession>() {
            Ok(session) => self.send_to_native(session.get()),
            Err(_) => self.send_to_foreign(sink),
        }
    }

    #[getter]
    fn tracks(&self) -> Vec<track::Track> {
        lock(&self.state).tracks.tracks.iter().cloned().map(track::Track).collect()
    }

    #[getter]
    fn broken(&self) -> u64 {
        lock(&self.state).demuxer.left_out().count
    }

    #[getter]
    fn problem(&self) -> Option<String> {
        lock(&self.state).demuxer.left_out().last
    }

    /// Exports the receive buffer, writable.
    ///
    /// # Safety
    /// Called by the interpreter with a `view` that it owns.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let memory = &slf.get().receive.0;
        let lent = Lent { data: memory.as_ptr().cast(), len: memory.len(), read_only: false };
        // SAFETY: `view` is the interpreter's. The memory lives as long as this object and never moves; its cells may be written to.
        unsafe { export(&slf, &lent, view, flags) }
    }
}
