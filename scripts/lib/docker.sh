# shellcheck shell=bash
# The user's own Docker: what answers is used as it is; else it is installed or started.

DOCKER_SOCKET=/var/run/docker.sock
DOCKER_PLUGINS=/usr/local/lib/docker/cli-plugins
# Below this Docker has the classic builder only.
DOCKER_BUILDKIT_SINCE=23.0

docker_answers() { curl -fsS -m 5 -o /dev/null --unix-socket "$DOCKER_SOCKET" http://docker/_ping 2>/dev/null; }

docker_ready() { docker_answers && ! docker_is_podman && docker_in_path; }

docker_is_podman() { curl -sS -m 5 -D - -o /dev/null --unix-socket "$DOCKER_SOCKET" http://docker/_ping 2>/dev/null | grep -qi '^libpod'; }

# docker_usable: what answers in Docker's place, and cannot do its work.
docker_usable() {
  if docker_is_podman; then
    fail "Podman answers on $DOCKER_SOCKET, and quickstart works with Docker Engine" "apt-get remove podman-docker, or systemctl disable --now podman.socket; then run this again"
  fi
  if [ -x /snap/bin/docker ] && ! docker_in_path; then
    fail "Docker is installed as a snap, which does not see most of this machine's files" "snap remove docker (its containers go, too), then run this again"
  fi
}

# docker_in_path: of a user, who does not have $PREFIX/bin in it.
docker_in_path() { env PATH="${SERVICE_PATH#*:}" sh -c 'command -v docker'; }

docker_install() {
  docker_usable
  # The engine makes these by itself.
  ledger_add_absent /var/lib/docker /var/lib/containerd /opt/containerd /etc/cni
  if ! grep -q '^docker:' /etc/group; then ledger_add group docker; fi
  if ! docker_answers && ! command -v dockerd; then docker_install_engine; fi
  if ! docker_in_path; then
    apt_refresh
    if available docker-cli; then
      apt_install docker-cli
    else
      if ! engine_unpacked; then engine_unpack; fi
      docker_link "$(engine_home)"
    fi
  fi
  if docker_answers; then return; fi
  docker_start
}

# docker_install_engine: the distribution's, where it has BuildKit (Debian 13, Ubuntu). Debian 12's
# has not; there Debian 13's is unpacked beside the system, and nothing of it is replaced.
docker_install_engine() {
  local packages=(docker.io iptables) package
  apt_refresh
  if version_at_least "$(apt_candidate docker.io)" "$DOCKER_BUILDKIT_SINCE"; then
    for package in docker-cli docker-buildx docker-compose-v2 docker-compose; do
      if available "$package"; then packages+=("$package"); fi
      # Ubuntu's docker-compose is the old 1.29; its v2 package comes first in this list.
      if [ "$package" = docker-compose-v2 ] && available "$package"; then break; fi
    done
    apt_install "${packages[@]}"
    return
  fi
  apt_install iptables kmod
  if (engine_unpacked || engine_unpack); then
    docker_link "$(engine_home)"
    return
  fi
  echo "Debian 13's packages do not come; installing this distribution's engine, which has the classic builder only"
  apt_install docker.io
}

# docker_link HOME: an unpacked engine, copied to stay when the cache is deleted.
docker_link() {
  local program
  mkdir -p "$PREFIX/bin"
  atomic_dir "$PREFIX/engine" copy_tree "$1"
  for program in "$PREFIX"/engine/bin/*; do ln -sfn "$program" "$PREFIX/bin/"; done
  ledger_add_absent_directories "${DOCKER_PLUGINS%/*}" "$DOCKER_PLUGINS"
  mkdir -p "$DOCKER_PLUGINS"
  for program in "$PREFIX"/engine/cli-plugins/*; do docker_link_one "$program" "$DOCKER_PLUGINS"; done
  if ! docker_in_path; then docker_link_one "$PREFIX/bin/docker" /usr/local/bin; fi
}

# docker_link_one PROGRAM DIRECTORY: never over anything that is there.
docker_link_one() {
  local link=$2/${1##*/}
  if [ -e "$link" ] || [ -L "$link" ]; then return; fi
  ln -s "$1" "$link"
  ledger_add path "$link"
}

docker_start() {
  local name=dockerd
  if under_systemd && systemctl cat docker.service >/dev/null 2>&1; then
    name=docker
    docker_not_masked
    # One that was there and did not run goes back to that.
    if ! systemctl -q is-enabled docker.service; then ledger_add docker-was disabled; fi
    if ! systemctl -q is-active docker.service; then ledger_add docker-was stopped; fi
    # One that failed too often (without iptables, say) is not started again before this.
    systemctl reset-failed docker.service docker.socket 2>/dev/null || true
    systemctl enable --now docker.service
  else
    service_start dockerd "$(command -v dockerd)"
  fi
  service_await "$name" docker_answers
}

# docker_not_masked: whoever masked a unit meant it; nothing here undoes that.
docker_not_masked() {
  local unit
  for unit in docker.service docker.socket; do
    [ "$(systemctl show -p LoadState --value "$unit")" != masked ] || fail "Docker is installed here, and $unit is masked" \
      "if it may run: systemctl unmask docker.service docker.socket; then run this again"
  done
}

# docker_is_ours: quickstart brought the engine, so that --uninstall takes it along with its data.
docker_is_ours() { ledger_has path /var/lib/docker; }

# docker_foreign: containers and volumes that Hatchery did not make.
docker_foreign() {
  docker ps -a --format '{{.Names}} {{.Label "hatchery.managed"}}' | awk '$2 != "true" { print "container " $1 }'
  comm -23 <(docker volume ls -q | sort) <(docker volume ls -q --filter label=hatchery.managed=true | sort) | sed 's/^/volume /'
}

# docker_bridge_address: of the host on Docker's default bridge, where drones reach the local forge.
docker_bridge_address() { docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge; }
