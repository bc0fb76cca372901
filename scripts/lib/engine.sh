# shellcheck shell=bash
# Docker engines that are unpacked, not installed: they run beside whatever the machine has, each
# with a directory, socket and (for tests) network namespace of its own.

# Debian 13's engine has BuildKit; its binaries run from glibc 2.34 on.
ENGINE_SUITE=trixie
ENGINE_VERSION=26.1.5
# Debian 12's engine has the classic builder only; the tests keep Hatchery honest on it.
CLASSIC_SUITE=bookworm
CLASSIC_VERSION=20.10.24
# How long an engine may take to answer, and to end, in seconds.
ENGINE_START_LIMIT=60
ENGINE_STOP_LIMIT=30

engine_home() { echo "$HATCHERY_CACHE/engine-$ENGINE_VERSION"; }
classic_home() { echo "$HATCHERY_CACHE/engine-$CLASSIC_VERSION"; }
engine_unpacked() { [ -x "$(engine_home)/bin/dockerd" ]; }
classic_unpacked() { [ -x "$(classic_home)/bin/dockerd" ]; }
engine_unpack() { atomic_dir "$(engine_home)" engine_fill; }
classic_unpack() { atomic_dir "$(classic_home)" classic_fill; }

# engine_fill DIR: DIR/bin for dockerd's PATH, DIR/cli-plugins for the client.
engine_fill() {
  local dir=$1 arch suite=$ENGINE_SUITE glibc
  arch=$(deb_arch)
  pool_unpack "$ENGINE_SUITE" "$arch" "$dir/root" docker.io docker-cli containerd docker-buildx docker-compose tini
  glibc=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
  # Debian 13's runc is the one part that needs a newer glibc.
  version_at_least "$glibc" 2.38 || suite=bookworm
  pool_unpack "$suite" "$arch" "$dir/root" runc
  engine_arrange "$dir"
}

classic_fill() {
  local dir=$1 arch
  arch=$(deb_arch)
  pool_unpack "$CLASSIC_SUITE" "$arch" "$dir/root" docker.io containerd runc tini libdevmapper1.02.1
  engine_arrange "$dir"
}

# engine_arrange DIR: takes the programs out of the unpacked tree, wherever the suite has them.
engine_arrange() {
  local dir=$1 root=$1/root program found
  mkdir -p "$dir/bin" "$dir/cli-plugins" "$dir/lib"
  for program in dockerd docker docker-proxy containerd containerd-shim-runc-v2 runc tini-static; do
    found=$(find "$root" -type f -path "*bin/$program" -print -quit)
    [ -n "$found" ] || fail "the engine's packages lack $program"
    mv "$found" "$dir/bin/"
  done
  # `docker run --init` looks for a static tini under this name.
  mv "$dir/bin/tini-static" "$dir/bin/docker-init"
  find "$root" -path '*/cli-plugins/docker-*' -exec cp -L -t "$dir/cli-plugins" {} +
  find "$root" -name 'libdevmapper.so*' -exec cp -a -t "$dir/lib" {} +
  rm -rf "$root"
}

# engine_start HOME RUN DATA NETNS [DOCKERD-ARGUMENT...]: RUN gets docker.sock, dockerd.pid and
# dockerd.log; NETNS is a namespace's name, or empty for the machine's own network.
engine_start() {
  local home=$1 run=$2 data=$3 netns=$4 enter=() pid
  shift 4
  if engine_answers "$run"; then return; fi
  engine_clean "$run" "$data"
  mkdir -p "$run" "$data"
  # Not `ip netns exec`: it mounts a fresh /sys, without the cgroups that dockerd needs.
  if [ -n "$netns" ]; then enter=(nsenter "--net=/run/netns/$netns"); fi
  (
    close_inherited
    LD_LIBRARY_PATH=$home/lib PATH=$home/bin:$PATH exec setsid "${enter[@]}" \
      dockerd --host "unix://$run/docker.sock" --data-root "$data" --exec-root "$run/exec" \
      --pidfile "$run/dockerd.pid" "$@" </dev/null >>"$run/dockerd.log" 2>&1
  ) &
  pid=$!
  engine_await "$run" "$pid"
}

# close_inherited: a daemon keeps nothing of who started it, least of all the lock of a test run.
close_inherited() {
  local path fd
  for path in "/proc/$BASHPID/fd/"*; do
    fd=${path##*/}
    if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
  done
}

# engine_await RUN PID: until the engine answers; its log is the reason when it does not.
engine_await() {
  local run=$1 pid=$2 deadline=$((SECONDS + ENGINE_START_LIMIT))
  until engine_answers "$run"; do
    if ! kill -0 "$pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      tail -n 20 "$run/dockerd.log"
      fail "dockerd did not come up" "its log is $run/dockerd.log"
    fi
    sleep 0.1
  done
}

engine_answers() { curl -fsS -m 5 -o /dev/null --unix-socket "$1/docker.sock" http://docker/_ping 2>/dev/null; }

# engine_stop RUN: asks dockerd to end, which stops its containers first.
engine_stop() {
  local run=$1 pid deadline=$((SECONDS + ENGINE_STOP_LIMIT))
  pid=$(engine_pid "$run")
  if [ -z "$pid" ]; then return; fi
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
}

# engine_kill RUN: kill -9 of dockerd alone, as a crash would.
engine_kill() {
  local pid
  pid=$(engine_pid "$1")
  if [ -n "$pid" ]; then kill -KILL "$pid"; fi
}

# engine_pid RUN: the dockerd of that directory, if it still runs; a pid file may be of another boot.
engine_pid() {
  local pid
  pid=$(cat "$1/dockerd.pid" 2>/dev/null) || return 0
  if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "--exec-root $1/exec"; then echo "$pid"; fi
}

# engine_clean RUN DATA: what a killed engine left: containerd, shims, their containers, mounts.
engine_clean() {
  local run=$1 data=$2 pid child
  engine_stop "$run"
  for pid in $(engine_leftovers "$run"); do
    while read -r child; do kill -KILL "$child" 2>/dev/null || true; done < <(pgrep -P "$pid")
    kill -KILL "$pid" 2>/dev/null || true
  done
  unmount_below "$run"
  unmount_below "$data"
  rm -rf "$run/exec" "$run/docker.sock" "$run/dockerd.pid"
}

# engine_leftovers RUN: pids of programs that were started for this very exec-root.
engine_leftovers() {
  local pid line
  for pid in /proc/[0-9]*; do
    line=$(tr '\0' ' ' 2>/dev/null <"$pid/cmdline") || continue
    case $line in
      *"containerd"*" $1/exec/"*|*"dockerd"*"--exec-root $1/exec "*) echo "${pid#/proc/}" ;;
    esac
  done
}

# unmount_below DIR: deepest first; lazily, because a dying process may still hold one.
unmount_below() {
  local mount
  while IFS= read -r mount; do umount -l "$mount" 2>/dev/null || true; done \
    < <(cut -d' ' -f5 /proc/self/mountinfo | awk -v dir="$1/" 'index($0, dir) == 1' | sort -r)
}
