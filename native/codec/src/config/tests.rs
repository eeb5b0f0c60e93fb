//! One configuration of each codec through the one door: what containers and bindings ask of it.

use super::*;
use crate::sweep::{mutations, truncations, unhex};

/// Codec, record, clock rate, `codecs`, output rate, channels, bits per sample. Records are those of ffmpeg, as the tests of
/// each codec say.
type Row = (Codec, &'static str, u32, &'static str, Option<(u32, u8, u8)>);
const ROWS: [Row; 20] = [
    (Codec::Av1, "81000c000a0b000000043cfeccdaf90040", 90_000, "av01.0.00M.08", None),
    (Codec::Vp9, "000b820202020000", 90_000, "vp09.00.11.08", None),
    (Codec::Vp8, "0000820202060000", 90_000, "vp8", None),
    (Codec::Aac, "1190", 48_000, "mp4a.40.2", Some((48_000, 2, 0))),
    // SBR doubles what comes out, not the clock; parametric stereo makes two channels of one.
    (Codec::Aac, "2b920800", 22_050, "mp4a.40.5", Some((44_100, 2, 0))),
    (Codec::Aac, "eb8a0800", 22_050, "mp4a.40.29", Some((44_100, 2, 0))),
    (Codec::Opus, "4f707573486561640101380140 1f0000000000", 48_000, "opus", Some((48_000, 1, 0))),
    (Codec::Mp3, "fffb9464", 48_000, "mp4a.40.34", Some((48_000, 2, 0))),
    (Codec::Mp3, "ffe338c0", 8_000, "mp4a.40.34", Some((8_000, 1, 0))),
    (Codec::Mp2, "fffde404", 48_000, "mp4a.40.33", Some((48_000, 2, 0))),
    (Codec::Mp2, "ffffc000", 44_100, "mp4a.40.32", Some((44_100, 2, 0))),
    (Codec::Ac3, "503de0", 44_100, "ac-3", Some((44_100, 6, 0))),
    (Codec::Eac3, "0200200f0202010c", 48_000, "ec-3", Some((48_000, 8, 0))),
    (
        Codec::Flac,
        "800000222000200000121f0025e217700b7000007080b654d6dcc422d01b9820c8f00f7018e0",
        96_000,
        "flac",
        Some((96_000, 6, 24)),
    ),
    (Codec::G711A, "00001f400108", 8_000, "", Some((8_000, 1, 0))),
    (Codec::G711U, "00001f400108", 8_000, "", Some((8_000, 1, 0))),
    (Codec::G722, "00003e800104", 16_000, "", Some((16_000, 1, 0))),
    (Codec::Pcm, "0000bb800218", 48_000, "", Some((48_000, 2, 24))),
    (Codec::Id3, "", 90_000, "", None),
    (Codec::Scte35, "", 90_000, "", None),
];

#[test]
fn every_codec_answers_through_the_one_door() {
    for (codec, hex, clock_rate_hz, rfc6381, audio) in ROWS {
        let record = Bytes::from(unhex(hex));
        let config =
            CodecConfig::parse(codec, record.clone()).unwrap_or_else(|error| panic!("{codec:?} {hex}: {error}"));
        assert_eq!((config.codec(), config.record()), (codec, &record), "{hex}");
        assert_eq!((config.clock_rate_hz(), config.rfc6381().as_str()), (clock_rate_hz, rfc6381), "{codec:?}");
        let seen = config.audio().map(|info| (info.sample_rate_hz, info.channels, info.bits_per_sample));
        assert_eq!((seen, config.video().is_some()), (audio, config.kind() == MediaKind::Video), "{codec:?}");
        assert_eq!(codec.name().to_lowercase().parse(), Ok(codec));
    }
    assert!(Codec::ALL.iter().all(|codec| ["H264", "H265", "H266", "KLV", "Message"].contains(&codec.name())
        || ROWS.iter().any(|row| row.0 == *codec)));
}

/// No record of one codec, broken or not, does harm to another.
#[test]
fn records_of_all_codecs_are_safe_in_all_codecs() {
    let records: Vec<Vec<u8>> = ROWS.iter().map(|row| unhex(row.1)).filter(|record| !record.is_empty()).collect();
    let judge = |record: &[u8]| {
        for codec in Codec::ALL {
            if let Ok(config) = CodecConfig::parse(codec, Bytes::copy_from_slice(record)) {
                assert!(config.clock_rate_hz() > 0, "{config:?}");
                let _ = (config.rfc6381(), config.audio(), config.video());
            }
        }
    };
    records.iter().for_each(|record| truncations(record, judge));
    mutations(0xc0de, 20_000, &records.iter().map(Vec::as_slice).collect::<Vec<_>>(), judge);
}
