//! The messages of an SEI NAL unit (H.264 §7.3.2.3.1, H.265 §7.3.5).

use crate::bits::rbsp_bytes;

/// Whether an SEI NAL unit, of any size, has a message of this `payloadType` with bytes in it. Behind what breaks there is
/// nothing more.
pub fn has_message(nal: &[u8], header_bytes: usize, payload_type: u32) -> bool {
    let mut bytes = rbsp_bytes(nal).skip(header_bytes);
    while let (Some(seen), Some(payload_bytes)) = (number(&mut bytes), number(&mut bytes)) {
        if seen == payload_type {
            return payload_bytes > 0;
        }
        let last_byte = (payload_bytes as usize).checked_sub(1);
        if last_byte.is_some_and(|last| bytes.nth(last).is_none()) {
            return false;
        }
    }
    false
}

/// `payloadType` and `payloadSize`: a sum of bytes 255 and one that is less.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let byte = bytes.next()?;
        sum = sum.checked_add(u32::from(byte))?;
        if byte != 0xff {
            return Some(sum);
        }
    }
}
