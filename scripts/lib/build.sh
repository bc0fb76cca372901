# shellcheck shell=bash
# The programs: `hatchery`, and `drone-agent` for both architectures inside the feature.

DRONE_AGENT_LIMIT=$((3 * 1024 * 1024))
FEATURE=$HATCHERY_ROOT/feature/src/drone

build_hatchery() {
  cd "$HATCHERY_ROOT" || return
  cargo build --locked -p host-agent "$@"
}

# build_drone_agent MACHINE: built alone, because cargo unifies features over what it builds together.
build_drone_agent() {
  local machine=$1 bin=$FEATURE/bin/drone-agent-$1 built
  musl_cargo "$machine" build --locked -p drone-agent --profile drone
  built=$(musl_output "$machine" drone)/drone-agent
  check_drone_agent "$machine" "$built"
  mkdir -p "$FEATURE/bin"
  # Replaced by rename, and only when changed: a host agent may be reading it.
  if cmp -s "$built" "$bin"; then return; fi
  install -m 0755 "$built" "$bin.new"
  mv "$bin.new" "$bin"
}

build_drone_agents() {
  local machine
  for machine in "${MUSL_MACHINES[@]}"; do build_drone_agent "$machine"; done
}

# check_drone_agent MACHINE FILE: static, stripped and small, or it must not go into a container.
check_drone_agent() {
  local machine=$1 bin=$2 kind size
  kind=$(file -b "$bin")
  case $kind in
    *'statically linked'* | *'static-pie linked'*) ;;
    *) fail "$bin is not static: $kind" ;;
  esac
  case $kind in *'not stripped'*) fail "$bin is not stripped: $kind" ;; esac
  if [ "$machine" = "$(build_machine)" ] && ldd "$bin" 2>&1 | grep '=>'; then fail "$bin needs shared libraries"; fi
  size=$(stat -c %s "$bin")
  [ "$size" -le "$DRONE_AGENT_LIMIT" ] || fail "$bin has $size bytes, more than $DRONE_AGENT_LIMIT"
}

# build_all PROFILE: `release` or `debug`, each part a step. HATCHERY_PREBUILT=1 takes what is there.
build_all() {
  build_tools "$1"
  build_programs "$1"
}

build_was_handed_in() {
  [ "${HATCHERY_PREBUILT:-}" = 1 ] && [ -x "$HATCHERY_ROOT/target/$1/hatchery" ] && [ -d "$FEATURE/bin" ]
}

# build_tools PROFILE: what compiles.
build_tools() {
  if build_was_handed_in "$1"; then return; fi
  ensure "Rust $(rust_wanted) or newer" rust_ready rust_install
  ensure "musl targets" musl_ready musl_install
  command -v file >/dev/null || step "file" apt_install file
}

# build_programs PROFILE
build_programs() {
  local profile=$1 arguments=()
  if build_was_handed_in "$profile"; then
    note "programs as they were built: target/$profile, ${FEATURE#"$HATCHERY_ROOT"/}/bin"
    return
  fi
  if [ "$profile" = release ]; then arguments=(--release); fi
  # The linker of the one leaves a core to the others.
  beside "drone-agent for ${MUSL_MACHINES[*]}" build_drone_agents
  step "hatchery ($profile)" build_hatchery "${arguments[@]}"
  joined "drone-agent for ${MUSL_MACHINES[*]}"
}
