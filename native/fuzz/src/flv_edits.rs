//! Edits of FLV tags that leave the tags behind them readable, so that a demuxer gets deep into a broken stream.

use crate::{
    avc::edit_record,
    bit_edits::edit_bits,
    flv::{FILE_HEADER, Tag, VIDEO, read_tags, write_tags},
    mutate::edge,
    random::Random,
};

/// Between repeated tags: none, a sample, a frame, what jitter, gaps and wraps are judged by, and a step back.
const STEPS_MS: [u32; 9] = [0, 1, 21, 40, 999, 2_500, 9_900, 0x7fff_ffff, u32::MAX];
/// In front of a video body: the types of frame and packet in the old form, and in that of Enhanced RTMP.
const VIDEO_HEADERS: [[u8; 2]; 17] = [
    [0x17, 0],
    [0x17, 1],
    [0x27, 1],
    [0x27, 0],
    [0x17, 2],
    [0x57, 1],
    [0x12, 1],
    [0x90, b'a'],
    [0x91, b'a'],
    [0x94, b'a'],
    [0x96, 0x00],
    [0x96, 0x11],
    [0x96, 0x21],
    [0x97, 2],
    [0x93, b'h'],
    [0x1c, 0],
    [0x1c, 1],
];
/// The same for audio.
const AUDIO_HEADERS: [[u8; 2]; 12] = [
    [0xaf, 0],
    [0xaf, 1],
    [0x2f, 0xff],
    [0xe2, 0xff],
    [0x3f, 1],
    [0x72, 1],
    [0x90, b'm'],
    [0x91, b'm'],
    [0x92, b'm'],
    [0x95, 0x00],
    [0x95, 0x11],
    [0x97, 2],
];

/// Edits one of the tags of an input that has nothing else.
pub fn edit_tags(random: &mut Random, bytes: &mut Vec<u8>) {
    let mut tags = read_tags(bytes);
    let at = random.below(tags.len());
    match random.below(8) {
        0 => tags.iter_mut().skip(at).take(1).for_each(|tag| tag.timestamp_ms = timestamp(random, tag.timestamp_ms)),
        1 => shift(random, &mut tags, at),
        2 => repeat(random, &mut tags, at),
        3 => drop(tags.drain(at..at.saturating_add(1 + random.below(20)).min(tags.len()))),
        4 => copy(random, &mut tags, at),
        5 => tags.iter_mut().skip(at).take(1).for_each(|tag| set_header(random, tag)),
        6 => edit_any_config(random, &mut tags),
        _ => tags.iter_mut().skip(at).take(1).for_each(|tag| edit_bits(random, &mut tag.body)),
    }
    *bytes = write_tags(&tags);
}

/// Edits one of the tags behind the header of a file.
pub fn edit_file(random: &mut Random, bytes: &mut Vec<u8>) {
    let mut tags = bytes.split_off(bytes.len().min(FILE_HEADER.len()));
    edit_tags(random, &mut tags);
    bytes.append(&mut tags);
}

fn timestamp(random: &mut Random, present_ms: u32) -> u32 {
    match random.below(3) {
        0 => edge(random) as u32,
        1 => random.next() as u32,
        _ => present_ms.wrapping_add(step(random)),
    }
}

fn step(random: &mut Random) -> u32 {
    let step = random.pick(&STEPS_MS).copied().unwrap_or_default();
    if random.below(4) == 0 { step.wrapping_neg() } else { step }
}

/// The clock jumps: for all tracks, or for one of them.
fn shift(random: &mut Random, tags: &mut [Tag], at: usize) {
    let (jump_ms, both) = (timestamp(random, 0), random.below(2) == 0);
    let kind = tags.get(at).map_or(VIDEO, |tag| tag.kind);
    for tag in tags.iter_mut().skip(at).filter(|tag| both || tag.kind == kind) {
        tag.timestamp_ms = tag.timestamp_ms.wrapping_add(jump_ms);
    }
}

/// The same tag, up to 256 times, at a steady pace.
fn repeat(random: &mut Random, tags: &mut Vec<Tag>, at: usize) {
    let (times, step_ms) = (1 << random.below(9), step(random));
    let Some(tag) = tags.get(at).filter(|tag| tag.body.len() < 1000).cloned() else { return };
    let later = (1..=times).map(|index: u32| {
        let timestamp_ms = tag.timestamp_ms.wrapping_add(step_ms.wrapping_mul(index));
        Tag { timestamp_ms, ..tag.clone() }
    });
    tags.splice(at..at, later.collect::<Vec<_>>());
}

/// A tag comes again elsewhere, with its own time or with that of its new neighbour.
fn copy(random: &mut Random, tags: &mut Vec<Tag>, at: usize) {
    let Some(mut tag) = random.pick(tags).cloned() else { return };
    if random.below(2) == 0 {
        tag.timestamp_ms = tags.get(at).map_or(0, |neighbour| neighbour.timestamp_ms);
    }
    tags.insert(at, tag);
}

fn set_header(random: &mut Random, tag: &mut Tag) {
    let headers: &[[u8; 2]] = if tag.kind == VIDEO { &VIDEO_HEADERS } else { &AUDIO_HEADERS };
    let header = random.pick(headers).copied().unwrap_or_default();
    for (byte, new) in tag.body.iter_mut().zip(header) {
        *byte = new;
    }
    if let Some(composition) = tag.body.get_mut(2..5).filter(|_| random.below(2) == 0) {
        let [_, new @ ..] = (edge(random) as u32).to_be_bytes();
        composition.copy_from_slice(&new);
    }
}

/// One of the sequence headers.
fn edit_any_config(random: &mut Random, tags: &mut [Tag]) {
    let is_config = |tag: &&mut Tag| matches!(tag.body.get(..2), Some([0x17 | 0xaf, 0]));
    let mut configs: Vec<_> = tags.iter_mut().filter(is_config).collect();
    let at = random.below(configs.len());
    let Some(tag) = configs.get_mut(at) else { return };
    let is_video = tag.kind == VIDEO;
    let mut record = tag.body.split_off(tag.body.len().min(if is_video { 5 } else { 2 }));
    if is_video {
        edit_record(random, &mut record)
    } else {
        edit_bits(random, &mut record)
    }
    tag.body.append(&mut record);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::publishes;

    #[test]
    fn edits_end_with_any_input_and_leave_tags() {
        for number in 0..3000 {
            let mut random = Random::new(1, number);
            let mut bytes = random.pick(&publishes()[1..]).cloned().unwrap();
            edit_tags(&mut random, &mut bytes);
            assert_eq!(write_tags(&read_tags(&bytes)), bytes, "{number}");
        }
        edit_tags(&mut Random::new(1, 1), &mut Vec::new());
        edit_file(&mut Random::new(1, 1), &mut b"FLV".to_vec());
    }
}
