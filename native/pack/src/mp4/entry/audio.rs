//! `AudioSampleEntry` (ISO/IEC 14496-12 §12.2.3).

use arcly_codec::{AudioInfo, CodecConfig};
use bytes::BufMut;

use super::{
    Extras, NO_ENTRY,
    esds::{OBJECT_AAC, put_esds},
    put_bit_rate, put_sample_entry,
};
use crate::{
    PackError,
    mp4::write::{put_full_record, put_record},
};

pub(super) fn put_entry(out: &mut Vec<u8>, config: &CodecConfig, extras: &Extras) -> Result<(), PackError> {
    let info = config.audio().unwrap_or_default();
    match config {
        CodecConfig::Aac(aac) => {
            let core = AudioInfo { sample_rate_hz: aac.sample_rate_hz, ..info };
            put(out, b"mp4a", core, extras, |out| put_esds(out, OBJECT_AAC, config.record(), extras.bit_rate));
        }
        CodecConfig::Mp3(mpeg) | CodecConfig::Mp2(mpeg) => {
            let object = mpeg.object_type_indication();
            put(out, b"mp4a", info, extras, |out| put_esds(out, object, &[], extras.bit_rate));
        }
        CodecConfig::Opus(opus) => {
            // Whatever the encoder was fed with (Opus-ISOBMFF §4.3.1).
            let info = AudioInfo { sample_rate_hz: 48_000, ..info };
            put(out, b"Opus", info, extras, |out| put_record(out, b"dOps", &opus.dops()));
        }
        CodecConfig::Flac(_) => {
            put(out, b"fLaC", info, extras, |out| put_full_record(out, b"dfLa", 0, config.record()));
        }
        CodecConfig::Ac3(_) => put(out, b"ac-3", info, extras, |out| put_record(out, b"dac3", config.record())),
        CodecConfig::Eac3(_) => put(out, b"ec-3", info, extras, |out| put_record(out, b"dec3", config.record())),
        CodecConfig::Pcm(_) => put_pcm(out, info, extras)?,
        CodecConfig::G711A(_) => put(out, b"alaw", AudioInfo { bits_per_sample: 16, ..info }, extras, |_| {}),
        CodecConfig::G711U(_) => put(out, b"ulaw", AudioInfo { bits_per_sample: 16, ..info }, extras, |_| {}),
        _ => return Err(NO_ENTRY),
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, kind: &[u8; 4], info: AudioInfo, extras: &Extras, record: impl FnOnce(&mut Vec<u8>)) {
    put_sample_entry(out, kind, |out| {
        out.put_bytes(0, 8);
        // A configuration that leaves the channels to the stream: players look there too, and 2 is the template value.
        out.put_u16(if info.channels == 0 { 2 } else { u16::from(info.channels) });
        out.put_u16(if info.bits_per_sample == 0 { 16 } else { u16::from(info.bits_per_sample) });
        out.put_u32(0);
        // 16.16; what does not fit is said by the record and by the timescale.
        out.put_u32(u16::try_from(info.sample_rate_hz).map_or(0, |rate| u32::from(rate) << 16));
        record(out);
        put_bit_rate(out, extras.bit_rate);
    });
}

/// `ipcm` knows samples of 16, 24 and 32 bits (ISO/IEC 23003-5 §5.1); QuickTime's `twos` has the eight that are left.
fn put_pcm(out: &mut Vec<u8>, info: AudioInfo, extras: &Extras) -> Result<(), PackError> {
    match info.bits_per_sample {
        8 => put(out, b"twos", info, extras, |_| {}),
        // format_flags: big-endian.
        bits @ (16 | 24 | 32) => put(out, b"ipcm", info, extras, |out| put_full_record(out, b"pcmC", 0, &[0, bits])),
        _ => return Err(PackError::Unsupported { what: "bits per PCM sample in MP4" }),
    }
    Ok(())
}
