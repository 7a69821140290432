#!/bin/sh
# Builds the Debian package, into the target directory's debian/. Needs cargo-deb (cargo install cargo-deb --locked).
# The package's own manual page and completions are made by the program that is in it.
set -eu
cd "$(dirname "$0")/.."

cargo build --release --locked -p lampwire
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
made=$target/release/packaging
mkdir -p "$made"
program=$target/release/lampwire
"$program" man | gzip -9n > "$made/lampwire.1.gz"
for shell in bash zsh fish; do
    "$program" completions "$shell" > "$made/lampwire.$shell"
done
cargo deb -p lampwire --no-build --locked --strip
