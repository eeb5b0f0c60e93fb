//! The plugin, for a GStreamer that comes without it.

pub use plugin::*;
