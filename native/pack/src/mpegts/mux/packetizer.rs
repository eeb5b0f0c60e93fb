//! The bytes of a PES packet, cut into transport packets (§2.4.3.3).

use super::super::{BODY_BYTES, HEADER_BYTES, PACKET_BYTES};
use super::{
    buffer::PacketBuffer,
    packet::{Adaptation, PCR_FIELD_BYTES, Pid, STUFFING, put},
    pes::Header,
    pieces::Pieces,
};

/// Appends the transport packets of one PES packet: `header`, and all of `pieces`, of `bytes` bytes. Each byte is copied once, straight into
/// the output.
#[inline(always)]
pub(super) fn write_pes(
    pid: &mut Pid,
    adaptation: Adaptation,
    header: &Header,
    (mut pieces, bytes): (Pieces<'_>, usize),
    out: &mut PacketBuffer,
) {
    let (size, field_bytes) = (header.bytes() + bytes, adaptation.len());
    let packets = out.extend((size + field_bytes).div_ceil(BODY_BYTES));
    let Some((first, mut packets)) = packets.split_first_mut() else { return };
    let last_bytes = (size + field_bytes).saturating_sub(packets.len() * BODY_BYTES);
    let room = write_start(first, pid, adaptation, header, size);
    let mut piece = gather(room, pieces.take().unwrap_or_default(), &mut pieces);
    loop {
        let (bodies, rest) = piece.as_chunks();
        let Some((whole, behind)) = packets.split_at_mut_checked(bodies.len()) else { return };
        write_whole(whole, pid, bodies);
        match behind {
            [] => return,
            [last] => {
                gather(open_next(last, pid, last_bytes), rest, &mut pieces);
                return;
            }
            [packet, behind @ ..] => {
                piece = gather(open_next(packet, pid, BODY_BYTES), rest, &mut pieces);
                packets = behind;
            }
        }
    }
}

/// Writes everything of the first packet that is in front of the content; the room for that. `size` is that of the PES packet.
#[inline(always)]
fn write_start<'a>(
    packet: &'a mut [u8; PACKET_BYTES],
    pid: &mut Pid,
    adaptation: Adaptation,
    header: &Header,
    size: usize,
) -> &'a mut [u8] {
    let Some((start, body)) = packet.split_first_chunk_mut() else { return &mut [] };
    // The common case, in which all lies at places that the compiler knows.
    if let Some(pcr) = adaptation.pcr
        && size >= BODY_BYTES - PCR_FIELD_BYTES
    {
        *start = pid.header(true, true, true);
        return header.write(put(body, adaptation.with_pcr(PCR_FIELD_BYTES as u8 - 1, pcr)));
    }
    let payload_bytes = size.min(BODY_BYTES - adaptation.len());
    let Some((field, room)) = body.split_at_mut_checked(BODY_BYTES - payload_bytes) else { return &mut [] };
    *start = pid.header(true, !field.is_empty(), true);
    if !field.is_empty() {
        adaptation.write(field);
    }
    header.write(room)
}

/// The same of another one, which has an adaptation field only if it needs stuffing.
#[inline(always)]
fn open_next<'a>(packet: &'a mut [u8; PACKET_BYTES], pid: &mut Pid, payload_bytes: usize) -> &'a mut [u8] {
    let Some((header, body)) = packet.split_first_chunk_mut::<HEADER_BYTES>() else { return &mut [] };
    let field_bytes = BODY_BYTES - payload_bytes;
    *header = pid.header(false, field_bytes > 0, true);
    if field_bytes > 0 {
        // All of the body, which takes no branch; the payload is written over it.
        copy_words::<176>(&STUFFING_FIELD, body, 0);
        copy_chunk::<8>(&STUFFING_FIELD, body, 176);
        put(body, [field_bytes as u8 - 1]);
    }
    body.get_mut(field_bytes..).unwrap_or_default()
}

/// Fills `room` with the rest of a piece, and with those behind it; what is left of the last one.
#[inline(always)]
fn gather<'a>(mut room: &mut [u8], mut piece: &'a [u8], pieces: &mut Pieces<'a>) -> &'a [u8] {
    loop {
        let count = piece.len().min(room.len());
        let (Some((now, later)), Some((to, rest))) = (piece.split_at_checked(count), room.split_at_mut_checked(count))
        else {
            return piece;
        };
        copy_piece(now, to);
        if rest.is_empty() {
            return later;
        }
        let Some(next) = pieces.take() else { return later };
        (room, piece) = (rest, next);
    }
}

/// Packets that are all payload: the common case.
#[inline(always)]
fn write_whole(packets: &mut [[u8; PACKET_BYTES]], pid: &mut Pid, bodies: &[[u8; BODY_BYTES]]) {
    // In a register: behind the reference, it would be written back for every packet.
    let mut next = *pid;
    for (packet, body) in packets.iter_mut().zip(bodies) {
        if let Some((header, to)) = packet.split_first_chunk_mut() {
            *header = next.header(false, false, true);
            copy_body(body, to);
        }
    }
    *pid = next;
}

/// Copies a body, all but its ends in words that lie in memory as words do: packets lie anyhow, and what is written across two cache lines
/// takes twice as long. Word by word, upwards: the compiler writes a longer piece in an order of its own, and a processor that goes back
/// and forth between cache lines that it does not have yet takes twice as long, too. `memcpy` looks to both only where it copies much more.
#[inline(always)]
fn copy_body(body: &[u8; BODY_BYTES], to: &mut [u8]) {
    copy_chunk::<WORD>(body, to, 0);
    let middle = WORD - to.as_ptr().addr() % WORD;
    for word in 0..MIDDLE_WORDS {
        copy_chunk::<WORD>(body, to, middle + word * WORD);
    }
    copy_chunk::<WORD>(body, to, END);
    copy_chunk::<HALF>(body, to, BODY_BYTES - HALF);
}

/// Copies a piece of no more than a body, through registers too: most are short, and a call of `memcpy` takes longer.
#[inline(always)]
fn copy_piece(piece: &[u8], to: &mut [u8]) {
    match piece.len() {
        0..8 => to.copy_from_slice(piece),
        8..16 => copy_ends::<8>(piece, to),
        16..32 => copy_ends::<16>(piece, to),
        32..64 => copy_ends::<32>(piece, to),
        64..128 => copy_ends::<64>(piece, to),
        _ => {
            copy_words::<64>(piece, to, 0);
            copy_words::<64>(piece, to, 64);
            copy_words::<64>(piece, to, piece.len() - 64);
        }
    }
}

/// Copies the first `N` bytes and the last, which may be the same in part.
#[inline(always)]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    copy_words::<N>(from, to, 0);
    copy_words::<N>(from, to, from.len().saturating_sub(N));
}

/// Copies `N` bytes at `at`, words upwards.
#[inline(always)]
fn copy_words<const N: usize>(from: &[u8], to: &mut [u8], at: usize) {
    if N < WORD {
        copy_chunk::<N>(from, to, at);
    }
    for word in 0..N / WORD {
        copy_chunk::<WORD>(from, to, at + word * WORD);
    }
}

/// Copies `N` bytes at `at`: few enough that the compiler moves them through registers.
#[inline(always)]
fn copy_chunk<const N: usize>(from: &[u8], to: &mut [u8], at: usize) {
    let from = from.get(at..).and_then(|from| from.first_chunk::<N>());
    if let (Some(from), Some(to)) = (from, to.get_mut(at..).and_then(|to| to.first_chunk_mut::<N>())) {
        *to = *from;
    }
}

const WORD: usize = 16;
const HALF: usize = WORD / 2;
/// Words that lie in a body wherever it lies, behind its first one.
const MIDDLE_WORDS: usize = 10;
/// They end here or behind it.
const END: usize = MIDDLE_WORDS * WORD;
/// An adaptation field that fills a body: its length, no flag, stuffing.
const STUFFING_FIELD: [u8; BODY_BYTES] = {
    let mut field = [STUFFING; BODY_BYTES];
    (field[0], field[1]) = ((BODY_BYTES - 1) as u8, 0);
    field
};
