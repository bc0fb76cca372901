# shellcheck shell=bash
# Where things lie: the checkout, the cache, and what a run of the scripts makes.
# Sourced first by every script; everything else is named from here.

set -euo pipefail

HATCHERY_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Downloads and unpacked tools, keyed by version; safe to delete at any time.
HATCHERY_CACHE=${HATCHERY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/hatchery}
# The full output of each step, kept for the user to read after a failure.
HATCHERY_STEP_LOGS=${HATCHERY_STEP_LOGS:-$HATCHERY_CACHE/logs}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# LANGUAGE goes before LC_ALL where programs' words are read; and what is installed is for everybody.
unset LANGUAGE
umask 022
# Set when there is no cache yet, or nothing in it but logs of runs that came to nothing, so that
# quickstart may take it back.
HATCHERY_CACHE_NEW=
if [ -z "$(find "$HATCHERY_CACHE" -mindepth 1 -maxdepth 1 ! -name logs 2>/dev/null)" ]; then HATCHERY_CACHE_NEW=1; fi
if ! mkdir -p "$HATCHERY_CACHE" "$HATCHERY_STEP_LOGS"; then
  printf 'error: downloads and logs cannot go to %s\n\nhint: name another place by HATCHERY_CACHE, or run this as root\n' "$HATCHERY_CACHE" >&2
  exit 1
fi
export HATCHERY_ROOT HATCHERY_CACHE HATCHERY_CACHE_NEW HATCHERY_STEP_LOGS

# build_machine: the architecture as the kernel and Rust name it.
build_machine() { uname -m; }

# deb_arch: the same as Debian names it.
deb_arch() {
  case $(build_machine) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) fail "unsupported architecture $(build_machine): Hatchery is built for x86_64 and aarch64" ;;
  esac
}

# os_field NAME: a field of /etc/os-release, such as ID or VERSION_CODENAME.
os_field() { sed -n "s/^$1=\"\\{0,1\\}\\([^\"]*\\)\"\\{0,1\\}$/\\1/p" /etc/os-release; }

# version_at_least HAVE WANT: compares dotted versions.
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# in_a_home FILE: the host agent's unit sees no home directory.
in_a_home() { [[ $(readlink -f "$1") == @(/home|/root|/run/user)/* ]]; }

# copy_tree FROM TO: everything in FROM, into the directory TO.
copy_tree() { cp -a "$1/." "$2/"; }

# atomic_dir DIR COMMAND...: runs COMMAND with a temporary directory as its last argument, and
# renames that to DIR only when it succeeded, so that a killed run never leaves half a tool behind.
# One at a time, as a quickstart and a test run may want the same tool.
atomic_dir() {
  local dir=$1 staging lock
  shift
  mkdir -p "$(dirname "$dir")" "$HATCHERY_CACHE/locks"
  exec {lock}>"$HATCHERY_CACHE/locks/$(tr / - <<<"${dir#/}")"
  flock "$lock"
  # One that was interrupted may have left mounts behind (debootstrap's).
  for staging in "$dir".part.*; do unmount_below "$staging"; done
  rm -rf "$dir".part.*
  staging=$(mktemp -d "$dir.part.XXXXXX")
  chmod 0755 "$staging"
  "$@" "$staging"
  rm -rf "$dir"
  mv "$staging" "$dir"
  exec {lock}>&-
}
