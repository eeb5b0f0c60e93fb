//! One binary for all targets: `ARCLY_FUZZ_TARGET` names the one that runs, everything else is libFuzzer's command line.
#![no_main]

use std::sync::OnceLock;

use arcly_fuzz::{
    sweep::guided,
    targets::{ALL, Target},
};
use libfuzzer_sys::fuzz_target;

fn target() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("ARCLY_FUZZ_TARGET").unwrap_or_default();
        let known: Vec<_> = ALL.iter().map(|target| target.name).collect();
        let found = ALL.iter().find(|target| target.name == name);
        found.unwrap_or_else(|| panic!("ARCLY_FUZZ_TARGET is {name:?}, not one of {}", known.join(" ")))
    })
}

fuzz_target!(|data: &[u8]| guided(target(), data));
