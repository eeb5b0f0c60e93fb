//! What is done about faults of str0m.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::WebRtcError;

/// A panic below us is a bug, but not one that the process should end for.
pub(super) fn guard<T>(doing: &'static str, call: impl FnOnce() -> T) -> Result<T, WebRtcError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| WebRtcError::Bug(doing))
}

/// The text of an error of str0m, which may quote the peer, as something to log.
pub(super) fn plain(text: &str) -> WebRtcError {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    WebRtcError::malformed(shown)
}
