# shellcheck shell=bash
# The host agent under systemd: packaging/systemd's units, for scripts/install as they are and for
# quickstart with a drop-in, so that both run it behind the same walls.

UNITS=(hatchery.service hatchery.socket)
UNIT_DIR=/usr/local/lib/systemd/system
UNIT_SOURCE=$HATCHERY_ROOT/packaging/systemd
SYSUSERS=/etc/sysusers.d/hatchery.conf
# Goes before ours.
# shellcheck disable=SC2034
UNIT_LOCAL=/etc/systemd/system/hatchery.service
UNIT_DROP_IN=/etc/systemd/system/hatchery.service.d/quickstart.conf

# units_install: units and the group `hatchery`, noted for --uninstall.
units_install() {
  local unit
  ledger_add_absent_directories /usr/local/lib/systemd "$UNIT_DIR" "${SYSUSERS%/*}"
  for unit in "${UNITS[@]}"; do
    ledger_add path "$UNIT_DIR/$unit"
    install_changed "$UNIT_SOURCE/$unit" "$UNIT_DIR/$unit"
  done
  if ! grep -q '^hatchery:' /etc/group; then ledger_add group hatchery; fi
  ledger_add path "$SYSUSERS"
  install_changed "$UNIT_SOURCE/hatchery.sysusers" "$SYSUSERS"
  systemd-sysusers "$SYSUSERS"
  systemctl daemon-reload
}

# units_start: anew, so that it is the program just installed. Sockets stay open meanwhile.
units_start() {
  systemctl enable "${UNITS[@]}"
  systemctl start hatchery.socket
  if systemctl restart "$@" hatchery.service; then return; fi
  journalctl -n 20 --no-pager -u hatchery.service
  return 1
}

units_stop() {
  systemctl disable --now "${UNITS[@]}" || true
  # Sockets and tokens that systemd keeps for the next host agent; older ones drop them by themselves.
  systemctl clean --what=fdstore hatchery.service || true
  systemctl reset-failed "${UNITS[@]}" 2>/dev/null || true
}

# units_drop_in: what differs where quickstart put the programs and, on Debian 12, the engine.
units_drop_in() {
  cat <<UNIT
# Written by Hatchery's quickstart.
[Unit]
Before=dockerd.service

[Service]
Environment=PATH=$SERVICE_PATH
ExecStart=
ExecStart=$PREFIX/bin/hatchery serve
UNIT
}

# units_current: the units are this checkout's.
units_current() {
  local unit
  for unit in "${UNITS[@]}"; do cmp -s "$UNIT_SOURCE/$unit" "$UNIT_DIR/$unit" || return 1; done
  [ "$(cat "$UNIT_DROP_IN" 2>/dev/null)" = "$(units_drop_in)" ]
}

# units_install_quickstart: with the drop-in.
units_install_quickstart() {
  ledger_add_absent_directories "${UNIT_DROP_IN%/*}"
  ledger_add path "$UNIT_DROP_IN"
  mkdir -p "${UNIT_DROP_IN%/*}"
  units_drop_in >"$UNIT_DROP_IN"
  units_install
}
