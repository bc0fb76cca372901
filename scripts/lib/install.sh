# shellcheck shell=bash
# What quickstart puts under $PREFIX: the programs, the feature, and tools of ours, linked into one
# bin directory that every service has in its PATH.

CONFIG_FILE=/etc/hatchery/config.toml
# What the host agent calls, beside Docker and Node.
SERVER_PACKAGES=(ca-certificates git iptables)

server_packages_ready() { [ -z "$(missing "${SERVER_PACKAGES[@]}")" ]; }

# install_changed SOURCE TARGET: replaced by rename, and only when it differs.
install_changed() {
  mkdir -p "$(dirname "$2")"
  if cmp -s "$1" "$2"; then return; fi
  install -m "$(stat -c %a "$1")" "$1" "$2.new"
  mv -T "$2.new" "$2"
}

install_programs() {
  local file
  ledger_add path "$PREFIX"
  install_changed "$HATCHERY_ROOT/target/release/hatchery" "$PREFIX/bin/hatchery"
  while IFS= read -r file; do
    install_changed "$FEATURE/$file" "$PREFIX/share/hatchery/feature/$file"
  done < <(cd "$FEATURE" && find . -type f -not -name '.*')
  if [ ! -e /usr/local/bin/hatchery ]; then
    ln -s "$PREFIX/bin/hatchery" /usr/local/bin/hatchery
    ledger_add path /usr/local/bin/hatchery
  fi
}

# install_tools: Node and the devcontainer CLI, where every service finds them.
install_tools() {
  ledger_add path "$PREFIX"
  mkdir -p "$PREFIX/bin"
  install_tool node "$(command -v node)"
  install_tool devcontainer "$(devcontainer_command)"
}

# install_tool NAME FOUND: what lies in the cache is copied, to stay when the cache is deleted; so is
# what lies in a home directory (Node by nvm).
install_tool() {
  local name=$1 found=$2 home
  if [[ $found != "$HATCHERY_CACHE"/* ]] && in_a_home "$found"; then
    install_changed "$(readlink -f "$found")" "$PREFIX/bin/$name"
    return
  fi
  if [ "$(PATH=$SERVICE_PATH command -v "$name")" = "$found" ]; then return; fi
  if [[ $found == "$HATCHERY_CACHE"/* ]]; then
    home=${found%/node_modules/*}
    atomic_dir "$PREFIX/${home##*/}" copy_tree "$home"
    found=$PREFIX/${home##*/}/node_modules/.bin/$name
  fi
  ln -sfn "$found" "$PREFIX/bin/$name"
}

# tool_serves NAME: services find it.
tool_serves() {
  local found
  found=$(PATH=$SERVICE_PATH command -v "$1") && ! in_a_home "$found"
}

tools_installed() {
  tool_serves node && tool_serves devcontainer &&
    version_at_least "$(env PATH="$SERVICE_PATH" node --version | tr -d v)" "$NODE_WANTED" &&
    version_at_least "$(env PATH="$SERVICE_PATH" devcontainer --version)" "$DEVCONTAINER_VERSION"
}

# install_config: for the local forge. One that somebody else wrote is never touched.
install_config() {
  local directory text
  directory=$(dirname "$CONFIG_FILE")
  text=$(config_text "$(docker_bridge_address)" "$FORGE_DATA" "$(forge_client_id)")
  if [ -f "$CONFIG_FILE" ] && [ "$(cat "$CONFIG_FILE")" = "$text" ]; then return; fi
  ledger_add_absent_directories "$directory"
  mkdir -p "$directory"
  ledger_add path "$CONFIG_FILE"
  ledger_add path "$directory/seal.key"
  printf '%s\n' "$text" >"$CONFIG_FILE"
}

config_is_foreign() { [ -f "$CONFIG_FILE" ] && ! ledger_has path "$CONFIG_FILE"; }

# config_text ADDRESS FORGE-DATA CLIENT-ID: a configuration for a local forge on that address.
config_text() {
  cat <<TOML
# Written by Hatchery's scripts, for the local forge. README.md says how the same looks with GitHub.

[[forge]]
host = "$FORGE_HOST"
address = "$1"
ca_file = "$2/ca.pem"
app = { client_id = "$3", private_key_file = "$2/app.private-key.pem" }

[network]
# Drones reach the local forge on this machine.
host_ports = [443]

[tailnet]
control = "none"

[features]
sshd = ""

[limits]
free_disk_floor = "1GiB"
TOML
}
