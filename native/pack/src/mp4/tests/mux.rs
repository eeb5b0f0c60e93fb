use crate::{
    mp4::{Fmp4Muxer, Head},
    testing::{Clip, Scratch, run},
};

#[test]
fn ffmpeg_decodes_a_clip() {
    let scratch = Scratch::new("mp4-clip");
    let clip = Clip::make(&scratch, 4);
    let mut muxer = Fmp4Muxer::new(&clip.tracks).unwrap();
    let mut out = muxer.init_segment().to_vec();
    for frames in clip.frames.chunks(100) {
        muxer.write_fragment(frames, &Head::default(), &mut out).unwrap();
    }
    scratch.write("out.mp4", &out);
    let directory = scratch.path(".");
    run("ffmpeg", &["-v", "error", "-i", "out.mp4", "-f", "null", "-"], &directory);
}
