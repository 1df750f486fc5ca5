//! What a user of one backend has to compile.

use alloc::collections::BTreeSet;
use std::process::Command;

/// The names of all crates that are compiled for `turbopump` with some features.
fn crates(features: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = "tree --offline --locked -p turbopump --no-default-features -e normal,build";
    let tree = Command::new(cargo)
        .args(arguments.split(' '))
        .args(["--prefix", "none", "--format", "{p}", "--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// What builds C, or looks for a library in C, when it is a dependency of a build script.
const BUILDERS_OF_C: [&str; 8] =
    ["autotools", "bindgen", "cc", "clang-sys", "cmake", "gcc", "pkg-config", "vcpkg"];

/// Of these crates, those that need a C compiler. `linux-raw-sys` is nothing but numbers.
fn needs_c(crates: &BTreeSet<String>) -> Vec<&String> {
    let is_c = |name: &&String| {
        BUILDERS_OF_C.contains(&name.as_str())
            || (name.ends_with("-sys") && *name != "linux-raw-sys")
    };
    crates.iter().filter(is_c).collect()
}

#[test]
fn a_client_takes_few_crates_and_no_c_compiler() {
    for features in [
        "tokio",
        "smol",
        "tokio,smol",
        "tokio,acl,config",
        "smol,config",
        "smol,tracing",
        "tokio,tracing",
        "tokio,acl,config,lz4,tls,zstd",
    ] {
        let crates = crates(features);
        // Backends and the client in them.
        for expected in ["turbopump-core", "turbopump-std"] {
            assert!(crates.contains(expected), "{crates:?}");
        }
        assert!(crates.len() < 60, "{features}: {}: {crates:?}", crates.len());
        let c = needs_c(&crates);
        assert!(c.is_empty(), "{features} needs a C compiler for {c:?}");
        println!("{features}: {} crates", crates.len());
    }
}

#[test]
fn what_needs_a_c_compiler_is_found() {
    let ring = crates("tokio,tls-ring");
    assert!(needs_c(&ring).iter().any(|name| *name == "cc"), "{ring:?}");
}

#[test]
fn backends_bring_no_other_runtime() {
    let smol = crates("smol");
    assert!(smol.contains("smol"));
    assert!(!smol.iter().any(|name| name.starts_with("tokio")), "{smol:?}");
    let tokio = crates("tokio");
    assert!(tokio.contains("tokio"));
    assert!(!tokio.iter().any(|name| name.contains("smol") || name.starts_with("async-")));
    let none = crates("");
    assert!(!none.contains("smol") && !none.contains("tokio"), "nobody's runtime is guessed");
}
