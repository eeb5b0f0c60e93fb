//! Codecs here and in str0m, and what is put into an answer.

use arcly_codec::{Codec, CodecConfig, MediaKind};
use str0m::{
    RtcConfig,
    bwe::Bitrate,
    format::{Codec as RtcCodec, FormatParams, PayloadParams},
    media::{Frequency, Pt},
    rtp::{Extension, ExtensionMap},
};

use super::{Offer, session::PlayOptions};

/// The profiles of H.264 that are answered for one offer; browsers offer six.
const H264_PROFILES_MAX: usize = 12;

/// Payload types for H.264 until the offer's are known; str0m then takes those. 35 to 63 is where RFC 5761 §4 still has room.
const H264_FIRST_PT: u8 = 33;

const OPUS_PT: u8 = 111;

/// What a path is taken to carry until its feedback says: what most do. Probes for more go out at once.
const ESTIMATE_AT_FIRST: Bitrate = Bitrate::bps(2_000_000);

/// Whether RTP to a browser can carry what this configures: it may be decoded there or not.
pub fn can_carry(config: &CodecConfig) -> bool {
    match config {
        CodecConfig::G711A(pcm) | CodecConfig::G711U(pcm) => pcm.info.sample_rate_hz == 8000 && pcm.info.channels == 1,
        CodecConfig::Opus(opus) => opus.mapping_family == 0,
        config => to_rtc(config.codec()).is_some(),
    }
}

/// What is being played of one kind: enough to choose a format from an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayedCodec {
    /// The coding.
    pub codec: Codec,
    /// Profile as the codec numbers it.
    pub profile: u8,
}

impl PlayedCodec {
    /// What `config` is; `None` when it cannot be carried.
    pub fn of(config: &CodecConfig) -> Option<Self> {
        let profile = config.video().map_or(0, |video| video.profile);
        can_carry(config).then(|| Self { codec: config.codec(), profile })
    }

    /// How well a negotiated format suits; `None` when it does not.
    fn suits(self, params: &PayloadParams) -> Option<u8> {
        let spec = params.spec();
        if Some(spec.codec) != to_rtc(self.codec) {
            return None;
        }
        match self.codec {
            Codec::H264 => {
                // Our packets are those of mode 1 (RFC 6184 §6.3). Who has left the parameter out takes them, as GStreamer does.
                let is_mode_1 = spec.format.packetization_mode == Some(1);
                let profile = spec.format.profile_level_id.map_or(66, |id| (id >> 16 & 0xff) as u8);
                // A browser decodes more than it offers: a wrong profile is tried where the right one is not there.
                Some(match is_mode_1 {
                    true if profile == self.profile => 255,
                    true => profile.clamp(1, 254),
                    false => 0,
                })
            }
            Codec::Vp9 => (spec.format.profile_id.unwrap_or(0) == u32::from(self.profile)).then_some(255),
            _ => Some(255),
        }
    }

    /// The payload type that suits best among those that both sides have agreed on.
    pub(crate) fn choose(self, agreed: &[Pt], params: &[PayloadParams]) -> Option<Pt> {
        let of = |pt: &Pt| params.iter().find(|params| params.pt() == *pt);
        let suiting = agreed.iter().filter_map(|pt| Some((self.suits(of(pt)?)?, *pt)));
        suiting.max_by_key(|(suits, _)| *suits).map(|(_, pt)| pt)
    }
}

/// The codec of a format that a peer sends in.
pub(crate) fn from_rtc(codec: RtcCodec) -> Option<Codec> {
    Some(match codec {
        RtcCodec::H264 => Codec::H264,
        RtcCodec::H265 => Codec::H265,
        RtcCodec::Vp8 => Codec::Vp8,
        RtcCodec::Vp9 => Codec::Vp9,
        RtcCodec::Av1 => Codec::Av1,
        RtcCodec::Opus => Codec::Opus,
        RtcCodec::PCMA => Codec::G711A,
        RtcCodec::PCMU => Codec::G711U,
        _ => return None,
    })
}

fn to_rtc(codec: Codec) -> Option<RtcCodec> {
    Some(match codec {
        Codec::H264 => RtcCodec::H264,
        Codec::H265 => RtcCodec::H265,
        Codec::Vp8 => RtcCodec::Vp8,
        Codec::Vp9 => RtcCodec::Vp9,
        Codec::Av1 => RtcCodec::Av1,
        Codec::Opus => RtcCodec::Opus,
        Codec::G711A => RtcCodec::PCMA,
        Codec::G711U => RtcCodec::PCMU,
        _ => return None,
    })
}

/// Everything that a publisher may send.
pub(crate) fn enable_all(config: RtcConfig, offer: &Offer) -> RtcConfig {
    // In the order of the offer, which is that of the peer's preference: of what is answered it sends the first.
    offer.codecs().iter().fold(config.clear_codecs(), |config, name| match name.as_str() {
        "h264" => enable_h264(config, offer),
        "h265" => config.enable_h265(true),
        "vp8" => config.enable_vp8(true),
        "vp9" => config.enable_vp9(true),
        "av1" => config.enable_av1(true),
        "opus" => enable_opus(config),
        "pcmu" => config.enable_pcmu(true, false),
        "pcma" => config.enable_pcma(true, false),
        _ => config,
    })
}

/// What is played, and nothing else.
pub(crate) fn enable_played(
    config: RtcConfig,
    offer: &Offer,
    played: &[PlayedCodec],
    options: PlayOptions,
) -> RtcConfig {
    let config = config.set_extension_map(viewer_extensions(options));
    let config = config.enable_bwe(options.estimates.then_some(ESTIMATE_AT_FIRST));
    played.iter().fold(config.clear_codecs(), |config, played| match played.codec {
        Codec::H264 if offer.wants_single_units() => config,
        Codec::H264 => enable_h264(config, offer),
        Codec::H265 => config.enable_h265(true),
        Codec::Vp8 => config.enable_vp8(true),
        Codec::Vp9 => config.enable_vp9(true),
        Codec::Av1 => config.enable_av1(true),
        Codec::Opus => enable_opus(config),
        Codec::G711A => config.enable_pcma(true, false),
        Codec::G711U => config.enable_pcmu(true, false),
        _ => config,
    })
}

/// The header extensions for a viewer. Packets are counted for the whole transport only where an estimate of the path is wanted.
fn viewer_extensions(options: PlayOptions) -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    extensions.set(2, Extension::AbsoluteSendTime);
    if options.estimates {
        extensions.set(3, Extension::TransportSequenceNumber);
    }
    if options.playout_delay.is_some() {
        extensions.set(5, Extension::PlayoutDelay);
    }
    extensions.set(4, Extension::RtpMid);
    extensions
}

/// Opus in stereo: a browser sends it in mono to who does not say that they want two channels (RFC 7587 §6.1).
fn enable_opus(mut config: RtcConfig) -> RtcConfig {
    let format = FormatParams {
        min_p_time: Some(10),
        use_inband_fec: Some(true),
        stereo: Some(true),
        sprop_stereo: Some(true),
        ..FormatParams::default()
    };
    let hz = Frequency::FORTY_EIGHT_KHZ;
    config.codec_config().add_config(OPUS_PT.into(), None, RtcCodec::Opus, hz, Some(2), format);
    config
}

/// H.264 in each profile that the offer names: RFC 6184 §8.2.2 wants the same one in the answer, and there are dozens of spellings.
fn enable_h264(mut config: RtcConfig, offer: &Offer) -> RtcConfig {
    let mut profiles: Vec<u32> = Vec::new();
    for value in offer.values("a=fmtp:") {
        let Some((_, rest)) = value.split_once("profile-level-id=") else { continue };
        let Some(profile) = rest.get(..6).and_then(|digits| u32::from_str_radix(digits, 16).ok()) else { continue };
        if !profiles.contains(&profile) && profiles.len() < H264_PROFILES_MAX {
            profiles.push(profile);
        }
    }
    if profiles.is_empty() {
        // RFC 6184 §8.1: without the parameter it is Baseline, level 1.
        profiles.push(0x42_000a);
    }
    let has_mode_1 = offer.values("a=fmtp:").any(|value| value.contains("packetization-mode=1"));
    let mut pt = H264_FIRST_PT;
    for profile in profiles {
        pt += 2;
        config.codec_config().add_h264(pt.into(), Some((pt + 1).into()), has_mode_1, profile);
    }
    config
}

/// The names of codecs of one kind that are played, for a message to people.
pub(crate) fn names(played: &[PlayedCodec], kind: MediaKind) -> String {
    let names: Vec<_> =
        played.iter().filter(|played| played.codec.kind() == kind).map(|played| played.codec.name()).collect();
    names.join(", ")
}
