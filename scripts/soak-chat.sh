#!/usr/bin/env bash
# Writes a million chat messages while processes are killed, and writes what became of them to bench/SOAK.md:
#
#   scripts/soak-chat.sh [--messages 10000] [--seed 7] …
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

have cargo || die "cargo is missing: run \`make setup\`"
timed "the release build" cargo build --release --workspace --bins
exec scripts/with-services.sh target/release/bench soak "$@"
