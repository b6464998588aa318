#!/usr/bin/env bash
# Installs what is missing on a Debian or Ubuntu machine; says nothing when nothing is.
#
#   scripts/setup.sh run     to build and run the platform: C compiler, Rust, PostgreSQL with PostGIS, Redis
#   scripts/setup.sh build   the same
#   scripts/setup.sh test    also what `make check` and `make test` use: buf, Python, Node, Chromium
#
# `make run` calls this every time, so every step first looks for a file before it starts any program.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

buf_version=1.75.0

main() {
  case "${1:-test}" in
    run | build) platform ;;
    test) platform && test_tools ;;
    *) die "usage: scripts/setup.sh run|build|test" ;;
  esac
}

platform() {
  [ -e /etc/ssl/certs/ca-certificates.crt ] || install "certificates" ca-certificates
  have gcc && have g++ && have pkg-config || install "a C compiler" gcc g++ libc6-dev make pkg-config
  postgres
  have redis-server || redis
  rust
}

test_tools() {
  python_tools
  node_tools
  browser
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "run this as root or install sudo; it needs: $*"
  fi
}

package_lists=old
update_package_lists() {
  [ "$package_lists" = old ] || return 0
  have apt-get || die "only Debian and Ubuntu are set up by this script. Install a C compiler, PostgreSQL 15+ with \
PostGIS, Redis, rustup, Python 3.10+ and Node 18+ by hand"
  say "fetching the package lists …"
  quietly as_root apt-get update
  package_lists=new
}

# install WHAT PACKAGE…  RUNLEVEL=1 keeps a package from starting its daemon; ours are started by those who need them.
install() {
  local what=$1
  shift
  update_package_lists
  say "installing $what …"
  quietly as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-remove --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

postgres() {
  local major
  if ! major=$(pg_major); then
    update_package_lists
    major=$(apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p')
    [ "${major:-0}" -ge 15 ] || die "this distribution has PostgreSQL ${major:-none}, Plaza needs 15: use Debian 12, Ubuntu 24.04 or newer"

    # Otherwise the package would create and start a cluster of its own.
    local no_cluster=/etc/postgresql-common/createcluster.d/plaza-setup.conf
    as_root mkdir -p "$(dirname "$no_cluster")"
    echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
    install "PostgreSQL $major" "postgresql-$major"
    as_root rm "$no_cluster"
  fi
  [ -e "/usr/share/postgresql/$major/extension/postgis.control" ] ||
    install "PostGIS for PostgreSQL $major" "postgresql-$major-postgis-3"
}

redis() {
  install "Redis" redis-server
  # systemd does not look at RUNLEVEL.
  if [ -d /run/systemd/system ]; then as_root systemctl disable --quiet --now redis-server; fi
}

rust() {
  local channel toolchain
  channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  for toolchain in "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/$channel"-*; do
    [ -x "$toolchain/bin/cargo-clippy" ] && [ -x "$toolchain/bin/rustfmt" ] && have cargo && return
  done

  have rustup || rustup_installer
  say "installing Rust $channel …"
  rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy
}

rustup_installer() {
  if have apt-get && update_package_lists && [ -n "$(apt-cache search --names-only '^rustup$')" ]; then
    install "rustup" rustup
  else
    local installer
    installer=$(mktemp)
    have curl || install "curl" curl
    say "installing rustup …"
    quietly curl --proto '=https' --tlsv1.2 -sSf -o "$installer" https://sh.rustup.rs
    quietly sh "$installer" -y --profile minimal --default-toolchain none
    rm "$installer"
    say "open a new shell to have cargo in your PATH; make finds it already"
  fi
}

# The copies of the requirements and of the lock file say what was installed.
python_tools() {
  local venv=.plaza/venv wanted=scripts/requirements-test.txt
  [ -x $venv/bin/python ] && cmp -s $wanted $venv/installed.txt && return
  have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || install "Python" python3 python3-venv
  say "installing the Python test tools …"
  quietly python3 -m venv --clear $venv
  quietly $venv/bin/pip install --disable-pip-version-check --requirement $wanted
  cp $wanted $venv/installed.txt
}

node_tools() {
  local tools=.plaza/tools client=tests/wire/node
  if ! [ -x "$tools/buf-$buf_version" ]; then
    node_itself
    say "installing buf $buf_version …"
    quietly npm install --prefix $tools --no-save --no-package-lock --no-audit --no-fund "@bufbuild/buf@$buf_version"
    # The package has the program for this machine beside a wrapper that takes 50 ms to find it.
    (cd $tools && ln -sf node_modules/@bufbuild/buf-linux-*/bin/buf "buf-$buf_version" && ln -sf "buf-$buf_version" buf)
  fi
  if ! cmp -s $client/package-lock.json $client/node_modules/installed.json; then
    node_itself
    say "installing the Node test client …"
    quietly npm ci --prefix $client --no-audit --no-fund
    cp $client/package-lock.json $client/node_modules/installed.json
  fi
}

browser() {
  local package=chromium
  chromium >/dev/null && return
  update_package_lists
  # Ubuntu has it only as a snap, under another name.
  [ -n "$(apt-cache search --names-only '^chromium$')" ] || package=chromium-browser
  install "Chromium" "$package"
}

node_itself() {
  have node && have npm || install "Node" nodejs npm
}

main "$@"
