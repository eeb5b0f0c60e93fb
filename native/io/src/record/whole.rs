//! Files made whole: the torn end of one that nobody finished is cut off, and a finished one gets its `moov` in front.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use arcly_pack::{
    PackError,
    container::{Container, SNIFF_BYTES},
    mp4::{Finalizer, Finalizing, Layout, Range, Step, WholeFragments, is_written_here},
    mpegts::PACKET_BYTES,
};
use bytes::Bytes;

use super::segment::{NULL_PACKET, sync_directory};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// Bytes copied before they are waited for: nothing can stop that wait.
const UNSYNCED_BYTES: u64 = 32 << 20;
const TS_PACKET_BYTES: u64 = PACKET_BYTES as u64;
/// What a packet begins with (ISO/IEC 13818-1 §2.4.3.2).
const TS_SYNC_BYTE: u8 = 0x47;
/// Bytes of packets looked at together.
const TS_PIECE_BYTES: u64 = 4096 * TS_PACKET_BYTES;
/// Bytes of the header of an FLV file with its first `PreviousTagSize` (FLV §E.2, §E.3).
const FLV_HEADER_BYTES: u64 = 13;
/// Bytes of a tag in front of its data (FLV §E.4.1).
const FLV_TAG_HEADER_BYTES: u32 = 11;
/// Bytes of the smallest tag, with the size behind it.
const FLV_TAG_BYTES: u64 = FLV_TAG_HEADER_BYTES as u64 + 4;
/// Boxes with nothing in them; the last one is QuickTime's.
const FREE: [&[u8; 4]; 3] = [b"free", b"skip", b"wide"];
/// What the name of a file begins with that is being made.
const TEMPORARY: &str = ".arcly-";

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Bytes that are whole; 0 when the file was removed because nothing was.
    pub bytes: u64,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
}

/// Cuts the torn end off a recording that nobody finished: the process died, or the machine. A file that is whole stays as it is.
///
/// # Errors
/// The disk's.
pub fn make_whole(path: &Path) -> io::Result<Whole> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut beginning = Vec::new();
    (&file).take(SNIFF_BYTES as u64).read_to_end(&mut beginning)?;
    let bytes = match Container::sniff(&beginning) {
        Some(Container::Mp4) => whole_mp4(&mut file, file_bytes)?,
        Some(Container::MpegTs) => whole_mpegts(&mut file, file_bytes)?,
        Some(Container::Flv) => whole_flv(&mut file, file_bytes)?,
        None => 0,
    };
    if bytes == 0 {
        fs::remove_file(path)?;
    } else if bytes < file_bytes {
        file.set_len(bytes)?;
        file.sync_all()?;
    }
    Ok(Whole { bytes, cut_bytes: file_bytes - bytes })
}

/// Whether it begins as files of that kind do which are written here, as far as it goes: one may be torn there. So may it be that only its
/// length came to the disk, and the bytes are 0.
///
/// # Errors
/// The disk's.
pub fn is_own(path: &Path, container: Container) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(SNIFF_BYTES as u64).read_to_end(&mut beginning)?;
    Ok(beginning.iter().all(|byte| *byte == 0) || begins_as_own(&beginning, container))
}

fn begins_as_own(beginning: &[u8], container: Container) -> bool {
    match container {
        Container::Mp4 => is_written_here(beginning),
        Container::Flv => beginning.iter().zip(b"FLV").all(|(a, b)| a == b),
        // One packet alone is not told from anything else (`Container::sniff`).
        Container::MpegTs if beginning.len() <= PACKET_BYTES => beginning.first() == Some(&TS_SYNC_BYTE),
        Container::MpegTs => Container::sniff(beginning) == Some(container),
    }
}

fn whole_mp4(file: &mut File, file_bytes: u64) -> io::Result<u64> {
    let mut whole = WholeFragments::new(file_bytes);
    while let Some(Step::Read { offset, bytes }) = whole.step() {
        whole.supply(offset, &read_at(file, offset, bytes)?);
    }
    let bytes = whole.whole_bytes();
    Ok(if has_media_at(file, bytes)? { file_bytes } else { bytes })
}

/// Whether there is media, but for free space in front of it (ISO/IEC 14496-12 §8.1.2). Behind `moov` that is no fragment: it is a file that
/// was finished already.
fn has_media_at(file: &mut File, mut offset: u64) -> io::Result<bool> {
    loop {
        match read_at(file, offset, 8)?[..] {
            [_, _, _, _, b'm', b'd', b'a', b't'] => return Ok(true),
            [a, b, c, d, ref kind @ ..] if FREE.iter().any(|free| kind == *free) => {
                offset += u64::from(u32::from_be_bytes([a, b, c, d]).max(8));
            }
            _ => return Ok(false),
        }
    }
}

/// All of a file with a null packet at its end. Of another one, up to the packet with which the last frame begins: a frame is written in
/// packets that follow each other, and only the beginning of the next one shows that all of them are there.
fn whole_mpegts(file: &mut File, file_bytes: u64) -> io::Result<u64> {
    let mut end = file_bytes - file_bytes % TS_PACKET_BYTES;
    if end >= TS_PACKET_BYTES && read_at(file, end - TS_PACKET_BYTES, NULL_PACKET.len())? == NULL_PACKET {
        return Ok(end);
    }
    while end > 0 {
        let piece_bytes = end.min(TS_PIECE_BYTES);
        let piece = read_at(file, end - piece_bytes, usize::try_from(piece_bytes).unwrap_or(0))?;
        // `payload_unit_start_indicator` (§2.4.3.2).
        let begins = |packet: &[u8]| packet.get(1).is_some_and(|byte| byte & 0x40 != 0);
        let packets = piece.chunks_exact(PACKET_BYTES);
        if let Some(found) = packets.rev().position(begins) {
            return Ok(end - (found as u64 + 1) * TS_PACKET_BYTES);
        }
        end -= piece_bytes;
    }
    Ok(0)
}

/// Up to the last tag behind which its own size stands (FLV §E.3). Where that was not written yet when the power went, the file system
/// may have left zeros, which would be tags of nothing.
fn whole_flv(file: &mut File, file_bytes: u64) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(FLV_HEADER_BYTES))?;
    let mut whole = if file_bytes >= FLV_HEADER_BYTES { FLV_HEADER_BYTES } else { 0 };
    let mut field = [0; 4];
    while whole + FLV_TAG_BYTES <= file_bytes {
        reader.read_exact(&mut field)?;
        let [_, a, b, c] = field;
        let tag_bytes = FLV_TAG_HEADER_BYTES + u32::from_be_bytes([0, a, b, c]);
        let end = whole + u64::from(tag_bytes) + 4;
        if end > file_bytes {
            break;
        }
        reader.seek_relative(i64::from(tag_bytes) - 4)?;
        reader.read_exact(&mut field)?;
        if u32::from_be_bytes(field) != tag_bytes {
            break;
        }
        whole = end;
    }
    // A header alone is no recording.
    Ok(if whole > FLV_HEADER_BYTES { whole } else { 0 })
}

/// Bytes of a file, fewer only at its end.
pub(super) fn read_at(file: &mut File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(bytes);
    file.seek(SeekFrom::Start(offset))?;
    file.take(bytes as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// Makes a fragmented recording into a file with `moov` in front, under the same name: readers see the old one or the new one. Returns its
/// bytes. All of it is copied; `is_stopped` is asked every few megabytes.
///
/// # Errors
/// The disk's, or that it is no MP4 file of frames, or `Interrupted` when it was stopped. The file is as it was then.
pub fn finalize(path: &Path, is_stopped: impl Fn() -> bool) -> io::Result<u64> {
    let mut source = File::open(path)?;
    let layout = lay_out(&mut source)?;
    let temporary = temporary_name(path);
    let written = write_layout(&mut source, &layout, &temporary, is_stopped);
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // What is left of it is removed at the next start, too.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path);
    Ok(layout.bytes())
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY}{name}"))
}

fn lay_out(source: &mut File) -> io::Result<Layout> {
    let mut finalizer = Finalizer::new(source.metadata()?.len());
    loop {
        match finalizer.step().map_err(invalid)? {
            Finalizing::Read { offset, bytes } => {
                finalizer.supply(offset, Bytes::from(read_at(source, offset, bytes)?))
            }
            Finalizing::Done(layout) => return Ok(layout),
        }
    }
}

pub(super) fn invalid(error: PackError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn write_layout(source: &mut File, layout: &Layout, path: &Path, is_stopped: impl Fn() -> bool) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&layout.head)?;
    let mut unsynced = 0;
    for &Range { offset, bytes } in &layout.media {
        if is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        source.seek(SeekFrom::Start(offset))?;
        copy(source, &mut file, bytes)?;
        unsynced += bytes;
        if unsynced >= UNSYNCED_BYTES {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    file.sync_all()
}

fn copy(source: &mut File, target: &mut File, bytes: u64) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(COPY_BYTES, source.take(bytes));
    let copied = io::copy(&mut reader, target)?;
    if copied < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
