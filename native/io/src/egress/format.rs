//! Frames to the bytes of a container.

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::{PackError, mpegts::TsMuxer};

/// A container that is written without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// MPEG-2 transport stream.
    Ts,
}

impl Container {
    /// By the ending of a path: `ts`.
    pub fn from_ending(ending: &str) -> Option<Self> {
        match ending {
            "ts" => Some(Self::Ts),
            _ => None,
        }
    }

    /// The media type of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ts => "video/mp2t",
        }
    }

    /// How viewers of it over HTTP are called in lists and events.
    pub fn http_protocol(self) -> &'static str {
        match self {
            Self::Ts => "http-ts",
        }
    }

    pub(crate) fn format(self) -> Box<dyn Format> {
        match self {
            Self::Ts => Box::<Ts>::default(),
        }
    }
}

/// Writes one container. Knows nothing of viewers.
pub(crate) trait Format: Send {
    /// Takes the tracks that come next, and gives what a viewer needs in front of its first packet under them.
    ///
    /// # Errors
    /// [`PackError`] when it can carry none of them.
    fn configure(&mut self, tracks: &TrackSet) -> Result<Vec<u8>, PackError>;

    /// Appends the packet of one frame; nothing for a frame of a track that it does not carry. A viewer can begin with the packet of a key
    /// frame.
    ///
    /// # Errors
    /// [`PackError`] for a frame that cannot be written; nothing is appended then.
    fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError>;
}

/// MPEG-TS. Tables and a clock reference stand in front of each key picture, so nobody needs anything before it.
#[derive(Default)]
struct Ts {
    muxer: Option<TsMuxer>,
    carried: Vec<TrackId>,
    video: Option<TrackId>,
}

impl Format for Ts {
    fn configure(&mut self, tracks: &TrackSet) -> Result<Vec<u8>, PackError> {
        let carried = |track: &&Track| TsMuxer::supports(track).is_ok();
        let tracks: Vec<Track> = tracks.tracks.iter().filter(carried).cloned().collect();
        self.carried = tracks.iter().map(|track| track.id).collect();
        let tracks = TrackSet { revision: 0, tracks };
        self.video = tracks.first(MediaKind::Video).map(|track| track.id);
        match &mut self.muxer {
            Some(muxer) => muxer.reconfigure(&tracks)?,
            none => *none = Some(TsMuxer::new(&tracks)?),
        }
        Ok(Vec::new())
    }

    fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), PackError> {
        let Some(muxer) = self.muxer.as_mut().filter(|_| self.carried.contains(&frame.track)) else { return Ok(()) };
        if frame.is_key() && self.video == Some(frame.track) {
            muxer.start_segment(out);
        }
        muxer.write(frame, out)
    }
}
