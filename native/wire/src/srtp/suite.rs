//! How packets are encrypted and signed.

/// Bytes of the longest salt.
pub const SALT_BYTES_MAX: usize = 14;
/// What sealing adds to a packet of RTP at most, besides the name of the key.
pub const TAG_BYTES_MAX: usize = GCM_TAG_BYTES;

const GCM_TAG_BYTES: usize = 16;
const GCM_SALT_BYTES: usize = 12;
/// Bytes of the tag of an RTCP packet in counter mode, with every suite (RFC 4568 §6.2).
const RTCP_TAG_BYTES: usize = 10;

/// A suite; the names are those of RFC 4568 §6.2, RFC 6188 §4 and RFC 7714 §14.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: what everybody knows.
    #[default]
    Aes128Tag80,
    /// `AES_CM_128_HMAC_SHA1_32`: shorter tags on RTP, not on RTCP.
    Aes128Tag32,
    /// `AES_256_CM_HMAC_SHA1_80`.
    Aes256Tag80,
    /// `AES_256_CM_HMAC_SHA1_32`.
    Aes256Tag32,
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
}

impl Suite {
    /// All of them, best known first.
    pub const ALL: [Self; 6] =
        [Self::Aes128Tag80, Self::Aes128Tag32, Self::Aes256Tag80, Self::Aes256Tag32, Self::Aes128Gcm, Self::Aes256Gcm];

    /// The one of that registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Whether one step encrypts and signs (RFC 7714).
    pub fn is_gcm(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }

    /// Bytes of a master key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes128Tag32 | Self::Aes128Gcm => 16,
            Self::Aes256Tag80 | Self::Aes256Tag32 | Self::Aes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    pub fn salt_bytes(self) -> usize {
        if self.is_gcm() { GCM_SALT_BYTES } else { SALT_BYTES_MAX }
    }

    /// Bytes of the tag of an RTP packet.
    pub fn tag_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes256Tag80 => 10,
            Self::Aes128Tag32 | Self::Aes256Tag32 => 4,
            Self::Aes128Gcm | Self::Aes256Gcm => GCM_TAG_BYTES,
        }
    }

    /// Bytes of the tag of an RTCP packet.
    pub fn rtcp_tag_bytes(self) -> usize {
        if self.is_gcm() { GCM_TAG_BYTES } else { RTCP_TAG_BYTES }
    }
}
