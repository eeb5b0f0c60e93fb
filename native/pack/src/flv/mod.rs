//! FLV (Adobe Flash Video File Format Specification 10.1, Annex E) and Enhanced RTMP v1 and v2: tags to frames, and frames
//! to tags. The body of an RTMP audio or video message is the body of an FLV tag, so that RTMP comes and goes this way too.
//!
//! ```text
//! file ─reader─▶ tag ─tag─▶ packets of tracks ─unit─▶ access units ─clock─▶ frames ─gate─▶ items       (FlvDemuxer)
//! tracks, frames ─mux─▶ tags ─written─▶ file, HTTP-FLV, RTMP messages                                  (FlvMuxer)
//! ```
//!
//! - `reader`: a file or an HTTP-FLV response, in pieces of any size, to tags (§E.2 to §E.4.1).
//! - `tag`, `codecs`: the header of a tag's body: codec, packet type, composition time, tracks (§E.4.2, §E.4.3); `packet`: what is behind it.
//! - `unit`, `track`, `pcm`: an access unit and a configuration in the form of the bus, codec by codec.
//! - `clock`: 32-bit milliseconds to a timeline, and audio back onto the grid of its samples.
//! - `script`, `colour`: what AMF says: `onMetaData`, `colorInfo`. `gate`: waiting for what was announced.
//!
//! | what | read | written |
//! |---|---|---|
//! | H.264, AAC, MP3 (also 8 kHz), G.711, PCM in the form of FLV 10.1 | yes | yes |
//! | H.265 as `CodecID` 12 | yes | no: Enhanced RTMP has `hvc1` |
//! | FourCC avc1, hvc1, vvc1, av01, vp09, vp08, mp4a, Opus, .mp3, ac-3, ec-3, fLaC | yes | yes |
//! | SequenceStart, CodedFrames, CodedFramesX, SequenceEnd | yes | yes |
//! | Metadata (`colorInfo`) | yes, as `Track::hdr`, and [`FlvDemuxer::colour_info`] | yes |
//! | MPEG2TSSequenceStart | refused | no |
//! | ModEx `TimestampOffsetNano` | yes | when [`FlvMuxOptions::nanosecond_offsets`] |
//! | multitrack | OneTrack, ManyTracks, ManyTracksManyCodecs | OneTrack |
//! | MultichannelConfig | passed over: the codecs say it | no |
//! | encrypted tags (§F.3) | refused | no |

mod clock;
mod codecs;
mod colour;
mod demux;
mod error;
mod fields;
mod gate;
mod mux;
mod packet;
mod pcm;
mod reader;
mod script;
mod tag;
#[cfg(test)]
mod tests;
mod track;
mod unit;
mod written;

pub use clock::MAX_TIMELINE_MS;
pub use codecs::four_cc;
pub use colour::ColourInfo;
pub use demux::{AUDIO_TRACK, FlvDemuxer, MAX_TRACKS, VIDEO_TRACK};
pub use error::{FlvError, Foreign};
pub use mux::{Dialect, FlvMuxOptions, FlvMuxer};
pub use reader::{FlvReader, MAX_TAG_BYTES, Tag};
pub use tag::TagKind;
pub(crate) use tag::role_of;
pub use written::{FlvTag, TAG_HEADER_BYTES, TagRole, file_header};
