//! Frames to files: where one ends and the next one begins. Blocks: it runs where that may be.

use std::sync::{Arc, Mutex};

use arcly_bus::{Frame, StreamKey, Track, TrackId, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::vod::StreamOutliner;

use super::{
    RecordEnd, RecordOptions, SegmentInfo,
    segment::{Finished, Place, Segment, micros, writable},
};

/// Less than this is missing where packets were lost: the file goes on. More is a gap, and what follows is another file.
const GAP_MIN_US: i64 = 1_000_000;
/// Of so much sound without a picture, the pictures have ceased: files begin and end without them.
const SILENT_US: i64 = 10_000_000;

/// Frames of one track set, in their order.
pub(super) struct Batch {
    pub tracks: Arc<TrackSet>,
    pub frames: Vec<Frame>,
    /// The first of them does not follow the last one of the batch before.
    pub broken: bool,
}

/// What came of some frames.
pub(super) enum Outcome {
    /// With what is where in it while it grows.
    Began(SegmentInfo, Option<Arc<Mutex<StreamOutliner>>>),
    Finished(Finished),
}

/// Writes a stream, file by file.
pub(super) struct Writer {
    options: Arc<RecordOptions>,
    key: StreamKey,
    segment: Option<Segment>,
    /// The host knows of it.
    is_told: bool,
    /// As the stream has them, and those of them that are written.
    tracks: Arc<TrackSet>,
    written: Arc<TrackSet>,
    /// Those that are written from their next entry on. Up to it the open file has what it can of them.
    next: Option<Arc<TrackSet>>,
    /// The last frame of each written track: its decoding time.
    last: Vec<(TrackId, i64)>,
    /// When the last picture of the first video track was decoded, or since when there is sound without one.
    picture_us: Option<i64>,
    /// There was a break in front of the next frame that is written: the stream says it once, maybe with a frame that is not.
    breaks: bool,
    number: u64,
    /// Where the last file ended, if what comes next does not follow it.
    gap_from_us: Option<i64>,
    /// When the last frame that was written ends.
    end_us: Option<i64>,
    pub outcomes: Vec<Outcome>,
    pub counts: Counts,
}

/// What was written, and what was not.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub frames: u64,
    pub bytes: u64,
    pub duration_us: u64,
    pub gaps: u64,
    pub gap_us: u64,
    /// Frames that no file could take.
    pub refused: u64,
    pub last_error: Option<String>,
}

impl Writer {
    pub fn new(options: Arc<RecordOptions>, key: StreamKey, number: u64) -> Self {
        Self {
            options,
            key,
            segment: None,
            is_told: false,
            tracks: Arc::default(),
            written: Arc::default(),
            next: None,
            last: Vec::new(),
            picture_us: None,
            breaks: false,
            number,
            gap_from_us: None,
            end_us: None,
            outcomes: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Writes frames.
    ///
    /// # Errors
    /// Why the recording is over: nothing more can be written.
    pub fn take(&mut self, batch: &Batch) -> Result<(), RecordEnd> {
        if !Arc::ptr_eq(&batch.tracks, &self.tracks) {
            self.change_tracks(&batch.tracks)?;
        }
        for (index, frame) in batch.frames.iter().enumerate() {
            self.breaks |= frame.is_discontinuity() || batch.broken && index == 0;
            self.push(frame)?;
        }
        Ok(())
    }

    fn change_tracks(&mut self, tracks: &Arc<TrackSet>) -> Result<(), RecordEnd> {
        let is_same = tracks.tracks == self.tracks.tracks;
        self.tracks = tracks.clone();
        if is_same {
            return Ok(());
        }
        let (written, left_out) = writable(self.options.format, tracks);
        let is_nothing = written.tracks.is_empty();
        self.turn_to(written)?;
        if !left_out.is_empty() {
            let (format, codecs) = (self.options.format.name(), left_out.join(", "));
            self.counts.last_error = Some(format!("{format} cannot carry {codecs}: left out"));
        }
        if is_nothing && !left_out.is_empty() {
            return Err(RecordEnd::Failed(self.counts.last_error.clone().unwrap_or_default()));
        }
        Ok(())
    }

    /// Writes these tracks from now on, or where some of the open file stay as they are, from the next entry on: what comes before it can
    /// be decoded nowhere else.
    fn turn_to(&mut self, tracks: Arc<TrackSet>) -> Result<(), RecordEnd> {
        self.next = None;
        if tracks.tracks == self.written.tracks {
            return Ok(());
        }
        if self.segment.is_some() && goes_on(&self.written, &tracks) {
            if !self.join(&tracks) {
                self.next = Some(tracks);
            }
            return Ok(());
        }
        self.close()?;
        (self.written, self.picture_us) = (tracks, None);
        Ok(())
    }

    /// Lets tracks that have come beside the others into the open file, if nothing of it is on the disk yet: many senders announce their
    /// sound some pictures late.
    fn join(&mut self, tracks: &Arc<TrackSet>) -> bool {
        let is_more = self.written.tracks.iter().all(|track| tracks.find(track.id) == Some(track));
        let leads_as_before = self.written.first(MediaKind::Video) == tracks.first(MediaKind::Video);
        let joined =
            is_more && leads_as_before && self.segment.as_mut().is_some_and(|segment| segment.widen(tracks.clone()));
        if joined {
            self.written = tracks.clone();
        }
        joined
    }

    fn push(&mut self, frame: &Frame) -> Result<(), RecordEnd> {
        if let Some(next) = self.next.take_if(|next| is_entry(next, frame)) {
            self.close()?;
            (self.written, self.picture_us) = (next, None);
        }
        let written = self.written.clone();
        let Some(track) = written.find(frame.track) else { return Ok(()) };
        let dts_us = micros(frame.dts, track.clock_rate_hz);
        if std::mem::take(&mut self.breaks) {
            self.look_for_gap(frame, dts_us)?;
        }
        // It notes key pictures, too.
        let is_silent = self.has_no_pictures(&written, track, dts_us);
        let is_entry = is_entry(&written, frame) || is_silent;
        if is_entry && self.segment.as_ref().is_some_and(|segment| self.is_complete(segment, dts_us)) {
            self.close()?;
        }
        if self.segment.is_none() {
            if !is_entry {
                // What cannot be decoded is missing.
                self.gap_from_us = self.gap_from_us.or(self.end_us);
                return Ok(());
            }
            self.open(dts_us)?;
        } else if !is_entry && self.lacks_key(&written, track) {
            self.counts.refused += 1;
            return Ok(());
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        // A time that goes back without being a break would spoil the fragment.
        match self.last.iter_mut().find(|(id, _)| *id == frame.track) {
            Some((_, last)) if *last >= frame.dts => {
                self.counts.refused += 1;
                return Ok(());
            }
            Some((_, last)) => *last = frame.dts,
            None => self.last.push((frame.track, frame.dts)),
        }
        let pushed = segment.push(frame, track);
        self.end_us = Some(segment.end_us());
        self.tell_of_file();
        pushed.map_err(|error| self.fail(error.into()))
    }

    /// Whether this is sound of a stream whose pictures have ceased. It may still announce them, and they may come again.
    fn has_no_pictures(&mut self, written: &TrackSet, track: &Track, dts_us: i64) -> bool {
        if written.first(MediaKind::Video).is_some_and(|video| video.id == track.id) {
            self.picture_us = Some(dts_us);
        }
        let since_us = *self.picture_us.get_or_insert(dts_us);
        track.kind() == MediaKind::Audio && dts_us.saturating_sub(since_us) > SILENT_US
    }

    /// Whether the file has no picture yet of that track: one that is no key frame cannot be decoded.
    fn lacks_key(&self, written: &TrackSet, track: &Track) -> bool {
        let leads = written.first(MediaKind::Video).is_some_and(|video| video.id == track.id);
        leads && !self.last.iter().any(|(id, _)| *id == track.id)
    }

    fn is_complete(&self, segment: &Segment, dts_us: i64) -> bool {
        segment.age(dts_us) >= self.options.segment || segment.bytes() >= self.options.segment_bytes
    }

    /// A break ends the file when time goes back, or when so much is missing that it is a gap.
    fn look_for_gap(&mut self, frame: &Frame, dts_us: i64) -> Result<(), RecordEnd> {
        let Some(end_us) = self.end_us else { return Ok(()) };
        let last = self.last.iter().find(|(id, _)| *id == frame.track);
        let goes_back = last.is_some_and(|(_, last)| *last >= frame.dts) || dts_us < end_us.saturating_sub(GAP_MIN_US);
        if goes_back || dts_us.saturating_sub(end_us) > GAP_MIN_US {
            self.close()?;
            (self.gap_from_us, self.picture_us) = (Some(end_us), None);
        }
        Ok(())
    }

    fn open(&mut self, dts_us: i64) -> Result<(), RecordEnd> {
        let gap_us = self.gap_from_us.take().map(|from| u64::try_from(dts_us.saturating_sub(from)).unwrap_or(0));
        if let Some(gap_us) = gap_us {
            self.counts.gaps += 1;
            self.counts.gap_us += gap_us;
        }
        let follows = gap_us.is_none() && self.end_us.is_some();
        let place = Place { key: &self.key, number: self.number, follows, gap_us: gap_us.unwrap_or(0) };
        let segment = Segment::new(&self.options, &place, self.written.clone(), dts_us);
        self.segment = Some(segment.map_err(|error| RecordEnd::Failed(error.to_string()))?);
        self.number += 1;
        self.last.clear();
        self.is_told = false;
        Ok(())
    }

    /// Tells of a file when it is there.
    fn tell_of_file(&mut self) {
        if let Some(segment) = self.segment.as_ref().filter(|segment| !self.is_told && segment.has_begun()) {
            self.outcomes.push(Outcome::Began(segment.info.clone(), segment.outliner()));
            self.is_told = true;
        }
    }

    /// Puts what waits for the rest of its fragment on the disk.
    pub fn flush(&mut self) -> Result<(), RecordEnd> {
        let flushed = self.segment.as_mut().map_or(Ok(()), |segment| segment.flush(None));
        self.tell_of_file();
        flushed.map_err(|error| self.fail(error.into()))
    }

    /// Ends the file, if there is one.
    pub fn close(&mut self) -> Result<(), RecordEnd> {
        self.flush()?;
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        self.note_refused(&mut segment);
        let (finished, outcome) = segment.finish();
        self.finished(finished);
        outcome.map_err(|error| self.fail(error.into()))
    }

    /// The disk has refused: what is whole of the file is all of it.
    fn fail(&mut self, end: RecordEnd) -> RecordEnd {
        if let Some(mut segment) = self.segment.take() {
            self.note_refused(&mut segment);
            let finished = segment.give_up();
            self.finished(finished);
        }
        self.counts.last_error = Some(end.to_string());
        end
    }

    fn note_refused(&mut self, segment: &mut Segment) {
        if let Some((frames, error)) = segment.refused.take() {
            self.counts.refused += frames;
            self.counts.last_error = Some(error.to_string());
        }
    }

    fn finished(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        self.counts.frames += finished.info.frames;
        self.counts.bytes += finished.info.bytes;
        self.counts.duration_us += finished.info.duration_us;
        self.outcomes.push(Outcome::Finished(finished));
    }

    /// What was written up to now, with the file that is being written.
    pub fn totals(&self) -> Counts {
        let mut counts = self.counts.clone();
        if let Some(segment) = &self.segment {
            counts.frames += segment.info.frames;
            counts.bytes += segment.info.bytes;
            counts.duration_us += segment.info.duration_us;
        }
        counts
    }
}

/// Where readers may begin: at a key frame of the first video track, or anywhere in a stream without one.
fn is_entry(tracks: &TrackSet, frame: &Frame) -> bool {
    match tracks.first(MediaKind::Video) {
        Some(video) => frame.track == video.id && frame.is_key(),
        None => tracks.find(frame.track).is_some_and(|track| track.kind() == MediaKind::Audio),
    }
}

/// Whether pictures or sound stay as they are, and nothing has become another: others may have come beside them, or be gone.
fn goes_on(before: &TrackSet, tracks: &TrackSet) -> bool {
    let is_other = |track: &Track| tracks.find(track.id).is_some_and(|other| other != track);
    let stays = |track: &Track| track.kind() != MediaKind::Data && tracks.find(track.id) == Some(track);
    !before.tracks.iter().any(is_other) && before.tracks.iter().any(stays)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::Duration};

    use arcly_bus::FrameFlags;
    use arcly_codec::{Codec, CodecConfig, h264::AvcConfig, pcm::PcmConfig};
    use bytes::Bytes;

    use super::*;
    use crate::record::RecordFormat;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);
    /// An avcC record of libx264.
    const RECORD: [u8; 37] = [
        1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 0x16, 0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x07, 0xec, 0x04, 0x40, 0, 0, 3,
        0, 0x40, 0, 0, 7, 0x83, 0xc5, 0x0a, 0xa8, 1, 0, 4, 0x68, 0xce, 0x0f, 0xc8,
    ];

    fn frame(track: TrackId, at_s: i64, flags: FrameFlags) -> Frame {
        let dts = at_s * if track == VIDEO { 90_000 } else { 8_000 };
        let payload = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
        Frame { track, flags, pts: dts, dts, duration: 0, payload }
    }

    const KEY: FrameFlags = FrameFlags::KEY;
    const NONE: FrameFlags = FrameFlags::NONE;

    fn picture() -> Track {
        Track::new(VIDEO, CodecConfig::H264(AvcConfig::parse(Bytes::from_static(&RECORD)).unwrap()))
    }

    /// AAC of 8 kHz.
    fn sound() -> Track {
        Track::new(AUDIO, CodecConfig::parse(Codec::Aac, Bytes::from_static(&[0x15, 0x88])).unwrap())
    }

    /// A directory, and a recording there that is removed with it.
    struct Scene {
        root: PathBuf,
        writer: Writer,
    }

    impl Scene {
        fn new(name: &str, change: impl FnOnce(&mut RecordOptions)) -> Self {
            let root = std::env::temp_dir().join(format!("arcly-writer-{name}-{}", std::process::id()));
            let mut options = RecordOptions::new(root.clone());
            change(&mut options);
            let writer = Writer::new(Arc::new(options), StreamKey::new("live", "cam").unwrap(), 0);
            Self { root, writer }
        }

        fn take(&mut self, tracks: &[Track], frames: Vec<Frame>) {
            let tracks = Arc::new(TrackSet { revision: 1, tracks: tracks.to_vec() });
            self.writer.take(&Batch { tracks, frames, broken: false }).unwrap();
        }

        /// Frames of each file; nothing was refused, and nothing is missing.
        fn frames(self) -> Vec<u64> {
            self.frames_without(0)
        }

        /// Where so many frames were refused.
        fn frames_without(mut self, refused: u64) -> Vec<u64> {
            self.writer.close().unwrap();
            assert_eq!((self.writer.counts.refused, self.writer.counts.gaps), (refused, 0));
            let finished = self.writer.outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Finished(finished) => Some(finished.info.frames),
                Outcome::Began(..) => None,
            });
            finished.collect()
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    /// Found by a reader: SRT and UDP say of each track with its first frame, and ffmpeg's sound is a few pictures late. All that came
    /// behind it was dropped up to the next key frame.
    #[test]
    fn a_track_that_comes_or_goes_in_the_middle_of_a_gop_costs_no_picture() {
        let cue = Track::new(TrackId(7), CodecConfig::parse(Codec::Id3, Bytes::new()).unwrap());
        let (alone, with_sound, all) = ([picture()], [picture(), sound()], [picture(), sound(), cue]);
        let sets: [[&[Track]; 3]; 4] = [
            [&alone, &with_sound, &with_sound],
            [&with_sound, &alone, &alone],
            [&with_sound, &all, &all],
            [&with_sound, &alone, &with_sound],
        ];
        for (number, [before, within, behind]) in sets.into_iter().enumerate() {
            let mut scene = Scene::new(&format!("change-{number}"), |_| {});
            scene.take(before, vec![frame(VIDEO, 0, KEY), frame(VIDEO, 1, NONE)]);
            scene.take(within, vec![frame(VIDEO, 2, NONE), frame(AUDIO, 2, KEY), frame(VIDEO, 3, NONE)]);
            scene.take(behind, vec![frame(VIDEO, 4, KEY), frame(AUDIO, 4, KEY)]);
            let expected: [&[u64]; 4] = [&[4, 2], &[5, 1], &[5, 2], &[7]];
            assert_eq!(scene.frames(), expected[number], "{number}");
        }
    }

    #[test]
    fn sound_that_comes_before_anything_is_on_the_disk_is_in_the_same_file() {
        for format in RecordFormat::ALL {
            let mut scene = Scene::new(format.name(), |options| {
                (options.fragment, options.format) = (Duration::from_secs(60), format);
            });
            scene.take(&[picture()], vec![frame(VIDEO, 0, KEY), frame(VIDEO, 1, NONE)]);
            scene.take(&[picture(), sound()], vec![frame(AUDIO, 1, KEY), frame(VIDEO, 2, NONE), frame(VIDEO, 3, KEY)]);
            assert_eq!(scene.frames(), [5], "{format:?}");
        }
    }

    /// Found by a reader: a camera that is taken away stays announced, and the file of the sound alone never ended.
    #[test]
    fn files_end_without_pictures_where_these_have_ceased_and_pictures_begin_with_a_key() {
        let mut scene = Scene::new("ceased", |options| options.segment = Duration::from_secs(20));
        let tracks = [picture(), sound()];
        let mut frames = vec![frame(VIDEO, 0, KEY), frame(VIDEO, 1, NONE)];
        frames.extend((0..60).map(|at_s| frame(AUDIO, at_s, KEY)));
        frames.sort_by_key(|frame| if frame.track == VIDEO { frame.dts / 90 } else { frame.dts / 8 });
        scene.take(&tracks, frames);
        // They come again in the middle of a GOP.
        scene.take(&tracks, vec![frame(AUDIO, 60, KEY), frame(VIDEO, 60, NONE), frame(VIDEO, 61, KEY)]);
        scene.take(&tracks, vec![frame(VIDEO, 62, NONE), frame(VIDEO, 79, KEY), frame(VIDEO, 81, KEY)]);
        assert_eq!(scene.frames_without(1), [22, 20, 20, 4, 1]);
    }

    /// As of a camera that is slow to begin, or one whose pictures did not come again behind a gap.
    #[test]
    fn sound_without_pictures_begins_a_file() {
        let mut scene = Scene::new("sound", |_| {});
        scene.take(&[picture(), sound()], (0..30).map(|at_s| frame(AUDIO, at_s, KEY)).collect());
        assert_eq!(scene.frames(), [19]);
    }

    /// Found by reading: a key picture was never noted as one, and after 10 s every sound began a file.
    #[test]
    fn files_of_key_pictures_alone_begin_with_them() {
        let mut scene = Scene::new("intra", |options| options.segment = Duration::from_secs(20));
        // Sound is in front of the picture of its second, and would be the first to end the file.
        let second = |at_s| [frame(AUDIO, at_s, KEY), frame(VIDEO, at_s, KEY)];
        scene.take(&[picture(), sound()], [vec![frame(VIDEO, 0, KEY)], (1..30).flat_map(second).collect()].concat());
        assert_eq!(scene.frames(), [40, 19]);
    }

    #[test]
    fn sound_goes_on_in_its_file_until_pictures_that_have_come_have_a_key() {
        let mut scene = Scene::new("pictures", |_| {});
        scene.take(&[sound()], vec![frame(AUDIO, 0, KEY), frame(AUDIO, 1, KEY)]);
        let behind = vec![frame(VIDEO, 1, NONE), frame(AUDIO, 2, KEY), frame(VIDEO, 3, KEY), frame(AUDIO, 3, KEY)];
        scene.take(&[picture(), sound()], behind);
        assert_eq!(scene.frames(), [3, 2]);
    }

    /// Found by reading: the break was lost with the frame that said it, and nothing was recorded until the time had come up again.
    #[test]
    fn a_break_that_a_track_says_which_is_not_recorded_is_one() {
        let root = std::env::temp_dir().join(format!("arcly-writer-{}", std::process::id()));
        let options = RecordOptions { format: RecordFormat::MpegTs, ..RecordOptions::new(root.clone()) };
        let mut writer = Writer::new(Arc::new(options), StreamKey::new("live", "cam").unwrap(), 0);
        let sound = CodecConfig::parse(Codec::G711A, PcmConfig::new(8_000, 1, 8).unwrap().record).unwrap();
        let tracks = vec![picture(), Track::new(AUDIO, sound)];
        let frames = vec![
            frame(VIDEO, 7_200, FrameFlags::KEY),
            frame(AUDIO, 3_600, FrameFlags::DISCONTINUITY),
            frame(VIDEO, 3_600, FrameFlags::KEY),
        ];
        let tracks = Arc::new(TrackSet { revision: 1, tracks });
        let taken = writer.take(&Batch { tracks, frames, broken: false }).and_then(|()| writer.close());
        let _ = fs::remove_dir_all(root);
        assert!(taken.is_ok());
        let files = writer.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Finished(_))).count();
        assert_eq!((files, writer.counts.frames, writer.counts.refused), (2, 2, 0));
    }
}
