//! One publish: tags to track configurations and frames in the form of the bus.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{
    CodecConfig, CodecError,
    aac::AudioSpecificConfig,
    h264::{self, AvcConfig},
};
use bytes::Bytes;

use super::{
    clock::{AudioGrid, Timeline, ticks},
    error::FlvError,
    tag::{Coded, Packet, TagKind, parse_audio, parse_video},
};

/// The track that video of FLV becomes.
pub const VIDEO_TRACK: TrackId = TrackId(0);
/// The track that audio of FLV becomes.
pub const AUDIO_TRACK: TrackId = TrackId(1);

/// Ticks per second of a video track.
const VIDEO_CLOCK_HZ: u32 = 90_000;

/// What came out of a tag.
pub use crate::Item as FlvItem;

/// Turns the tags of one publish, in their order, into frames.
///
/// After each [`push`](Self::push), [`poll`](Self::poll) until it is empty: a tag gives up to two items. An error concerns
/// one tag; what follows can be pushed.
///
/// - A repeated sequence header says nothing; a different one is a new configuration.
/// - Parameter sets that an access unit brings along are taken out of it; where they differ, they are a new configuration.
/// - A frame is a key frame when it has an IDR picture, whatever the tag says; or, for encoders which never send another
///   IDR picture (open GOPs, intra refresh), when the tag claims it and the access unit has a recovery point.
/// - Video times are the wire's; audio times are put back onto the grid of the samples.
#[derive(Debug, Default)]
pub struct FlvDemuxer {
    timeline: Timeline,
    video: Option<Video>,
    audio: Option<Audio>,
    items: VecDeque<FlvItem>,
    dropped_frames: u64,
}

#[derive(Debug)]
struct Video {
    /// As the sender wrote it: by this its repetition is known, even when in-band parameter sets have replaced it.
    sequence_header: Bytes,
    nal_length_size: u8,
    config: AvcConfig,
}

#[derive(Debug)]
struct Audio {
    config: AudioSpecificConfig,
    grid: AudioGrid,
}

impl FlvDemuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next tag. `body` is kept, not copied, when it is in the form of the bus. Script tags are passed over.
    ///
    /// # Errors
    /// [`FlvError`]: nothing came of this tag. `Unsupported` is said again for each tag of such a track.
    pub fn push(&mut self, kind: TagKind, timestamp_ms: u32, body: Bytes) -> Result<(), FlvError> {
        match kind {
            TagKind::Video => self.push_video(timestamp_ms, body),
            TagKind::Audio => self.push_audio(timestamp_ms, body),
            TagKind::Script => Ok(()),
        }
    }

    /// The next item.
    pub fn poll(&mut self) -> Option<FlvItem> {
        self.items.pop_front()
    }

    /// Frames that were dropped because they came before the sequence header of their track.
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    fn push_video(&mut self, timestamp_ms: u32, body: Bytes) -> Result<(), FlvError> {
        let body_bytes = body.len();
        match parse_video(body)? {
            Packet::SequenceHeader(record) => {
                let offset = body_bytes - record.len();
                if configure_video(&mut self.video, &record).map_err(FlvError::at(offset))? {
                    self.announce();
                }
            }
            Packet::Coded(coded) => {
                let offset = body_bytes - coded.payload.len();
                self.push_picture(timestamp_ms, coded, offset)?;
            }
            Packet::EndOfSequence => self.items.push_back(FlvItem::EndOfSequence),
            Packet::Nothing => {}
        }
        Ok(())
    }

    fn push_audio(&mut self, timestamp_ms: u32, body: Bytes) -> Result<(), FlvError> {
        let body_bytes = body.len();
        match parse_audio(body)? {
            Packet::SequenceHeader(record) => {
                let offset = body_bytes - record.len();
                if configure_audio(&mut self.audio, &record).map_err(FlvError::at(offset))? {
                    self.announce();
                }
            }
            Packet::Coded(coded) => self.push_sound(timestamp_ms, coded.payload)?,
            Packet::EndOfSequence => self.items.push_back(FlvItem::EndOfSequence),
            Packet::Nothing => {}
        }
        Ok(())
    }

    fn announce(&mut self) {
        let video = self.video.iter().map(|video| (VIDEO_TRACK, CodecConfig::H264(video.config.clone())));
        let audio = self.audio.iter().map(|audio| (AUDIO_TRACK, CodecConfig::Aac(audio.config.clone())));
        let tracks = video.chain(audio).map(|(id, config)| Track::new(id, config)).collect();
        self.items.push_back(FlvItem::Tracks(tracks));
    }

    /// `offset`: where in the tag's body the access unit begins.
    fn push_picture(&mut self, timestamp_ms: u32, coded: Coded, offset: usize) -> Result<(), FlvError> {
        let Some(video) = &mut self.video else { return self.drop_frame() };
        // Only frames move the timeline: encoders put sequence headers and script data at 0 in mid-stream.
        let dts_ms = self.timeline.unroll(timestamp_ms)?;
        let canonical = h264::to_canonical(coded.payload, video.nal_length_size).map_err(FlvError::at(offset))?;
        let changed = video.config.with_parameter_sets(&canonical.sps, &canonical.pps).map_err(FlvError::at(offset))?;
        if let Some(config) = changed {
            video.config = config;
            self.announce();
        }
        if canonical.payload.is_empty() {
            return Ok(());
        }
        let is_key = is_key(&canonical.payload, coded.claims_key);
        self.items.push_back(FlvItem::Frame(Frame {
            track: VIDEO_TRACK,
            flags: if is_key { FrameFlags::KEY } else { FrameFlags::NONE },
            pts: ticks(dts_ms + i64::from(coded.composition_ms), VIDEO_CLOCK_HZ),
            dts: ticks(dts_ms, VIDEO_CLOCK_HZ),
            duration: 0,
            payload: canonical.payload,
        }));
        Ok(())
    }

    fn push_sound(&mut self, timestamp_ms: u32, payload: Bytes) -> Result<(), FlvError> {
        let Some(audio) = &mut self.audio else { return self.drop_frame() };
        let start = audio.grid.snap(self.timeline.unroll(timestamp_ms)?);
        self.items.push_back(FlvItem::Frame(Frame {
            track: AUDIO_TRACK,
            flags: FrameFlags::NONE,
            pts: start,
            dts: start,
            duration: audio.config.samples_per_frame,
            payload,
        }));
        Ok(())
    }

    fn drop_frame(&mut self) -> Result<(), FlvError> {
        self.dropped_frames += 1;
        Ok(())
    }
}

/// Whether the configuration changed. The record is copied: a slice would keep the whole message, or a buffer of many,
/// alive for as long as the stream.
fn configure_video(video: &mut Option<Video>, record: &Bytes) -> Result<bool, CodecError> {
    if video.as_ref().is_some_and(|video| video.sequence_header == record) {
        return Ok(false);
    }
    let config = AvcConfig::parse(Bytes::copy_from_slice(record))?;
    let (sequence_header, nal_length_size) = (config.record.clone(), config.nal_length_size);
    // On the bus lengths have four bytes, and the record that goes with them must say so.
    let config = config.into_canonical();
    let changed = video.as_ref().is_none_or(|video| video.config != config);
    *video = Some(Video { sequence_header, nal_length_size, config });
    Ok(changed)
}

/// Whether the configuration changed.
fn configure_audio(audio: &mut Option<Audio>, record: &Bytes) -> Result<bool, CodecError> {
    if audio.as_ref().is_some_and(|audio| audio.config.record == record) {
        return Ok(false);
    }
    let config = AudioSpecificConfig::parse(Bytes::copy_from_slice(record))?;
    let grid = AudioGrid::new(config.sample_rate_hz, config.samples_per_frame);
    *audio = Some(Audio { config, grid });
    Ok(true)
}

fn is_key(payload: &[u8], claims_key: bool) -> bool {
    let nals = || h264::nal_units(payload, 4).flatten();
    h264::has_idr(nals()) || claims_key && h264::is_random_access(nals())
}
