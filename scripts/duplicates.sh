#!/usr/bin/env bash
# Fails when a crate that must exist once exists twice, or a second TLS stack crept in. Two versions of tonic or axum
# compile, and then their types don't fit; see also deny.toml, which says the same to the public CI.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

once=" tonic prost axum http hyper tower rustls reqwest opentelemetry "
never=" ring openssl-sys native-tls "

crates=$(cargo tree --workspace --locked --edges normal,build,dev --prefix none --format '{p}')
sort -u <<<"$crates" | awk -v once="$once" -v never="$never" '
  $1 != "" && !seen[$1 " " $2]++ {
    if (index(once, " " $1 " ") && versions[$1]++) bad = bad "\n  two versions of " $1 " (cargo tree -d)"
    if (index(never, " " $1 " ")) bad = bad "\n  " $1 " " $2 " (cargo tree -i " $1 ")"
  }
  END { if (bad) { print "error: unwanted dependencies:" bad; exit 1 } }' >&2
