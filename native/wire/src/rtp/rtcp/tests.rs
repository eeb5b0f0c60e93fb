use bytes::{Bytes, BytesMut};

use super::*;

fn written(packet: &RtcpPacket) -> Bytes {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes);
    bytes.freeze()
}

fn read(bytes: &[u8]) -> Vec<RtcpPacket> {
    packets(bytes).map(|packet| packet.unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"))).collect()
}

fn all() -> Vec<RtcpPacket> {
    let report = ReportBlock {
        ssrc: 9,
        fraction_lost: 255,
        lost: -5,
        highest_sequence: 0x1_0005,
        jitter: 77,
        last_sender_report: 0xaabb_ccdd,
        delay: 65_536,
    };
    let info = SenderInfo { ntp: 0x8000_0001_8000_0000, rtp_timestamp: 90_000, packets: 10, octets: 1_000 };
    let deltas: Vec<Option<i16>> = (0..100).map(|index| (index % 3 > 0).then_some(index * 7 - 300)).collect();
    let chunk = |cname: &str| Chunk { ssrc: 5, cname: cname.to_owned() };
    vec![
        RtcpPacket::SenderReport { ssrc: 1, info, reports: vec![report; 3] },
        RtcpPacket::ReceiverReport { ssrc: 2, reports: vec![report; 31] },
        RtcpPacket::ReceiverReport { ssrc: 2, reports: vec![] },
        RtcpPacket::SourceDescription(["", "a", "ab", "abc", "abcd"].map(chunk).to_vec()),
        RtcpPacket::Goodbye { ssrcs: vec![1, 2], reason: String::new() },
        RtcpPacket::Goodbye { ssrcs: vec![], reason: "teardown".to_owned() },
        RtcpPacket::Application { subtype: 31, ssrc: 3, name: *b"arcl", data: Bytes::from_static(b"datadata") },
        RtcpPacket::Nack(Nack::new(1, 2, [65_530, 65_531, 10, 12, 26, 27, 1_000])),
        RtcpPacket::PictureLoss { sender: 1, media: 2 },
        RtcpPacket::FullIntra(FullIntraRequest { sender: 1, requests: vec![(2, 3), (4, 255)] }),
        RtcpPacket::Remb(Remb { sender: 1, bit_rate_bps: 2_500_000, ssrcs: vec![7, 8] }),
        RtcpPacket::Transport(TransportFeedback {
            sender: 1,
            media: 2,
            base: 65_535,
            reference_time: -3,
            count: 9,
            deltas,
        }),
    ]
}

#[test]
fn packets_come_back_one_by_one_and_together() {
    let mut datagram = BytesMut::new();
    for packet in all() {
        assert_eq!(read(&written(&packet)), std::slice::from_ref(&packet));
        packet.write(&mut datagram);
    }
    assert_eq!(read(&datagram), all());
}

#[test]
fn every_beginning_of_a_packet_is_an_error_or_less() {
    for packet in all() {
        let bytes = written(&packet);
        for end in 1..bytes.len() {
            let found: Vec<_> = packets(&bytes[..end]).collect();
            assert!(found.len() == 1 && found[0].is_err(), "{packet:?} {end}");
            // The same with a length that says so: what is in it may be cut off.
            let mut cut = bytes[..end / 4 * 4].to_vec();
            if cut.len() >= 4 {
                let words = u16::try_from(cut.len() / 4 - 1).unwrap();
                cut[2..4].copy_from_slice(&words.to_be_bytes());
                assert_eq!(packets(&cut).count(), 1, "{packet:?} {end}");
            }
        }
    }
}

/// Each field where RFC 3550 §6.4.1 has it.
#[test]
fn a_sender_report_is_that_of_the_standard() {
    let bytes = written(&all()[0]);
    assert_eq!(bytes[..8], [0x83, 200, 0, 24, 0, 0, 0, 1]);
    assert_eq!(bytes[8..28], [0x80, 0, 0, 1, 0x80, 0, 0, 0, 0, 1, 0x5f, 0x90, 0, 0, 0, 10, 0, 0, 3, 0xe8]);
    assert_eq!(bytes[28..36], [0, 0, 0, 9, 0xff, 0xff, 0xff, 0xfb]);
}

/// Bundled with bad ones, padded, and followed by something else.
#[test]
fn ugly_datagrams_are_read_as_far_as_they_go() {
    let good = written(&RtcpPacket::PictureLoss { sender: 1, media: 2 });
    let bad = [0x9f, 201, 0, 1, 0, 0, 0, 1];
    let found: Vec<_> = packets(&[&bad[..], &good].concat()).map(|packet| packet.is_ok()).collect();
    assert_eq!(found, [false, true]);
    let padded = [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
    assert_eq!(read(&padded), read(&good));
    let behind: Vec<_> = packets(&[&good[..], &[1, 2, 3]].concat()).map(|packet| packet.is_ok()).collect();
    assert_eq!(behind, [true, false]);
    assert_eq!(read(&[0x80, 207, 0, 1, 0, 0, 0, 1]), [RtcpPacket::Other { packet_type: 207 }]);
    // A report with an extension of a profile behind it; a goodbye and a description of nobody; RFC 3550 §6.5 without filling.
    assert_eq!(
        read(&[0x80, 201, 0, 2, 0, 0, 0, 1, 9, 9, 9, 9]),
        [RtcpPacket::ReceiverReport { ssrc: 1, reports: vec![] }]
    );
    assert_eq!(read(&[0x80, 203, 0, 0]), [RtcpPacket::Goodbye { ssrcs: vec![], reason: String::new() }]);
    assert_eq!(read(&[0x80, 202, 0, 0]), [RtcpPacket::SourceDescription(vec![])]);
    assert!(packets(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'a', 0]).all(|packet| packet.is_err()));
    assert!(
        packets(&[0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0x3f, 0xff])
            .all(|packet| packet.is_err())
    );
}

#[test]
fn a_nack_names_what_is_missing() {
    let nack = Nack::new(1, 2, [65_530, 65_531, 65_535, 10, 12, 27, 28]);
    assert_eq!(nack.sequences().collect::<Vec<_>>(), [65_530, 65_531, 65_535, 10, 12, 27, 28]);
    assert_eq!(nack.lost.len(), 2);
}

#[test]
fn bit_rates_keep_their_highest_bits() {
    for rate in [0, 1, 262_143, 262_144, 123_456_789, 1 << 40, u64::MAX >> 1] {
        let [RtcpPacket::Remb(remb)] =
            &read(&written(&RtcpPacket::Remb(Remb { sender: 0, bit_rate_bps: rate, ssrcs: vec![] })))[..]
        else {
            panic!("no REMB")
        };
        assert!(remb.bit_rate_bps <= rate && rate - remb.bit_rate_bps <= rate >> 17, "{rate}: {}", remb.bit_rate_bps);
    }
}

#[test]
fn round_trips_are_what_is_left_of_the_time() {
    let sent = ntp_of_unix(std::time::Duration::from_millis(1_700_000_000_000));
    assert_eq!(sent >> 32, 1_700_000_000 + 2_208_988_800);
    let report = ReportBlock { last_sender_report: (sent >> 16) as u32, delay: 65_536, ..ReportBlock::default() };
    let now = ntp_of_unix(std::time::Duration::from_millis(1_700_000_001_250));
    assert_eq!(report.round_trip(now).map(|time| time.as_millis()), Some(250));
    assert_eq!(report.round_trip(sent), None);
    assert_eq!(ReportBlock::default().round_trip(now), None);
}
