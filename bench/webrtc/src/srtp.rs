//! What encryption costs at the least: the cipher alone, over payloads of the usual length.

use std::time::Duration;

use arcly_bench_report::cpu_ns_of;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const PAYLOAD_BYTES: usize = 1_200;
const HEADER_BYTES: usize = 20;

/// CPU seconds of a gigabit.
pub fn floor(window: Duration) -> f64 {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("sixteen bytes are a key"));
    let (mut payload, mut packets, mut cpu_ns) = (vec![0; PAYLOAD_BYTES], 0_u64, 0.0);
    while cpu_ns < window.as_nanos() as f64 / 10.0 {
        cpu_ns += cpu_ns_of(|| {
            for _ in 0..1_000 {
                let nonce = Nonce::assume_unique_for_key([3; 12]);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from([1; HEADER_BYTES]), &mut payload);
                let _ = std::hint::black_box(tag.expect("a short text"));
            }
        });
        packets += 1_000;
    }
    cpu_ns / (8 * PAYLOAD_BYTES as u64 * packets) as f64
}
