//! A validator of MP4 that shares no code with the room: sizes of boxes, continuity of times, sums of runs, coverage of the media.

use std::collections::BTreeMap;

/// What a valid file has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Report {
    pub fragments: u32,
    pub samples: u64,
    /// Of each track, the media time behind its last sample.
    pub ends: BTreeMap<u32, u64>,
    /// Of each track, ticks of media time that no sample fills.
    pub gaps: BTreeMap<u32, u64>,
}

type Valid<T> = Result<T, String>;

#[derive(Debug, Clone, Copy)]
struct Box<'a> {
    kind: [u8; 4],
    at: usize,
    header: usize,
    body: &'a [u8],
}

fn check(condition: bool, what: impl Into<String>) -> Valid<()> {
    if condition { Ok(()) } else { Err(what.into()) }
}

fn number(bytes: &[u8], at: usize, width: usize) -> Valid<u64> {
    let field = bytes.get(at..at + width).ok_or(format!("field at {at} behind the end of its box"))?;
    Ok(field.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// The boxes that fill `bytes` exactly.
fn boxes(bytes: &[u8], base: usize) -> Valid<Vec<Box<'_>>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let kind = bytes.get(at + 4..at + 8).ok_or(format!("box header cut off at {}", base + at))?.try_into().unwrap();
        let (size, header) = match number(bytes, at, 4)? {
            1 => (number(bytes, at + 8, 8)? as usize, 16),
            size => (size as usize, 8),
        };
        check(size >= header && at + size <= bytes.len(), format!("size of the box at {}", base + at))?;
        found.push(Box { kind, at: base + at, header, body: &bytes[at + header..at + size] });
        at += size;
    }
    Ok(found)
}

impl<'a> Box<'a> {
    fn children(&self) -> Valid<Vec<Box<'a>>> {
        boxes(self.body, self.at + self.header)
    }

    fn child(&self, path: &[&[u8; 4]]) -> Valid<Box<'a>> {
        let mut inner = *self;
        for kind in path {
            let found: Vec<_> = inner.children()?.into_iter().filter(|child| child.kind == **kind).collect();
            check(found.len() == 1, format!("{} boxes {}", found.len(), kind.escape_ascii()))?;
            inner = found[0];
        }
        Ok(inner)
    }
}

#[derive(Default)]
struct Track {
    is_video: bool,
    trex_flags: u64,
    next: Option<u64>,
}

/// Judges a file.
pub(super) fn validate(file: &[u8]) -> Valid<Report> {
    let top = boxes(file, 0)?;
    check(top.first().is_some_and(|first| first.kind == *b"ftyp"), "ftyp first")?;
    let moov = top.iter().find(|child| child.kind == *b"moov").ok_or("no moov")?;
    let (mut tracks, mut report) = (read_tracks(moov)?, Report::default());
    let media = |file_box: &&Box<'_>| file_box.kind == *b"mdat";
    if moov.children()?.iter().any(|child| child.kind == *b"mvex") {
        let mut sequence = 0;
        for (index, moof) in top.iter().enumerate().filter(|(_, top)| top.kind == *b"moof") {
            check(moof.at > moov.at, "moof in front of moov")?;
            let number = number(moof.child(&[b"mfhd"])?.body, 4, 4)?;
            check(number > sequence, format!("sequence number {number} behind {sequence}"))?;
            sequence = number;
            let mdat = top.get(index + 1).filter(media).ok_or("moof without mdat behind it")?;
            let samples = moof_samples(moof, &mut tracks, &mut report)?;
            report.samples += covers(samples, mdat)?;
            report.fragments += 1;
        }
        let lonely = top.iter().filter(media).count() != report.fragments as usize;
        check(!lonely, "mdat without a moof")?;
    } else {
        let mdat = top.iter().find(media).ok_or("no mdat")?;
        check(moov.at < mdat.at, "moov behind mdat")?;
        let samples = table_samples(moov, &mut report)?;
        report.samples = covers(samples, mdat)?;
    }
    Ok(report)
}

fn read_tracks(moov: &Box<'_>) -> Valid<BTreeMap<u32, Track>> {
    let mut tracks = BTreeMap::new();
    for trak in moov.children()?.iter().filter(|child| child.kind == *b"trak") {
        let tkhd = trak.child(&[b"tkhd"])?;
        let at = if tkhd.body[0] == 1 { 20 } else { 12 };
        let id = number(tkhd.body, at, 4)? as u32;
        let is_video = trak.child(&[b"mdia", b"hdlr"])?.body.get(8..12) == Some(b"vide");
        check(trak.child(&[b"mdia", b"minf", b"stbl", b"stsd"])?.body.len() > 8 + 8, "stsd without an entry")?;
        check(tracks.insert(id, Track { is_video, ..Track::default() }).is_none(), "two tracks of one number")?;
    }
    if let Ok(mvex) = moov.child(&[b"mvex"]) {
        for trex in mvex.children()?.iter().filter(|child| child.kind == *b"trex") {
            let id = number(trex.body, 4, 4)? as u32;
            let track = tracks.get_mut(&id).ok_or("trex of no track")?;
            track.trex_flags = number(trex.body, 20, 4)?;
        }
    }
    check(!tracks.is_empty(), "no tracks")?;
    Ok(tracks)
}

/// Where the samples of a fragment are.
fn moof_samples(moof: &Box<'_>, tracks: &mut BTreeMap<u32, Track>, report: &mut Report) -> Valid<Vec<(u64, u64)>> {
    let mut samples = Vec::new();
    for traf in moof.children()?.iter().filter(|child| child.kind == *b"traf") {
        let tfhd = traf.child(&[b"tfhd"])?.body;
        let flags = number(tfhd, 0, 4)? & 0xff_ffff;
        check(flags & 0x02_0000 != 0 && flags & 1 == 0, "default-base-is-moof, no base-data-offset")?;
        let id = number(tfhd, 4, 4)? as u32;
        let track = tracks.get_mut(&id).ok_or("traf of no track")?;
        let mut at = 8;
        let mut field = |flag: u64| {
            if flags & flag == 0 {
                return Ok::<_, String>(None);
            }
            at += 4;
            number(tfhd, at - 4, 4).map(Some)
        };
        let _description = field(2)?;
        let (duration, size, sample_flags) = (field(8)?, field(16)?, field(32)?);
        check(at == tfhd.len(), "tfhd longer than its flags say")?;
        let tfdt = traf.child(&[b"tfdt"])?.body;
        let mut time = number(tfdt, 4, if tfdt[0] == 1 { 8 } else { 4 })?;
        if let Some(next) = track.next {
            check(time >= next, format!("tfdt {time} in front of the end {next} of the fragment before"))?;
            *report.gaps.entry(id).or_default() += time - next;
        }
        for trun in traf.children()?.iter().filter(|child| child.kind == *b"trun") {
            let flags = number(trun.body, 0, 4)? & 0xff_ffff;
            let count = number(trun.body, 4, 4)?;
            check(count > 0 && flags & 1 == 1, "trun with samples and a data offset")?;
            let mut offset = moof.at as u64 + number(trun.body, 8, 4)?;
            let mut at = 12;
            let mut first = None;
            if flags & 4 != 0 {
                first = Some(number(trun.body, at, 4)?);
                at += 4;
            }
            for _ in 0..count {
                let mut field = |flag: u64, default: Option<u64>| {
                    if flags & flag == 0 {
                        return default.ok_or(format!("no value for trun flag {flag:x}"));
                    }
                    at += 4;
                    number(trun.body, at - 4, 4)
                };
                let (lasts, bytes) = (field(0x100, duration)?, field(0x200, size)?);
                let each = field(0x400, sample_flags.or(Some(track.trex_flags)))?;
                let composition = field(0x800, Some(0))? as u32 as i32;
                check(bytes > 0, "a sample without bytes")?;
                check_flags(first.take().unwrap_or(each), track.is_video)?;
                check(track.is_video || composition == 0, "sound that is reordered")?;
                samples.push((offset, bytes));
                offset += bytes;
                time += lasts;
            }
            check(at == trun.body.len(), "trun longer than its samples")?;
        }
        track.next = Some(time);
        report.ends.insert(id, time);
    }
    Ok(samples)
}

/// A sync sample depends on no other, and no other kind says so (ISO/IEC 14496-12 §8.8.3.1).
fn check_flags(flags: u64, is_video: bool) -> Valid<()> {
    let (depends_on, is_non_sync) = (flags >> 24 & 3, flags >> 16 & 1 == 1);
    check(depends_on == if is_non_sync { 1 } else { 2 }, format!("sample flags {flags:08x}"))?;
    check(is_video || !is_non_sync, "sound that is no sync sample")
}

/// Each byte of the media belongs to exactly one sample.
fn covers(mut samples: Vec<(u64, u64)>, mdat: &Box<'_>) -> Valid<u64> {
    samples.sort_unstable();
    let begin = (mdat.at + mdat.header) as u64;
    let mut at = begin;
    for (offset, bytes) in &samples {
        check(*offset == at, format!("a sample at {offset}, where {at} is next"))?;
        at += bytes;
    }
    check(at == begin + mdat.body.len() as u64, format!("media up to {at} of an mdat that is longer or shorter"))?;
    Ok(samples.len() as u64)
}

/// Where the samples of the tables are.
fn table_samples(moov: &Box<'_>, report: &mut Report) -> Valid<Vec<(u64, u64)>> {
    let mut samples = Vec::new();
    for (index, trak) in (1..).zip(moov.children()?.iter().filter(|child| child.kind == *b"trak")) {
        let stbl = trak.child(&[b"mdia", b"minf", b"stbl"])?;
        let stsz = stbl.child(&[b"stsz"])?.body;
        let count = number(stsz, 8, 4)?;
        check(stsz.len() as u64 == 12 + 4 * count, "stsz")?;
        let sum = |kind: &[u8; 4]| -> Valid<(u64, u64)> {
            let table = stbl.child(&[kind])?.body;
            let entries = number(table, 4, 4)? as usize;
            check(table.len() == 8 + 8 * entries, "a table of counts")?;
            (0..entries).try_fold((0, 0), |(counts, ticks), entry| {
                let (count, ticks_each) = (number(table, 8 + 8 * entry, 4)?, number(table, 12 + 8 * entry, 4)?);
                Ok((counts + count, ticks + count * ticks_each))
            })
        };
        let (durations, ticks) = sum(b"stts")?;
        check(durations == count, "stts has another count than stsz")?;
        let has_offsets = stbl.children()?.iter().any(|child| child.kind == *b"ctts");
        check(!has_offsets || sum(b"ctts")?.0 == count, "ctts has another count than stsz")?;
        report.ends.insert(index, ticks);
        let chunks = chunk_table(&stbl)?;
        let mut sizes = (0..count as usize).map(|sample| number(stsz, 12 + 4 * sample, 4));
        for (offset, per_chunk) in chunks {
            let mut at = offset;
            for _ in 0..per_chunk {
                let bytes = sizes.next().ok_or("chunks have more samples than stsz")??;
                samples.push((at, bytes));
                at += bytes;
            }
        }
        check(sizes.next().is_none(), "stsz has more samples than the chunks")?;
    }
    Ok(samples)
}

fn chunk_table(stbl: &Box<'_>) -> Valid<Vec<(u64, u64)>> {
    let large = stbl.children()?.iter().any(|child| child.kind == *b"co64");
    let (offsets, width) = if large { (stbl.child(&[b"co64"])?.body, 8) } else { (stbl.child(&[b"stco"])?.body, 4) };
    let count = number(offsets, 4, 4)? as usize;
    check(offsets.len() == 8 + width * count, "chunk offsets")?;
    let stsc = stbl.child(&[b"stsc"])?.body;
    let entries = number(stsc, 4, 4)? as usize;
    check(stsc.len() == 8 + 12 * entries && number(stsc, 8, 4)? == 1, "stsc")?;
    let mut chunks = Vec::new();
    for entry in 0..entries {
        let first = number(stsc, 8 + 12 * entry, 4)? as usize;
        let next = if entry + 1 < entries { number(stsc, 20 + 12 * entry, 4)? as usize } else { count + 1 };
        check(next > first && next <= count + 1, "stsc in order")?;
        for chunk in first..next {
            chunks.push((number(offsets, 8 + width * (chunk - 1), width)?, number(stsc, 12 + 12 * entry, 4)?));
        }
    }
    Ok(chunks)
}
