//! For the tests: parameter sets that no encoder makes.

/// Writes bits, most significant first.
#[derive(Default)]
pub(crate) struct BitWriter(Vec<bool>);

impl BitWriter {
    pub(crate) fn u(mut self, count: u32, value: u64) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub(crate) fn ue(self, value: u32) -> Self {
        let code = u64::from(value) + 1;
        self.u(2 * code.ilog2() + 1, code)
    }

    pub(crate) fn ues(self, values: &[u32]) -> Self {
        values.iter().fold(self, |bits, &value| bits.ue(value))
    }

    pub(crate) fn se(self, value: i32) -> Self {
        let code = if value > 0 { 2 * value - 1 } else { -2 * value };
        self.ue(u32::try_from(code).unwrap())
    }

    /// Zeros to the next byte boundary.
    pub(crate) fn align(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), false);
        self
    }

    /// The NAL unit: trailing bits, and emulation prevention.
    pub(crate) fn nal(self) -> Vec<u8> {
        let bits = self.u(1, 1).0;
        let rbsp = bits
            .chunks(8)
            .map(|byte| byte.iter().rev().rfold(0_u8, |byte, &bit| byte << 1 | u8::from(bit)) << (8 - byte.len()));
        let mut nal = Vec::new();
        for byte in rbsp {
            if nal.ends_with(&[0, 0]) && byte <= 3 {
                nal.push(3);
            }
            nal.push(byte);
        }
        nal
    }
}
