//! Tells the linker what memory the board has.

use std::env;
use std::fs;
use std::path::PathBuf;

/// QEMU's lm3s6965evb, a Cortex-M3.
const LM3S6965: &str = "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 256K
         RAM : ORIGIN = 0x20000000, LENGTH = 64K }";
/// QEMU's microbit, a Cortex-M0.
const NRF51822: &str = "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 256K
         RAM : ORIGIN = 0x20000000, LENGTH = 16K }";

fn main() {
    let target = env::var("TARGET").expect("cargo names the target");
    let memory = match target.as_str() {
        "thumbv7m-none-eabi" => LM3S6965,
        "thumbv6m-none-eabi" => NRF51822,
        other => panic!("no board for {other}; build for thumbv7m-none-eabi or thumbv6m-none-eabi"),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder"));
    fs::write(out.join("memory.x"), memory).expect("cargo's folder can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed=build.rs");
}
