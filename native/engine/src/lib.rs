//! The bundled implementation of the registries: which streams there are, who may start one, and what happened.
//!
//! Knows no runtime and no time of day: the host passes the wall clock in [`EngineOptions`] and calls [`Engine::measure`] about
//! once a second, which also ends what has been idle or waited for too long.

mod app;
mod engine;
mod events;
mod qos;
mod stream;

pub use app::{AppSpec, SecondPublisher};
pub use engine::{Engine, EngineError, EngineOptions};
pub use events::{EventQueue, StreamEvent, StreamEventKind};
pub use qos::Qos;
pub use stream::{PublishInfo, Stream, StreamMetadata, StreamState};

/// A panic elsewhere must not make a registry unusable: its data are changed by single statements that leave it whole.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
