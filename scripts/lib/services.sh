# shellcheck shell=bash
# Programs that stay: units where systemd runs, else supervised background processes.

SERVICE_RUN=/run/hatchery-quickstart
SERVICE_LOGS=/var/log/hatchery
# Where quickstart installs; PATH of every service begins with its bin.
PREFIX=/opt/hatchery
SERVICE_PATH=$PREFIX/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SERVICE_START_LIMIT=30

under_systemd() { [ -d /run/systemd/system ]; }

# service_start NAME PROGRAM ARGUMENT...: started, and again whenever it ends.
service_start() {
  local name=$1
  shift
  # The host agent hands its sockets and tokens on when it is restarted, not when it is stopped.
  if [ "$name" != hatchery ] || ! under_systemd; then service_stop "$name"; fi
  ledger_add service "$name"
  mkdir -p "$SERVICE_LOGS"
  ledger_add path "$SERVICE_LOGS"
  if under_systemd; then service_start_unit "$name" "$@"; else service_start_background "$name" "$@"; fi
}

service_start_unit() {
  local name=$1 unit=/etc/systemd/system/$1.service
  shift
  if [ "$name" = hatchery ]; then
    units_install_quickstart
    units_start --no-block
    return
  fi
  unit_text "$name" "$@" >"$unit"
  ledger_add path "$unit"
  systemctl daemon-reload
  systemctl enable "$name.service"
  # Who waits for it shows its log when it does not come up.
  systemctl restart --no-block "$name.service"
}

# unit_text NAME PROGRAM ARGUMENT...: at boot after Docker, whichever of the two units has it, and
# again for as long as it takes: the local forge waits for the address of Docker's bridge.
unit_text() {
  local name=$1
  shift
  cat <<UNIT
[Unit]
Description=Hatchery: $name
Wants=network-online.target
After=network-online.target$(unit_after "$name")
StartLimitIntervalSec=0

[Service]
ExecStart=$*
Environment=PATH=$SERVICE_PATH
Restart=always
RestartSec=1
$(unit_service "$name")

[Install]
WantedBy=multi-user.target
UNIT
}

unit_after() {
  if [ "$1" != dockerd ]; then echo ' docker.service dockerd.service'; fi
}

# unit_service NAME: what this one needs beside the rest.
unit_service() {
  case $1 in
    dockerd)
      # As Debian's own unit has it.
      cat <<'UNIT'
Type=notify
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500
UNIT
      ;;
    *) echo 'Type=exec' ;;
  esac
}

service_start_background() {
  local name=$1
  shift
  mkdir -p "$SERVICE_RUN"
  ledger_add path "$SERVICE_RUN"
  install_changed "$HATCHERY_ROOT/scripts/lib/supervise" "$PREFIX/libexec/supervise"
  ledger_add path "$PREFIX"
  PATH=$SERVICE_PATH setsid "$PREFIX/libexec/supervise" "$SERVICE_RUN/$name.pid" "$@" \
    </dev/null >>"$SERVICE_LOGS/$name.log" 2>&1 &
}

# service_pid NAME: of the program itself, if it runs.
service_pid() {
  local pid
  if under_systemd; then
    pid=$(systemctl show -p MainPID --value "$1.service" 2>/dev/null)
  else
    pid=$(cat "$SERVICE_RUN/$1.pid" 2>/dev/null) || return 0
  fi
  if [ "${pid:-0}" -gt 0 ] && [ -d "/proc/$pid" ]; then echo "$pid"; fi
}

# service_runs NAME PROGRAM: and it is the program as it is installed now, not one since replaced.
service_runs() {
  local pid
  pid=$(service_pid "$1")
  [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$2" ]
}

service_stop() {
  local name=$1 pid deadline=$((SECONDS + SERVICE_START_LIMIT))
  pid=$(service_pid "$name")
  if under_systemd; then
    if [ "$name" = hatchery ]; then units_stop; else systemctl disable --now "$name.service" 2>/dev/null || true; fi
    return
  fi
  if [ -z "$pid" ]; then return; fi
  # The supervisor is its parent: it passes the signal on and does not start it again.
  kill -TERM "$(ps -o ppid= -p "$pid" | tr -d ' ')" 2>/dev/null || kill -TERM "$pid"
  while [ -d "/proc/$pid" ] && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
}

service_log() { if under_systemd; then echo "journalctl -u $1"; else echo "$SERVICE_LOGS/$1.log"; fi; }

# service_await NAME CHECK...: until CHECK holds; the service's log is the reason when it does not.
service_await() {
  local name=$1 deadline=$((SECONDS + SERVICE_START_LIMIT))
  shift
  until "$@"; do
    if [ $SECONDS -ge $deadline ]; then
      if under_systemd; then journalctl -n 20 --no-pager -u "$name"; else tail -n 20 "$SERVICE_LOGS/$name.log"; fi
      fail "$name did not come up in $SERVICE_START_LIMIT s" "its log: $(service_log "$name")"
    fi
    sleep 0.2
  done
}
