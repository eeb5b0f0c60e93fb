//! A passphrase that the host sets on a request, for protocols that encrypt with one.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// What whoever asks must know. Shared with the listener, which looks at it when the request is answered.
#[derive(Clone, Default)]
pub struct Secret(Arc<OnceLock<Option<String>>>);

impl Secret {
    /// Demands a passphrase, or none. Only the first word counts.
    pub fn demand(&self, passphrase: Option<String>) {
        let _ = self.0.set(passphrase);
    }

    /// What was said; nothing when the host leaves it to the listener's options.
    pub(crate) fn demanded(&self) -> Option<&Option<String>> {
        self.0.get()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
