//! Has the linker keep one copy of functions whose code is the same, where it can: the binary becomes a twentieth smaller, since generic
//! code is made once for each type, and for many types it is the same.
//!
//! Nothing here compares functions by their address, and Rust promises nothing about it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The same to lld, which rustc uses on x86-64 Linux, to mold and to gold.
const FOLD: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_optimized = env::var("OPT_LEVEL").is_ok_and(|level| level != "0");
    if is_optimized && linker_folds() {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
}

/// Whether the linker knows how. Which one it is, nobody says; so a program of one line is linked.
fn linker_folds() -> bool {
    let Some(folder) = env::var_os("OUT_DIR").map(PathBuf::from) else { return false };
    let source = folder.join("linked.rs");
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg(&source).arg("-o").arg(folder.join("linked")).arg("-C").arg(format!("link-arg={FOLD}"));
    if let Ok(target) = env::var("TARGET") {
        rustc.args(["--target", &target]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    }
    rustc.output().is_ok_and(|output| output.status.success())
}
