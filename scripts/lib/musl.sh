# shellcheck shell=bash
# Static binaries for both architectures: `rustup target add` where that answers, else a sysroot
# made of Debian's rustc, its library sources and musl, unpacked into the cache.

MUSL_MACHINES=(x86_64 aarch64)
# Debian 12's security archive carries this rustc for browsers; its binaries need glibc 2.36 only.
MUSL_SUITE=bookworm
# `auto`, or `rustup` or `debian` to take no other.
HATCHERY_MUSL=${HATCHERY_MUSL:-auto}

musl_target() { echo "$1-unknown-linux-musl"; }

musl_rustup_has() {
  local machine installed
  command -v rustup >/dev/null || return 1
  installed=$(cd "$HATCHERY_ROOT" && rustup target list --installed 2>/dev/null) || return 1
  for machine in "${MUSL_MACHINES[@]}"; do
    grep -qx "$(musl_target "$machine")" <<<"$installed" || return 1
  done
}

# musl_kind: which of the two is ready: `rustup`, `debian` or nothing.
musl_kind() {
  if [ "$HATCHERY_MUSL" != debian ] && musl_rustup_has; then
    echo rustup
  elif [ "$HATCHERY_MUSL" != rustup ] && [ -x "$(musl_sysroot)/rustc" ] && command -v aarch64-linux-gnu-gcc >/dev/null; then
    echo debian
  fi
}

musl_ready() { [ -n "$(musl_kind)" ]; }

musl_sysroot() { echo "$HATCHERY_CACHE/musl/$MUSL_SUITE-2"; }

musl_install() {
  if [ "$HATCHERY_MUSL" != debian ] && command -v rustup && musl_add_targets; then return; fi
  [ "$HATCHERY_MUSL" != rustup ] || fail "rustup cannot add the musl targets"
  echo "the musl targets do not come from rustup here; making them from Debian's packages"
  [ "$(build_machine)" = x86_64 ] || fail "the musl targets cannot be made on $(build_machine) without rustup" \
    "install Rust from https://rustup.rs, then run this again"
  apt_install gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  atomic_dir "$(musl_sysroot)" musl_fill_sysroot
}

musl_add_targets() {
  local target
  for target in "${MUSL_MACHINES[@]/%/-unknown-linux-musl}"; do
    if (cd "$HATCHERY_ROOT" && rustup target list --installed) | grep -qx "$target"; then continue; fi
    (cd "$HATCHERY_ROOT" && timeout 300 rustup target add "$target") || return 1
    ledger_add rust-target "$target"
  done
  musl_rustup_has
}

# musl_fill_sysroot DIR
musl_fill_sysroot() {
  local dir=$1 std llvm machine
  # The driver's libraries are named after its version, so ask the packages themselves.
  std=$(pool_depends "$MUSL_SUITE" amd64 libstd-rust-web-dev '^libstd-rust-web-[0-9.]+$')
  llvm=$(pool_depends "$MUSL_SUITE" amd64 "$std" '^libllvm[0-9]+$')
  pool_unpack "$MUSL_SUITE" amd64 "$dir" rustc-web rust-web-src libstd-rust-web-dev "$std" "$llvm" libz3-4 libedit2 libxml2 musl-dev
  pool_unpack "$MUSL_SUITE" arm64 "$dir/arm64" musl-dev
  for machine in "${MUSL_MACHINES[@]}"; do musl_fill_target "$dir" "$machine"; done
  # The library sources' own tests and the compiler's are of no use here: 400 MB.
  find "$dir/usr/src" -mindepth 2 -maxdepth 2 -type d -name compiler -exec rm -rf {} +
  cat >"$dir/rustc" <<'WRAPPER'
#!/bin/sh
# Debian's rustc with the musl sysroot around it, run from where it was unpacked.
root=$(dirname "$0")/usr
for llvm in "$root"/lib/llvm-*/lib; do :; done
LD_LIBRARY_PATH=$root/lib/x86_64-linux-gnu:$llvm exec "$root/bin/rustc" "$@"
WRAPPER
  chmod 0755 "$dir/rustc"
  "$dir/rustc" --version
}

# musl_fill_target DIR MACHINE: what rustc links into a static binary, at the place where it looks:
# musl's own start files and libc, the C compiler's crtbegin/crtend, and its unwinder.
musl_fill_target() {
  local dir=$1 machine=$2 gcc=gcc musl lib file
  lib=$dir/usr/lib/rustlib/$(musl_target "$machine")/lib/self-contained
  musl=$dir/usr/lib/x86_64-linux-musl
  if [ "$machine" = aarch64 ]; then
    gcc=aarch64-linux-gnu-gcc
    musl=$dir/arm64/usr/lib/aarch64-linux-musl
  fi
  mkdir -p "$lib"
  cp "$musl"/{crt1.o,Scrt1.o,rcrt1.o,crti.o,crtn.o,libc.a} "$lib/"
  for file in crtbegin.o crtbeginS.o crtend.o crtendS.o; do cp "$($gcc -print-file-name=$file)" "$lib/"; done
  cp "$($gcc -print-file-name=libgcc_eh.a)" "$lib/libunwind.a"
  # gcc's unwinder asks glibc for this; musl lacks it, and -1 sends it to dl_iterate_phdr.
  printf 'int _dl_find_object(void *pc, void *result) { (void)pc; (void)result; return -1; }\n' |
    $gcc -c -O2 -ffreestanding -x c - -o "$lib/dl_find_object.o"
  ar r "$lib/libunwind.a" "$lib/dl_find_object.o"
  rm "$lib/dl_find_object.o"
}

# musl_cargo MACHINE CARGO-ARGUMENT...: cargo for that machine's static target.
musl_cargo() {
  local machine=$1 target
  target=$(musl_target "$machine")
  shift
  cd "$HATCHERY_ROOT" || return
  case $(musl_kind) in
    rustup)
      # rust-lld comes with the toolchain, so that no cross compiler is needed.
      CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld cargo "$@" --target "$target"
      ;;
    debian)
      # -Z build-std needs the nightly switch; the sources are those of this very rustc.
      RUSTC=$(musl_sysroot)/rustc RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER='' \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=aarch64-linux-gnu-gcc \
        cargo "$@" -Z build-std=std,panic_abort --target "$target" --target-dir "$HATCHERY_ROOT/target/musl"
      ;;
    *) fail "no musl targets" "scripts/build makes them" ;;
  esac
}

# musl_output MACHINE PROFILE-DIRECTORY: where musl_cargo leaves its binaries.
musl_output() {
  local target
  target=$(musl_target "$1")
  if [ "$(musl_kind)" = debian ]; then target=musl/$target; fi
  echo "$HATCHERY_ROOT/target/$target/$2"
}
