#!/usr/bin/env bash
# Measures what the mesh costs and writes bench/RESULTS.md, then fills a large community and measures its lists into
# bench/LISTS.md, and chat into bench/CHAT.md. Takes half an hour after the build and wants the machine for itself.
# Parts of it:
#
#   scripts/bench.sh run --quick      shows that the first part runs
#   scripts/bench.sh lists --scale 0.1
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

have cargo || die "cargo is missing: run \`make setup\`"
# The whole workspace at once, as everywhere: another choice of packages would compile most crates a second time.
timed "the build" cargo build --profile dist --workspace --bin plaza --bin bench
# A large data set on PostgreSQL's defaults would measure how pages are read again and again.
export POSTGRES_BUFFERS=2GB
if [ $# -gt 0 ]; then exec scripts/with-services.sh target/dist/bench "$@"; fi
scripts/with-services.sh target/dist/bench run
scripts/with-services.sh target/dist/bench lists
scripts/with-services.sh target/dist/bench chat
