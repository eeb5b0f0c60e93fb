//! Native parts of Python objects, borrowed from them. With the GIL.

use std::ptr;

use pyo3::{PyClass, exceptions::PyTypeError, ffi, prelude::*, pyclass::boolean_struct::True};

use crate::{engine::Engine, session::PublishSession, stream::StreamHandle, subscription::Cursor};

/// The Rust value inside `object`, or inside its attribute `part`; alive as long as `object`. Null with a TypeError set when it is
/// something else.
///
/// # Safety
/// The GIL is held and `object` is a valid reference or null, as `arcly.h` demands.
unsafe fn inside<T: PyClass<Frozen = True> + Sync>(object: *mut ffi::PyObject, part: &str) -> *const T {
    // SAFETY: the caller holds the GIL.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the caller passes a valid object, or null, which `from_borrowed_ptr_or_opt` turns into None.
    let object = unsafe { Bound::from_borrowed_ptr_or_opt(py, object) };
    let found = object.as_ref().and_then(|object| match object.cast::<T>() {
        Ok(native) => Some(ptr::from_ref(native.get())),
        // The classes of the package hold their native half for as long as they live.
        Err(_) => object.getattr(part).ok()?.cast::<T>().ok().map(|native| ptr::from_ref(native.get())),
    });
    found.unwrap_or_else(|| {
        let needed = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        PyTypeError::new_err(format!("an arcly {needed} is needed")).restore(py);
        ptr::null()
    })
}

pub unsafe extern "C" fn engine(object: *mut ffi::PyObject) -> *const Engine {
    // SAFETY: passed on to the caller, who reads the same demand in the header. So in the functions below.
    unsafe { inside(object, "native") }
}

pub unsafe extern "C" fn stream(object: *mut ffi::PyObject) -> *const StreamHandle {
    // SAFETY: as above.
    unsafe { inside(object, "native") }
}

pub unsafe extern "C" fn session(object: *mut ffi::PyObject) -> *const PublishSession {
    // SAFETY: as above.
    unsafe { inside(object, "native") }
}

pub unsafe extern "C" fn cursor(object: *mut ffi::PyObject) -> *const Cursor {
    // SAFETY: as above.
    unsafe { inside(object, "cursor") }
}
