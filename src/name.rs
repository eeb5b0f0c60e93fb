//! Names of kinds and codecs as Python strings, each made once.

use arcly_codec::{Codec, MediaKind};
use pyo3::{intern, prelude::*, sync::PyOnceLock, types::PyString};

pub fn of_kind(py: Python<'_>, kind: MediaKind) -> &Bound<'_, PyString> {
    match kind {
        MediaKind::Video => intern!(py, "video"),
        MediaKind::Audio => intern!(py, "audio"),
        _ => intern!(py, "data"),
    }
}

pub fn of_codec(py: Python<'_>, codec: Codec) -> &Bound<'_, PyString> {
    static NAMES: [PyOnceLock<Py<PyString>>; Codec::ALL.len()] = [const { PyOnceLock::new() }; Codec::ALL.len()];
    let make = || PyString::intern(py, codec.name()).unbind();
    match NAMES.get(codec as usize) {
        Some(name) => name.get_or_init(py, make).bind(py),
        None => intern!(py, "unknown"),
    }
}
