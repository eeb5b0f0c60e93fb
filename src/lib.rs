//! The Python face of the native core: translate, never decide. One file per Python noun.
//!
//! Rules of the border:
//! - Threads of the runtime never run Python and never take the GIL; they leave something in a queue and wake the event loop
//!   through its [`hub::LoopHub`].
//! - No lock in here is held while the GIL is taken or given back.
//! - Classes are frozen; what changes inside them sits behind a lock or an atomic.

mod arguments;
mod awaiting;
mod buffer;
mod capi;
mod egress;
mod engine;
mod error;
mod event;
mod file;
mod frame;
mod hls;
mod http;
mod hub;
mod inbox;
mod key;
mod link;
mod media;
mod name;
mod park;
mod payload;
mod record;
mod rtmp;
mod rtsp;
mod session;
mod srt;
mod stream;
mod subscription;
mod tls;
mod track;
mod vod;
mod webrtc;

use pyo3::prelude::*;

/// The native core of arcly.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{
        engine::Engine,
        event::EventQueue,
        file::FilePlayer,
        frame::MediaFrame,
        hls::{HlsOutput, Spill},
        http::{HttpExchange, HttpListener, HttpSite, Origin},
        hub::{LoopHub, WakeToken},
        inbox::{Inbox, PlayRequest, PublishRequest},
        key::StreamKey,
        link::{Pull, Push, RemoteTarget},
        media::{CodecInfo, Demuxer, MediaReader, Muxer, config_from_frame, inspect, sniff},
        record::{
            Recording, finalize_recording, fits_recording, is_own_recording, make_whole, measure_recording,
            recording_path,
        },
        rtmp::RtmpListener,
        rtsp::RtspListener,
        session::PublishSession,
        srt::SrtListener,
        stream::StreamHandle,
        subscription::Cursor,
        tls::TlsIdentity,
        track::Track,
        vod::{Clip, Outline, Remuxed, Vod, pack_outline},
        webrtc::{WebRtcReply, WebRtcTransport},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::error::add_to(module)?;
        super::capi::add_to(module)
    }
}

/// For locks whose data are whole between any two statements, so that a panic elsewhere does not matter to them.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The same for what is held while Python objects are made: who waits does so without the GIL, which a collection of garbage may hand over
/// meanwhile.
fn lock_attached<'a, T>(py: pyo3::Python<'_>, mutex: &'a std::sync::Mutex<T>) -> std::sync::MutexGuard<'a, T> {
    pyo3::sync::MutexExt::lock_py_attached(mutex, py).unwrap_or_else(std::sync::PoisonError::into_inner)
}
