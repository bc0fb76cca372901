# shellcheck shell=bash
# Many drones on one host agent. Fifty are real ones, spawned; five hundred would be an hour of
# spawning and say no more about the host agent. The others are containers of one small program that
# gets its token and waits, taken in by `hatchery adopt`: each with a repository, a record, a socket,
# a cached token and a process of its own.

# HATCHERY_BENCH_CROWD and HATCHERY_BENCH_ASKING: fewer, to try this out.
CROWD=${HATCHERY_BENCH_CROWD:-500}
# Those that ask.
ASKING=${HATCHERY_BENCH_ASKING:-50}
# Requests of each of them, without a pause, and each at the same moments.
CROWD_REQUESTS=400
CROWD_MOMENTS=40
# Length of the forge's outage, in seconds, and milliseconds between the requests of a drone.
OUTAGE=${HATCHERY_BENCH_OUTAGE:-60}
OUTAGE_PAUSE=100

# light_range FIRST LAST: drones of the small kind.
light_range() {
  local n
  for ((n = $1; n <= $2; n++)); do light_drone "$n"; done
}

light_drone() {
  local drone=$BENCH_OWNER-b$1 id
  id=$(bench_repo_id "$1")
  [ -n "$id" ] || fail "the forge named no number for $BENCH_OWNER/b$1"
  mkdir -p "$BENCH_DIR/state/sockets/$drone"
  bench_docker run -d --network none --name "$drone" --label hatchery.managed=true \
    --label "hatchery.drone=$drone" --label "hatchery.repo=$BENCH_OWNER/b$1" \
    --label "hatchery.repo_id=$id" --label "hatchery.forge=$FORGE_HOST" \
    -v "$BENCH_DIR/state/sockets/$drone:/run/drone-agent:ro" -v "$BENCH_DIR/programs:/bench:ro" \
    "$IMAGE_BUSYBOX" /bench/probe hold /run/drone-agent/agent.sock
  bench_hatchery --quiet adopt "$BENCH_OWNER/b$1"
}

# crowd_probe: the probe in each drone that asks.
crowd_probe() {
  local n
  for ((n = 1; n <= ASKING; n++)); do
    bench_docker exec -u 0 "$(bench_container "$n")" mkdir -p /bench
    bench_docker cp "$BENCH_DIR/programs/probe" "$(bench_container "$n"):/bench/probe"
  done
}

# crowd_containers: looked up once, as each look takes longer than what is measured.
crowd_containers() {
  local n
  for ((n = 1; n <= ASKING; n++)); do CROWD_CONTAINERS[n]=$(bench_container "$n"); done
}
CROWD_CONTAINERS=()

# crowd_runs DIRECTORY PROBE-ARGUMENT...: the probe in all of them at once, what each says in a file.
# Returns at once; crowd_ends waits.
crowd_runs() {
  local n out=$1
  shift
  rm -rf "$out"
  mkdir -p "$out"
  CROWD_PIDS=()
  for ((n = 1; n <= ASKING; n++)); do
    bench_docker exec -i -u 0 "${CROWD_CONTAINERS[n]}" /bench/probe "$@" </dev/null >"$out/$n" &
    CROWD_PIDS+=($!)
  done
}
CROWD_PIDS=()

crowd_ends() {
  local pid
  for pid in "${CROWD_PIDS[@]}"; do wait "$pid"; done
}

# crowd_asks SOCKET COUNT PAUSE: all of them from one moment on; median, 99th percentile, failures.
crowd_asks() {
  local out=$BENCH_DIR/crowd
  # Time enough for all to be there.
  crowd_runs "$out" crowd "$1" $(($(date +%s%3N) + 15000)) "$2" "$3"
  crowd_ends
  cat "$out"/* | sort -n |
    awk '/failed/ { failed++; next } { v[++n] = $1 } END { printf "%d %d %d %d\n", v[int((n + 1) / 2)], v[int(n * 0.99)], n, failed }'
}

# bench_crowd_at_once: beside bare echoes, a thread for each drone's socket.
bench_crowd_at_once() {
  local n p50 p99 count failed echo50 echo99 socket=/run/drone-agent echoes=() pid
  for ((n = 1; n <= ASKING; n++)); do echoes+=("$BENCH_DIR/state/sockets/$BENCH_OWNER-b$n/echo.sock"); done
  setpriv --pdeathsig TERM "$BENCH_DIR/programs/probe" echo "${echoes[@]}" &
  pid=$!
  bench_await test -S "${echoes[-1]}"
  # Once before: those that a restart left without a token get one.
  crowd_asks $socket/agent.sock 1 0 >/dev/null
  read -r p50 p99 count failed < <(crowd_asks $socket/agent.sock "$CROWD_MOMENTS" 50)
  read -r echo50 echo99 _ _ < <(crowd_asks $socket/echo.sock "$CROWD_MOMENTS" 50)
  row "GET /token by $ASKING drones of $CROWD at the same moment, p50 / p99 ($count answers, $failed failed)" \
    "$p50 / $p99 us" "bare echoes $echo50 / $echo99 us" "-"
  read -r p50 p99 count failed < <(crowd_asks $socket/agent.sock "$CROWD_REQUESTS" 0)
  read -r echo50 echo99 _ _ < <(crowd_asks $socket/echo.sock "$CROWD_REQUESTS" 0)
  row "the same without a pause, $ASKING on $(nproc) cores ($count answers, $failed failed)" \
    "$p50 / $p99 us" "bare echoes $echo50 / $echo99 us" "-"
  kill "$pid"
  rm "${echoes[@]}"
}

# bench_outage: the forge answers nobody for a while, in the middle of requests.
bench_outage() {
  local out=$BENCH_DIR/outage fault seconds=$((OUTAGE + 20))
  crowd_runs "$out" crowd /run/drone-agent/agent.sock $(($(date +%s%3N) + 15000)) \
    $((seconds * 1000 / OUTAGE_PAUSE)) "$OUTAGE_PAUSE"
  sleep 25
  fault=$(bench_forge_admin POST /faults '{"path": "", "fault": {"kind": "cut"}}' | grep -o '[0-9]*' | head -n 1)
  sleep "$OUTAGE"
  bench_forge_admin DELETE "/faults/$fault" >/dev/null
  crowd_ends
  row "requests of $ASKING drones with a cached token that fail while the forge is down for $OUTAGE s" \
    "$(cat "$out"/* | grep -c failed || true) of $(cat "$out"/* | wc -l)" "-" "0"
}

# bench_recovery: kill -9, and start again; until each of the drones that ask has an answer, and a
# new token: without a service manager those of before are gone.
bench_recovery() {
  local out=$BENCH_DIR/recovery started answered tokens
  crowd_runs "$out" recover /run/drone-agent/agent.sock
  bench_await crowd_is_ready "$out"
  kill -9 "$(bench_serve_pid)"
  # Each has seen that nobody listens.
  sleep 1
  started=$(date +%s%6N)
  bench_background serve serve
  crowd_ends
  answered=$(crowd_last "$out" 2)
  tokens=$(crowd_last "$out" 3)
  bench_await bench_hatchery list
  row "after kill -9, from start until $ASKING drones of $CROWD have an answer" \
    "$(((answered - started) / 1000)) ms" "until each has a new token $(((tokens - started) / 1000)) ms" "1000 ms"
}

crowd_is_ready() { [ "$(cat "$1"/* | grep -c ready)" -eq "$ASKING" ]; }

# crowd_last DIRECTORY LINE: the latest of what all said in that line.
crowd_last() { sed -sn "$2p" "$1"/* | sort -n | tail -n 1; }

bench_crowd_memory() {
  local pid
  pid=$(bench_serve_pid)
  row "memory of hatchery serve, $CROWD drones' sockets ($(find "/proc/$pid/fd" | wc -l) descriptors), $1" \
    "$(awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$pid/status")" \
    "anonymous $(awk '/^RssAnon/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$pid/status")" "60 MiB"
}
