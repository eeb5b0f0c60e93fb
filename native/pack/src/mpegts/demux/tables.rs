//! The Program Association and the Program Maps (§2.4.4): which programs there are, which one is read, and what each PID is.

use std::collections::BTreeMap;

use super::{
    Core, ProgramInfo, StreamInfo,
    essence::Coding,
    packet::Packet,
    program::Program,
    psi::{LongSection, MAX_PROGRAMS, MappedStream, ProgramMap},
    routes::Route,
};

/// A program that the Program Association names.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) map_pid: u16,
    map: Option<ProgramMap>,
    /// The section that `map` was read from.
    map_section: Vec<u8>,
}

/// A Program Association of which not all sections have come.
#[derive(Debug, Default)]
pub(super) struct PendingAssociation {
    version: u8,
    sections: BTreeMap<u8, Vec<(u16, u16)>>,
}

const ASSOCIATION_PID: u16 = 0;

impl Core {
    pub(super) fn push_association(&mut self, packet: &Packet<'_>) {
        let mut sections = std::mem::take(&mut self.association);
        sections.push(packet, |section| self.associate(section));
        self.association = sections;
    }

    pub(super) fn push_map(&mut self, packet: &Packet<'_>) {
        let Some(at) = self.maps.get_mut(&packet.pid) else { return };
        let mut sections = std::mem::take(at);
        sections.push(packet, |section| self.map(packet.pid, section));
        self.maps.insert(packet.pid, sections);
    }

    /// A section of the Program Association: it holds when all of its version have come.
    fn associate(&mut self, bytes: &[u8]) {
        if bytes == self.newest_association {
            return;
        }
        let Ok(section) = LongSection::parse(bytes) else {
            self.sink.stats.broken_sections += 1;
            return;
        };
        let Some((section, entries)) = section.and_then(|section| Some((section, section.associations()?))) else {
            return;
        };
        self.newest_association = bytes.to_vec();
        if self.pending.version != section.version {
            self.pending = PendingAssociation { version: section.version, ..PendingAssociation::default() };
        }
        self.pending.sections.insert(section.number, entries.take(MAX_PROGRAMS).collect());
        if (0..=section.last_number).all(|number| self.pending.sections.contains_key(&number)) {
            let entries = self.pending.sections.range(..=section.last_number).flat_map(|(_, entries)| entries);
            let programs: BTreeMap<u16, u16> = entries.take(MAX_PROGRAMS).copied().collect();
            self.list(&programs);
        }
    }

    /// Takes over which programs there are, and where their maps are.
    fn list(&mut self, programs: &BTreeMap<u16, u16>) {
        let is_known = self.programs.len() == programs.len()
            && self.programs.iter().all(|(number, listed)| programs.get(number) == Some(&listed.map_pid));
        if is_known {
            return;
        }
        self.programs.retain(|number, _| programs.contains_key(number));
        for (&number, &map_pid) in programs {
            self.programs.entry(number).or_insert(Listed { map_pid, map: None, map_section: Vec::new() }).map_pid =
                map_pid;
        }
        let is_map = |pid: &u16| programs.values().any(|map_pid| map_pid == pid);
        self.maps.retain(|pid, _| is_map(pid));
        for pid in programs.values() {
            self.maps.entry(*pid).or_default();
        }
        if self.chosen.as_ref().is_some_and(|chosen| !programs.contains_key(&chosen.map.number)) {
            self.leave();
        }
        self.route_all();
    }

    /// The chosen program is listed no more. Its streams go on until the map of another one says what they are now: mostly it has only
    /// got another number. Who asked for the number gets no other program.
    fn leave(&mut self) {
        if self.options.program.is_some()
            && let Some(mut gone) = self.chosen.take()
        {
            gone.finish(&mut self.sink);
        }
        self.choose();
    }

    fn map(&mut self, pid: u16, bytes: &[u8]) {
        let is_known = |listed: &Listed| listed.map_pid == pid && listed.map_section == bytes;
        // `program_number` (§2.4.4.9).
        if let Some(&[_, _, _, high, low]) = bytes.first_chunk()
            && self.programs.get(&u16::from_be_bytes([high, low])).is_some_and(is_known)
        {
            return;
        }
        let Ok(section) = LongSection::parse(bytes) else {
            self.sink.stats.broken_sections += 1;
            return;
        };
        let Some(map) = section.and_then(|section| section.program_map()) else { return };
        let listed = self.programs.get_mut(&map.number).filter(|listed| listed.map_pid == pid);
        let Some(listed) = listed else { return };
        listed.map_section = bytes.to_vec();
        if listed.map.as_ref() == Some(&map) {
            return;
        }
        listed.map = Some(map.clone());
        match &mut self.chosen {
            Some(chosen) if chosen.map.number == map.number => chosen.follow(map, &mut self.sink),
            Some(chosen) if self.programs.contains_key(&chosen.map.number) => return,
            _ => self.choose(),
        }
        self.route_all();
    }

    /// Chooses a program among those whose maps have come, in the place of one that is listed no more.
    fn choose(&mut self) {
        let wanted = self.options.program;
        let is_wanted = |number: u16| wanted.is_none_or(|wanted| wanted == number);
        let maps = self.programs.iter().filter(|(number, _)| is_wanted(**number)).filter_map(|(_, at)| at.map.as_ref());
        if let Some(map) = maps.clone().find(|map| Program::can_read(map)).cloned() {
            match &mut self.chosen {
                Some(chosen) => chosen.follow(map, &mut self.sink),
                none => *none = Some(Program::new(map, self.options.limits, &mut self.sink)),
            }
        } else if self.chosen.is_none()
            && self.programs.iter().all(|(number, at)| !is_wanted(*number) || at.map.is_some())
        {
            // No other will come: so this is why.
            maps.for_each(|map| self.sink.note_unread(map));
        }
    }

    /// Says for each PID what it is. Tables come first: no map can take them away.
    pub(super) fn route_all(&mut self) {
        self.routes.clear();
        if let Some(program) = &self.chosen {
            self.routes.set(program.map.pcr_pid, Route::Clock);
            for (index, stream) in (0..=u8::MAX).zip(&program.streams) {
                self.routes.set(stream.mapped.pid, Route::Stream(index));
            }
        }
        for &pid in self.maps.keys() {
            self.routes.set(pid, Route::Map);
        }
        self.routes.set(ASSOCIATION_PID, Route::Association);
        // What fills the stream up says nothing (§2.4.1).
        self.routes.set(0x1FFF, Route::Nowhere);
    }

    pub(super) fn info(&self, number: u16, listed: &Listed) -> ProgramInfo {
        let chosen = self.chosen.as_ref().filter(|chosen| chosen.map.number == number);
        let track =
            |pid: u16| chosen?.streams.iter().find(|stream| stream.mapped.pid == pid).map(|stream| stream.track);
        let map = listed.map.iter();
        let streams = map.flat_map(|map| map.streams.iter().map(move |stream| (map, stream)));
        let info = |(map, stream): (&ProgramMap, &MappedStream)| StreamInfo {
            pid: stream.pid,
            stream_type: stream.stream_type,
            codec: Coding::of(stream, &map.descriptors).map(Coding::codec),
            language: stream.descriptors.language(),
            track: track(stream.pid),
        };
        let (map_pid, is_chosen) = (listed.map_pid, chosen.is_some());
        ProgramInfo { number, map_pid, is_chosen, streams: streams.map(info).collect() }
    }
}
