//! Builds the Cython half with the Python that the Rust half is built for, into `OUT_DIR`, where maturin picks it up.

#![expect(clippy::expect_used, reason = "a build that cannot go on should stop, and no peer comes here")]

use std::{env, fs, path::Path, process::Command};

fn main() {
    // Asked when it runs, not when it is compiled: cargo uses this program again for the same crate in another folder.
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&manifest_dir).parent().expect("the crate has a parent");
    for input in ["setup.py", "src/capi.pyx", "arcly/capi.pxd", "arcly/include/arcly.h"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=PYO3_PYTHON");
    // A plain `cargo check` or `cargo clippy` has no Python with Cython, and needs none.
    let Some(python) = env::var_os("PYO3_PYTHON") else { return };
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).to_path_buf();
    // A module left by another Python would be packed too.
    let _ = fs::remove_dir_all(out.join("arcly"));
    let status = Command::new(python)
        .current_dir(root)
        .args(["setup.py", "--quiet", "build_ext", "--build-lib"])
        .arg(&out)
        .arg("--build-temp")
        .arg(out.join("cython"))
        .status()
        .expect("Python can be run");
    assert!(status.success(), "setup.py build_ext failed: is Cython installed?");
}
