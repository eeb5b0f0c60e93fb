//! The bundled implementation of the registries: which streams there are, who may start one, and what happened.
//!
//! Knows no runtime and no clock: the host passes the wall clock in [`EngineOptions`] and calls [`Engine::measure`] about
//! once a second.

mod engine;
mod events;
mod rates;

pub use engine::{Engine, EngineError, EngineOptions, PublishInfo, Stream};
pub use events::{EventQueue, StreamEvent, StreamEventKind};
pub use rates::Rates;
