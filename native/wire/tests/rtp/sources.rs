//! Sources that change, begin anew, say nonsense of their clocks, or send what is not theirs.

use std::time::{Duration, Instant};

use arcly_codec::{CodecConfig, MediaKind, opus::OpusConfig};
use arcly_wire::rtp::{
    AccessUnit, DecodingTimes, Format, Header, Limits, Packet, Receiver, Sync,
    rtcp::{SenderInfo, ntp_of_unix},
};
use bytes::Bytes;

use crate::{
    nal,
    stream::{Rng, Sender},
};

fn receiver(config: &CodecConfig) -> Receiver {
    Receiver::new(Format::of(96, config).unwrap(), Limits::default()).unwrap()
}

fn opus() -> CodecConfig {
    CodecConfig::Opus(OpusConfig::new(2).unwrap())
}

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet {
    let header = Header { payload_type: 96, sequence, timestamp, ssrc, marker: false };
    Packet { header, payload: Bytes::from(vec![0xfc, ssrc as u8, sequence as u8]), ..Packet::default() }
}

fn push(receiver: &mut Receiver, packet: Packet) -> Vec<AccessUnit> {
    receiver.push(Instant::now(), packet);
    std::iter::from_fn(|| receiver.poll()).collect()
}

/// What is given out, as SSRC and sequence number.
fn who(units: &[AccessUnit]) -> Vec<(u8, u8)> {
    units.iter().map(|unit| (unit.payload[1], unit.payload[2])).collect()
}

#[test]
fn a_new_source_takes_over_with_its_second_packet() {
    let mut receiver = receiver(&opus());
    assert_eq!(who(&push(&mut receiver, packet(1, 10, 1_000))), [(1, 10)]);
    assert!(push(&mut receiver, packet(2, 200, 5)).is_empty());
    let units = push(&mut receiver, packet(2, 201, 965));
    assert_eq!(who(&units), [(2, 200), (2, 201)]);
    assert_eq!(units.iter().map(|unit| unit.restarts).collect::<Vec<_>>(), [true, false]);
    assert_eq!(units.iter().map(|unit| unit.timestamp).collect::<Vec<_>>(), [5, 965]);
    assert_eq!(receiver.ssrc(), Some(2));
    assert_eq!(receiver.report(Instant::now()).map(|report| (report.ssrc, report.lost)), Some((2, 0)));
}

/// An accident, another payload type (retransmission, comfort noise), and two that send at a time.
#[test]
fn strangers_do_not_take_over_while_a_source_lives() {
    let mut receiver = receiver(&opus());
    let mut units = Vec::new();
    for sequence in 0..50 {
        units.extend(push(&mut receiver, packet(1, sequence, u32::from(sequence) * 960)));
        assert!(push(&mut receiver, packet(2, 900 + sequence, 7)).is_empty());
        let mut other = packet(1, sequence + 1, 7);
        other.header.payload_type = 97;
        assert!(push(&mut receiver, other).is_empty());
    }
    assert!(who(&units).into_iter().eq((0..50).map(|sequence| (1, sequence))));
    assert!(units.iter().all(|unit| !unit.restarts && !unit.follows_loss));
}

/// Comfort noise: with its number nothing is missing, and its sender is no other source.
#[test]
fn what_is_passed_over_is_not_missing() {
    let (mut receiver, now) = (receiver(&opus()), Instant::now());
    receiver.pass_over(now, packet(1, 9, 0));
    assert_eq!(receiver.ssrc(), None, "it begins nothing");
    let mut units = Vec::new();
    for sequence in 10..16 {
        if sequence % 2 == 0 {
            units.extend(push(&mut receiver, packet(1, sequence, u32::from(sequence) * 960)));
        } else {
            receiver.pass_over(now, packet(1, sequence, u32::from(sequence) * 960));
            receiver.pass_over(now, packet(2, sequence + 1, 7));
        }
    }
    assert_eq!(who(&units), [(1, 10), (1, 12), (1, 14)]);
    assert!(units.iter().all(|unit| !unit.follows_loss));
    assert_eq!((receiver.counts().lost, receiver.report(now).map(|report| report.lost)), (0, Some(0)));
}

/// A camera that has been switched off and on: the same source, another sequence and another time.
#[test]
fn a_source_that_begins_anew_says_so() {
    let mut receiver = receiver(&opus());
    (0..5).for_each(|sequence| drop(push(&mut receiver, packet(1, sequence, u32::from(sequence) * 960))));
    assert!(push(&mut receiver, packet(1, 40_000, 3)).is_empty());
    let units = push(&mut receiver, packet(1, 40_001, 963));
    assert_eq!(units.iter().map(|unit| (unit.restarts, unit.timestamp)).collect::<Vec<_>>(), [(true, 3), (false, 963)]);
}

/// Sixteen and thirty-two bits wrap within a picture, and nobody sees it.
#[test]
fn wraps_within_an_access_unit_are_not_seen() {
    let config = nal::h264();
    let (mut sender, mut receiver) = (Sender::new(&Format::of(96, &config).unwrap(), &config, 300), receiver(&config));
    let mut rng = Rng(4);
    let sent: Vec<Vec<u8>> = (0..30).map(|index| nal::access_unit(&config, index == 0, &mut rng)).collect();
    let mut read = Vec::new();
    for (unit, index) in sent.iter().zip(0..) {
        for datagram in sender.send(unit, index == 0, 3_000) {
            read.extend(push(&mut receiver, Packet::parse(datagram).unwrap()));
        }
    }
    assert!(read.iter().map(|unit| unit.payload.as_ref()).eq(sent.iter().map(Vec::as_slice)));
    assert!(read.windows(2).all(|pair| pair[1].timestamp - pair[0].timestamp == 3_000));
    assert!(read.iter().all(|unit| !unit.follows_loss && !unit.restarts));
}

/// A sender with B-frames whose clocks begin anywhere: pictures and sound of one moment come to one time, with sender reports and
/// without, and whatever a report says of 1970 or of nothing.
#[test]
fn reports_or_none_pictures_and_sound_of_one_moment_are_together() {
    /// Display numbers in decoding order.
    const ORDER: [u32; 9] = [0, 3, 1, 2, 6, 4, 5, 9, 7];
    let wall = Duration::from_secs(1_700_000_000);
    for says in ["the truth", "nothing", "1970", "zero"] {
        let (start, mut sync, mut decoding) = (Instant::now(), Sync::new(), DecodingTimes::new(Some(1), 3_600));
        let (video, audio) = (sync.add_track(MediaKind::Video, 90_000), sync.add_track(MediaKind::Audio, 48_000));
        let mut pictures = Vec::new();
        for (number, index) in ORDER.into_iter().zip(0_u32..) {
            // Sound of the moment at which the picture is decoded arrives with it.
            let now = start + Duration::from_millis(u64::from(index) * 40);
            let sound = sync.place(audio, 777 + i64::from(index) * 1_920, now);
            let picture = sync.place(video, 90_000_000 + i64::from(number) * 3_600, now);
            let (pts, dts) = decoding.stamp(picture.ticks);
            pictures.push((pts, dts, number, sound.ticks, index));
            let ntp = match says {
                "the truth" => ntp_of_unix(wall + Duration::from_millis(u64::from(index) * 40)),
                "1970" => ntp_of_unix(Duration::from_secs(u64::from(index))),
                _ => 0,
            };
            let info = SenderInfo { ntp, ..SenderInfo::default() };
            if says != "nothing" {
                sync.sender_report(video, info.ntp, 90_000_000 + i64::from(index) * 3_600);
                let audio_ntp = if says == "1970" { ntp_of_unix(wall) } else { info.ntp };
                sync.sender_report(audio, audio_ntp, 777 + i64::from(index) * 1_920);
            }
        }
        assert!(pictures.windows(2).all(|pair| pair[0].1 < pair[1].1), "{says}: decoding times ascend");
        for (pts, dts, number, sound, index) in pictures {
            assert!(dts <= pts, "{says}");
            assert_eq!((pts, sound), (i64::from(number) * 3_600, i64::from(index) * 1_920), "{says}");
        }
    }
}
