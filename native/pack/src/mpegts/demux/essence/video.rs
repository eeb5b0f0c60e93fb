//! Pictures behind start codes: H.264, H.265, H.266.

use std::marker::PhantomData;

use arcly_bus::FrameFlags;
use arcly_codec::{
    CodecConfig, CodecError,
    h264::{self, AvcConfig, Canonical},
    h265::{self, HevcConfig},
    h266::{self, VvcConfig},
};
use bytes::Bytes;

use super::{Essence, Outlet, Unit};

/// A codec of NAL units.
pub(super) trait NalCodec: std::fmt::Debug + Send + Sync {
    /// Its configuration.
    type Config: std::fmt::Debug + Send + Sync;

    /// An access unit to the form of the bus.
    fn canonical(stream: Bytes) -> Result<Canonical, CodecError>;

    /// The configuration that `sets` make of the present one; `None` when that is the same, or when they do not suffice.
    fn configure(present: Option<&Self::Config>, sets: &Sets) -> Option<Self::Config>;

    fn is_key(payload: &[u8]) -> bool;

    fn wrap(config: &Self::Config) -> CodecConfig;
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

/// Pictures of one stream: a PES packet is an access unit.
#[derive(Debug)]
pub(super) struct Video<C: NalCodec> {
    config: Option<C::Config>,
    /// The newest ones.
    sets: Sets,
    codec: PhantomData<C>,
}

impl<C: NalCodec> Default for Video<C> {
    fn default() -> Self {
        Self { config: None, sets: Sets::default(), codec: PhantomData }
    }
}

impl<C: NalCodec> Essence for Video<C> {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let Ok(canonical) = C::canonical(unit.content) else { return outlet.drop_frame() };
        if self.sets.replace(&canonical)
            && let Some(config) = C::configure(self.config.as_ref(), &self.sets)
        {
            outlet.config(C::wrap(&config));
            self.config = Some(config);
        }
        let payload = canonical.payload;
        if payload.is_empty() {
            return;
        }
        let (Some(times), Some(_)) = (unit.times, &self.config) else { return outlet.drop_frame() };
        let flags = if C::is_key(&payload) { FrameFlags::KEY } else { FrameFlags::NONE };
        outlet.frame((times.pts_90k, times.dts_90k), 0, flags, payload);
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

    fn is_key(payload: &[u8]) -> bool {
        h264::is_random_access(h264::nal_units(payload, 4).flatten())
    }

    fn wrap(config: &AvcConfig) -> CodecConfig {
        CodecConfig::H264(config.clone())
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

    fn is_key(payload: &[u8]) -> bool {
        h265::is_random_access(h265::nal_units(payload, 4).flatten())
    }

    fn wrap(config: &HevcConfig) -> CodecConfig {
        CodecConfig::H265(config.clone())
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

    fn is_key(payload: &[u8]) -> bool {
        h266::is_random_access(h266::nal_units(payload, 4).flatten())
    }

    fn wrap(config: &VvcConfig) -> CodecConfig {
        CodecConfig::H266(config.clone())
    }
}
