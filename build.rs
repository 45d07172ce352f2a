//! How the program is linked: with packed relocations where the C library reads them. The table of a position-independent program is
//! read whole when it starts, 0.8 MB that rest in memory from then on; packed it has 10 kB.

use std::process::Command;

/// Where the GNU C library reads packed relocations (DT_RELR).
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let is_known = is("CARGO_CFG_TARGET_ARCH", "x86_64") || is("CARGO_CFG_TARGET_ARCH", "aarch64");
    let (host, target) = (std::env::var("HOST").ok(), std::env::var("TARGET").ok());
    if is_gnu && is_known && host == target && c_library().is_some_and(|version| version >= SINCE) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's C library. A program that is linked so starts with glibc 2.36 or a newer one only: whoever builds for an
/// older system builds on it, or in its container.
fn c_library() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
