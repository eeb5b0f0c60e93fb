//! A transport stream of H.264: 25 pictures a second, and in each the instant at which it was sent.

use std::time::Duration;

use arcly_bus::{Frame, FrameFlags, Track, TrackId, TrackSet};
use arcly_codec::{CodecConfig, h264::AvcConfig};
use arcly_pack::mpegts::TsMuxer;
use bytes::{BufMut, Bytes, BytesMut};

/// x264, main profile, 640×360.
const AVC: &str = "014d401effe10017674d401eeca05017fcb808800001f480007530078b16cb01000468ef8fc8";

/// Of each picture, and with it of what is sent at a time.
pub const PICTURE_TIME: Duration = Duration::from_millis(40);
const TICKS: i64 = 3_600;
const PICTURES_PER_GOP: u64 = 50;
/// What every peer puts into a datagram.
pub const PAYLOAD_BYTES: usize = 7 * 188;
const MARK: &[u8; 8] = b"instant:";
const STAMP_BYTES: usize = 16;

/// Makes pictures of one bit rate.
pub struct Stream {
    muxer: TsMuxer,
    picture_bytes: usize,
    count: u64,
}

impl Stream {
    pub fn new(bits_per_s: u64) -> Self {
        let track = Track::new(TrackId(0), config());
        let tracks = TrackSet { revision: 1, tracks: vec![track] };
        let picture_bytes = (u128::from(bits_per_s) * PICTURE_TIME.as_micros() / 8_000_000) as usize;
        Self { muxer: TsMuxer::new(&tracks).expect("H.264 in a transport stream"), picture_bytes, count: 0 }
    }

    /// The next picture as packets of the transport stream. All have the same size: what is measured is no burst.
    pub fn next(&mut self, now: Duration) -> Bytes {
        let is_key = self.count.is_multiple_of(PICTURES_PER_GOP);
        let time = self.count as i64 * TICKS;
        let flags = if is_key { FrameFlags::KEY } else { FrameFlags::NONE };
        // Headers of packets and tables are a part of the rate.
        let payload = slice(self.picture_bytes * 184 / 188 - 200, is_key, now);
        let frame = Frame { track: TrackId(0), flags, pts: time, dts: time, duration: TICKS as u32, payload };
        let mut packets = Vec::with_capacity(self.picture_bytes + 2_000);
        self.muxer.write(&frame, &mut packets).expect("a picture in the form of the bus");
        self.count += 1;
        packets.into()
    }
}

fn config() -> CodecConfig {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default();
    let record: Bytes = AVC.as_bytes().chunks(2).map(byte).collect();
    CodecConfig::H264(AvcConfig::parse(record).expect("a record of x264"))
}

/// A slice with its length in front and the instant behind its first bytes.
fn slice(bytes: usize, is_key: bool, now: Duration) -> Bytes {
    let mut unit = BytesMut::with_capacity(4 + bytes);
    unit.put_u32(bytes as u32);
    unit.put_slice(if is_key { &[0x65, 0x88] } else { &[0x41, 0x9a] });
    unit.put_slice(MARK);
    let instant = now.as_micros() as u64;
    // Half a byte in each: never what looks like a start code.
    unit.extend((0..STAMP_BYTES).map(|at| 0x10 | (instant >> (4 * at) & 0xf) as u8));
    unit.extend((unit.len()..4 + bytes).map(|at| (at * 31 % 251) as u8 | 1));
    unit.freeze()
}

/// The instant in a datagram, if a picture begins in it.
pub fn instant(datagram: &[u8]) -> Option<Duration> {
    let at = datagram.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let stamp = datagram.get(at..at + STAMP_BYTES)?;
    let halves = stamp.iter().rev().map(|byte| u64::from(byte & 0xf));
    Some(Duration::from_micros(halves.fold(0, |instant, half| instant << 4 | half)))
}
