//! AV1 as "Carriage of AV1 in MPEG-2 TS" §3 has it: each OBU behind a start code, so that a reader finds it as it finds a NAL
//! unit. It is what browsers read (mpegts.js, Shaka); FFmpeg reads no AV1 in a transport stream at all.

use arcly_codec::av1::{OBU_SEQUENCE_HEADER, obus};
use bytes::Bytes;

use crate::PackError;

const START_CODE: [u8; 3] = [0, 0, 1];

/// Puts the OBUs of a temporal unit into the empty `out` behind start codes, a sequence header in front if there is none and one
/// is given.
///
/// # Errors
/// [`PackError::Malformed`] when the sizes of the OBUs do not add up.
pub(super) fn put_behind_start_codes(
    payload: &[u8],
    sequence_header: Option<&Bytes>,
    out: &mut Vec<u8>,
) -> Result<(), PackError> {
    out.reserve(payload.len() + payload.len() / 16 + 64);
    let (mut is_empty, mut has_header) = (true, false);
    for obu in obus(payload) {
        has_header |= obu?.kind == OBU_SEQUENCE_HEADER;
        is_empty = false;
    }
    if let Some(header) = sequence_header.filter(|header| !is_empty && !has_header && !header.is_empty()) {
        put(header, out);
    }
    obus(payload).flatten().for_each(|obu| put(obu.bytes, out));
    Ok(())
}

/// `ts_open_bitstream_unit()`: with a byte of 3 where the OBU looks like a start code, as in H.264 §7.4.1.
fn put(obu: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START_CODE);
    let mut zeros = 0;
    for &byte in obu {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}
