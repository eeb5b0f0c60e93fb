//! One track of a publish: its configuration, and the clock of its sound.

use arcly_bus::{Track, TrackId};
use arcly_codec::{
    Codec, CodecConfig, CodecError, aac::AudioSpecificConfig, flac::FlacConfig, h264::AvcConfig, h265::HevcConfig,
    h266::VvcConfig, nal::LateSets,
};
use bytes::Bytes;

use super::{clock::AudioGrid, colour::ColourInfo};

/// A track that was named by a sequence header or a frame.
#[derive(Debug)]
pub(super) struct DemuxTrack {
    pub id: TrackId,
    pub codec: Codec,
    /// As the sender wrote it: by this its repetition is known, even when something in-band has replaced it.
    sequence_header: Bytes,
    /// Bytes of a NAL unit length, as the sender writes them.
    pub nal_length_size: u8,
    /// `None` until the first frame, for codecs that say it there.
    pub config: Option<CodecConfig>,
    /// Beside it.
    pub late_sets: LateSets,
    pub grid: AudioGrid,
    pub colour: ColourInfo,
}

impl DemuxTrack {
    pub fn new(id: TrackId, codec: Codec) -> Self {
        let grid = AudioGrid::new(0);
        let colour = ColourInfo::default();
        let late_sets = LateSets::default();
        Self { id, codec, sequence_header: Bytes::new(), nal_length_size: 4, config: None, late_sets, grid, colour }
    }

    /// The track as the bus has it, once it is configured.
    pub fn track(&self) -> Option<Track> {
        self.config.clone().map(|config| Track { hdr: self.colour.hdr, ..Track::new(self.id, config) })
    }

    /// The last sequence header, as the sender wrote it.
    pub fn sequence_header(&self) -> &Bytes {
        &self.sequence_header
    }

    /// Another codec begins: nothing of the old one holds.
    pub fn change_codec(&mut self, codec: Codec) {
        if self.codec != codec {
            *self = Self { config: self.config.take(), ..Self::new(self.id, codec) };
        }
    }

    /// Takes a sequence header; whether the configuration is another one now.
    pub fn configure(&mut self, record: &Bytes) -> Result<bool, CodecError> {
        if self.sequence_header == record {
            return Ok(false);
        }
        // Copied: a slice would keep the whole message, or a buffer of many, alive for as long as the stream.
        let record = Bytes::copy_from_slice(record);
        let (config, nal_length_size) = read_record(self.codec, record.clone())?;
        (self.sequence_header, self.nal_length_size) = (record, nal_length_size);
        self.late_sets = LateSets::default();
        Ok(config.is_some_and(|config| self.set_config(config)))
    }

    /// Whether this is another configuration.
    pub fn set_config(&mut self, config: CodecConfig) -> bool {
        let changed = self.config.as_ref() != Some(&config);
        if changed || self.grid.rate_hz() != config.clock_rate_hz() {
            self.grid = AudioGrid::new(config.clock_rate_hz());
        }
        self.config = Some(config);
        changed
    }
}

/// The configuration of a sequence header in the form of the bus, and the length of NAL unit lengths in the frames.
/// `None` for codecs whose frames say it all, and better.
fn read_record(codec: Codec, record: Bytes) -> Result<(Option<CodecConfig>, u8), CodecError> {
    // On the bus lengths have four bytes, and the record that goes with them must say so.
    let config = match codec {
        Codec::H264 => {
            let config = AvcConfig::parse(record)?;
            let nal_length_size = config.nal_length_size;
            return Ok((Some(CodecConfig::H264(config.into_canonical())), nal_length_size));
        }
        Codec::H265 => {
            let config = HevcConfig::parse(record)?;
            let nal_length_size = config.nal_length_size;
            return Ok((Some(CodecConfig::H265(config.into_canonical())), nal_length_size));
        }
        Codec::H266 => {
            let config = VvcConfig::parse(record)?;
            let nal_length_size = config.nal_length_size;
            return Ok((Some(CodecConfig::H266(config.into_canonical())), nal_length_size));
        }
        Codec::Aac => Some(CodecConfig::Aac(AudioSpecificConfig::parse(record)?)),
        Codec::Flac => Some(CodecConfig::Flac(flac(record)?)),
        Codec::Opus | Codec::Av1 => Some(CodecConfig::parse(codec, record)?),
        _ => None,
    };
    Ok((config, 4))
}

/// Enhanced RTMP has the beginning of a FLAC file, FFmpeg the bare body of STREAMINFO.
fn flac(record: Bytes) -> Result<FlacConfig, CodecError> {
    if record.starts_with(b"fLaC") {
        return FlacConfig::from_stream(&record).map(|(config, _)| config);
    }
    FlacConfig::from_stream_info(&record)
}
