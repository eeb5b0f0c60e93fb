//! AV1 as "Carriage of AV1 in MPEG-2 TS" §3 has it: each OBU behind a start code, so that a reader finds it as it finds a NAL
//! unit. It is what browsers read (mpegts.js, Shaka); FFmpeg reads no AV1 in a transport stream at all.

use arcly_codec::av1::{OBU_SEQUENCE_HEADER, obus};

use crate::PackError;

const START_CODE: [u8; 3] = [0, 0, 1];

/// The OBUs of a temporal unit behind start codes, a sequence header in front if there is none and one is given.
///
/// # Errors
/// [`PackError::Malformed`] when the sizes of the OBUs do not add up.
pub(super) fn behind_start_codes(payload: &[u8], sequence_header: Option<&[u8]>) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 16 + 64);
    let mut has_header = false;
    for obu in obus(payload) {
        let obu = obu?;
        has_header |= obu.kind == OBU_SEQUENCE_HEADER;
        put(obu.bytes, &mut out);
    }
    match sequence_header.filter(|header| !has_header && !header.is_empty()) {
        Some(header) if !out.is_empty() => {
            let mut whole = Vec::with_capacity(out.len() + header.len() + 8);
            put(header, &mut whole);
            whole.append(&mut out);
            Ok(whole)
        }
        _ => Ok(out),
    }
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
