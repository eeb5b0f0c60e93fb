//! What is where in a fragmented file, as far as a player must know it before it begins: of the media, only the first sample of a track
//! is read whose configuration is nowhere else.

use arcly_bus::{Track, TrackId};
use arcly_codec::MediaKind;
use bytes::Bytes;

use super::{
    MAX_MOOF_BYTES, MAX_MOOV_BYTES, Sample, Step,
    fragment::parse_moof,
    movie::Movie,
    track::{Tracks, is_readable},
};
use crate::{
    PackError,
    mp4::{
        finalize::{Place, Range},
        read::{Body, BoxHeader, LARGE_HEADER_BYTES, malformed},
    },
};

/// Fragments of a file that are noted: twelve days of one a second. Those behind are not there.
const MAX_FRAGMENTS: usize = 1 << 20;

/// A fragment: `moof` and the media behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Both of them.
    pub range: Range,
    /// Whether players can begin with it: its first picture is a key frame, or there are none at all.
    pub is_entry: bool,
    /// What it has of each track that it has something of.
    pub spans: Box<[Span]>,
}

/// What a fragment has of a track; times in ticks of the track's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The track.
    pub track: TrackId,
    /// When the first frame is decoded.
    pub begin_dts: i64,
    /// When the last frame has been decoded: when the next one would be.
    pub end_dts: i64,
    /// When the first frame is presented.
    pub first_pts: i64,
    /// Frames.
    pub frames: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// The tracks of a fragmented file, and its fragments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// Bytes of everything in front of the first fragment.
    pub init_bytes: u64,
    /// The tracks.
    pub tracks: Vec<Track>,
    /// The fragments, in their order.
    pub fragments: Vec<Fragment>,
}

/// Looks a fragmented file through, box by box. No I/O: it says which bytes it needs.
///
/// A file that is cut off, or that still grows, has the fragments that are whole.
#[derive(Debug)]
pub struct OutlineReader {
    file_bytes: u64,
    next_box: u64,
    window: (u64, Bytes),
    movie: Option<Movie>,
    tracks: Tracks,
    next_dts: Vec<i64>,
    open: Option<Open>,
    outline: Outline,
}

/// A fragment whose media comes next.
#[derive(Debug)]
struct Open {
    /// Where its `moof` begins.
    begin: u64,
    /// Whether its first picture is a key frame; `None` as long as there is none.
    first_picture: Option<bool>,
    spans: Vec<Span>,
}

impl OutlineReader {
    /// For a file of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self {
            file_bytes,
            next_box: 0,
            window: (0, Bytes::new()),
            movie: None,
            tracks: Tracks::default(),
            next_dts: Vec::new(),
            open: None,
            outline: Outline::default(),
        }
    }

    /// The bytes that it needs next, or `None` when it has seen the file.
    ///
    /// # Errors
    /// [`PackError`] when this is no fragmented MP4.
    pub fn step(&mut self) -> Result<Option<Step>, PackError> {
        while self.outline.fragments.len() < MAX_FRAGMENTS {
            if let Some(step) = self.note_samples()? {
                return Ok(Some(step));
            }
            let offset = self.next_box;
            let left = self.file_bytes.saturating_sub(offset);
            if left < 8 {
                break;
            }
            let Some(bytes) = self.bytes(offset, left.min(LARGE_HEADER_BYTES as u64)) else {
                return Ok(Some(Step::Read { offset, bytes: left.min(LARGE_HEADER_BYTES as u64) as usize }));
            };
            // What is no box, and one that goes beyond the end, is where the file is cut off.
            let Some(header) = BoxHeader::parse(&bytes, offset).ok().flatten() else { break };
            let Some(size) = header.size.filter(|&size| size <= left) else { break };
            let is_table = match &header.kind {
                b"moov" => self.movie.is_none() && check_size("bytes of moov", size, MAX_MOOV_BYTES)?,
                b"moof" => check_size("bytes of moof", size, MAX_MOOF_BYTES)?,
                _ => false,
            };
            if is_table {
                let Some(bytes) = self.bytes(offset, size) else {
                    return Ok(Some(Step::Read { offset, bytes: usize::try_from(size).unwrap_or(usize::MAX) }));
                };
                let from = usize::try_from(header.header_bytes).unwrap_or(8).min(bytes.len());
                let body = Body { bytes: bytes.slice(from..), offset: offset + header.header_bytes };
                if &header.kind == b"moov" {
                    self.read_moov(&body, offset + size)?
                } else {
                    self.read_moof(&body, offset)?
                }
            }
            self.next_box = offset + size;
            if &header.kind == b"mdat" {
                self.close();
            }
        }
        match self.movie {
            Some(_) => Ok(None),
            None => Err(malformed("MP4 without moov", self.file_bytes)),
        }
    }

    /// Gives it bytes of the file that begin at `offset`: those it has asked for, or more.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.window = (offset, bytes);
    }

    /// What was found.
    pub fn finish(self) -> Outline {
        self.outline
    }

    /// These bytes of the file, if they are there.
    fn bytes(&self, offset: u64, bytes: u64) -> Option<Bytes> {
        let (begin, window) = &self.window;
        let from = usize::try_from(offset.checked_sub(*begin)?).ok()?;
        let end = from.checked_add(usize::try_from(bytes).ok()?)?;
        (end <= window.len()).then(|| window.slice(from..end))
    }

    fn read_moov(&mut self, body: &Body, end: u64) -> Result<(), PackError> {
        // A slice would keep the window alive.
        let body = Body { bytes: Bytes::copy_from_slice(&body.bytes), offset: body.offset };
        let movie = Movie::parse(&body, self.file_bytes)?;
        if !movie.is_fragmented {
            return Err(PackError::Unsupported { what: "MP4 without fragments" });
        }
        self.tracks = Tracks::new(&movie);
        self.next_dts = vec![0; self.tracks.len()];
        self.outline.tracks = self.tracks.announced().collect();
        self.outline.init_bytes = end;
        self.movie = Some(movie);
        Ok(())
    }

    fn read_moof(&mut self, body: &Body, offset: u64) -> Result<(), PackError> {
        let Some(movie) = &self.movie else { return Ok(()) };
        let runs = parse_moof(body, offset, movie, &mut self.next_dts)?;
        runs.into_iter().for_each(|run| self.tracks.push_run(run));
        self.open = Some(Open { begin: offset, first_picture: None, spans: Vec::new() });
        Ok(())
    }

    /// Notes the samples of the fragment that is open; or the step that gets one that must be read.
    fn note_samples(&mut self) -> Result<Option<Step>, PackError> {
        while let Some((index, sample)) = self.tracks.earliest() {
            if is_readable(&sample) && sample.end() <= self.file_bytes {
                match self.tracks.place(index, &sample)? {
                    Some(place) => self.note(&place),
                    None => match self.bytes(sample.offset, u64::from(sample.bytes)) {
                        Some(payload) if self.learn(index, &sample, &payload) => continue,
                        Some(_) => {}
                        None => return Ok(Some(Step::Read { offset: sample.offset, bytes: sample.bytes as usize })),
                    },
                }
            }
            self.tracks.step(index, self.file_bytes);
        }
        Ok(None)
    }

    /// Reads a sample for the configuration that is in it. Whether there was one.
    fn learn(&mut self, index: usize, sample: &Sample, payload: &Bytes) -> bool {
        // A slice would keep the window alive.
        let payload = Bytes::copy_from_slice(payload);
        let is_known = self.tracks.convert(index, sample, payload).is_ok_and(|output| output.frame.is_some());
        self.outline.tracks = self.tracks.announced().collect();
        is_known
    }

    fn note(&mut self, place: &Place) {
        let is_picture = self.kind(place.track) == Some(MediaKind::Video);
        let Some(open) = &mut self.open else { return };
        if is_picture {
            open.first_picture.get_or_insert(place.is_key);
        }
        note(&mut open.spans, place);
    }

    fn kind(&self, id: TrackId) -> Option<MediaKind> {
        self.outline.tracks.iter().find(|track| track.id == id).map(Track::kind)
    }

    fn close(&mut self) {
        let Some(Open { begin, first_picture, spans }) = self.open.take() else { return };
        let has_video = self.outline.tracks.iter().any(|track| track.kind() == MediaKind::Video);
        let is_entry = first_picture.unwrap_or(!has_video);
        let range = Range { offset: begin, bytes: self.next_box - begin };
        self.outline.fragments.push(Fragment { range, is_entry, spans: spans.into() });
    }
}

fn check_size(limit: &'static str, size: u64, max: u64) -> Result<bool, PackError> {
    let clamp = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    if size > max { Err(PackError::LimitExceeded { limit, max: clamp(max), seen: clamp(size) }) } else { Ok(true) }
}

fn note(spans: &mut Vec<Span>, place: &Place) {
    let end_dts = place.dts.saturating_add(i64::from(place.duration));
    match spans.iter_mut().find(|span| span.track == place.track) {
        Some(span) => {
            span.end_dts = end_dts;
            span.first_pts = span.first_pts.min(place.pts);
            span.frames += 1;
            span.bytes += u64::from(place.bytes);
        }
        None => spans.push(Span {
            track: place.track,
            begin_dts: place.dts,
            end_dts,
            first_pts: place.pts,
            frames: 1,
            bytes: u64::from(place.bytes),
        }),
    }
}
