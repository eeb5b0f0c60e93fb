//! Tracks and frames of the bus to tags: the bodies of FLV files, HTTP-FLV and RTMP messages alike.

use arcly_bus::{Frame, Track, TrackId, TrackSet};
use arcly_codec::{AudioInfo, Codec, CodecConfig, MediaKind};
use bytes::Bytes;

use super::{
    codecs::{CODEC_ID_AVC, four_cc, has_composition_time, sound_format},
    colour::ColourInfo,
    pcm,
    script::{on_meta_data, plain_number},
    tag::{TIMESTAMP_OFFSET_NANO, TagKind, multitrack_type, packet_type},
    written::{FlvTag, Header, TagRole},
};
use crate::{PackError, Rise, time::rescale};

/// Which forms of tags players are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// The form from before Enhanced RTMP for what has one (H.264, AAC, MP3, G.711, PCM), which every player takes; a FourCC
    /// for the rest and for all tracks but the first of their kind.
    #[default]
    Classic,
    /// Nothing but the old form: tracks that have none are left out.
    ClassicOnly,
    /// A FourCC for all that has one.
    Enhanced,
}

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlvMuxOptions {
    /// Which forms of tags.
    pub dialect: Dialect,
    /// This time of the bus is timestamp 0, and a frame before it gives nothing. Default none: 0 is 0, and what is before it wraps.
    pub origin_ms: Option<i64>,
    /// Says in `TimestampOffsetNano` what milliseconds leave out, where a tag has a FourCC. Exact for readers of Enhanced
    /// RTMP v2; others pass it over or give up on the tag.
    pub nanosecond_offsets: bool,
}

/// Turns frames into tags, in one pass and without a copy of what they hold.
///
/// `reconfigure` with the tracks, then `write` each frame: the metadata and sequence headers that are due come out in front of it.
/// For a viewer that joins later, [`headers`](Self::headers) says what it needs in front of its first frame.
///
/// Timestamps are rounded from the absolute time, so that nothing drifts. Where the stream goes back in time they go on behind the last, with all
/// tracks together. Tracks that FLV, or the dialect, has no form for
/// are left out, see [`left_out`](Self::left_out); their frames give nothing.
#[derive(Debug, Default)]
pub struct FlvMuxer {
    options: FlvMuxOptions,
    /// Those that are carried.
    tracks: Vec<MuxTrack>,
    left_out: Vec<TrackId>,
    metadata_due: bool,
    rise: Rise,
}

#[derive(Debug)]
struct MuxTrack {
    track: Track,
    form: Form,
    /// Of its kind: 0 is the default.
    number: u8,
    header_due: bool,
}

/// How a track's tags begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `CodecID` 7.
    Avc,
    /// The first byte of each tag.
    Sound(u8),
    FourCc([u8; 4]),
}

impl FlvMuxer {
    /// A muxer without tracks.
    pub fn new(options: FlvMuxOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Whether a stream with this as the only track of its kind can be written.
    ///
    /// # Errors
    /// [`PackError::Unsupported`].
    pub fn supports(track: &Track, dialect: Dialect) -> Result<(), PackError> {
        form(track, 0, dialect).map(|_| ()).ok_or(PackError::Unsupported { what: "codec for FLV" })
    }

    /// From now on these are the tracks. What is new of them comes out in front of the next frame.
    pub fn reconfigure(&mut self, tracks: &TrackSet) {
        let before = std::mem::take(&mut self.tracks);
        self.left_out.clear();
        let mut numbers = [0_u8; 2];
        for track in &tracks.tracks {
            let number = match track.kind() {
                MediaKind::Video => &mut numbers[0],
                _ => &mut numbers[1],
            };
            let Some(form) = form(track, *number, self.options.dialect) else {
                self.left_out.push(track.id);
                continue;
            };
            let known = before.iter().find(|known| known.track.id == track.id);
            let same =
                known.is_some_and(|known| known.track == *track && (known.form, known.number) == (form, *number));
            self.tracks.push(MuxTrack {
                track: track.clone(),
                form,
                number: *number,
                header_due: !same || known.is_some_and(|known| known.header_due),
            });
            *number = number.saturating_add(1);
        }
        let changed = self.tracks.len() != before.len() || self.tracks.iter().any(|track| track.header_due);
        self.metadata_due |= changed;
    }

    /// Tracks that have no form in FLV, or in the dialect.
    pub fn left_out(&self) -> &[TrackId] {
        &self.left_out
    }

    /// All metadata and sequence headers: for a viewer whose first frame has this timestamp.
    pub fn headers(&self, timestamp_ms: u32) -> Vec<FlvTag> {
        let mut out = Vec::new();
        self.put_metadata(timestamp_ms, &mut out);
        self.tracks.iter().for_each(|track| track.put_headers(timestamp_ms, &mut out));
        out
    }

    /// Appends the tag of `frame`, with the headers that are due in front of it. A frame of a track that is left out, or before the
    /// origin, gives nothing.
    ///
    /// # Errors
    /// [`PackError::LimitExceeded`] for a frame that no tag can hold; nothing is appended.
    pub fn write(&mut self, frame: &Frame, out: &mut Vec<FlvTag>) -> Result<(), PackError> {
        let Some(track) = self.tracks.iter().find(|known| known.track.id == frame.track) else { return Ok(()) };
        let Some(tag) = track.frame(frame, &self.options, &mut self.rise)? else { return Ok(()) };
        if self.metadata_due {
            self.put_metadata(tag.timestamp_ms, out);
            self.metadata_due = false;
        }
        for track in self.tracks.iter_mut().filter(|track| track.header_due) {
            track.put_headers(tag.timestamp_ms, out);
            track.header_due = false;
        }
        out.push(tag);
        Ok(())
    }

    /// What says that no more frames will come, for codecs that can say so.
    pub fn end(&self, timestamp_ms: u32) -> Vec<FlvTag> {
        self.tracks.iter().filter_map(|track| track.end(timestamp_ms)).collect()
    }

    fn put_metadata(&self, timestamp_ms: u32, out: &mut Vec<FlvTag>) {
        let tracks: Vec<Track> = self.tracks.iter().map(|track| track.track.clone()).collect();
        let body = on_meta_data(&tracks, self.options.dialect == Dialect::Enhanced);
        // A few hundred bytes: they fit.
        out.extend(FlvTag::new(TagKind::Script, TagRole::Metadata, timestamp_ms, Header::default(), body));
    }
}

impl MuxTrack {
    fn kind(&self) -> TagKind {
        if self.is_video() { TagKind::Video } else { TagKind::Audio }
    }

    fn is_video(&self) -> bool {
        self.track.kind() == MediaKind::Video
    }

    /// The sequence header, if the codec has one, and what is known of the colour. Records are kilobytes: they fit into a tag.
    fn put_headers(&self, timestamp_ms: u32, out: &mut Vec<FlvTag>) {
        let tag = |role, header, payload| FlvTag::new(self.kind(), role, timestamp_ms, header, payload);
        if let Some((header, record)) = self.sequence_header() {
            out.extend(tag(TagRole::Configuration, header, record));
        }
        let info = self.track.config.video().unwrap_or_default();
        let colour = ColourInfo { colour: Some(info.colour), hdr: self.track.hdr };
        if let (Form::FourCc(_), true, false) = (self.form, self.is_video(), colour.is_empty()) {
            let header = self.ex_header(true, packet_type::VIDEO_METADATA, 0);
            out.extend(tag(TagRole::Metadata, header, colour.encode(info.bit_depth)));
        }
    }

    /// `None` for codecs whose frames say all.
    fn sequence_header(&self) -> Option<(Header, Bytes)> {
        let record = self.track.config.record();
        let ex_header = || self.ex_header(true, packet_type::SEQUENCE_START, 0);
        match (self.form, self.track.config.codec()) {
            (Form::Avc, _) => Some((Header::of(&[0x10 | CODEC_ID_AVC, 0, 0, 0, 0]), record.clone())),
            (Form::Sound(first), Codec::Aac) => Some((Header::of(&[first, 0]), record.clone())),
            (Form::Sound(_), _) | (_, Codec::Mp3 | Codec::Ac3 | Codec::Eac3) => None,
            // Enhanced RTMP: the beginning of a FLAC file.
            (_, Codec::Flac) => Some((ex_header(), [b"fLaC", record.as_ref()].concat().into())),
            _ => Some((ex_header(), record.clone())),
        }
    }

    /// `None` before the origin.
    fn frame(&self, frame: &Frame, options: &FlvMuxOptions, rise: &mut Rise) -> Result<Option<FlvTag>, PackError> {
        let exact = options.nanosecond_offsets && matches!(self.form, Form::FourCc(_));
        let times = Times::of(frame, &self.track, exact);
        let at_ms = rise.lift(frame.track, times.decoded_ms, frame.is_discontinuity());
        if options.origin_ms.is_some_and(|origin_ms| at_ms < origin_ms) {
            return Ok(None);
        }
        // Modulo 2^32, as the field says.
        let timestamp_ms = at_ms.wrapping_sub(options.origin_ms.unwrap_or_default()) as u32;
        let is_key = self.is_video() && frame.is_key();
        let role = if is_key { TagRole::KeyFrame } else { TagRole::Frame };
        let [_, composition @ ..] = times.composition_ms.to_be_bytes();
        let header = match self.form {
            Form::Avc => {
                let frame_type = if is_key { 0x10 } else { 0x20 };
                let [c0, c1, c2] = composition;
                Header::of(&[frame_type | CODEC_ID_AVC, 1, c0, c1, c2])
            }
            Form::Sound(first) if self.track.config.codec() == Codec::Aac => Header::of(&[first, 1]),
            Form::Sound(first) => Header::of(&[first]),
            Form::FourCc(_) => self.coded_header(is_key, times.offset_ns, composition),
        };
        let payload = match &self.track.config {
            CodecConfig::Pcm(config) => pcm::from_bus(&frame.payload, config.info.bits_per_sample),
            _ => frame.payload.clone(),
        };
        FlvTag::new(self.kind(), role, timestamp_ms, header, payload).map(Some)
    }

    /// ExVideoTagHeader and ExAudioTagHeader of a frame.
    fn coded_header(&self, is_key: bool, offset_ns: u32, composition: [u8; 3]) -> Header {
        let has_time = has_composition_time(self.track.config.codec());
        if has_time && composition == [0; 3] {
            return self.ex_header(is_key, packet_type::VIDEO_CODED_FRAMES_X, offset_ns);
        }
        let mut header = self.ex_header(is_key, packet_type::CODED_FRAMES, offset_ns);
        if has_time {
            header.put(&composition);
        }
        header
    }

    /// The header up to the FourCC, or to the track id of a track that is not the default.
    fn ex_header(&self, is_key: bool, packet_type: u8, offset_ns: u32) -> Header {
        let multitrack = if self.is_video() { packet_type::VIDEO_MULTITRACK } else { packet_type::AUDIO_MULTITRACK };
        let outer_type = if self.number > 0 { multitrack } else { packet_type };
        let mut header = Header::default();
        let first = match (self.is_video(), is_key) {
            (true, true) => 0x90,
            (true, false) => 0xa0,
            _ => sound_format::EX_HEADER << 4,
        };
        if offset_ns == 0 {
            header.put(&[first | outer_type]);
        } else {
            let [_, n0, n1, n2] = offset_ns.to_be_bytes();
            let size_less_one = 2;
            header.put(&[first | packet_type::MOD_EX, size_less_one, n0, n1, n2]);
            header.put(&[TIMESTAMP_OFFSET_NANO << 4 | outer_type]);
        }
        if self.number > 0 {
            header.put(&[multitrack_type::ONE_TRACK << 4 | packet_type]);
        }
        if let Form::FourCc(four_cc) = self.form {
            header.put(&four_cc);
        }
        if self.number > 0 {
            header.put(&[self.number]);
        }
        header
    }

    fn end(&self, timestamp_ms: u32) -> Option<FlvTag> {
        let header = match self.form {
            Form::Avc => Header::of(&[0x10 | CODEC_ID_AVC, 2, 0, 0, 0]),
            Form::Sound(_) => return None,
            Form::FourCc(_) => self.ex_header(true, packet_type::SEQUENCE_END, 0),
        };
        FlvTag::new(self.kind(), TagRole::End, timestamp_ms, header, Bytes::new()).ok()
    }
}

/// How this track is written, `number` tracks of its kind being in front of it; `None` when there is no way.
fn form(track: &Track, number: u8, dialect: Dialect) -> Option<Form> {
    if track.kind() == MediaKind::Data {
        return None;
    }
    let plain = if number == 0 { plain_form(&track.config) } else { None };
    let enhanced = four_cc(track.config.codec()).map(Form::FourCc);
    match dialect {
        Dialect::Classic => plain.or(enhanced),
        Dialect::ClassicOnly => plain,
        Dialect::Enhanced => enhanced.or(plain),
    }
}

/// The form from before Enhanced RTMP.
fn plain_form(config: &CodecConfig) -> Option<Form> {
    let number = plain_number(config.codec())?;
    let info = config.audio().unwrap_or_default();
    let first = |format: u8, rate: u8, size: u8| Form::Sound(format << 4 | rate << 2 | size << 1 | stereo(&info));
    match config.codec() {
        Codec::H264 => Some(Form::Avc),
        // Always so, whatever the sound is (§E.4.2.1).
        Codec::Aac => Some(Form::Sound(number << 4 | 0x0f)),
        Codec::Mp3 if info.sample_rate_hz == 8_000 => Some(first(sound_format::MP3_8_KHZ, 0, 1)),
        Codec::Mp3 => Some(first(number, nearest_rate(info.sample_rate_hz), 1)),
        Codec::G711A | Codec::G711U => {
            (info.sample_rate_hz == 8_000 && info.channels <= 2).then(|| first(number, 0, 1))
        }
        Codec::Pcm if info.channels <= 2 => {
            let rate = [5_512, 11_025, 22_050, 44_100].iter().position(|rate| *rate == info.sample_rate_hz)?;
            let size = [8, 16].iter().position(|bits| *bits == info.bits_per_sample)?;
            Some(first(number, rate as u8, size as u8))
        }
        _ => None,
    }
}

fn stereo(info: &AudioInfo) -> u8 {
    u8::from(info.channels >= 2)
}

/// `SoundRate`, which has four values: players read the right one in the frames.
fn nearest_rate(sample_rate_hz: u32) -> u8 {
    match sample_rate_hz {
        32_000.. => 3,
        16_000..32_000 => 2,
        _ => 1,
    }
}

/// The times of a frame as a tag says them.
struct Times {
    decoded_ms: i64,
    composition_ms: i32,
    offset_ns: u32,
}

/// What 24 bits with a sign can say.
const MAX_COMPOSITION_MS: i64 = (1 << 23) - 1;

impl Times {
    fn of(frame: &Frame, track: &Track, exact: bool) -> Self {
        // Without a composition time there is one time, and that is when it is shown.
        let decoded = if has_composition_time(track.config.codec()) { frame.dts } else { frame.pts };
        let rate_hz = track.clock_rate_hz;
        let ms = |ticks| if exact { floor_ms(ticks, rate_hz) } else { rescale(ticks, rate_hz, 1_000) };
        let (decoded_ms, shown_ms) = (ms(decoded), ms(frame.pts));
        let composition_ms = (shown_ms - decoded_ms).clamp(-MAX_COMPOSITION_MS, MAX_COMPOSITION_MS);
        Self {
            decoded_ms,
            composition_ms: composition_ms as i32,
            offset_ns: if exact { below_ms(frame.pts, rate_hz) } else { 0 },
        }
    }
}

fn floor_ms(ticks: i64, rate_hz: u32) -> i64 {
    let ms = (i128::from(ticks) * 1_000).div_euclid(i128::from(rate_hz.max(1)));
    i64::try_from(ms).unwrap_or_default()
}

/// The nanoseconds that [`floor_ms`] leaves out, rounded up so that a reader who rounds finds the same tick.
fn below_ms(ticks: i64, rate_hz: u32) -> u32 {
    let rate = i128::from(rate_hz.max(1));
    let rest = (i128::from(ticks) * 1_000).rem_euclid(rate);
    // Less than 10^6, as the rest is less than the rate.
    (rest * 1_000_000 / rate) as u32
}
