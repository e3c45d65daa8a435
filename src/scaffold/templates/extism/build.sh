#!/bin/sh
# Builds plugin.wasm. It needs Rust's support for WebAssembly: rustup target add wasm32-wasip1
set -eu
cd -- "$(dirname -- "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --target wasm32-wasip1 --target-dir "$target"
# The crate's name as a file's: `-` becomes `_`.
crate=$(printf '%s' "plugin-@name@" | tr - _)
cp "$target/wasm32-wasip1/release/$crate.wasm" plugin.wasm.new
mv plugin.wasm.new plugin.wasm
printf 'built plugin.wasm\n' >&2
