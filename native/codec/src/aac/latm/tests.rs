//! Vectors of a real encoder, the rare forms by hand, every split, every truncation, and seeded mutation.

use bytes::Bytes;

use super::{super::AudioSpecificConfig, *};
use crate::{
    CodecError,
    bit_packer::BitPacker,
    sweep::{mutations, truncations, unhex},
};

/// `ffmpeg -f lavfi -i anullsrc=r=48000:cl=stereo -t 0.1 -c:a aac -f latm`, ffmpeg 5.1: LOAS; one configuration, then elements
/// that have the same.
const STEREO: &str = "56e01e200011901fe0bef01002630bb319a9c97199b9718981800211004608c1c0\
                      56e0088310880230460e00 56e0088310880230460e00 56e0088310880230460e00";
/// The access units of the same in ADTS.
const STEREO_UNITS: [&str; 2] = ["de02004c61766335392e33372e31303000422008c11838", "211004608c1c"];
/// 5.1 at 44.1 kHz, and a program_config_element of eight channels.
const SURROUND: &str = "56e02b200012301fe126f01002630bb319a9c97199b9718981800011820010880230460231004608c0c230000e00\
                        56e01589808c10008440118230118802304606118000700056e01589808c100084401182301188023046061180007000";
const OCTAGON: &str = "56e0462000118004c848002008c8200d4c61766335392e33372e3130301fe14ef01002630bb319a9c97199b9718981800211\
                       004608c00230400231004608c04a2008c11800c60801c056e01a8c10880230460011820011880230460251004608c00630400e00";

/// All elements of LOAS that comes in pieces of so many bytes.
fn elements(bytes: &[u8], piece: usize) -> Vec<Bytes> {
    let (mut reader, mut elements) = (LoasReader::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        reader.feed(piece, |element| elements.push(element));
    }
    elements
}

/// All access units, and the last configuration.
fn demux(elements: &[Bytes]) -> (Vec<Bytes>, Option<StreamMuxConfig>) {
    let (mut units, mut config) = (Vec::new(), None);
    for element in elements {
        let parsed = AudioMuxElement::parse(element, config.as_ref()).unwrap();
        config = parsed.config.or(config);
        units.extend(parsed.access_units);
    }
    (units, config)
}

#[test]
fn access_units_are_those_of_adts() {
    let (units, config) = demux(&elements(&unhex(STEREO), 1_000));
    let audio = config.unwrap().audio;
    assert_eq!(audio.record, unhex("1190"), "the bits of the record from the first of a byte on");
    assert_eq!((audio.sample_rate_hz, audio.channels, audio.object_type), (48_000, 2, 2));
    // The first element of LATM lacks a fill bit's byte that ADTS has: the encoder's own first unit differs.
    assert_eq!(units.len(), 4);
    assert!(units[1..].iter().all(|unit| *unit == unhex(STEREO_UNITS[1])));
    assert_eq!(units[0].len(), 23);
}

#[test]
fn configurations_of_surround_are_read() {
    let (units, config) = demux(&elements(&unhex(SURROUND), 1_000));
    let audio = config.unwrap().audio;
    assert_eq!((audio.sample_rate_hz, audio.channels, audio.record.as_ref()), (44_100, 6, &[0x12, 0x30][..]));
    assert_eq!(units[1], unhex("011820010880230460231004608c0c230000e0"));
    let (units, config) = demux(&elements(&unhex(OCTAGON), 1_000));
    let audio = config.unwrap().audio;
    assert_eq!((audio.channels, audio.channel_configuration, units.len()), (8, 0, 2));
    assert_eq!(audio.record, unhex("118004c848002008c8200d4c61766335392e33372e313030"));
}

#[test]
fn loas_in_any_pieces_gives_the_same_elements() {
    for stream in [STEREO, SURROUND, OCTAGON].map(unhex) {
        let whole = elements(&stream, stream.len());
        assert!(!whole.is_empty());
        for piece in 1..stream.len() {
            assert_eq!(elements(&stream, piece), whole, "{piece}");
        }
    }
}

#[test]
fn loas_is_found_again_behind_garbage() {
    let stream = unhex(STEREO);
    let whole = elements(&stream, 1_000);
    // Garbage that has a syncword in it, of an element that ends in nothing.
    let garbage = unhex("00ff56e003010256 5600");
    let dirty = [&garbage, &stream[..33], &unhex("4711"), &stream[33..]].concat();
    let mut reader = LoasReader::new();
    let mut found = Vec::new();
    reader.feed(&dirty, |element| found.push(element));
    // The first one is followed by garbage: it cannot be told from some.
    assert_eq!(found, whole[1..]);
    assert!(reader.skipped_bytes() > 0);
    reader.reset();
    assert_eq!(reader.buffered_bytes(), 0);
    reader.feed(&stream, |element| found.push(element));
    assert_eq!(found[3..], whole);
}

#[test]
fn loas_holds_no_more_than_two_elements() {
    let mut reader = LoasReader::new();
    let mut held = 0;
    for _ in 0..100 {
        reader.feed(&[0x56, 0xff].repeat(5_000), |_| {});
        held = held.max(reader.buffered_bytes());
    }
    assert!(held <= 2 * MAX_LOAS_BYTES, "{held}");
}

#[test]
fn written_elements_are_read() {
    for record in ["1190", "138856e5a54880", "118004c848002008c8200d4c61766335392e33372e31303056e500", "1780546510"] {
        let audio = AudioSpecificConfig::parse(unhex(record).into()).unwrap();
        let writer = LatmWriter::new(audio.clone());
        for length in [0, 1, 254, 255, 256, 1_000, 6_144] {
            let unit: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let element = writer.element(&unit).unwrap();
            let parsed = AudioMuxElement::parse(&element, None).unwrap();
            assert_eq!(parsed.config.unwrap().audio, audio, "{record}");
            assert_eq!(parsed.access_units.concat(), unit, "{record} {length}");
            let header = LoasReader::header(element.len()).unwrap();
            let stream = [&header, &element[..]].concat().repeat(2);
            assert_eq!(elements(&stream, 100).len(), 2);
        }
    }
    let writer = LatmWriter::new(AudioSpecificConfig::new(2, 48_000, 2).unwrap());
    assert!(matches!(writer.element(&vec![0; MAX_ELEMENT_BYTES]), Err(CodecError::LimitExceeded { .. })));
    assert!(matches!(LoasReader::header(0x2000), Err(CodecError::LimitExceeded { .. })));
}

/// What a `StreamMuxConfig` is made of.
struct Mux {
    is_version_1: bool,
    record: &'static str,
    record_bits: usize,
    fill_bits: u32,
    sub_frames: u32,
    fixed: Option<u32>,
    other_data_bits: u32,
    crc: bool,
}

const PLAIN: Mux = Mux {
    is_version_1: false,
    record: "1190",
    record_bits: 16,
    fill_bits: 0,
    sub_frames: 1,
    fixed: None,
    other_data_bits: 0,
    crc: false,
};

impl Mux {
    fn put(&self, bits: &mut BitPacker) {
        bits.flag(self.is_version_1);
        if self.is_version_1 {
            bits.flag(false);
            bits.u(2 + 16, 1 << 16 | 0x1234);
        }
        bits.flag(true);
        bits.u(6, self.sub_frames - 1);
        bits.u(7, 0);
        if self.is_version_1 {
            bits.u(2 + 8, self.record_bits as u32 + self.fill_bits);
        }
        let record = unhex(self.record);
        bits.copy(&mut crate::bits::BitReader::new(&record), self.record_bits, "record").unwrap();
        bits.u(self.fill_bits as u8, 0);
        match self.fixed {
            None => bits.u(3 + 8, 0xff),
            Some(length) => bits.u(3 + 9, 1 << 9 | length),
        }
        bits.flag(self.other_data_bits > 0);
        match self.other_data_bits {
            0 => {}
            length if self.is_version_1 => bits.u(2 + 8, length),
            // In two bytes, the first of which escapes.
            length => bits.u(18, 1 << 17 | (length >> 8) << 9 | length & 0xff),
        }
        bits.flag(self.crc);
        bits.u(if self.crc { 8 } else { 0 }, 0xaa);
    }

    fn element(&self, units: &[&[u8]]) -> Vec<u8> {
        let mut bits = BitPacker::new();
        bits.flag(false);
        self.put(&mut bits);
        for unit in units {
            if self.fixed.is_none() {
                bits.u(8, unit.len() as u32);
            }
            bits.put(unit);
        }
        (0..self.other_data_bits).for_each(|_| bits.flag(true));
        bits.finish().to_vec()
    }
}

#[test]
fn rare_forms_are_read() {
    let units: [&[u8]; 3] = [&[1; 25], &[2; 25], &[3; 25]];
    for mux in [
        Mux { ..PLAIN },
        Mux { sub_frames: 3, ..PLAIN },
        Mux { sub_frames: 3, fixed: Some(5), ..PLAIN },
        Mux { other_data_bits: 300, crc: true, ..PLAIN },
        Mux { is_version_1: true, ..PLAIN },
        Mux { is_version_1: true, fill_bits: 5, sub_frames: 2, other_data_bits: 9, crc: true, ..PLAIN },
        Mux { record: "eb8a0800", record_bits: 25, ..PLAIN },
    ] {
        let element = mux.element(&units[..mux.sub_frames as usize]);
        let parsed = AudioMuxElement::parse(&element, None).unwrap();
        let config = parsed.config.unwrap();
        assert_eq!(parsed.access_units, units[..mux.sub_frames as usize]);
        assert_eq!((u32::from(config.sub_frames), config.other_data_bits), (mux.sub_frames, mux.other_data_bits));
        // A multiple of a byte at the end is what a later element must have to be cut off.
        assert!(AudioMuxElement::parse(&element[..element.len() - 26], None).is_err());
        // The same configuration out of band: RTP with cpresent=0.
        let mut alone = BitPacker::new();
        mux.put(&mut alone);
        assert_eq!(StreamMuxConfig::parse(&alone.finish()), Ok(config.clone()));
        let bare: Vec<u8> = units[..mux.sub_frames as usize]
            .iter()
            .flat_map(|unit| {
                let length = mux.fixed.is_none().then_some(unit.len() as u8);
                length.into_iter().chain(unit.iter().copied()).collect::<Vec<_>>()
            })
            .chain(vec![0; (mux.other_data_bits as usize).div_ceil(8)])
            .collect();
        assert_eq!(
            AudioMuxElement::parse_without_config(&bare, &config).unwrap().access_units.len(),
            mux.sub_frames as usize
        );
    }
}

/// Without a length the bits behind an AudioSpecificConfig are the multiplex's, however much they look like an extension.
#[test]
fn backward_compatible_extension_needs_a_length() {
    let audio = |mux: Mux| AudioMuxElement::parse(&mux.element(&[&[0; 25]]), None).unwrap().config.unwrap().audio;
    let sized = audio(Mux { is_version_1: true, record: "139056e5a0", record_bits: 37, ..PLAIN });
    assert!(sized.sbr && sized.output_rate_hz == 44_100 && sized.record == unhex("139056e5a0"));
    let bare = audio(Mux { record: "1390", ..PLAIN });
    assert!(!bare.sbr && bare.output_rate_hz == 22_050);
}

#[test]
fn what_is_malformed_or_unsupported_is_refused_with_its_place() {
    let error = |hex: &str| AudioMuxElement::parse(&unhex(hex), None).unwrap_err();
    assert_eq!(error("80"), CodecError::Malformed { what: "useSameStreamMux", offset: 0 });
    assert_eq!(error(""), CodecError::Malformed { what: "useSameStreamMux", offset: 0 });
    assert_eq!(error("200011901fe0be"), CodecError::Malformed { what: "PayloadMux", offset: 6 });
    // audioMuxVersionA 1; different time framing; two programmes; two layers; CELP.
    for hex in ["60", "00", "200800", "200100", "2000119060"] {
        let unsupported = matches!(error(hex), CodecError::Unsupported { .. });
        assert!(unsupported, "{hex}: {}", error(hex));
    }
    let long = AudioMuxElement::parse(&vec![0x20; MAX_ELEMENT_BYTES + 1], None);
    assert!(matches!(long, Err(CodecError::LimitExceeded { .. })));
}

#[test]
fn truncated_and_mutated_streams_never_panic() {
    let units: [&[u8]; 2] = [&[1; 25], &[2; 25]];
    let rare = Mux { is_version_1: true, fill_bits: 5, sub_frames: 2, other_data_bits: 9, crc: true, ..PLAIN };
    let rare = rare.element(&units);
    let rare = [&LoasReader::header(rare.len()).unwrap(), &rare[..]].concat();
    let vectors = [unhex(STEREO), unhex(SURROUND), unhex(OCTAGON), rare];
    let judge = |stream: &[u8]| {
        let mut config = None;
        for element in elements(stream, 17) {
            if let Ok(parsed) = AudioMuxElement::parse(&element, config.as_ref()) {
                let bytes: usize = parsed.access_units.iter().map(Bytes::len).sum();
                assert!(bytes <= element.len() && parsed.access_units.len() <= 64);
                config = parsed.config.or(config);
            }
        }
    };
    vectors.iter().for_each(|vector| truncations(vector, judge));
    mutations(0x10a5, 50_000, &vectors.each_ref().map(Vec::as_slice), judge);
    let elements: Vec<Vec<u8>> = vectors.iter().map(|vector| vector[3..].to_vec()).collect();
    mutations(0x1a73, 100_000, &elements.iter().map(Vec::as_slice).collect::<Vec<_>>(), |element| {
        if let Ok(AudioMuxElement { config: Some(config), .. }) = AudioMuxElement::parse(element, None) {
            assert!(config.audio.sample_rate_hz > 0);
        }
    });
}
