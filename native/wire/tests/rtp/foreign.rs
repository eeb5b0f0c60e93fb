//! GStreamer's payloaders and depayloaders: what they send we read, and what we send they read as they read their own.
//!
//! No socket: GStreamer writes and reads packets behind 16-bit lengths (RFC 4571).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use arcly_codec::{CodecConfig, annex_b};
use arcly_wire::rtp::{AccessUnit, Depacketizer, Encoding, Format, Header, Limits, Packet, Packetizer};
use bytes::Bytes;

/// A stream of GStreamer's.
struct Case {
    /// From the source to the encoder.
    source: &'static str,
    payloader: &'static str,
    depayloader: &'static str,
    rtpmap: &'static str,
    fmtp: &'static str,
    /// Access units that come of it at least.
    units: usize,
}

const VIDEO: &str = "videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240,framerate=30/1";
const AAC_FMTP: &str = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190";

fn cases() -> Vec<Case> {
    let case = |source, payloader, depayloader, rtpmap, fmtp, units| Case {
        source,
        payloader,
        depayloader,
        rtpmap,
        fmtp,
        units,
    };
    vec![
        case(
            "x264enc key-int-max=10 bframes=2 sliced-threads=true bitrate=1000",
            "rtph264pay config-interval=-1 aggregate-mode=zero-latency",
            "rtph264depay ! video/x-h264,stream-format=byte-stream,alignment=nal",
            "H264/90000",
            "packetization-mode=1",
            30,
        ),
        case(
            "x265enc key-int-max=10 bitrate=500",
            "rtph265pay config-interval=-1 aggregate-mode=zero-latency",
            "rtph265depay ! video/x-h265,stream-format=byte-stream,alignment=nal",
            "H265/90000",
            "",
            30,
        ),
        case(
            "vp8enc deadline=1 keyframe-max-dist=10",
            "rtpvp8pay picture-id-mode=15-bit",
            "rtpvp8depay",
            "VP8/90000",
            "",
            30,
        ),
        case(
            "vp9enc deadline=1 keyframe-max-dist=10 cpu-used=8",
            "rtpvp9pay picture-id-mode=15-bit",
            "rtpvp9depay",
            "VP9/90000",
            "",
            30,
        ),
        case("avenc_aac", "rtpmp4gpay", "rtpmp4gdepay", "mpeg4-generic/48000/2", AAC_FMTP, 20),
        case("opusenc", "rtpopuspay", "rtpopusdepay", "opus/48000/2", "", 20),
        case("lamemp3enc", "rtpmpapay", "rtpmpadepay", "MPA/90000", "", 20),
        case("avenc_mp2", "rtpmpapay", "rtpmpadepay", "MPA/90000", "", 20),
        case("avenc_ac3", "rtpac3pay", "rtpac3depay", "ac3/48000/2", "", 10),
        case("alawenc", "rtppcmapay", "rtppcmadepay", "PCMA/8000", "", 5),
        case("mulawenc", "rtppcmupay", "rtppcmudepay", "PCMU/8000", "", 5),
        case("avenc_g722", "rtpg722pay", "rtpg722depay", "G722/8000", "", 5),
        case("audioconvert", "rtpL16pay", "rtpL16depay", "L16/48000/2", "", 20),
        case("audioconvert", "rtpL24pay", "rtpL24depay", "L24/48000/2", "", 20),
    ]
}

/// Caps of the sound that the encoder of a case takes.
fn sound(case: &Case) -> String {
    let (format, rate, channels) = match case.payloader {
        "rtppcmapay" | "rtppcmupay" => ("S16LE", 8_000, 1),
        "rtpg722pay" => ("S16LE", 16_000, 1),
        "rtpL16pay" => ("S16BE", 48_000, 2),
        "rtpL24pay" => ("S24BE", 48_000, 2),
        _ => ("", 48_000, 2),
    };
    let format = if format.is_empty() { String::new() } else { format!(",format={format}") };
    format!(
        "audiotestsrc num-buffers=30 ! audioconvert ! audioresample ! audio/x-raw,rate={rate},channels={channels}{format}"
    )
}

/// Runs a pipeline to its end.
fn gstreamer(pipeline: &str) {
    let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split_whitespace()).output();
    let output = output.expect("this test needs `gst-launch-1.0` on PATH");
    assert!(output.status.success(), "{pipeline}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What GStreamer makes of packets.
fn depayload(case: &Case, packets: &Path) -> Vec<u8> {
    let format = Format::parse(96, Some(case.rtpmap), Some(case.fmtp)).unwrap();
    let mut caps = format!(
        "application/x-rtp-stream,media=(string){},clock-rate=(int){},encoding-name=(string){},payload=(int)96",
        format.encoding.media(),
        format.clock_rate_hz,
        format.encoding.name().to_ascii_uppercase(),
    );
    if format.encoding == Encoding::Mpeg4Generic {
        caps +=
            &case.fmtp.split(';').map(|entry| format!(",{}", entry.replacen('=', "=(string)", 1))).collect::<String>();
    }
    if matches!(format.encoding, Encoding::L16 | Encoding::L24) {
        caps += &format!(",channels=(int){0},encoding-params=(string){0}", format.channels);
    }
    let out = packets.with_extension("out");
    let (from, to) = (packets.display(), out.display());
    gstreamer(&format!(
        "filesrc location={from} ! {caps} ! rtpstreamdepay ! {} ! filesink location={to}",
        case.depayloader
    ));
    std::fs::read(out).unwrap()
}

/// Packets behind their lengths.
fn split(stream: &[u8]) -> Vec<Packet> {
    let (mut rest, mut packets) = (stream, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let (packet, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
        packets.push(Packet::parse(Bytes::copy_from_slice(packet)).unwrap());
        rest = behind;
    }
    packets
}

fn read(case: &Case, packets: &[Packet]) -> Vec<AccessUnit> {
    let format = Format::parse(96, Some(case.rtpmap), Some(case.fmtp)).unwrap();
    let mut depacketizer = Depacketizer::new(&format, Limits::default()).unwrap();
    let mut units = Vec::new();
    for packet in packets {
        depacketizer.push(packet, false).unwrap_or_else(|error| panic!("{}: {error}", case.payloader));
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    units
}

/// Our packets of these, behind their lengths.
fn write(case: &Case, config: &CodecConfig, units: &[AccessUnit]) -> Vec<u8> {
    let format = Format::parse(96, Some(case.rtpmap), Some(case.fmtp)).unwrap();
    let mut packetizer = Packetizer::new(&format, config, 500).unwrap();
    let (mut header, mut stream) = (Header { payload_type: 96, ssrc: 7, ..Header::default() }, Vec::new());
    for unit in units {
        let add = &mut |payload: arcly_wire::rtp::Payload<'_>| {
            header.marker = payload.marker;
            header.timestamp = (unit.timestamp as u32).wrapping_add(payload.timestamp_offset);
            stream.extend(u16::try_from(12 + payload.len()).unwrap().to_be_bytes());
            stream.extend(header.to_bytes());
            payload.write(&mut stream);
            header.sequence = header.sequence.wrapping_add(1);
        };
        packetizer.packetize(&unit.payload, unit.is_key, add).unwrap();
    }
    stream
}

/// NAL units without start codes, which may be long or short, and without what may be repeated; other streams as they are.
fn essence(case: &Case, bytes: &[u8]) -> Vec<Vec<u8>> {
    let is_kept = |nal: &[u8]| match case.rtpmap {
        "H264/90000" => !matches!(nal[0] & 0x1f, 7..=9),
        _ => !matches!(nal[0] >> 1 & 0x3f, 32..=35),
    };
    if matches!(case.rtpmap, "H264/90000" | "H265/90000") {
        annex_b::units(bytes).filter(|nal| is_kept(nal)).map(<[u8]>::to_vec).collect()
    } else {
        vec![bytes.to_vec()]
    }
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("arcly-rtp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn gstreamer_is_read_and_reads_us_as_it_reads_itself() {
    let folder = folder();
    for (number, case) in cases().iter().enumerate() {
        let theirs = folder.join(format!("{number}-theirs"));
        let source = if case.rtpmap.ends_with("90000") && !case.rtpmap.starts_with("MPA") {
            VIDEO.to_owned()
        } else {
            sound(case)
        };
        let (encoder, payloader, to) = (case.source, case.payloader, theirs.display());
        gstreamer(&format!("{source} ! {encoder} ! {payloader} mtu=600 pt=96 ! rtpstreampay ! filesink location={to}"));
        let packets = split(&std::fs::read(&theirs).unwrap());
        let units = read(case, &packets);
        assert!(units.len() >= case.units, "{payloader}: {} access units of {} packets", units.len(), packets.len());
        assert!(units.iter().all(|unit| !unit.follows_loss), "{payloader}: nothing was lost");
        let config = units[0].config.as_deref().expect("the first one says what it is");
        if let Some(video) = config.video() {
            assert_eq!((video.width, video.height, units[0].is_key), (320, 240, true), "{payloader}");
            assert!(units.iter().filter(|unit| unit.is_key).count() >= 3, "{payloader}");
        }
        let ours = folder.join(format!("{number}-ours"));
        std::fs::write(&ours, write(case, config, &units)).unwrap();
        let (expected, found) = (depayload(case, &theirs), depayload(case, &ours));
        assert!(!expected.is_empty(), "{payloader}");
        assert_eq!(essence(case, &found), essence(case, &expected), "{payloader}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
