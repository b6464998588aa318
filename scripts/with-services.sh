#!/usr/bin/env bash
# Runs a command with a PostgreSQL and a Redis of its own, both empty, fast and gone afterwards:
#
#   scripts/with-services.sh cargo test --workspace
#
# The command finds them in DATABASE_URL and REDIS_URL, and PostgreSQL's programs in PATH. Any number may run at once.
# POSTGRES_BUFFERS says how much memory PostgreSQL has for pages, 128MB unless given.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || die "usage: scripts/with-services.sh COMMAND…"
major=$(pg_major) && have redis-server || die "PostgreSQL 15+ or Redis is missing: run \`make setup\`"
export PATH="/usr/lib/postgresql/$major/bin:$PATH"

# Not TMPDIR: the path of a socket may have 107 characters, and the user below must be able to enter.
dir=$(mktemp -d /tmp/plaza-services.XXXXXX)
postgres_pid= redis_pid=

# PostgreSQL refuses to run as root.
become=()
if [ "$(id -u)" = 0 ]; then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  become=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups)
  chown "$user" "$dir"
fi

# Replaces the (sub)shell it is called in, so that a daemon's pid is the one we know.
exec_unprivileged() {
  cd "$dir"
  exec "${become[@]}" "$@"
}

stop() {
  # PostgreSQL's word for "at once, I don't need the data any more" is SIGQUIT.
  if [ -n "$postgres_pid" ]; then kill -QUIT "$postgres_pid" 2>/dev/null || true; fi
  if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null || true; fi
  wait $postgres_pid $redis_pid 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

init_postgres() {
  (exec_unprivileged initdb --no-sync --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
    --pgdata="$dir/data") >"$dir/initdb.log" 2>&1 || die "initdb failed: $(cat "$dir/initdb.log")"
  cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
max_connections = 300
shared_buffers = ${POSTGRES_BUFFERS:-128MB}
fsync = off
synchronous_commit = off
full_page_writes = off
CONF
}

# Each start function fails when the port is taken, and returns once clients are served. It asks by a socket of its own,
# because on the port somebody else may answer. setsid: a Ctrl-C is for the command, not for its servers.
start_postgres() {
  exec_unprivileged setsid postgres -D "$dir/data" -p "$1" >"$dir/postgres.log" 2>&1 &
  postgres_pid=$!
  until pg_isready --quiet --host="$dir" --port="$1"; do still_starting "$postgres_pid" || return; done
}

start_redis() {
  exec_unprivileged setsid redis-server --bind 127.0.0.1 --port "$1" --unixsocket "$dir/redis.sock" \
    --save '' --appendonly no --dir "$dir" >"$dir/redis.log" 2>&1 &
  redis_pid=$!
  until redis-cli -s "$dir/redis.sock" ping >/dev/null 2>&1; do still_starting "$redis_pid" || return; done
}

still_starting() { sleep 0.02 && kill -0 "$1" 2>/dev/null; }

# Sets `port`. Below 32768, where the kernel takes ports for outgoing connections.
on_a_free_port() {
  local start=$1 log=$2 try
  for try in {1..10}; do
    port=$((20000 + RANDOM % 12000))
    if "$start" "$port"; then return; fi
  done
  die "no start in $try tries: $(tail -n 20 "$log")"
}

init_postgres
on_a_free_port start_postgres "$dir/postgres.log"
export DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres"
on_a_free_port start_redis "$dir/redis.log"
export REDIS_URL="redis://127.0.0.1:$port/0"

# In the background, because bash handles a signal only between foreground commands. Ctrl-C reaches the command by
# itself (bash makes background commands ignore it, hence the inner trap); SIGTERM is passed on.
(trap - INT QUIT && exec "$@") <&0 &
command=$!
trap : INT
trap 'kill "$command" 2>/dev/null || true' TERM
while true; do
  status=0
  wait "$command" || status=$?
  kill -0 "$command" 2>/dev/null || exit "$status"
done
