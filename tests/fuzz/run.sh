#!/usr/bin/env bash
# Runs each fuzz target for SECONDS and fails on a finding. The input that showed it is kept in
# tests/fuzz/artifacts; run it alone with
#   FUZZ_TARGET=<target> cargo +nightly fuzz run --fuzz-dir tests/fuzz all <file>
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: $0 SECONDS" >&2
    exit 2
fi
seconds=$1
cd "$(dirname "$0")/../.."
fuzz=tests/fuzz

. .ci/common
nightly_need
cargo_need cargo-fuzz

cargo "+$NIGHTLY" fuzz build --fuzz-dir "$fuzz" all
for seeds in "$fuzz"/seeds/*/; do
    target=$(basename "$seeds")
    # What is found on the way is kept for the next run, but not in the repository.
    corpus=$fuzz/corpus/$target
    artifacts=$fuzz/artifacts/$target/
    mkdir -p "$corpus" "$artifacts"
    echo "fuzzing $target for $seconds s"
    FUZZ_TARGET=$target cargo "+$NIGHTLY" fuzz run --fuzz-dir "$fuzz" all "$corpus" "$seeds" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -artifact_prefix="$artifacts" \
        -print_final_stats=1
done
