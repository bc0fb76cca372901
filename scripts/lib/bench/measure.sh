# shellcheck shell=bash
# Each benchmark beside its baseline, measured in the same run.

BENCH_TABLE=()
# Number of the repository whose drone floods.
FLOODER=99

# row WHAT MEASURED BASELINE LIMIT: numbers come with their unit.
row() {
  BENCH_TABLE+=("$(printf '| %s | %s | %s | %s |' "$@")")
  note "$1: $2 (baseline $3, wanted $4)"
}

bench_table() {
  printf '\n| what | measured | baseline | wanted |\n|---|---|---|---|\n'
  printf '%s\n' "${BENCH_TABLE[@]}"
}

# calc EXPRESSION: arithmetic with decimals.
calc() { awk "BEGIN { printf \"%.2f\", $1 }"; }

# in_drone COMMAND...: in the first drone, as root; in_other_drone: in the one that floods.
in_drone() { bench_docker exec -i -u 0 "$(bench_container 1)" "$@"; }
in_other_drone() { bench_docker exec -i -u 0 "$(bench_container $FLOODER)" "$@"; }

# median_ms STDIN PROGRAM ARGUMENT...: wall time in milliseconds, inside the drone, without a shell.
median_ms() { in_drone /bench/probe run "$@" | awk '{ printf "%.2f\n", $1 / 1000 }'; }

# bench_programs_into_drone: the probe, an empty static program, the seed design's helper.
bench_programs_into_drone() {
  local dir=$BENCH_DIR/programs
  mkdir -p "$dir/behind"
  printf 'int main(void) { return 0; }\n' | cc -static -Os -s -x c - -o "$dir/empty"
  cp "$dir/empty" "$dir/behind/gh"
  # Static, so that it runs on whatever C library the drone's image has.
  rustc --edition 2024 -O -C target-feature=+crt-static -o "$dir/probe" "$HATCHERY_ROOT/scripts/lib/bench/probe.rs"
  cat >"$dir/seed-helper" <<'SH'
#!/bin/sh
echo username=x-access-token
echo "password=$(curl -s --unix-socket /var/run/github-creds.sock http://localhost/token)"
SH
  printf 'protocol=https\nhost=%s\npath=%s/b1.git\n\n' "$FORGE_HOST" "$BENCH_OWNER" >"$dir/question"
  chmod 0755 "$dir/seed-helper"
  in_drone mkdir -p /bench
  bench_docker cp "$dir/." "$(bench_container 1):/bench"
}

bench_credential() {
  local empty ours seed
  empty=$(median_ms /dev/null /bench/empty)
  ours=$(median_ms /bench/question drone-agent git-credential get)
  seed=$(median_ms /bench/question /bench/seed-helper)
  row "git-credential get" "$ours ms" "empty program $empty ms, sh + curl $seed ms" "1.2 ms where the empty one takes 0.6"
}

# bench_gh: the wrapper in front of a `gh` that does nothing, each behind one `env`.
bench_gh() {
  local alone wrapped path=/usr/local/share/drone-agent/bin:/bench/behind:/usr/bin:/bin
  alone=$(median_ms /dev/null env "PATH=$path" /bench/behind/gh)
  wrapped=$(median_ms /dev/null env "PATH=$path" gh pr list -R "$BENCH_OWNER/b1")
  row "gh wrapper, beyond gh itself" "$(calc "$wrapped - $alone") ms" "a gh that does nothing $alone ms" "1.5 ms"
}

# bench_token: beside a server that does nothing but answer, on the same machine, asked in turn by the
# same program: what no server on this machine can go below. It listens where the drone sees it.
bench_token() {
  local place=$BENCH_DIR/state/sockets/$BENCH_OWNER-b1 socket=/run/drone-agent
  local p50 p99 best50 best99 echo_p50 echo_p99 attested_p50 attested_p99 pids=()
  setpriv --pdeathsig TERM "$BENCH_DIR/programs/probe" echo "$place/echo.sock" &
  pids+=($!)
  setpriv --pdeathsig TERM "$BENCH_ATTESTING" "$place/attested.sock" "$BENCH_DIR/state/drones/$BENCH_OWNER-b1.json" &
  pids+=($!)
  bench_await test -S "$place/echo.sock" -a -S "$place/attested.sock"
  {
    read -r p50 p99 best50 best99
    read -r echo_p50 echo_p99 _ _
    read -r attested_p50 attested_p99 _ _
  } < <(in_drone /bench/probe token "$socket/agent.sock" "$socket/echo.sock" "$socket/attested.sock")
  kill "${pids[@]}"
  rm "$place/echo.sock" "$place/attested.sock"
  row "GET /token, cached, p50 / p99 (median of 21 runs)" "$p50 / $p99 us (best run $best50 / $best99)" \
    "bare echo $echo_p50 / $echo_p99 us" "40 / 150 us"
  row "attestation, in each request" "$(calc "$attested_p50 - $echo_p50") us" \
    "an echo that attests $attested_p50 / $attested_p99 us" "-"
}

# bench_token_on_one_core: a wake-up of an idle core is most of the time above where the machine is a
# virtual one and quiet; here the drone and the host agent share a core, and there is none.
bench_token_on_one_core() {
  local pid p50 p99 best50 best99 container all
  pid=$(bench_serve_pid)
  container=$(bench_container 1)
  all=0-$(($(nproc) - 1))
  taskset -acp 0 "$pid" >/dev/null
  bench_docker update --cpuset-cpus 0 "$container" >/dev/null
  read -r p50 p99 best50 best99 < <(in_drone /bench/probe token /run/drone-agent/agent.sock)
  taskset -acp "$all" "$pid" >/dev/null
  bench_docker update --cpuset-cpus "$all" "$container" >/dev/null
  row "the same on one core" "$p50 / $p99 us (best run $best50 / $best99)" "-" "40 / 150 us"
}

# bench_other_drone: one more, to flood from.
bench_other_drone() {
  bench_repos $FLOODER $FLOODER
  bench_spawn $FLOODER
  in_other_drone mkdir -p /bench
  bench_docker cp "$BENCH_DIR/programs/probe" "$(bench_container $FLOODER):/bench/probe"
}

# bench_flood: what one drone gets while the other asks without a pause. The threads alone, without a
# request, show what their use of the processors costs. Quiet and flooded in turn.
bench_flood() {
  local threads quiet burn flood ratio
  for threads in 1 64; do
    rm -f "$BENCH_DIR"/{quiet,burn,flood}
    for _ in 1 2 3; do
      in_drone /bench/probe token /run/drone-agent/agent.sock >>"$BENCH_DIR/quiet"
      bench_beside burn "$threads" >>"$BENCH_DIR/burn"
      bench_beside flood "$threads" >>"$BENCH_DIR/flood"
    done
    quiet=$(bench_medians "$BENCH_DIR/quiet")
    burn=$(bench_medians "$BENCH_DIR/burn")
    flood=$(bench_medians "$BENCH_DIR/flood")
    ratio=$(calc "${flood#*/ } / ${quiet#*/ }")
    row "the same while $threads threads of another drone flood" "$flood us, p99 x $ratio" \
      "quiet $quiet us; while they only compute $burn us" "p99 x 2 at most"
  done
  bench_slay $FLOODER
}

# bench_beside VERB THREADS: the first drone's times while the other one's probe does that.
bench_beside() {
  local threads out=$BENCH_DIR/beside pid
  rm -f "$out"
  exec {threads}> >(in_other_drone /bench/probe "$1" "$2" >"$out")
  pid=$!
  bench_await grep -qs flooding "$out"
  in_drone /bench/probe token /run/drone-agent/agent.sock
  exec {threads}>&-
  wait "$pid"
}

# bench_medians FILE: of its first two columns.
bench_medians() { echo "$(cut -d' ' -f1 "$1" | median) / $(cut -d' ' -f2 "$1" | median)"; }

bench_memory() {
  local pid
  pid=$(bench_serve_pid)
  row "memory of hatchery serve, $1 drones" "$(awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$pid/status")" \
    "anonymous $(awk '/^RssAnon/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$pid/status")" "15 MiB with 20 drones"
}

# milliseconds COMMAND...: wall time of one run.
milliseconds() {
  local started
  started=$(now_ms)
  "$@" >/dev/null 2>&1
  echo $(($(now_ms) - started))
}

# median: of numbers on standard input.
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# bare_up N / bare_down N: what the devcontainer CLI alone does with the same configuration.
bare_up() {
  mkdir -p "$BENCH_DIR/bare/b$1"
  cp -a "$BENCH_DIR/seed/." "$BENCH_DIR/bare/b$1/"
  testbed_run devcontainer up --workspace-folder "$BENCH_DIR/bare/b$1" --no-lockfile --id-label "bench.bare=b$1"
}
bare_down() { bench_docker rm -f "$(bench_docker ps -aq --filter "label=bench.bare=b$1")" >/dev/null; }

bench_one_spawn() {
  local round ours=() bare=()
  for round in 1 2 3 4 5; do
    ours+=("$(milliseconds bench_spawn 101)")
    bench_slay 101
    bare+=("$(milliseconds bare_up 1)")
    bare_down 1
  done
  row "spawn, image cached (median of $round)" "$(printf '%s\n' "${ours[@]}" | median) ms" \
    "devcontainer up $(printf '%s\n' "${bare[@]}" | median) ms" "1000 ms above"
}

# at_once FUNCTION FIRST LAST: all of them in parallel.
at_once() {
  local n pids=()
  for ((n = $2; n <= $3; n++)); do
    "$1" "$n" &
    pids+=($!)
  done
  wait "${pids[@]}"
}

bench_eight_spawns() {
  local ours bare
  ours=$(milliseconds at_once bench_spawn 101 108)
  at_once bench_slay 101 108
  bare=$(milliseconds at_once bare_up 1 8)
  at_once bare_down 1 8
  row "eight spawns at once" "$ours ms" "eight devcontainer up $bare ms" "-"
}

bench_exec() {
  local n ours=() bare=() container
  container=$(bench_container 1)
  for n in $(seq 20); do
    ours+=("$(milliseconds bench_hatchery exec "$BENCH_OWNER/b1" true)")
    bare+=("$(milliseconds bench_docker exec "$container" true)")
  done
  row "exec true (median of $n)" "$(printf '%s\n' "${ours[@]}" | median) ms" \
    "docker exec $(printf '%s\n' "${bare[@]}" | median) ms" "20 ms above"
}

bench_list() {
  local n ours=()
  for n in $(seq 10); do ours+=("$(milliseconds bench_hatchery list)"); done
  row "list, $1 drones (median of $n)" "$(printf '%s\n' "${ours[@]}" | median) ms" "-" "100 ms"
}

# bench_leftovers: programs on the host beside the engine's own, the forge and the host agent.
bench_leftovers() {
  local count
  count=$(for pid in $(ip netns pids "$TESTBED"); do readlink "/proc/$pid/exe"; done |
    grep -cvE '/(dockerd|containerd|containerd-shim-runc-v2|docker-proxy|hatchery)$') || true
  row "programs left per idle drone" "$count for all" "-" "0"
}
