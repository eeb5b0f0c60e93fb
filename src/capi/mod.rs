//! The C API: a versioned table of functions in the capsule `arcly._native._C_API`, declared in `arcly/include/arcly.h`.
//!
//! Taking the native part out of a Python object needs the GIL; everything else does not. This folder is `unsafe` by nature: it
//! turns pointers of C callers into references. What the callers owe is in the header, and at each block.
//!
//! - `object`: from Python objects to native pointers;
//! - `stream`: looking streams up, subscribing, starting to publish;
//! - `frame`: publishing and reading one frame;
//! - `batch`: reading many.

mod batch;
mod frame;
mod object;
mod stream;

use std::{
    ffi::CStr,
    mem,
    os::raw::{c_char, c_int},
    ptr,
};

use arcly_bus::BusError;
use arcly_engine::EngineError;
use pyo3::{ffi, prelude::*};

use crate::{engine::Engine, session::PublishSession, stream::StreamHandle, subscription::Cursor};
use batch::Batch;
use frame::CFrame;
use stream::CTrack;

const VERSION: u32 = 1;
const NAME: &CStr = c"arcly._native._C_API";

const OK: c_int = 0;
const EMPTY: c_int = 1;
const ENDED: c_int = 2;
const CLOSED: c_int = -1;
const UNKNOWN_TRACK: c_int = -2;
const TOO_LARGE: c_int = -3;
const INVALID: c_int = -4;
const NOT_FOUND: c_int = -5;
const TAKEN: c_int = -6;
const LIMIT: c_int = -7;

/// `arcly_c_api` of the header, field by field.
#[repr(C)]
struct Api {
    version: u32,
    size: u32,
    engine: unsafe extern "C" fn(*mut ffi::PyObject) -> *const Engine,
    stream: unsafe extern "C" fn(*mut ffi::PyObject) -> *const StreamHandle,
    session: unsafe extern "C" fn(*mut ffi::PyObject) -> *const PublishSession,
    cursor: unsafe extern "C" fn(*mut ffi::PyObject) -> *const Cursor,
    find_stream: unsafe extern "C" fn(*const Engine, *const c_char, *const c_char) -> *mut StreamHandle,
    free_stream: unsafe extern "C" fn(*mut StreamHandle),
    subscribe: unsafe extern "C" fn(*const StreamHandle, *const c_char, i64) -> *mut Cursor,
    free_cursor: unsafe extern "C" fn(*mut Cursor),
    start_publish: unsafe extern "C" fn(
        *const Engine,
        *const c_char,
        *const c_char,
        *const c_char,
        *mut *mut PublishSession,
    ) -> c_int,
    free_session: unsafe extern "C" fn(*mut PublishSession),
    set_tracks: unsafe extern "C" fn(*const PublishSession, *const CTrack, usize) -> c_int,
    publish: unsafe extern "C" fn(*const PublishSession, *const CFrame) -> c_int,
    read: unsafe extern "C" fn(*const Cursor, *mut CFrame) -> c_int,
    release: unsafe extern "C" fn(*mut CFrame),
    new_batch: extern "C" fn() -> *mut Batch,
    free_batch: unsafe extern "C" fn(*mut Batch),
    read_batch: unsafe extern "C" fn(*const Cursor, *mut Batch, usize) -> c_int,
    wait: unsafe extern "C" fn(*const Cursor, i64) -> c_int,
    missed: unsafe extern "C" fn(*const Cursor) -> u64,
}

static API: Api = Api {
    version: VERSION,
    size: mem::size_of::<Api>() as u32,
    engine: object::engine,
    stream: object::stream,
    session: object::session,
    cursor: object::cursor,
    find_stream: stream::find,
    free_stream: stream::free::<StreamHandle>,
    subscribe: stream::subscribe,
    free_cursor: stream::free::<Cursor>,
    start_publish: stream::start_publish,
    free_session: stream::free::<PublishSession>,
    set_tracks: stream::set_tracks,
    publish: frame::publish,
    read: frame::read,
    release: frame::release,
    new_batch: batch::new,
    free_batch: stream::free::<Batch>,
    read_batch: batch::read,
    wait: batch::wait,
    missed: batch::missed,
};

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let table = ptr::from_ref(&API).cast_mut().cast();
    // SAFETY: the GIL is held (`module`); table and name are static and never written; no destructor is needed.
    let capsule = unsafe { Bound::from_owned_ptr_or_err(module.py(), ffi::PyCapsule_New(table, NAME.as_ptr(), None))? };
    module.add("_C_API", capsule)
}

fn from_bus(error: &BusError) -> c_int {
    match error {
        BusError::Closed => CLOSED,
        BusError::UnknownTrack { .. } => UNKNOWN_TRACK,
        _ => TOO_LARGE,
    }
}

fn from_engine(error: &EngineError) -> c_int {
    match error {
        EngineError::AppNotFound { .. } => NOT_FOUND,
        EngineError::AlreadyPublishing { .. } => TAKEN,
        EngineError::PublisherLimit { .. } => LIMIT,
        _ => CLOSED,
    }
}
