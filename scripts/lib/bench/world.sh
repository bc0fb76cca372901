# shellcheck shell=bash
# What the benchmarks run on: a testbed of their own with a local forge, a host agent built for
# release, and as many drones as asked for, all of one small image.

BENCH_DIR=$TESTBED_RUN/bench
BENCH_HATCHERY=$HATCHERY_ROOT/target/release/hatchery
BENCH_OWNER=acme
# shellcheck disable=SC2034  # used in measure.sh
BENCH_ATTESTING=$HATCHERY_ROOT/target/release/examples/attesting_echo

# bench_attesting_echo: built as the host agent is.
bench_attesting_echo() {
  cd "$HATCHERY_ROOT" || return
  if [ "${HATCHERY_PREBUILT:-}" = 1 ] && [ -x "$BENCH_ATTESTING" ]; then return; fi
  cargo build --locked --release -p host-agent --example attesting_echo
}

# hatchery COMMAND...: the client, in the testbed's network.
bench_hatchery() {
  testbed_run env HATCHERY_CONFIG="$BENCH_DIR/config.toml" HATCHERY_RUNTIME_DIR="$BENCH_DIR/run" \
    HATCHERY_STATE_DIR="$BENCH_DIR/state" HATCHERY_PLAIN=1 "$BENCH_HATCHERY" "$@"
}

bench_docker() { testbed_run docker "$@"; }

bench_world_up() {
  local address
  mkdir -p "$BENCH_DIR"/{run,state,forge}
  address=$(bench_docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge)
  bench_background forge forge --data-dir "$BENCH_DIR/forge" serve --listen "$address:443" --host "$FORGE_HOST"
  bench_await bench_hatchery forge --data-dir "$BENCH_DIR/forge" app show
  bench_hatchery forge --data-dir "$BENCH_DIR/forge" app install "$BENCH_OWNER"
  config_text "$address" "$BENCH_DIR/forge" "$(bench_hatchery --json forge --data-dir "$BENCH_DIR/forge" app show |
    sed -n 's/.*"client_id": *"\([^"]*\)".*/\1/p')" | sed 's/^\[limits\]$/&\nmax_drones = 0/' >"$BENCH_DIR/config.toml"
  bench_background serve serve
  bench_await bench_hatchery list
}

# bench_background NAME HATCHERY-ARGUMENT...: with its pid noted; the testbed's end ends it too.
bench_background() {
  local name=$1
  shift
  bench_hatchery "$@" </dev/null >"$BENCH_DIR/$name.log" 2>&1 &
  echo $! >"$BENCH_DIR/$name.pid"
}

bench_await() {
  local deadline=$((SECONDS + 30))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "no answer to: $*" "logs: $BENCH_DIR/*.log"
    sleep 0.1
  done
}

# bench_serve_pid: of `hatchery serve` itself, below the shell and nsenter that started it.
bench_serve_pid() {
  local pid
  for pid in $(ip netns pids "$TESTBED"); do
    if [ "$(readlink "/proc/$pid/exe")" = "$BENCH_HATCHERY" ] && grep -qzx serve "/proc/$pid/cmdline" &&
      ! grep -qzx forge "/proc/$pid/cmdline"; then echo "$pid"; fi
  done
}

# bench_repos FIRST LAST: repositories acme/b<N>, each with a small configuration.
bench_repos() {
  local n seed=$BENCH_DIR/seed
  mkdir -p "$seed/.devcontainer"
  printf '{ "image": "%s" }\n' "$IMAGE_DEV" >"$seed/.devcontainer/devcontainer.json"
  for ((n = $1; n <= $2; n++)); do
    bench_hatchery --quiet --json forge --data-dir "$BENCH_DIR/forge" repo create "$BENCH_OWNER/b$n" \
      --from "$seed" >"$BENCH_DIR/forge/b$n.json"
  done
}

# bench_repo_id N: its number on the forge.
bench_repo_id() { grep -o '"id": *[0-9]*' "$BENCH_DIR/forge/b$1.json" | head -n 1 | grep -o '[0-9]*$'; }

bench_forge_admin() { bench_hatchery --json forge --data-dir "$BENCH_DIR/forge" admin "$@"; }

bench_spawn() { bench_hatchery --quiet spawn "$BENCH_OWNER/b$1" >"$BENCH_DIR/spawn-$1.log" 2>&1; }
bench_slay() { bench_hatchery --quiet slay --force "$BENCH_OWNER/b$1" >>"$BENCH_DIR/spawn-$1.log" 2>&1; }

# bench_container N: the container of the N-th drone.
bench_container() { bench_docker ps -q --filter "label=hatchery.drone=$BENCH_OWNER-b$1"; }
