#!/bin/sh
# run.sh - builds Lurcher and runs every test: what CI runs. Installs missing Debian packages itself. Works from any
# directory; words given to it go to ctest (sh tests/run.sh -R xception).
#   LURCHER_SANITIZE=1   the same under AddressSanitizer and UndefinedBehaviorSanitizer, in build-sanitize/
#   LURCHER_CUDA_ALL=1   the CUDA plugin for every compute capability, not only for a small set (some minutes of compiling)
#   LURCHER_REQUIRE=nvcc no CUDA toolkit is an error; else the plugin is left out, and said so (cuda: no GPU is one too)
#   LURCHER_BUILD=DIR    another build folder
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/packages.sh"

flags=-DCMAKE_BUILD_TYPE=Release
build=${LURCHER_BUILD:-$root/build}
[ "${LURCHER_CUDA_ALL:-0}" = 0 ] || flags="$flags -DLURCHER_CUDA_ALL=ON"
case ${LURCHER_REQUIRE:-} in *nvcc* | *cuda*) flags="$flags -DLURCHER_CUDA=ON" ;; esac
if [ "${LURCHER_SANITIZE:-0}" = 1 ]; then
  # The CUDA kernels are sanitized on the emulator; nvcc's own build of them has no sanitizer.
  flags="-DLURCHER_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLURCHER_CUDA=OFF"
  build=${LURCHER_BUILD:-$root/build-sanitize}
fi

need_packages
generator=
[ -f "$build/CMakeCache.txt" ] || generator=-GNinja
# shellcheck disable=SC2086 # flags are split on purpose
cmake -S "$root" -B "$build" $generator $flags
cmake --build "$build"
cd "$build"
exec ctest --output-on-failure "$@"
