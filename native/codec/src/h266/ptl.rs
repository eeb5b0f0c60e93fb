//! `profile_tier_level()` (§7.3.3.1), `VvcPTLRecord` (ISO/IEC 14496-15 §11.2.4.2.2), and the codec string (Annex E.6 there).

use bytes::{BufMut, BytesMut};

use crate::{CodecError, bits::BitReader};

/// `profile_tier_level(1, sub_layers − 1)` (§7.3.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileTierLevel {
    /// `general_profile_idc`: 1 Main 10, 65 Main 10 Still Picture, 33 Main 10 4:4:4.
    pub profile_idc: u8,
    /// `general_tier_flag`: high tier.
    pub high_tier: bool,
    /// `general_level_idc`: 16 times the level and 3 for each tenth.
    pub level_idc: u8,
    /// `ptl_frame_only_constraint_flag`, `ptl_multilayer_enabled_flag` and `general_constraints_info()`: bits from the most
    /// significant one of the first byte on, without the zero bytes at the end but for the first.
    pub constraint_bytes: Vec<u8>,
    /// `sublayer_level_idc` of the sub-layers but the highest, the highest first, where they are given.
    pub sub_layer_levels: Vec<Option<u8>>,
    /// `general_sub_profile_idc`.
    pub sub_profiles: Vec<u32>,
}

/// Bits of `general_constraints_info()` (§7.3.3.2) from behind `gci_present_flag` to `gci_num_additional_bits`.
const CONSTRAINT_FLAGS_BITS: usize = 71;
/// Sub-layers of a stream (`sps_max_sublayers_minus1`, §7.4.3.4).
pub(super) const MAX_SUB_LAYERS: u8 = 7;

impl ProfileTierLevel {
    /// Reads it out of a parameter set.
    pub(super) fn read(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<Self, CodecError> {
        let mut ptl = Self::read_profile(bits)?;
        ptl.constraint_bytes = read_constraints(bits)?;
        ptl.read_sub_layers(bits, sub_layers)?;
        Ok(ptl)
    }

    /// Steps over a `VvcPTLRecord`, in which the constraints have a number of bytes in front.
    pub(super) fn skip_record(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<(), CodecError> {
        bits.skip(2, "reserved")?;
        let constraint_bytes = usize::from(bits.u8(6, "num_bytes_constraint_info")?);
        bits.skip(16 + 8 * constraint_bytes, "general_profile_idc to general_constraint_info")?;
        Self::default().read_sub_layers(bits, sub_layers)
    }

    fn read_profile(bits: &mut BitReader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            profile_idc: bits.u8(7, "general_profile_idc")?,
            high_tier: bits.flag("general_tier_flag")?,
            level_idc: bits.u8(8, "general_level_idc")?,
            ..Self::default()
        })
    }

    /// From `ptl_sublayer_level_present_flag` to the end.
    fn read_sub_layers(&mut self, bits: &mut BitReader<'_>, sub_layers: u8) -> Result<(), CodecError> {
        let mut present = Vec::new();
        for _ in 1..sub_layers {
            present.push(bits.flag("ptl_sublayer_level_present_flag")?);
        }
        bits.align();
        for is_present in present {
            let level = if is_present { Some(bits.u8(8, "sublayer_level_idc")?) } else { None };
            self.sub_layer_levels.push(level);
        }
        for _ in 0..bits.u8(8, "ptl_num_sub_profiles")? {
            self.sub_profiles.push(bits.u(32, "general_sub_profile_idc")?);
        }
        Ok(())
    }

    /// Writes the `VvcPTLRecord`.
    pub(super) fn put_record(&self, record: &mut BytesMut) {
        // 71 flags, 255 additional bits and what stands around them have 42 bytes.
        record.put_u8(u8::try_from(self.constraint_bytes.len()).unwrap_or(0));
        record.put_u8(self.profile_idc << 1 | u8::from(self.high_tier));
        record.put_u8(self.level_idc);
        record.put_slice(&self.constraint_bytes);
        if !self.sub_layer_levels.is_empty() {
            let places = self.sub_layer_levels.iter().zip((0..8).rev());
            record.put_u8(places.fold(0, |flags, (level, place)| flags | u8::from(level.is_some()) << place));
        }
        record.put_slice(&self.sub_layer_levels.iter().copied().flatten().collect::<Vec<u8>>());
        record.put_u8(u8::try_from(self.sub_profiles.len()).unwrap_or(0));
        for sub_profile in &self.sub_profiles {
            record.put_u32(*sub_profile);
        }
    }

    /// `vvc1.1.L51.CQA` (ISO/IEC 14496-15 Annex E.6): profile, tier and level, the constraints in base 32 unless all are
    /// zero, the sub-profiles in hexadecimal.
    pub(super) fn codec_string(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'L' };
        let mut codec = format!("vvc1.{}.{tier}{}", self.profile_idc, self.level_idc);
        if self.constraint_bytes.iter().any(|&byte| byte != 0) {
            codec.push_str(".C");
            codec.push_str(&base32(&self.constraint_bytes));
        }
        let sub_profiles: Vec<String> = self.sub_profiles.iter().map(|idc| format!("{idc:x}")).collect();
        if !sub_profiles.is_empty() {
            codec.push_str(".S");
            codec.push_str(&sub_profiles.join("+"));
        }
        codec
    }
}

/// `ptl_frame_only_constraint_flag`, `ptl_multilayer_enabled_flag` and `general_constraints_info()`, to the byte boundary.
fn read_constraints(bits: &mut BitReader<'_>) -> Result<Vec<u8>, CodecError> {
    // A sequence parameter set has whole bytes in front of the flags, and so they are whole bytes as in the record.
    let mut copy = bits.clone();
    bits.skip(2, "ptl_frame_only_constraint_flag and ptl_multilayer_enabled_flag")?;
    if bits.flag("gci_present_flag")? {
        bits.skip(CONSTRAINT_FLAGS_BITS, "general_constraints_info")?;
        let additional = bits.u8(8, "gci_num_additional_bits")?;
        bits.skip(usize::from(additional), "gci_reserved_zero_bit")?;
    }
    bits.align();
    let mut bytes = Vec::new();
    while copy.position_bits() < bits.position_bits() {
        bytes.push(copy.u8(8, "general_constraints_info")?);
    }
    trim(&mut bytes);
    Ok(bytes)
}

/// Zero bytes at the end say nothing; but the record wants a first byte.
fn trim(bytes: &mut Vec<u8>) {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    bytes.resize(used, 0);
}

/// RFC 4648 §6, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut bits = BitReader::new(bytes);
    let mut digits = String::new();
    while bits.remaining_bits() > 0 {
        let count = u8::try_from(bits.remaining_bits().min(5)).unwrap_or(5);
        let value = bits.u8(count, "base32").unwrap_or(0) << (5 - count);
        digits.push(char::from(if value < 26 { b'A' + value } else { b'2' + value - 26 }));
    }
    digits
}
