# shellcheck shell=bash
# Checks of the source that run no program of ours.

CARGO_DENY_VERSION=0.20.2

lint_tools() {
  ensure "Rust $(rust_wanted) or newer" rust_ready rust_install
  ensure "rustfmt, clippy" lint_components_ready lint_components_install
  ensure "shellcheck" lint_shellcheck_ready apt_install shellcheck
  ensure "systemd-analyze" lint_units_ready apt_install systemd
  ensure "cargo-deny $CARGO_DENY_VERSION" deny_ready deny_install
}

lint_components_ready() { cargo fmt --version && cargo clippy --version; }
lint_components_install() {
  if command -v rustup && (cd "$HATCHERY_ROOT" && rustup component add rustfmt clippy); then return; fi
  apt_install rustfmt rust-clippy
}

# What the unit may score at most (0 is best), by systemd of Debian 12; each new freedom shows here.
LINT_EXPOSURE_MAX=24

lint_units_ready() { command -v systemd-analyze; }

# lint_units: as installed, but for the program, which need not be. Keys that are newer than this
# machine's systemd are no errors; it ignores them as the oldest that we support does.
lint_units() {
  local dir wrong
  dir=$(mktemp -d)
  cp packaging/systemd/hatchery.{service,socket} "$dir/"
  sed -i 's|^ExecStart=/usr/local/bin/hatchery |ExecStart=/bin/true |' "$dir/hatchery.service"
  systemd-analyze verify "$dir/hatchery.service" "$dir/hatchery.socket" 2>"$dir/said" || fail "systemd refuses the units: $(cat "$dir/said")"
  wrong=$(grep -vE "$MACHINE_KEYS_UNKNOWN" "$dir/said") || true
  [ -z "$wrong" ] || fail "systemd does not understand the units: $wrong"
  systemd-analyze security --no-pager --offline=true --threshold="$LINT_EXPOSURE_MAX" "$dir/hatchery.service"
  rm -rf "$dir"
}

lint_shellcheck_ready() { installed shellcheck || command -v shellcheck; }

deny_home() { echo "$HATCHERY_CACHE/cargo-deny-$CARGO_DENY_VERSION"; }
deny_ready() { [ -x "$(deny_home)/bin/cargo-deny" ]; }
deny_install() { atomic_dir "$(deny_home)" deny_fill; }
deny_fill() { cargo install --locked --version "$CARGO_DENY_VERSION" --root "$1" cargo-deny; }

lint_fmt() { cargo fmt --all --check; }

lint_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# Our pages are for those who work on it: links to private items lead somewhere.
lint_doc() {
  RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' \
    cargo doc --locked --workspace --no-deps --document-private-items
}

# The advisories' database is a repository of its own, which a closed network does not reach; there
# the other checks still hold.
lint_deny() {
  local deny
  deny=$(deny_home)/bin/cargo-deny
  "$deny" --locked check bans licenses sources
  if timeout 30 git ls-remote -q https://github.com/rustsec/advisory-db HEAD >/dev/null 2>&1; then
    "$deny" --locked check advisories
  else
    echo "the advisory database is out of reach: known vulnerabilities were not checked"
  fi
}

# lint_scripts: every shell script, the feature's install.sh included.
lint_scripts() {
  local scripts
  mapfile -t scripts < <(git ls-files -z --cached --others --exclude-standard -- scripts .ci feature tests |
    xargs -0 grep -lE '^#!.*\b(ba)?sh|^# shellcheck shell=' -- 2>/dev/null)
  shellcheck "${scripts[@]}"
  echo "${#scripts[@]} scripts"
}
