//! Where a remote is: as the host gave it, or where it has sent us.

use std::time::{Duration, Instant};

use super::RemoteUrl;

/// How long another place is tried before the first one is again: who publishes there may come behind those who play.
const TRIED: Duration = Duration::from_secs(5);

pub(super) struct Place {
    /// As the host gave it.
    home: RemoteUrl,
    /// Where it is now.
    pub(super) url: RemoteUrl,
    /// When the remote sent us there.
    sent_at: Option<Instant>,
}

impl Place {
    pub(super) fn new(home: RemoteUrl) -> Self {
        Self { url: home.clone(), home, sent_at: None }
    }

    /// The remote asks to be called there (`NetConnection.Connect.ReconnectRequest`).
    pub(super) fn move_to(&mut self, tc_url: &str) -> Result<(), String> {
        self.url = self.url.moved(tc_url)?;
        self.sent_at = Some(Instant::now());
        Ok(())
    }

    /// A connection has failed.
    pub(super) fn fail(&mut self) {
        if self.sent_at.is_none_or(|at| at.elapsed() >= TRIED) {
            (self.url, self.sent_at) = (self.home.clone(), None);
        }
    }
}
