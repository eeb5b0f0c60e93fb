//! Payloads of every format: what comes out is bounded, has the form of the bus, and comes back when it is sent again.

use arcly_codec::{CodecConfig, aac::parse_adts, av1, h264, h265};
use arcly_wire::rtp::{AccessUnit, Depacketizer, Encoding, Format, Header, Limits, Packet, Packetizer};
use bytes::Bytes;

use super::Target;
use crate::{
    checks::is_canonical,
    mutate::{Input, MAX_INPUT_BYTES},
    rtp::{Arrival, edit_packets, formats, read, vectors},
};

const MAX_UNIT_BYTES: usize = 16 << 10;

pub const TARGET: Target =
    Target { name: "rtp_depacketize", vectors, edit: Some(edit_packets), buffered_bytes_max: MAX_UNIT_BYTES, run };

fn limits() -> Limits {
    Limits { access_unit_bytes: MAX_UNIT_BYTES, ..Limits::default() }
}

fn run(input: &Input) -> usize {
    let (number, arrivals) = read(&input.bytes);
    let formats = formats();
    let Some((format, config, _)) = formats.get(number % formats.len().max(1)) else { return 0 };
    let (units, held) = depacketize(format, &arrivals);
    let bytes: usize = units.iter().map(|unit| unit.payload.len()).sum();
    // Lengths of four bytes for two, an index or a sequence header for what has none.
    assert!(bytes <= 8 * input.bytes.len().min(MAX_INPUT_BYTES) + 1024, "{bytes} bytes of {}", input.bytes.len());
    check_again(format, config, &units);
    held
}

fn depacketize(format: &Format, arrivals: &[Arrival]) -> (Vec<AccessUnit>, usize) {
    let Ok(mut depacketizer) = Depacketizer::new(format, limits()) else { return (Vec::new(), 0) };
    let (mut units, mut held) = (Vec::new(), 0);
    for (packet, is_after_gap) in arrivals {
        let before = depacketizer.lost_units();
        let refused = depacketizer.push(packet, *is_after_gap).is_err();
        held = held.max(depacketizer.buffered_bytes());
        let new: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
        let lost = depacketizer.lost_units() > before;
        assert!(!refused || lost || depacketizer.config().is_some() || new.is_empty(), "a fault costs something");
        units.extend(new);
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    assert_eq!(depacketizer.buffered_bytes(), 0, "nothing is left");
    units.iter().for_each(|unit| check_form(format, unit));
    (units, held)
}

fn check_form(format: &Format, unit: &AccessUnit) {
    assert!(!unit.payload.is_empty(), "an access unit has bytes");
    let is_canonical = match format.encoding {
        Encoding::H264 => is_canonical(&unit.payload, h264::to_canonical(unit.payload.clone(), 4)),
        Encoding::H265 => is_canonical(&unit.payload, h265::to_canonical(unit.payload.clone(), 4)),
        Encoding::Av1 => av1::to_canonical(unit.payload.clone()).is_ok_and(|again| again.payload == unit.payload),
        _ => true,
    };
    assert!(is_canonical, "not the form of the bus");
}

/// Sends the access units again, and reads them.
fn check_again(format: &Format, config: &CodecConfig, units: &[AccessUnit]) {
    let again =
        Format { parameters: Format::of(96, config).map(|of| of.parameters).unwrap_or_default(), ..format.clone() };
    let again = if format.encoding == Encoding::Mp4aLatm { format.clone() } else { again };
    let Some(first) = units.first().and_then(|unit| unit.config.as_deref()) else { return };
    let Ok(mut packetizer) = Packetizer::new(&again, first, 200) else { return };
    let (mut header, mut arrivals, mut sent) =
        (Header { payload_type: 96, ..Header::default() }, Vec::new(), Vec::new());
    // The first one twice: who joins may take it for the rest of one.
    for unit in units.first().into_iter().chain(units) {
        if let Some(config) = &unit.config {
            packetizer.reconfigure(config);
        }
        let (begin, base) = (arrivals.len(), header.timestamp);
        let done = packetizer.packetize(&unit.payload, unit.is_key, &mut |payload| {
            let mut bytes = Vec::with_capacity(payload.len());
            payload.write(&mut bytes);
            header.marker = payload.marker;
            header.timestamp = base.wrapping_add(payload.timestamp_offset);
            arrivals.push((Packet { header, payload: bytes.into(), ..Packet::default() }, false));
        });
        header.timestamp = base.wrapping_add(1 << 20);
        match done {
            Ok(()) => sent.push(unit.payload.clone()),
            Err(_) => arrivals.truncate(begin),
        }
    }
    if sent.iter().any(|unit| is_special(format, unit)) {
        return;
    }
    let (read, _) = depacketize(&again, &arrivals);
    let read: Vec<Bytes> = read.into_iter().map(|unit| unit.payload).collect();
    let is_waveform = matches!(format.encoding, Encoding::Pcma | Encoding::Pcmu | Encoding::G722 | Encoding::L24);
    if is_waveform {
        assert_eq!(read.concat(), sent.concat(), "{:?}", format.encoding);
    } else {
        let [read, sent] =
            [read, sent].map(|units| units.iter().map(|unit| without_sets(format, unit)).collect::<Vec<_>>());
        assert!(read.ends_with(sent.get(1..).unwrap_or_default()), "{:?}: {read:02x?} of {sent:02x?}", format.encoding);
    }
}

/// What is in front of a picture decoders may have already: then it is left out.
fn without_sets(format: &Format, unit: &Bytes) -> Bytes {
    let canonical = match format.encoding {
        Encoding::H264 => h264::to_canonical(unit.clone(), 4),
        Encoding::H265 => h265::to_canonical(unit.clone(), 4),
        _ => return unit.clone(),
    };
    canonical.map_or_else(|_| unit.clone(), |canonical| canonical.payload)
}

/// An access unit that looks like one with a header in front, which is taken away again.
fn is_special(format: &Format, unit: &[u8]) -> bool {
    format.encoding == Encoding::Mpeg4Generic && parse_adts(unit).is_ok_and(|header| header.frame_bytes == unit.len())
}
