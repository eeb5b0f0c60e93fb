//! Events of an engine, as plain tuples that `arcly.engine` turns into `StreamEvent`.

use std::sync::Arc;

use arcly_engine::StreamEventKind;
use pyo3::prelude::*;

use crate::{key::StreamKey, track::Track};

/// See `_native.pyi`.
#[pyclass(frozen, module = "arcly._native")]
pub struct EventQueue(pub Arc<arcly_engine::EventQueue>);

/// Kind, key, Unix time in ms, reason, tracks.
type EventTuple = (&'static str, StreamKey, u64, Option<String>, Option<Vec<Track>>);

#[pymethods]
impl EventQueue {
    fn pop(&self) -> Option<EventTuple> {
        let event = self.0.pop()?;
        let (kind, reason, tracks) = match event.kind {
            StreamEventKind::PublishStarted => ("publish_started", None, None),
            StreamEventKind::TracksChanged(tracks) => {
                ("tracks_changed", None, Some(tracks.tracks.iter().cloned().map(Track).collect()))
            }
            StreamEventKind::PublishInterrupted { reason } => ("publish_interrupted", Some(reason), None),
            StreamEventKind::PublishResumed => ("publish_resumed", None, None),
            StreamEventKind::PublishEnded { reason } => ("publish_ended", Some(reason), None),
            StreamEventKind::SubscriberLagged { missed } => {
                ("subscriber_lagged", Some(format!("{missed} frames")), None)
            }
            StreamEventKind::SubscriberEvicted { missed } => {
                ("subscriber_evicted", Some(format!("{missed} frames in all")), None)
            }
            StreamEventKind::GopTruncated => ("gop_truncated", None, None),
            _ => ("unknown", None, None),
        };
        Some((kind, StreamKey(event.key), event.at_unix_ms, reason, tracks))
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}
