# shellcheck shell=bash
# A Rust toolchain new enough for the workspace: what is there if it serves, else the distribution's.

# What rustup installed for this user is not always in PATH; ours comes first as soon as it is there.
PATH=$HATCHERY_CACHE/rust/bin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
export PATH

# rust_wanted: the minimum version, as Cargo.toml says.
rust_wanted() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$HATCHERY_ROOT/Cargo.toml"; }

rust_ready() {
  command -v cargo && command -v cc && rustc_of_checkout && version_at_least "$(rustc_of_checkout)" "$(rust_wanted)"
}

# rustc_of_checkout: version of the rustc that cargo takes in this checkout.
rustc_of_checkout() { (cd "$HATCHERY_ROOT" && rustc --version 2>/dev/null | cut -d' ' -f2 | cut -d- -f1); }

RUSTUP_SITE=${RUSTUP_DIST_SERVER:-https://static.rust-lang.org}

# rust_install: a C compiler for build scripts, then rustup where it is there or the distribution has
# it (Debian 13, Ubuntu from 24.04 on) and its site answers; else the newest rustc that the
# distribution carries (Debian 12); else rustup as its makers hand it out (Ubuntu 22.04).
rust_install() {
  apt_install gcc libc6-dev pkg-config
  if rust_ready; then return; fi
  apt_refresh
  if rust_site_answers && { command -v rustup || available rustup; }; then
    command -v rustup || apt_install rustup
    if rust_toolchain; then return; fi
    echo "rustup did not bring a toolchain; taking the distribution's own"
  fi
  if rust_from_distribution; then return; fi
  if rust_site_answers; then rust_from_rustup && return; fi
  rust_none
}

# rust_site_answers: asked first, because a network that drops packets would hold rustup for minutes.
rust_site_answers() { curl -fsS -m 20 -o /dev/null "$RUSTUP_SITE/rustup/release-stable.toml"; }

rust_toolchain() {
  timeout 600 rustup toolchain install stable --profile minimal --component rustfmt,clippy && rustup default stable
}

# rust_from_rustup: its installer, checked against the sum beside it.
rust_from_rustup() {
  local dir=$HATCHERY_CACHE/rustup-init url
  url=$RUSTUP_SITE/rustup/dist/$(build_machine)-unknown-linux-gnu/rustup-init
  mkdir -p "$dir"
  curl -fsS -m 300 -o "$dir/rustup-init" "$url" || return
  [ "$(curl -fsS -m 60 "$url.sha256" | cut -d' ' -f1)" = "$(sha256sum "$dir/rustup-init" | cut -d' ' -f1)" ] || return
  chmod 0755 "$dir/rustup-init"
  timeout 600 "$dir/rustup-init" -y --no-modify-path --profile minimal --component rustfmt --component clippy
}

# rust_from_distribution: unpacked into the cache, because the versioned packages (rustc-1.89,
# rustc-web) name or place their programs differently. Fails where there is none new enough.
rust_from_distribution() {
  local package
  for package in rustc-web rustc; do
    if version_at_least "$(apt_candidate "$package")" "$(rust_wanted)"; then
      apt_install "$package" "${package/rustc/cargo}"
      return
    fi
  done
  package=$(apt-cache search --names-only '^rustc-1\.[0-9]+$' | cut -d' ' -f1 | sort -V | tail -n 1)
  if [ -z "$package" ] || ! version_at_least "${package#rustc-}" "$(rust_wanted)"; then return 1; fi
  apt_install "$package" "${package/rustc/cargo}"
  mkdir -p "$HATCHERY_CACHE/rust/bin"
  ln -sfn "/usr/lib/rust-${package#rustc-}/bin/"* "$HATCHERY_CACHE/rust/bin/"
}

# rust_none: what can be done about it.
rust_none() {
  if [ "$(os_field VERSION_CODENAME)" = bookworm ] && [ "$(apt_candidate rustc-web)" = 0 ]; then
    fail "no Rust $(rust_wanted) or newer to be had here: Debian 12 has it in its security archive, which apt does not know" \
      "add it: echo 'deb http://security.debian.org/debian-security bookworm-security main' >/etc/apt/sources.list.d/security.list && apt-get update"
  fi
  fail "no Rust $(rust_wanted) or newer to be had here" "install one from https://rustup.rs and run this again"
}

apt_candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9][0-9.]*\).*/\1/p' | grep . || echo 0; }
