//! What a line of the Program Map means that nothing here can read, for a person.

use super::coding::Coding;
use crate::mpegts::demux::psi::{Descriptors, MappedStream};

/// The name of media that cannot be read; `None` for what can, and for what is no media.
pub(in crate::mpegts::demux) fn unread(stream: &MappedStream, program: &Descriptors) -> Option<&'static str> {
    if Coding::of(stream, program).is_some() {
        return None;
    }
    let is_disc = matches!(program.registration(), Some(b"HDMV" | b"HDPR"));
    match stream.stream_type {
        // Sections, carousels and what is said about other streams (Table 2-34).
        0x05 | 0x08 | 0x0A..=0x0E | 0x13 | 0x14 | 0x16..=0x1A | 0x27 | 0x2C | 0x2F | 0x7F => None,
        0x01 => Some("MPEG-1 video"),
        0x02 => Some("MPEG-2 video"),
        0x06 => Some(private(&stream.descriptors)),
        0x10 => Some("MPEG-4 part 2 video"),
        0x15 => Some("metadata"),
        0x1C => Some("MPEG-4 audio"),
        0x1F | 0x20 | 0x22 | 0x23 | 0x25 | 0x26 | 0x28..=0x2B | 0x30 | 0x31 | 0x34 | 0x36 => {
            Some("enhancement of other video")
        }
        0x21 => Some("JPEG 2000"),
        0x2D | 0x2E => Some("MPEG-H audio"),
        0x32 => Some("JPEG XS"),
        0x35 => Some("EVC video"),
        0x42 => Some("AVS video"),
        0x80 if is_disc => Some("LPCM"),
        0x82 | 0x85 | 0x86 | 0xA2 if is_disc => Some("DTS"),
        0x83 if is_disc => Some("TrueHD"),
        0x90..=0x92 if is_disc => Some("graphics of a disc"),
        0x8A => Some("DTS"),
        0xD1 => Some("Dirac video"),
        0xD2 => Some("AVS2 video"),
        0xD4 => Some("AVS3 video"),
        0xEA => Some("VC-1 video"),
        _ => Some("stream of an unknown kind"),
    }
}

/// `stream_type` 0x06.
fn private(descriptors: &Descriptors) -> &'static str {
    match descriptors.registration() {
        Some(b"DTS1" | b"DTS2" | b"DTS3") => return "DTS",
        Some(b"AC-4") => return "AC-4",
        Some(b"BSSD") => return "SMPTE ST 302 audio",
        Some(b"VANC") => return "ancillary data",
        Some(b"Opus") => return "Opus of unknown channels",
        Some(b"DOVI") => return "enhancement of other video",
        _ => {}
    }
    // ETSI EN 300 468 §6.1 and Annex D; ARIB STD-B10 for the last.
    let names = [
        (0x56, "DVB teletext"),
        (0x59, "DVB subtitles"),
        (0x7B, "DTS"),
        (0x45, "VBI data"),
        (0x46, "VBI teletext"),
        (0xFD, "ARIB captions or data"),
    ];
    if descriptors.extension(0x15).is_some() {
        return "AC-4";
    }
    names.iter().find(|(tag, _)| descriptors.find(*tag).is_some()).map_or("private data", |(_, name)| name)
}
