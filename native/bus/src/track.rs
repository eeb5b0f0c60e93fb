//! The elementary streams of a stream.

use arcly_codec::{CodecConfig, DolbyVision, DynamicRange, Hdr, MediaKind};

/// The number of a track within its stream. By convention 0 is the first video and 1 the first audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

/// One elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its number within the stream.
    pub id: TrackId,
    /// Its codec and the record that a decoder needs.
    pub config: CodecConfig,
    /// Ticks per second of its timestamps: the sample rate for audio, else 90 000.
    pub clock_rate_hz: u32,
    /// What is spoken, when the sender said it.
    pub language: Option<Language>,
    /// What the container says of Dolby Vision, beside the configuration of the codec.
    pub dolby_vision: Option<DolbyVision>,
    /// What the container says of the mastering display and the light level: frames of VP9 have no place for it.
    pub hdr: Hdr,
}

/// A language by its three lower-case letters of ISO 639-2/T: `eng`, `deu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language([u8; 3]);

impl Language {
    /// The language with that code; `None` when it is not three letters, or `und`, which says nothing.
    pub fn new(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        let is_code = code.iter().all(u8::is_ascii_alphabetic) && !code.eq_ignore_ascii_case(b"und");
        is_code.then(|| Self(code.map(|letter| letter.to_ascii_lowercase())))
    }

    /// The three letters.
    pub fn bytes(&self) -> [u8; 3] {
        self.0
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("und")
    }
}

impl Track {
    /// A track whose clock is the usual one of its codec.
    pub fn new(id: TrackId, config: CodecConfig) -> Self {
        let clock_rate_hz = config.clock_rate_hz();
        Self { id, config, clock_rate_hz, language: None, dolby_vision: None, hdr: Hdr::default() }
    }

    /// Pictures, sound or data.
    pub fn kind(&self) -> MediaKind {
        self.config.kind()
    }

    /// The `codecs` parameter of RFC 6381 for who plays it: that of the codec, or of Dolby Vision where nobody else can show it.
    pub fn rfc6381(&self) -> String {
        let alone = self.dolby_vision.filter(DolbyVision::is_alone);
        let alone = alone.and_then(|found| found.rfc6381(self.config.codec()));
        alone.unwrap_or_else(|| self.config.rfc6381())
    }

    /// The codec, and the brand of its form, that a player may take instead of [`Self::rfc6381`] and then shows more:
    /// `dvh1.08.07` and `db1p` (RFC 8216bis §4.4.6.2, SUPPLEMENTAL-CODECS).
    pub fn supplemental_codec(&self) -> Option<(String, &'static str)> {
        let dolby_vision = self.dolby_vision?;
        let colour = self.config.video()?.colour;
        Some((dolby_vision.rfc6381(self.config.codec())?, dolby_vision.brand(colour)?))
    }

    /// How bright its pictures are meant; `None` for what has none.
    pub fn dynamic_range(&self) -> Option<DynamicRange> {
        let own = self.config.video()?.colour.dynamic_range();
        Some(self.dolby_vision.and_then(|found| found.dynamic_range()).unwrap_or(own))
    }
}

/// All tracks of a stream between two changes of configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackSet {
    /// Counts the changes: 0 is the empty set before the first configuration.
    pub revision: u32,
    /// The tracks, by ascending id.
    pub tracks: Vec<Track>,
}

impl TrackSet {
    /// The track with this id.
    pub fn find(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// The first track of that kind.
    pub fn first(&self, kind: MediaKind) -> Option<&Track> {
        self.tracks.iter().find(|track| track.kind() == kind)
    }
}
