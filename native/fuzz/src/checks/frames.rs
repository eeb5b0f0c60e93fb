//! The contract of a frame on the bus (`arcly_bus::Frame`).

use std::collections::BTreeMap;

use arcly_bus::{Frame, TrackId, TrackSet};
use arcly_codec::{CodecConfig, CodecError, av1, h264, h265, nal::Canonical};

/// Follows the frames that a reader is given.
#[derive(Default)]
pub struct FrameChecks {
    /// The newest decoding time of each track since the last break, and the clock that it was counted with.
    newest: BTreeMap<TrackId, (i64, u32)>,
}

impl FrameChecks {
    /// Checks the next frame; `skipped` says that it does not follow the one before.
    pub fn check(&mut self, tracks: &TrackSet, frame: &Frame, skipped: bool) {
        let track = tracks.find(frame.track);
        assert!(track.is_some(), "a frame has a track");
        let Some(track) = track else { return };
        assert!(frame.pts >= frame.dts, "shown before it is decoded");
        if skipped || frame.is_discontinuity() {
            // The other tracks follow to the new timeline.
            self.newest.clear();
        }
        let newest = self.newest.insert(frame.track, (frame.dts, track.clock_rate_hz));
        let newest = newest.filter(|(_, clock_rate_hz)| *clock_rate_hz == track.clock_rate_hz);
        assert!(newest.is_none_or(|(newest, _)| frame.dts > newest), "decoding times increase within a track");
        check_payload(&track.config, frame);
    }
}

/// The payload has the form of the bus, and the flags say what is in it.
pub fn check_payload(config: &CodecConfig, frame: &Frame) {
    assert!(!frame.payload.is_empty(), "a frame has bytes");
    match config {
        CodecConfig::H264(_) => {
            let again = h264::to_canonical(frame.payload.clone(), 4);
            assert!(is_canonical(&frame.payload, again), "not canonical");
            let can_begin = h264::is_entry_of_container(&frame.payload, true);
            assert!(!frame.is_key() || can_begin, "decoding cannot begin at this key frame");
        }
        CodecConfig::H265(_) => {
            let again = h265::to_canonical(frame.payload.clone(), 4);
            assert!(is_canonical(&frame.payload, again), "not canonical");
        }
        CodecConfig::Av1(_) => {
            let again = av1::to_canonical(frame.payload.clone());
            assert!(again.is_ok_and(|again| again.payload == frame.payload), "not canonical");
        }
        CodecConfig::Aac(aac) => assert_eq!(frame.duration, aac.samples_per_frame, "the length of an access unit"),
        _ => assert!(frame.payload.len() < usize::MAX, "a codec that is not known here"),
    }
}

/// Whether these are NAL units behind lengths. Sets that make no configuration stay, in front of all others.
pub fn is_canonical(payload: &[u8], again: Result<Canonical, CodecError>) -> bool {
    again.is_ok_and(|again| {
        let sets = [&again.vps, &again.sps, &again.pps].into_iter().flatten();
        let set_bytes: usize = sets.map(|set| 4 + set.len()).sum();
        payload.ends_with(&again.payload) && set_bytes + again.payload.len() == payload.len()
    })
}
