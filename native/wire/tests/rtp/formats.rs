//! Every payload format: there and back, and with each packet lost once.

use arcly_wire::rtp::AccessUnit;
use bytes::Bytes;

use crate::{
    media::{KINDS, Media, media},
    stream::{Reader, Rng, Sender},
};

const TICKS: u32 = 20_000;

/// The packets of each access unit.
fn packets(media: &Media, max: usize) -> Vec<Vec<Bytes>> {
    let mut sender = Sender::new(&media.format, &media.config, max);
    media.units.iter().map(|(unit, is_key)| sender.send(unit, *is_key, TICKS)).collect()
}

/// Waveforms are cut where a packet ends: a sample is a sample.
fn is_waveform(kind: usize) -> bool {
    (8..=12).contains(&kind)
}

fn bytes(units: &[AccessUnit]) -> Vec<&[u8]> {
    units.iter().map(|unit| unit.payload.as_ref()).collect()
}

#[test]
fn access_units_of_every_codec_come_back() {
    for kind in 0..KINDS {
        for max in [64, 99, 500, 1_200, 1_460, 60_000] {
            let media = media(kind, 25, &mut Rng((kind * 7 + max) as u64));
            let mut reader = Reader::new(&media.format);
            let read: Vec<_> = packets(&media, max).iter().flatten().flat_map(|packet| reader.push(packet)).collect();
            let sent: Vec<&[u8]> = media.units.iter().map(|(unit, _)| unit.as_slice()).collect();
            let what = (media.format.encoding, max);
            assert!(read.iter().all(|unit| !unit.follows_loss), "{what:?}");
            assert_eq!(read.iter().filter(|unit| unit.config.is_some()).count(), 1, "{what:?}");
            assert_eq!(
                read[0].config.as_deref().map(|config| config.record()),
                Some(media.config.record()),
                "{what:?}"
            );
            if is_waveform(kind) {
                assert_eq!(bytes(&read).concat(), sent.concat(), "{what:?}");
                continue;
            }
            assert_eq!(bytes(&read), sent, "{what:?}");
            let times: Vec<i64> = (0..25).map(|index| 0xffff_fff0 + i64::from(TICKS) * index).collect();
            assert_eq!(read.iter().map(|unit| unit.timestamp).collect::<Vec<_>>(), times, "{what:?}");
            let keys: Vec<bool> = media.units.iter().map(|(_, is_key)| *is_key).collect();
            assert_eq!(read.iter().map(|unit| unit.is_key).collect::<Vec<_>>(), keys, "{what:?}");
        }
    }
}

/// What comes out is what went in but for what is torn, in its order; and what follows a hole says so.
#[test]
fn each_lost_packet_is_told_and_nothing_is_torn() {
    for kind in (0..KINDS).filter(|&kind| !is_waveform(kind)) {
        let media = media(kind, 12, &mut Rng(kind as u64 + 1));
        let packets = packets(&media, 400);
        let flat: Vec<(usize, &Bytes)> = packets
            .iter()
            .enumerate()
            .flat_map(|(unit, packets)| packets.iter().map(move |packet| (unit, packet)))
            .collect();
        for lost in 0..flat.len() {
            let mut reader = Reader::new(&media.format);
            let kept = flat.iter().enumerate().filter(|(index, _)| *index != lost);
            let read: Vec<AccessUnit> = kept.flat_map(|(_, (_, packet))| reader.push(packet)).collect();
            let position = |unit: &AccessUnit| {
                let found = media.units.iter().position(|(sent, _)| *sent == unit.payload);
                found.unwrap_or_else(|| panic!("{:?}: torn when {lost} is lost", media.format.encoding))
            };
            let found: Vec<usize> = read.iter().map(position).collect();
            assert!(found.is_sorted_by(|a, b| a < b), "{:?} {found:?}", media.format.encoding);
            let of = flat[lost].0;
            // Of AV1 and LATM the next one may have been torn too, and video without its first key frame is nothing.
            let is_missing = |unit: &usize| !found.contains(unit);
            let missing: Vec<usize> = (0..12).filter(is_missing).collect();
            let allowed = |unit: usize| unit == of || unit == of + 1 && matches!(kind, 4 | 6) || of == 0;
            assert!(
                missing.iter().all(|&unit| allowed(unit)),
                "{:?} {lost} of {of}: {missing:?}",
                media.format.encoding
            );
            // Behind the hole, if something comes there; the very first packet is missed by nobody.
            for (unit, place) in read.iter().zip(&found) {
                let is_behind_hole = missing.contains(&place.wrapping_sub(1)) && *place > 0 && lost > 0;
                assert!(!is_behind_hole || unit.follows_loss, "{:?} {lost}: {place}", media.format.encoding);
            }
        }
    }
}
