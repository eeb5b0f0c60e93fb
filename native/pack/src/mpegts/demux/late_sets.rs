//! Picture parameter sets that first come with a picture at which decoding cannot begin.

use std::{sync::Arc, time::Duration};

use arcly_bus::{Frame, TrackSet};
use arcly_codec::CodecConfig;

use super::tests::{Read, frames, mux, tracks};
use crate::{
    cmaf::{CmafConfig, CmafPackager},
    testing::{VIDEO, track_set},
};

/// Of the id 1.
const SECOND: [u8; 4] = [0x68, 0x4b, 0x0f, 0xc8];

/// 4 s with a key picture every ten; the third picture of each group brings [`SECOND`].
fn brought() -> Vec<Frame> {
    let mut all = frames(100, 0, 150);
    all.retain(|frame| frame.track == VIDEO);
    for (index, frame) in all.iter_mut().enumerate() {
        if index % 10 == 2 {
            frame.payload = [&4_u32.to_be_bytes()[..], &SECOND, &frame.payload].concat().into();
        }
    }
    all
}

fn pictures() -> Arc<TrackSet> {
    track_set(&tracks().tracks[..1])
}

fn has_second(bytes: &[u8]) -> bool {
    bytes.windows(SECOND.len()).any(|window| window == SECOND)
}

/// It was taken out of the picture, and viewers had it with the next key picture.
#[test]
fn a_set_that_comes_within_a_gop_is_in_front_of_the_picture_that_brought_it() {
    let read = Read::all(&mux(&pictures(), &brought()));
    let [announced] = &read.tracks[..] else { panic!("one configuration: {:?}", read.tracks) };
    let CodecConfig::H264(config) = &announced[0].config else { panic!("{announced:?}") };
    assert_eq!(config.pps.len(), 1);
    let carry = |frames: &[&Frame]| frames.iter().map(|frame| has_second(&frame.payload)).collect::<Vec<_>>();
    let pictures = read.of(VIDEO);
    assert_eq!(carry(&pictures[..12]), (0..12).map(|index| [2, 10].contains(&index)).collect::<Vec<_>>());
    // And so it goes on to whoever reads what is made of them.
    let again = Read::all(&mux(&track_set(announced), &read.frames));
    assert_eq!(carry(&again.of(VIDEO)), carry(&pictures));
}

/// It was another configuration: a break, and no picture up to the next key picture.
#[test]
fn a_set_that_comes_within_a_gop_costs_no_picture_and_is_no_break() {
    let read = Read::all(&mux(&pictures(), &brought()));
    let mut packager = CmafPackager::new(CmafConfig::default(), "s");
    let mut announced = read.tracks.iter();
    let mut tracks = track_set(announced.next().unwrap());
    for frame in &read.frames {
        if frame.payload == read.of(VIDEO)[2].payload
            && let Some(changed) = announced.next()
        {
            tracks = track_set(changed);
        }
        packager.push(&tracks, frame, Duration::from_secs(1_767_225_600)).unwrap();
    }
    packager.finish();
    let view = packager.view().unwrap();
    let pictures = view.track("v0").unwrap().listed().iter().map(|segment| segment.frames).sum::<u64>();
    assert_eq!((view.epochs.len(), pictures), (1, 100));
}
