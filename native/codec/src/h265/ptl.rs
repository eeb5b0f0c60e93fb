//! `profile_tier_level()` (§7.3.3), and how a codec string says it (ISO/IEC 14496-15 Annex E.3).

use std::fmt::Write;

use crate::{CodecError, bits::BitReader};

/// The general part of `profile_tier_level()` (§7.3.3), which the hvcC record repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileTierLevel {
    /// `general_profile_space`, 0 in all streams of today.
    pub profile_space: u8,
    /// `general_tier_flag`: high tier.
    pub high_tier: bool,
    /// `general_profile_idc`: 1 Main, 2 Main 10, 3 Main Still Picture, 4 range extensions.
    pub profile_idc: u8,
    /// `general_profile_compatibility_flag[0]` in the most significant bit, to `[31]`.
    pub compatibility_flags: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraint_bytes: [u8; 6],
    /// `general_level_idc`: 30 times the level.
    pub level_idc: u8,
}

impl ProfileTierLevel {
    /// Reads `profile_tier_level(1, max_sub_layers_minus1)`; what it says of sub-layers is stepped over.
    pub(super) fn read(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<Self, CodecError> {
        let general = Self::read_general(bits)?;
        skip_sub_layers(bits, max_sub_layers_minus1)?;
        Ok(general)
    }

    /// Its twelve bytes, which stand in the record in the same form.
    pub(super) fn read_general(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let mut ptl = Self {
            profile_space: bits.u8(2, "general_profile_space")?,
            high_tier: bits.flag("general_tier_flag")?,
            profile_idc: bits.u8(5, "general_profile_idc")?,
            compatibility_flags: bits.u(32, "general_profile_compatibility_flag")?,
            ..Self::default()
        };
        for byte in &mut ptl.constraint_bytes {
            *byte = bits.u8(8, "general_constraint_flags")?;
        }
        ptl.level_idc = bits.u8(8, "general_level_idc")?;
        Ok(ptl)
    }

    /// Its twelve bytes.
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let first = self.profile_space << 6 | u8::from(self.high_tier) << 5 | self.profile_idc;
        let [c0, c1, c2, c3] = self.compatibility_flags.to_be_bytes();
        let [b0, b1, b2, b3, b4, b5] = self.constraint_bytes;
        [first, c0, c1, c2, c3, b0, b1, b2, b3, b4, b5, self.level_idc]
    }

    /// What holds for both: the record must tell no lie about any of its parameter sets (ISO/IEC 14496-15 §8.3.3.1.3).
    /// The profile of the first one stays.
    pub(super) fn joined(mut self, other: &Self) -> Self {
        if other.high_tier && !self.high_tier {
            // Levels of different tiers do not compare: the higher tier needs the more.
            (self.high_tier, self.level_idc) = (true, other.level_idc);
        } else if other.high_tier == self.high_tier {
            self.level_idc = self.level_idc.max(other.level_idc);
        }
        self.compatibility_flags &= other.compatibility_flags;
        for (byte, other) in self.constraint_bytes.iter_mut().zip(other.constraint_bytes) {
            *byte &= other;
        }
        self
    }

    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 Annex E.3): profile space as a letter and profile, compatibility flags in
    /// reverse bit order, tier and level, constraint bytes without the zeros at the end.
    pub(super) fn codec_string(&self) -> String {
        let space = ["", "A", "B", "C"].get(usize::from(self.profile_space)).copied().unwrap_or_default();
        let tier = if self.high_tier { 'H' } else { 'L' };
        let flags = self.compatibility_flags.reverse_bits();
        let mut codec = format!("hvc1.{space}{}.{flags:X}.{tier}{}", self.profile_idc, self.level_idc);
        let used = self.constraint_bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in self.constraint_bytes.iter().take(used) {
            let _ = write!(codec, ".{byte:X}");
        }
        codec
    }
}

/// `sub_layer_profile_present_flag` and what follows it.
fn skip_sub_layers(bits: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<(), CodecError> {
    const SUB_LAYER_PROFILE_BITS: usize = 88;
    const SUB_LAYER_LEVEL_BITS: usize = 8;
    if max_sub_layers_minus1 == 0 {
        return Ok(());
    }
    let mut sub_layers_bits = 0;
    for _ in 0..max_sub_layers_minus1 {
        let has_profile = bits.flag("sub_layer_profile_present_flag")?;
        let has_level = bits.flag("sub_layer_level_present_flag")?;
        sub_layers_bits += usize::from(has_profile) * SUB_LAYER_PROFILE_BITS;
        sub_layers_bits += usize::from(has_level) * SUB_LAYER_LEVEL_BITS;
    }
    bits.skip(2 * usize::from(8_u8.saturating_sub(max_sub_layers_minus1)), "reserved_zero_2bits")?;
    bits.skip(sub_layers_bits, "sub_layer_profile_space to sub_layer_level_idc")
}
