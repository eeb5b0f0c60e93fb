//! Messages of applications, on data channels (RFC 8831) that the peer opens.

use str0m::channel::ChannelId;

use super::{Session, WebRtcError};

/// Bytes of messages that wait for a peer; what is more is not sent. Stops viewers who take none.
pub(in crate::webrtc) const CHANNEL_BYTES_MAX: usize = 128 << 10;

/// Bytes of one message of a peer, as the answer says; a longer one ends its association. Stops messages that are put together without end.
/// No more than may wait for a viewer, whom it would never reach.
pub(super) const MESSAGE_BYTES_MAX: u32 = CHANNEL_BYTES_MAX as u32;

/// What is known of the channels of a session.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// The answer has a section for them.
    is_agreed: bool,
    /// The first one that is open: where messages to the peer go.
    open: Option<ChannelId>,
}

impl Channels {
    /// Those that an answer agrees to: it has a section for them that was not refused.
    pub(super) fn of(answer: &str) -> Self {
        let is_agreed =
            answer.lines().any(|line| line.starts_with("m=application ") && !line.starts_with("m=application 0 "));
        Self { is_agreed, open: None }
    }

    pub(super) fn opened(&mut self, id: ChannelId) {
        self.open.get_or_insert(id);
    }

    pub(super) fn closed(&mut self, id: ChannelId) {
        self.open = self.open.filter(|open| *open != id);
    }
}

impl Session {
    /// Whether the peer may send and be sent messages: its offer has a section for data channels.
    pub fn has_channels(&self) -> bool {
        self.channels.is_agreed
    }

    /// Sends a message on the first channel that the peer has opened: as text where it is UTF-8, else as bytes. False when it is not sent:
    /// there is none, or what waits for the peer already leaves no room.
    ///
    /// # Errors
    /// As [`Self::handle_datagram`].
    pub fn send_message(&mut self, message: &[u8]) -> Result<bool, WebRtcError> {
        let Some(id) = self.channels.open else { return Ok(false) };
        self.is_stirred = true;
        let is_binary = std::str::from_utf8(message).is_err();
        self.guarded("writing a message", |rtc| {
            // What this peer does not take, or no longer, is not sent to it. Its media go on.
            Ok(rtc.channel(id).is_some_and(|mut channel| channel.write(is_binary, message).unwrap_or(false)))
        })
    }
}
