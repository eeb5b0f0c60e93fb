//! `emsg` (ISO/IEC 23009-1 §5.10.3.3) to frames of data tracks.

use std::collections::VecDeque;

use arcly_bus::{Frame, FrameFlags, Track, TrackId};
use arcly_codec::{CodecConfig, data::DataConfig};
use bytes::Bytes;

use crate::{
    PackError,
    mp4::{
        event::{ID3_SCHEME, SCTE35_SCHEME},
        read::Body,
    },
    time::rescale,
};

/// Bytes of an `emsg`. Stops a peer from making us hold megabytes in front of any picture.
pub(super) const MAX_EVENT_BYTES: u64 = 1 << 20;
/// Ids that are remembered: the same event comes in each fragment of its segment, and in each track.
const MAX_KNOWN: usize = 64;
/// Tracks of events come behind those that `moov` can number.
const ID3_TRACK: TrackId = TrackId(u8::MAX - 1);
const SCTE35_TRACK: TrackId = TrackId(u8::MAX);
const CLOCK_HZ: u32 = 90_000;

/// The data tracks, which are there once an event has come.
#[derive(Debug, Default)]
pub(super) struct Events {
    id3: bool,
    scte35: bool,
    known: VecDeque<(TrackId, u32)>,
}

/// An event.
pub(super) struct Event {
    /// It is the first of its track.
    pub is_new_track: bool,
    pub frame: Frame,
}

impl Events {
    /// The data tracks so far.
    pub fn tracks(&self) -> impl Iterator<Item = Track> {
        let id3 = self.id3.then(|| Track::new(ID3_TRACK, CodecConfig::Id3(DataConfig::default())));
        let scte35 = self.scte35.then(|| Track::new(SCTE35_TRACK, CodecConfig::Scte35(DataConfig::default())));
        id3.into_iter().chain(scte35)
    }

    /// Reads the body of an `emsg`; `None` for one that has come before or that is of no known kind. `now_90k` is where the
    /// presentation has come to: what the times of version 0 count from.
    pub fn read(&mut self, emsg: &Body, now_90k: i64) -> Result<Option<Event>, PackError> {
        let (version, _, body) = emsg.full("emsg")?;
        let mut fields = body.fields();
        let (mut scheme, mut value) = (Vec::new(), Vec::new());
        if version == 0 {
            scheme = fields.text("emsg scheme_id_uri")?.to_vec();
            value = fields.text("emsg value")?.to_vec();
        }
        let timescale = fields.u32("emsg timescale")?.max(1);
        let time = fields.versioned(version, "emsg presentation_time")?;
        fields.skip(4, "emsg event_duration")?;
        let id = fields.u32("emsg id")?;
        if version == 1 {
            scheme = fields.text("emsg scheme_id_uri")?.to_vec();
            value = fields.text("emsg value")?.to_vec();
        }
        drop(value);
        let Some(track) = track_of(&scheme) else { return Ok(None) };
        let payload = Bytes::copy_from_slice(&body.behind(fields.position(), "emsg message_data")?.bytes);
        if payload.is_empty() || self.is_known(track, id) {
            return Ok(None);
        }
        let time_90k = rescale(i64::try_from(time).unwrap_or(i64::MAX), timescale, CLOCK_HZ);
        let pts = if version == 0 { now_90k.saturating_add(time_90k) } else { time_90k };
        let seen = if track == ID3_TRACK { &mut self.id3 } else { &mut self.scte35 };
        let is_new_track = !std::mem::replace(seen, true);
        let frame = Frame { track, flags: FrameFlags::NONE, pts, dts: pts, duration: 0, payload };
        Ok(Some(Event { is_new_track, frame }))
    }

    fn is_known(&mut self, track: TrackId, id: u32) -> bool {
        if self.known.contains(&(track, id)) {
            return true;
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((track, id));
        false
    }
}

fn track_of(scheme: &[u8]) -> Option<TrackId> {
    if scheme == ID3_SCHEME.as_bytes() {
        return Some(ID3_TRACK);
    }
    (scheme == SCTE35_SCHEME.as_bytes()).then_some(SCTE35_TRACK)
}
