//! A stream to transport packets.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, Read, Subscription, TrackSet};
use arcly_codec::MediaKind;
use arcly_pack::{
    container::{Container, ContainerMuxer, MuxOptions},
    mpegts::TsMuxer,
    rescale,
};

/// The stream on its way out.
pub(super) struct FromBus {
    cursor: Subscription,
    options: MuxOptions,
    muxer: Option<ContainerMuxer>,
    tracks: Arc<TrackSet>,
    packets: Vec<u8>,
    /// As the cursor counts, up to the last look.
    missed: u64,
    /// Codecs that cannot be carried, once each.
    left_out: Vec<String>,
    said: usize,
}

/// What one look at the stream has brought.
pub(super) enum Next<'a> {
    /// The packets of a frame, perhaps none; and the time of a picture in the stream.
    Packets(&'a [u8], Option<Duration>),
    Nothing,
    Ended,
}

impl FromBus {
    pub(super) fn new(cursor: Subscription, bit_rate: Option<u32>) -> Self {
        let options = MuxOptions { constant_bit_rate: bit_rate, ..MuxOptions::default() };
        let missed = cursor.missed();
        Self {
            cursor,
            options,
            muxer: None,
            tracks: Arc::default(),
            packets: Vec::new(),
            missed,
            left_out: Vec::new(),
            said: 0,
        }
    }

    /// The packets of the next frame.
    ///
    /// # Errors
    /// A sentence: the stream has nothing that a transport stream can carry.
    pub(super) fn next(&mut self) -> Result<Next<'_>, String> {
        let (frame, tracks) = match self.cursor.read(1) {
            Read::Frames(batch) => match batch.frames.first() {
                Some(frame) => (frame.clone(), batch.tracks.clone()),
                None => return Ok(Next::Nothing),
            },
            Read::Empty => return Ok(Next::Nothing),
            Read::Ended | Read::Evicted => return Ok(Next::Ended),
        };
        self.packets.clear();
        self.write(&frame, &tracks)?;
        let video = tracks.find(frame.track).filter(|track| track.kind() == MediaKind::Video);
        let time = video.map(|track| {
            let us = rescale(frame.dts, track.clock_rate_hz, 1_000_000);
            Duration::from_micros(u64::try_from(us).unwrap_or(0))
        });
        Ok(Next::Packets(&self.packets, time))
    }

    /// What is left when the stream has ended.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.packets.clear();
        if let Some(muxer) = &mut self.muxer {
            // A transport stream always ends in order.
            let _ = muxer.finish(&mut self.packets);
        }
        &self.packets
    }

    /// Frames that the log dropped before they were read, since the last call.
    pub(super) fn missed(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.missed, self.cursor.missed());
        self.missed - before
    }

    /// Codecs that are left out and were not told yet.
    pub(super) fn left_out(&mut self) -> &[String] {
        let from = std::mem::replace(&mut self.said, self.left_out.len());
        self.left_out.get(from..).unwrap_or_default()
    }

    fn write(&mut self, frame: &Frame, tracks: &Arc<TrackSet>) -> Result<(), String> {
        if !Arc::ptr_eq(&self.tracks, tracks) {
            self.configure(tracks)?;
        }
        if let Some(muxer) = self.muxer.as_mut().filter(|muxer| muxer.tracks().find(frame.track).is_some()) {
            // A frame that is malformed is left out like one that was lost.
            let _ = muxer.write(frame, &mut self.packets);
        }
        Ok(())
    }

    fn configure(&mut self, tracks: &Arc<TrackSet>) -> Result<(), String> {
        self.tracks = tracks.clone();
        let (carried, left_out): (Vec<_>, Vec<_>) =
            tracks.tracks.iter().cloned().partition(|track| TsMuxer::supports(track).is_ok());
        for codec in left_out.iter().map(|track| format!("{:?}", track.config.codec())) {
            if !self.left_out.contains(&codec) {
                self.left_out.push(codec);
            }
        }
        if carried.is_empty() {
            return Err(format!("a transport stream can carry nothing of this stream ({})", self.left_out.join(", ")));
        }
        let carried = Arc::new(TrackSet { revision: tracks.revision, tracks: carried });
        match &mut self.muxer {
            Some(muxer) => muxer.reconfigure(carried, &mut self.packets).map_err(|error| error.to_string()),
            none => {
                let muxer = ContainerMuxer::new(Container::MpegTs, carried, self.options);
                *none = Some(muxer.map_err(|error| error.to_string())?);
                Ok(())
            }
        }
    }
}
