//! The answer to PLAY, which says where in their streams the tracks begin (RFC 2326 §12.33).

use bytes::Bytes;

use crate::rtsp::{Response, message::Headers, url::control_uri};

/// Where a track begins for a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track, by its place in the description.
    pub media: usize,
    /// Sequence number of the first packet.
    pub sequence: u16,
    /// The time of the moment at which the play begins, the same for all tracks: near that of the first packet.
    pub timestamp: u32,
}

/// An answer that is not complete: whoever sends the packets knows which is the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayAnswer {
    pub(super) headers: Headers,
    /// `Content-Base` of the description.
    pub(super) base: String,
    /// The play goes on behind a pause.
    pub is_resumed: bool,
}

impl PlayAnswer {
    /// The bytes. Tracks of which nobody knows where they begin are left out.
    pub fn write(self, infos: &[RtpInfo]) -> Bytes {
        let mut response = Response { headers: self.headers, ..Response::new(200) };
        let places = infos.iter().map(|RtpInfo { media, sequence, timestamp }| {
            let url = control_uri(&self.base, &super::control_of(*media));
            format!("url={url};seq={sequence};rtptime={timestamp}")
        });
        let places = places.collect::<Vec<_>>().join(",");
        if !places.is_empty() {
            response = response.with("RTP-Info", places);
        }
        response.write()
    }
}
