# shellcheck shell=bash
# The local forge: GitHub's stand-in, with one sample repository and the App installed on it.

FORGE_HOST=forge.hatchery.test
FORGE_DATA=/var/lib/hatchery-quickstart/forge
SAMPLE=acme/hello

# forge COMMAND...: on the forge's own data and admin socket; it needs neither host agent nor configuration.
forge() { "$PREFIX/bin/hatchery" --quiet forge --data-dir "$FORGE_DATA" "$@"; }

forge_answers() { forge app show >/dev/null 2>&1; }
forge_client_id() { forge --json app show | sed -n 's/.*"client_id": *"\([^"]*\)".*/\1/p'; }

forge_runs() { service_runs hatchery-forge "$PREFIX/bin/hatchery" && forge_answers; }

forge_start() {
  local address
  address=$(docker_bridge_address)
  forge_port_free "$address"
  mkdir -p "$FORGE_DATA"
  ledger_add path "$FORGE_DATA"
  service_start hatchery-forge "$PREFIX/bin/hatchery" forge serve --data-dir "$FORGE_DATA" \
    --listen "$address:443" --host "$FORGE_HOST" --host "$address"
  service_await hatchery-forge forge_answers
}

# forge_port_free ADDRESS: `gh` drops any other port of a remote, so there is no way around 443.
forge_port_free() {
  local taken
  if [ -n "$(service_pid hatchery-forge)" ]; then return; fi
  taken=$(ss -Hltnp "sport = :443" | grep -E " ($1|0\.0\.0\.0|\*|\[::\]):443 " | head -n 1) || true
  [ -z "$taken" ] || fail "port 443 of $1 is taken: $taken" \
    "stop that program, or let it listen on one address (not on $1), then run this again"
}

sample_seeded() { forge admin GET /state | grep -q '"hello"'; }

# sample_seed: the repository from scripts/sample, and the App on its owner's account.
sample_seed() {
  forge repo create "$SAMPLE" --from "$HATCHERY_ROOT/scripts/sample/${SAMPLE#*/}"
  forge app install "${SAMPLE%/*}"
}
