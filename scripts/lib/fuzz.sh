# shellcheck shell=bash
# libFuzzer on the targets of tests/fuzz: a nightly Rust, a C++ compiler, cargo-fuzz.

CARGO_FUZZ_VERSION=0.13.1
FUZZ_DIR=$HATCHERY_ROOT/tests/fuzz
# What is found grows here, not in the checked-in corpora.
FUZZ_OUT=$HATCHERY_ROOT/target/fuzz

fuzz_tools() {
  ensure "Rust nightly" fuzz_nightly_ready fuzz_nightly_install
  ensure "C++ compiler" fuzz_compiler_ready apt_install g++
  ensure "cargo-fuzz $CARGO_FUZZ_VERSION" fuzz_ready fuzz_install
}

fuzz_nightly_ready() { rustup run nightly rustc --version; }
fuzz_nightly_install() {
  if command -v rustup && timeout 600 rustup toolchain install nightly --profile minimal; then return; fi
  fail "no nightly Rust: coverage for libFuzzer is not in stable releases" "rustup toolchain install nightly; the corpora alone run in: scripts/test unit"
}

fuzz_compiler_ready() { command -v c++; }

fuzz_home() { echo "$HATCHERY_CACHE/cargo-fuzz-$CARGO_FUZZ_VERSION"; }
fuzz_ready() { [ -x "$(fuzz_home)/bin/cargo-fuzz" ]; }
fuzz_install() { atomic_dir "$(fuzz_home)" fuzz_fill; }
fuzz_fill() { cargo install --locked --version "$CARGO_FUZZ_VERSION" --root "$1" cargo-fuzz; }

fuzz_targets() { find "$FUZZ_DIR/corpus" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort; }

# fuzz_run TARGET SECONDS: ends with the first input that breaks it, which is left for a look.
# Without a sanitizer, as none of the code is unsafe; and as it is built for users, without the
# switch by which crates change for fuzzers.
fuzz_run() {
  local target=$1 seconds=$2 found=$FUZZ_OUT/$1
  mkdir -p "$found/corpus" "$found/crashes"
  # Targets of the policy write a checkout for each input.
  if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
  fuzz_cargo run "$target" "$found/corpus" "$FUZZ_DIR/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=60 -print_final_stats=1 \
    -artifact_prefix="$found/crashes/"
}

# fuzz_keep TARGET: the fewest of what was found that reach, with what is checked in, every place of
# the program that was reached. How often a place was passed does not count: that keeps them small.
fuzz_keep() {
  fuzz_cargo run "$1" "$FUZZ_DIR/corpus/$1" "$FUZZ_OUT/$1/corpus" -- \
    -set_cover_merge=1 -use_counters=0 -max_len=4096
}

# fuzz_cargo COMMAND TARGET ARGUMENT...
fuzz_cargo() {
  local command=$1 target=$2
  shift 2
  (
    cd "$HATCHERY_ROOT" || exit
    RUSTUP_TOOLCHAIN=nightly PATH=$(fuzz_home)/bin:$PATH cargo fuzz "$command" "$target" \
      --fuzz-dir "$FUZZ_DIR" --target-dir "$FUZZ_OUT/build" --sanitizer none --no-cfg-fuzzing "$@"
  )
}
