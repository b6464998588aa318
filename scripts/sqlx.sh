#!/usr/bin/env bash
# Our SQL is checked while it compiles, normally against what PostgreSQL said of each query earlier, kept in .sqlx/.
# This asks PostgreSQL again, and replaces .sqlx/ or, with --check, fails if it differs:
#
#   scripts/with-services.sh scripts/sqlx.sh [--check]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
shopt -s nullglob

mode=${1:-write}
[ "$mode" = write ] || [ "$mode" = --check ] || die "usage: scripts/sqlx.sh [--check]"
[ -n "${DATABASE_URL:-}" ] || die "run it as: scripts/with-services.sh scripts/sqlx.sh $*"

# A database per service, as in production. Every one has the kit's tables too.
export PGOPTIONS="-c client_min_messages=warning"
for migrations in services/*/migrations; do
  service=$(basename "$(dirname "$migrations")")
  [ "$service" != kit ] || continue
  url=${DATABASE_URL%/*}/$service
  files=(services/kit/migrations/*.sql "$migrations"/*.sql)

  psql "$DATABASE_URL" --no-psqlrc --quiet --command="create database \"$service\""
  psql "$url" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "${files[@]/#/--file=}" </dev/null
  variable=${service^^}_DATABASE_URL
  export "${variable//-/_}=$url"
done

work=$(mktemp -d)
mkdir "$work/sqlx"
sources=(services/*/src/lib.rs)

# The queries are asked when a crate compiles, so its source is made to look new. Afterwards each file that nobody
# edited meanwhile gets its date back, or the next `cargo test` would compile everything again.
restore_dates() {
  local source
  for source in "${sources[@]}"; do
    [ "$source" -nt "$work/touched" ] || touch -r "$work/dates/$source" "$source"
  done
  rm -rf "$work"
}
for source in "${sources[@]}"; do
  mkdir -p "$work/dates/$(dirname "$source")"
  touch -r "$source" "$work/dates/$source"
done
touch "${sources[@]}"
touch "$work/touched"
trap restore_dates EXIT

SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$work/sqlx cargo check --workspace --all-targets

if [ "$mode" = --check ]; then
  diff -rN -U 30 .sqlx "$work/sqlx" || die "the queries in the code and .sqlx/ differ: run \`make sqlx\` and commit .sqlx/"
else
  rm -rf .sqlx
  cp -r "$work/sqlx" .sqlx
fi
