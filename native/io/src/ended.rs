//! How a connection of a protocol ends, whichever protocol it is.

use std::{
    io::{
        self,
        ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof},
    },
    time::Duration,
};

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
    /// The peer left without a word: worth a line in the log, unless it is a player.
    Vanished(String),
    /// The peer broke the rules, or was silent for too long: worth a line in the log.
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
            Self::Vanished(text) | Self::Failed(text) => text.clone(),
            Self::Dismissed => "the server ended it".into(),
            Self::Stopped => "the server is shutting down".into(),
        }
    }

    /// The line in the log, where there is one. Players go without a word, with packets on their way to them: their systems answer these
    /// with a reset (RFC 9293 §3.10.7.1).
    pub(crate) fn warning(&self, is_player: bool) -> Option<&str> {
        match self {
            Self::Vanished(text) if !is_player => Some(text),
            Self::Failed(text) => Some(text),
            _ => None,
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        let text = format!("the connection broke: {error}");
        match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => Self::Vanished(text),
            _ => Self::Failed(text),
        }
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
