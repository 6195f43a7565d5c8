#!/bin/sh
# run.sh - fuzzes the readers of files with clang's libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
#   sh tests/fuzz/run.sh TIME [TARGET...]   TIME for each target: minutes, or seconds as "20s"; TARGET: all without one
# A target is tests/fuzz/TARGET.c: its first comment has a line of the sources that it is linked with ("engine", with
# the reference kernels, and "bindings") and one of the libraries. Its seeds are in tests/fuzz/seeds/TARGET/; what is
# found on the way is kept in build-fuzz/corpus/TARGET/. An input that crashes, hangs or allocates too much memory is
# kept in build-fuzz/TARGET-*: fix the reader, and add the input to the seeds as crash_*.
#   LURCHER_BUILD=DIR    another build folder
#   FUZZ_SEED=N          the first random number of each target (default: another one every time)
#   LURCHER_JOBS=N       targets that run at the same time (default: 2)
# Exit status 3: clang with libFuzzer is missing and cannot be installed.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LURCHER_BUILD:-$root/build-fuzz}
jobs=${LURCHER_JOBS:-2}
cc=${CC:-clang}
. "$root/tests/packages.sh"
[ $# -gt 0 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
case $1 in *s) seconds=${1%s} ;; *) seconds=$(($1 * 60)) ;; esac
shift
cd "$root"
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls ./*.c | sed 's|^\./||; s|\.c$||')
mkdir -p "$build"

# ---- clang ----
has_fuzzer() {
  echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d != 0 && n > 9; }' |
    "$cc" -fsanitize=fuzzer,address,undefined -x c - -o "$build/has_fuzzer" 2> /dev/null
}
if ! has_fuzzer; then
  (LURCHER_PACKAGES="$LURCHER_PACKAGES clang libclang-rt-14-dev" && need_packages) || exit 3
  has_fuzzer || { echo "run.sh: '$cc' has no libFuzzer (Debian: clang, libclang-rt-14-dev)" >&2; exit 3; }
fi

# ---- build: one ninja file for all targets ----
# archive NAME SOURCE...: of a library, only what a target calls is linked.
archive() {
  library=$1 objects=
  shift
  for source in "$@"; do
    echo "build objects/$source.o: cc $root/$source"
    objects="$objects objects/$source.o"
  done
  echo "build lib$library.a: archive $objects"
}
packages="libcjson libxxhash lua5.4"
# OpenMP's pragmas are ignored; support/ has its header and what is linked in place of its library.
engine=$(ls kernels/*.c kernels/ref/*.c engine/*/*.c)
{
  echo "flags = -std=c11 -g -O1 -fno-omit-frame-pointer -D_GNU_SOURCE -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION" \
    "-I$root -I/usr/include/hdf5/serial -I$root/tests/fuzz/support" \
    "-Wall -Wextra -Wno-unknown-pragmas -Wno-unused-parameter -Werror" \
    "$(pkg-config --cflags $packages) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
  echo "rule cc"
  echo "  command = $cc \$flags -MMD -MF \$out.d -c \$in -o \$out"
  echo "  depfile = \$out.d"
  echo "rule link"
  echo "  command = $cc -fsanitize=fuzzer,address,undefined \$in \$libraries -lm -lpthread -o \$out"
  echo "rule archive"
  echo "  command = rm -f \$out && ar rcs \$out \$in"
  archive engine $engine tests/fuzz/support/one_thread.c
  archive bindings $(ls bindings/*.c)
  for target in "$@"; do
    [ -f "tests/fuzz/$target.c" ] || { echo "run.sh: there is no target '$target'" >&2; exit 1; }
    archives=
    for name in $(sed -n 's/^ \* sources: //p' "tests/fuzz/$target.c"); do archives="$archives lib$name.a"; done
    echo "build objects/tests/fuzz/$target.c.o: cc $root/tests/fuzz/$target.c"
    echo "build fuzz_$target: link objects/tests/fuzz/$target.c.o $archives"
    echo "  libraries = $(sed -n 's/^ \* libraries: //p' "tests/fuzz/$target.c" | sed 's| \*/$||')"
  done
} > "$build/build.ninja"
ninja -C "$build" --quiet $(printf " fuzz_%s" "$@")

# ---- run ----
# fuzz TARGET: its output goes to TARGET.log, and a file TARGET.passed is made if it found nothing.
fuzz() {
  corpus=$build/corpus/$1
  mkdir -p "$corpus"
  rm -f "$build/$1.passed"
  if ASAN_OPTIONS=allocator_may_return_null=1 "$build/fuzz_$1" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -timeout=20 \
    -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$build/$1-" "$corpus" "tests/fuzz/seeds/$1" > "$build/$1.log" 2>&1; then
    : > "$build/$1.passed"
  fi
}

# report TARGET: one line for a target that passed, what was found for one that did not.
report() {
  if [ -f "$build/$1.passed" ]; then
    echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$1.log") executions in $seconds s"
  else
    failed="$failed $1"
    echo "$1: FAILED"
    grep -E "ERROR|runtime error|SUMMARY|Test unit written|libFuzzer" "$build/$1.log" || tail -n 20 "$build/$1.log"
  fi
}

failed= running=0 batch=
for target in "$@"; do
  fuzz "$target" &
  running=$((running + 1)) batch="$batch $target"
  [ $running -ge "$jobs" ] || continue
  wait
  for done in $batch; do report "$done"; done
  running=0 batch=
done
wait
for done in $batch; do report "$done"; done
[ -z "$failed" ] || { echo "failed:$failed (logs and inputs in $build)" >&2; exit 1; }
