//! One stream as the registry knows it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arcly_bus::{Log, StreamKey};

use crate::{Rates, lock, rates::Meter};

/// Who publishes, for people and for the API.
#[derive(Debug, Clone, Default)]
pub struct PublishInfo {
    /// The protocol's name: `rtmp`, `file`, `python`.
    pub protocol: String,
    /// The peer's address, `192.0.2.1:51234`; `None` for a publisher in this process.
    pub peer: Option<String>,
}

/// Where a stream is in its life.
///
/// ```text
/// Publishing ──publisher gone, within the grace time──▶ Idle ──publisher back──▶ Publishing
///      └────────────── publisher gone, ended, reaped ────┴──▶ Ended
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamState {
    /// Somebody publishes it.
    Publishing = 0,
    /// Its publisher is gone and may come back.
    Idle = 1,
    /// It is over.
    Ended = 2,
}

/// A stream that is being published, or was.
pub struct Stream {
    pub(crate) key: StreamKey,
    pub(crate) log: Arc<Log>,
    /// Of the present publisher, or the last one.
    info: Mutex<PublishInfo>,
    started_unix_ms: u64,
    session: u64,
    state: AtomicU8,
    meter: Mutex<Meter>,
}

impl Stream {
    pub(crate) fn new(key: StreamKey, log: Arc<Log>, info: PublishInfo, started_unix_ms: u64, session: u64) -> Self {
        let (info, state, meter) = (Mutex::new(info), AtomicU8::new(0), Mutex::default());
        Self { key, log, info, started_unix_ms, session, state, meter }
    }

    /// Its name.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// Its frames.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Who publishes it.
    pub fn info(&self) -> PublishInfo {
        lock(&self.info).clone()
    }

    /// When it began, in milliseconds of Unix time.
    pub fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    /// Which stream of this engine it is, counted from 1: two streams of one key differ in it.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Where it is in its life.
    pub fn state(&self) -> StreamState {
        match self.state.load(Ordering::Acquire) {
            0 => StreamState::Publishing,
            1 => StreamState::Idle,
            _ => StreamState::Ended,
        }
    }

    /// What it carried in the last seconds, as of the last [`crate::Engine::measure`].
    pub fn rates(&self) -> Rates {
        lock(&self.meter).rates
    }

    pub(crate) fn set_info(&self, info: PublishInfo) {
        *lock(&self.info) = info;
    }

    /// An end is final: whoever comes later changes nothing.
    pub(crate) fn enter(&self, state: StreamState) {
        let change = |now| (now != StreamState::Ended as u8).then_some(state as u8);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// Samples the counters; how long no frame has come.
    pub(crate) fn measure(&self, now: Duration) -> Duration {
        lock(&self.meter).sample(now, self.log.counters())
    }
}
