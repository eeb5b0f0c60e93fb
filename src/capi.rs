//! The C API: a versioned table of functions in the capsule `arcly._native._C_API`, declared in `arcly/include/arcly.h`.
//!
//! Looking an object up needs the GIL; publishing and reading do not. This file is `unsafe` by nature: it turns pointers of C
//! callers into references. What the callers owe is in the header, and at each block.

use std::{ffi::CStr, mem, os::raw::c_int, ptr, slice};

use arcly_bus::{BusError, Frame, FrameFlags, Read, TrackId};
use bytes::Bytes;
use pyo3::{PyClass, exceptions::PyTypeError, ffi, prelude::*};

use crate::{lock, session::PublishSession, subscription::Cursor};

const VERSION: u32 = 1;
const NAME: &CStr = c"arcly._native._C_API";

const OK: c_int = 0;
const EMPTY: c_int = 1;
const ENDED: c_int = 2;
const CLOSED: c_int = -1;
const UNKNOWN_TRACK: c_int = -2;
const TOO_LARGE: c_int = -3;
const INVALID: c_int = -4;

/// `arcly_frame` of the header.
#[repr(C)]
pub struct CFrame {
    pts: i64,
    dts: i64,
    data: *const u8,
    size: usize,
    owner: *mut Bytes,
    duration: u32,
    track: u8,
    flags: u8,
}

/// `arcly_c_api` of the header.
#[repr(C)]
struct Api {
    version: u32,
    size: u32,
    session: unsafe extern "C" fn(*mut ffi::PyObject) -> *const PublishSession,
    cursor: unsafe extern "C" fn(*mut ffi::PyObject) -> *const Cursor,
    publish: unsafe extern "C" fn(*const PublishSession, *const CFrame) -> c_int,
    read: unsafe extern "C" fn(*const Cursor, *mut CFrame) -> c_int,
    release: unsafe extern "C" fn(*mut CFrame),
}

static API: Api = Api { version: VERSION, size: mem::size_of::<Api>() as u32, session, cursor, publish, read, release };

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let table = ptr::from_ref(&API).cast_mut().cast();
    // SAFETY: the GIL is held (`module`); table and name are static and never written; no destructor is needed.
    let capsule = unsafe { Bound::from_owned_ptr_or_err(module.py(), ffi::PyCapsule_New(table, NAME.as_ptr(), None))? };
    module.add("_C_API", capsule)
}

/// The Rust value inside `object`, alive as long as `object`; null with a TypeError set when it is something else.
///
/// # Safety
/// The GIL is held and `object` is a valid reference, as `arcly.h` demands.
unsafe fn inside<T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync>(
    object: *mut ffi::PyObject,
) -> *const T {
    // SAFETY: the caller holds the GIL.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the caller passes a valid object, or null, which `from_borrowed_ptr_or_opt` turns into None.
    let object = unsafe { Bound::from_borrowed_ptr_or_opt(py, object) };
    match object.as_ref().and_then(|object| object.cast::<T>().ok()) {
        // A frozen class never moves its value.
        Some(object) => ptr::from_ref(object.get()),
        None => {
            PyTypeError::new_err(format!("a {} is needed", std::any::type_name::<T>())).restore(py);
            ptr::null()
        }
    }
}

unsafe extern "C" fn session(object: *mut ffi::PyObject) -> *const PublishSession {
    // SAFETY: passed on to the caller, who reads the same demand in the header.
    unsafe { inside(object) }
}

unsafe extern "C" fn cursor(object: *mut ffi::PyObject) -> *const Cursor {
    // SAFETY: passed on to the caller, who reads the same demand in the header.
    unsafe { inside(object) }
}

unsafe extern "C" fn publish(session: *const PublishSession, frame: *const CFrame) -> c_int {
    // SAFETY: null, or from `session()` while its object lives, and a frame of the caller's; both only borrowed for this call.
    let (Some(session), Some(frame)) = (unsafe { session.as_ref() }, unsafe { frame.as_ref() }) else { return INVALID };
    let payload = match (frame.data.is_null(), frame.size) {
        (_, 0) => Bytes::new(),
        (true, _) => return INVALID,
        // SAFETY: the header demands `size` readable bytes at `data`.
        (false, size) => Bytes::copy_from_slice(unsafe { slice::from_raw_parts(frame.data, size) }),
    };
    let frame = Frame {
        track: TrackId(frame.track),
        flags: FrameFlags::from_bits(frame.flags),
        pts: frame.pts,
        dts: frame.dts,
        duration: frame.duration,
        payload,
    };
    match lock(&session.publisher).as_mut().map(|publisher| publisher.publish(frame)) {
        Some(Ok(())) => OK,
        None | Some(Err(BusError::Closed)) => CLOSED,
        Some(Err(BusError::UnknownTrack { .. })) => UNKNOWN_TRACK,
        Some(Err(_)) => TOO_LARGE,
    }
}

unsafe extern "C" fn read(cursor: *const Cursor, out: *mut CFrame) -> c_int {
    // SAFETY: null, or from `cursor()` while its object lives, and memory of the caller's for one frame; borrowed for this call.
    let (Some(cursor), Some(out)) = (unsafe { cursor.as_ref() }, unsafe { out.as_mut() }) else { return INVALID };
    match lock(&cursor.inner).read(1) {
        Read::Frames(batch) => {
            let Some(frame) = batch.frames.first() else { return EMPTY };
            let broken = if batch.discontinuity { FrameFlags::DISCONTINUITY } else { FrameFlags::NONE };
            *out = CFrame {
                pts: frame.pts,
                dts: frame.dts,
                data: frame.payload.as_ptr(),
                size: frame.payload.len(),
                owner: Box::into_raw(Box::new(frame.payload.clone())),
                duration: frame.duration,
                track: frame.track.0,
                flags: frame.flags.with(broken).bits(),
            };
            OK
        }
        Read::Empty => EMPTY,
        Read::Ended | Read::Evicted => ENDED,
    }
}

unsafe extern "C" fn release(frame: *mut CFrame) {
    // SAFETY: null, or a frame of the caller's.
    let Some(frame) = (unsafe { frame.as_mut() }) else { return };
    let owner = mem::replace(&mut frame.owner, ptr::null_mut());
    frame.data = ptr::null();
    frame.size = 0;
    if !owner.is_null() {
        // SAFETY: `owner` was made by Box::into_raw in `read`, and was just taken out, so it is freed once.
        drop(unsafe { Box::from_raw(owner) });
    }
}
