//! The form that the access units of each codec have in a transport stream.

use arcly_bus::{Frame, Track};
use arcly_codec::{CodecConfig, MediaKind, aac::AdtsWriter, h264, opus::ControlHeader};
use bytes::Bytes;

use super::{
    av1::put_behind_start_codes,
    pieces::{Pieces, START_CODE, annex_b_bytes},
    splice::moved_splice,
};
use crate::PackError;

/// How access units of a track are written.
#[derive(Debug)]
pub(super) enum Form {
    /// Annex B: a delimiter in front of every access unit, the parameter sets in front of every key picture, and of the first picture
    /// with others. Both end with the start code of the first NAL unit.
    AnnexB {
        /// Delimiter and parameter sets.
        key_prefix: Vec<u8>,
        /// Delimiter, and parameter sets while they are owed.
        prefix: Vec<u8>,
        delimiter: &'static [u8],
    },
    /// ADTS.
    Aac(AdtsWriter),
    /// Behind a control header.
    Opus,
    /// OBUs behind start codes.
    Av1 {
        /// For key pictures that come without.
        sequence_header: Bytes,
    },
    /// As it is on the bus.
    Plain(MediaKind),
    /// A section and no PES packet.
    Splice,
}

/// The bytes of an access unit as a transport stream has them: measured, so that writing them cannot fail. What is not in the
/// payload has been made, in a buffer beside it: this is handed around for each frame, and two words are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// NAL units with start codes between: so many bytes.
    AnnexB { bytes: usize },
    /// The payload behind the header that was made.
    BehindHeader,
    /// The payload.
    Plain,
    /// What was made, and not the payload.
    Made,
    /// A whole section, which was made.
    Section,
}

impl Form {
    /// # Errors
    /// [`PackError::Unsupported`] when a transport stream cannot carry the codec.
    pub(super) fn of(track: &Track) -> Result<Self, PackError> {
        let unsupported = |what| Err(PackError::Unsupported { what });
        match &track.config {
            CodecConfig::H264(avc) => Ok(Self::annex_b(&H264_DELIMITER, &H264_DELIMITER, [&[], &avc.sps, &avc.pps])),
            CodecConfig::H265(hevc) => {
                Ok(Self::annex_b(&H265_DELIMITER, &H265_DELIMITER, [&hevc.vps, &hevc.sps, &hevc.pps]))
            }
            CodecConfig::H266(vvc) => {
                Ok(Self::annex_b(&H266_DELIMITER, &H266_KEY_DELIMITER, [&vvc.vps, &vvc.sps, &vvc.pps]))
            }
            CodecConfig::Aac(aac) => Ok(Self::Aac(AdtsWriter::new(aac)?)),
            CodecConfig::Opus(opus) if opus.channel_config_code().is_some() => Ok(Self::Opus),
            CodecConfig::Opus(_) => unsupported("Opus channel mapping in MPEG-TS"),
            CodecConfig::Av1(av1) => Ok(Self::Av1 { sequence_header: av1.sequence_header.clone().unwrap_or_default() }),
            CodecConfig::Mp2(_) | CodecConfig::Mp3(_) | CodecConfig::Ac3(_) | CodecConfig::Eac3(_) => {
                Ok(Self::Plain(MediaKind::Audio))
            }
            CodecConfig::Id3(_) | CodecConfig::Klv(_) => Ok(Self::Plain(MediaKind::Data)),
            CodecConfig::Scte35(_) => Ok(Self::Splice),
            CodecConfig::Vp8(_) | CodecConfig::Vp9(_) => unsupported("VP8 and VP9 in MPEG-TS: no stream type"),
            CodecConfig::Flac(_) => unsupported("FLAC in MPEG-TS: no stream type"),
            CodecConfig::G711A(_) | CodecConfig::G711U(_) | CodecConfig::G722(_) => {
                unsupported("G.711 and G.722 in MPEG-TS: no stream type")
            }
            CodecConfig::Pcm(_) => unsupported("PCM in MPEG-TS"),
            _ => unsupported("codec in MPEG-TS"),
        }
    }

    /// Delimiter, VPS, SPS, PPS: the order of H.264 §7.4.1.2.3, H.265 §7.4.2.4.4 and H.266 §7.4.2.4.3.
    fn annex_b(delimiter: &'static [u8], key_delimiter: &[u8], sets: [&[Bytes]; 3]) -> Self {
        let mut key_prefix = key_delimiter.to_vec();
        for set in sets.into_iter().flatten() {
            key_prefix.extend_from_slice(set);
            key_prefix.extend_from_slice(&START_CODE);
        }
        Self::AnnexB { key_prefix, prefix: delimiter.to_vec(), delimiter }
    }

    /// Puts the parameter sets in front of the next picture too, whatever it is, if they are others than those of `previous`, or those
    /// were `owed`: it names them. Whether it did.
    pub(super) fn owe_sets_behind(&mut self, previous: &Self, owed: bool) -> bool {
        let (Self::AnnexB { key_prefix, prefix, delimiter }, Self::AnnexB { key_prefix: known, .. }) = (self, previous)
        else {
            return false;
        };
        let are_owed = owed || key_prefix != known;
        if are_owed {
            prefix.extend_from_slice(key_prefix.get(delimiter.len()..).unwrap_or_default());
        }
        are_owed
    }

    /// They have been written.
    #[cold]
    pub(super) fn settle_sets(&mut self) {
        if let Self::AnnexB { prefix, delimiter, .. } = self {
            prefix.truncate(delimiter.len());
        }
    }

    pub(super) fn kind(&self) -> MediaKind {
        match self {
            Self::AnnexB { .. } | Self::Av1 { .. } => MediaKind::Video,
            Self::Aac(_) | Self::Opus => MediaKind::Audio,
            Self::Plain(kind) => *kind,
            Self::Splice => MediaKind::Data,
        }
    }

    /// What `frame`, presented at `pts_90k` of the transport stream, becomes; `None` when it has no bytes to carry. Bytes
    /// that it does not have are put into `made`.
    ///
    /// # Errors
    /// [`PackError::Malformed`] when the payload is not in the form of the bus; [`PackError::LimitExceeded`] when a PES packet
    /// cannot hold it.
    #[inline(always)]
    pub(super) fn measure(
        &self,
        frame: &Frame,
        pts_90k: i64,
        made: &mut Vec<u8>,
    ) -> Result<Option<Content>, PackError> {
        if frame.payload.is_empty() {
            return Ok(None);
        }
        match self {
            Self::AnnexB { .. } => {
                let bytes = annex_b_bytes(&frame.payload).ok_or_else(|| not_in_the_form_of_the_bus(&frame.payload))?;
                Ok(bytes.checked_sub(START_CODE.len()).map(|bytes| Content::AnnexB { bytes }))
            }
            _ => self.make(frame, pts_90k, made),
        }
    }

    /// [`Self::measure`] of all but NAL units.
    #[inline(never)]
    fn make(&self, frame: &Frame, pts_90k: i64, made: &mut Vec<u8>) -> Result<Option<Content>, PackError> {
        made.clear();
        let payload = &frame.payload;
        match self {
            Self::AnnexB { .. } => Ok(None),
            Self::Aac(adts) => {
                adts.put_in_front_of(payload, made)?;
                Ok(Some(Content::BehindHeader))
            }
            Self::Opus => {
                ControlHeader::write(made, payload.len(), 0, 0);
                check_pes_bytes(made.len() + payload.len()).map(|()| Some(Content::BehindHeader))
            }
            Self::Av1 { sequence_header } => {
                put_behind_start_codes(payload, frame.is_key().then_some(sequence_header), made)?;
                Ok((!made.is_empty()).then_some(Content::Made))
            }
            Self::Plain(_) => check_pes_bytes(payload.len()).map(|()| Some(Content::Plain)),
            Self::Splice => {
                made.extend_from_slice(&moved_splice(payload, pts_90k)?);
                Ok(Some(Content::Section))
            }
        }
    }

    /// The pieces of what was measured to be `content`, and their bytes.
    #[inline(always)]
    pub(super) fn pieces<'a>(&'a self, content: Content, frame: &'a Frame, made: &'a [u8]) -> (Pieces<'a>, usize) {
        let payload: &[u8] = &frame.payload;
        match (content, self) {
            (Content::AnnexB { bytes }, Self::AnnexB { key_prefix, prefix, .. }) => {
                let prefix = if frame.is_key() { key_prefix } else { prefix };
                (Pieces::of_nals(prefix, payload), prefix.len() + bytes)
            }
            (Content::BehindHeader, _) => (Pieces::of([made, payload]), made.len() + payload.len()),
            (Content::Plain, _) => (Pieces::of([payload, &[]]), payload.len()),
            _ => (Pieces::of([made, &[]]), made.len()),
        }
    }
}

impl Content {
    /// Whether its PES packets may be unbounded, which is for video only (§2.4.3.7).
    pub(super) fn is_unbounded(self) -> bool {
        matches!(self, Self::AnnexB { .. } | Self::Made)
    }
}

/// Where the NAL units of `payload` do not add up.
#[cold]
fn not_in_the_form_of_the_bus(payload: &[u8]) -> PackError {
    let error = h264::nal_units(payload, 4).find_map(Result::err);
    error.map_or(PackError::Malformed { what: "NAL unit length", offset: 0 }, PackError::from)
}

fn check_pes_bytes(seen: usize) -> Result<(), PackError> {
    if seen <= MAX_PLAIN_BYTES {
        return Ok(());
    }
    Err(PackError::LimitExceeded { limit: "bytes of a PES packet", max: MAX_PLAIN_BYTES, seen })
}

/// What fits behind the header of a PES packet with PTS and DTS whose length has 16 bits.
const MAX_PLAIN_BYTES: usize = 0xFFFF - 3 - 10;
/// An access unit delimiter for any kind of slices (H.264 §7.3.2.4), which a transport stream needs (§2.14.1), and a start code.
const H264_DELIMITER: [u8; 10] = [0, 0, 0, 1, 0x09, 0xF0, 0, 0, 0, 1];
/// The same of H.265 (§7.3.2.5), which a transport stream needs too (§2.17.1).
const H265_DELIMITER: [u8; 11] = [0, 0, 0, 1, 0x46, 0x01, 0x50, 0, 0, 0, 1];
/// The same of H.266 (§7.3.2.10); it says whether all pictures of the access unit are random access points.
const H266_DELIMITER: [u8; 11] = [0, 0, 0, 1, 0x00, 0xA1, 0x28, 0, 0, 0, 1];
const H266_KEY_DELIMITER: [u8; 11] = [0, 0, 0, 1, 0x00, 0xA1, 0xA8, 0, 0, 0, 1];
