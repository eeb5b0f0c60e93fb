//! One file of a recording, written a fragment at a time. What is in it is one configuration and one timeline, which begins near 0.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arcly_bus::{Frame, StreamKey, Track, TrackId, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::{
    PackError,
    container::{Container, ContainerMuxer, MuxOptions},
    flv::{FlvMuxOptions, FlvMuxer},
    mp4::{Fmp4Muxer, Head},
    mpegts::{PACKET_BYTES, TsMuxer},
    vod::StreamOutliner,
};
use bytes::Bytes;

use super::{RecordFormat, RecordOptions, pieces::write_all};

/// Bytes of frames that wait for their fragment to be complete: one of this size is cut within.
const FRAGMENT_BYTES_MAX: usize = 8 << 20;
/// Files of one name: past it something else is wrong than a clock that was set back.
const SAME_NAME_MAX: u32 = 10_000;

/// The last packet of a transport stream that is whole (ISO/IEC 13818-1 §2.4.1): nothing else says where its last frame ends.
pub(super) const NULL_PACKET: [u8; PACKET_BYTES] = {
    let mut packet = [0xFF; PACKET_BYTES];
    (packet[0], packet[1], packet[3]) = (0x47, 0x1F, 0x10);
    packet
};

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The how-manieth of its recording it is, from 0.
    pub number: u64,
    /// Below the root, with `/`.
    pub path: String,
    /// When it was begun by the wall clock, in milliseconds of Unix time. For people: clocks jump.
    pub began_unix_ms: u64,
    /// Time of the stream that is 0 in the file, in ticks of [`Self::base_hz`].
    pub base_ticks: i64,
    /// A clock in whose ticks all clocks of its tracks can be divided, so that times of files that follow each other agree exactly.
    pub base_hz: u32,
    /// It goes on where the file before it ends: nothing is missing between them.
    pub follows: bool,
    /// What is missing in front of it, in microseconds of the stream.
    pub gap_us: u64,
    /// What is whole on the disk.
    pub bytes: u64,
    /// Frames in it.
    pub frames: u64,
    /// From its first to behind its last frame, in microseconds.
    pub duration_us: u64,
}

/// A file that is being written.
pub(super) struct Segment {
    pub info: SegmentInfo,
    options: Arc<RecordOptions>,
    /// As the template has it; the file has this name, or one like it.
    name: String,
    /// Made with the first fragment.
    file: Option<File>,
    mux: Mux,
    tracks: Arc<TrackSet>,
    waiting: Vec<Frame>,
    waiting_bytes: usize,
    /// Decoding time of the first frame, in microseconds.
    start_us: i64,
    end_us: i64,
    /// What is where in a file that says so nowhere: players need it, and it is read off what is written.
    outliner: Option<Arc<Mutex<StreamOutliner>>>,
    /// Frames that could not be written, and why the last one could not.
    pub refused: Option<(u64, PackError)>,
}

enum Mux {
    Fragments(Box<Fmp4Muxer>),
    Other(Box<ContainerMuxer>),
}

impl Mux {
    fn new(container: Container, tracks: &Arc<TrackSet>) -> Result<Self, PackError> {
        Ok(match container {
            Container::Mp4 => Self::Fragments(Box::new(Fmp4Muxer::new(tracks)?)),
            other => Self::Other(Box::new(ContainerMuxer::new(other, tracks.clone(), MuxOptions::default())?)),
        })
    }
}

/// The tracks that `format` can carry, and the codecs of those that it cannot.
pub(super) fn writable(format: RecordFormat, tracks: &TrackSet) -> (Arc<TrackSet>, Vec<String>) {
    let supports = |track: &Track| match format.container() {
        Container::Mp4 => Fmp4Muxer::supports(track),
        Container::MpegTs => TsMuxer::supports(track),
        Container::Flv => FlvMuxer::supports(track, FlvMuxOptions::default().dialect),
    };
    let (taken, left): (Vec<&Track>, Vec<&Track>) = tracks.tracks.iter().partition(|track| supports(track).is_ok());
    let left_out = left.into_iter().map(|track| track.config.codec().name().to_owned()).collect();
    (Arc::new(TrackSet { revision: tracks.revision, tracks: taken.into_iter().cloned().collect() }), left_out)
}

/// A decoding time in microseconds.
pub(super) fn micros(ticks: i64, clock_hz: u32) -> i64 {
    let micros = i128::from(ticks) * 1_000_000 / i128::from(clock_hz.max(1));
    i64::try_from(micros).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

/// Where a file goes.
pub(super) struct Place<'a> {
    pub key: &'a StreamKey,
    pub number: u64,
    pub follows: bool,
    pub gap_us: u64,
}

impl Segment {
    /// A file for that place, with these tracks, all of which the format can carry; `start_us`: when its first frame is decoded.
    ///
    /// # Errors
    /// [`PackError`], when the format cannot carry them together.
    pub fn new(
        options: &Arc<RecordOptions>,
        place: &Place<'_>,
        tracks: Arc<TrackSet>,
        start_us: i64,
    ) -> Result<Self, PackError> {
        let mux = Mux::new(options.format.container(), &tracks)?;
        let at = crate::clock::unix_time();
        let info = SegmentInfo {
            number: place.number,
            path: String::new(),
            began_unix_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            base_ticks: 0,
            base_hz: common_clock_hz(&tracks),
            follows: place.follows,
            gap_us: place.gap_us,
            bytes: 0,
            frames: 0,
            duration_us: 0,
        };
        Ok(Self {
            info,
            options: options.clone(),
            name: options.template.path(place.key, at, place.number),
            file: None,
            mux,
            tracks,
            waiting: Vec::new(),
            waiting_bytes: 0,
            start_us,
            end_us: start_us,
            // MP4 says it itself.
            outliner: StreamOutliner::new(options.format.container())
                .ok()
                .map(|outliner| Arc::new(Mutex::new(outliner))),
            refused: None,
        })
    }

    /// Takes more tracks than it was made for; false when that is too late, or the format cannot carry them together.
    pub fn widen(&mut self, tracks: Arc<TrackSet>) -> bool {
        let Some(mux) = Mux::new(self.options.format.container(), &tracks).ok().filter(|_| !self.has_begun()) else {
            return false;
        };
        self.info.base_hz = common_clock_hz(&tracks);
        (self.mux, self.tracks) = (mux, tracks);
        true
    }

    /// Whether there is a file already: then its name and its base are known.
    pub fn has_begun(&self) -> bool {
        self.file.is_some()
    }

    /// What is where in it so far; `None` where its boxes say it.
    pub fn outliner(&self) -> Option<Arc<Mutex<StreamOutliner>>> {
        self.outliner.clone()
    }

    /// How long it is already, at a frame that is decoded at `dts_us`.
    pub fn age(&self, dts_us: i64) -> Duration {
        Duration::from_micros(u64::try_from(dts_us.saturating_sub(self.start_us)).unwrap_or(0))
    }

    /// Bytes that it has, with those that wait.
    pub fn bytes(&self) -> u64 {
        self.info.bytes + self.waiting_bytes as u64
    }

    /// When the last frame ends, in microseconds of the stream.
    pub fn end_us(&self) -> i64 {
        self.end_us
    }

    /// Takes a frame of one of its tracks. It is on the disk when its fragment is.
    ///
    /// # Errors
    /// The disk's. What is whole of the file stays.
    pub fn push(&mut self, frame: &Frame, track: &Track) -> io::Result<()> {
        let dts_us = micros(frame.dts, track.clock_rate_hz);
        if self.ends_before(frame, track, dts_us) {
            self.flush(Some((frame.track, frame.dts)))?;
        }
        let lasts = micros(i64::from(frame.duration), track.clock_rate_hz);
        self.end_us = self.end_us.max(dts_us.saturating_add(lasts));
        self.waiting_bytes += frame.payload.len();
        self.waiting.push(frame.clone());
        Ok(())
    }

    /// A fragment ends when it is long enough, and in front of a key frame, so that a player can begin there; one of key frames alone only
    /// when it is long enough.
    fn ends_before(&self, frame: &Frame, track: &Track, dts_us: i64) -> bool {
        let Some(first) = self.waiting.first() else { return false };
        let clock_hz = |id| self.tracks.find(id).map_or(90_000, |track| track.clock_rate_hz);
        let lasts = dts_us.saturating_sub(micros(first.dts, clock_hz(first.track)));
        let is_long = u128::try_from(lasts).unwrap_or(0) >= self.options.fragment.as_micros();
        let is_inner = |other: &Frame| other.track == frame.track && !other.is_key();
        let is_entry = track.kind() == MediaKind::Video && frame.is_key() && self.waiting.iter().any(is_inner);
        is_long || is_entry || self.waiting_bytes + frame.payload.len() > FRAGMENT_BYTES_MAX
    }

    /// Writes what waits; `next` is the frame behind it.
    pub fn flush(&mut self, next: Option<(TrackId, i64)>) -> io::Result<()> {
        let mut frames = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if frames.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.find_base(&frames);
            let (file, path) = create_file(&self.options.root, &self.name, self.options.format.ending())?;
            (self.file, self.info.path) = (Some(file), path);
        }
        let mut early = 0;
        frames.retain_mut(|frame| {
            let shift = self.shift(frame.track);
            frame.dts = frame.dts.saturating_sub(shift);
            frame.pts = frame.pts.saturating_sub(shift);
            early += u64::from(frame.dts < 0);
            frame.dts >= 0
        });
        if early > 0 {
            self.refuse(early, PackError::Misuse { what: "frames from before the beginning of their file" });
        }
        let next = next.map(|(track, dts)| (track, dts.saturating_sub(self.shift(track))));
        let mut out = Vec::new();
        let payloads = match self.pack(&frames, next, &mut out) {
            Ok(payloads) => {
                self.info.frames += frames.len() as u64;
                payloads
            }
            Err(error) => {
                self.refuse(frames.len() as u64, error);
                Vec::new()
            }
        };
        self.write(std::iter::once(&out[..]).chain(payloads.into_iter().map(|payload| &payload[..])))
    }

    /// Appends to `out`; what is behind that lies in frames, and is copied by the system alone.
    fn pack<'f>(
        &mut self,
        frames: &'f [Frame],
        next: Option<(TrackId, i64)>,
        out: &mut Vec<u8>,
    ) -> Result<Vec<&'f Bytes>, PackError> {
        match &mut self.mux {
            Mux::Fragments(muxer) => {
                if self.info.bytes == 0 {
                    out.extend_from_slice(muxer.init_segment());
                }
                let last = |track| frames.iter().rev().find(|frame| frame.track == track).map(|frame| frame.dts);
                let next = next.filter(|(track, dts)| last(*track).is_none_or(|last| last < *dts));
                let head = Head { next: next.as_slice(), ..Head::default() };
                muxer.write_fragment_head(frames, &head, out)
            }
            Mux::Other(muxer) => {
                // Once for all: what it grows by is copied each time. A transport stream adds an eighth, and fills a packet for each frame.
                let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
                out.reserve(bytes + bytes / 8 + frames.len() * PACKET_BYTES);
                frames.iter().try_for_each(|frame| muxer.write(frame, out)).map(|()| Vec::new())
            }
        }
    }

    /// Appends bytes that are whole in themselves; where that fails, the file is cut back to what it was.
    fn write<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let pieces: Vec<&[u8]> = pieces.collect();
        if let Err(error) = write_all(file, &pieces) {
            // The disk has refused already: the next start cuts what is left over.
            let _ = file.set_len(self.info.bytes);
            return Err(error);
        }
        let outlined = |outliner: &mut Arc<Mutex<StreamOutliner>>| {
            let mut outliner = outliner.lock().unwrap_or_else(PoisonError::into_inner);
            pieces.iter().try_for_each(|piece| outliner.push(piece)).is_ok()
        };
        // Without one the file is read when somebody plays it.
        if !self.outliner.as_mut().is_some_and(outlined) {
            self.outliner = None;
        }
        self.info.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        self.info.duration_us = u64::try_from(self.end_us.saturating_sub(self.start_us)).unwrap_or(0);
        Ok(())
    }

    fn refuse(&mut self, frames: u64, error: PackError) {
        let (before, _) = self.refused.take().unwrap_or((0, error.clone()));
        self.refused = Some((before + frames, error));
    }

    /// The time that becomes 0: that of the earliest of the first frames, in a clock in which it is whole for all tracks.
    fn find_base(&mut self, frames: &[Frame]) {
        let hz = self.info.base_hz;
        let ticks = |frame: &Frame| {
            let clock_hz = self.tracks.find(frame.track).map_or(hz, |track| track.clock_rate_hz);
            frame.dts.div_euclid(i64::from(clock_hz / hz).max(1))
        };
        self.info.base_ticks = frames.iter().map(ticks).min().unwrap_or(0);
    }

    /// What is taken off the times of a track. A transport stream begins at 1 s, since its clock is earlier than its frames.
    fn shift(&self, track: TrackId) -> i64 {
        let hz = self.info.base_hz;
        let clock_hz = self.tracks.find(track).map_or(hz, |track| track.clock_rate_hz);
        let is_mpegts = matches!(&self.mux, Mux::Other(_)) && self.info.path.ends_with(".ts");
        let lead = if is_mpegts { i64::from(hz) } else { 0 };
        self.info.base_ticks.saturating_sub(lead).saturating_mul(i64::from(clock_hz / hz))
    }

    /// Waits for the disk, when all was flushed. A file with nothing in it is removed: `None`.
    pub fn finish(mut self) -> (Option<Finished>, io::Result<()>) {
        let mut rest = Vec::new();
        let is_packed = match &mut self.mux {
            Mux::Other(muxer) => muxer.finish(&mut rest).is_ok(),
            Mux::Fragments(_) => true,
        };
        if self.options.format == RecordFormat::MpegTs {
            rest.extend_from_slice(&NULL_PACKET);
        }
        let ended = if is_packed { self.write(std::iter::once(&rest[..])) } else { Ok(()) };
        let synced = ended.and_then(|()| self.file.as_ref().map_or(Ok(()), File::sync_data));
        (self.give_up(), synced)
    }

    /// What is whole of it, when the disk has refused the rest.
    pub fn give_up(self) -> Option<Finished> {
        let file = self.file?;
        let path = self.options.root.join(&self.info.path);
        if self.info.bytes == 0 {
            // Nothing is in it; that it stays where the disk does not even take that costs nothing.
            let _ = fs::remove_file(&path);
            return None;
        }
        let _ = file.sync_data();
        sync_directory(&path);
        let outline = self.outliner.and_then(|outliner| {
            let packed = outliner.lock().unwrap_or_else(PoisonError::into_inner).pack();
            packed.ok().flatten().map(Bytes::from)
        });
        Some(Finished { info: self.info, path, outline })
    }
}

/// A file that nothing more is written to.
pub(super) struct Finished {
    pub info: SegmentInfo,
    pub path: PathBuf,
    /// See [`super::RecordNote::Finished`].
    pub outline: Option<Bytes>,
}

/// The greatest common divisor of the clocks: all of them count whole ticks of it.
fn common_clock_hz(tracks: &TrackSet) -> u32 {
    let common = tracks.tracks.iter().fold(0, |common, track| divisor(common, track.clock_rate_hz));
    common.max(1)
}

fn divisor(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A new file of that name, or of that name and a number: none that exists is touched, whatever the clock says.
fn create_file(root: &Path, name: &str, ending: &str) -> io::Result<(File, String)> {
    if let Some(directory) = root.join(name).parent() {
        fs::create_dir_all(directory)?;
    }
    for count in 0..SAME_NAME_MAX {
        let relative = if count == 0 { format!("{name}.{ending}") } else { format!("{name}-{count}.{ending}") };
        match OpenOptions::new().write(true).create_new(true).open(root.join(&relative)) {
            Ok(file) => return Ok((file, relative)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("too many files are called {name}")))
}

/// Puts the name of a file on the disk, where a directory can be opened for that.
pub(super) fn sync_directory(path: &Path) {
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
        let _ = directory.sync_all();
    }
}
