//! Vectors of real encoders, bit stream information by hand, every truncation, and seeded mutation.

use bytes::Bytes;

use super::*;
use crate::{
    Codec, CodecConfig, CodecError,
    bit_packer::BitPacker,
    sweep::{mutations, truncations, unhex},
};

/// The first bytes of `ffmpeg -f lavfi -i sine=440:sample_rate=48000 -c:a ac3|eac3 …`, ffmpeg 5.1, and the record that FFmpeg
/// 9 makes of the same file; rate, channels, bytes of a frame.
type Row = (&'static str, &'static str, u32, u8, usize);
const AC3: [Row; 2] = [
    ("0b77fe95144043e106f46370c0c0c218", "101140", 48_000, 2, 768),
    ("0b77e1e75e40ebf8403eff9dffc2107f", "503de0", 44_100, 6, 1_950),
];
const EAC3: [Row; 2] = [
    ("0b7700bf3487c00020fc210830c00006", "0300200400", 48_000, 2, 384),
    ("0b77017f3f87c00020f8200002004000", "0600200f00", 48_000, 6, 768),
];

fn frame(hex: &str) -> SyncFrame {
    SyncFrame::parse(&unhex(hex)).unwrap_or_else(|error| panic!("{hex}: {error}"))
}

#[test]
fn syncframes_say_what_the_encoder_was_told() {
    for (rows, is_eac3) in [(AC3, false), (EAC3, true)] {
        for (hex, _, rate, channels, bytes) in rows {
            let frame = frame(hex);
            assert_eq!((frame.sample_rate_hz, frame.channels, frame.samples), (rate, channels, 1_536), "{hex}");
            assert_eq!((frame.frame_bytes, frame.is_eac3(), frame.lfe), (bytes, is_eac3, channels == 6), "{hex}");
        }
    }
}

#[test]
fn records_are_those_of_ffmpeg() {
    for (hex, record, rate, channels, _) in AC3 {
        let config = Ac3Config::from_syncframe(&frame(hex)).unwrap();
        assert_eq!(config.record, unhex(record), "{hex}");
        assert_eq!((config.info.sample_rate_hz, config.info.channels), (rate, channels), "{hex}");
        assert_eq!(Ac3Config::parse(config.record.clone()), Ok(config.clone()), "{hex}");
        assert_eq!(config.rfc6381(), "ac-3");
        assert!(Eac3Config::from_syncframe(&frame(hex)).is_err());
    }
    for (hex, record, rate, channels, _) in EAC3 {
        let config = Eac3Config::from_syncframe(&frame(hex)).unwrap();
        assert_eq!(config.record, unhex(record), "{hex}");
        assert_eq!((config.info.sample_rate_hz, config.info.channels), (rate, channels), "{hex}");
        assert_eq!(Eac3Config::parse(config.record.clone()), Ok(config.clone()), "{hex}");
        assert_eq!(config.rfc6381(), "ec-3");
        assert!(Ac3Config::from_syncframe(&frame(hex)).is_err());
    }
}

/// ETSI TS 102 366 Table 4.13, a column each.
#[test]
fn frame_sizes_are_those_of_the_table() {
    let bytes = |fscod: u8, code: u8| {
        let head = [0x0b, 0x77, 0, 0, fscod << 6 | code, 0x40, 0x40, 0, 0];
        SyncFrame::parse(&head).map(|frame| frame.frame_bytes / 2)
    };
    let words = [(0, 64, 69, 96), (1, 64, 70, 96), (10, 160, 174, 240), (23, 448, 488, 672), (36, 1_280, 1_393, 1_920)];
    for (code, at_48, at_44, at_32) in words {
        assert_eq!([0, 1, 2].map(|fscod| bytes(fscod, code).unwrap()), [at_48, at_44, at_32], "{code}");
    }
    assert_eq!(bytes(1, 37), Ok(1_394));
    assert_eq!(bytes(0, 38), Err(CodecError::Malformed { what: "frmsizecod", offset: 4 }));
    assert_eq!(bytes(3, 0), Err(CodecError::Malformed { what: "fscod", offset: 4 }));
}

/// What only some E-AC-3 streams have (§E.1.2.2).
#[derive(Clone, Copy, Default)]
struct Bsi {
    strmtyp: u32,
    id: u32,
    numblkscod: u32,
    acmod: u32,
    lfe: bool,
    chanmap: Option<u32>,
    mixing: bool,
    informational: bool,
    joc: Option<u32>,
}

/// A frame of 128 bytes at 48 kHz that says this.
fn eac3(bsi: Bsi) -> Vec<u8> {
    let mut bits = BitPacker::new();
    bits.u(16, 0x0b77);
    bits.u(2, bsi.strmtyp);
    bits.u(3, bsi.id);
    bits.u(11, 63);
    bits.u(2, 0);
    bits.u(2, bsi.numblkscod);
    bits.u(3, bsi.acmod);
    bits.flag(bsi.lfe);
    bits.u(5, 16);
    let programmes = if bsi.acmod == 0 { 2 } else { 1 };
    (0..programmes).for_each(|_| bits.u(5 + 1 + 8, 0x1ff));
    if bsi.strmtyp == 1 {
        bits.flag(bsi.chanmap.is_some());
        bsi.chanmap.into_iter().for_each(|map| bits.u(16, map));
    }
    bits.flag(bsi.mixing);
    if bsi.mixing {
        put_mixing(&mut bits, bsi);
    }
    bits.flag(bsi.informational);
    if bsi.informational {
        bits.u(3 + 2, 0b1_0111);
        bits.u(if bsi.acmod == 2 { 4 } else { 0 }, 0);
        bits.u(if bsi.acmod >= 6 { 2 } else { 0 }, 0);
        (0..programmes).for_each(|_| bits.u(1 + 8, 0x1ff));
        bits.flag(true);
    }
    if bsi.strmtyp == 0 && bsi.numblkscod != 3 {
        bits.flag(true);
    }
    if bsi.strmtyp == 2 {
        bits.u(if bsi.numblkscod == 3 { 6 } else { 7 }, 0x7f);
    }
    bits.flag(bsi.joc.is_some());
    if let Some(complexity) = bsi.joc {
        bits.u(6, 1);
        bits.u(8, 1);
        bits.u(8, complexity);
    }
    let mut bytes = bits.finish().to_vec();
    bytes.resize(128, 0);
    bytes
}

fn put_mixing(bits: &mut BitPacker, bsi: Bsi) {
    bits.u(if bsi.acmod > 2 { 2 } else { 0 }, 0);
    bits.u(if bsi.acmod & 1 == 1 && bsi.acmod > 2 { 6 } else { 0 }, 0);
    bits.u(if bsi.acmod & 4 != 0 { 6 } else { 0 }, 0);
    bits.u(if bsi.lfe { 6 } else { 0 }, 0x3f);
    if bsi.strmtyp != 0 {
        return;
    }
    let programmes = if bsi.acmod == 0 { 2 } else { 1 };
    (0..=programmes).for_each(|_| bits.u(7, 0x7f));
    bits.u(2, 3);
    bits.u(5, 1);
    bits.u(24, 0xff_ffff);
    if bsi.acmod < 2 {
        (0..programmes).for_each(|_| bits.u(15, 0x7fff));
    }
    bits.flag(true);
    match bsi.numblkscod {
        0 => bits.u(5, 0x1f),
        code => (0..if code == 3 { 6 } else { code + 1 }).for_each(|_| bits.u(6, 0x3f)),
    }
}

/// Every combination of optional fields: what stands behind them is found.
#[test]
fn bit_stream_information_of_every_kind_is_read_to_its_end() {
    for strmtyp in 0..3 {
        for acmod in 0..8 {
            for numblkscod in 0..4 {
                for flags in 0..8 {
                    let [lfe, mixing, informational] = [1, 2, 4].map(|bit| flags & bit != 0);
                    let chanmap = (strmtyp == 1).then_some(0x0200);
                    let joc = Some(16);
                    let bsi = Bsi { strmtyp, id: 0, numblkscod, acmod, lfe, chanmap, mixing, informational, joc };
                    let parsed = SyncFrame::parse(&eac3(bsi)).unwrap();
                    let substream = parsed.substream.unwrap();
                    assert_eq!(substream.joc_complexity, Some(16), "{strmtyp} {acmod} {numblkscod} {flags}");
                    assert_eq!(substream.channel_map, chanmap.map(|_| 0x0200));
                    assert_eq!(parsed.bsmod, if informational { 5 } else { 0 });
                    assert_eq!(parsed.samples, [256, 512, 768, 1_536][numblkscod as usize]);
                }
            }
        }
    }
}

/// 7.1: 5.1 in an independent substream, the rear pair in a dependent one, and objects.
#[test]
fn access_unit_with_a_dependent_substream_is_one_programme() {
    let main = eac3(Bsi { numblkscod: 3, acmod: 7, lfe: true, joc: Some(12), ..Bsi::default() });
    // Lrs/Rrs: the seventh of the sixteen bits.
    let rear = eac3(Bsi { strmtyp: 1, numblkscod: 3, acmod: 2, chanmap: Some(0x0200), ..Bsi::default() });
    let config = Eac3Config::from_access_unit(&[main.clone(), rear.clone()].concat()).unwrap();
    assert_eq!((config.info.channels, config.info.sample_rate_hz, config.joc_complexity), (8, 48_000, Some(12)));
    assert_eq!(config.data_rate_kbps, 64);
    let substream = config.independent[0];
    assert_eq!((substream.dependent, substream.locations, config.independent.len()), (1, 0b10, 1));
    // data_rate, num_ind_sub; 16, acmod 7, lfe; one dependent; chan_loc 2; the extension.
    assert_eq!(config.record, unhex("0200 200f0202 010c"));
    assert_eq!(Eac3Config::parse(config.record.clone()), Ok(config));
    let error = Eac3Config::from_access_unit(&rear).unwrap_err();
    assert!(matches!(error, CodecError::Unsupported { .. }), "{error}");
    assert!(Eac3Config::from_access_unit(&[]).is_err());
}

/// Found by reading: only the first syncframe was looked at, and 7.1 was 5.1.
#[test]
fn configuration_of_a_frame_counts_all_substreams() {
    let main = eac3(Bsi { numblkscod: 3, acmod: 7, lfe: true, ..Bsi::default() });
    let rear = eac3(Bsi { strmtyp: 1, numblkscod: 3, acmod: 2, chanmap: Some(0x0200), ..Bsi::default() });
    let config = CodecConfig::from_frame(Codec::Eac3, Bytes::from([main, rear].concat())).unwrap();
    assert_eq!(config.audio().unwrap().channels, 8);
}

/// Found by a reader: whatever stood behind the first syncframe was an error, where it had been enough by itself.
#[test]
fn what_is_cut_off_behind_the_first_substream_takes_no_configuration_away() {
    let main = eac3(Bsi { numblkscod: 3, acmod: 7, lfe: true, ..Bsi::default() });
    let rear = eac3(Bsi { strmtyp: 1, numblkscod: 3, acmod: 2, chanmap: Some(0x0200), ..Bsi::default() });
    let channels = |parts: &[&[u8]]| {
        let config = CodecConfig::from_frame(Codec::Eac3, Bytes::from(parts.concat()))?;
        Ok::<_, CodecError>(config.audio().unwrap().channels)
    };
    for behind in [&main[..5], &[0; 64], &unhex("0b7700001440430000")] {
        assert_eq!(channels(&[&main, behind]), Ok(6));
        assert_eq!(channels(&[&main, &rear, behind]), Ok(8));
    }
    assert_eq!(channels(&[&main.repeat(1_000)]), Ok(6));
    assert!(channels(&[&rear, &main]).is_err());
    assert!(channels(&[&[0; 64], &main]).is_err());
}

/// Frames of one block: six of them are an access unit, and one programme.
#[test]
fn short_frames_are_counted_once() {
    let short = eac3(Bsi { acmod: 2, ..Bsi::default() });
    let second = eac3(Bsi { id: 1, acmod: 1, ..Bsi::default() });
    let unit = [short.as_slice(), &second].concat().repeat(6);
    assert_eq!(syncframes(&unit).filter(Result::is_ok).count(), 12);
    let config = Eac3Config::from_access_unit(&unit).unwrap();
    assert_eq!((config.independent.len(), config.info.channels), (2, 2));
    assert_eq!(config.data_rate_kbps, 2 * 192);
}

#[test]
fn what_contradicts_the_standard_is_refused_with_its_place() {
    let error = |hex: &str| SyncFrame::parse(&unhex(hex)).unwrap_err();
    let malformed = |what, offset| CodecError::Malformed { what, offset };
    assert_eq!(error("0b76"), malformed("AC-3 syncword", 0));
    assert_eq!(error("0b77fe95"), malformed("bsid", 2));
    assert_eq!(error("0b7700bff487c00020fc"), malformed("fscod2", 4));
    assert_eq!(error("0b77c0bf3487c00020fc"), malformed("strmtyp", 2));
    assert_eq!(error("0b7700003487c00020fc"), malformed("frmsiz", 2));
    assert!(matches!(error("0b7700bf348fc00020fc"), CodecError::Unsupported { .. }));
    let dac3 = |hex| Ac3Config::parse(Bytes::from(unhex(hex))).unwrap_err();
    assert_eq!(dac3("1011"), malformed("dac3", 2));
    assert_eq!(dac3("d01140"), malformed("fscod", 0));
    assert_eq!(dac3("161140"), malformed("bsid", 0));
    assert_eq!(dac3("101260"), malformed("bit_rate_code", 1));
    let dec3 = |hex| Eac3Config::parse(Bytes::from(unhex(hex))).unwrap_err();
    assert_eq!(dec3("0300"), malformed("fscod", 2));
    assert_eq!(dec3("0301200400"), malformed("fscod", 5), "two substreams are announced");
    assert_eq!(dec3("030020040001"), malformed("complexity_index_type_a", 6));
    assert!(matches!(Eac3Config::parse(vec![0; MAX_DEC3_BYTES + 1].into()), Err(CodecError::LimitExceeded { .. })));
    // The extension may be missing, and what is behind is not judged.
    assert!(Eac3Config::parse(unhex("0300200400 00").into()).is_ok());
}

#[test]
fn half_rates_are_read() {
    // fscod 3, fscod2 0: 24 kHz, six blocks.
    let parsed = frame("0b7700bfc487c00020fc210830c00006");
    assert_eq!((parsed.sample_rate_hz, parsed.samples, parsed.fscod), (24_000, 1_536, 3));
    // AC-3 with bsid 9: half of 48 kHz.
    let half = frame("0b77fe95144843e1");
    assert_eq!((half.sample_rate_hz, half.bsid), (24_000, 9));
    let config = Ac3Config::from_syncframe(&half).unwrap();
    assert_eq!(config.info.sample_rate_hz, 24_000);
}

#[test]
fn truncated_and_mutated_input_never_panics() {
    let joc = eac3(Bsi {
        numblkscod: 3,
        acmod: 7,
        lfe: true,
        mixing: true,
        informational: true,
        joc: Some(9),
        ..Bsi::default()
    });
    let rows = AC3.iter().chain(&EAC3);
    let vectors: Vec<Vec<u8>> = rows.clone().map(|row| unhex(row.0)).chain([joc[..40].to_vec()]).collect();
    let judge = |bytes: &[u8]| {
        if let Ok(frame) = SyncFrame::parse(bytes) {
            assert!(frame.frame_bytes > 5 && frame.samples > 0 && (1..=6).contains(&frame.channels));
            assert_eq!(frame.is_eac3(), Eac3Config::from_syncframe(&frame).is_ok() || frame.substream.is_some());
            assert_ne!(frame.is_eac3(), Ac3Config::from_syncframe(&frame).is_ok());
        }
        assert!(syncframes(bytes).count() <= bytes.len());
        drop(Eac3Config::from_access_unit(bytes));
    };
    vectors.iter().for_each(|vector| truncations(vector, judge));
    mutations(0xac3, 100_000, &vectors.iter().map(Vec::as_slice).collect::<Vec<_>>(), judge);
    let records: Vec<Vec<u8>> = rows.map(|row| unhex(row.1)).chain([unhex("0200200f0202010c")]).collect();
    mutations(0xdac3, 100_000, &records.iter().map(Vec::as_slice).collect::<Vec<_>>(), |record| {
        drop(Ac3Config::parse(Bytes::copy_from_slice(record)));
        if let Ok(config) = Eac3Config::parse(Bytes::copy_from_slice(record)) {
            assert!((1..=23).contains(&config.info.channels) && !config.independent.is_empty());
        }
    });
}
