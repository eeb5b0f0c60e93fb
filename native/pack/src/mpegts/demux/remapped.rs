//! Maps that change in the middle of a stream: what stays goes on, and nothing that was announced is taken back for a while.

use arcly_bus::{Frame, TrackId};

use super::{
    super::{PACKET_BYTES, TsOptions},
    tests::{Read, frames, moved, mux, pat, pmt, section_packet, stream, tracks},
};
use crate::testing::{AUDIO, VIDEO};

/// Lines of a map.
type Lines<'a> = &'a [(u8, u16, &'a [u8])];

const LINES: Lines<'_> = &[(0x1B, 0x200, &[]), (0x0F, 0x201, &[])];

fn association(version: u8, number: u16) -> Vec<u8> {
    section_packet(0, version, &pat(version, &[(number, 0x1000)]))
}

fn map(version: u8, number: u16, lines: Lines<'_>) -> Vec<u8> {
    let (_, pcr_pid, _) = lines[0];
    section_packet(0x1000, version, &pmt(number, version, pcr_pid, lines))
}

/// The packets of a clip up to its middle, and those behind it.
fn halves() -> (Vec<u8>, Vec<u8>) {
    let stream = mux(&tracks(), &frames(30, 0, 1_000));
    let middle = stream.len() / PACKET_BYTES / 2 * PACKET_BYTES;
    let (first, second) = stream.split_at(middle);
    (moved(first, 0x200, 0x201), moved(second, 0x200, 0x201))
}

fn payloads(read: &Read, track: TrackId) -> Vec<&[u8]> {
    read.of(track).iter().map(|frame| &frame.payload[..]).collect()
}

/// The tracks of each announcement.
fn announced(read: &Read) -> Vec<Vec<u8>> {
    read.tracks.iter().map(|tracks| tracks.iter().map(|track| track.id.0).collect()).collect()
}

#[test]
fn a_map_that_says_more_of_a_stream_leaves_it_as_it_is() {
    let (first, second) = halves();
    let head = [association(0, 1), map(0, 1, LINES)].concat();
    let whole = Read::all(&[&head[..], &first, &second].concat());
    // maximum_bitrate_descriptor, CA_descriptor, ISO_639_language_descriptor.
    let said: Lines<'_> =
        &[(0x1B, 0x200, b"\x0E\x03\xC0\0\x20"), (0x0F, 0x201, b"\x09\x04\x0B\0\xE1\x23\x0A\x04deu\0")];
    let read = Read::all(&[&head[..], &first, &map(1, 1, said), &second].concat());
    assert!(read.facts() == whole.facts(), "no frame is missing, nor marked");
    assert_eq!(read.stats.dropped_pes + read.stats.dropped_frames + read.stats.continuity_errors, 0);
    assert_eq!(announced(&read), [vec![1], vec![0, 1], vec![0, 1]], "the third says the language");
    let languages: Vec<_> = read.tracks.iter().map(|tracks| tracks.last().unwrap().language).collect();
    assert_eq!(languages.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn streams_that_move_to_other_pids_stay_announced_and_keep_their_tracks() {
    let (first, second) = halves();
    let head = [association(0, 1), map(0, 1, LINES)].concat();
    let whole = Read::all(&[&head[..], &first, &second].concat());
    let elsewhere: Lines<'_> = &[(0x1B, 0x300, &[]), (0x0F, 0x301, &[])];
    let second: Vec<u8> = second
        .chunks(PACKET_BYTES)
        .flat_map(|packet| {
            // The same packets with another PID: 0x2?? becomes 0x3??.
            [&[packet[0], packet[1] | 1], &packet[2..]].concat()
        })
        .collect();
    let read = Read::all(&[&head[..], &first, &map(1, 1, elsewhere), &second].concat());
    assert_eq!(announced(&read), [vec![1], vec![0, 1]], "nothing has changed for readers");
    for (track, missing) in [(VIDEO, 10), (AUDIO, 2)] {
        let (seen, all) = (payloads(&read, track), payloads(&whole, track));
        assert!(seen.len() + missing >= all.len(), "track {}: {} of {}", track.0, seen.len(), all.len());
        let marked: Vec<&Frame> = read.of(track).into_iter().filter(|frame| frame.is_discontinuity()).collect();
        assert_eq!(marked.len(), 1, "track {}", track.0);
    }
    assert!(
        read.of(VIDEO).iter().find(|frame| frame.is_discontinuity()).unwrap().is_key(),
        "pictures go on with a key"
    );
}

#[test]
fn a_program_that_is_renumbered_goes_on() {
    let (first, second) = halves();
    let head = [association(0, 1), map(0, 1, LINES)].concat();
    let whole = Read::all(&[&head[..], &first, &second].concat());
    let renumbered = [association(1, 2), map(1, 2, LINES)].concat();
    let read = Read::all(&[&head[..], &first, &renumbered, &second].concat());
    assert!(read.facts() == whole.facts(), "no frame is missing, nor marked");
    assert_eq!(announced(&read), [vec![1], vec![0, 1]], "nothing has changed for readers");
    // The map may come later than the association.
    let (between, rest) = second.split_at(5 * PACKET_BYTES);
    let late = [&head[..], &first, &association(1, 2), between, &map(1, 2, LINES), rest].concat();
    assert!(Read::all(&late).facts() == whole.facts());
}

#[test]
fn another_program_in_the_place_of_the_one_that_was_read_begins_with_a_break() {
    let (first, _) = halves();
    let head = [association(0, 1), map(0, 1, LINES)].concat();
    let other: Lines<'_> = &[(0x1B, 0x300, &[]), (0x0F, 0x301, &[])];
    let second = moved(&stream(), 0x300, 0x301);
    let read = Read::all(&[&head[..], &first, &association(1, 2), &map(1, 2, other), &second].concat());
    assert_eq!(announced(&read), [vec![1], vec![0, 1]]);
    assert_eq!(read.frames.iter().filter(|frame| frame.is_discontinuity()).count(), 2);
    assert_eq!(payloads(&read, VIDEO).len(), 6 + payloads(&Read::all(&[head, first].concat()), VIDEO).len());
}

#[test]
fn who_asked_for_a_program_gets_no_other_that_has_its_pids() {
    let (first, second) = halves();
    let head = [association(0, 1), map(0, 1, LINES), first].concat();
    let renumbered = [association(1, 2), map(1, 2, LINES), second].concat();
    let options = TsOptions { program: Some(1), ..TsOptions::default() };
    let read = Read::pieces(&[&head[..], &renumbered].concat(), 1_316, options);
    assert!(read.facts() == Read::all(&head).facts());
    assert_eq!(announced(&read), [vec![1], vec![0, 1]]);
}
