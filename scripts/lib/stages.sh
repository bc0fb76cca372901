# shellcheck shell=bash
# Stages of a test run: each is timed, all of them run whatever fails, and the end says what did.

STAGES_PASSED=0 STAGES_FAILED=0
# One line a stage for the summary.
STAGES_SUMMARY=()

# stage TITLE COMMAND...: COMMAND's output is shown as it comes. `cargo test`'s own counts are added
# up; a stage without tests counts as one.
stage() {
  local title=$1 started log status passed failed mark=ok
  shift
  started=$(now_ms)
  log=$(mktemp)
  title "==> $title"
  # Not a condition, which would make bash ignore errexit inside COMMAND.
  set +e
  (
    set -euo pipefail
    cd "$HATCHERY_ROOT" || exit
    "$@"
  ) </dev/null 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  passed=$(stage_count passed "$log")
  failed=$(stage_count failed "$log")
  rm -f "$log"
  if [ "$status" -ne 0 ]; then
    mark=FAILED
    if [ "$failed" -eq 0 ]; then failed=1; fi
  elif [ "$passed" -eq 0 ]; then
    passed=1
  fi
  STAGES_PASSED=$((STAGES_PASSED + passed)) STAGES_FAILED=$((STAGES_FAILED + failed))
  STAGES_SUMMARY+=("$(printf '%-30s %-7s %10s' "$title" "$mark" "$(seconds_since "$started")")")
  say "==> $title: $mark in $(seconds_since "$started")"
}

# stage_count WORD LOG: the sum over cargo's "test result:" lines.
stage_count() { sed -n "s/.*test result:.* \\([0-9]*\\) $1.*/\\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'; }

# stages_end: the summary; its last line is for machines too.
stages_end() {
  say
  printf '%s\n' "${STAGES_SUMMARY[@]}"
  say
  say "$STAGES_PASSED passed, $STAGES_FAILED failed"
  [ "$STAGES_FAILED" -eq 0 ]
}
