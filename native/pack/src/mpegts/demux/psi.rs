//! Program Association and Program Map (§2.4.4.4, §2.4.4.9) as sections say them, and the descriptors of §2.6 that matter.

use arcly_bus::Language;
use arcly_codec::DolbyVision;

use super::super::crc::crc_32;

/// Entries of a Program Association Table that are looked at; no real stream has more.
pub(super) const MAX_PROGRAMS: usize = 256;
/// Elementary streams of a program that are looked at.
pub(super) const MAX_STREAMS: usize = 64;

const TABLE_PAT: u8 = 0x00;
const TABLE_PMT: u8 = 0x02;
/// Bytes of a section in the long syntax in front of its body, and of the CRC behind it.
const LONG_HEADER_BYTES: usize = 8;
const CRC_BYTES: usize = 4;

/// A section in the long syntax (§2.4.4.11) that is in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongSection<'a> {
    table_id: u8,
    /// `transport_stream_id` or `program_number`.
    pub(super) extension: u16,
    pub(super) version: u8,
    pub(super) number: u8,
    pub(super) last_number: u8,
    body: &'a [u8],
}

impl<'a> LongSection<'a> {
    /// `Ok(None)` for one that is not in force yet (`current_next_indicator`).
    ///
    /// # Errors
    /// When it is no such section, or its CRC is wrong.
    pub(super) fn parse(section: &'a [u8]) -> Result<Option<Self>, ()> {
        let Some((header, rest)) = section.split_first_chunk::<LONG_HEADER_BYTES>() else { return Err(()) };
        let &[table_id, syntax, _, e0, e1, version, number, last_number] = header;
        let Some(body_bytes) = rest.len().checked_sub(CRC_BYTES) else { return Err(()) };
        if syntax & 0x80 == 0 || crc_32(section) != 0 {
            return Err(());
        }
        let section = Self {
            table_id,
            extension: u16::from_be_bytes([e0, e1]),
            version: version >> 1 & 0x1F,
            number,
            last_number,
            body: rest.get(..body_bytes).unwrap_or_default(),
        };
        Ok((version & 1 == 1).then_some(section))
    }

    /// Program numbers and the PIDs of their maps, if this is a Program Association.
    pub(super) fn associations(&self) -> Option<impl Iterator<Item = (u16, u16)> + use<'a>> {
        let entry = |&[n0, n1, p0, p1]: &[u8; 4]| (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([p0 & 0x1F, p1]));
        let (entries, _) = self.body.as_chunks::<4>();
        // Program 0 is the network information (§2.4.4.5).
        (self.table_id == TABLE_PAT).then(|| entries.iter().map(entry).filter(|(number, _)| *number != 0))
    }

    /// The Program Map, if this is one.
    pub(super) fn program_map(&self) -> Option<ProgramMap> {
        let (&[p0, p1, i0, i1], rest) = self.body.split_first_chunk::<4>().filter(|_| self.table_id == TABLE_PMT)?;
        let (info, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([i0 & 0x0F, i1])))?;
        let mut streams = Vec::new();
        while let Some((&[stream_type, p0, p1, i0, i1], behind)) = rest.split_first_chunk::<5>() {
            let (info, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([i0 & 0x0F, i1])))?;
            let pid = u16::from_be_bytes([p0 & 0x1F, p1]);
            if streams.len() < MAX_STREAMS {
                streams.push(MappedStream { pid, stream_type, descriptors: Descriptors(info.to_vec()) });
            }
            rest = behind;
        }
        Some(ProgramMap {
            number: self.extension,
            pcr_pid: u16::from_be_bytes([p0 & 0x1F, p1]),
            descriptors: Descriptors(info.to_vec()),
            streams,
        })
    }
}

/// A Program Map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramMap {
    pub(super) number: u16,
    pub(super) pcr_pid: u16,
    pub(super) descriptors: Descriptors,
    pub(super) streams: Vec<MappedStream>,
}

/// A line of a Program Map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MappedStream {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
    pub(super) descriptors: Descriptors,
}

/// A loop of descriptors (§2.6.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Descriptors(Vec<u8>);

impl Descriptors {
    fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (&[tag, length], behind) = rest.split_first_chunk::<2>()?;
            let (body, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            Some((tag, body))
        })
    }

    /// The body of the first descriptor with this tag.
    pub(super) fn find(&self, tag: u8) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, body)| body)
    }

    /// `format_identifier` of the `registration_descriptor` (§2.6.8).
    pub(super) fn registration(&self) -> Option<&[u8; 4]> {
        self.find(0x05)?.first_chunk()
    }

    /// The body of the first `extension_descriptor` (ETSI EN 300 468 §6.2.18) with this `descriptor_tag_extension`.
    pub(super) fn extension(&self, tag: u8) -> Option<&[u8]> {
        self.iter().filter(|(found, _)| *found == 0x7F).find_map(|(_, body)| body.strip_prefix(&[tag]))
    }

    /// The `DOVI_video_stream_descriptor` ("Dolby Vision Streams Within the MPEG-2 Transport Stream Format"), where it is of a stream
    /// that has the pictures themselves.
    pub(super) fn dolby_vision(&self) -> Option<DolbyVision> {
        DolbyVision::parse_descriptor(self.find(0xB0)?).ok().filter(|found| found.has_base)
    }

    /// The first language of the `ISO_639_language_descriptor` (§2.6.18).
    pub(super) fn language(&self) -> Option<Language> {
        let code = self.find(0x0A)?.get(..3)?;
        Language::new(std::str::from_utf8(code).ok()?)
    }
}
