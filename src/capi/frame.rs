//! Publishing and reading one frame. Without the GIL.

use std::{mem, os::raw::c_int, ptr, slice};

use arcly_bus::{Frame, FrameFlags};
use bytes::Bytes;

use super::{EMPTY, ENDED, INVALID, OK, from_bus};
use crate::{
    session::{Header, PublishSession},
    subscription::{Cursor, Look},
};

/// `arcly_frame` of the header.
#[repr(C)]
pub struct CFrame {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) data: *const u8,
    pub(super) size: usize,
    owner: Owner,
    pub(super) duration: u32,
    pub(super) track: u8,
    pub(super) flags: u8,
    /// Whether `owner` holds something.
    owned: u8,
}

/// What keeps the data of a read frame alive: a `Bytes`, so that reading allocates nothing.
#[repr(C)]
struct Owner(mem::MaybeUninit<Bytes>);

/// A `Bytes` as it lies in memory.
type Words = [mem::MaybeUninit<*const u8>; 4];

const _: () = assert!(mem::size_of::<Owner>() == 32 && mem::align_of::<Owner>() == 8, "arcly.h: uint64_t owner[4]");

impl Owner {
    /// Moves `payload` there. Word by word, as `Bytes::clone` has just written it: a move of 16 bytes at a time would have to wait until
    /// those stores are out of the store buffer, 3 ns.
    ///
    /// # Safety
    /// `to` can be written to; what is there is not dropped.
    #[inline(always)]
    unsafe fn fill(to: *mut Self, payload: Bytes) {
        // SAFETY: of the same size, as is asserted above, and any bytes will do for a word that may be uninitialised.
        let words: Words = unsafe { mem::transmute(payload) };
        for (at, word) in words.into_iter().enumerate() {
            // SAFETY: the caller's promise; the four words are all of `Owner`, which is aligned as they are.
            unsafe { to.cast::<mem::MaybeUninit<*const u8>>().add(at).write_volatile(word) };
        }
    }
}

impl CFrame {
    /// A frame that does not own its data.
    pub(super) fn borrowed(frame: &Frame, discontinuity: bool) -> Self {
        let broken = if discontinuity { FrameFlags::DISCONTINUITY } else { FrameFlags::NONE };
        Self {
            pts: frame.pts,
            dts: frame.dts,
            data: frame.payload.as_ptr(),
            size: frame.payload.len(),
            owner: Owner(mem::MaybeUninit::uninit()),
            duration: frame.duration,
            track: frame.track.0,
            flags: frame.flags.with(broken).bits(),
            owned: 0,
        }
    }
}

pub unsafe extern "C" fn publish(session: *const PublishSession, frame: *const CFrame) -> c_int {
    // SAFETY: null, or from `session()` while its object lives or `start_publish()` and not freed.
    let Some(session) = (unsafe { session.as_ref() }) else { return INVALID };
    if frame.is_null() {
        return INVALID;
    }
    // SAFETY: a frame of the caller's, filled in but for `owner`; fields are read one by one because of that. The times are volatile
    // lest they become one load of 16 bytes, which would have to wait until the caller's two stores are out of the store buffer: 4 ns.
    let (data, size, header) = unsafe {
        let flags = FrameFlags::from_bits((*frame).flags);
        let (pts, dts) = ((&raw const (*frame).pts).read_volatile(), (&raw const (*frame).dts).read_volatile());
        let (track, duration) = ((*frame).track, (*frame).duration);
        ((*frame).data, (*frame).size, Header { track, flags, pts, dts, duration })
    };
    let bytes = match (data.is_null(), size) {
        (_, 0) => &[],
        (true, _) => return INVALID,
        // SAFETY: the header demands `size` readable bytes at `data`.
        (false, size) => unsafe { slice::from_raw_parts(data, size) },
    };
    session.publish_copy(header, bytes).map_or_else(|error| from_bus(&error), |()| OK)
}

pub unsafe extern "C" fn read(cursor: *const Cursor, out: *mut CFrame) -> c_int {
    // SAFETY: null, or from `cursor()` while its object lives or `subscribe()` and not freed.
    let Some(cursor) = (unsafe { cursor.as_ref() }) else { return INVALID };
    if out.is_null() {
        return INVALID;
    }
    let look = cursor.look_once(1, |batch| {
        let Some(frame) = batch.frames.first() else { return };
        // SAFETY: memory of the caller's for one frame, which may hold anything: it is written over, not dropped.
        unsafe {
            out.write(CFrame::borrowed(frame, batch.discontinuity));
            Owner::fill(&raw mut (*out).owner, frame.payload.clone());
            (*out).owned = 1;
        }
    });
    match look {
        Look::Frames(_) => OK,
        Look::Empty => EMPTY,
        Look::Ended => ENDED,
    }
}

pub unsafe extern "C" fn release(frame: *mut CFrame) {
    // SAFETY: null, or a frame of the caller's that `read` has filled in.
    let Some(frame) = (unsafe { frame.as_mut() }) else { return };
    frame.data = ptr::null();
    frame.size = 0;
    if mem::take(&mut frame.owned) != 0 {
        // SAFETY: `owned` says that `read` has put a value there; it was just cleared, so the value is dropped once.
        unsafe { frame.owner.0.assume_init_drop() };
    }
}
