//! Script data (FLV §E.4.4, §E.5): `onMetaData`, read for what a stream is going to have and written for players, which
//! decide by it.

use arcly_bus::Track;
use arcly_codec::{
    Codec, MediaKind,
    amf::{self, Decoder, Limits, Value},
};
use bytes::Bytes;

use super::codecs::{CODEC_ID_AVC, four_cc, sound_format};

/// Properties of `onMetaData` by which a sender says that there will be pictures.
const VIDEO_SIGNS: [&str; 3] = ["videocodecid", "width", "videoTrackIdInfoMap"];
/// The same for sound.
const AUDIO_SIGNS: [&str; 3] = ["audiocodecid", "audiosamplerate", "audioTrackIdInfoMap"];

/// The kinds of track that a sender has announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Declared {
    pub video: bool,
    pub audio: bool,
}

impl Declared {
    /// What the body of a script tag announces; nothing when it is no `onMetaData`, or broken: it only helps.
    pub fn of(body: &[u8]) -> Self {
        let mut values = Decoder::new(body, Limits::default());
        let mut next = || values.next_value().ok().flatten();
        let mut name = next();
        // As encoders send it over RTMP; servers take it off, some do not.
        if name.as_ref().and_then(Value::as_str) == Some("@setDataFrame") {
            name = next();
        }
        match (name.as_ref().and_then(Value::as_str), next()) {
            (Some("onMetaData"), Some(properties)) => Self::of_properties(&properties),
            _ => Self::default(),
        }
    }

    fn of_properties(properties: &Value) -> Self {
        let any = |signs: [&str; 3], has: &str| match properties.property(has) {
            Some(Value::Boolean(has)) => *has,
            _ => signs.into_iter().any(|sign| properties.property(sign).is_some_and(says_something)),
        };
        Self { video: any(VIDEO_SIGNS, "hasVideo"), audio: any(AUDIO_SIGNS, "hasAudio") }
    }
}

/// Encoders write 0, or an empty text, for what they do not have; for `audiocodecid` 0 is PCM, which nobody sends.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Number(number) => *number > 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Object(properties) | Value::EcmaArray(properties) => !properties.is_empty(),
        _ => false,
    }
}

/// The body of a script tag: `onMetaData` of these tracks, each by its codec number or, where `enhanced` says so, by its
/// FourCC as a number, as Enhanced RTMP has it.
pub(super) fn on_meta_data(tracks: &[Track], enhanced: bool) -> Bytes {
    let first = |kind| tracks.iter().find(|track| track.kind() == kind);
    let mut properties = Properties::default();
    let (video, audio) = (first(MediaKind::Video), first(MediaKind::Audio));
    properties.flag("hasVideo", video.is_some());
    properties.flag("hasAudio", audio.is_some());
    video.into_iter().for_each(|track| properties.video(track, enhanced));
    audio.into_iter().for_each(|track| properties.audio(track, enhanced));
    properties.text("encoder", concat!("arcly ", env!("CARGO_PKG_VERSION")));
    let mut body = Vec::new();
    amf::encode(&Value::from("onMetaData"), &mut body);
    amf::encode(&Value::EcmaArray(properties.0), &mut body);
    body.into()
}

#[derive(Default)]
struct Properties(amf::Properties);

impl Properties {
    fn video(&mut self, track: &Track, enhanced: bool) {
        let info = track.config.video().unwrap_or_default();
        // VP8 and VP9 say their size only in the pictures: then it is not known.
        if info.width > 0 && info.height > 0 {
            self.number("width", info.width);
            self.number("height", info.height);
        }
        if let Some((numerator, denominator)) = info.frame_rate {
            self.0.push(("framerate".to_owned(), Value::from(f64::from(numerator) / f64::from(denominator.max(1)))));
        }
        self.codec("videocodecid", track.config.codec(), enhanced);
    }

    fn audio(&mut self, track: &Track, enhanced: bool) {
        let info = track.config.audio().unwrap_or_default();
        self.number("audiosamplerate", info.sample_rate_hz);
        self.number("audiosamplesize", if info.bits_per_sample == 8 { 8_u32 } else { 16 });
        self.flag("stereo", info.channels >= 2);
        self.number("audiochannels", info.channels);
        self.codec("audiocodecid", track.config.codec(), enhanced);
    }

    fn codec(&mut self, name: &str, codec: Codec, enhanced: bool) {
        let number = plain_number(codec).filter(|_| !enhanced).map(u32::from);
        let number = number.or_else(|| four_cc(codec).map(u32::from_be_bytes));
        number.into_iter().for_each(|number| self.number(name, number));
    }

    fn number(&mut self, name: &str, number: impl Into<f64>) {
        self.0.push((name.to_owned(), Value::Number(number.into())));
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.0.push((name.to_owned(), Value::Boolean(flag)));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), Value::from(text)));
    }
}

/// `CodecID` or `SoundFormat`, for codecs that have one.
pub(super) fn plain_number(codec: Codec) -> Option<u8> {
    match codec {
        Codec::H264 => Some(CODEC_ID_AVC),
        Codec::Aac => Some(sound_format::AAC),
        Codec::Mp3 => Some(sound_format::MP3),
        Codec::G711A => Some(sound_format::G711_A),
        Codec::G711U => Some(sound_format::G711_U),
        Codec::Pcm => Some(sound_format::PCM_LITTLE_ENDIAN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(properties: &[(&str, Value)]) -> (bool, bool) {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut body = Vec::new();
        amf::encode(&Value::from("onMetaData"), &mut body);
        amf::encode(&Value::EcmaArray(properties), &mut body);
        let Declared { video, audio } = Declared::of(&body);
        (video, audio)
    }

    #[test]
    fn codecs_that_are_announced_are_expected() {
        assert_eq!(declared(&[("videocodecid", 7.0.into()), ("audiocodecid", 10.0.into())]), (true, true));
        assert_eq!(declared(&[("videocodecid", "avc1".into())]), (true, false), "OBS once wrote names");
        assert_eq!(declared(&[("width", 0.0.into()), ("audiocodecid", "".into())]), (false, false), "what it has not");
        let map = Value::Object(vec![("1".to_owned(), Value::Object(Vec::new()))]);
        assert_eq!(declared(&[("audioTrackIdInfoMap", map)]), (false, true));
        assert_eq!(declared(&[("hasAudio", Value::Boolean(false)), ("audiocodecid", 10.0.into())]), (false, false));
        assert_eq!(declared(&[("duration", 1.0.into())]), (false, false));
    }

    #[test]
    fn other_scripts_announce_nothing() {
        for body in [&b""[..], b"\x02\0\x0aonCuePoint\x08\0\0\0\0\0\0\x09", b"\x02\0\x0aonMetaData", b"\x02\0\x0a"] {
            assert_eq!(Declared::of(body), Declared::default());
        }
    }
}
