//! Applications: how the streams of one name behave.

use std::time::Duration;

use arcly_bus::LogBounds;

/// How the streams of an application behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppSpec {
    /// What each stream keeps, and how far a reader may fall behind.
    pub bounds: LogBounds,
    /// What happens to a publisher that asks for a key which is taken. Default: it is refused.
    pub second_publisher: SecondPublisher,
    /// How long a stream outlives its publisher. Its readers stay, and a publisher that comes back meanwhile goes on in the same
    /// stream, behind a discontinuity. Default zero: a stream ends with its publisher.
    pub reconnect_grace: Duration,
    /// A publisher that sends no frame for so long is disconnected. Default none: it may pause for ever.
    pub idle_timeout: Option<Duration>,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            bounds: LogBounds::default(),
            second_publisher: SecondPublisher::Refuse,
            reconnect_grace: Duration::ZERO,
            idle_timeout: None,
        }
    }
}

/// What happens to a publisher that asks for a key which is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It is refused: the first one stays.
    Refuse,
    /// It takes over: the stream of the first one ends.
    Replace,
}
