//! The log of a stream and its cursors: the hot path.
//!
//! A [`Publisher`] appends [`Frame`]s to the log of its stream; a [`Subscription`] is a cursor over that
//! log. Publishing takes no lock and does no work per subscriber; reading takes no lock and touches no
//! reference count per frame. No runtime, no I/O, no clock.
//!
//! ```text
//! Publisher ──▶ chunk 7 ─ chunk 8 ─ chunk 9        a chunk: up to 128 frames under one track set
//!                 ▲          ▲  random access point (where a new subscriber begins)
//!            Subscription (a chunk and an index)
//! ```
//!
//! - `chunk` holds frames and the only `unsafe` of this crate, proved in `tests/loom_log.rs`;
//! - `log` finds chunks by number and remembers the newest random access point;
//! - `writer` appends, bounds memory, repairs timestamps; `publisher` is whoever holds it; `subscription` reads and skips;
//! - `upstream` carries what readers ask of the publisher;
//! - `wake` tells waiting readers, one wake-up for each event loop or pump and not for each reader.

mod chunk;
mod error;
mod frame;
mod identity;
mod log;
mod observer;
mod publisher;
mod subscription;
mod sync;
mod timeline;
mod track;
mod upstream;
mod viewer;
mod wake;
mod writer;

pub use chunk::CHUNK_FRAMES;
pub use error::BusError;
pub use frame::{Entry, Frame, FrameFlags};
pub use identity::{NameError, StreamKey};
pub use log::{Counters, Log, LogBounds};
pub use observer::LogObserver;
pub use publisher::{Publisher, PublisherHooks};
pub use subscription::{Batch, Read, Subscription, SubscriptionOptions, TrackFilter};
pub use track::{Language, Track, TrackId, TrackSet};
pub use viewer::Viewer;
pub use wake::WakeSlot;
pub use writer::{LogWriter, Published};
