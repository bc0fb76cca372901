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
  local title=$1 started log status=0
  shift
  started=$(now_ms)
  log="$HATCHERY_STEP_LOGS/$(printf '%s' "$title" | tr -cs 'A-Za-z0-9' '-').log"
  # A process group of its own, so that an interrupt ends the step with all its children.
  set -m
  (
    set -euo pipefail
    "$@"
  ) </dev/null >"$log" 2>&1 &
  SAY_RUNNING=$!
  set +m
  step_watch "$title" "$started" "$log"
  wait "$SAY_RUNNING" || status=$?
  SAY_RUNNING=
  if [ -n "$SAY_TTY" ]; then printf '\r\e[K'; fi
  if [ "$status" -eq 0 ]; then
    printf '  %s✓%s %-34s %s\n' "$SAY_GREEN" "$SAY_OFF" "$title" "$(seconds_since "$started")"
    return
  fi
  printf '  %s✗%s %-34s %s\n' "$SAY_RED" "$SAY_OFF" "$title" "$(seconds_since "$started")"
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

# The step's children go when the script does.
say_interrupted() {
  if [ -n "$SAY_RUNNING" ]; then kill -TERM -- "-$SAY_RUNNING" 2>/dev/null || true; fi
  printf '\n' >&2
  fail "interrupted" "run the same command again: it goes on where it stopped"
}
trap say_interrupted INT TERM
