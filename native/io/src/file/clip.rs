//! A media file, read whole.

use std::time::Duration;

use arcly_bus::{Frame, Track, TrackId};
use arcly_pack::flv::{FlvDemuxer, FlvError, FlvItem, FlvReader};
use bytes::Bytes;

/// A short media file in memory, demuxed once, to be published any number of times.
pub struct Clip {
    pub(crate) items: Vec<Item>,
    /// From the first frame to where the first frame of a repetition belongs.
    pub(crate) duration: Duration,
}

pub(crate) enum Item {
    Tracks(Vec<Track>),
    /// A frame, and its decoding time behind that of the clip's first.
    Frame(Frame, Duration),
}

/// What is known of one track while the clip is read.
struct Span {
    track: TrackId,
    clock_rate_hz: u32,
    first_dts: i64,
    last_dts: i64,
    /// Between the last two frames: how long the last one lasts when it does not say so itself.
    last_step: i64,
}

impl Clip {
    /// Reads an FLV file.
    ///
    /// # Errors
    /// [`FlvError`] when the file is not FLV or holds a broken tag. Tags of unknown codecs are passed over.
    pub fn from_flv(file: Bytes) -> Result<Self, FlvError> {
        let (mut reader, mut demuxer) = (FlvReader::new(), FlvDemuxer::new());
        let (mut items, mut spans, mut tracks) = (Vec::new(), Vec::<Span>::new(), Vec::new());
        reader.feed(&file);
        let mut at_end = false;
        while !at_end {
            match reader.next_tag()?.map(|tag| demuxer.push(tag.kind, tag.timestamp_ms, tag.body)) {
                Some(Ok(()) | Err(FlvError::Unsupported { .. })) => {}
                Some(Err(error)) => return Err(error),
                None => {
                    demuxer.finish();
                    at_end = true;
                }
            }
            while let Some(item) = demuxer.poll() {
                match item {
                    FlvItem::Tracks(now) => {
                        tracks.clone_from(&now);
                        items.push(Item::Tracks(now));
                    }
                    FlvItem::Frame(frame) => {
                        let clock_rate_hz = clock_rate_hz(&tracks, frame.track);
                        extend(&mut spans, &frame, clock_rate_hz);
                        let at = seconds(frame.dts, clock_rate_hz);
                        items.push(Item::Frame(frame, at));
                    }
                    FlvItem::EndOfSequence => {}
                }
            }
        }
        let start = spans.iter().map(Span::start).min().unwrap_or_default();
        for item in &mut items {
            if let Item::Frame(_, at) = item {
                *at = at.saturating_sub(start);
            }
        }
        Ok(Self { items, duration: spans.iter().map(Span::duration).max().unwrap_or_default() })
    }

    /// From the first frame to where a repetition begins; zero for a clip without frames.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

fn clock_rate_hz(tracks: &[Track], id: TrackId) -> u32 {
    tracks.iter().find(|track| track.id == id).map_or(90_000, |track| track.clock_rate_hz)
}

fn extend(spans: &mut Vec<Span>, frame: &Frame, clock_rate_hz: u32) {
    match spans.iter_mut().find(|span| span.track == frame.track) {
        Some(span) => {
            span.last_step = frame.dts - span.last_dts;
            span.last_dts = frame.dts;
        }
        None => spans.push(Span {
            track: frame.track,
            clock_rate_hz,
            first_dts: frame.dts,
            last_dts: frame.dts,
            last_step: 0,
        }),
    }
}

impl Span {
    fn start(&self) -> Duration {
        seconds(self.first_dts, self.clock_rate_hz)
    }

    fn duration(&self) -> Duration {
        seconds(self.last_dts - self.first_dts + self.last_step, self.clock_rate_hz)
    }
}

/// Ticks as time; times before zero are zero.
fn seconds(ticks: i64, clock_rate_hz: u32) -> Duration {
    let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate_hz.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
