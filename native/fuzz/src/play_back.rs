//! Files that are played back: what a playlist names lies within the file, and can be made or is refused.

use std::sync::Arc;

use arcly_pack::{
    container::Container,
    mp4::{Outline, OutlineReader, Step},
    vod::{Form, PackedOutline, Piece, Remux, SampleOutliner, StreamOutliner, Vod},
};
use bytes::Bytes;

use crate::mutate::Input;

/// Bytes of a file; that they are there is what is checked.
pub fn slice(file: &Bytes, offset: u64, bytes: usize) -> Bytes {
    let end = offset.checked_add(bytes as u64).filter(|&end| end <= file.len() as u64);
    assert!(end.is_some() && bytes > 0, "{bytes} bytes at {offset} of {}", file.len());
    file.slice(offset as usize..offset as usize + bytes)
}

/// Whether an input is played back: one of eight is. It takes the time of many inputs of the parser that reads it first.
pub fn is_due(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).is_multiple_of(8)
}

/// A fragmented MP4 file.
pub fn fragments(file: &Bytes) {
    let mut reader = OutlineReader::new(file.len() as u64);
    loop {
        match reader.step() {
            Ok(Some(Step::Read { offset, bytes })) => reader.supply(offset, slice(file, offset, bytes)),
            Ok(_) => break,
            Err(_) => return,
        }
    }
    let outline = reader.finish();
    let init = file.slice(..outline.init_bytes as usize);
    play(file, outline, init, Form::Stream(Container::Mp4));
}

/// An MP4 file with tables.
pub fn samples(file: &Bytes) {
    let file_bytes = file.len() as u64;
    let mut outliner = SampleOutliner::new(file_bytes);
    loop {
        match outliner.step() {
            Ok(Some(Step::Read { offset, bytes })) => outliner.supply(offset, slice(file, offset, bytes)),
            Ok(_) => break,
            Err(_) => return,
        }
    }
    let Ok(outline) = outliner.finish() else { return };
    let init = file.slice(..(outline.init_bytes as usize).min(file.len()));
    play(file, outline, init, Form::Samples { file_bytes });
}

/// A recorded stream, in pieces; what is found does not depend on how it is cut.
pub fn stream(container: Container, input: &Input) {
    let file = Bytes::copy_from_slice(&input.bytes);
    let whole = outline_of(container, [&file[..]].into_iter());
    let pieces = outline_of(container, input.pieces());
    assert_eq!(whole, pieces, "the cuts change the outline");
    if let Some((outline, init)) = whole {
        kept(&file, container, &outline);
        play(&file, outline, init, Form::Stream(container));
    }
}

fn outline_of<'a>(container: Container, pieces: impl Iterator<Item = &'a [u8]>) -> Option<(Outline, Bytes)> {
    let mut outliner = StreamOutliner::new(container).ok()?;
    for piece in pieces {
        outliner.push(piece).ok()?;
    }
    outliner.outline().ok()
}

/// An outline that was kept is the same again, or is refused.
fn kept(file: &Bytes, container: Container, outline: &Outline) {
    let Ok(mut outliner) = StreamOutliner::new(container) else { return };
    let packed = outliner.push(file).and_then(|()| outliner.pack());
    let Ok(Some(packed)) = packed else { return };
    let Ok(kept) = PackedOutline::parse(&packed.into()) else {
        assert!(outline.fragments.is_empty(), "what was packed is refused");
        return;
    };
    assert_eq!(kept.file_bytes, file.len() as u64);
    let part = slice(file, kept.tracks_in.offset, kept.tracks_in.bytes as usize);
    if let Ok((again, _)) = kept.with_part(&part) {
        assert_eq!(again, *outline);
    }
}

fn play(file: &Bytes, outline: Outline, init: Bytes, form: Form) {
    let ranges = || outline.fragments.iter().map(|fragment| fragment.range);
    if matches!(form, Form::Stream(_)) {
        ranges().for_each(|range| drop(slice(file, range.offset, range.bytes as usize)));
    }
    let piece = Piece {
        outline: Arc::new(outline),
        init,
        form,
        number: 0,
        position_us: 0,
        base_ticks: 0,
        base_hz: 1,
        follows: false,
        began_unix_ms: 0,
    };
    let vod = Vod::new(vec![piece], true);
    let _ = (vod.multivariant_playlist(), vod.manifest());
    for track in vod.tracks() {
        let playlist = vod.media_playlist(track.id).unwrap_or_default();
        assert!(!playlist.is_empty(), "no playlist of a track that is there");
        for name in playlist.lines().filter_map(|line| line.strip_suffix(".m4s")) {
            let Some(begin) = name.split_once('-').and_then(|(_, begin)| begin.parse().ok()) else { continue };
            // Where times go back within a file, names are not in their order and some lead nowhere.
            let Some(segment) = vod.segment(track.id, begin) else { continue };
            let _ = part(file, segment.range).map(|bytes| vod.segment_bytes(&segment, &bytes));
        }
    }
    if let Some(plan) = vod.clip(0, i64::MAX)
        && let Ok(Some((remux, parts))) = Remux::new(&vod, plan)
    {
        for (number, one) in (1..).zip(&parts) {
            let _ = part(file, one.range).map(|bytes| remux.fragment(&vod, number, one, &bytes));
        }
    }
}

/// What a file has of a range: tables may name more.
fn part(file: &Bytes, range: arcly_pack::mp4::Range) -> Option<Bytes> {
    let end = range.offset.checked_add(range.bytes).filter(|&end| end <= file.len() as u64)?;
    Some(file.slice(range.offset as usize..end as usize))
}
