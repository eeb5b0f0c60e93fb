//! Vectors of a real encoder over the profiles, the standard's corner cases, every truncation, and seeded mutation.

use super::*;
use crate::sweep::unhex;

/// libx265 build 199 through ffmpeg 5.1: Main, 640×360 at 30000/1001.
const MAIN: &str = "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959809\
                    a10001002842010101600000030090000003000003003fa00502016965959a4932bc05a02000007d20000ea601a200010007\
                    4401c172b46240";

#[test]
fn a_record_says_what_the_encoder_was_told() {
    let config = HevcConfig::parse(unhex(MAIN).into()).unwrap();
    assert_eq!((config.info.width, config.info.height, config.info.frame_rate), (640, 360, Some((30_000, 1_001))));
    assert_eq!(config.rfc6381(), "hvc1.1.6.L63.90");
    let made = HevcConfig::from_parameter_sets(config.vps.clone(), config.sps.clone(), config.pps.clone()).unwrap();
    assert_eq!(made, config);
}
