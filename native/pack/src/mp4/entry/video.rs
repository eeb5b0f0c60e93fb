//! `VisualSampleEntry` (ISO/IEC 14496-12 §12.1.3).

use arcly_bus::Track;
use arcly_codec::{CodecConfig, Colour, DolbyVision, Hdr, VideoInfo};
use bytes::BufMut;

use super::{Extras, NO_ENTRY, put_bit_rate, put_sample_entry};
use crate::{
    PackError,
    mp4::write::{put_box, put_full_record, put_record},
};

/// 72 dots per inch as 16.16: what the standard makes everybody write.
const RESOLUTION: u32 = 0x0048_0000;
/// Colour without alpha.
const DEPTH: u16 = 0x0018;

pub(super) fn put_entry(out: &mut Vec<u8>, track: &Track, extras: &Extras) -> Result<(), PackError> {
    let config = &track.config;
    let (kind, record, version) = match config {
        CodecConfig::H264(_) => (b"avc1", b"avcC", None),
        CodecConfig::H265(_) => (b"hvc1", b"hvcC", None),
        // The record is in a full box (ISO/IEC 14496-15 §11.2.4.2.3), that of VP8 and VP9 in one of version 1.
        CodecConfig::H266(_) => (b"vvc1", b"vvcC", Some(0)),
        CodecConfig::Av1(_) => (b"av01", b"av1C", None),
        CodecConfig::Vp9(_) => (b"vp09", b"vpcC", Some(1)),
        CodecConfig::Vp8(_) => (b"vp08", b"vpcC", Some(1)),
        _ => return Err(NO_ENTRY),
    };
    let info = config.video().unwrap_or_default();
    let named = track.dolby_vision.filter(DolbyVision::is_alone).and(DolbyVision::entry_kind(config.codec()));
    put_sample_entry(out, named.unwrap_or(kind), |out| {
        put_picture_size(out, &info);
        match version {
            Some(version) => put_full_record(out, record, version, config.record()),
            None => put_record(out, record, config.record()),
        }
        if let Some(found) = track.dolby_vision {
            put_record(out, found.box_kind(), &found.record());
        }
        put_colour(out, info.colour);
        put_sample_aspect_ratio(out, info.sample_aspect_ratio);
        put_hdr(out, &track.hdr);
        put_bit_rate(out, extras.bit_rate);
    });
    Ok(())
}

fn put_picture_size(out: &mut Vec<u8>, info: &VideoInfo) {
    out.put_bytes(0, 16);
    out.put_u16(u16::try_from(info.width).unwrap_or(u16::MAX));
    out.put_u16(u16::try_from(info.height).unwrap_or(u16::MAX));
    out.put_u32(RESOLUTION);
    out.put_u32(RESOLUTION);
    out.put_u32(0);
    // One frame a sample; no name of a compressor.
    out.put_u16(1);
    out.put_bytes(0, 32);
    out.put_u16(DEPTH);
    out.put_i16(-1);
}

/// `colr` of type `nclx` (§12.1.5), when there is anything to say.
fn put_colour(out: &mut Vec<u8>, colour: Colour) {
    if colour == Colour::default() {
        return;
    }
    put_box(out, b"colr", |out| {
        out.put_slice(b"nclx");
        out.put_u16(u16::from(colour.primaries));
        out.put_u16(u16::from(colour.transfer));
        out.put_u16(u16::from(colour.matrix));
        out.put_u8(u8::from(colour.full_range) << 7);
    });
}

/// `pasp` (§12.1.4).
fn put_sample_aspect_ratio(out: &mut Vec<u8>, ratio: Option<(u32, u32)>) {
    let Some((width, height)) = ratio else { return };
    put_box(out, b"pasp", |out| {
        out.put_u32(width);
        out.put_u32(height);
    });
}

/// `mdcv` and `clli` (§12.1.6, §12.1.7).
fn put_hdr(out: &mut Vec<u8>, hdr: &Hdr) {
    if let Some(display) = hdr.mastering {
        put_box(out, b"mdcv", |out| {
            for (x, y) in display.primaries.into_iter().chain([display.white_point]) {
                out.put_u16(x);
                out.put_u16(y);
            }
            out.put_u32(display.max_luminance);
            out.put_u32(display.min_luminance);
        });
    }
    if let Some(light) = hdr.content_light {
        put_box(out, b"clli", |out| {
            out.put_u16(light.max_cll);
            out.put_u16(light.max_fall);
        });
    }
}
