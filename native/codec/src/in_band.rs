//! Configurations that a stream carries in itself.

use bytes::Bytes;

use crate::{
    Codec, CodecConfig, CodecError,
    aac::parse_adts,
    ac3::{Ac3Config, Eac3Config, SyncFrame},
    av1::{self, Av1Config},
    data::DataConfig,
    flac::FlacConfig,
    h264::{self, AvcConfig},
    h265::{self, HevcConfig},
    h266::{self, VvcConfig},
    mpeg_audio::{FrameHeader, MpegAudioConfig},
    opus::OpusConfig,
    opus::Packet,
    vp8::Vp8Config,
    vp9::Vp9Config,
};

impl CodecConfig {
    /// The configuration that an access unit carries in itself, as elementary streams and broadcasts have it: parameter sets behind
    /// start codes, a sequence header, an ADTS header, a frame header.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a codec that has none in-band (waveforms), [`CodecError::Malformed`] when this access unit has
    /// none: it is not the first one of a stream, or not a key frame.
    pub fn from_frame(codec: Codec, frame: Bytes) -> Result<Self, CodecError> {
        Ok(match codec {
            Codec::H264 => {
                let unit = h264::annex_b_to_canonical(frame)?;
                Self::H264(AvcConfig::from_parameter_sets(unit.sps, unit.pps)?)
            }
            Codec::H265 => {
                let unit = h265::annex_b_to_canonical(frame)?;
                Self::H265(HevcConfig::from_parameter_sets(unit.vps, unit.sps, unit.pps)?)
            }
            Codec::H266 => {
                let unit = h266::annex_b_to_canonical(frame)?;
                Self::H266(VvcConfig::from_parameter_sets(unit.vps, unit.sps, unit.pps)?)
            }
            Codec::Av1 => {
                let unit = av1::to_canonical(frame)?;
                let header = unit.sequence_header;
                let header = header.ok_or(CodecError::Malformed { what: "sequence_header_obu: none", offset: 0 })?;
                Self::Av1(Av1Config::from_sequence_header(&header)?)
            }
            Codec::Vp9 => Self::Vp9(Vp9Config::from_frame(&frame, None)?),
            Codec::Vp8 => Self::Vp8(Vp8Config::from_frame(&frame)?),
            Codec::Aac => {
                let header = parse_adts(&frame)?;
                Self::Aac(header.config_of(frame.get(header.header_bytes..).unwrap_or_default())?)
            }
            Codec::Opus => {
                let channels = if Packet::parse(&frame)?.stereo { 2 } else { 1 };
                Self::Opus(OpusConfig::new(channels)?)
            }
            Codec::Mp3 => Self::Mp3(MpegAudioConfig::from_header(&FrameHeader::parse(&frame)?)),
            Codec::Mp2 => Self::Mp2(MpegAudioConfig::from_header(&FrameHeader::parse(&frame)?)),
            Codec::Ac3 => Self::Ac3(Ac3Config::from_syncframe(&SyncFrame::parse(&frame)?)?),
            Codec::Eac3 => Self::Eac3(Eac3Config::from_beginning(&frame)?),
            Codec::Flac => Self::Flac(FlacConfig::from_stream(&frame)?.0),
            Codec::Id3 => Self::Id3(DataConfig::default()),
            Codec::Scte35 => Self::Scte35(DataConfig::default()),
            Codec::Klv => Self::Klv(DataConfig::default()),
            Codec::Message => Self::Message(DataConfig::default()),
            Codec::G711A | Codec::G711U | Codec::G722 | Codec::Pcm => {
                return Err(CodecError::Unsupported { what: "waveform without a configuration" });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_frames_say_what_they_are() {
        // MPEG-1 layer III, 128 kbit/s, 48 kHz, joint stereo; AC-3 syncframe of 192 kbit/s at 48 kHz, stereo.
        let mp3 = Bytes::from_static(&[0xff, 0xfb, 0x94, 0x44, 0, 0, 0, 0]);
        let config = CodecConfig::from_frame(Codec::Mp3, mp3).unwrap();
        let info = config.audio().unwrap();
        assert_eq!((info.sample_rate_hz, info.channels, info.samples_per_frame), (48_000, 2, 1152));
        assert_eq!(CodecConfig::parse(Codec::Mp3, config.record().clone()).unwrap(), config);
    }

    #[test]
    fn channels_that_the_header_of_aac_leaves_to_the_access_unit_are_read_there() {
        // The beginning of `5.1(side)` as FFmpeg 5.1 writes it.
        let side = b"\xff\xf1\x4c\0\x8a\xdf\xfc\xa0\x99\x08\x80\x04\0\x18\x80\x0dLavc59.37.100\xde\x02\0";
        let config = CodecConfig::from_frame(Codec::Aac, Bytes::from_static(side)).unwrap();
        assert_eq!(config.audio().unwrap().channels, 6);
    }

    #[test]
    fn what_a_frame_does_not_carry_is_an_error_not_a_guess() {
        for codec in Codec::ALL.into_iter().filter(|codec| codec.kind() != crate::MediaKind::Data) {
            assert!(CodecConfig::from_frame(codec, Bytes::new()).is_err(), "{}", codec.name());
        }
        let slice_only = Bytes::from_static(&[0, 0, 1, 0x41, 0x9a, 0x20]);
        assert!(CodecConfig::from_frame(Codec::H264, slice_only).is_err());
    }
}
