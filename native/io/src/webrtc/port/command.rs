//! What the host asks the port for.

use std::sync::Arc;

use arcly_bus::{Log, Publisher};
use arcly_wire::webrtc::{Answer, Fragment, Session};
use tokio::sync::oneshot;

use crate::webrtc::{
    OpenError,
    door::Place,
    from_bus::{Answered, Apart, BFrames},
    transport::Caller,
};

/// What the host wants.
pub(in crate::webrtc) enum Command {
    Open(Box<Opening>),
    Trickle {
        id: String,
        fragment: Fragment,
        /// The ICE session that is meant.
        ice: Option<String>,
        reply: oneshot::Sender<Result<Option<Answer>, OpenError>>,
    },
    /// What a viewer is sent: the rendition, and what its path carries, in bits per second.
    Layer {
        id: String,
        reply: oneshot::Sender<Option<(String, u64)>>,
    },
    Close {
        id: String,
        reply: oneshot::Sender<bool>,
    },
}

/// A session that begins.
pub(in crate::webrtc) struct Opening {
    pub(in crate::webrtc) id: String,
    pub(in crate::webrtc) user_name: String,
    pub(in crate::webrtc) session: Box<Session>,
    pub(in crate::webrtc) place: Place,
    pub(in crate::webrtc) caller: Caller,
    pub(in crate::webrtc) role: Role,
}

/// What it is for.
pub(in crate::webrtc) enum Role {
    Publish {
        publisher: Box<Publisher>,
        /// Of its other encodings, by their names.
        others: Vec<(String, Publisher)>,
    },
    Play {
        /// What was asked for, and other renditions of it, each with its name.
        renditions: Vec<(String, Arc<Log>)>,
        apart: Apart,
        answered: Answered,
        b_frames: BFrames,
    },
}
