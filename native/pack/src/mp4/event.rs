//! What stands in front of a fragment: `styp`, `sidx`, `prft` and `emsg`.

use std::time::Duration;

use arcly_bus::Frame;
use arcly_codec::Codec;
use bytes::BufMut;

use super::{
    fragment::SegmentType,
    mux::EventTrack,
    write::{FULL_BOX_HEADER_BYTES, put_box, put_full_box},
};
use crate::time::rescale;

/// `scheme_id_uri` of ID3 tags (AOM: Carriage of ID3 Timed Metadata in CMAF §2).
pub(super) const ID3_SCHEME: &str = "https://aomedia.org/emsg/ID3";
/// `scheme_id_uri` of a whole `splice_info_section` (ANSI/SCTE 214-3 §7.3).
pub(super) const SCTE35_SCHEME: &str = "urn:scte:scte35:2013:bin";
/// Ticks per second of events.
const EVENT_CLOCK_HZ: u32 = 90_000;
/// `event_duration` that is not known (ISO/IEC 23009-1 §5.10.3.3.4).
const UNKNOWN_DURATION: u32 = u32::MAX;

/// Bytes of `prft`.
pub(super) const PRODUCER_TIME_BYTES: usize = 32;
/// Bytes of `styp`, `sidx` and `prft` together.
pub(super) const HEAD_BYTES_MAX: usize = 32 + 52 + PRODUCER_TIME_BYTES;
/// Seconds from 1900, when the time of NTP begins, to 1970 (RFC 5905 §6).
const NTP_EPOCH_S: u64 = 2_208_988_800;

/// `styp` (ISO/IEC 14496-12 §8.16.2).
pub(super) fn put_segment_type(out: &mut Vec<u8>, segment_type: SegmentType) {
    put_box(out, b"styp", |out| {
        let (major, compatible): (_, &[u8]) = match segment_type {
            SegmentType::Segment => (b"msdh", b"msdhmsixcmfs"),
            SegmentType::Chunk => (b"cmfl", b"cmfl"),
        };
        out.put_slice(major);
        out.put_u32(0);
        out.put_slice(compatible);
    });
}

/// What `sidx` says about the bytes behind it.
pub(super) struct Subsegment {
    pub track_number: u32,
    pub clock_rate_hz: u32,
    /// Of the media, in ticks of that clock.
    pub earliest_presentation: u64,
    pub duration: i64,
    pub bytes: usize,
    pub starts_with_sync: bool,
}

/// `sidx` of one subsegment (ISO/IEC 14496-12 §8.16.3).
pub(super) fn put_index(out: &mut Vec<u8>, subsegment: &Subsegment) {
    put_full_box(out, b"sidx", 1, 0, |out| {
        out.put_u32(subsegment.track_number);
        out.put_u32(subsegment.clock_rate_hz);
        out.put_u64(subsegment.earliest_presentation);
        out.put_u64(0);
        out.put_u16(0);
        out.put_u16(1);
        // reference_type 0: media. A fragment is below 2^31 bytes.
        out.put_u32(u32::try_from(subsegment.bytes).unwrap_or(u32::MAX) & 0x7fff_ffff);
        out.put_u32(u32::try_from(subsegment.duration).unwrap_or(u32::MAX));
        // SAP_type 0: there is one, of which kind is not said.
        out.put_u32(u32::from(subsegment.starts_with_sync) << 31);
    });
}

/// `prft` (ISO/IEC 14496-12 §8.16.5): `media_time` of the track was made at `wall_clock` since 1970.
pub(super) fn put_producer_time(out: &mut Vec<u8>, track_number: u32, wall_clock: Duration, media_time: u64) {
    put_full_box(out, b"prft", 1, 0, |out| {
        out.put_u32(track_number);
        let seconds = wall_clock.as_secs().wrapping_add(NTP_EPOCH_S) & 0xffff_ffff;
        let fraction = (u64::from(wall_clock.subsec_nanos()) << 32) / 1_000_000_000;
        out.put_u64(seconds << 32 | fraction);
        out.put_u64(media_time);
    });
}

fn scheme(codec: Codec) -> &'static str {
    if codec == Codec::Scte35 { SCTE35_SCHEME } else { ID3_SCHEME }
}

/// Bytes of an event's box.
pub(super) fn event_bytes(track: &EventTrack, frame: &Frame) -> usize {
    let fields_bytes = 4 + 8 + 4 + 4;
    FULL_BOX_HEADER_BYTES + fields_bytes + scheme(track.codec).len() + 2 + frame.payload.len()
}

/// `emsg` of version 1 (ISO/IEC 23009-1 §5.10.3.3), whose time is on the presentation timeline.
///
/// The id comes from what is said and when: the same in each file of a stream, so that a player which reads several of them takes the
/// event once.
pub(super) fn put_event(out: &mut Vec<u8>, track: &EventTrack, frame: &Frame) {
    let time = u64::try_from(rescale(frame.pts, track.clock_rate_hz, EVENT_CLOCK_HZ)).unwrap_or(0);
    put_full_box(out, b"emsg", 1, 0, |out| {
        out.put_u32(EVENT_CLOCK_HZ);
        out.put_u64(time);
        out.put_u32(UNKNOWN_DURATION);
        out.put_u32(event_id(time, &frame.payload));
        out.put_slice(scheme(track.codec).as_bytes());
        // The end of the scheme, and an empty value.
        out.put_u16(0);
        out.put_slice(&frame.payload);
    });
}

/// FNV-1a.
fn event_id(time: u64, payload: &[u8]) -> u32 {
    let bytes = time.to_be_bytes().into_iter().chain(payload.iter().copied());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
