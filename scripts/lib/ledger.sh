# shellcheck shell=bash
# What the scripts made on this machine, one "kind<TAB>value" a line, so that `quickstart
# --uninstall` takes back exactly that and nothing that was there before.

HATCHERY_LEDGER=${HATCHERY_LEDGER:-/var/lib/hatchery-quickstart/made}
# Only quickstart promises to take things back; it sets this.
LEDGER_OPEN=${LEDGER_OPEN:-}

# ledger_add KIND VALUE: noted once; no-op outside quickstart.
ledger_add() {
  if [ -z "$LEDGER_OPEN" ]; then return; fi
  mkdir -p "$(dirname "$HATCHERY_LEDGER")"
  ledger_has "$1" "$2" || printf '%s\t%s\n' "$1" "$2" >>"$HATCHERY_LEDGER"
}

# ledger_add_all KIND: one value a line on standard input.
ledger_add_all() {
  local value
  while IFS= read -r value; do ledger_add "$1" "$value"; done
}

# ledger_add_absent PATH...: those that are not there yet, but will be.
ledger_add_absent() {
  local path
  for path; do if [ ! -e "$path" ]; then ledger_add path "$path"; fi; done
}

# ledger_add_absent_directories PATH...: the same for those that others use too; they go when they are empty.
ledger_add_absent_directories() {
  local path
  for path; do if [ ! -e "$path" ]; then ledger_add directory "$path"; fi; done
}

ledger_has() { [ -f "$HATCHERY_LEDGER" ] && grep -qxF -- "$1"$'\t'"$2" "$HATCHERY_LEDGER"; }

# ledger_of KIND: its values, newest first.
ledger_of() {
  if [ -f "$HATCHERY_LEDGER" ]; then tac "$HATCHERY_LEDGER" | sed -n "s/^$1\t//p"; fi
}
