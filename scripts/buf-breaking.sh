#!/usr/bin/env bash
# Fails when the contracts break clients of the newest release (tag v…).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

tag=$(git for-each-ref --count=1 --sort=-version:refname --format='%(refname:short)' 'refs/tags/v*')
if [ -z "$tag" ]; then
  say "no release yet, so no contract can be broken"
  exit
fi

# A plain folder, because buf's own way of reading a tag fails in a git worktree.
released=$(mktemp -d)
trap 'rm -rf "$released"' EXIT
git archive "$tag" buf.yaml proto | tar -x -C "$released"
say "comparing the contracts with $tag"
.plaza/tools/buf breaking --against "$released"
