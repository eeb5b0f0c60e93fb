//! Wishes for key frames, and the clocks of publishers.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arcly_bus::{Frame, LogBounds, LogWriter, Read, Subscription};
use arcly_codec::Codec;
use arcly_wire::webrtc::SenderClock;
use bytes::Bytes;

use super::*;

/// Written by libx264: 320x240, baseline.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x07, 0x83,
    0xc5, 0x0a, 0xa8,
];
const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0xc8];
const KEY: &[u8] = &[0x65, 0x88, 0x84, 0x21, 0xa0];
const OTHER: &[u8] = &[0x41, 0x9a, 0x24, 0x21, 0xa0];
/// The timestamps of pictures and of sound when the connection begins.
const BEGUN: [u64; 2] = [1_000_000, 77];
const RATES_HZ: [u64; 2] = [90_000, 48_000];

fn to_bus() -> ToBus {
    let publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    ToBus::new(publisher, false)
}

/// A publisher of pictures each 40 ms and sound each 20 ms, who reports its clock each second, of sound half a second later.
struct Sender {
    to_bus: ToBus,
    reader: Subscription,
    start: Instant,
    sequences: [u64; 2],
    clocks: [Option<SenderClock>; 2],
}

impl Sender {
    fn new() -> Self {
        let (mut to_bus, start) = (to_bus(), Instant::now());
        to_bus.connected(start);
        let reader = to_bus.publisher.log().tap();
        Self { to_bus, reader, start, sequences: [0, 0], clocks: [None, None] }
    }

    /// Sends until then; `wall` says what the clock of a track shows: pictures 0, sound 1.
    fn send(&mut self, ms: std::ops::Range<u64>, wall: impl Fn(usize, u64) -> SystemTime) -> Vec<Frame> {
        let mut frames = Vec::new();
        for at_ms in ms.step_by(20) {
            for track in [0, 1] {
                if at_ms % 1000 == 500 * track as u64 {
                    let timestamp = BEGUN[track] + at_ms * RATES_HZ[track] / 1000;
                    self.clocks[track] = Some(SenderClock { wall: wall(track, at_ms), timestamp });
                }
            }
            if at_ms % 40 == 0 {
                if at_ms == 0 {
                    [SPS, PPS].into_iter().for_each(|set| self.packet(0, at_ms, set, false));
                }
                self.packet(0, at_ms, if at_ms == 0 { KEY } else { OTHER }, true);
            }
            self.packet(1, at_ms, &[0xfc, 0xff, 0xfe], true);
            while let Read::Frames(batch) = self.reader.read(usize::MAX) {
                frames.extend(batch.frames.iter().cloned());
            }
        }
        frames
    }

    fn packet(&mut self, track: usize, at_ms: u64, payload: &'static [u8], marker: bool) {
        let now = self.start + Duration::from_millis(at_ms);
        self.sequences[track] += 1;
        let packet = ArrivedPacket {
            track: TrackKey::new(["0", "1"][track], None),
            codec: [Codec::H264, Codec::Opus][track],
            clock_rate_hz: RATES_HZ[track] as u32,
            channels: [None, Some(2)][track],
            sequence: self.sequences[track],
            timestamp: BEGUN[track] + at_ms * RATES_HZ[track] / 1000,
            marker,
            payload: Bytes::from_static(payload),
            at: now,
            clock: self.clocks[track],
        };
        self.to_bus.packet(packet, now);
    }
}

fn noon(at_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + at_ms)
}

/// Pictures and sound come without a break, under the times at which they were made.
fn assert_even(frames: &[Frame]) {
    for (id, rate_hz, step_ms) in [(TrackId(0), 90_000, 40), (TrackId(1), 48_000, 20)] {
        let frames: Vec<_> = frames.iter().filter(|frame| frame.track == id).collect();
        assert!(frames.len() > 100);
        for (number, frame) in frames.iter().enumerate() {
            assert!(!frame.is_discontinuity(), "{number} of {id:?}");
            assert_eq!(frame.pts, number as i64 * step_ms * rate_hz / 1000, "{number} of {id:?}");
        }
    }
}

#[test]
fn a_publisher_is_not_asked_for_a_key_frame_with_every_packet() {
    let publisher = Publisher::new(LogWriter::new(LogBounds::default(), Arc::new(())), Box::new(()));
    let (mut to_bus, start) = (ToBus::new(publisher, false), Instant::now());
    let is_asked = |to_bus: &mut ToBus, ms| {
        let now = start + Duration::from_millis(ms);
        // A packet of a picture that nobody can decode.
        to_bus.wants_key = true;
        to_bus.take_key_frame_wishes(now);
        to_bus.asked_at == Some(now)
    };
    assert!(!is_asked(&mut to_bus, 0), "before it is connected");
    to_bus.connected(start);
    let asked = [0, 1, 100, 499, 500, 501, 1000].map(|ms| is_asked(&mut to_bus, ms));
    assert_eq!(asked, [true, false, false, false, true, false, true]);
}

/// A bug it had: a publisher's clock that was set moved a track by an hour, and back when the other one told of it too.
#[test]
fn a_clock_that_is_set_while_it_publishes_moves_nothing() {
    let mut sender = Sender::new();
    let hour = Duration::from_secs(3600);
    let wall = |_: usize, at_ms: u64| noon(at_ms) + if at_ms < 5000 { Duration::ZERO } else { hour };
    assert_even(&sender.send(0..20_000, wall));
    let back = |_: usize, at_ms: u64| noon(at_ms) - if at_ms < 5000 { Duration::ZERO } else { hour };
    assert_even(&Sender::new().send(0..20_000, back));
}

/// A bug it had: every report of a sender without a clock moved the tracks.
#[test]
fn a_sender_without_a_clock_moves_nothing() {
    assert_even(&Sender::new().send(0..20_000, |_, _| SystemTime::UNIX_EPOCH));
    let one = |track: usize, at_ms: u64| if track == 0 { noon(at_ms) } else { SystemTime::UNIX_EPOCH };
    assert_even(&Sender::new().send(0..20_000, one));
}

/// Sound that comes 100 ms late of its pictures stays, and they are moved to it, little by little.
#[test]
fn pictures_are_moved_to_their_sound_as_reports_say() {
    let mut sender = Sender::new();
    let late = |track: usize, at_ms: u64| noon(at_ms + if track == 0 { 100 } else { 0 });
    let frames = sender.send(0..20_000, late);
    let last = |id| frames.iter().rfind(|frame| frame.track == TrackId(id)).unwrap().pts;
    assert_eq!(last(1) / 48, 19_980);
    assert!((last(0) / 90 - 19_960 - 100).abs() <= 5, "{}", last(0) / 90);
    assert!(!frames.iter().any(Frame::is_discontinuity));
}
