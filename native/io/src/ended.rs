//! How a connection of a protocol ends, whichever protocol it is.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::tls::Connection;

/// How long, and for how many bytes, a peer that is sent away may go on sending.
const LINGER_DEADLINE: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 << 20;
const SCRATCH_BYTES: usize = 4096;

/// Why a connection ended.
pub(crate) enum End {
    /// The peer closed it, in order.
    Closed,
    /// The peer vanished or broke the rules: worth a line in the log.
    Failed(String),
    /// The peer was told why (a refusal, an end from our side), and has nothing left to do here.
    Dismissed,
    /// We stop.
    Stopped,
}

impl End {
    /// What the events of its streams say.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Closed => "the publisher disconnected".into(),
            Self::Failed(text) => text.clone(),
            Self::Dismissed => "the server ended it".into(),
            Self::Stopped => "the server is shutting down".into(),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("the connection broke: {error}"))
    }
}

/// Lets the peer read why it is sent away: a socket closed with unread input is reset, and a reset takes back what the peer has
/// not read yet (RFC 1122 §4.2.2.13).
pub(crate) async fn linger(stream: &mut Connection) {
    let mut left = LINGER_BYTES_MAX;
    // Not within the future, which is as large as this as long as the connection lives.
    let mut scratch = vec![0; SCRATCH_BYTES];
    let draining = async {
        stream.shutdown().await?;
        while left > 0 {
            match stream.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(LINGER_DEADLINE, draining).await;
}
