#!/bin/sh
# Builds the plugin's program, bin/@name@, for this machine.
set -eu
cd -- "$(dirname -- "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --target-dir "$target"
mkdir -p bin
# Into place in one step: the program may be running.
cp "$target/release/plugin-@name@" bin/.new
mv bin/.new "bin/@name@"
printf 'built bin/%s\n' "@name@" >&2
