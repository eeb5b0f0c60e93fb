//! What a client wants, and what it is told.

use super::super::{Capabilities, Media};

/// What a client wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUse {
    /// To send a stream.
    Publish,
    /// To be sent a stream.
    Play,
}

/// Where a client goes, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The application, with its query: `live`, `live/inst?token=x`.
    pub app: String,
    /// The URL up to the application, as dialled: `rtmp://host/live`.
    pub tc_url: String,
    /// The stream's name, with its query.
    pub stream: String,
    /// What for.
    pub purpose: ClientUse,
}

/// Something that the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// `connect` was accepted by a server that can do this of Enhanced RTMP.
    Connected(Capabilities),
    /// The publish or play was accepted: media may be sent, or will come.
    Started,
    /// Media of our play.
    Media(Media),
    /// The server refused, or the stream is over: nothing more will come. Close the connection.
    Ended {
        /// `NetStream.Publish.BadName`, `NetConnection.Connect.Rejected`; may be empty.
        code: String,
        /// For a person; may be empty.
        description: String,
        /// Whether that was a refusal or a failure, and not an end in order.
        is_error: bool,
    },
    /// The server asks us to come again, while it goes on for some time (Enhanced RTMP v2).
    ReconnectRequest {
        /// Where; empty is where we are.
        tc_url: String,
        /// For a person; may be empty.
        description: String,
    },
}
