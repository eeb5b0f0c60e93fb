//! What all demuxers give out.

use arcly_bus::{Frame, Track};

/// What came out of a container, in its order.
///
/// A demuxer is pushed bytes and then polled for items until it has none. A frame comes behind the tracks for which it
/// holds, with the times of the container in the track's clock. Its decoding times increase within a track except behind
/// [`FrameFlags::DISCONTINUITY`](arcly_bus::FrameFlags::DISCONTINUITY), as far as the container says them so.
#[derive(Debug, Clone)]
pub enum Item {
    /// All tracks that are known by now, in front of the first frame for which they hold. Comes at each change.
    Tracks(Vec<Track>),
    /// An access unit of one of them.
    Frame(Frame),
    /// The sender says that it has finished a track. Not every sender does.
    EndOfSequence,
}
