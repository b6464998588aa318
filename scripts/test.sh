#!/usr/bin/env bash
# Every test: Rust's, on a PostgreSQL and Redis of their own, then the clients in other languages. With arguments, only
# `cargo test` with these (`make test ARGS=a_second_release`). The last line sums up all of them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

rust() { scripts/with-services.sh cargo test --workspace --no-fail-fast "$@" 2>&1 | tee -a "$log"; }
# Most of these binaries the tests have built anyway.
soak() {
  cargo build --workspace --bins
  if scripts/with-services.sh target/debug/bench soak --messages 1000 --pairs 6 --group 4 \
    --think-ms 400 --every-ms 800 --no-results; then
    echo "soak: 1 passed, 0 failed" | tee -a "$log"
  else
    echo "soak: 0 passed, 1 failed" | tee -a "$log"
    return 1
  fi
}
wire() { tests/wire/run 2>&1 | tee -a "$log"; }

timed "cargo test" rust "$@" || status=$?
if [ $# = 0 ]; then
  timed "chat under fire" soak || status=$?
fi
if [ $# = 0 ] && [ -x tests/wire/run ]; then
  timed "tests/wire" wire || status=$?
fi

sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p
         s/^([a-z]+: )?([0-9]+) passed, ([0-9]+) failed.*/\2 \3/p' "$log" |
  awk '{ passed += $1; failed += $2 } END { printf "tests: %d passed, %d failed\n", passed, failed }'
exit "$status"
