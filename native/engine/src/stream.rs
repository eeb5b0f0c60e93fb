//! One stream as the registry knows it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arcly_bus::{Log, StreamKey, Track};
use arcly_codec::MediaKind;

use crate::{Qos, lock, qos::Meter};

/// Who publishes, for people and for the API.
#[derive(Debug, Clone, Default)]
pub struct PublishInfo {
    /// The protocol's name: `rtmp`, `file`, `python`.
    pub protocol: String,
    /// The peer's address, `192.0.2.1:51234`; `None` for a publisher in this process.
    pub peer: Option<String>,
    /// What the sender calls itself: `FMLE/3.0 (compatible; Lavf59.27.100)`. The peer's words: for people, never for decisions.
    pub agent: Option<String>,
}

impl PublishInfo {
    /// Whether it is a stream of another node, as hosts mark it: whoever publishes here comes before it.
    pub(crate) fn is_mirror(&self) -> bool {
        self.protocol == "cluster"
    }
}

/// All that is known of a stream, for people and for the API.
#[derive(Debug, Clone, Default)]
pub struct StreamMetadata {
    /// Who publishes.
    pub info: PublishInfo,
    /// When it began, in milliseconds of Unix time.
    pub started_unix_ms: u64,
    /// Picture size of the first video track in luma samples, when it is known.
    pub size: Option<(u32, u32)>,
    /// Frames per second of the first video track as numerator and denominator, when the stream says it; what was measured is in
    /// [`Qos::frames_per_s`].
    pub frame_rate: Option<(u32, u32)>,
    /// The codec of each track as RFC 6381 writes it: `avc1.64001f`, `mp4a.40.2`.
    pub codecs: Vec<String>,
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

impl StreamState {
    /// Whether a stream may go from this state to `next`: see the picture above. To stay is no change.
    pub fn may_become(self, next: Self) -> bool {
        use StreamState::{Ended, Idle, Publishing};
        matches!((self, next), (Publishing, Idle | Ended) | (Idle, Publishing | Ended))
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Publishing,
            1 => Self::Idle,
            _ => Self::Ended,
        }
    }
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
        StreamState::from_number(self.state.load(Ordering::Acquire))
    }

    /// What it carried in the last seconds, as of the last [`crate::Engine::measure`].
    pub fn qos(&self) -> Qos {
        lock(&self.meter).qos
    }

    /// What is known of it now.
    pub fn metadata(&self) -> StreamMetadata {
        let tracks = self.log.tracks();
        let video = tracks.first(MediaKind::Video).and_then(|track| track.config.video());
        StreamMetadata {
            info: self.info(),
            started_unix_ms: self.started_unix_ms,
            size: video
                .as_ref()
                .map(|video| (video.width, video.height))
                .filter(|&(width, height)| width > 0 && height > 0),
            frame_rate: video.and_then(|video| video.frame_rate),
            codecs: tracks.tracks.iter().map(Track::rfc6381).collect(),
        }
    }

    pub(crate) fn set_info(&self, info: PublishInfo) {
        *lock(&self.info) = info;
    }

    /// A publisher goes on in it: what it may be silent for is counted from now.
    pub(crate) fn resume(&self, now: Duration) {
        self.enter(StreamState::Publishing);
        lock(&self.meter).touch(now);
    }

    /// Changes the state; false, and nothing is changed, where [`StreamState::may_become`] says so: an end is final, whoever comes later.
    pub(crate) fn enter(&self, state: StreamState) -> bool {
        let change = |now| StreamState::from_number(now).may_become(state).then_some(state as u8);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Samples the counters; how long no frame has come.
    pub(crate) fn measure(&self, now: Duration) -> Duration {
        lock(&self.meter).sample(now, self.log.counters())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arcly_bus::{LogBounds, LogWriter};

    use super::*;

    #[test]
    fn every_change_of_state_that_is_not_in_the_picture_is_refused() {
        use StreamState::{Ended, Idle, Publishing};
        let ways = [(Publishing, &[][..]), (Idle, &[Idle][..]), (Ended, &[Ended][..])];
        let allowed = [(Publishing, Idle), (Publishing, Ended), (Idle, Publishing), (Idle, Ended)];
        for (from, way) in ways {
            for to in [Publishing, Idle, Ended] {
                let writer = LogWriter::new(LogBounds::default(), Arc::new(()));
                let key = StreamKey::new("live", "cam").unwrap();
                let stream = Stream::new(key, writer.log().clone(), PublishInfo::default(), 0, 1);
                assert!(way.iter().all(|&state| stream.enter(state)));
                let may = allowed.contains(&(from, to));
                assert_eq!(
                    (stream.enter(to), stream.state()),
                    (may, if may { to } else { from }),
                    "{from:?} to {to:?}"
                );
            }
        }
    }
}
