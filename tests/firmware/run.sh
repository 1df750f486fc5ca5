#!/usr/bin/env bash
# Builds the firmware for two boards, runs it under QEMU and prints what it takes of flash and RAM.
# `run.sh parts` prints instead how much flash each part of the core adds to a program without it.
set -euo pipefail
cd "$(dirname "$0")"
. ../../.ci/common
CARGO_TARGET_DIR=$CARGO_TARGET_DIR/firmware
apt_need qemu-system-arm qemu-system-arm
apt_need readelf binutils

# build TARGET [ARGUMENT...]: sets `program`.
build() {
    local target=$1
    shift
    [ "$target" = thumbv6m-none-eabi ] && set -- "$@" --features portable-atomic
    bare_cargo "$target" build --quiet --release --locked "$@"
    program=$CARGO_TARGET_DIR/$target/release/turbopump-firmware
}

# sizes PROGRAM: bytes of flash and of RAM, by what its sections are called.
sizes() {
    readelf -SW "$1" | sed 's/^ *\[ *[0-9]*\]//' | {
        local flash=0 ram=0 name kind address offset size rest
        while read -r name kind address offset size rest; do
            case $name in
                .vector_table | .text | .rodata) flash=$((flash + 16#$size)) ;;
                # Variables with a value: copied from flash to RAM at start.
                .data) flash=$((flash + 16#$size)) ram=$((ram + 16#$size)) ;;
                .bss | .uninit) ram=$((ram + 16#$size)) ;;
            esac
        done
        echo "$flash $ram"
    }
}

# emulate BOARD [ARGUMENT]: runs `program`; 10 s are a hundred times what it takes.
emulate() {
    timeout 10 qemu-system-arm -machine "$1" -nographic -monitor none -serial none \
        -semihosting-config "enable=on,target=native,arg=firmware${2:+,arg=$2}" \
        -kernel "$program" 2> >(grep -v '^Timer with period zero, disabling$' >&2)
}

# check_board BOARD TARGET [ARGUMENT...]: arguments for cargo, where not all parts fit at once.
check_board() {
    local board=$1 target=$2 flash ram way output status
    shift 2
    build "$target" "$@"
    read -r flash ram < <(sizes "$program")
    [ "$flash" -gt 0 ] || { say "no sections found in $program"; exit 1; }
    echo "$target on $board: flash $flash bytes, static RAM $ram bytes"
    emulate "$board" || { say "the firmware has failed on $board"; exit 1; }
    # What fails on purpose must fail, and not by hanging.
    for way in fail-check fail-panic fail-fault; do
        status=0
        output=$(emulate "$board" "$way") || status=$?
        if [ "$status" != 1 ]; then
            say "$way on $board ended with status $status instead of 1:" "$output"
            exit 1
        fi
    done
    echo "$board: fails where it should"
}

# The names of all parts.
parts() {
    sed -n '/^default = /,/^]/p' Cargo.toml | grep -o '"[a-z_]*"' | tr -d '"'
}

# Flash that each part adds to a program without any of them.
list_parts() {
    local target=thumbv7m-none-eabi base flash part ram
    build "$target" --no-default-features
    read -r base ram < <(sizes "$program")
    echo "$target, flash bytes above a program without parts ($base, mostly formatting of text):"
    for part in $(parts); do
        build "$target" --no-default-features --features "$part"
        read -r flash ram < <(sizes "$program")
        printf '%-14s %7d\n' "$part" $((flash - base))
    done
    build "$target"
    read -r flash ram < <(sizes "$program")
    printf '%-14s %7d\n' all $((flash - base))
}

case ${1:-} in
    '')
        check_board lm3s6965evb thumbv7m-none-eabi
        # It has 256 KiB of flash, too little for all parts at once, and 16 KiB of RAM, too little
        # for the engine's part with a pool: that is only linked.
        check_board microbit thumbv6m-none-eabi --no-default-features \
            --features "$(parts | grep -v '^engine$' | paste -sd,)"
        build thumbv6m-none-eabi --no-default-features --features engine
        read -r flash ram < <(sizes "$program")
        echo "thumbv6m-none-eabi, the engine alone: flash $flash bytes, static RAM $ram bytes"
        ;;
    parts) list_parts ;;
    *) say "usage: $0 [parts]"; exit 2 ;;
esac
