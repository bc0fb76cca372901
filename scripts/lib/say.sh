# shellcheck shell=bash
# Telling the user what goes on: each step shows that it is alive and how long it took.

SAY_TTY=
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then SAY_TTY=1; fi
SAY_GREEN='' SAY_RED='' SAY_DIM='' SAY_BOLD='' SAY_OFF=''
if [ -n "$SAY_TTY" ] && [ -z "${NO_COLOR:-}" ]; then
  SAY_GREEN=$'\e[32m' SAY_RED=$'\e[31m' SAY_DIM=$'\e[2m' SAY_BOLD=$'\e[1m' SAY_OFF=$'\e[0m'
fi
# Process group of the step under way; ended when the script is interrupted.
SAY_RUNNING=
# Steps that go on beside it, by their titles: process group, start and log.
declare -A BESIDE_PID BESIDE_STARTED
# Less memory free than this, in MiB: one at a time. The linker alone takes half of it.
BESIDE_MEMORY=3000

say() { printf '%s\n' "$*"; }
title() { printf '%s%s%s\n' "$SAY_BOLD" "$*" "$SAY_OFF"; }
note() { printf '  %s%s%s\n' "$SAY_DIM" "$*" "$SAY_OFF"; }
hint() { printf '\nhint: %s\n' "$*" >&2; }

# fail MESSAGE [HINT]: what happened, and what to do now.
fail() {
  printf '%serror:%s %s\n' "$SAY_RED" "$SAY_OFF" "$1" >&2
  if [ $# -gt 1 ]; then hint "$2"; fi
  exit 1
}

# need_root WHY: a fresh Debian may have no sudo.
need_root() {
  local hint='run it as root: su -'
  if [ "$(id -u)" -eq 0 ]; then return; fi
  if command -v sudo >/dev/null; then hint="sudo $0"; fi
  fail "$1, so it needs root" "$hint"
}

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }

# seconds_since MS: elapsed time as "12.3 s".
seconds_since() {
  local elapsed=$(($(now_ms) - $1))
  printf '%d.%d s' $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# step TITLE COMMAND...: runs COMMAND in a subshell with its output in a log file. Nothing that it
# sets reaches the caller. Ends the script when it fails. Never call it inside a condition: bash
# then ignores errexit inside COMMAND.
step() {
  local title=$1 started
  shift
  started=$(now_ms)
  step_start "$(step_log "$title")" "$@"
  step_end "$title" "$started"
}

step_log() { echo "$HATCHERY_STEP_LOGS/$(printf '%s' "$1" | tr -cs 'A-Za-z0-9' '-').log"; }

# step_start LOG COMMAND...
step_start() {
  local log=$1
  shift
  # A process group of its own, so that an interrupt ends the step with all its children.
  set -m
  (
    set -euo pipefail
    "$@"
  ) </dev/null >"$log" 2>&1 &
  SAY_RUNNING=$!
  set +m
}

# step_end TITLE STARTED: what was started last, to its end.
step_end() {
  local title=$1 started=$2 log status=0
  log=$(step_log "$title")
  step_watch "$title" "$started" "$log"
  wait "$SAY_RUNNING" || status=$?
  SAY_RUNNING=
  if [ -n "$SAY_TTY" ]; then printf '\r\e[K'; fi
  if [ "$status" -eq 0 ]; then
    printf '  %s✓%s %-34s %s\n' "$SAY_GREEN" "$SAY_OFF" "$title" "$(seconds_since "$started")"
    return
  fi
  printf '  %s✗%s %-34s %s\n' "$SAY_RED" "$SAY_OFF" "$title" "$(seconds_since "$started")"
  steps_stop
  tail -n 30 "$log" | sed 's/^/    /' >&2
  fail "the step '$title' failed" "its whole output is in $log; run the same command again once the cause is gone"
}

# step_watch TITLE STARTED LOG: shows life until the step ends: a line that changes on a terminal,
# a line every 15 seconds elsewhere.
step_watch() {
  local title=$1 started=$2 log=$3 frames='⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏' tick=0 last
  if [ -z "$SAY_TTY" ]; then printf '  … %s\n' "$title"; fi
  while kill -0 "$SAY_RUNNING" 2>/dev/null; do
    tick=$((tick + 1))
    if [ -n "$SAY_TTY" ]; then
      last=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | tr -cd '[:print:]' | cut -c1-40)
      printf '\r\e[K  %s %-34s %s%s  %s%s' "${frames:tick % 10:1}" "$title" "$SAY_DIM" "$(seconds_since "$started")" "$last" "$SAY_OFF"
    elif ((tick % 75 == 0)); then
      printf '  … %s, %s\n' "$title" "$(seconds_since "$started")"
    fi
    sleep 0.2
  done
}

# beside TITLE COMMAND...: a step that goes on while others run, until `joined TITLE`.
beside() {
  local title=$1 free
  free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
  if [ "${free:-0}" -lt "$BESIDE_MEMORY" ]; then
    step "$@"
    return
  fi
  shift
  BESIDE_STARTED[$title]=$(now_ms)
  step_start "$(step_log "$title")" "$@"
  BESIDE_PID[$title]=$SAY_RUNNING
  SAY_RUNNING=
}

# joined TITLE: to its end; nothing if it has never gone beside.
joined() {
  local title=$1
  if [ -z "${BESIDE_PID[$title]:-}" ]; then return; fi
  SAY_RUNNING=${BESIDE_PID[$title]}
  unset "BESIDE_PID[$title]"
  step_end "$title" "${BESIDE_STARTED[$title]}"
}

# ensure TITLE CHECK COMMAND...: a step that is left out when CHECK says it is right already.
ensure() {
  local title=$1 check=$2
  shift 2
  if "$check" >/dev/null 2>&1; then
    printf '  %s✓%s %-34s %s\n' "$SAY_GREEN" "$SAY_OFF" "$title" "${SAY_DIM}already there${SAY_OFF}"
  else
    step "$title" "$@"
    # What was installed may lie ahead of what this shell remembers.
    hash -r
  fi
}

# steps_stop: with their children.
steps_stop() {
  local pid
  for pid in $SAY_RUNNING "${BESIDE_PID[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
}

say_interrupted() {
  steps_stop
  printf '\n' >&2
  fail "interrupted" "run the same command again: it goes on where it stopped"
}
trap say_interrupted INT TERM
