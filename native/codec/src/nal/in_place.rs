//! Annex B to the form of the bus where the bytes are: a start code of four bytes and a length take the same place.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Role,
    canonical::{Canonical, SHORT_START_CODES, rebuild},
};
use crate::{CodecError, annex_b};

/// Bytes of a start code with its `zero_byte`, and of a length.
const PREFIX_BYTES: usize = 4;

/// Writes lengths over the start codes, as long as what is left out stands in front of all that stays, and start codes have four bytes:
/// so encoders send it nearly always. From the first unit of which that is not true, units are copied.
pub(super) fn convert(mut stream: BytesMut, role: fn(&[u8]) -> Role) -> Result<Canonical, CodecError> {
    let mut canonical = Canonical::default();
    // What is in the form of the bus already.
    let mut done = 0..0;
    let mut next = annex_b::first_unit(&stream);
    while let Some(begin) = next {
        let (unit, behind) = annex_b::unit_at(&stream, begin);
        let end = begin + unit.len();
        next = behind;
        match role(unit) {
            _ if unit.is_empty() => {}
            Role::Delimiter => {}
            Role::Payload => match put_length(&mut stream, begin..end, &done) {
                Some(at) => done = if done.is_empty() { at } else { done.start }..end,
                None => return go_on(&stream.freeze(), begin, done, canonical, role),
            },
            set => canonical.put_set(set, Bytes::copy_from_slice(unit))?,
        }
    }
    stream.truncate(done.end);
    stream.advance(done.start);
    Ok(Canonical { payload: stream.freeze(), ..canonical })
}

/// Where the length of a unit was put; `None` when it has no place, in front of the unit and right behind the ones that are done.
fn put_length(stream: &mut BytesMut, unit: Range<usize>, done: &Range<usize>) -> Option<usize> {
    let at = unit.start.checked_sub(PREFIX_BYTES)?;
    let length = u32::try_from(unit.len()).ok()?;
    let place = stream.get_mut(at..unit.start)?;
    let has_place = if done.is_empty() { place.first() == Some(&0) } else { at == done.end };
    has_place.then(|| place.copy_from_slice(&length.to_be_bytes()))?;
    Some(at)
}

/// Copies what is done, and the units from the one at `begin` on.
fn go_on(
    stream: &Bytes,
    begin: usize,
    done: Range<usize>,
    canonical: Canonical,
    role: fn(&[u8]) -> Role,
) -> Result<Canonical, CodecError> {
    let mut payload = Vec::with_capacity(stream.len() + SHORT_START_CODES);
    payload.extend_from_slice(stream.get(done).unwrap_or_default());
    let rest = stream.get(begin.saturating_sub(annex_b::START_CODE.len())..).unwrap_or_default();
    rebuild(stream, annex_b::units(rest), payload, canonical, role)
}
