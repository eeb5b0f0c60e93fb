//! The containers of files and byte streams behind one face: what a file source, a recorder, a relay of bytes and the Python
//! classes need, and nothing that only one container knows.

mod demux;
mod holdback;
mod mux;

use std::str::FromStr;

use crate::PackError;

pub use demux::{ContainerDemuxer, LeftOut};
pub use mux::{ContainerMuxer, MAX_FRAGMENT_BYTES, MuxOptions};

/// A format in which tracks travel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// MPEG-2 transport stream (ISO/IEC 13818-1).
    MpegTs,
    /// Flash Video, with the extensions of Enhanced RTMP.
    Flv,
    /// MP4, fragmented (ISO/IEC 14496-12).
    Mp4,
}

/// Bytes from the beginning of a file that [`Container::sniff`] should be shown.
pub const SNIFF_BYTES: usize = 4 * 204;

impl Container {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MpegTs, Self::Flv, Self::Mp4];

    /// The name in URLs, file endings and the Python API: `ts`, `flv`, `mp4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MpegTs => "ts",
            Self::Flv => "flv",
            Self::Mp4 => "mp4",
        }
    }

    /// What a file is, by how it begins; `None` when it is none of these. Names lie, contents do not.
    pub fn sniff(beginning: &[u8]) -> Option<Self> {
        if beginning.starts_with(b"FLV") {
            return Some(Self::Flv);
        }
        // A box of a file begins with its size, then its type (ISO/IEC 14496-12 §4.2).
        if beginning.get(4..8).is_some_and(|kind| FIRST_BOXES.iter().any(|first| kind == *first)) {
            return Some(Self::Mp4);
        }
        is_transport_stream(beginning).then_some(Self::MpegTs)
    }
}

/// Boxes with which MP4 and QuickTime files, segments and fragments begin.
const FIRST_BOXES: [&[u8; 4]; 11] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"emsg", b"prft", b"free", b"skip", b"wide"];

/// Whether sync bytes stand where packets of 188, 192 or 204 bytes put them, somewhere within the first packet. Two packets must be
/// there to tell; three agree when so much was shown.
fn is_transport_stream(beginning: &[u8]) -> bool {
    let is_sync = |at: usize| beginning.get(at) == Some(&0x47);
    let agrees = |at: usize| beginning.get(at).is_none_or(|byte| *byte == 0x47);
    [188, 192, 204].into_iter().any(|packet_bytes| {
        (0..packet_bytes)
            .any(|first| is_sync(first) && is_sync(first + packet_bytes) && agrees(first + 2 * packet_bytes))
    })
}

impl FromStr for Container {
    type Err = PackError;

    /// Reads [`Container::name`].
    fn from_str(name: &str) -> Result<Self, PackError> {
        let found = Self::ALL.into_iter().find(|container| container.name() == name);
        found.ok_or(PackError::Misuse { what: "container: ts, flv and mp4 are known" })
    }
}

#[cfg(test)]
mod tests;
