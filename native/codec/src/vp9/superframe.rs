//! Superframes (VP9 bitstream specification Annex B): a shown frame, and in front of it such as are only for others.

use super::header::{FrameHeader, size};

/// `superframe_marker` in the upper three bits of the last byte.
const MARKER: u8 = 0b110;
/// Most frames of a superframe.
const MAX_FRAMES: usize = 8;

/// The frames of `payload`: those that its superframe index lists, or itself when it has none. An index that does not add up
/// is no index (§B.3).
pub fn frames(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (sizes, count) = index(payload).unwrap_or(([payload.len(); MAX_FRAMES], usize::from(!payload.is_empty())));
    let mut offset = 0;
    sizes.into_iter().take(count).filter_map(move |size| {
        let frame = payload.get(offset..offset + size);
        offset += size;
        // A frame of no bytes is skipped (§B.3).
        frame.filter(|frame| !frame.is_empty())
    })
}

/// The sizes of the frames, and how many there are.
fn index(payload: &[u8]) -> Option<([usize; MAX_FRAMES], usize)> {
    let &last = payload.last()?;
    if last >> 5 != MARKER {
        return None;
    }
    let (count, size_bytes) = (usize::from(last & 0b111) + 1, usize::from(last >> 3 & 0b11) + 1);
    let index_at = payload.len().checked_sub(2 + count * size_bytes)?;
    let (frames, index) = payload.split_at_checked(index_at)?;
    let (&first, sizes) = index.split_first()?;
    if first != last {
        return None;
    }
    let mut list = [0; MAX_FRAMES];
    for (entry, size) in list.iter_mut().zip(sizes.chunks_exact(size_bytes).take(count)) {
        *entry = size.iter().rev().fold(0, |size, &byte| size << 8 | usize::from(byte));
    }
    let sum: usize = list.iter().sum();
    (sum <= frames.len()).then_some((list, count))
}

/// Width and height of the picture: those of its largest frame, since of spatial layers each is larger than the one in front (RFC 9628 §3). `None` when
/// no frame says its size.
pub fn picture_size(payload: &[u8]) -> Option<(u32, u32)> {
    frames(payload).filter_map(size).max_by_key(|&(width, height)| u64::from(width) * u64::from(height))
}

/// Whether decoding can begin here: the first frame is a key frame. A malformed frame is none.
pub fn is_key(payload: &[u8]) -> bool {
    let first = frames(payload).next().map(FrameHeader::parse);
    first.is_some_and(|header| header.is_ok_and(|header| header.is_key))
}

/// Whether other frames may need this one: one that nobody needs can be dropped without harm. `true` when in doubt.
pub fn is_reference(payload: &[u8]) -> bool {
    let needed = |frame| FrameHeader::parse(frame).map_or(true, |header| header.refresh_frame_flags != 0);
    frames(payload).any(needed)
}
