//! Sealed packets of a peer, of RTP and of RTCP: forged ones, and such as were sealed with the right key around what the input says.

use arcly_wire::srtp::{Key, Opener, Sealer, Suite};

use super::Target;
use crate::mutate::Input;

pub const TARGET: Target = Target { name: "srtp", vectors, edit: None, buffered_bytes_max: 1 << 20, run };

/// A suite, then whether it is RTCP and sealed by the input itself, then the packet.
fn vectors() -> Vec<Vec<u8>> {
    let rtp = [&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5][..], b"payload"].concat();
    let extended =
        [&[0x91, 96, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 1, 1, 1, 1, 0xbe, 0xde, 0, 1, 0x10, 7, 0, 0][..], b"x"]
            .concat();
    let rtcp = [&[0x80, 201, 0, 1, 0, 0, 0, 7][..], &[0x81, 202, 0, 2, 0, 0, 0, 7, 1, 1, 97, 0]].concat();
    let mut vectors = Vec::new();
    for suite in 0..Suite::ALL.len() as u8 {
        for (kind, packet) in [(0, &rtp), (0, &extended), (1, &rtcp), (2, &rtp), (3, &rtcp)] {
            vectors.push([&[suite, kind][..], packet].concat());
        }
    }
    vectors
}

fn run(input: &Input) -> usize {
    let whole: Vec<u8> = input.pieces().flatten().copied().collect();
    let [suite, kind, packet @ ..] = whole.as_slice() else { return 0 };
    let suite = Suite::ALL.get(usize::from(*suite) % Suite::ALL.len()).copied().unwrap_or_default();
    let both: Vec<u8> = (0..46).take(suite.key_bytes() + suite.salt_bytes()).collect();
    let Ok(key) = Key::new(suite, &both) else { return 0 };
    let key = key.with_mki(vec![1; usize::from(kind >> 2) % 5]);
    let (Ok(mut sealer), Ok(mut opener)) = (Sealer::new(&key), Opener::new(&key)) else { return 0 };
    let (is_rtcp, is_sealed) = (kind & 1 == 1, kind & 2 == 0);
    let mut open = |bytes: &[u8]| if is_rtcp { opener.rtcp(bytes) } else { opener.rtp(bytes) };
    if !is_sealed {
        assert!(open(packet).is_err(), "nobody guesses a tag");
        return 0;
    }
    let mut sealed = packet.to_vec();
    let outcome = if is_rtcp { sealer.rtcp(&mut sealed, 0) } else { sealer.rtp(&mut sealed, 0) };
    if outcome.is_ok() {
        assert_eq!(open(&sealed).as_deref(), Ok(packet), "what was sealed is opened");
        assert!(open(&sealed).is_err(), "once");
    }
    sealed.len()
}
