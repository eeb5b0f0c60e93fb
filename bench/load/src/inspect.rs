//! What a viewer makes of the media that reaches it: every byte is compared with what was sent, every frame with the one before it.

use std::time::Duration;

use crate::fault::Fault;
use crate::stream::{self, AUDIO_HEAD_BYTES, VIDEO_HEAD_BYTES};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video,
    Audio,
}

/// What was seen since the tally was last taken, of all viewers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub video_frames: u64,
    pub audio_frames: u64,
    /// Bodies of audio and video, without what protocols put around them.
    pub media_bytes: u64,
    /// Frames that are missing between two that came.
    pub lost: u64,
    /// Frames that came again, or after later ones.
    pub repeated: u64,
    /// Frames with other bytes than those that were sent.
    pub altered: u64,
    /// Frames whose timestamp is more than 2 ms from where it should be.
    pub mistimed: u64,
    /// Viewers whose first picture was no key frame.
    pub begun_without_key: u64,
    /// Pauses between two pictures that were half a second longer than their publisher's.
    pub stalls: u64,
    /// From the publisher's `write` to the player's `read`, of pictures published after the viewer came.
    pub latency_us: Vec<u32>,
    /// From the request to play to the first key frame: nothing can be shown before it.
    pub first_frame_us: Vec<u32>,
}

impl Tally {
    /// Whatever must not happen.
    pub fn faults(&self) -> u64 {
        self.lost + self.repeated + self.altered + self.mistimed + self.stalls
    }
}

/// Where the pieces of messages go: a viewer's inspector, at the instant at which they were read.
pub struct Media<'a> {
    pub inspector: &'a mut Inspector,
    pub tally: &'a mut Tally,
    pub now_ns: u64,
}

/// What one viewer remembers.
#[derive(Default)]
pub struct Inspector {
    /// When the viewer asked to play.
    pub asked_ns: u64,
    video: Track,
    audio: Track,
    last_picture_ns: u64,
    /// When its publisher sent it.
    last_sent_ns: u64,
    has_key_frame: bool,
}

#[derive(Default)]
struct Track {
    /// Of the present message.
    bytes: usize,
    filled: usize,
    timestamp_ms: u32,
    head: Head,
    frame: Option<u64>,
    intact: bool,
    /// Of the frame before it.
    last: Option<u64>,
    /// What the server adds to the times of the stream.
    offset_ms: Option<i64>,
}

struct Head([u8; VIDEO_HEAD_BYTES]);

const STALL_NS: u64 = 500_000_000;
const TIME_TOLERANCE_MS: u64 = 2;

impl Default for Head {
    fn default() -> Self {
        Self([0; VIDEO_HEAD_BYTES])
    }
}

impl Media<'_> {
    /// A message of `bytes` begins.
    pub fn begin(&mut self, kind: Kind, timestamp_ms: u32, bytes: usize) -> Result<(), Fault> {
        let track = self.inspector.track(kind);
        if track.filled < track.bytes {
            return Err(Fault::Framing("two messages of a kind at once"));
        }
        (track.bytes, track.timestamp_ms) = (bytes, timestamp_ms);
        (track.filled, track.frame, track.intact) = (0, None, true);
        Ok(())
    }

    /// The next bytes of the message that has begun.
    pub fn piece(&mut self, kind: Kind, piece: &[u8]) -> Result<(), Fault> {
        let head_bytes = kind.head_bytes();
        let track = self.inspector.track(kind);
        if track.filled + piece.len() > track.bytes {
            return Err(Fault::Framing("more than the message had room for"));
        }
        self.tally.media_bytes += piece.len() as u64;
        let (head, rest) = piece.split_at(piece.len().min(head_bytes.saturating_sub(track.filled)));
        track.head.0[track.filled.min(VIDEO_HEAD_BYTES - head.len())..][..head.len()].copy_from_slice(head);
        track.filled += head.len();
        if !head.is_empty() && (track.filled == head_bytes || track.filled == track.bytes) {
            self.take_head(kind);
        }
        let track = self.inspector.track(kind);
        if let Some(number) = track.frame {
            track.intact &= stream::is_pattern(number, track.filled, rest);
        }
        track.filled += rest.len();
        if track.filled == track.bytes {
            self.end(kind);
        }
        Ok(())
    }

    fn take_head(&mut self, kind: Kind) {
        let track = self.inspector.track(kind);
        let head = &track.head.0;
        let is_configuration = head[1] == 0 && track.filled >= 2;
        if is_configuration {
            return;
        }
        let is_whole = track.filled == kind.head_bytes();
        match kind {
            Kind::Video => match is_whole.then(|| stream::read_video_head(head, track.bytes)).flatten() {
                Some(head) => self.take_picture(head),
                None => self.tally.altered += 1,
            },
            Kind::Audio => match head.first_chunk().filter(|_| is_whole).and_then(stream::read_audio_head) {
                Some(number) => self.inspector.audio.frame = Some(number),
                None => self.tally.altered += 1,
            },
        }
    }

    fn take_picture(&mut self, head: stream::VideoHead) {
        let inspector = &mut *self.inspector;
        inspector.video.frame = Some(head.number);
        if head.is_key && !inspector.has_key_frame {
            inspector.has_key_frame = true;
            self.tally.first_frame_us.push(microseconds(self.now_ns.saturating_sub(inspector.asked_ns)));
        }
        match inspector.last_picture_ns {
            0 => self.tally.begun_without_key += u64::from(!head.is_key),
            last_ns => {
                let of_publisher_ns = head.sent_ns.saturating_sub(inspector.last_sent_ns);
                self.tally.stalls += u64::from(self.now_ns - last_ns > STALL_NS + of_publisher_ns);
            }
        }
        (inspector.last_picture_ns, inspector.last_sent_ns) = (self.now_ns, head.sent_ns);
        if head.sent_ns > inspector.asked_ns {
            self.tally.latency_us.push(microseconds(self.now_ns.saturating_sub(head.sent_ns)));
        }
    }

    fn end(&mut self, kind: Kind) {
        let track = self.inspector.track(kind);
        let Some(number) = track.frame else { return };
        match kind {
            Kind::Video => self.tally.video_frames += 1,
            Kind::Audio => self.tally.audio_frames += 1,
        }
        self.tally.altered += u64::from(!track.intact);
        match track.last.map(|last| (last, number.checked_sub(last + 1))) {
            Some((_, Some(missing))) => self.tally.lost += missing,
            Some((_, None)) => self.tally.repeated += 1,
            None => {}
        }
        track.last = Some(number);
        self.tally.mistimed += u64::from(track.is_mistimed(kind, number));
    }
}

impl Inspector {
    fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// Whether a picture has come.
    pub fn is_playing(&self) -> bool {
        self.last_picture_ns != 0
    }

    /// Whether a picture has come that can be shown.
    pub fn has_key_frame(&self) -> bool {
        self.has_key_frame
    }

    /// How long ago the last picture came; `None` where there was none.
    pub fn waits(&self, now_ns: u64) -> Option<Duration> {
        self.is_playing().then(|| Duration::from_nanos(now_ns.saturating_sub(self.last_picture_ns)))
    }

    /// Whether no picture has come for too long, where publishers were late by as much as `late`.
    pub fn is_stalled(&self, now_ns: u64, late: Duration) -> bool {
        self.waits(now_ns).is_some_and(|waits| waits > Duration::from_nanos(STALL_NS) + late)
    }
}

impl Track {
    /// A step is told once: what follows is measured from there.
    fn is_mistimed(&mut self, kind: Kind, number: u64) -> bool {
        let ideal_ms = match kind {
            Kind::Video => stream::video_ms(number),
            Kind::Audio => stream::audio_ms(number),
        };
        let offset_ms = i64::from(self.timestamp_ms) - ideal_ms as i64;
        let expected_ms = *self.offset_ms.get_or_insert(offset_ms);
        let is_off = offset_ms.abs_diff(expected_ms) > TIME_TOLERANCE_MS;
        if is_off {
            self.offset_ms = Some(offset_ms);
        }
        is_off
    }
}

impl Kind {
    fn head_bytes(self) -> usize {
        match self {
            Self::Video => VIDEO_HEAD_BYTES,
            Self::Audio => AUDIO_HEAD_BYTES,
        }
    }
}

fn microseconds(duration_ns: u64) -> u32 {
    (duration_ns / 1000).try_into().unwrap_or(u32::MAX)
}
