//! Bytes of a container to items.

use arcly_codec::{Codec, MediaKind};

use super::{Container, holdback::Holdback};
use crate::{
    Item, PackError,
    flv::{FlvDemuxer, FlvError, FlvReader},
    mp4::Mp4Demuxer,
    mpegts::{TsDemuxer, TsOptions, UnreadStream},
};

/// Reads one of the containers, pushed to it in pieces of any size.
///
/// After each [`push`](Self::push), [`poll`](Self::poll) until it is empty.
#[derive(Debug)]
pub struct ContainerDemuxer {
    inner: Inner,
    left_out: LeftOut,
}

/// What could not be used, while the rest could.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// How many parts: tags, packets, access units, tracks.
    pub count: u64,
    /// Why the last one was left out, for a person; of streams that are left out of a transport stream, all.
    pub last: Option<String>,
}

impl LeftOut {
    /// What a reader of MP4 counts.
    pub fn of_samples(broken: u64, dropped: u64, refused_tracks: &[(u32, PackError)]) -> Self {
        let mut left_out = counted(&[
            (broken, "samples are broken"),
            (dropped, "samples lie outside of the file, or their configuration is not known"),
        ]);
        left_out.count += refused_tracks.len() as u64;
        if let Some((track, error)) = refused_tracks.last() {
            left_out.last = Some(format!("track {track}: {error}"));
        }
        left_out
    }
}

#[derive(Debug)]
enum Inner {
    MpegTs(Box<(TsDemuxer, Holdback)>),
    Flv(Box<(FlvReader, FlvDemuxer)>),
    Mp4(Box<Mp4Demuxer>),
}

impl ContainerDemuxer {
    /// A demuxer that has seen nothing. `program`: which program of a transport stream is read, `None` for the first with media;
    /// other containers have only one.
    pub fn new(container: Container, program: Option<u16>) -> Self {
        let inner = match container {
            Container::MpegTs => {
                let options = TsOptions { program, ..TsOptions::default() };
                Inner::MpegTs(Box::new((TsDemuxer::new(options), Holdback::default())))
            }
            Container::Flv => Inner::Flv(Box::default()),
            Container::Mp4 => Inner::Mp4(Box::new(Mp4Demuxer::new())),
        };
        Self { inner, left_out: LeftOut::default() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`PackError`]: this is not the container, or it is broken beyond what can be passed over. Push no more then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        match &mut self.inner {
            Inner::MpegTs(ts) => {
                ts.0.push(bytes);
                Ok(())
            }
            Inner::Flv(flv) => push_flv(flv, bytes, &mut self.left_out),
            Inner::Mp4(demuxer) => demuxer.push(bytes),
        }
    }

    /// So many bytes are missing in front of what comes next ([`TsDemuxer::lose`]); a file misses none.
    pub fn lose(&mut self, bytes: usize) {
        if let Inner::MpegTs(ts) = &mut self.inner {
            ts.0.lose(bytes);
        }
    }

    /// Nothing more comes: gives out what is complete now. Poll once more.
    ///
    /// # Errors
    /// Why there never was a frame, as far as the container knows.
    pub fn finish(&mut self) -> Result<(), PackError> {
        match &mut self.inner {
            Inner::MpegTs(ts) => {
                let (demuxer, holdback) = ts.as_mut();
                let finished = demuxer.finish();
                while let Some(item) = demuxer.poll() {
                    holdback.push(item, 0);
                }
                holdback.open();
                finished
            }
            Inner::Flv(flv) => {
                flv.1.finish();
                Ok(())
            }
            Inner::Mp4(demuxer) => {
                demuxer.finish();
                Ok(())
            }
        }
    }

    /// The next item.
    pub fn poll(&mut self) -> Option<Item> {
        match &mut self.inner {
            Inner::MpegTs(ts) => poll_ts(ts),
            Inner::Flv(flv) => flv.1.poll(),
            Inner::Mp4(demuxer) => demuxer.poll(),
        }
    }

    /// What could not be used so far.
    pub fn left_out(&self) -> LeftOut {
        match &self.inner {
            Inner::MpegTs(ts) => {
                let stats = ts.0.stats();
                let kinds = [
                    (stats.continuity_errors, "packets are missing (continuity counter)"),
                    (stats.broken_packets, "packets are marked as broken"),
                    (stats.scrambled_packets, "packets are scrambled"),
                    (stats.broken_sections, "tables are broken"),
                    (stats.dropped_pes, "PES packets are cut off or too large"),
                    (stats.dropped_frames, "access units are malformed, without a time, or before their configuration"),
                ];
                let mut left_out = counted(&kinds);
                let unread = ts.0.unread();
                left_out.count += unread.len() as u64;
                if !unread.is_empty() {
                    left_out.last = Some(unread.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
                }
                left_out
            }
            Inner::Flv(flv) => {
                let early = flv.1.dropped_frames();
                let last = self.left_out.last.clone();
                let early_last = (early > 0).then(|| format!("{early} frames came before their sequence header"));
                LeftOut { count: self.left_out.count + early, last: last.or(early_last) }
            }
            Inner::Mp4(demuxer) => {
                LeftOut::of_samples(demuxer.broken_frames(), demuxer.dropped_frames(), demuxer.refused_tracks())
            }
        }
    }

    /// Streams of a transport stream of which no track can be made, as [`TsDemuxer::unread`]; they are counted in
    /// [`left_out`](Self::left_out) too. Of other containers the demuxer refuses them one by one.
    pub fn unread(&self) -> &[UnreadStream] {
        match &self.inner {
            Inner::MpegTs(ts) => ts.0.unread(),
            Inner::Flv(_) | Inner::Mp4(_) => &[],
        }
    }

    /// Bytes that have come and of which nothing was given out yet.
    pub fn buffered_bytes(&self) -> usize {
        match &self.inner {
            Inner::MpegTs(ts) => ts.0.buffered_bytes() + ts.1.buffered_bytes(),
            Inner::Flv(flv) => flv.0.buffered_bytes(),
            Inner::Mp4(demuxer) => demuxer.buffered_bytes(),
        }
    }
}

/// The map of a program says which tracks there will be; each is known only with its first frame.
fn poll_ts(ts: &mut (TsDemuxer, Holdback)) -> Option<Item> {
    let (demuxer, holdback) = ts;
    if holdback.is_open() {
        return demuxer.poll();
    }
    while let Some(item) = demuxer.poll() {
        let programs = demuxer.programs();
        let streams = programs.iter().filter(|program| program.is_chosen).flat_map(|program| &program.streams);
        let is_media = |codec: &Codec| codec.kind() != MediaKind::Data;
        holdback.push(item, streams.filter_map(|stream| stream.codec).filter(is_media).count());
    }
    holdback.poll()
}

fn counted(kinds: &[(u64, &str)]) -> LeftOut {
    let last = kinds.iter().find(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    LeftOut { count: kinds.iter().map(|(count, _)| count).sum(), last }
}

/// A tag that is of no use leaves the others alone; a file that is broken between tags cannot be read on.
fn push_flv(flv: &mut (FlvReader, FlvDemuxer), bytes: &[u8], left_out: &mut LeftOut) -> Result<(), PackError> {
    let (reader, demuxer) = flv;
    let mut note = |error: FlvError| {
        left_out.count += 1;
        left_out.last = Some(error.to_string());
    };
    reader.feed(bytes);
    loop {
        match reader.next_tag() {
            Ok(None) => return Ok(()),
            Ok(Some(tag)) => {
                if let Err(error) = demuxer.push(tag.kind, tag.timestamp_ms, tag.body) {
                    note(error);
                }
            }
            Err(error @ FlvError::Unsupported { .. }) => note(error),
            Err(error) => return Err(error.into()),
        }
    }
}
