//! Several sounds, each in its language: written, and read by ffprobe and by ourselves.

use arcly_bus::Language;
use arcly_codec::MediaKind;

use super::{read, written};
use crate::{
    container::Container,
    testing::{Scratch, by_time, run, track_set},
};

/// What ffmpeg makes: two of one codec, so that the codec does not tell them apart.
const SOUNDS: [(&str, &str); 3] = [("aac", "deu"), ("ac3", "fra"), ("aac", "spa")];

#[test]
fn several_sounds_keep_their_languages_and_ffprobe_reads_them() {
    let scratch = Scratch::new("container-languages");
    encode(&scratch);
    let (tracks, frames) = read(Container::MpegTs, &std::fs::read(scratch.path("in.ts")).unwrap(), 4096);
    let tracks = track_set(&tracks);
    let sounds: Vec<_> = tracks.tracks.iter().filter(|track| track.kind() == MediaKind::Audio).collect();
    let language = |code| Some(Language::new(code).unwrap());
    assert_eq!(sounds.iter().map(|track| track.language).collect::<Vec<_>>(), SOUNDS.map(|(_, code)| language(code)));
    let frames = by_time(&tracks, &frames);
    // FLV says no languages.
    for (container, name) in [(Container::MpegTs, "out.ts"), (Container::Mp4, "out.mp4")] {
        let file = written(container, &tracks, &frames);
        scratch.write(name, &file);
        let entries = "stream=codec_name:stream_tags=language";
        let args = ["-v", "error", "-select_streams", "a", "-show_entries", entries, "-of", "csv=p=0", name];
        let text = String::from_utf8(run("ffprobe", &args, &scratch.path("."))).unwrap();
        // Behind AC-3 there is an empty column of side data.
        let told: Vec<_> = text.lines().filter_map(|line| line.trim_end_matches(',').split_once(',')).collect();
        assert_eq!(told, SOUNDS, "{container:?}: {text}");

        let (again, read) = read(container, &file, 4096);
        let facts = |track: &arcly_bus::Track| (track.id, track.config.codec(), track.language);
        let wanted: Vec<_> = tracks.tracks.iter().map(facts).collect();
        assert_eq!(again.iter().map(facts).collect::<Vec<_>>(), wanted, "{container:?}");
        for track in &tracks.tracks {
            let of = |frames: &[arcly_bus::Frame]| -> Vec<_> {
                frames.iter().filter(|frame| frame.track == track.id).map(|frame| frame.payload.clone()).collect()
            };
            assert!(of(&read) == of(&frames), "{container:?}, track {}: bit for bit", track.id.0);
        }
    }
}

fn encode(scratch: &Scratch) {
    let inputs = "-v error -f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=440:sample_rate=48000 \
                  -f lavfi -i sine=550:sample_rate=48000 -f lavfi -i sine=660:sample_rate=48000 -t 1 \
                  -map 0 -map 1 -map 2 -map 3 -c:v libx264 -preset ultrafast -bf 2";
    let mut args: Vec<String> = inputs.split_whitespace().map(str::to_owned).collect();
    for (index, (codec, language)) in SOUNDS.iter().enumerate() {
        args.extend([format!("-c:a:{index}"), (*codec).to_owned()]);
        args.extend([format!("-metadata:s:a:{index}"), format!("language={language}")]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).chain(["in.ts"]).collect();
    run("ffmpeg", &args, &scratch.path("."));
}
