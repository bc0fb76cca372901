# shellcheck shell=bash
# Packages of the running distribution (installed) and of other Debian suites or architectures
# (downloaded and unpacked only). Everything is verified by apt against the signed Release files.

APT=(apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Acquire::http::Timeout=30)
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

installed() { [ "$(dpkg-query -Wf '${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]; }

# missing PACKAGE...: those that are not installed.
missing() {
  local package
  for package; do installed "$package" || printf '%s\n' "$package"; done
}

# apt_refresh: package lists newer than a day, as a fresh machine has none.
apt_refresh() {
  if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -1440 -print -quit)" ]; then
    apt_update
  fi
}

# apt_update: `apt-get update` has no lock timeout of its own, hence the retries; and without a
# network it only warns.
apt_update() {
  local try
  for try in 1 2 3 4 5 6; do
    if "${APT[@]}" update && [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit)" ]; then return; fi
    echo "apt-get update failed (try $try of 6), once more in 5 s"
    sleep 5
  done
  fail "the package lists cannot be fetched" "check the network and /etc/apt/sources.list*, then: apt-get update"
}

# apt_install PACKAGE...: installs what is missing and notes beforehand what that brings, for
# --uninstall: it may be interrupted.
apt_install() {
  local wanted
  mapfile -t wanted < <(missing "$@")
  if [ ${#wanted[@]} -eq 0 ]; then return; fi
  [ "$(id -u)" -eq 0 ] || fail "packages are missing: ${wanted[*]}" "run as root, or: sudo apt-get install ${wanted[*]}"
  apt_refresh
  apt_knows "${wanted[@]}"
  dpkg_repair
  "${APT[@]}" -s --no-install-recommends install "${wanted[@]}" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | ledger_add_all package
  # Never at the price of something that is there (containerd.io, or another vendor's Node).
  "${APT[@]}" --no-install-recommends --no-remove install "${wanted[@]}"
}

# apt_knows PACKAGE...
apt_knows() {
  local package unknown=()
  for package; do available "$package" || unknown+=("$package"); done
  [ ${#unknown[@]} -eq 0 ] || fail "apt knows no package ${unknown[*]}" \
    "see /etc/apt/sources.list*; Ubuntu has many of them in 'universe': add-apt-repository universe"
}

# dpkg_repair: what an interrupted run left half installed would stop apt. A machine's own upgrades may
# hold dpkg's lock meanwhile, for which apt waits and dpkg does not.
dpkg_repair() {
  local deadline=$((SECONDS + 300)) said
  if [ -z "$(dpkg --audit)" ] && [ -z "$(find /var/lib/dpkg/updates -type f -print -quit)" ]; then return; fi
  until said=$(dpkg --configure -a 2>&1); do
    printf '%s\n' "$said"
    if ! grep -q 'lock' <<<"$said"; then
      "${APT[@]}" --no-install-recommends --fix-broken install
      return
    fi
    [ $SECONDS -lt $deadline ] || fail "another program holds dpkg's lock" "wait until it ends (ps -e | grep -E 'apt|dpkg|unattended'), then run this again"
    sleep 5
  done
  printf '%s\n' "$said"
}

# available PACKAGE: the running distribution has it.
available() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p')" ]; }

# debian_mirror PATTERN [SUFFIX]: where this machine gets Debian from; elsewhere (Ubuntu) where
# debootstrap does, with SUFFIX behind it. HATCHERY_DEBIAN_MIRROR goes before both.
debian_mirror() {
  local uri=
  if [ -n "${HATCHERY_DEBIAN_MIRROR:-}" ]; then
    uri=$HATCHERY_DEBIAN_MIRROR${2:-}
  elif [ "$(os_field ID)" = debian ]; then
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E "$1" | head -n 1) || true
  fi
  if [ -z "$uri" ]; then
    command -v debootstrap >/dev/null || apt_install debootstrap >&2
    # A distribution's own debootstrap may have another default, beside Debian's by https.
    uri=$(sed -n 's|^DEF_[A-Z_]*MIRROR="\(http[^"]*/debian\)/*"$|\1|p' "$(command -v debootstrap)" | head -n 1)
    [ -n "$uri" ] || fail "debootstrap names no mirror of Debian" "name one by HATCHERY_DEBIAN_MIRROR"
    uri=$uri${2:-}
  fi
  printf '%s\n' "$uri"
}

# pool SUITE ARCH APT-ARGUMENT...: apt-get for another Debian suite or architecture, with lists and
# sources of its own: the system's apt configuration stays as it is.
pool() {
  local suite=$1 arch=$2 dir
  shift 2
  dir=$HATCHERY_CACHE/apt/$suite-$arch
  if [ ! -e "$dir/fresh" ] || [ -n "$(find "$dir/fresh" -mmin +1440)" ]; then pool_refresh "$suite" "$arch" "$dir"; fi
  pool_with "$arch" "$dir" "${APT[@]}" "$@"
}

# pool_with ARCH DIR COMMAND...: an apt program with the pool's own lists, cache and sources.
pool_with() {
  local arch=$1 dir=$2 program=$3
  shift 3
  "$program" -o Dir::State="$dir/state" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
    -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=/dev/null \
    -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Get::List-Cleanup=true \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
    -o APT::Sandbox::User=root "$@"
}

pool_refresh() {
  local suite=$1 arch=$2 dir=$3 options
  [ -r "$DEBIAN_KEYRING" ] || apt_install debian-archive-keyring
  mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
  : >"$dir/status"
  options="[arch=$arch signed-by=$DEBIAN_KEYRING]"
  printf 'deb %s %s %s main\n' "$options" "$(debian_mirror '/debian/?$')" "$suite" >"$dir/sources.list"
  printf 'deb %s %s %s-security main\n' "$options" "$(debian_mirror 'security/?$' -security)" "$suite" >>"$dir/sources.list"
  pool_with "$arch" "$dir" "${APT[@]}" update
  touch "$dir/fresh"
}

# pool_depends SUITE ARCH PACKAGE PATTERN: the first dependency of PACKAGE whose name matches.
pool_depends() {
  pool "$1" "$2" check >/dev/null
  pool_with "$2" "$HATCHERY_CACHE/apt/$1-$2" apt-cache depends "$3" |
    sed -n 's/^ *|\{0,1\}Depends: //p' | grep -E "$4" | head -n 1
}

# pool_unpack SUITE ARCH INTO PACKAGE...: downloads and unpacks, installs nothing.
pool_unpack() {
  local suite=$1 arch=$2 into=$3 debs deb
  shift 3
  debs=$(mktemp -d "$HATCHERY_CACHE/debs.XXXXXX")
  (cd "$debs" && pool "$suite" "$arch" download "$@")
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$into"; done
  rm -rf "$debs"
}
