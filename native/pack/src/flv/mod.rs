//! FLV (Adobe Flash Video File Format Specification 10.1, Annex E): tags to frames. The body of an RTMP audio or video
//! message is the body of an FLV tag, so that RTMP comes this way too.
//!
//! - `reader`: a file or an HTTP-FLV response, in pieces of any size, to tags (§E.2 to §E.4.1).
//! - `tag`: the header of a tag's body: codec, packet type, composition time (§E.4.2, §E.4.3; Enhanced RTMP v2 for
//!   `avc1` and `mp4a`).
//! - `clock`: 32-bit milliseconds to a timeline, and audio back onto the grid of its samples.
//! - `demux`: one publish: tags to track configurations and frames in the form of the bus.
//!
//! Not read: script data, multitrack and ModEx packets of Enhanced RTMP, encrypted tags (§F.3).

mod clock;
mod demux;
mod error;
mod reader;
mod tag;
#[cfg(test)]
mod tests;

pub use clock::MAX_TIMELINE_MS;
pub use demux::{AUDIO_TRACK, FlvDemuxer, FlvItem, VIDEO_TRACK};
pub use error::{FlvError, Foreign};
pub use reader::{FlvReader, MAX_TAG_BYTES, Tag};
pub use tag::TagKind;
