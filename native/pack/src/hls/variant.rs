//! What a multivariant playlist says about a stream in MPEG-TS (RFC 8216 §4.3.4.2): measured bit rates, codecs, picture.

use std::fmt::Write;

use arcly_bus::TrackSet;
use arcly_codec::{MediaKind, VideoInfo};

use crate::meter::Meter;

/// The attributes of `EXT-X-STREAM-INF` for a stream of these tracks.
pub(super) fn attributes(tracks: &TrackSet, meter: &Meter) -> String {
    let mut attributes = format!("BANDWIDTH={},AVERAGE-BANDWIDTH={}", meter.peak_bps(), meter.average_bps());
    let codecs = tracks.tracks.iter().filter(|track| track.kind() != MediaKind::Data);
    let codecs: Vec<String> = codecs.map(|track| track.config.rfc6381()).collect();
    let _ = write!(attributes, ",CODECS=\"{}\"", codecs.join(","));
    if let Some(info) = tracks.first(MediaKind::Video).and_then(|track| track.config.video()) {
        write_picture(&mut attributes, &info, meter);
    }
    attributes
}

/// `RESOLUTION`, `FRAME-RATE` and `VIDEO-RANGE` (RFC 8216bis §4.4.6.2).
pub(super) fn write_picture(attributes: &mut String, info: &VideoInfo, meter: &Meter) {
    if info.width > 0 && info.height > 0 {
        let _ = write!(attributes, ",RESOLUTION={}x{}", info.width, info.height);
    }
    if let Some(rate) = meter.picture_rate_milli(info.frame_rate) {
        let _ = write!(attributes, ",FRAME-RATE={}.{:03}", rate / 1000, rate % 1000);
    }
    // SDR is what players take for granted.
    match info.colour.transfer {
        TRANSFER_PQ => attributes.push_str(",VIDEO-RANGE=PQ"),
        TRANSFER_HLG => attributes.push_str(",VIDEO-RANGE=HLG"),
        _ => {}
    }
}

/// `TransferCharacteristics` of H.273 §8.2.
const TRANSFER_PQ: u8 = 16;
const TRANSFER_HLG: u8 = 18;
