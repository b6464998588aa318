# What the scripts in this folder share. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The Rust installer changes PATH only for shells that start later.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf '» %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null; }

# quietly COMMAND…: shows the output only if the command fails.
quietly() {
  local output
  output=$("$@" 2>&1 </dev/null) || {
    printf '%s\n' "$output" >&2
    die "this failed: $*"
  }
}

# timed NAME COMMAND…: says how long it took and keeps its status.
timed() {
  local name=$1 status=0 start=$SECONDS
  shift
  "$@" || status=$?
  say "$name took $((SECONDS - start)) s"
  return "$status"
}

# The name of this machine's Chromium, or of what is built from it.
chromium() {
  local name
  for name in chromium google-chrome-stable google-chrome chromium-browser; do
    # Not `have`, which would find this function.
    if type -P "$name" >/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}

# The newest PostgreSQL that is installed and new enough. Debian keeps its servers out of PATH.
pg_major() {
  local initdb version newest=14
  for initdb in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$initdb" ] || continue
    version=${initdb#/usr/lib/postgresql/}
    version=${version%%/*}
    if [ "$version" -gt "$newest" ]; then newest=$version; fi
  done
  [ "$newest" -gt 14 ] && echo "$newest"
}
