# shellcheck shell=bash
# What the tests run on: engines in network namespaces of their own, with their own sockets, data and
# images, beside whatever the machine runs. `scripts/testbed` is the command for developers.

# Several testbeds can be up at once under different names.
TESTBED=${HATCHERY_TESTBED:-hatchery-test}
TESTBED_RUN=/run/$TESTBED
TESTBED_DATA=/var/lib/$TESTBED
# An engine that runs out of disk: size of its data root in MiB.
TESTBED_BOUNDED_MIB=700
TESTBED_ENGINES=(main classic bounded)

testbed_netns() { if [ "$1" = main ]; then echo "$TESTBED"; else echo "$TESTBED-$1"; fi; }
testbed_outside() { echo "$TESTBED-outside"; }

# testbed_home ENGINE: which unpacked engine it is.
testbed_home() { if [ "$1" = classic ]; then classic_home; else engine_home; fi; }

testbed_version() { if [ "$1" = classic ]; then echo "$CLASSIC_VERSION"; else echo "$ENGINE_VERSION, BuildKit"; fi; }

testbed_packages() { apt_install iproute2 iptables kmod git curl util-linux procps file e2fsprogs xz-utils ca-certificates; }

testbed_packages_ready() { [ -z "$(missing iproute2 iptables git curl procps file e2fsprogs xz-utils ca-certificates)" ]; }

# testbed_tools: everything that the testbed is made of, into the cache.
testbed_tools() {
  ensure "packages" testbed_packages_ready testbed_packages
  ensure "Node $NODE_WANTED or newer" node_ready node_install
  ensure "devcontainer CLI $DEVCONTAINER_VERSION" devcontainer_ready devcontainer_install
  ensure "gh $GH_VERSION" gh_ready gh_install
  ensure "git-lfs" git_lfs_ready git_lfs_install
  ensure "qemu-aarch64" qemu_ready qemu_install
  ensure "a registry" registry_ready registry_install
  ensure "Docker Engine $ENGINE_VERSION" engine_unpacked engine_unpack
  ensure "Docker Engine $CLASSIC_VERSION" classic_unpacked classic_unpack
  ensure "base image (Debian $BASE_SUITE)" base_ready base_make
  ensure "image with a new git (Debian $NEW_SUITE)" new_ready new_make
  ensure "busybox image" busybox_ready busybox_make
}

# testbed_up ENGINE...: tools, network and those engines.
testbed_up() {
  local engine
  testbed_need_root
  testbed_tools
  ensure "network namespace $TESTBED" testbed_network_up testbed_network
  for engine; do step "engine $engine ($(testbed_version "$engine"))" testbed_engine_start "$engine"; done
}

testbed_need_root() { [ "$(id -u)" -eq 0 ] || fail "the testbed needs root: engines, namespaces, mounts" "sudo $0"; }

testbed_network_up() { netns_exists "$(testbed_outside)"; }

testbed_network() {
  netns_make "$TESTBED"
  netns_make_outside "$TESTBED" "$(testbed_outside)"
}

# testbed_engine_start ENGINE: up, with its images.
testbed_engine_start() {
  local engine=$1 data=$TESTBED_DATA/$1
  netns_make "$(testbed_netns "$engine")"
  if [ "$engine" = bounded ]; then testbed_bounded_mount "$data"; fi
  engine_start "$(testbed_home "$engine")" "$TESTBED_RUN/$engine" "$data" "$(testbed_netns "$engine")"
  testbed_client "$engine"
  case $engine in
    bounded) images_load_base ;;
    main)
      images_load
      images_load_new
      ;;
    *) images_load ;;
  esac
}

# testbed_client ENGINE: this shell's docker is that engine's, with its plugins and no user's settings.
testbed_client() {
  local home plugins
  home=$(testbed_home "$1")
  plugins=$home/cli-plugins
  mkdir -p "$TESTBED_RUN/$1/docker-config"
  if [ "$1" = classic ]; then
    # Compose v2 runs there as well; buildx would look for its frontend in a registry.
    plugins=$TESTBED_RUN/$1/cli-plugins
    mkdir -p "$plugins"
    ln -sf "$(engine_home)/cli-plugins/docker-compose" "$plugins/"
  fi
  ln -sfn "$plugins" "$TESTBED_RUN/$1/docker-config/cli-plugins"
  export DOCKER_HOST=unix://$TESTBED_RUN/$1/docker.sock DOCKER_CONFIG=$TESTBED_RUN/$1/docker-config
  export PATH=$home/bin:$PATH
}

# testbed_bounded_mount DATA: a file system of its own that can be filled without harm.
testbed_bounded_mount() {
  local data=$1 image=$1.ext4
  if mountpoint -q "$data"; then return; fi
  mkdir -p "$data"
  rm -f "$image"
  truncate -s "${TESTBED_BOUNDED_MIB}M" "$image"
  mkfs.ext4 -q "$image"
  mount -o loop "$image" "$data"
}

# testbed_engine_end ENGINE: for good. Containers are killed first: nobody waits for their farewells.
testbed_engine_end() {
  local containers
  if engine_answers "$TESTBED_RUN/$1"; then
    testbed_client "$1"
    mapfile -t containers < <(docker ps -q)
    if [ ${#containers[@]} -gt 0 ]; then docker kill "${containers[@]}" || true; fi
  fi
  engine_stop "$TESTBED_RUN/$1"
  engine_clean "$TESTBED_RUN/$1" "$TESTBED_DATA/$1"
}

# testbed_down: nothing of it stays, whatever state a killed run left it in.
testbed_down() {
  local engine
  testbed_need_root
  for engine in "${TESTBED_ENGINES[@]}"; do
    testbed_engine_end "$engine"
    netns_remove "$(testbed_netns "$engine")"
    if mountpoint -q "$TESTBED_DATA/$engine"; then umount -l "$TESTBED_DATA/$engine"; fi
  done
  netns_remove "$(testbed_outside)"
  rm -rf "$TESTBED_RUN" "$TESTBED_DATA"
}

# testbed_env: what the tests need to know, as shell assignments.
testbed_env() {
  local home devcontainer
  home=$(testbed_home main)
  devcontainer=$(devcontainer_command)
  cat <<ENV
HATCHERY_TESTBED=$TESTBED
HATCHERY_TEST_NETNS=$TESTBED
HATCHERY_TEST_OUTSIDE_NETNS=$(testbed_outside)
HATCHERY_TEST_OUTSIDE_ADDRESS=$OUTSIDE_ADDRESS
HATCHERY_TEST_OUTSIDE_TAILNET=$OUTSIDE_TAILNET
DOCKER_HOST=unix://$TESTBED_RUN/main/docker.sock
DOCKER_CONFIG=$TESTBED_RUN/main/docker-config
HATCHERY_TEST_CLASSIC_NETNS=$(testbed_netns classic)
HATCHERY_TEST_CLASSIC_DOCKER_HOST=unix://$TESTBED_RUN/classic/docker.sock
HATCHERY_TEST_CLASSIC_DOCKER_CONFIG=$TESTBED_RUN/classic/docker-config
HATCHERY_TEST_CLASSIC_BIN=$(testbed_home classic)/bin
HATCHERY_TEST_BOUNDED_NETNS=$(testbed_netns bounded)
HATCHERY_TEST_BOUNDED_DOCKER_HOST=unix://$TESTBED_RUN/bounded/docker.sock
HATCHERY_TEST_BOUNDED_DATA=$TESTBED_DATA/bounded
HATCHERY_TEST_CONTROL=$HATCHERY_ROOT/scripts/testbed
HATCHERY_TEST_DEVCONTAINER=$devcontainer
HATCHERY_TEST_GH=$(gh_home)/gh
HATCHERY_TEST_QEMU_AARCH64=$(qemu_home)/qemu-aarch64
HATCHERY_TEST_REGISTRY=$(registry_home)/docker-registry
HATCHERY_TEST_IMAGE_BASE=$IMAGE_BASE
HATCHERY_TEST_IMAGE_DEV=$IMAGE_DEV
HATCHERY_TEST_IMAGE_BUSYBOX=$IMAGE_BUSYBOX
HATCHERY_TEST_IMAGE_NEW=$IMAGE_NEW
HATCHERY_TEST_BIN=$HATCHERY_ROOT/target/debug/hatchery
HATCHERY_FEATURE_DIR=$HATCHERY_ROOT/feature/src/drone
PATH=$home/bin:$(gh_home):${devcontainer%/*}:$PATH
ENV
}

# testbed_remember: once for many testbed_run, because asking the devcontainer CLI for its version
# takes longer than most of what is measured.
TESTBED_ASSIGNMENTS=()
testbed_remember() { mapfile -t TESTBED_ASSIGNMENTS < <(testbed_env); }

# testbed_run COMMAND...: in the main engine's network, with the tests' environment.
testbed_run() {
  if [ ${#TESTBED_ASSIGNMENTS[@]} -eq 0 ]; then testbed_remember; fi
  nsenter "--net=/run/netns/$TESTBED" env "${TESTBED_ASSIGNMENTS[@]}" "$@"
}
