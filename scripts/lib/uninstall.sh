# shellcheck shell=bash
# Takes back what the ledger says quickstart made, newest first, and nothing else.

uninstall_all() {
  uninstall_docker_answers
  uninstall_drones
  step "services" uninstall_services
  if [ -n "$(ledger_of package)" ]; then uninstall_packages; fi
  step "files" uninstall_paths
  uninstall_groups
  rm -rf "$(dirname "$HATCHERY_LEDGER")"
}

# uninstall_docker_answers: a drone is taken back by Docker only. One that stands still is started;
# where Docker has been taken away since, there is nothing to ask.
uninstall_docker_answers() {
  if docker_answers || ! command -v dockerd >/dev/null; then return; fi
  step "Docker Engine" docker_start
}

# uninstall_drones: the sample's; others may hold somebody's work, so they are named and kept.
uninstall_drones() {
  local others
  if ! docker_answers; then return; fi
  others=$(docker ps -a --filter label=hatchery.managed=true --format '{{.Label "hatchery.repo"}}' | grep -vxF "$SAMPLE" | sort -u) || true
  [ -z "$others" ] || fail "these drones are not quickstart's: $(tr '\n' ' ' <<<"$others")" \
    "save their work and 'hatchery slay' them, then run this again"
  if docker_is_ours; then
    others=$(docker_foreign | paste -sd, | sed 's/,/, /g')
    [ -z "$others" ] || fail "quickstart installed Docker and would take it back, but others use it: $others" \
      "save what they hold and remove them (docker rm, docker volume rm), then run this again"
  fi
  step "drone $SAMPLE" uninstall_sample
}

# uninstall_sample: slain by Hatchery while it runs; what it left, or could not, by its labels.
uninstall_sample() {
  local found image
  if [ -x "$PREFIX/bin/hatchery" ] && service_runs hatchery "$PREFIX/bin/hatchery"; then
    "$PREFIX/bin/hatchery" slay --force --forget "$SAMPLE" || true
  fi
  mapfile -t found < <(docker ps -aq --filter label=hatchery.managed=true)
  if [ ${#found[@]} -gt 0 ]; then docker rm -f "${found[@]}"; fi
  mapfile -t found < <(docker volume ls -q --filter label=hatchery.managed=true)
  if [ ${#found[@]} -gt 0 ]; then docker volume rm -f "${found[@]}"; fi
  mapfile -t found < <(docker network ls -q --filter label=hatchery.managed=true)
  if [ ${#found[@]} -gt 0 ]; then docker network rm "${found[@]}"; fi
  uninstall_firewall
  while IFS= read -r image; do docker image rm -f "$image" || true; done < <(ledger_of image)
}

# uninstall_firewall: the host agent's chains, and what leads to them (adapters/firewall.rs).
uninstall_firewall() {
  local tables from
  for tables in iptables ip6tables; do
    command -v "$tables" >/dev/null || continue
    for from in DOCKER-USER:HATCHERY-FORWARD FORWARD:HATCHERY-FORWARD INPUT:HATCHERY-INPUT; do
      while "$tables" -w -D "${from%:*}" -j "${from#*:}" 2>/dev/null; do :; done
      "$tables" -w -F "${from#*:}" 2>/dev/null || true
      "$tables" -w -X "${from#*:}" 2>/dev/null || true
    done
  done
}

# uninstall_groups: a package that is purged leaves its group.
uninstall_groups() {
  local group
  while IFS= read -r group; do
    if grep -q "^$group:" /etc/group; then groupdel "$group" || true; fi
  done < <(ledger_of group)
  rmdir --ignore-fail-on-non-empty "${HATCHERY_CACHE%/*}" 2>/dev/null || true
}

uninstall_services() {
  local name target
  while IFS= read -r name; do service_stop "$name"; done < <(ledger_of service)
  if ledger_has docker-was stopped; then systemctl stop docker.service docker.socket || true; fi
  if ledger_has docker-was disabled; then systemctl disable docker.service || true; fi
  while IFS= read -r target; do rustup target remove "$target" || true; done < <(ledger_of rust-target)
}

# uninstall_paths: unmounted first, where a killed engine left any.
uninstall_paths() {
  local path
  while IFS= read -r path; do
    unmount_below "$path"
    # dockerd makes its data root a mount of its own where mounts are shared.
    if mountpoint -q "$path"; then umount -l "$path"; fi
    rm -rf -- "$path"
  done < <(ledger_of path)
  while IFS= read -r path; do
    if [ -d "$path" ]; then rmdir --ignore-fail-on-non-empty "$path"; fi
  done < <(ledger_of directory)
  if under_systemd; then systemctl daemon-reload; fi
}

# uninstall_packages: unless that would take along something that came later and needs them.
uninstall_packages() {
  local packages extra
  mapfile -t packages < <(ledger_of package | while IFS= read -r name; do if installed "$name"; then echo "$name"; fi; done)
  if [ ${#packages[@]} -eq 0 ]; then return; fi
  extra=$(comm -13 <(printf '%s\n' "${packages[@]%%:*}" | sort) \
    <(apt-get -s purge "${packages[@]}" | sed -n 's/^Purg \([^ :]*\).*/\1/p' | sort))
  if [ -n "$extra" ]; then
    note "the packages stay, because these need them now: $(tr '\n' ' ' <<<"$extra")"
    return
  fi
  step "packages (${#packages[@]})" "${APT[@]}" purge "${packages[@]}"
}
