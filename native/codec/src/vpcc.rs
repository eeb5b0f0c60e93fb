//! `VPCodecConfigurationRecord` of VP8 and VP9 (VP Codec ISO Media File Format Binding), without the version and flags of
//! its box, and the `codecs` parameter.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Chroma, CodecError, Colour, VideoInfo};

/// Bytes of a record. Neither codec has initialization data.
const RECORD_BYTES: usize = 8;

/// `chromaSubsampling`: 4:2:0 with chroma between lines, or where luma is.
const CHROMA_420_VERTICAL: u8 = 0;
const CHROMA_420_COLOCATED: u8 = 1;
const CHROMA_422: u8 = 2;
const CHROMA_444: u8 = 3;

/// What a record says; the size is not in it.
pub(crate) fn parse(record: &[u8]) -> Result<VideoInfo, CodecError> {
    let malformed = |what, offset| CodecError::Malformed { what, offset };
    let head = record.first_chunk::<RECORD_BYTES>().ok_or(malformed("vpcC record", record.len().min(RECORD_BYTES)))?;
    let &[profile, level, format, primaries, transfer, matrix, s0, s1] = head;
    if profile > 3 {
        return Err(malformed("profile of vpcC", 0));
    }
    let bit_depth = format >> 4;
    if !matches!(bit_depth, 8 | 10 | 12) {
        return Err(malformed("bitDepth of vpcC", 2));
    }
    let chroma = match format >> 1 & 0b111 {
        CHROMA_420_VERTICAL | CHROMA_420_COLOCATED => Chroma::Yuv420,
        CHROMA_422 => Chroma::Yuv422,
        CHROMA_444 => Chroma::Yuv444,
        _ => return Err(malformed("chromaSubsampling of vpcC", 2)),
    };
    if usize::from(u16::from_be_bytes([s0, s1])) != record.len() - RECORD_BYTES {
        return Err(malformed("codecInitializationDataSize of vpcC", 6));
    }
    let colour = Colour { primaries, transfer, matrix, full_range: format & 1 == 1 };
    // Frames are in the order in which they are shown.
    Ok(VideoInfo { profile, level, bit_depth, chroma, colour, max_reorder_frames: Some(0), ..VideoInfo::default() })
}

/// The record that says this.
pub(crate) fn build(info: &VideoInfo) -> Bytes {
    let chroma = match info.chroma {
        Chroma::Yuv422 => CHROMA_422,
        Chroma::Yuv444 => CHROMA_444,
        // Where encoders of VP9 put chroma, and what is taken for granted where nothing is said.
        Chroma::Yuv420 | Chroma::Monochrome => CHROMA_420_COLOCATED,
    };
    let mut record = BytesMut::with_capacity(RECORD_BYTES);
    record.put_slice(&[info.profile, info.level]);
    record.put_u8(info.bit_depth << 4 | chroma << 1 | u8::from(info.colour.full_range));
    record.put_slice(&[info.colour.primaries, info.colour.transfer, info.colour.matrix, 0, 0]);
    record.freeze()
}

/// The `codecs` parameter: `vp09.PP.LL.DD`, and `.CC.cp.tc.mc.FF` behind it when one of these is not the default: all or none.
pub(crate) fn rfc6381(record: &[u8], info: &VideoInfo) -> String {
    let VideoInfo { profile, level, bit_depth, colour, .. } = info;
    let main = format!("vp09.{profile:02}.{level:02}.{bit_depth:02}");
    let chroma = record.get(2).map_or(CHROMA_420_COLOCATED, |format| format >> 1 & 0b111);
    let Colour { primaries, transfer, matrix, full_range } = *colour;
    let full_range = u8::from(full_range);
    // Unspecified colour means the default to every player, and is what encoders write that were told nothing.
    if matches!((chroma, primaries, transfer, matrix, full_range), (0 | 1, 1 | 2, 1 | 2, 1 | 2, 0)) {
        return main;
    }
    format!("{main}.{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full_range:02}")
}
