//! Reading descriptions.

use super::{Description, Direction, Format, Media, of_static_type};
use crate::rtsp::{Limits, RtspError};

/// Formats of one track that are read; cameras offer one, browsers dozens.
const FORMATS_MAX: usize = 64;
/// Keys of one track that are read.
const KEYS_MAX: usize = 8;
/// Bytes of a text that is kept; parameter sets in Base64 are the longest real ones.
const TEXT_BYTES_MAX: usize = 16 << 10;

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`RtspError`] when it has no track, or more than `limits` allow.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Self, RtspError> {
        let text = String::from_utf8_lossy(text);
        let mut reading = Reading::default();
        // Lines end with CR LF, LF or CR alone: all three are in use.
        for line in text.split(['\n', '\r']) {
            let line = line.trim();
            let Some((name, value)) = line.split_once('=') else { continue };
            if name.trim() == "m" && reading.description.medias.len() == limits.medias {
                return Err(RtspError::limit("medias", limits.medias, limits.medias as u64 + 1));
            }
            reading.line(name.trim(), value.trim());
        }
        let description = reading.finish();
        if description.medias.is_empty() {
            return Err(RtspError::Malformed { what: "SDP without a track", offset: text.len() as u64 });
        }
        Ok(description)
    }
}

/// What is known behind some lines.
#[derive(Default)]
struct Reading {
    description: Description,
    /// `c=` in front of all tracks.
    address: String,
    direction: Direction,
    key_management: String,
}

impl Reading {
    fn line(&mut self, name: &str, value: &str) {
        match (name, self.description.medias.last_mut()) {
            ("s", None) => self.description.name = keep(value),
            ("c", None) => self.address = address(value),
            ("c", Some(media)) => media.address = address(value),
            ("m", _) => self.description.medias.extend(media(value)),
            ("a", Some(media)) => attribute(media, value),
            ("a", None) => self.attribute(value),
            _ => {}
        }
    }

    fn attribute(&mut self, value: &str) {
        match value.split_once(':') {
            Some(("control", control)) => self.description.control = keep(control),
            Some(("range", range)) => self.description.range = keep(range),
            Some(("key-mgmt", key)) => self.key_management = keep(key),
            None => self.direction = direction(value).unwrap_or(self.direction),
            _ => {}
        }
    }

    /// What holds for all tracks is put into those that say nothing else (RFC 8866 §5.7, §6.7).
    fn finish(self) -> Description {
        let Self { mut description, address, direction, key_management } = self;
        for media in &mut description.medias {
            if media.address.is_empty() {
                media.address.clone_from(&address);
            }
            if media.direction == Direction::Unsaid {
                media.direction = direction;
            }
            if media.key_management.is_empty() {
                media.key_management.clone_from(&key_management);
            }
            // A dynamic type that nothing explains is no format.
            let is_explained = |format: &mut Format| !format.encoding.is_empty() && format.clock_rate_hz > 0;
            let unexplained = media.formats.extract_if(.., |format| !is_explained(format));
            media.unexplained = unexplained.map(|format| format.payload_type).collect();
        }
        description
    }
}

fn keep(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().trim().to_owned()
}

/// `IN IP4 224.1.0.1/127`; some cameras leave the words out.
fn address(value: &str) -> String {
    let address = value.split_whitespace().last().unwrap_or_default();
    let address = address.split('/').next().unwrap_or_default();
    let is_any = matches!(address, "0.0.0.0" | "::" | "");
    if is_any { String::new() } else { keep(address) }
}

/// `video 0 RTP/AVP 96 97`.
fn media(value: &str) -> Option<Media> {
    let mut fields = value.split_whitespace();
    let kind = fields.next()?.to_ascii_lowercase();
    let port = fields.next()?.split('/').next()?.parse().unwrap_or(0);
    let protocol = fields.next().unwrap_or("RTP/AVP").to_owned();
    let types = fields.filter_map(|text| text.parse().ok()).filter(|payload_type| *payload_type < 128);
    let formats = types.take(FORMATS_MAX).map(format_of_type).collect();
    Some(Media { kind, port, protocol, formats, ..Media::default() })
}

fn format_of_type(payload_type: u8) -> Format {
    let (encoding, clock_rate_hz, channels) = of_static_type(payload_type).unwrap_or_default();
    Format { payload_type, encoding: encoding.to_owned(), clock_rate_hz, channels, parameters: String::new() }
}

fn attribute(media: &mut Media, value: &str) {
    match value.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
        Some(("control", control)) => media.control = keep(control),
        Some(("rtpmap", map)) => rtpmap(media, map),
        Some(("fmtp", parameters)) => fmtp(media, parameters),
        Some(("lang", language)) => media.language = keep(language),
        Some(("key-mgmt", key)) => media.key_management = keep(key),
        Some(("crypto", line)) if media.crypto.len() < KEYS_MAX => media.crypto.push(keep(line)),
        None => media.direction = direction(value).unwrap_or(media.direction),
        _ => {}
    }
}

fn direction(value: &str) -> Option<Direction> {
    Some(match value.trim().to_ascii_lowercase().as_str() {
        "sendonly" => Direction::SendOnly,
        "recvonly" => Direction::RecvOnly,
        "sendrecv" => Direction::SendRecv,
        "inactive" => Direction::Inactive,
        _ => return None,
    })
}

/// The format of a payload type. Cameras explain types that `m=` does not name, or another than it names: what is explained counts.
fn find<'a>(media: &'a mut Media, payload_type: &str) -> Option<&'a mut Format> {
    let payload_type: u8 = payload_type.trim().parse().ok().filter(|payload_type| *payload_type < 128)?;
    let known = media.formats.iter().position(|format| format.payload_type == payload_type);
    let at = match known {
        Some(at) => at,
        None if media.formats.len() < FORMATS_MAX => {
            media.formats.push(format_of_type(payload_type));
            media.formats.len() - 1
        }
        None => return None,
    };
    media.formats.get_mut(at)
}

/// `96 H264/90000`, `97 MPEG4-GENERIC/48000/2`; with spaces around the slashes in some.
fn rtpmap(media: &mut Media, map: &str) {
    let Some((payload_type, map)) = map.split_once(char::is_whitespace) else { return };
    let is_video = media.kind == "video";
    let Some(format) = find(media, payload_type) else { return };
    let mut parts = map.split('/').map(str::trim);
    let Some(encoding) = parts.next().filter(|encoding| !encoding.is_empty()) else { return };
    format.encoding = keep(encoding);
    let rate = parts.next().and_then(|rate| rate.split_whitespace().next()).and_then(|rate| rate.parse().ok());
    match rate.filter(|rate| *rate > 0) {
        Some(rate) => format.clock_rate_hz = rate,
        // Left out, or 0: all video runs at 90 000 (RFC 3551 §5).
        None if is_video => format.clock_rate_hz = 90_000,
        None => {}
    }
    if let Some(channels) = parts.next().and_then(|channels| channels.parse().ok()) {
        format.channels = channels;
    } else if !is_video {
        format.channels = format.channels.max(1);
    }
}

/// `96 packetization-mode=1;sprop-parameter-sets=…`.
fn fmtp(media: &mut Media, parameters: &str) {
    let Some((payload_type, parameters)) = parameters.split_once(char::is_whitespace) else { return };
    if let Some(format) = find(media, payload_type) {
        // Some write several lines for one type.
        if !format.parameters.is_empty() {
            format.parameters.push(';');
        }
        let room = TEXT_BYTES_MAX.saturating_sub(format.parameters.len());
        let parameters = keep(parameters);
        format.parameters.push_str(parameters.get(..room.min(parameters.len())).unwrap_or_default());
    }
}
