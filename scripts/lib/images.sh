# shellcheck shell=bash
# Images made from Debian packages, for machines where no image can be pulled. Their names belong to
# no registry, so that nothing ever looks for them outside.

BASE_SUITE=bookworm
# A plain Debian 12 with what a devcontainer base commonly has; its user is root.
IMAGE_BASE=hatchery.local/debian:12
# The same with gh, git-lfs and a user `dev` (1000) who may use sudo.
IMAGE_DEV=hatchery.local/dev:12
# Nothing but a shell: busybox, and not even a home directory worth the name.
IMAGE_BUSYBOX=hatchery.local/busybox:1
# Debian 13 with git from 2.46 on (2.47), which asks its helper again after a 401; gh and a user
# `dev` as in IMAGE_DEV.
IMAGE_NEW=hatchery.local/debian:13
NEW_SUITE=trixie

base_tar() { echo "$HATCHERY_CACHE/images/debian-$BASE_SUITE-1/base.tar"; }
base_ready() { [ -f "$(base_tar)" ]; }
base_make() { atomic_dir "$(dirname "$(base_tar)")" base_fill; }
base_fill() {
  debian_root "$BASE_SUITE" "$1/root" ca-certificates,git,openssh-server,sudo,curl
  tar -C "$1/root" --one-file-system -cf "$1/base.tar" .
  rm -rf "$1/root"
}

new_tar() { echo "$HATCHERY_CACHE/images/debian-$NEW_SUITE-1/new.tar"; }
new_ready() { [ -f "$(new_tar)" ]; }
new_make() { atomic_dir "$(dirname "$(new_tar)")" new_fill; }
new_fill() {
  debian_root "$NEW_SUITE" "$1/root" ca-certificates,git,gh,sudo,curl
  chroot "$1/root" useradd --create-home --shell /bin/bash dev
  echo 'dev ALL=(ALL) NOPASSWD: ALL' >"$1/root/etc/sudoers.d/dev"
  tar -C "$1/root" --one-file-system -cf "$1/new.tar" .
  rm -rf "$1/root"
}

# debian_root SUITE ROOT PACKAGES: a minimal Debian with these (comma between them); as root,
# because debootstrap makes devices and owners.
debian_root() {
  local script=()
  [ "$(id -u)" -eq 0 ] || fail "a Debian image can only be made by root"
  apt_install debootstrap
  [ -r "$DEBIAN_KEYRING" ] || apt_install debian-archive-keyring
  # An older debootstrap does not know a newer suite's name; all of Debian's are made alike.
  if [ ! -e "/usr/share/debootstrap/scripts/$1" ]; then script=(/usr/share/debootstrap/scripts/sid); fi
  debootstrap --variant=minbase --keyring="$DEBIAN_KEYRING" --include="$3" "$1" "$2" "$(debian_mirror '/debian/?$')" "${script[@]}"
  # Host keys are each machine's own; lists and packages would only be carried around.
  rm -rf "$2"/etc/ssh/ssh_host_* "$2"/var/cache/apt/archives/*.deb "$2"/var/lib/apt/lists/* "$2"/usr/share/{doc,man,locale}/*
}

busybox_tar() { echo "$HATCHERY_CACHE/images/busybox-1/busybox.tar"; }
busybox_ready() { [ -f "$(busybox_tar)" ]; }
busybox_make() { atomic_dir "$(dirname "$(busybox_tar)")" busybox_fill; }

busybox_fill() {
  local root=$1/root applet
  pool_unpack "$BASE_SUITE" "$(deb_arch)" "$1/deb" busybox-static
  mkdir -p "$root"/{bin,etc,root,tmp,var,proc,sys,dev}
  chmod 1777 "$root/tmp"
  cp "$1/deb/bin/busybox" "$root/bin/" 2>/dev/null || cp "$1/deb/usr/bin/busybox" "$root/bin/"
  for applet in $("$root/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nguest:x:1000:\n' >"$root/etc/group"
  tar -C "$root" --owner=0 --group=0 -cf "$1/busybox.tar" .
  rm -rf "$root" "$1/deb"
}

git_lfs_home() { echo "$HATCHERY_CACHE/git-lfs-$BASE_SUITE"; }
git_lfs_ready() { [ -x "$(git_lfs_home)/git-lfs" ]; }
git_lfs_install() { atomic_dir "$(git_lfs_home)" git_lfs_fill; }
git_lfs_fill() {
  pool_unpack "$BASE_SUITE" "$(deb_arch)" "$1/root" git-lfs
  mv "$1/root/usr/bin/git-lfs" "$1/git-lfs"
  rm -rf "$1/root"
}

# image_has NAME: on the engine that DOCKER_HOST names.
image_has() { docker image inspect "$1" >/dev/null 2>&1; }

# image_import NAME TAR [CHANGE...]
image_import() {
  local name=$1 tar=$2 changes=(--change 'CMD ["/bin/sh"]') change
  if image_has "$name"; then return; fi
  for change in "${@:3}"; do changes+=(--change "$change"); done
  docker import "${changes[@]}" "$tar" "$name"
}

images_load_base() { image_import "$IMAGE_BASE" "$(base_tar)"; }

images_load_new() { image_import "$IMAGE_NEW" "$(new_tar)" "LABEL devcontainer.metadata='[{\"remoteUser\":\"dev\"}]'"; }

# images_load: base, busybox and dev; what is there stays.
images_load() {
  images_load_base
  image_import "$IMAGE_BUSYBOX" "$(busybox_tar)"
  if image_has "$IMAGE_DEV"; then return; fi
  local context
  context=$(mktemp -d)
  cp "$(gh_home)/gh" "$(git_lfs_home)/git-lfs" "$context/"
  cat >"$context/Dockerfile" <<DOCKERFILE
FROM $IMAGE_BASE
COPY gh git-lfs /usr/bin/
RUN git lfs install --system --skip-repo \
 && useradd --create-home --shell /bin/bash dev \
 && echo 'dev ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/dev
LABEL devcontainer.metadata='[{"remoteUser":"dev"}]'
DOCKERFILE
  docker build -q -t "$IMAGE_DEV" "$context"
  rm -rf "$context"
}
