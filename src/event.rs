//! Events of an engine, as plain tuples that `arcly.engine` turns into `StreamEvent`.

use std::sync::Arc;

use arcly_engine::StreamEventKind;
use pyo3::prelude::*;

use crate::{error::misuse, key::StreamKey, track::Track};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct EventQueue(pub Arc<arcly_engine::EventQueue>);

/// Kind, key, Unix time in ms, reason, tracks.
type EventTuple = (&'static str, StreamKey, u64, Option<String>, Option<Vec<Track>>);

#[pymethods]
impl EventQueue {
    fn pop(&self) -> Option<EventTuple> {
        let event = self.0.pop()?;
        if let StreamEventKind::TracksChanged(tracks) = event.kind {
            let tracks = tracks.tracks.iter().cloned().map(Track).collect();
            return Some(("tracks_changed", StreamKey(event.key), event.at_unix_ms, None, Some(tracks)));
        }
        let (kind, reason) = describe(event.kind);
        Some((kind, StreamKey(event.key), event.at_unix_ms, reason, None))
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

fn describe(kind: StreamEventKind) -> (&'static str, Option<String>) {
    match kind {
        StreamEventKind::PublishStarted => ("publish_started", None),
        StreamEventKind::PublishInterrupted { reason } => ("publish_interrupted", Some(reason)),
        StreamEventKind::PublishResumed => ("publish_resumed", None),
        StreamEventKind::PublishEnded { reason } => ("publish_ended", Some(reason)),
        StreamEventKind::SubscriberJoined { protocol } => ("subscriber_joined", Some(protocol)),
        StreamEventKind::SubscriberLeft { protocol } => ("subscriber_left", Some(protocol)),
        StreamEventKind::SubscriberLagged { missed } => ("subscriber_lagged", Some(format!("{missed} frames"))),
        StreamEventKind::SubscriberEvicted { missed } => {
            ("subscriber_evicted", Some(format!("{missed} frames in all")))
        }
        StreamEventKind::GopTruncated => ("gop_truncated", None),
        StreamEventKind::RecordingStarted { detail } => ("recording_started", Some(detail)),
        StreamEventKind::RecordingEnded { detail } => ("recording_ended", Some(detail)),
        StreamEventKind::TranscodingStarted { detail } => ("transcoding_started", Some(detail)),
        StreamEventKind::TranscodingEnded { detail } => ("transcoding_ended", Some(detail)),
        StreamEventKind::Failed { detail } => ("failed", Some(detail)),
        _ => ("unknown", None),
    }
}

/// The kinds of which a host may tell; all others belong to the engine.
pub fn from_host(kind: &str, detail: String) -> PyResult<StreamEventKind> {
    match kind {
        "recording_started" => Ok(StreamEventKind::RecordingStarted { detail }),
        "recording_ended" => Ok(StreamEventKind::RecordingEnded { detail }),
        "transcoding_started" => Ok(StreamEventKind::TranscodingStarted { detail }),
        "transcoding_ended" => Ok(StreamEventKind::TranscodingEnded { detail }),
        "failed" => Ok(StreamEventKind::Failed { detail }),
        other => Err(misuse(format!("{other} is told by the engine alone"))),
    }
}
