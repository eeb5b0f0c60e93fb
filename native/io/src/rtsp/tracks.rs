//! Which tracks of a stream are sent, and how they are described. Descriptions and packets agree because both come from here.

use arcly_bus::{Track, TrackId, TrackSet};
use arcly_codec::CodecConfig;
use arcly_wire::{
    rtp::{Encoding, Format, Packetizer},
    rtsp::sdp,
};

use super::channels::MEDIAS_MAX;

/// Bytes of an RTP packet: what every path of the internet carries, IPv6 and a tunnel around it included.
pub(crate) const PACKET_BYTES_MAX: usize = 1_400;

/// The first payload type that means nothing by itself (RFC 3551 §6).
const DYNAMIC: u8 = 96;

/// A track that is sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) track: TrackId,
    pub(crate) config: CodecConfig,
    pub(crate) format: Format,
    language: String,
}

/// The tracks that can be sent, in their order: their places in it are those in the description.
pub(crate) fn outgoing(tracks: &TrackSet) -> Vec<Outgoing> {
    let mut found = Vec::new();
    for track in &tracks.tracks {
        if found.len() < MEDIAS_MAX
            && let Some(outgoing) = of_track(track, found.len())
        {
            found.push(outgoing);
        }
    }
    found
}

/// Whether the description of `before` holds for `now`: a description cannot be changed in mid-stream, other tracks need another session.
pub(crate) fn can_follow<'a>(before: impl ExactSizeIterator<Item = &'a Outgoing>, now: &[Outgoing]) -> bool {
    before.len() == now.len() && before.zip(now).all(|(a, b)| b.follows(a))
}

fn of_track(track: &Track, place: usize) -> Option<Outgoing> {
    let format = Format::of(payload_type(track, place), &track.config).ok()?;
    Packetizer::new(&format, &track.config, PACKET_BYTES_MAX).ok()?;
    let language = track.language.map(|language| language.as_str().to_owned()).unwrap_or_default();
    Some(Outgoing { track: track.id, config: track.config.clone(), format, language })
}

/// The static type where there is one: old players know G.711 by nothing else.
fn payload_type(track: &Track, place: usize) -> u8 {
    let is_telephone =
        |rate_hz| track.config.audio().is_some_and(|it| it.sample_rate_hz == rate_hz && it.channels == 1);
    match &track.config {
        CodecConfig::G711U(_) if is_telephone(8_000) => 0,
        CodecConfig::G711A(_) if is_telephone(8_000) => 8,
        CodecConfig::G722(_) if is_telephone(16_000) => 9,
        _ => DYNAMIC + place as u8,
    }
}

impl Outgoing {
    /// Whether it is the same track in the same format. Pictures bring their configuration with them; sound is described once.
    fn follows(&self, before: &Self) -> bool {
        let is_described_alike = self.config.video().is_some() || self.format.fmtp() == before.format.fmtp();
        self.track == before.track && self.format.is_like(&before.format) && is_described_alike
    }

    /// Its description; `control` is left to others.
    pub(crate) fn media(&self) -> sdp::Media {
        let Format { payload_type, encoding, clock_rate_hz, channels, .. } = self.format;
        let is_audio = encoding.media() == "audio";
        let format = sdp::Format {
            payload_type,
            encoding: encoding.name().to_owned(),
            clock_rate_hz,
            channels: if is_audio { channels } else { 0 },
            parameters: self.format.fmtp().unwrap_or_default(),
        };
        sdp::Media {
            kind: encoding.media().to_owned(),
            protocol: "RTP/AVP".to_owned(),
            formats: vec![format],
            language: self.language.clone(),
            ..sdp::Media::default()
        }
    }
}

/// The formats of a track that we can read.
pub(crate) fn readable(media: &sdp::Media) -> impl Iterator<Item = Format> {
    let read = |format: &sdp::Format| {
        let fmtp = Some(format.parameters.as_str()).filter(|parameters| !parameters.is_empty());
        let format = Format::parse(format.payload_type, Some(&format.rtpmap()), fmtp).ok()?;
        (format.encoding != Encoding::Mp2t).then_some(format)
    };
    media.formats.iter().filter_map(read)
}
