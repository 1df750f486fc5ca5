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

#[test]
fn one_backend_takes_few_crates_and_no_c_compiler() {
    for features in ["tokio", "smol", "tokio,smol"] {
        let crates = crates(features);
        assert!(crates.contains("turbopump-core"), "{crates:?}");
        assert!(crates.len() < 60, "{features}: {}: {crates:?}", crates.len());
        for builder in ["cc", "cmake", "bindgen", "pkg-config"] {
            assert!(!crates.contains(builder), "{features} needs {builder}");
        }
        println!("{features}: {} crates", crates.len());
    }
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
