//! Pictures behind start codes.

use std::marker::PhantomData;

use arcly_bus::FrameFlags;
use arcly_codec::{
    CodecConfig, CodecError,
    h264::{self, AvcConfig},
};
use bytes::Bytes;

use super::{Essence, Outlet, Unit};

/// A codec of NAL units.
pub(super) trait NalCodec: std::fmt::Debug + Send + Sync {
    /// Its configuration.
    type Config: std::fmt::Debug + Send + Sync;
    /// Parameter sets that an access unit brought.
    type Sets: std::fmt::Debug + Send + Sync + Default;

    /// An access unit to the form of the bus. The parameter sets that were in it replace those in `sets`; whether they differ.
    fn canonical(stream: Bytes, sets: &mut Self::Sets) -> Result<(Bytes, bool), CodecError>;

    /// The configuration that `sets` make of the present one; `None` when that is the same, or when they do not suffice.
    fn configure(present: Option<&Self::Config>, sets: &Self::Sets) -> Option<Self::Config>;

    fn is_key(payload: &[u8]) -> bool;

    fn wrap(config: &Self::Config) -> CodecConfig;
}

/// Pictures of one stream: a PES packet is an access unit.
#[derive(Debug)]
pub(super) struct Video<C: NalCodec> {
    config: Option<C::Config>,
    /// The newest parameter sets.
    sets: C::Sets,
    codec: PhantomData<C>,
}

impl<C: NalCodec> Default for Video<C> {
    fn default() -> Self {
        Self { config: None, sets: C::Sets::default(), codec: PhantomData }
    }
}

impl<C: NalCodec> Essence for Video<C> {
    fn unit(&mut self, unit: Unit, outlet: &mut Outlet) {
        let Ok((payload, is_news)) = C::canonical(unit.content, &mut self.sets) else { return outlet.drop_frame() };
        let config = if is_news { C::configure(self.config.as_ref(), &self.sets) } else { None };
        if let Some(config) = config {
            outlet.config(C::wrap(&config));
            self.config = Some(config);
        }
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

#[derive(Debug, Default)]
pub(super) struct AvcSets {
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl NalCodec for Avc {
    type Config = AvcConfig;
    type Sets = AvcSets;

    fn canonical(stream: Bytes, sets: &mut AvcSets) -> Result<(Bytes, bool), CodecError> {
        let canonical = h264::annex_b_to_canonical(stream)?;
        let is_news = replace(&mut sets.sps, &canonical.sps) | replace(&mut sets.pps, &canonical.pps);
        Ok((canonical.payload, is_news))
    }

    fn configure(present: Option<&AvcConfig>, sets: &AvcSets) -> Option<AvcConfig> {
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

/// Whether what came differs. It is copied: a slice would keep the whole access unit alive for as long as the stream.
fn replace(known: &mut Vec<Bytes>, new: &[Bytes]) -> bool {
    if new.is_empty() || known == new {
        return false;
    }
    *known = new.iter().map(|set| Bytes::copy_from_slice(set)).collect();
    true
}
