//! Keys of encrypted tracks, as descriptions and headers tell them: MIKEY (RFC 3830, in RTSP by RFC 4567), which GStreamer, cameras of ONVIF and
//! VLC know, and security descriptions (RFC 4568), which FFmpeg knows. Both tell them in the clear: what carries them has to be encrypted.

mod mikey;
mod sdes;

use super::sdp::Media;
use crate::{
    base64,
    srtp::{Key, Opener, SrtpError},
};

/// Bytes of a message of MIKEY in Base64 that are read; real ones have two hundred.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// A key that a peer has told, and how far it has come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldKey {
    /// The key.
    pub key: Key,
    /// How often the sequence numbers of a source have wrapped; source 0 stands for all that are not named.
    pub rollovers: Vec<(u32, u32)>,
}

impl ToldKey {
    /// What opens packets under it.
    ///
    /// # Errors
    /// [`SrtpError::Failed`] when the library refuses it.
    pub fn opener(&self) -> Result<Opener, SrtpError> {
        Ok(Opener::new(&self.key)?.with_rollovers(&self.rollovers))
    }
}

/// Whether a track is encrypted.
pub fn is_secure(media: &Media) -> bool {
    media.protocol.to_ascii_uppercase().contains("/SAVP")
}

/// The key of a track; none where it is told in no way that is known.
pub fn of_media(media: &Media) -> Option<ToldKey> {
    let told = media.key_management.split_once(char::is_whitespace).filter(|(protocol, _)| is_mikey(protocol));
    let by_mikey = told.and_then(|(_, text)| read(text));
    by_mikey.or_else(|| media.crypto.iter().find_map(|line| sdes::read(line)))
}

/// Describes a track as encrypted with this key, in both ways. `ntp`: the time now, as RTCP has it (RFC 3550 §4).
pub fn describe(media: &mut Media, key: &Key, ntp: u64) {
    "RTP/SAVP".clone_into(&mut media.protocol);
    media.key_management = format!("mikey {}", write(key, ntp));
    media.crypto = vec![sdes::write(key)];
}

/// The message of MIKEY that tells a key, in Base64.
pub fn write(key: &Key, ntp: u64) -> String {
    base64::encode(&mikey::write(key, ntp))
}

/// The value of `KeyMgmt` (RFC 4567 §4.2) that tells a key of ours; `message` is what [`write()`] has made.
pub fn header(uri: &str, message: &str) -> String {
    format!("prot=mikey;uri=\"{uri}\";data=\"{message}\"")
}

/// The key that a header tells.
pub fn of_header(value: &str) -> Option<ToldKey> {
    let field = |name: &str| {
        let of_name = |part: &str| {
            let (key, value) = part.trim().split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        };
        value.split([';', ',']).find_map(of_name)
    };
    is_mikey(&field("prot")?).then(|| read(&field("data")?)).flatten()
}

fn is_mikey(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("mikey")
}

fn read(text: &str) -> Option<ToldKey> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    mikey::read(&base64::decode(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    #[test]
    fn what_is_described_is_read_in_both_ways() {
        for suite in Suite::ALL {
            let key = Key::random(suite).unwrap();
            let mut media = Media::default();
            describe(&mut media, &key, 1 << 32);
            assert!(is_secure(&media));
            assert_eq!(of_media(&media).unwrap().key, key);
            media.key_management = "mikey AAAA".into();
            assert_eq!(of_media(&media).unwrap().key, key, "by the other");
            media.crypto.clear();
            assert_eq!(of_media(&media), None);
        }
    }

    #[test]
    fn a_header_tells_a_key() {
        let key = Key::random(Suite::default()).unwrap();
        let value = header("rtsp://h/a;b", &write(&key, 0));
        assert_eq!(of_header(&value).unwrap().key, key);
        assert_eq!(of_header(&value.replace("mikey", "MIKEY").replace("prot=", " Prot = ")).unwrap().key, key);
        for text in ["", "prot=mikey", "prot=other;data=\"AAAA\"", "prot=mikey;data=\"!\"", "prot=mikey;data=\"\""] {
            assert_eq!(of_header(text), None, "{text}");
        }
    }
}
