//! Pictures behind start codes: H.264, H.265, H.266.

use std::marker::PhantomData;

use arcly_bus::FrameFlags;
use arcly_codec::{
    CodecConfig, CodecError,
    h264::{self, AvcConfig, Canonical, SpsInfo},
    h265::{self, HevcConfig},
    h266::{self, VvcConfig},
    nal::{AccessUnits, LateSets, nal_units},
};
use bytes::Bytes;

use super::{
    Essence, Outlet, Unit,
    cadence::Cadence,
    splitter::{Splitter, first_nal},
};
use crate::mpegts::demux::timeline::Times;

/// A codec of NAL units.
pub(super) trait NalCodec: std::fmt::Debug + Send + Sync {
    /// Its configuration.
    type Config: std::fmt::Debug + Send + Sync;

    /// An access unit to the form of the bus.
    fn canonical(stream: Bytes) -> Result<Canonical, CodecError>;

    /// The configuration that `sets` make of the present one; `None` when that is the same, or when they do not suffice.
    fn configure(present: Option<&Self::Config>, sets: &Sets) -> Option<Self::Config>;

    /// Whether decoding can begin at an access unit.
    fn is_key(unit: &Canonical) -> bool;

    fn wrap(config: &Self::Config) -> CodecConfig;

    /// Whether a NAL unit is the first slice of a picture; `None` for what is no slice.
    fn is_first_slice(nal: &[u8]) -> Option<bool>;

    /// Cuts a byte stream into access units.
    fn access_units(max_bytes: usize) -> AccessUnits;

    /// Puts back parameter sets that make no other configuration; whether it stays.
    fn keeps_sets(present: &Self::Config, late: &mut LateSets, canonical: &mut Canonical) -> bool;

    /// What tells fields from frames, where two pictures may be the fields of one frame.
    fn fields(_config: &Self::Config) -> Option<SpsInfo> {
        None
    }
}

/// Parameter sets.
#[derive(Debug, Default)]
pub(super) struct Sets {
    vps: Vec<Bytes>,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl Sets {
    /// Takes over those that an access unit brought. Whether they differ.
    fn replace(&mut self, canonical: &Canonical) -> bool {
        replace(&mut self.vps, &canonical.vps)
            | replace(&mut self.sps, &canonical.sps)
            | replace(&mut self.pps, &canonical.pps)
    }
}

/// Whether what came differs. It is copied: a slice would keep the whole access unit alive for as long as the stream.
fn replace(known: &mut Vec<Bytes>, new: &[Bytes]) -> bool {
    if new.is_empty() || known == new {
        return false;
    }
    *known = new.iter().map(|set| Bytes::copy_from_slice(set)).collect();
    true
}

/// The first slices of the pictures of an access unit.
fn first_slices<C: NalCodec>(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    nal_units(payload, 4).flatten().filter(|nal| C::is_first_slice(nal) == Some(true))
}

/// An access unit behind start codes again, its parameter sets in front.
fn byte_stream(canonical: &Canonical) -> Bytes {
    let sets = [&canonical.vps, &canonical.sps, &canonical.pps].into_iter().flatten().map(|set| &set[..]);
    let units = sets.chain(nal_units(&canonical.payload, 4).flatten());
    units.flat_map(|unit| [&[0, 0, 0, 1], unit]).collect::<Vec<_>>().concat().into()
}

/// Pictures of one stream.
///
/// Nearly everywhere a PES packet is an access unit, which is then given out as soon as the PES packet is complete. Where it is not
/// (§2.14.1 and on demand no alignment), access units are cut out of the stream; each is then given out when the next one begins.
#[derive(Debug)]
pub(super) struct Video<C: NalCodec> {
    config: Option<C::Config>,
    /// Beside it.
    late_sets: LateSets,
    /// The newest ones.
    sets: Sets,
    alignment: Alignment,
    cadence: Cadence,
    /// What tells fields from frames, where there are any.
    fields: Option<SpsInfo>,
    codec: PhantomData<C>,
}

/// Whether access units begin where PES packets do.
#[derive(Debug)]
enum Alignment {
    /// The first PES packet waits: the second one tells.
    Unknown(Option<Unit>),
    /// So they do. `strikes`: PES packets in a row that begin otherwise; damage makes one, and no two.
    Given { strikes: u8 },
    /// They do not.
    Missing(Box<Splitter>),
}

impl<C: NalCodec> Default for Video<C> {
    fn default() -> Self {
        Self {
            config: None,
            late_sets: LateSets::default(),
            sets: Sets::default(),
            alignment: Alignment::Unknown(None),
            cadence: Cadence::default(),
            fields: None,
            codec: PhantomData,
        }
    }
}

impl<C: NalCodec> Video<C> {
    /// Whether an access unit can begin with the first byte: neither a rest of one nor a slice in the middle.
    fn begins_unit(stream: &[u8]) -> bool {
        first_nal(stream).is_some_and(|nal| C::is_first_slice(nal) != Some(false))
    }

    /// A PES packet that should be one access unit.
    fn aligned(&mut self, unit: Unit, outlet: &mut Outlet) {
        if let Alignment::Missing(_) = self.alignment {
            return self.split([unit], outlet);
        }
        let Ok(mut canonical) = C::canonical(unit.content) else { return outlet.drop_frame() };
        self.configure(&mut canonical, outlet);
        if self.is_one_picture(&canonical.payload) {
            self.emit(canonical, unit.times, outlet);
        } else {
            // Once in a stream: its bytes may have been taken for the access unit. They bring all their sets again.
            self.late_sets = LateSets::default();
            self.split([Unit { content: byte_stream(&canonical), ..unit }], outlet);
        }
    }

    fn is_one_picture(&self, payload: &[u8]) -> bool {
        // Two pictures may be fields: without parameter sets nothing tells, and nothing comes of them.
        if self.config.is_none() {
            return true;
        }
        first_slices::<C>(payload).count() <= if self.fields.is_some() { 2 } else { 1 }
    }

    /// Fields of an access unit: two of a frame, whether it is one picture or two.
    fn count_fields(&self, payload: &[u8]) -> i64 {
        let Some(sps) = &self.fields else { return 2 };
        let mut pictures = first_slices::<C>(payload);
        let is_field = pictures.next().is_some_and(|slice| sps.is_field(slice));
        if is_field && pictures.next().is_none() { 1 } else { 2 }
    }

    /// From here on, access units are cut out of the stream.
    fn split(&mut self, units: impl IntoIterator<Item = Unit>, outlet: &mut Outlet) {
        if !matches!(self.alignment, Alignment::Missing(_)) {
            self.alignment = Alignment::Missing(Box::new(Splitter::new(C::access_units)));
        }
        if let Alignment::Missing(splitter) = &mut self.alignment {
            units.into_iter().for_each(|unit| splitter.push(&unit));
        }
        self.drain(outlet);
    }

    /// Gives out the access units that are whole.
    fn drain(&mut self, outlet: &mut Outlet) {
        while let Alignment::Missing(splitter) = &mut self.alignment
            && let Some(next) = splitter.poll()
        {
            let canonical = next.and_then(|(stream, times)| Ok((C::canonical(stream).map_err(drop)?, times)));
            let Ok((mut canonical, times)) = canonical else {
                outlet.drop_frame();
                continue;
            };
            self.configure(&mut canonical, outlet);
            self.emit(canonical, times, outlet);
        }
    }

    fn configure(&mut self, canonical: &mut Canonical, outlet: &mut Outlet) {
        let late = &mut self.late_sets;
        let is_kept = self.config.as_ref().is_some_and(|present| C::keeps_sets(present, late, canonical));
        if is_kept || !self.sets.replace(canonical) {
            return;
        }
        if let Some(config) = C::configure(self.config.as_ref(), &self.sets) {
            let wrapped = C::wrap(&config);
            self.cadence.declare(wrapped.video().and_then(|info| info.frame_rate));
            self.fields = C::fields(&config);
            outlet.config(wrapped);
            self.config = Some(config);
        }
    }

    fn emit(&mut self, unit: Canonical, times: Option<Times>, outlet: &mut Outlet) {
        if unit.payload.is_empty() {
            return;
        }
        let times = self.cadence.place(times, self.count_fields(&unit.payload));
        let (Some(times), Some(_)) = (times, &self.config) else { return outlet.drop_frame() };
        let flags = if C::is_key(&unit) { FrameFlags::KEY } else { FrameFlags::NONE };
        outlet.frame((times.pts_90k, times.dts_90k), 0, flags, unit.payload);
    }
}

impl<C: NalCodec> Essence for Video<C> {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let begins = Self::begins_unit(&unit.content);
        match &mut self.alignment {
            Alignment::Given { strikes } => {
                *strikes = if begins { 0 } else { *strikes + 1 };
                if *strikes > 1 { self.split([unit], outlet) } else { self.aligned(unit, outlet) }
            }
            Alignment::Missing(_) => self.split([unit], outlet),
            Alignment::Unknown(held) if !begins => {
                let held = held.take();
                self.split(held.into_iter().chain([unit]), outlet);
            }
            Alignment::Unknown(held) => match held.take() {
                None => *held = Some(unit),
                Some(first) => {
                    self.alignment = Alignment::Given { strikes: 0 };
                    self.aligned(first, outlet);
                    self.aligned(unit, outlet);
                }
            },
        }
    }

    fn lose(&mut self, outlet: &mut Outlet) {
        match &mut self.alignment {
            Alignment::Missing(splitter) => **splitter = Splitter::new(C::access_units),
            // What comes next says nothing about what waits: it is taken for the common case.
            Alignment::Unknown(held) => {
                if let Some(unit) = held.take() {
                    self.aligned(unit, outlet);
                }
            }
            Alignment::Given { .. } => {}
        }
        self.cadence.lose();
    }

    fn finish(&mut self, outlet: &mut Outlet) {
        if let Alignment::Unknown(held) = &mut self.alignment
            && let Some(unit) = held.take()
        {
            self.aligned(unit, outlet);
        }
        if let Alignment::Missing(splitter) = &mut self.alignment {
            splitter.finish();
            self.drain(outlet);
        }
    }

    fn buffered_bytes(&self) -> usize {
        match &self.alignment {
            Alignment::Unknown(held) => held.as_ref().map_or(0, |unit| unit.content.len()),
            Alignment::Given { .. } => 0,
            Alignment::Missing(splitter) => splitter.buffered_bytes(),
        }
    }
}

/// ITU-T H.264.
#[derive(Debug)]
pub(super) struct Avc;

impl NalCodec for Avc {
    type Config = AvcConfig;

    fn canonical(stream: Bytes) -> Result<Canonical, CodecError> {
        h264::annex_b_to_canonical(stream)
    }

    fn configure(present: Option<&AvcConfig>, sets: &Sets) -> Option<AvcConfig> {
        match present {
            Some(present) => present.with_parameter_sets(&sets.sps, &sets.pps).ok().flatten(),
            None => AvcConfig::from_parameter_sets(sets.sps.clone(), sets.pps.clone()).ok(),
        }
    }

    fn keeps_sets(present: &AvcConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool {
        present.keep_sets(late, canonical, Self::is_key)
    }

    fn is_key(unit: &Canonical) -> bool {
        h264::is_entry(unit)
    }

    fn wrap(config: &AvcConfig) -> CodecConfig {
        CodecConfig::H264(config.clone())
    }

    fn is_first_slice(nal: &[u8]) -> Option<bool> {
        h264::is_first_slice(nal)
    }

    fn access_units(max_bytes: usize) -> AccessUnits {
        h264::access_units(max_bytes)
    }

    fn fields(config: &AvcConfig) -> Option<SpsInfo> {
        config.sps.first().and_then(|sps| SpsInfo::parse(sps).ok()).filter(|sps| !sps.frame_mbs_only)
    }
}

/// ITU-T H.265.
#[derive(Debug)]
pub(super) struct Hevc;

impl NalCodec for Hevc {
    type Config = HevcConfig;

    fn canonical(stream: Bytes) -> Result<Canonical, CodecError> {
        h265::annex_b_to_canonical(stream)
    }

    fn configure(present: Option<&HevcConfig>, sets: &Sets) -> Option<HevcConfig> {
        match present {
            Some(present) => present.with_parameter_sets(&sets.vps, &sets.sps, &sets.pps).ok().flatten(),
            None => HevcConfig::from_parameter_sets(sets.vps.clone(), sets.sps.clone(), sets.pps.clone()).ok(),
        }
    }

    fn keeps_sets(present: &HevcConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool {
        present.keep_sets(late, canonical, Self::is_key)
    }

    fn is_key(unit: &Canonical) -> bool {
        h265::is_random_access(h265::nal_units(&unit.payload, 4).flatten())
    }

    fn wrap(config: &HevcConfig) -> CodecConfig {
        CodecConfig::H265(config.clone())
    }

    fn is_first_slice(nal: &[u8]) -> Option<bool> {
        h265::is_first_slice(nal)
    }

    fn access_units(max_bytes: usize) -> AccessUnits {
        h265::access_units(max_bytes)
    }
}

/// ITU-T H.266.
#[derive(Debug)]
pub(super) struct Vvc;

impl NalCodec for Vvc {
    type Config = VvcConfig;

    fn canonical(stream: Bytes) -> Result<Canonical, CodecError> {
        h266::annex_b_to_canonical(stream)
    }

    fn configure(present: Option<&VvcConfig>, sets: &Sets) -> Option<VvcConfig> {
        match present {
            Some(present) => present.with_parameter_sets(&sets.vps, &sets.sps, &sets.pps).ok().flatten(),
            None => VvcConfig::from_parameter_sets(sets.vps.clone(), sets.sps.clone(), sets.pps.clone()).ok(),
        }
    }

    fn keeps_sets(present: &VvcConfig, late: &mut LateSets, canonical: &mut Canonical) -> bool {
        present.keep_sets(late, canonical, Self::is_key)
    }

    fn is_key(unit: &Canonical) -> bool {
        h266::is_random_access(h266::nal_units(&unit.payload, 4).flatten())
    }

    fn wrap(config: &VvcConfig) -> CodecConfig {
        CodecConfig::H266(config.clone())
    }

    fn is_first_slice(nal: &[u8]) -> Option<bool> {
        h266::is_first_slice(nal)
    }

    fn access_units(max_bytes: usize) -> AccessUnits {
        h266::access_units(max_bytes)
    }
}
