//! VP9 (RFC 9628).

use arcly_codec::{
    CodecConfig, CodecError,
    cursor::Cursor,
    vp9::{Vp9Config, is_key, picture_size},
};
use bytes::{BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Depacketize, Output},
    fragments::{Fragments, Whole},
    packetizer::{Packetize, Payload, Sink},
};
use crate::rtp::Packet;

/// Bits of the payload descriptor (§4.2).
const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;

/// Reference indices of flexible mode (§4.2, `P_DIFF`).
const MAX_REFERENCES: usize = 3;
/// Frames of a superframe (VP9 bitstream specification §B.2).
const MAX_FRAMES: usize = 8;

/// Bytes of the descriptor that is written, and of the structure in it (§4.2.1): one spatial layer with its size.
const DESCRIPTOR_BYTES: usize = 3;
const STRUCTURE_BYTES: usize = 5;

#[derive(Debug)]
pub(super) struct Packetizer {
    max_bytes: usize,
    picture_id: u16,
}

impl Packetizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, picture_id: 0 }
    }

    /// The descriptor, and how many bytes it has.
    fn descriptor(&self, is_key: bool, is_first: bool, is_last: bool, size: Option<(u16, u16)>) -> ([u8; 8], usize) {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let size = size.filter(|_| is_first);
        let flags = PICTURE_ID
            | flag(!is_key, PREDICTED)
            | flag(is_first, BEGIN)
            | flag(is_last, END)
            | flag(size.is_some(), STRUCTURE);
        let [p0, p1] = (0x8000 | self.picture_id).to_be_bytes();
        let Some((width, height)) = size else { return ([flags, p0, p1, 0, 0, 0, 0, 0], DESCRIPTOR_BYTES) };
        let ([w0, w1], [h0, h1]) = (width.to_be_bytes(), height.to_be_bytes());
        // N_S 0, Y 1, G 0.
        ([flags, p0, p1, 0x10, w0, w1, h0, h1], DESCRIPTOR_BYTES + STRUCTURE_BYTES)
    }
}

/// Width and height of a key frame, as far as they fit into the structure.
fn size_of(access_unit: &[u8]) -> Option<(u16, u16)> {
    let (width, height) = picture_size(access_unit)?;
    Some((width.try_into().ok()?, height.try_into().ok()?))
}

impl Packetize for Packetizer {
    /// Non-flexible mode, one layer: the superframe is the frame.
    fn packetize(&mut self, access_unit: &[u8], is_key: bool, sink: Sink<'_>) -> Result<(), CodecError> {
        let size = if is_key { size_of(access_unit) } else { None };
        let (mut rest, mut is_first) = (access_unit, true);
        while !rest.is_empty() {
            let head_bytes = DESCRIPTOR_BYTES + if is_first && size.is_some() { STRUCTURE_BYTES } else { 0 };
            let (body, behind) = rest.split_at_checked(self.max_bytes - head_bytes).unwrap_or((rest, &[]));
            rest = behind;
            let (head, head_bytes) = self.descriptor(is_key, is_first, rest.is_empty(), size);
            let head = head.get(..head_bytes).unwrap_or_default();
            sink(Payload { head, body, marker: rest.is_empty(), timestamp_offset: 0 });
            is_first = false;
        }
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
        Ok(())
    }
}

/// What of the descriptor is of use.
struct Descriptor {
    begins: bool,
    ends: bool,
    spatial_id: u8,
}

impl Descriptor {
    fn read(fields: &mut Cursor<'_>) -> Option<Self> {
        let first = fields.u8()?;
        if first & PICTURE_ID != 0 && fields.u8()? & 0x80 != 0 {
            fields.u8()?;
        }
        let mut spatial_id = 0;
        if first & LAYERS != 0 {
            spatial_id = fields.u8()? >> 1 & 0b111;
            if first & FLEXIBLE == 0 {
                // TL0PICIDX.
                fields.u8()?;
            }
        }
        if first & FLEXIBLE != 0 && first & PREDICTED != 0 {
            let mut references = 1;
            while fields.u8()? & 1 != 0 {
                references += 1;
                if references > MAX_REFERENCES {
                    return None;
                }
            }
        }
        if first & STRUCTURE != 0 {
            skip_structure(fields)?;
        }
        Some(Self { begins: first & BEGIN != 0, ends: first & END != 0, spatial_id })
    }
}

/// Steps over the scalability structure (§4.2.1).
fn skip_structure(fields: &mut Cursor<'_>) -> Option<()> {
    let head = fields.u8()?;
    if head & 0x10 != 0 {
        fields.take(4 * (usize::from(head >> 5) + 1))?;
    }
    let pictures = if head & 0x08 != 0 { fields.u8()? } else { 0 };
    for _ in 0..pictures {
        let references = fields.u8()? >> 2 & 0b11;
        fields.take(usize::from(references))?;
    }
    Some(())
}

#[derive(Debug)]
pub(super) struct Depacketizer {
    fragments: Fragments,
    /// Where the layer frames of the picture end.
    ends: Vec<usize>,
}

impl Depacketizer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { fragments: Fragments::new(max_bytes), ends: Vec::new() }
    }

    fn emit(&mut self, (picture, timestamp): Whole, out: &mut Output) {
        let picture = superframe(picture, &std::mem::take(&mut self.ends));
        let is_key = is_key(&picture);
        if is_key && let Ok(config) = Vp9Config::from_frame(&picture, None) {
            out.set_config(CodecConfig::Vp9(config));
        }
        out.emit(picture, timestamp, 0, is_key);
    }
}

/// Layer frames behind each other become a superframe, by an index at the end (VP9 bitstream specification §B.2).
fn superframe(picture: Bytes, ends: &[usize]) -> Bytes {
    let whole = ends.last() == Some(&picture.len());
    if ends.len() < 2 || ends.len() > MAX_FRAMES || !whole {
        return picture;
    }
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let sizes: Vec<u32> = begins.zip(ends).map(|(begin, end)| end.saturating_sub(begin) as u32).collect();
    let greatest = sizes.iter().copied().max().unwrap_or_default();
    let size_bytes = (4 - greatest.leading_zeros() as usize / 8).max(1);
    let marker = 0b1100_0000 | (size_bytes as u8 - 1) << 3 | (sizes.len() as u8 - 1);
    let mut bytes = BytesMut::with_capacity(picture.len() + 2 + size_bytes * sizes.len());
    bytes.put_slice(&picture);
    bytes.put_u8(marker);
    sizes.iter().for_each(|size| bytes.put_uint_le(u64::from(*size), size_bytes));
    bytes.put_u8(marker);
    bytes.freeze()
}

impl Depacketize for Depacketizer {
    fn push(&mut self, packet: &Packet, is_after_gap: bool, out: &mut Output) -> Result<(), CodecError> {
        if let Some(whole) = self.fragments.turn(packet, is_after_gap, out) {
            self.emit(whole, out);
        }
        let mut fields = Cursor::new(&packet.payload);
        let Some(descriptor) = Descriptor::read(&mut fields) else {
            self.fragments.damage(out);
            return Err(CodecError::Malformed { what: "VP9 payload descriptor", offset: fields.offset() });
        };
        // A layer frame within a picture begins too. Behind a gap the lower layers may be missing.
        let may_begin = descriptor.spatial_id == 0 || !is_after_gap;
        let begins = descriptor.begins && may_begin && !self.fragments.is_open();
        if begins {
            self.ends.clear();
        }
        let bytes = self.fragments.len() + fields.rest().len();
        if descriptor.ends && self.ends.len() <= MAX_FRAMES {
            self.ends.push(bytes);
        }
        if let Some(whole) = self.fragments.push(fields.rest(), begins, packet.header.marker, out)? {
            self.emit(whole, out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output) {
        if let Some(whole) = self.fragments.flush(out) {
            self.emit(whole, out);
        }
    }

    fn reset(&mut self) {
        self.fragments.reset();
    }

    fn buffered_bytes(&self) -> usize {
        self.fragments.len()
    }
}
