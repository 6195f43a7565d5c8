#!/bin/sh
# run.sh - fuzzes the readers of files with clang's libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
#   sh tests/fuzz/run.sh TIME [TARGET...]    TIME: minutes, or seconds as "20s", for each target; TARGET: all without one
# A target is tests/fuzz/TARGET.c: its first comment has a line of the sources that it is linked with ("engine": all of the
# engine and the reference kernels) and one of the libraries. Its seeds are in tests/fuzz/seeds/TARGET/; what is found
# on the way is kept in build-fuzz/corpus/TARGET/. An input that crashes, hangs or allocates too much memory is kept in
# build-fuzz/TARGET-*: add it to the seeds and fix the reader.
#   LURCHER_BUILD=DIR    another build folder
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${LURCHER_BUILD:-$root/build-fuzz}
cc=${CC:-clang}
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
case $1 in *s) seconds=${1%s} ;; *) seconds=$(($1 * 60)) ;; esac
shift
cd "$root"
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls ./*.c | sed 's|^\./||; s|\.c$||')
command -v "$cc" > /dev/null || { echo "run.sh: needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev)" >&2; exit 1; }

# ---- build: one ninja file for all targets ----
mkdir -p "$build"
packages="libcjson libxxhash"
# OpenMP's pragmas are ignored; support/ has its header and what is linked in place of its library.
engine=$(ls kernels/*.c kernels/ref/*.c engine/*/*.c)
{
  echo "flags = -std=c11 -g -O1 -fno-omit-frame-pointer -D_GNU_SOURCE -DLUR_NO_SIMD -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -I$root" \
    "-I/usr/include/hdf5/serial -I$root/tests/fuzz/support -Wno-unknown-pragmas" \
    "$(pkg-config --cflags $packages) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
  echo "rule cc"
  echo "  command = $cc \$flags -MMD -MF \$out.d -c \$in -o \$out"
  echo "  depfile = \$out.d"
  echo "rule link"
  echo "  command = $cc -fsanitize=fuzzer,address,undefined \$in \$libraries -lm -lpthread -o \$out"
  echo "rule archive"
  echo "  command = rm -f \$out && ar rcs \$out \$in"
  objects=
  for source in $engine tests/fuzz/support/one_thread.c; do
    echo "build objects/$source.o: cc $root/$source"
    objects="$objects objects/$source.o"
  done
  echo "build libengine.a: archive $objects"
  for target in "$@"; do
    [ -f "tests/fuzz/$target.c" ] || { echo "run.sh: there is no target '$target'" >&2; exit 1; }
    sources=$(sed -n 's/^ \* sources: //p' "tests/fuzz/$target.c")
    inputs= archive=
    for source in tests/fuzz/$target.c $sources; do # patterns are expanded here
      [ "$source" != engine ] || { archive=libengine.a; continue; }
      object=objects/$source.o
      case " $objects " in *" $object "*) ;; *) objects="$objects $object"; echo "build $object: cc $root/$source" ;; esac
      inputs="$inputs $object"
    done
    echo "build fuzz_$target: link $inputs $archive"
    echo "  libraries = $(sed -n 's/^ \* libraries: //p' "tests/fuzz/$target.c" | sed 's| \*/$||')"
  done
} > "$build/build.ninja"
ninja -C "$build" --quiet $(printf " fuzz_%s" "$@")

# ---- run ----
failed=
for target in "$@"; do
  corpus=$build/corpus/$target
  mkdir -p "$corpus" "tests/fuzz/seeds/$target"
  echo "== $target: $seconds s"
  log=$build/$target.log
  if ASAN_OPTIONS=allocator_may_return_null=1 "$build/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 -artifact_prefix="$build/$target-" "$corpus" \
    "tests/fuzz/seeds/$target" > "$log" 2>&1; then
    sed -n 's/^stat::number_of_executed_units: */executions: /p' "$log"
  else
    failed="$failed $target"
    grep -E "ERROR|runtime error|SUMMARY|Test unit written|libFuzzer" "$log" || tail -n 20 "$log"
  fi
done
[ -z "$failed" ] || { echo "failed:$failed (logs and inputs in $build)" >&2; exit 1; }
