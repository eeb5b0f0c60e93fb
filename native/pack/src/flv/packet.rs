//! What the body of a tag holds of one track.

use arcly_codec::Codec;
use bytes::Bytes;

/// What the body of a tag holds of one track.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// `audioTrackId`, `videoTrackId`; 0 is the default.
    pub track: u8,
    pub codec: Codec,
    /// `TimestampOffsetNano`: below a millisecond when the sender is right.
    pub offset_ns: u32,
    /// Where in the tag's body the content begins, for error messages.
    pub at: usize,
    pub content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The codec's configuration record.
    SequenceHeader(Bytes),
    /// An access unit.
    Coded(Coded),
    /// Nothing more will come in this sequence.
    EndOfSequence,
    /// AMF0: `colorInfo` for one.
    Metadata(Bytes),
    /// Nothing for us: no bytes, a command, a layout of channels.
    Nothing,
}

/// An access unit as the wire has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Coded {
    /// The sender calls it a key frame. Audio: false.
    pub claims_key: bool,
    /// Presentation minus decoding time. Audio: 0.
    pub composition_ms: i32,
    /// What the header says of the sound, for codecs whose data does not say it.
    pub sound: Option<Sound>,
    pub payload: Bytes,
}

/// `SoundRate`, `SoundSize`, `SoundType` and the byte order (§E.4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sound {
    pub rate_hz: u32,
    pub bits: u8,
    pub channels: u8,
}

impl Packet {
    /// A payload that is the smaller part of its body is copied out of it: as a slice it would keep alive what nobody counts,
    /// a byte of sound 16 MiB of another track or of ModEx data.
    pub fn without_ballast(mut self, body_bytes: usize) -> Self {
        if let Content::Coded(Coded { payload, .. }) = &mut self.content
            && payload.len() < body_bytes / 2
        {
            *payload = Bytes::copy_from_slice(payload);
        }
        self
    }
}

impl Content {
    /// A record or an access unit of no bytes is nothing: some encoders send these when they have nothing to say.
    pub fn unless_empty(self) -> Self {
        match &self {
            Self::SequenceHeader(bytes) | Self::Coded(Coded { payload: bytes, .. }) if bytes.is_empty() => {
                Self::Nothing
            }
            _ => self,
        }
    }
}

impl Sound {
    /// What the first byte of AUDIODATA says.
    pub fn of(first: u8) -> Self {
        let rate_hz = match first >> 2 & 0b11 {
            0 => 5_512,
            1 => 11_025,
            2 => 22_050,
            _ => 44_100,
        };
        Self { rate_hz, bits: if first & 0b10 == 0 { 8 } else { 16 }, channels: 1 + (first & 1) }
    }

    /// G.711 has always 8 bits at 8 kHz: `SoundRate` cannot say that, and is ignored.
    pub fn of_g711(self) -> Self {
        Self { rate_hz: 8_000, bits: 8, ..self }
    }
}

/// An access unit of pictures.
pub(super) fn coded_video(claims_key: bool, composition: [u8; 3], payload: Bytes) -> Content {
    // SI24: a signed number of 24 bits.
    let [high, middle, low] = composition;
    let composition_ms = i32::from_be_bytes([high, middle, low, 0]) >> 8;
    Content::Coded(Coded { claims_key, composition_ms, sound: None, payload })
}

/// An access unit of sound.
pub(super) fn coded_audio(sound: Option<Sound>, payload: Bytes) -> Content {
    Content::Coded(Coded { claims_key: false, composition_ms: 0, sound, payload })
}
