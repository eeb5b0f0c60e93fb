//! Bytes across the border, both ways, through the buffer protocol (PEP 3118).

use std::{ffi::c_int, mem::MaybeUninit, os::raw::c_void, ptr, slice};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyBytes};

/// Calls `body` with the bytes of any object that has a contiguous buffer. `body` must not run Python.
pub fn with_bytes<T>(data: &Bound<'_, PyAny>, body: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(body(bytes.as_bytes()));
    }
    let mut view = MaybeUninit::<ffi::Py_buffer>::uninit();
    // SAFETY: the GIL is held (`data`), and `view` is memory for one view. Without flags the exporter gives contiguous bytes or fails.
    let failed = unsafe { ffi::PyObject_GetBuffer(data.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE) } != 0;
    if failed {
        return Err(PyErr::fetch(data.py()));
    }
    // SAFETY: filled in by the successful call. It stays where it is until it is released.
    let view = unsafe { view.assume_init_mut() };
    let bytes = match usize::try_from(view.len) {
        Ok(len) if len > 0 && !view.buf.is_null() => {
            // SAFETY: the exporter keeps `len` bytes at `buf` until the release below. Nobody writes to them meanwhile: Python
            // code does not run, for the GIL is held, and who writes to an exported buffer without it breaks PEP 3118's rules.
            unsafe { slice::from_raw_parts(view.buf.cast::<u8>(), len) }
        }
        _ => &[],
    };
    let result = body(bytes);
    // SAFETY: released once, with the GIL held; `bytes` is not used any more.
    unsafe { ffi::PyBuffer_Release(view) };
    Ok(result)
}

/// Memory that `owner` lends to a view.
pub struct Lent {
    pub data: *const u8,
    pub len: usize,
    pub read_only: bool,
}

/// Fills in `view`, which then holds a reference to `owner`.
///
/// # Safety
/// `view` is null or the interpreter's. `lent` is valid as long as `owner` lives, and is written to through the view only if it says so.
pub unsafe fn export(owner: &Bound<'_, PyAny>, lent: &Lent, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("the view is null"));
    }
    let data = lent.data.cast::<c_void>().cast_mut();
    // SAFETY: `view` is not null; the rest is the caller's promise. FillInfo puts a strong reference to `owner` into the view.
    let result =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), data, lent.len as isize, lent.read_only.into(), flags) };
    if result == 0 {
        return Ok(());
    }
    // SAFETY: as above; a failed export must leave no object behind.
    unsafe { (*view).obj = ptr::null_mut() };
    Err(PyErr::fetch(owner.py()))
}
