#!/usr/bin/env bash
# Measures what the mesh costs and writes bench/RESULTS.md; --quick only shows that it all runs. Takes some five minutes
# after the build and wants the machine for itself.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

have cargo || die "cargo is missing: run \`make setup\`"
# The whole workspace at once, as everywhere: another choice of packages would compile most crates a second time.
timed "the release build" cargo build --release --workspace --bins
exec scripts/with-services.sh target/release/bench run "$@"
