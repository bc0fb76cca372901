# shellcheck shell=bash
# A whole Debian with systemd as its first process, on this machine: a root of its own, booted by
# systemd-nspawn in a network namespace whose way out is a program of a user (slirp4netns), so that
# no route and no rule of this machine changes.

# shellcheck disable=SC2034
MACHINE_SUITES=(bookworm trixie)
# What an installed Debian has beside the least: a bus, and nothing that quickstart brings.
MACHINE_PACKAGES=systemd-sysv,dbus,apt
MACHINE_BOOT_LIMIT=120
# Size of its disk in MiB; HATCHERY_DISK is another.
MACHINE_DISK=20000
# Keys of our units that Debian 12's systemd (252) does not know; it ignores them, and says so.
MACHINE_KEYS_UNKNOWN="Unknown key '(RestartSteps|RestartMaxDelaySec|FileDescriptorStorePreserve)'"
# Where the checkout lies in it: paths have spaces.
MACHINE_CHECKOUT='/root/a checkout'
# The address at which slirp4netns answers for this machine's resolver.
MACHINE_DNS=10.0.2.3

# What the machine is for: part of its name, so that machines of two kinds can be up at once.
MACHINE_KIND=fresh
# Set: it sees cgroup v2 alone, also where this machine's controllers are in hierarchies of v1 (none
# is in v2 then).
MACHINE_UNIFIED=

machine_data() { echo "/var/lib/hatchery-$MACHINE_KIND-$1"; }
machine_name() { echo "hatchery-$MACHINE_KIND-$1"; }
machine_tar() { echo "$HATCHERY_CACHE/machines/debian-$1-1/root.tar"; }
machine_tar_make() { atomic_dir "$(dirname "$(machine_tar "$1")")" machine_tar_fill "$1"; }

# machine_tar_fill SUITE DIR
machine_tar_fill() {
  debian_root "$1" "$2/root" "$MACHINE_PACKAGES"
  tar -C "$2/root" --one-file-system -cf "$2/root.tar" .
  rm -rf "$2/root"
}

machine_tools() { apt_install systemd-container slirp4netns debootstrap util-linux iproute2 procps e2fsprogs; }

# machine_make SUITE: its root as an installer leaves it, and this checkout in it.
machine_make() {
  local suite=$1 root
  root=$(machine_data "$suite")/root
  mkdir -p "$root"
  machine_disk "$suite"
  tar -C "$root" -xf "$(machine_tar "$suite")"
  machine_name "$suite" >"$root/etc/hostname"
  echo "nameserver $MACHINE_DNS" >"$root/etc/resolv.conf"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  machine_sources "$suite" >"$root/etc/apt/sources.list"
  # There are no modules to load here, and this unit calls that a failure.
  ln -sfn /dev/null "$root/etc/systemd/system/systemd-modules-load.service"
  machine_cgroup_unit >"$root/etc/systemd/system/cgroups.service"
  mkdir -p "$root/etc/systemd/system/sysinit.target.wants"
  ln -sfn ../cgroups.service "$root/etc/systemd/system/sysinit.target.wants/cgroups.service"
  # Authorities that this machine's administrator trusts, where the way out needs them.
  mkdir -p "$root/usr/local/share/ca-certificates"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$root/usr/local/share/ca-certificates" {} + 2>/dev/null || true
  mkdir -p "$root$MACHINE_CHECKOUT"
  (cd "$HATCHERY_ROOT" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf -) |
    tar -C "$root$MACHINE_CHECKOUT" -xf -
}

# machine_disk SUITE: its root on a file system of its own, as a server has it. It takes what is
# written, and goes at once, which some file systems take minutes for with as many files.
machine_disk() {
  local image
  image=$(machine_data "$1")/root.ext4
  truncate -s "${HATCHERY_DISK:-$MACHINE_DISK}M" "$image"
  mkfs.ext4 -q -m 0 -E nodiscard "$image"
  mount -o loop "$image" "$(machine_data "$1")/root"
}

# machine_cgroup_unit: nspawn mounts the hierarchies of cgroup v1 read-only; an engine writes to them.
machine_cgroup_unit() {
  cat <<'UNIT'
[Unit]
Description=Writable cgroup hierarchies, as a machine has them
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for one in /sys/fs/cgroup/*/; do mount -o remount,rw,bind "$one"; done; true'
UNIT
}

machine_sources() {
  local main security
  main=$(debian_mirror '/debian/?$')
  security=$(debian_mirror 'security/?$' -security)
  printf 'deb %s %s main\ndeb %s %s-updates main\ndeb %s %s-security main\n' "$main" "$1" "$main" "$1" "$security" "$1"
}

# machine_boot SUITE: up, with its network.
machine_boot() {
  local suite=$1 name pid arguments
  read -ra arguments <<<"$(machine_kernel_arguments)"
  name=$(machine_name "$suite")
  netns_make "$name"
  (
    close_inherited
    exec setsid slirp4netns --netns-type=path --configure --mtu=65520 --disable-host-loopback \
      "/run/netns/$name" tap0 </dev/null >"$(machine_data "$suite")/network.log" 2>&1
  ) &
  (
    close_inherited
    machine_cgroups "$name"
    if [ -n "$MACHINE_UNIFIED" ]; then export UNIFIED_CGROUP_HIERARCHY=1 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1; fi
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 exec setsid systemd-nspawn --directory="$(machine_data "$suite")/root" \
      --machine="$name" --boot --register=no --keep-unit --capability=all \
      --system-call-filter='add_key keyctl bpf perf_event_open' \
      --network-namespace-path="/run/netns/$name" --resolv-conf=off --link-journal=no --console=pipe -- \
      "${arguments[@]}" </dev/null >"$(machine_data "$suite")/console.log" 2>&1
  ) &
  pid=$!
  echo "$pid" >"$(machine_data "$suite")/nspawn.pid"
  machine_await "$suite"
}

# machine_cgroups NAME: this process goes into a cgroup of that name in each hierarchy, which is all
# that the machine then sees. (systemd from 256 on takes cgroup v1 only when told to, as here.)
machine_cgroups() {
  local hierarchy
  for hierarchy in $(machine_hierarchies); do
    mkdir -p "$hierarchy/$1"
    if [ -e "$hierarchy/$1/cpuset.cpus" ]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy/$1/cpuset.cpus" 2>/dev/null || true
      cat "$hierarchy/cpuset.mems" >"$hierarchy/$1/cpuset.mems" 2>/dev/null || true
      echo 1 >"$hierarchy/$1/cgroup.clone_children" 2>/dev/null || true
    fi
    # Beside this machine's own processes a group weighs as much as one of them.
    if [ -e "$hierarchy/$1/cpu.shares" ]; then echo $((1024 * $(nproc))) >"$hierarchy/$1/cpu.shares"; fi
    echo "$BASHPID" >"$hierarchy/$1/cgroup.procs"
  done
}

# machine_hierarchies: cgroup v2's one, or v1's several.
machine_hierarchies() {
  local hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup && return; fi
  for hierarchy in /sys/fs/cgroup/*; do
    if [ -e "$hierarchy/cgroup.procs" ]; then echo "$hierarchy"; fi
  done
}

machine_kernel_arguments() {
  if [ -n "$MACHINE_UNIFIED" ]; then echo systemd.unified_cgroup_hierarchy=1 && return; fi
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
  fi
}

# machine_pid SUITE: of its first process.
machine_pid() {
  local nspawn
  nspawn=$(cat "$(machine_data "$1")/nspawn.pid" 2>/dev/null) || return 0
  pgrep -P "$nspawn" | head -n 1 || true
}

# machine_enter SUITE COMMAND...: in all its namespaces, but in no unit of its.
machine_enter() {
  local pid
  pid=$(machine_pid "$1")
  [ -n "$pid" ] || return 1
  nsenter -t "$pid" -m -u -i -n -p -C -r -w "${@:2}"
}

# machine_run SUITE COMMAND...: as root's login would, in the checkout, in a unit of its own.
machine_run() {
  machine_enter "$1" systemd-run -q --pipe --wait --collect --working-directory="$MACHINE_CHECKOUT" \
    --setenv=HOME=/root --setenv=NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "${@:2}"
}

# machine_await SUITE: until everything that starts at boot has started.
machine_await() {
  local suite=$1 state='' deadline=$((SECONDS + MACHINE_BOOT_LIMIT))
  while [ $SECONDS -lt $deadline ]; do
    state=$(machine_enter "$suite" systemctl is-system-running 2>/dev/null) || true
    if [ "$state" = running ]; then return; fi
    if [ "$state" = degraded ]; then break; fi
    sleep 0.5
  done
  machine_enter "$suite" systemctl list-units --failed --no-legend || true
  tail -n 20 "$(machine_data "$suite")/console.log"
  fail "the machine did not come up: ${state:-silent}" "its console: $(machine_data "$suite")/console.log"
}

# machine_reboot SUITE: its processes end in order, and what a kernel would forget is gone.
machine_reboot() {
  machine_power_off "$1"
  machine_boot "$1"
}

# machine_power_off SUITE: by itself, or after a minute by force; its network goes with it.
machine_power_off() {
  local suite=$1 name data pid deadline=$((SECONDS + 60))
  name=$(machine_name "$suite")
  data=$(machine_data "$suite")
  pid=$(cat "$data/nspawn.pid" 2>/dev/null) || pid=''
  if [ -n "$pid" ] && grep -q nspawn "/proc/$pid/comm" 2>/dev/null; then
    machine_enter "$suite" systemctl poweroff 2>/dev/null || true
    while [ -d "/proc/$pid" ] && [ $SECONDS -lt $deadline ]; do sleep 0.2; done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  # By its namespace, which only this machine has: one of an interrupted run has no pid file any more.
  for pid in $(pgrep -f "^slirp4netns .* /run/netns/$name tap0\$"); do kill "$pid" 2>/dev/null || true; done
  netns_remove "$name"
}

# machine_end SUITE: powered off, and all of it gone.
machine_end() {
  local suite=$1 name data hierarchy
  name=$(machine_name "$suite")
  data=$(machine_data "$suite")
  machine_power_off "$suite"
  for hierarchy in $(machine_hierarchies); do
    if [ -d "$hierarchy/$name" ]; then find "$hierarchy/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
  done
  unmount_below "$data"
  rm -rf "$data"
}
