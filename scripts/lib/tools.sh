# shellcheck shell=bash
# Node, the devcontainer CLI, and tools that only the tests use.

NODE_WANTED=20
# Where the distribution's Node is older: this one, from npm's `node` package.
NODE_VERSION=22
DEVCONTAINER_VERSION=0.89.0
# Debian 12's gh (2.23) drops the port of a remote and lacks half of `gh run`.
GH_SUITE=trixie
GH_VERSION=2.46.0

# Ahead of an older one, as soon as it is there.
PATH=$HATCHERY_CACHE/node-$NODE_VERSION/node_modules/.bin:$PATH

node_ready() { command -v npm && version_at_least "$(node --version 2>/dev/null | tr -d v)" "$NODE_WANTED"; }

node_install() {
  apt_refresh
  if ! command -v node || ! command -v npm; then apt_install nodejs npm; fi
  if node_ready; then return; fi
  atomic_dir "$HATCHERY_CACHE/node-$NODE_VERSION" npm_fill "node@$NODE_VERSION"
  hash -r
  node_ready || fail "Node $NODE_WANTED or newer is needed, this is $(node --version)"
}

# npm_fill PACKAGE DIR
npm_fill() { npm install --prefix "$2" --no-save --no-fund --no-audit --loglevel=warn "$1"; }

devcontainer_home() { echo "$HATCHERY_CACHE/devcontainer-$DEVCONTAINER_VERSION"; }

# devcontainer_command: the CLI that is there and new enough, else ours.
devcontainer_command() {
  local found
  if found=$(command -v devcontainer) && ! in_a_home "$found" && version_at_least "$(devcontainer --version 2>/dev/null)" "$DEVCONTAINER_VERSION"; then
    echo "$found"
  else
    echo "$(devcontainer_home)/node_modules/.bin/devcontainer"
  fi
}

devcontainer_ready() { [ -x "$(devcontainer_command)" ]; }
devcontainer_install() { atomic_dir "$(devcontainer_home)" npm_fill "@devcontainers/cli@$DEVCONTAINER_VERSION"; }

gh_home() { echo "$HATCHERY_CACHE/gh-$GH_VERSION"; }
gh_ready() { [ -x "$(gh_home)/gh" ]; }
gh_install() { atomic_dir "$(gh_home)" gh_fill; }
gh_fill() {
  pool_unpack "$GH_SUITE" "$(deb_arch)" "$1/root" gh
  mv "$1/root/usr/bin/gh" "$1/gh"
  rm -rf "$1/root"
}

# Runs the aarch64 drone agent on another machine. Unpacked, not installed: the package would teach
# the whole machine to run foreign programs, and the tests are to say when they do.
qemu_home() { echo "$HATCHERY_CACHE/qemu-user-$BASE_SUITE"; }
qemu_ready() { [ -x "$(qemu_home)/qemu-aarch64" ]; }
qemu_install() { atomic_dir "$(qemu_home)" qemu_fill; }
qemu_fill() {
  pool_unpack "$BASE_SUITE" "$(deb_arch)" "$1/root" qemu-user-static
  mv "$1/root/usr/bin/qemu-aarch64-static" "$1/qemu-aarch64"
  rm -rf "$1/root"
}

# A registry for images and features, as Debian has it.
registry_home() { echo "$HATCHERY_CACHE/registry-$BASE_SUITE"; }
registry_ready() { [ -x "$(registry_home)/docker-registry" ]; }
registry_install() { atomic_dir "$(registry_home)" registry_fill; }
registry_fill() {
  pool_unpack "$BASE_SUITE" "$(deb_arch)" "$1/root" docker-registry
  mv "$1/root/usr/bin/docker-registry" "$1/docker-registry"
  rm -rf "$1/root"
}
