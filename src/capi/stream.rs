//! Looking streams up, subscribing, starting to publish. Without the GIL.

use std::{
    ffi::CStr,
    os::raw::{c_char, c_int},
    ptr, slice,
};

use arcly_bus::{StreamKey, SubscriptionOptions, Track, TrackFilter, TrackId};
use arcly_codec::{Codec, CodecConfig};
use arcly_engine::PublishInfo;
use bytes::Bytes;

use super::{INVALID, OK, from_bus, from_engine};
use crate::{
    engine::Engine,
    session::{PublishSession, repeated_id},
    stream::StreamHandle,
    subscription::Cursor,
};

/// `arcly_track` of the header.
#[repr(C)]
pub struct CTrack {
    pub(super) codec: *const c_char,
    pub(super) config: *const u8,
    pub(super) config_size: usize,
    pub(super) clock_rate_hz: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) sample_rate_hz: u32,
    pub(super) id: u8,
    pub(super) kind: u8,
    pub(super) channels: u8,
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null; the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// # Safety
/// Both are null or C strings.
unsafe fn key(app: *const c_char, stream: *const c_char) -> Option<StreamKey> {
    // SAFETY: the caller's promise.
    let (app, stream) = unsafe { (text(app)?, text(stream)?) };
    StreamKey::new(app, stream).ok()
}

pub unsafe extern "C" fn find(engine: *const Engine, app: *const c_char, stream: *const c_char) -> *mut StreamHandle {
    // SAFETY: null, or from `engine()` while its object lives; null or C strings, as the header demands.
    let (Some(engine), Some(key)) = (unsafe { engine.as_ref() }, unsafe { key(app, stream) }) else {
        return ptr::null_mut();
    };
    let found = engine.registry().stream(&key);
    found.map_or(ptr::null_mut(), |stream| Box::into_raw(Box::new(StreamHandle(stream))))
}

/// Gives back what the API has made.
pub unsafe extern "C" fn free<T>(made: *mut T) {
    if !made.is_null() {
        // SAFETY: made by Box::into_raw in this module or in `batch::new`; the header demands that it is freed once and not used after.
        drop(unsafe { Box::from_raw(made) });
    }
}

pub unsafe extern "C" fn subscribe(stream: *const StreamHandle, protocol: *const c_char, max_lag: i64) -> *mut Cursor {
    // SAFETY: null, or from `stream()` or `find_stream()` and not freed.
    let Some(stream) = (unsafe { stream.as_ref() }) else { return ptr::null_mut() };
    // SAFETY: null or a C string, as the header demands.
    let protocol = unsafe { text(protocol) }.unwrap_or("c");
    let max_lag = u64::try_from(max_lag).ok();
    let options = SubscriptionOptions { max_lag, tracks: TrackFilter::ALL, is_viewer: false };
    Box::into_raw(Box::new(Cursor::new(stream.0.log(), options, protocol)))
}

pub unsafe extern "C" fn start_publish(
    engine: *const Engine,
    app: *const c_char,
    stream: *const c_char,
    protocol: *const c_char,
    out: *mut *mut PublishSession,
) -> c_int {
    // SAFETY: null, or from `engine()` while its object lives; null or memory of the caller's for one pointer.
    let (Some(engine), Some(out)) = (unsafe { engine.as_ref() }, unsafe { out.as_mut() }) else { return INVALID };
    *out = ptr::null_mut();
    // SAFETY: null or C strings, as the header demands.
    let (Some(key), protocol) = (unsafe { key(app, stream) }, unsafe { text(protocol) }) else { return INVALID };
    let info = PublishInfo { protocol: protocol.unwrap_or("c").to_owned(), ..PublishInfo::default() };
    match engine.registry().start_publish(key, info) {
        Ok((publisher, stream)) => {
            *out = Box::into_raw(Box::new(PublishSession::new(publisher, stream)));
            OK
        }
        Err(error) => from_engine(&error),
    }
}

pub unsafe extern "C" fn set_tracks(session: *const PublishSession, tracks: *const CTrack, count: usize) -> c_int {
    // SAFETY: null, or from `session()` while its object lives or `start_publish()` and not freed.
    let Some(session) = (unsafe { session.as_ref() }) else { return INVALID };
    let tracks = match (tracks.is_null(), count) {
        (_, 0) => &[],
        (true, _) | (_, 257..) => return INVALID,
        // SAFETY: the header demands `count` tracks at `tracks`.
        (false, count) => unsafe { slice::from_raw_parts(tracks, count) },
    };
    // SAFETY: the header demands a C string and `config_size` bytes in each.
    let Some(tracks) = tracks.iter().map(|track| unsafe { parse(track) }).collect::<Option<Vec<_>>>() else {
        return INVALID;
    };
    if repeated_id(&tracks).is_some() {
        return INVALID;
    }
    session.replace_tracks(tracks).map_or_else(|error| from_bus(&error), |()| OK)
}

/// # Safety
/// `codec` is null or a C string, and `config_size` bytes are at `config` unless it is null.
unsafe fn parse(track: &CTrack) -> Option<Track> {
    // SAFETY: the caller's promise.
    let codec: Codec = unsafe { text(track.codec) }?.parse().ok()?;
    let record = match (track.config.is_null(), track.config_size) {
        (_, 0) => Bytes::new(),
        (true, _) => return None,
        // SAFETY: the caller's promise.
        (false, size) => Bytes::copy_from_slice(unsafe { slice::from_raw_parts(track.config, size) }),
    };
    Some(Track::new(TrackId(track.id), CodecConfig::parse(codec, record).ok()?))
}
