//! Streams into files, off the way of media: a recording is a cursor on the log, and what it writes is written by a thread that may block.
//!
//! - `template`: what a file is called, below a root that no name leads out of.
//! - `from_bus`: the task of a recording: reads the log, hands what it has read to the writer, tells the host what came of it.
//! - `writer`: where a file ends and the next one begins.
//! - `segment`: one file, written a fragment at a time.
//! - `measure`: how long a file is that nobody has measured while it was written.
//! - `play`: files on their way to players.
//! - `whole`: files made whole: the torn end of one that nobody finished, and `moov` in front of one that is finished.
//!
//! A disk that is slow costs a position in the log: the cursor stays where it is while a write takes its time, and what the log has dropped
//! meanwhile is a gap. A disk that is full, or that does not answer, ends the recording.

mod from_bus;
mod measure;
mod pieces;
mod play;
mod segment;
mod template;
mod whole;
mod writer;

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use arcly_pack::{PackError, container::Container};
use bytes::Bytes;

pub use from_bus::{Recording, RecordingStatus};
pub use measure::{Length, measure};
pub use play::{Clip, FileOutline, Known, Opened, Remuxed, Source, outline, pack_outline, segment_bytes};
pub use segment::SegmentInfo;
pub use template::{Template, TemplateError};
pub use whole::{Whole, finalize, is_own, make_whole};

/// What files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordFormat {
    /// Fragmented MP4: plays while it grows, and after a crash.
    Fmp4,
    /// Fragmented while it grows, then made into an MP4 file with `moov` in front.
    Mp4,
    /// MPEG-TS.
    MpegTs,
    /// FLV.
    Flv,
}

impl RecordFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fmp4, Self::Mp4, Self::MpegTs, Self::Flv];

    /// The name in options: `fmp4`, `mp4`, `ts`, `flv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fmp4 => "fmp4",
            Self::Mp4 => "mp4",
            Self::MpegTs => "ts",
            Self::Flv => "flv",
        }
    }

    /// What its files end with.
    pub fn ending(self) -> &'static str {
        self.container().name()
    }

    /// What is in its files.
    pub fn container(self) -> Container {
        match self {
            Self::Fmp4 | Self::Mp4 => Container::Mp4,
            Self::MpegTs => Container::MpegTs,
            Self::Flv => Container::Flv,
        }
    }
}

impl FromStr for RecordFormat {
    type Err = PackError;

    /// Reads [`RecordFormat::name`].
    fn from_str(name: &str) -> Result<Self, PackError> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or(PackError::Misuse { what: "format of a recording: fmp4, mp4, ts and flv are known" })
    }
}

/// How a stream is recorded.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// The directory below which all files are.
    pub root: PathBuf,
    /// What they are called.
    pub template: Template,
    /// What is in them.
    pub format: RecordFormat,
    /// A file ends at the first key frame after so long; of a stream without video, at any frame. Default 10 min.
    pub segment: Duration,
    /// Or when it has so many bytes. Default 4 GiB less 64 MiB: what old file systems and players take.
    pub segment_bytes: u64,
    /// What is written at a time, and so the most that a crash costs. Default 1 s.
    pub fragment: Duration,
    /// How long one write may take before the disk is given up. Default 20 s.
    pub stall: Duration,
}

impl RecordOptions {
    /// The defaults, below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            template: Template::default(),
            format: RecordFormat::Fmp4,
            segment: Duration::from_secs(600),
            segment_bytes: (4 << 30) - (64 << 20),
            fragment: Duration::from_secs(1),
            stall: Duration::from_secs(20),
        }
    }
}

/// Something that the host should know of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordNote {
    /// A file was made, and its first fragment is in it.
    Began(SegmentInfo),
    /// A file has come to its end, and is being made whole: meanwhile the next one may begin.
    Closed(SegmentInfo),
    /// A file is complete, and on the disk; with its outline, where all of it would have to be read for that
    /// ([`FileOutline::packed`]).
    Finished(SegmentInfo, Option<Bytes>),
    /// The recording is over: nothing more comes.
    Ended(RecordEnd),
}

/// Why a recording is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEnd {
    /// The stream has ended.
    StreamEnded,
    /// It was told to.
    Stopped,
    /// The disk is full, or a quota was reached.
    DiskFull(String),
    /// The disk has not answered for [`RecordOptions::stall`].
    DiskStalled,
    /// The disk refused otherwise, or nothing of the stream can be recorded in this format.
    Failed(String),
}

impl RecordEnd {
    /// For programs: `stream_ended`, `stopped`, `disk_full`, `disk_stalled`, `failed`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::StreamEnded => "stream_ended",
            Self::Stopped => "stopped",
            Self::DiskFull(_) => "disk_full",
            Self::DiskStalled => "disk_stalled",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for RecordEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamEnded => f.write_str("the stream has ended"),
            Self::Stopped => f.write_str("stopped"),
            Self::DiskFull(error) => write!(f, "the disk is full: {error}"),
            Self::DiskStalled => f.write_str("the disk does not answer"),
            Self::Failed(error) => f.write_str(error),
        }
    }
}

impl From<io::Error> for RecordEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}
