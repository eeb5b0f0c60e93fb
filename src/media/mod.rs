//! Containers and configurations as Python objects: bytes to frames, frames to bytes, records to facts.

mod demuxer;
mod facts;
mod muxer;
mod reader;

pub use demuxer::Demuxer;
pub use facts::{CodecInfo, codec, config_from_frame, inspect};
pub use muxer::Muxer;
pub use reader::{MediaReader, sniff};

use arcly_pack::{PackError, container::Container};
use pyo3::prelude::*;

use crate::error::{LimitExceededError, MalformedError, UnsupportedError, misuse};

/// Input from which on the GIL is worth giving up while it is worked on.
const GIL_FREE_BYTES: usize = 4 << 10;

/// Calls `work`, which goes through so many bytes: without the GIL, where that takes longer than to give it up.
fn work_on<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < GIL_FREE_BYTES { work() } else { py.detach(work) }
}

fn container(format: &str) -> PyResult<Container> {
    format.parse().map_err(|_| {
        let known = Container::ALL.map(Container::name).join(", ");
        misuse(format!("unknown format {format:?}; known are {known}"))
    })
}

pub fn from_pack(error: PackError) -> PyErr {
    let text = error.to_string();
    match error {
        PackError::Malformed { .. } => MalformedError::new_err(text),
        PackError::LimitExceeded { .. } => LimitExceededError::new_err(text),
        PackError::Misuse { .. } => misuse(text),
        _ => UnsupportedError::new_err(text),
    }
}
