//! Where the parts of a stream are read.

use std::sync::Arc;

use arcly_bus::Log;
use arcly_wire::webrtc::Lane;

/// What of a stream stands in other logs than its pictures: what was made of it for WebRTC has one of its own.
#[derive(Clone, Default)]
pub struct Apart {
    /// Its sound.
    pub sound: Option<Arc<Log>>,
    /// Its messages.
    pub messages: Option<Arc<Log>>,
}

impl Apart {
    /// All logs beside `log`, which is the first, and what of each is read.
    pub(super) fn beside<'a>(&'a self, log: &'a Arc<Log>) -> Vec<(&'a Arc<Log>, Vec<Lane>)> {
        let mut logs = vec![(log, vec![Lane::Video])];
        for (lane, other) in [(Lane::Audio, &self.sound), (Lane::Data, &self.messages)] {
            match (other, logs.first_mut()) {
                (Some(other), _) => logs.push((other, vec![lane])),
                (None, Some((_, lanes))) => lanes.push(lane),
                (None, None) => {}
            }
        }
        logs
    }
}
